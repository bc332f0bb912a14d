//! FindCoordinator: which broker keeps a group, or a transactional id. To any broker.
//!
//! One key a request up to version 3, several from version 4 on (KIP-699): the fields of either form are empty in the other. A
//! coordinator can move at any time; COORDINATOR_NOT_AVAILABLE is usual while a cluster's first group comes up.

use crate::protocol::{BrokerId, ErrorCode, Str};

message! {
    request 10 -> FindCoordinatorResponse, versions 0..=6, flexible 3.., listeners [broker];

    /// Whose coordinator is wanted.
    struct FindCoordinatorRequest {
        key: Str [0..=3],
        /// 0 group, 1 transactional id, 2 share group.
        key_type: i8 [1..],
        coordinator_keys: Vec<Str> [4..],
    }
}

message! {
    response 10, versions 0..=6, flexible 3..;

    /// Where it is.
    struct FindCoordinatorResponse {
        throttle_time_ms: i32 [1..] ignorable,
        error_code: ErrorCode [0..=3],
        error_message: Option<Str> [1..=3, null 1..=3] ignorable,
        node_id: BrokerId [0..=3],
        host: Str [0..=3],
        port: i32 [0..=3],
        coordinators: Vec<Coordinator> [4..],
    }

    /// The coordinator of one key.
    struct Coordinator {
        key: Str [4..],
        node_id: BrokerId [4..],
        host: Str [4..],
        port: i32 [4..],
        error_code: ErrorCode [4..],
        error_message: Option<Str> [4.., null 4..] ignorable,
    }
}
