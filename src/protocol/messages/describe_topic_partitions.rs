//! DescribeTopicPartitions: topics and their partitions, page by page (KIP-966). To any broker.
//!
//! Unlike Metadata it tells of the replicas that may yet become leaders, and does not name the brokers' addresses.

use crate::protocol::{BrokerId, ErrorCode, TopicName, Uuid};

message! {
    request 75 -> DescribeTopicPartitionsResponse, versions 0..=0, flexible 0.., listeners [broker];

    /// Which topics, and where the page begins.
    struct DescribeTopicPartitionsRequest {
        /// Empty for all.
        topics: Vec<TopicRequest> [0..],
        /// The page's length; brokers have a limit of their own.
        response_partition_limit: i32 [0..] = 2000,
        /// The `next_cursor` of the page before; null for the first.
        cursor: Option<Cursor> [0.., null 0..] = None,
    }

    /// One topic.
    struct TopicRequest {
        name: TopicName [0..],
    }

    /// A partition at which a page begins.
    struct Cursor {
        topic_name: TopicName [0..],
        partition_index: i32 [0..],
    }
}

message! {
    response 75, versions 0..=0, flexible 0..;

    /// One page.
    struct DescribeTopicPartitionsResponse {
        throttle_time_ms: i32 [0..] ignorable,
        topics: Vec<DescribeTopicPartitionsResponseTopic> [0..],
        /// Null with the last page.
        next_cursor: Option<Cursor> [0.., null 0..] = None,
    }

    /// One topic.
    struct DescribeTopicPartitionsResponseTopic {
        error_code: ErrorCode [0..],
        name: Option<TopicName> [0.., null 0.., key],
        topic_id: Uuid [0..] ignorable,
        is_internal: bool [0..] ignorable,
        partitions: Vec<DescribeTopicPartitionsResponsePartition> [0..],
        topic_authorized_operations: i32 [0..] = i32::MIN,
    }

    /// One partition.
    struct DescribeTopicPartitionsResponsePartition {
        error_code: ErrorCode [0..],
        partition_index: i32 [0..],
        /// -1 while there is none.
        leader_id: BrokerId [0..],
        leader_epoch: i32 [0..] ignorable = -1,
        replica_nodes: Vec<BrokerId> [0..],
        isr_nodes: Vec<BrokerId> [0..],
        /// Not in sync, yet known to have all that was committed.
        eligible_leader_replicas: Option<Vec<BrokerId>> [0.., null 0..] = None,
        /// Those of before a restart that was not clean.
        last_known_elr: Option<Vec<BrokerId>> [0.., null 0..] = None,
        offline_replicas: Vec<BrokerId> [0..] ignorable,
    }
}
