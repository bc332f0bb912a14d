//! DeleteRecords: removes the records before an offset (KIP-107). To the leader of each partition.
//!
//! The broker answers when all replicas have moved their start.

use crate::protocol::{ErrorCode, TopicName};

message! {
    request 21 -> DeleteRecordsResponse, versions 0..=2, flexible 2.., listeners [broker];

    /// Where the logs shall start.
    struct DeleteRecordsRequest {
        topics: Vec<DeleteRecordsTopic> [0..],
        timeout_ms: i32 [0..],
    }

    /// One topic.
    struct DeleteRecordsTopic {
        name: TopicName [0..],
        partitions: Vec<DeleteRecordsPartition> [0..],
    }

    /// One partition.
    struct DeleteRecordsPartition {
        partition_index: i32 [0..],
        /// -1 for the high watermark.
        offset: i64 [0..],
    }
}

message! {
    response 21, versions 0..=2, flexible 2..;

    /// Where the logs start now.
    struct DeleteRecordsResponse {
        throttle_time_ms: i32 [0..],
        topics: Vec<DeleteRecordsTopicResult> [0..],
    }

    /// One topic.
    struct DeleteRecordsTopicResult {
        name: TopicName [0.., key],
        partitions: Vec<DeleteRecordsPartitionResult> [0..],
    }

    /// One partition.
    struct DeleteRecordsPartitionResult {
        partition_index: i32 [0.., key],
        /// The first offset that the log of every live replica still has.
        low_watermark: i64 [0..],
        error_code: ErrorCode [0..],
    }
}
