//! CreateDelegationToken: a token that others can log in with in somebody's name (KIP-48). Any broker takes it and forwards it to the
//! controller.
//!
//! The `hmac` is the token's password: whoever has it is the owner.

use crate::protocol::{ErrorCode, SecretBytes, Str};

message! {
    request 38 -> CreateDelegationTokenResponse, versions 1..=3, flexible 2.., listeners [broker, controller];

    /// Whose token, who may renew it, and how long.
    struct CreateDelegationTokenRequest {
        owner_principal_type: Option<Str> [3.., null 3..],
        /// Null for whoever asks; for somebody else one needs leave to (KIP-373).
        owner_principal_name: Option<Str> [3.., null 3..],
        renewers: Vec<CreatableRenewers> [0..],
        /// -1 for the broker's own limit.
        max_lifetime_ms: i64 [0..],
    }

    /// Somebody who may renew the token.
    struct CreatableRenewers {
        principal_type: Str [0..],
        principal_name: Str [0..],
    }
}

message! {
    response 38, versions 1..=3, flexible 2..;

    /// The token.
    struct CreateDelegationTokenResponse {
        error_code: ErrorCode [0..],
        principal_type: Str [0..],
        principal_name: Str [0..],
        token_requester_principal_type: Str [3..],
        token_requester_principal_name: Str [3..],
        issue_timestamp_ms: i64 [0..],
        /// Until then it is good if nobody renews it, and until `max_timestamp_ms` if somebody does.
        expiry_timestamp_ms: i64 [0..],
        max_timestamp_ms: i64 [0..],
        token_id: Str [0..],
        hmac: SecretBytes [0..],
        throttle_time_ms: i32 [0..],
    }
}
