//! ExpireDelegationToken: changes when a token ends, or ends it (KIP-48). Any broker takes it and forwards it to the controller.

use crate::protocol::{ErrorCode, SecretBytes};

message! {
    request 40 -> ExpireDelegationTokenResponse, versions 1..=2, flexible 2.., listeners [broker, controller];

    /// The token, by its secret.
    struct ExpireDelegationTokenRequest {
        hmac: SecretBytes [0..],
        /// How long it lasts from now on; negative ends it at once.
        expiry_time_period_ms: i64 [0..],
    }
}

message! {
    response 40, versions 1..=2, flexible 2..;

    /// When it ends.
    struct ExpireDelegationTokenResponse {
        error_code: ErrorCode [0..],
        expiry_timestamp_ms: i64 [0..],
        throttle_time_ms: i32 [0..],
    }
}
