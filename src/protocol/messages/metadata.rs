//! Metadata.

use crate::protocol::{BrokerId, ErrorCode, Str, TopicName, Uuid};

message! {
    request 3 -> MetadataResponse, versions 0..=13, flexible 9.., listeners [broker];

    /// Metadata request.
    struct MetadataRequest {
        topics: Option<Vec<MetadataRequestTopic>> [0.., null 1..],
        allow_auto_topic_creation: bool [4..] = true,
        include_cluster_authorized_operations: bool [8..=10],
        include_topic_authorized_operations: bool [8..],
    }

    /// Metadata request topic.
    struct MetadataRequestTopic {
        topic_id: Uuid [10..] ignorable,
        name: Option<TopicName> [0.., null 10..],
    }
}

message! {
    response 3, versions 0..=13, flexible 9..;

    /// Metadata response.
    struct MetadataResponse {
        throttle_time_ms: i32 [3..] ignorable,
        brokers: Vec<MetadataResponseBroker> [0..],
        cluster_id: Option<Str> [2.., null 2..] ignorable = None,
        controller_id: BrokerId [1..] ignorable = BrokerId(-1),
        topics: Vec<MetadataResponseTopic> [0..],
        cluster_authorized_operations: i32 [8..=10] = -2147483648,
        error_code: ErrorCode [13..] ignorable,
    }

    /// Metadata response broker.
    struct MetadataResponseBroker {
        node_id: BrokerId [0.., key],
        host: Str [0..],
        port: i32 [0..],
        rack: Option<Str> [1.., null 1..] ignorable = None,
    }

    /// Metadata response topic.
    struct MetadataResponseTopic {
        error_code: ErrorCode [0..],
        name: Option<TopicName> [0.., null 12.., key],
        topic_id: Uuid [10..] ignorable,
        is_internal: bool [1..] ignorable,
        partitions: Vec<MetadataResponsePartition> [0..],
        topic_authorized_operations: i32 [8..] = -2147483648,
    }

    /// Metadata response partition.
    struct MetadataResponsePartition {
        error_code: ErrorCode [0..],
        partition_index: i32 [0..],
        leader_id: BrokerId [0..],
        leader_epoch: i32 [7..] ignorable = -1,
        replica_nodes: Vec<BrokerId> [0..],
        isr_nodes: Vec<BrokerId> [0..],
        offline_replicas: Vec<BrokerId> [5..] ignorable,
    }
}
