//! AlterShareGroupOffsets: sets where an empty share group starts (KIP-932). To the group's coordinator.

use crate::protocol::{ErrorCode, GroupId, Str, TopicName, Uuid};

message! {
    request 91 -> AlterShareGroupOffsetsResponse, versions 0..=0, flexible 0.., listeners [broker];

    /// The group and its new start offsets.
    struct AlterShareGroupOffsetsRequest {
        group_id: GroupId [0..],
        topics: Vec<AlterShareGroupOffsetsRequestTopic> [0..],
    }

    /// One topic.
    struct AlterShareGroupOffsetsRequestTopic {
        topic_name: TopicName [0.., key],
        partitions: Vec<AlterShareGroupOffsetsRequestPartition> [0..],
    }

    /// One partition.
    struct AlterShareGroupOffsetsRequestPartition {
        partition_index: i32 [0..],
        start_offset: i64 [0..],
    }
}

message! {
    response 91, versions 0..=0, flexible 0..;

    /// A verdict for each partition.
    struct AlterShareGroupOffsetsResponse {
        throttle_time_ms: i32 [0..],
        error_code: ErrorCode [0..],
        error_message: Option<Str> [0.., null 0..] = None,
        responses: Vec<AlterShareGroupOffsetsResponseTopic> [0..],
    }

    /// One topic.
    struct AlterShareGroupOffsetsResponseTopic {
        topic_name: TopicName [0.., key],
        topic_id: Uuid [0..],
        partitions: Vec<AlterShareGroupOffsetsResponsePartition> [0..],
    }

    /// One partition.
    struct AlterShareGroupOffsetsResponsePartition {
        partition_index: i32 [0..],
        error_code: ErrorCode [0..],
        error_message: Option<Str> [0.., null 0..] = None,
    }
}
