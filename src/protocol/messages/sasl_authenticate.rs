//! SaslAuthenticate: one step of the mechanism that SaslHandshake named (KIP-152). To the broker that the connection leads to.

use crate::protocol::{ErrorCode, SecretBytes, Str};

message! {
    request 36 -> SaslAuthenticateResponse, versions 0..=2, flexible 2.., listeners [broker, controller];

    /// What the mechanism has to say.
    struct SaslAuthenticateRequest {
        auth_bytes: SecretBytes [0..],
    }
}

message! {
    response 36, versions 0..=2, flexible 2..;

    /// The broker's part of the step.
    struct SaslAuthenticateResponse {
        error_code: ErrorCode [0..],
        error_message: Option<Str> [0.., null 0..],
        auth_bytes: SecretBytes [0..],
        /// How long the connection may be used before the client has to prove anew who it is (KIP-368); 0 for ever.
        session_lifetime_ms: i64 [1..] ignorable,
    }
}
