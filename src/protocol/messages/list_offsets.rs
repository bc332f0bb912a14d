//! ListOffsets: the offset for a time. To the leader of each partition.
//!
//! Besides a time in ms there are special ones: -1 the end, -2 the earliest, -3 the record with the largest timestamp (version 7),
//! -4 the earliest that is stored locally (version 8), -5 the latest in tiered storage (version 9), -6 the earliest not yet there
//! (version 11). With isolation level 1 the end is the last stable offset.

use crate::protocol::{BrokerId, ErrorCode, TopicName};

message! {
    request 2 -> ListOffsetsResponse, versions 1..=11, flexible 6.., listeners [broker];

    /// Asks for offsets.
    struct ListOffsetsRequest {
        /// -1 for clients. The default, 0, is that of broker 0.
        replica_id: BrokerId [0..],
        isolation_level: i8 [2..],
        topics: Vec<ListOffsetsTopic> [0..],
        /// For answers that must come from tiered storage.
        timeout_ms: i32 [10..] ignorable,
    }

    /// One topic.
    struct ListOffsetsTopic {
        name: TopicName [0..],
        partitions: Vec<ListOffsetsPartition> [0..],
    }

    /// One partition, and for which time.
    struct ListOffsetsPartition {
        partition_index: i32 [0..],
        /// The epoch the client believes in; -1 to not have it checked (KIP-320).
        current_leader_epoch: i32 [4..] ignorable = -1,
        timestamp: i64 [0..],
    }
}

message! {
    response 2, versions 1..=11, flexible 6..;

    /// The offsets.
    struct ListOffsetsResponse {
        throttle_time_ms: i32 [2..] ignorable,
        topics: Vec<ListOffsetsTopicResponse> [0..],
    }

    /// One topic.
    struct ListOffsetsTopicResponse {
        name: TopicName [0..],
        partitions: Vec<ListOffsetsPartitionResponse> [0..],
    }

    /// The first offset whose record is not older than the time asked for; -1 where there is none.
    struct ListOffsetsPartitionResponse {
        partition_index: i32 [0..],
        error_code: ErrorCode [0..],
        timestamp: i64 [1..] = -1,
        offset: i64 [1..] = -1,
        /// Epoch of the record's leader; -1 where unknown.
        leader_epoch: i32 [4..] = -1,
    }
}
