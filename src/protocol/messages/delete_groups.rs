//! DeleteGroups: groups without members, and what they have committed. To the coordinator of each.

use crate::protocol::{ErrorCode, GroupId, Str};

message! {
    request 42 -> DeleteGroupsResponse, versions 0..=3, flexible 2.., listeners [broker];

    /// The groups to delete.
    struct DeleteGroupsRequest {
        groups_names: Vec<GroupId> [0..],
    }
}

message! {
    response 42, versions 0..=3, flexible 2..;

    /// A verdict for each group.
    struct DeleteGroupsResponse {
        throttle_time_ms: i32 [0..],
        results: Vec<DeletableGroupResult> [0..],
    }

    /// The verdict for one group.
    struct DeletableGroupResult {
        group_id: GroupId [0.., key],
        error_code: ErrorCode [0..],
        error_message: Option<Str> [3.., null 3..] ignorable = None,
    }
}
