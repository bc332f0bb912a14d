//! ConsumerGroupHeartbeat: the one request of a member of a group whose assignment the broker makes (KIP-848). To the coordinator.
//!
//! Joins, stays, leaves and acknowledges. What has not changed since the last heartbeat is left out, in both directions.

use crate::protocol::{ErrorCode, GroupId, Str, TopicName, Uuid};

message! {
    request 68 -> ConsumerGroupHeartbeatResponse, versions 0..=1, flexible 0.., listeners [broker];

    /// A member's sign of life. What has not changed since the last one is left null (or -1).
    struct ConsumerGroupHeartbeatRequest {
        group_id: GroupId [0..],
        /// Chosen by the member from version 1 on.
        member_id: Str [0..],
        /// 0 joins; -1 leaves; -2 leaves for a while, keeping a static member's partitions.
        member_epoch: i32 [0..],
        instance_id: Option<Str> [0.., null 0..] = None,
        rack_id: Option<Str> [0.., null 0..] = None,
        rebalance_timeout_ms: i32 [0..] = -1,
        subscribed_topic_names: Option<Vec<TopicName>> [0.., null 0..] = None,
        subscribed_topic_regex: Option<Str> [1.., null 1..] = None,
        server_assignor: Option<Str> [0.., null 0..] = None,
        /// What the member holds now; this is how it acknowledges a revocation.
        topic_partitions: Option<Vec<TopicPartitions>> [0.., null 0..] = None,
    }

    /// Partitions a member holds.
    struct TopicPartitions {
        topic_id: Uuid [0..],
        partitions: Vec<i32> [0..],
    }
}

message! {
    response 68, versions 0..=1, flexible 0..;

    /// The member's epoch, and its assignment when that has changed.
    struct ConsumerGroupHeartbeatResponse {
        throttle_time_ms: i32 [0..],
        error_code: ErrorCode [0..],
        error_message: Option<Str> [0.., null 0..] = None,
        member_id: Option<Str> [0.., null 0..] = None,
        member_epoch: i32 [0..],
        heartbeat_interval_ms: i32 [0..],
        assignment: Option<Assignment> [0.., null 0..] = None,
    }

    /// What the member may use at once.
    struct Assignment {
        topic_partitions: Vec<TopicPartitions> [0..],
    }
}
