//! The header of requests as Kafka's schemas have it, for tools that treat all messages alike.
//!
//! The library itself uses [`protocol::header`](crate::protocol::header), by hand, which chooses the version and counts the frame; a
//! test there compares the bytes. Version 2 has tags.

use crate::protocol::ClientId;

message! {
    header, versions 1..=2, flexible 2..;

    /// What stands before every request's body.
    struct RequestHeader {
        request_api_key: i16 [0..],
        request_api_version: i16 [0..],
        correlation_id: i32 [0..],
        /// With a length of two bytes in every version, so that a broker can read it whatever version it is asked in (KIP-511).
        client_id: ClientId [1.., null 1..],
    }
}
