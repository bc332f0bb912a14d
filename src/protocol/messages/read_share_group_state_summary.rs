//! ReadShareGroupStateSummary: where a share group is, without what becomes of single records (KIP-932). From the group's coordinator
//! to the share coordinator.

use crate::protocol::{ErrorCode, Str, Uuid};

message! {
    request 87 -> ReadShareGroupStateSummaryResponse, versions 0..=1, flexible 0.., listeners [broker];

    /// The group and the partitions.
    struct ReadShareGroupStateSummaryRequest {
        group_id: Str [0..],
        topics: Vec<ReadStateSummaryData> [0..],
    }

    /// One topic.
    struct ReadStateSummaryData {
        topic_id: Uuid [0..],
        partitions: Vec<PartitionData> [0..],
    }

    /// One partition.
    struct PartitionData {
        partition: i32 [0..],
        leader_epoch: i32 [0..],
    }
}

message! {
    response 87, versions 0..=1, flexible 0..;

    /// The state of each partition.
    struct ReadShareGroupStateSummaryResponse {
        results: Vec<ReadStateSummaryResult> [0..],
    }

    /// One topic.
    struct ReadStateSummaryResult {
        topic_id: Uuid [0..],
        partitions: Vec<PartitionResult> [0..],
    }

    /// One partition.
    struct PartitionResult {
        partition: i32 [0..],
        error_code: ErrorCode [0..],
        error_message: Option<Str> [0.., null 0..] = None,
        state_epoch: i32 [0..],
        leader_epoch: i32 [0..],
        /// The first record that is not done with; -1 before anything is known.
        start_offset: i64 [0..],
        /// Records from there on that are done with (KIP-1226); -1 where unknown.
        delivery_complete_count: i32 [1..] ignorable = -1,
    }
}
