//! Heartbeat.

use crate::protocol::{ErrorCode, GroupId, Str};

message! {
    request 12 -> HeartbeatResponse, versions 0..=4, flexible 4.., listeners [broker];

    /// Heartbeat request.
    struct HeartbeatRequest {
        group_id: GroupId [0..],
        generation_id: i32 [0..],
        member_id: Str [0..],
        group_instance_id: Option<Str> [3.., null 3..] = None,
    }
}

message! {
    response 12, versions 0..=4, flexible 4..;

    /// Heartbeat response.
    struct HeartbeatResponse {
        throttle_time_ms: i32 [1..] ignorable,
        error_code: ErrorCode [0..],
    }
}
