//! ListGroups.

use crate::protocol::{ErrorCode, GroupId, Str};

message! {
    request 16 -> ListGroupsResponse, versions 0..=5, flexible 3.., listeners [broker];

    /// List groups request.
    struct ListGroupsRequest {
        states_filter: Vec<Str> [4..],
        types_filter: Vec<Str> [5..],
    }
}

message! {
    response 16, versions 0..=5, flexible 3..;

    /// List groups response.
    struct ListGroupsResponse {
        throttle_time_ms: i32 [1..] ignorable,
        error_code: ErrorCode [0..],
        groups: Vec<ListedGroup> [0..],
    }

    /// Listed group.
    struct ListedGroup {
        group_id: GroupId [0..],
        protocol_type: Str [0..],
        group_state: Str [4..] ignorable,
        group_type: Str [5..] ignorable,
    }
}
