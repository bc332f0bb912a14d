//! ListGroups: the groups of one coordinator. To every broker, for each knows its own groups only.

use crate::protocol::{ErrorCode, GroupId, Str};

message! {
    request 16 -> ListGroupsResponse, versions 0..=5, flexible 3.., listeners [broker];

    /// Which groups to list.
    struct ListGroupsRequest {
        /// Empty for all.
        states_filter: Vec<Str> [4..],
        /// `classic`, `consumer`, `share`, `streams`; empty for all.
        types_filter: Vec<Str> [5..],
    }
}

message! {
    response 16, versions 0..=5, flexible 3..;

    /// The groups of this broker.
    struct ListGroupsResponse {
        throttle_time_ms: i32 [1..] ignorable,
        error_code: ErrorCode [0..],
        groups: Vec<ListedGroup> [0..],
    }

    /// One group.
    struct ListedGroup {
        group_id: GroupId [0..],
        /// `consumer` for consumers; empty for groups that only hold offsets.
        protocol_type: Str [0..],
        group_state: Str [4..] ignorable,
        group_type: Str [5..] ignorable,
    }
}
