//! RenewDelegationToken: makes a token last longer, within its limit (KIP-48). Any broker takes it and forwards it to the controller.

use crate::protocol::{ErrorCode, SecretBytes};

message! {
    request 39 -> RenewDelegationTokenResponse, versions 1..=2, flexible 2.., listeners [broker, controller];

    /// The token, by its secret.
    struct RenewDelegationTokenRequest {
        hmac: SecretBytes [0..],
        /// How long it shall last from now on; -1 for the broker's default.
        renew_period_ms: i64 [0..],
    }
}

message! {
    response 39, versions 1..=2, flexible 2..;

    /// When it ends.
    struct RenewDelegationTokenResponse {
        error_code: ErrorCode [0..],
        expiry_timestamp_ms: i64 [0..],
        throttle_time_ms: i32 [0..],
    }
}
