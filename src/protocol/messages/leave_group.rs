//! LeaveGroup.

use crate::protocol::{ErrorCode, GroupId, Str};

message! {
    request 13 -> LeaveGroupResponse, versions 0..=5, flexible 4.., listeners [broker];

    /// Leave group request.
    struct LeaveGroupRequest {
        group_id: GroupId [0..],
        member_id: Str [0..=2],
        members: Vec<MemberIdentity> [3..],
    }

    /// Member identity.
    struct MemberIdentity {
        member_id: Str [3..],
        group_instance_id: Option<Str> [3.., null 3..] = None,
        reason: Option<Str> [5.., null 5..] ignorable = None,
    }
}

message! {
    response 13, versions 0..=5, flexible 4..;

    /// Leave group response.
    struct LeaveGroupResponse {
        throttle_time_ms: i32 [1..] ignorable,
        error_code: ErrorCode [0..],
        members: Vec<MemberResponse> [3..],
    }

    /// Member response.
    struct MemberResponse {
        member_id: Str [3..],
        group_instance_id: Option<Str> [3.., null 3..],
        error_code: ErrorCode [3..],
    }
}
