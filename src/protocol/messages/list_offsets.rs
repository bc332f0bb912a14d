//! ListOffsets.

use crate::protocol::{BrokerId, ErrorCode, TopicName};

message! {
    request 2 -> ListOffsetsResponse, versions 1..=11, flexible 6.., listeners [broker];

    /// List offsets request.
    struct ListOffsetsRequest {
        replica_id: BrokerId [0..],
        isolation_level: i8 [2..],
        topics: Vec<ListOffsetsTopic> [0..],
        timeout_ms: i32 [10..] ignorable,
    }

    /// List offsets topic.
    struct ListOffsetsTopic {
        name: TopicName [0..],
        partitions: Vec<ListOffsetsPartition> [0..],
    }

    /// List offsets partition.
    struct ListOffsetsPartition {
        partition_index: i32 [0..],
        current_leader_epoch: i32 [4..] ignorable = -1,
        timestamp: i64 [0..],
    }
}

message! {
    response 2, versions 1..=11, flexible 6..;

    /// List offsets response.
    struct ListOffsetsResponse {
        throttle_time_ms: i32 [2..] ignorable,
        topics: Vec<ListOffsetsTopicResponse> [0..],
    }

    /// List offsets topic response.
    struct ListOffsetsTopicResponse {
        name: TopicName [0..],
        partitions: Vec<ListOffsetsPartitionResponse> [0..],
    }

    /// List offsets partition response.
    struct ListOffsetsPartitionResponse {
        partition_index: i32 [0..],
        error_code: ErrorCode [0..],
        timestamp: i64 [1..] = -1,
        offset: i64 [1..] = -1,
        leader_epoch: i32 [4..] = -1,
    }
}
