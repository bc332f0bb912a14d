//! RemoveRaftVoter: takes a controller out of the voters of the metadata quorum (KIP-853). To any broker, which forwards it, or to the
//! active controller.

use crate::protocol::{ErrorCode, Str, Uuid};

message! {
    request 81 -> RemoveRaftVoterResponse, versions 0..=0, flexible 0.., listeners [controller, broker];

    /// The voter.
    struct RemoveRaftVoterRequest {
        /// Checked where it is not null.
        cluster_id: Option<Str> [0.., null 0..],
        voter_id: i32 [0..],
        voter_directory_id: Uuid [0..],
    }
}

message! {
    response 81, versions 0..=0, flexible 0..;

    /// Done, or why not.
    struct RemoveRaftVoterResponse {
        throttle_time_ms: i32 [0..],
        error_code: ErrorCode [0..],
        error_message: Option<Str> [0.., null 0..] ignorable,
    }
}
