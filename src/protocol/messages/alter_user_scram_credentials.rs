//! AlterUserScramCredentials: sets and removes passwords for SCRAM (KIP-554). Any broker takes it and forwards it to the controller.
//!
//! The password itself is not sent, but what the mechanism makes of it; whoever has that can log in, so it is a secret all the same.

use crate::protocol::{ErrorCode, SecretBytes, Str};

message! {
    request 51 -> AlterUserScramCredentialsResponse, versions 0..=0, flexible 0.., listeners [broker, controller];

    /// The changes; a user may be named once.
    struct AlterUserScramCredentialsRequest {
        deletions: Vec<ScramCredentialDeletion> [0..],
        upsertions: Vec<ScramCredentialUpsertion> [0..],
    }

    /// A password to remove.
    struct ScramCredentialDeletion {
        name: Str [0..],
        /// 1 SCRAM-SHA-256, 2 SCRAM-SHA-512.
        mechanism: i8 [0..],
    }

    /// A password to set.
    struct ScramCredentialUpsertion {
        name: Str [0..],
        /// 1 SCRAM-SHA-256, 2 SCRAM-SHA-512.
        mechanism: i8 [0..],
        /// At least 4,096.
        iterations: i32 [0..],
        salt: SecretBytes [0..],
        /// The password after salt and iterations.
        salted_password: SecretBytes [0..],
    }
}

message! {
    response 51, versions 0..=0, flexible 0..;

    /// A verdict for each user.
    struct AlterUserScramCredentialsResponse {
        throttle_time_ms: i32 [0..],
        results: Vec<AlterUserScramCredentialsResult> [0..],
    }

    /// The verdict for one user.
    struct AlterUserScramCredentialsResult {
        user: Str [0..],
        error_code: ErrorCode [0..],
        error_message: Option<Str> [0.., null 0..],
    }
}
