//! DescribeGroups.

use bytes::Bytes;

use crate::protocol::{ErrorCode, GroupId, Str};

message! {
    request 15 -> DescribeGroupsResponse, versions 0..=6, flexible 5.., listeners [broker];

    /// Describe groups request.
    struct DescribeGroupsRequest {
        groups: Vec<GroupId> [0..],
        include_authorized_operations: bool [3..],
    }
}

message! {
    response 15, versions 0..=6, flexible 5..;

    /// Describe groups response.
    struct DescribeGroupsResponse {
        throttle_time_ms: i32 [1..] ignorable,
        groups: Vec<DescribedGroup> [0..],
    }

    /// Described group.
    struct DescribedGroup {
        error_code: ErrorCode [0..],
        error_message: Option<Str> [6.., null 6..] = None,
        group_id: GroupId [0..],
        group_state: Str [0..],
        protocol_type: Str [0..],
        protocol_data: Str [0..],
        members: Vec<DescribedGroupMember> [0..],
        authorized_operations: i32 [3..] = -2147483648,
    }

    /// Described group member.
    struct DescribedGroupMember {
        member_id: Str [0..],
        group_instance_id: Option<Str> [4.., null 4..] ignorable = None,
        client_id: Str [0..],
        client_host: Str [0..],
        member_metadata: Bytes [0..],
        member_assignment: Bytes [0..],
    }
}
