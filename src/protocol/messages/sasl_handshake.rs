//! SaslHandshake: by which mechanism the client will prove who it is. To the broker that the connection leads to.
//!
//! Version 1 says that SaslAuthenticate follows (KIP-152); after version 0, which is not to be used, tokens follow without any header.

use crate::protocol::{ErrorCode, Str};

message! {
    request 17 -> SaslHandshakeResponse, versions 0..=1, listeners [broker, controller];

    /// Names the mechanism.
    struct SaslHandshakeRequest {
        mechanism: Str [0..],
    }
}

message! {
    response 17, versions 0..=1;

    /// Whether the mechanism will do.
    struct SaslHandshakeResponse {
        error_code: ErrorCode [0..],
        /// Those that the listener takes; empty where it takes none.
        mechanisms: Vec<Str> [0..],
    }
}
