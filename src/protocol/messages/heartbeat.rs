//! Heartbeat: a member of a classic group is alive. To the coordinator.
//!
//! The answer is the only way to hear that the group rebalances: REBALANCE_IN_PROGRESS means "join again".

use crate::protocol::{ErrorCode, GroupId, Str};

message! {
    request 12 -> HeartbeatResponse, versions 0..=4, flexible 4.., listeners [broker];

    /// Who is alive, in which generation.
    struct HeartbeatRequest {
        group_id: GroupId [0..],
        generation_id: i32 [0..],
        member_id: Str [0..],
        /// Set for a static member (KIP-345).
        group_instance_id: Option<Str> [3.., null 3..] = None,
    }
}

message! {
    response 12, versions 0..=4, flexible 4..;

    /// Whether all is well.
    struct HeartbeatResponse {
        throttle_time_ms: i32 [1..] ignorable,
        error_code: ErrorCode [0..],
    }
}
