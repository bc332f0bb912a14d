//! OffsetForLeaderEpoch: where an epoch of a partition's leaders ends (KIP-101, KIP-320). To the leader of each partition.
//!
//! A reader whose last record lies beyond the end of that record's epoch has read what was truncated since.

use crate::protocol::{BrokerId, ErrorCode, TopicName};

message! {
    request 23 -> OffsetForLeaderEpochResponse, versions 2..=4, flexible 4.., listeners [broker];

    /// The epochs.
    struct OffsetForLeaderEpochRequest {
        /// -1 for a consumer, -2 for one that may see beyond the high watermark.
        replica_id: BrokerId [3..] ignorable = BrokerId(-2),
        topics: Vec<OffsetForLeaderTopic> [0..],
    }

    /// One topic.
    struct OffsetForLeaderTopic {
        topic: TopicName [0.., key],
        partitions: Vec<OffsetForLeaderPartition> [0..],
    }

    /// One partition.
    struct OffsetForLeaderPartition {
        partition: i32 [0..],
        /// The epoch the client believes in; a leader of another one refuses. -1 to not have it checked.
        current_leader_epoch: i32 [2..] ignorable = -1,
        /// The epoch whose end is wanted.
        leader_epoch: i32 [0..],
    }
}

message! {
    response 23, versions 2..=4, flexible 4..;

    /// The ends.
    struct OffsetForLeaderEpochResponse {
        throttle_time_ms: i32 [2..] ignorable,
        topics: Vec<OffsetForLeaderTopicResult> [0..],
    }

    /// One topic.
    struct OffsetForLeaderTopicResult {
        topic: TopicName [0.., key],
        partitions: Vec<EpochEndOffset> [0..],
    }

    /// One partition.
    struct EpochEndOffset {
        error_code: ErrorCode [0..],
        partition: i32 [0..],
        /// The latest epoch not above the one asked for; -1 where there is none.
        leader_epoch: i32 [1..] ignorable = -1,
        end_offset: i64 [0..] = -1,
    }
}
