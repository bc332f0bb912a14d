//! SyncGroup: second half of a rebalance of a classic group. The leader hands in all assignments, each member gets its own.
//!
//! To the coordinator, which answers the others only when the leader has been heard.

use bytes::Bytes;

use crate::protocol::{ErrorCode, GroupId, Str};

message! {
    request 14 -> SyncGroupResponse, versions 0..=5, flexible 4.., listeners [broker];

    /// From the leader with all assignments, from others without.
    struct SyncGroupRequest {
        group_id: GroupId [0..],
        generation_id: i32 [0..],
        member_id: Str [0..],
        group_instance_id: Option<Str> [3.., null 3..] = None,
        /// Checked against what the group has, from version 5 on.
        protocol_type: Option<Str> [5.., null 5..] ignorable = None,
        /// Checked against what the group has chosen, from version 5 on.
        protocol_name: Option<Str> [5.., null 5..] ignorable = None,
        assignments: Vec<SyncGroupRequestAssignment> [0..],
    }

    /// One member's part.
    struct SyncGroupRequestAssignment {
        member_id: Str [0..],
        assignment: Bytes [0..],
    }
}

message! {
    response 14, versions 0..=5, flexible 4..;

    /// The member's own part.
    struct SyncGroupResponse {
        throttle_time_ms: i32 [1..] ignorable,
        error_code: ErrorCode [0..],
        protocol_type: Option<Str> [5.., null 5..] ignorable = None,
        protocol_name: Option<Str> [5.., null 5..] ignorable = None,
        /// Empty where nothing is assigned.
        assignment: Bytes [0..],
    }
}
