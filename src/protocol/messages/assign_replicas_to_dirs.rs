//! AssignReplicasToDirs: tells in which log directory a broker has its replicas (KIP-858). From brokers to the active controller.

use crate::protocol::{BrokerId, ErrorCode, Uuid};

message! {
    request 73 -> AssignReplicasToDirsResponse, versions 0..=0, flexible 0.., listeners [controller];

    /// The broker's directories.
    struct AssignReplicasToDirsRequest {
        broker_id: BrokerId [0..],
        broker_epoch: i64 [0..] = -1,
        directories: Vec<DirectoryData> [0..],
    }

    /// One directory.
    struct DirectoryData {
        id: Uuid [0..],
        topics: Vec<TopicData> [0..],
    }

    /// One topic.
    struct TopicData {
        topic_id: Uuid [0..],
        partitions: Vec<PartitionData> [0..],
    }

    /// One partition.
    struct PartitionData {
        partition_index: i32 [0..],
    }
}

message! {
    response 73, versions 0..=0, flexible 0..;

    /// A verdict for each replica.
    struct AssignReplicasToDirsResponse {
        throttle_time_ms: i32 [0..],
        error_code: ErrorCode [0..],
        directories: Vec<DirectoryResult> [0..],
    }

    /// One directory.
    struct DirectoryResult as "DirectoryData" {
        id: Uuid [0..],
        topics: Vec<TopicResult> [0..],
    }

    /// One topic.
    struct TopicResult as "TopicData" {
        topic_id: Uuid [0..],
        partitions: Vec<PartitionResult> [0..],
    }

    /// One partition.
    struct PartitionResult as "PartitionData" {
        partition_index: i32 [0..],
        error_code: ErrorCode [0..],
    }
}
