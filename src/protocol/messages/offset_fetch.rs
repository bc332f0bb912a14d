//! OffsetFetch: what a group has committed. To the coordinator.
//!
//! One group up to version 7, several from version 8 on (KIP-709): the fields of either form are empty in the other. Topics have names
//! up to version 9 and ids from 10 on.

use crate::protocol::{ErrorCode, GroupId, Str, TopicName, Uuid};

message! {
    request 9 -> OffsetFetchResponse, versions 1..=10, flexible 6.., listeners [broker];

    /// Whose offsets, and of which partitions.
    struct OffsetFetchRequest {
        group_id: GroupId [0..=7],
        /// Null for all, from version 2 on.
        topics: Option<Vec<OffsetFetchRequestTopic>> [0..=7, null 2..=7],
        groups: Vec<OffsetFetchRequestGroup> [8..],
        /// Refuse, with UNSTABLE_OFFSET_COMMIT, while a transaction is committing offsets (KIP-447).
        require_stable: bool [7..],
    }

    /// One topic, up to version 7.
    struct OffsetFetchRequestTopic {
        name: TopicName [0..=7],
        partition_indexes: Vec<i32> [0..=7],
    }

    /// One group.
    struct OffsetFetchRequestGroup {
        group_id: GroupId [8..],
        /// For groups of KIP-848; null else.
        member_id: Option<Str> [9.., null 9..] ignorable = None,
        /// For groups of KIP-848; -1 else.
        member_epoch: i32 [9..] ignorable = -1,
        /// Null for all.
        topics: Option<Vec<OffsetFetchRequestTopics>> [8.., null 8..],
    }

    /// One topic of a group.
    struct OffsetFetchRequestTopics {
        name: TopicName [8..=9] ignorable,
        topic_id: Uuid [10..] ignorable,
        partition_indexes: Vec<i32> [8..],
    }
}

message! {
    response 9, versions 1..=10, flexible 6..;

    /// The offsets.
    struct OffsetFetchResponse {
        throttle_time_ms: i32 [3..] ignorable,
        topics: Vec<OffsetFetchResponseTopic> [0..=7],
        error_code: ErrorCode [2..=7] ignorable,
        groups: Vec<OffsetFetchResponseGroup> [8..],
    }

    /// One topic, up to version 7.
    struct OffsetFetchResponseTopic {
        name: TopicName [0..=7],
        partitions: Vec<OffsetFetchResponsePartition> [0..=7],
    }

    /// One partition, up to version 7.
    struct OffsetFetchResponsePartition {
        partition_index: i32 [0..=7],
        /// -1 where nothing is committed.
        committed_offset: i64 [0..=7],
        committed_leader_epoch: i32 [5..=7] ignorable = -1,
        metadata: Option<Str> [0..=7, null 0..=7],
        error_code: ErrorCode [0..=7],
    }

    /// One group.
    struct OffsetFetchResponseGroup {
        group_id: GroupId [8..],
        topics: Vec<OffsetFetchResponseTopics> [8..],
        error_code: ErrorCode [8..],
    }

    /// One topic of a group.
    struct OffsetFetchResponseTopics {
        name: TopicName [8..=9] ignorable,
        topic_id: Uuid [10..] ignorable,
        partitions: Vec<OffsetFetchResponsePartitions> [8..],
    }

    /// One partition of a group.
    struct OffsetFetchResponsePartitions {
        partition_index: i32 [8..],
        /// -1 where nothing is committed.
        committed_offset: i64 [8..],
        committed_leader_epoch: i32 [8..] ignorable = -1,
        metadata: Option<Str> [8.., null 8..],
        error_code: ErrorCode [8..],
    }
}
