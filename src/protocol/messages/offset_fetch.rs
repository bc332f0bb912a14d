//! OffsetFetch.

use crate::protocol::{ErrorCode, GroupId, Str, TopicName, Uuid};

message! {
    request 9 -> OffsetFetchResponse, versions 1..=10, flexible 6.., listeners [broker];

    /// Offset fetch request.
    struct OffsetFetchRequest {
        group_id: GroupId [0..=7],
        topics: Option<Vec<OffsetFetchRequestTopic>> [0..=7, null 2..=7],
        groups: Vec<OffsetFetchRequestGroup> [8..],
        require_stable: bool [7..],
    }

    /// Offset fetch request topic.
    struct OffsetFetchRequestTopic {
        name: TopicName [0..=7],
        partition_indexes: Vec<i32> [0..=7],
    }

    /// Offset fetch request group.
    struct OffsetFetchRequestGroup {
        group_id: GroupId [8..],
        member_id: Option<Str> [9.., null 9..] ignorable = None,
        member_epoch: i32 [9..] ignorable = -1,
        topics: Option<Vec<OffsetFetchRequestTopics>> [8.., null 8..],
    }

    /// Offset fetch request topics.
    struct OffsetFetchRequestTopics {
        name: TopicName [8..=9] ignorable,
        topic_id: Uuid [10..] ignorable,
        partition_indexes: Vec<i32> [8..],
    }
}

message! {
    response 9, versions 1..=10, flexible 6..;

    /// Offset fetch response.
    struct OffsetFetchResponse {
        throttle_time_ms: i32 [3..] ignorable,
        topics: Vec<OffsetFetchResponseTopic> [0..=7],
        error_code: ErrorCode [2..=7] ignorable,
        groups: Vec<OffsetFetchResponseGroup> [8..],
    }

    /// Offset fetch response topic.
    struct OffsetFetchResponseTopic {
        name: TopicName [0..=7],
        partitions: Vec<OffsetFetchResponsePartition> [0..=7],
    }

    /// Offset fetch response partition.
    struct OffsetFetchResponsePartition {
        partition_index: i32 [0..=7],
        committed_offset: i64 [0..=7],
        committed_leader_epoch: i32 [5..=7] ignorable = -1,
        metadata: Option<Str> [0..=7, null 0..=7],
        error_code: ErrorCode [0..=7],
    }

    /// Offset fetch response group.
    struct OffsetFetchResponseGroup {
        group_id: GroupId [8..],
        topics: Vec<OffsetFetchResponseTopics> [8..],
        error_code: ErrorCode [8..],
    }

    /// Offset fetch response topics.
    struct OffsetFetchResponseTopics {
        name: TopicName [8..=9] ignorable,
        topic_id: Uuid [10..] ignorable,
        partitions: Vec<OffsetFetchResponsePartitions> [8..],
    }

    /// Offset fetch response partitions.
    struct OffsetFetchResponsePartitions {
        partition_index: i32 [8..],
        committed_offset: i64 [8..],
        committed_leader_epoch: i32 [8..] ignorable = -1,
        metadata: Option<Str> [8.., null 8..],
        error_code: ErrorCode [8..],
    }
}
