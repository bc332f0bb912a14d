//! DescribeUserScramCredentials: which users have passwords for which mechanism, without the passwords (KIP-554). To any broker.

use crate::protocol::{ErrorCode, Str};

message! {
    request 50 -> DescribeUserScramCredentialsResponse, versions 0..=0, flexible 0.., listeners [broker, controller];

    /// The users.
    struct DescribeUserScramCredentialsRequest {
        /// Null or empty for all.
        users: Option<Vec<UserName>> [0.., null 0..],
    }

    /// One user.
    struct UserName {
        name: Str [0..],
    }
}

message! {
    response 50, versions 0..=0, flexible 0..;

    /// The users that have passwords.
    struct DescribeUserScramCredentialsResponse {
        throttle_time_ms: i32 [0..],
        error_code: ErrorCode [0..],
        error_message: Option<Str> [0.., null 0..],
        results: Vec<DescribeUserScramCredentialsResult> [0..],
    }

    /// One user.
    struct DescribeUserScramCredentialsResult {
        user: Str [0..],
        error_code: ErrorCode [0..],
        error_message: Option<Str> [0.., null 0..],
        credential_infos: Vec<CredentialInfo> [0..],
    }

    /// One mechanism.
    struct CredentialInfo {
        /// 1 SCRAM-SHA-256, 2 SCRAM-SHA-512.
        mechanism: i8 [0..],
        iterations: i32 [0..],
    }
}
