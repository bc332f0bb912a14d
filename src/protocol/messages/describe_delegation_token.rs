//! DescribeDelegationToken: tokens that whoever asks may see, secrets included (KIP-48). To any broker.

use crate::protocol::{ErrorCode, SecretBytes, Str};

message! {
    request 41 -> DescribeDelegationTokenResponse, versions 1..=3, flexible 2.., listeners [broker, controller];

    /// Whose tokens.
    struct DescribeDelegationTokenRequest {
        /// Null for all.
        owners: Option<Vec<DescribeDelegationTokenOwner>> [0.., null 0..],
    }

    /// One owner.
    struct DescribeDelegationTokenOwner {
        principal_type: Str [0..],
        principal_name: Str [0..],
    }
}

message! {
    response 41, versions 1..=3, flexible 2..;

    /// The tokens.
    struct DescribeDelegationTokenResponse {
        error_code: ErrorCode [0..],
        tokens: Vec<DescribedDelegationToken> [0..],
        throttle_time_ms: i32 [0..],
    }

    /// One token. Its `hmac` is its password.
    struct DescribedDelegationToken {
        principal_type: Str [0..],
        principal_name: Str [0..],
        token_requester_principal_type: Str [3..],
        token_requester_principal_name: Str [3..],
        issue_timestamp: i64 [0..],
        expiry_timestamp: i64 [0..],
        max_timestamp: i64 [0..],
        token_id: Str [0..],
        hmac: SecretBytes [0..],
        renewers: Vec<DescribedDelegationTokenRenewer> [0..],
    }

    /// Somebody who may renew the token.
    struct DescribedDelegationTokenRenewer {
        principal_type: Str [0..],
        principal_name: Str [0..],
    }
}
