//! LeaveGroup: a member goes, or is removed by an administrator. To the coordinator.
//!
//! One member up to version 2, several from version 3 on.

use crate::protocol::{ErrorCode, GroupId, Str};

message! {
    request 13 -> LeaveGroupResponse, versions 0..=5, flexible 4.., listeners [broker];

    /// Who leaves.
    struct LeaveGroupRequest {
        group_id: GroupId [0..],
        member_id: Str [0..=2],
        members: Vec<MemberIdentity> [3..],
    }

    /// One member that leaves.
    struct MemberIdentity {
        /// Empty to remove a static member by its instance id alone.
        member_id: Str [3..],
        group_instance_id: Option<Str> [3.., null 3..] = None,
        /// For the coordinator's log (KIP-800).
        reason: Option<Str> [5.., null 5..] ignorable = None,
    }
}

message! {
    response 13, versions 0..=5, flexible 4..;

    /// A verdict for all, and from version 3 on for each.
    struct LeaveGroupResponse {
        throttle_time_ms: i32 [1..] ignorable,
        error_code: ErrorCode [0..],
        members: Vec<MemberResponse> [3..],
    }

    /// The verdict for one member.
    struct MemberResponse {
        member_id: Str [3..],
        group_instance_id: Option<Str> [3.., null 3..],
        error_code: ErrorCode [3..],
    }
}
