//! SyncGroup.

use bytes::Bytes;

use crate::protocol::{ErrorCode, GroupId, Str};

message! {
    request 14 -> SyncGroupResponse, versions 0..=5, flexible 4.., listeners [broker];

    /// Sync group request.
    struct SyncGroupRequest {
        group_id: GroupId [0..],
        generation_id: i32 [0..],
        member_id: Str [0..],
        group_instance_id: Option<Str> [3.., null 3..] = None,
        protocol_type: Option<Str> [5.., null 5..] ignorable = None,
        protocol_name: Option<Str> [5.., null 5..] ignorable = None,
        assignments: Vec<SyncGroupRequestAssignment> [0..],
    }

    /// Sync group request assignment.
    struct SyncGroupRequestAssignment {
        member_id: Str [0..],
        assignment: Bytes [0..],
    }
}

message! {
    response 14, versions 0..=5, flexible 4..;

    /// Sync group response.
    struct SyncGroupResponse {
        throttle_time_ms: i32 [1..] ignorable,
        error_code: ErrorCode [0..],
        protocol_type: Option<Str> [5.., null 5..] ignorable = None,
        protocol_name: Option<Str> [5.., null 5..] ignorable = None,
        assignment: Bytes [0..],
    }
}
