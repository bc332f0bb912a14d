//! DescribeGroups: state and members of classic groups. To each group's coordinator.
//!
//! A group that does not exist is `Dead` without an error up to version 5, and GROUP_ID_NOT_FOUND from version 6 on (KIP-1043).

use bytes::Bytes;

use crate::protocol::{ErrorCode, GroupId, Str};

message! {
    request 15 -> DescribeGroupsResponse, versions 0..=6, flexible 5.., listeners [broker];

    /// Asks for some groups, all of this coordinator.
    struct DescribeGroupsRequest {
        groups: Vec<GroupId> [0..],
        include_authorized_operations: bool [3..],
    }
}

message! {
    response 15, versions 0..=6, flexible 5..;

    /// The groups asked for.
    struct DescribeGroupsResponse {
        throttle_time_ms: i32 [1..] ignorable,
        groups: Vec<DescribedGroup> [0..],
    }

    /// One group.
    struct DescribedGroup {
        error_code: ErrorCode [0..],
        error_message: Option<Str> [6.., null 6..] = None,
        group_id: GroupId [0..],
        /// `PreparingRebalance`, `CompletingRebalance`, `Stable`, `Dead` or `Empty`.
        group_state: Str [0..],
        protocol_type: Str [0..],
        /// The chosen assignor's name; empty while none is chosen.
        protocol_data: Str [0..],
        members: Vec<DescribedGroupMember> [0..],
        /// A set of bits; `i32::MIN` where it was not asked for.
        authorized_operations: i32 [3..] = -2147483648,
    }

    /// One member.
    struct DescribedGroupMember {
        member_id: Str [0..],
        group_instance_id: Option<Str> [4.., null 4..] ignorable = None,
        client_id: Str [0..],
        client_host: Str [0..],
        /// Its subscription; empty unless the group is stable.
        member_metadata: Bytes [0..],
        /// Its assignment; empty unless the group is stable.
        member_assignment: Bytes [0..],
    }
}
