//! ConsumerGroupHeartbeat: joins, keeps and leaves a group of the consumer protocol (KIP-848). To the group's coordinator.
//!
//! One request does what JoinGroup, SyncGroup, Heartbeat and LeaveGroup do in classic groups: the coordinator assigns, one member after
//! the other gives up and takes over. What has not changed since the last one is left null (or -1), in both directions.

use crate::protocol::{ErrorCode, GroupId, Str, TopicName, Uuid};

message! {
    request 68 -> ConsumerGroupHeartbeatResponse, versions 0..=1, flexible 0.., listeners [broker];

    /// A member's sign of life and what has changed with it.
    struct ConsumerGroupHeartbeatRequest {
        group_id: GroupId [0..],
        /// Chosen by the member from version 1 on (KIP-1082), and kept for its whole life.
        member_id: Str [0..],
        /// 0 joins; -1 leaves; -2 leaves for a while, keeping a static member's partitions.
        member_epoch: i32 [0..],
        instance_id: Option<Str> [0.., null 0..] = None,
        rack_id: Option<Str> [0.., null 0..] = None,
        /// How long the member may take to give up partitions.
        rebalance_timeout_ms: i32 [0..] = -1,
        subscribed_topic_names: Option<Vec<TopicName>> [0.., null 0..] = None,
        /// In the syntax of RE2/J, which the broker reads it with.
        subscribed_topic_regex: Option<Str> [1.., null 1..] = None,
        server_assignor: Option<Str> [0.., null 0..] = None,
        /// What the member holds now; this is how it acknowledges that partitions were taken from it.
        topic_partitions: Option<Vec<TopicPartitions>> [0.., null 0..] = None,
    }

    /// Some partitions of one topic.
    struct TopicPartitions {
        topic_id: Uuid [0..],
        partitions: Vec<i32> [0..],
    }
}

message! {
    response 68, versions 0..=1, flexible 0..;

    /// The member's epoch, and its assignment if that has changed.
    struct ConsumerGroupHeartbeatResponse {
        throttle_time_ms: i32 [0..],
        error_code: ErrorCode [0..],
        error_message: Option<Str> [0.., null 0..] = None,
        member_id: Option<Str> [0.., null 0..] = None,
        member_epoch: i32 [0..],
        heartbeat_interval_ms: i32 [0..],
        assignment: Option<Assignment> [0.., null 0..] = None,
    }

    /// All that the member may have at once.
    struct Assignment {
        topic_partitions: Vec<TopicPartitions> [0..],
    }
}
