//! Who sent a request that a broker forwards in an Envelope, in the form of Kafka's own principal builder (KIP-590). On the wire an i16
//! comes first, its version.

use crate::protocol::Str;

message! {
    data, versions 0..=0, flexible 0..;

    /// One principal.
    struct DefaultPrincipalData {
        /// `User`.
        r#type: Str [0..],
        name: Str [0..],
        /// Did it log in with a delegation token?
        token_authenticated: bool [0..],
    }
}
