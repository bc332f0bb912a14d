//! OffsetCommit.

use crate::protocol::{ErrorCode, GroupId, Str, TopicName, Uuid};

message! {
    request 8 -> OffsetCommitResponse, versions 2..=10, flexible 8.., listeners [broker];

    /// Offset commit request.
    struct OffsetCommitRequest {
        group_id: GroupId [0..],
        generation_id_or_member_epoch: i32 [1..] ignorable = -1,
        member_id: Str [1..] ignorable,
        group_instance_id: Option<Str> [7.., null 7..] = None,
        retention_time_ms: i64 [2..=4] ignorable = -1,
        topics: Vec<OffsetCommitRequestTopic> [0..],
    }

    /// Offset commit request topic.
    struct OffsetCommitRequestTopic {
        name: TopicName [0..=9] ignorable,
        topic_id: Uuid [10..] ignorable,
        partitions: Vec<OffsetCommitRequestPartition> [0..],
    }

    /// Offset commit request partition.
    struct OffsetCommitRequestPartition {
        partition_index: i32 [0..],
        committed_offset: i64 [0..],
        committed_leader_epoch: i32 [6..] ignorable = -1,
        committed_metadata: Option<Str> [0.., null 0..],
    }
}

message! {
    response 8, versions 2..=10, flexible 8..;

    /// Offset commit response.
    struct OffsetCommitResponse {
        throttle_time_ms: i32 [3..] ignorable,
        topics: Vec<OffsetCommitResponseTopic> [0..],
    }

    /// Offset commit response topic.
    struct OffsetCommitResponseTopic {
        name: TopicName [0..=9] ignorable,
        topic_id: Uuid [10..] ignorable,
        partitions: Vec<OffsetCommitResponsePartition> [0..],
    }

    /// Offset commit response partition.
    struct OffsetCommitResponsePartition {
        partition_index: i32 [0..],
        error_code: ErrorCode [0..],
    }
}
