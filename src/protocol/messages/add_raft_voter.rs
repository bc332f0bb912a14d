//! AddRaftVoter: makes a controller a voter of the metadata quorum (KIP-853). To any broker, which forwards it, or to the active
//! controller.

use crate::protocol::{ErrorCode, Str, Uuid};

message! {
    request 80 -> AddRaftVoterResponse, versions 0..=1, flexible 0.., listeners [controller, broker];

    /// The new voter.
    struct AddRaftVoterRequest {
        /// Checked where it is not null.
        cluster_id: Option<Str> [0.., null 0..],
        timeout_ms: i32 [0..],
        voter_id: i32 [0..],
        /// The id of its metadata directory: the same controller with a new disk is another voter.
        voter_directory_id: Uuid [0..],
        listeners: Vec<Listener> [0..],
        /// False answers as soon as the leader has written the change, before a majority has.
        ack_when_committed: bool [1..] = true,
    }

    /// Where the voter can be reached.
    struct Listener {
        name: Str [0.., key],
        host: Str [0..],
        port: u16 [0..],
    }
}

message! {
    response 80, versions 0..=1, flexible 0..;

    /// Done, or why not.
    struct AddRaftVoterResponse {
        throttle_time_ms: i32 [0..],
        error_code: ErrorCode [0..],
        error_message: Option<Str> [0.., null 0..] ignorable,
    }
}
