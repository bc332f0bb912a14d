//! ShareGroupHeartbeat: joins, keeps and leaves a share group (KIP-932). To the group's coordinator.
//!
//! What has not changed since the last one is left null, in both directions.

use crate::protocol::{ErrorCode, GroupId, Str, TopicName, Uuid};

message! {
    request 76 -> ShareGroupHeartbeatResponse, versions 1..=1, flexible 0.., listeners [broker];

    /// A member's sign of life and what has changed with it.
    struct ShareGroupHeartbeatRequest {
        group_id: GroupId [0..],
        /// Chosen by the member, and kept for its whole life.
        member_id: Str [0..],
        /// 0 joins, -1 leaves.
        member_epoch: i32 [0..],
        rack_id: Option<Str> [0.., null 0..] = None,
        subscribed_topic_names: Option<Vec<TopicName>> [0.., null 0..] = None,
    }
}

message! {
    response 76, versions 1..=1, flexible 0..;

    /// The member's epoch, and its assignment if that has changed.
    struct ShareGroupHeartbeatResponse {
        throttle_time_ms: i32 [0..],
        error_code: ErrorCode [0..],
        error_message: Option<Str> [0.., null 0..] = None,
        member_id: Option<Str> [0.., null 0..] = None,
        member_epoch: i32 [0..],
        heartbeat_interval_ms: i32 [0..],
        assignment: Option<Assignment> [0.., null 0..] = None,
    }

    /// All that the member may fetch from. Others may have the same partitions.
    struct Assignment {
        topic_partitions: Vec<TopicPartitions> [0..],
    }

    /// Some partitions of one topic.
    struct TopicPartitions {
        topic_id: Uuid [0..],
        partitions: Vec<i32> [0..],
    }
}
