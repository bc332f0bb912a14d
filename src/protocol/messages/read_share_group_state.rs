//! ReadShareGroupState: what a share group has read (KIP-932). From the share partition's leader to the share coordinator.

use crate::protocol::{ErrorCode, Str, Uuid};

message! {
    request 84 -> ReadShareGroupStateResponse, versions 0..=0, flexible 0.., listeners [broker];

    /// The group and the partitions.
    struct ReadShareGroupStateRequest {
        group_id: Str [0..],
        topics: Vec<ReadStateData> [0..],
    }

    /// One topic.
    struct ReadStateData {
        topic_id: Uuid [0..],
        partitions: Vec<PartitionData> [0..],
    }

    /// One partition.
    struct PartitionData {
        partition: i32 [0..],
        /// Of the share partition's leader: an older leader is refused from then on.
        leader_epoch: i32 [0..],
    }
}

message! {
    response 84, versions 0..=0, flexible 0..;

    /// The state of each partition.
    struct ReadShareGroupStateResponse {
        results: Vec<ReadStateResult> [0..],
    }

    /// One topic.
    struct ReadStateResult {
        topic_id: Uuid [0..],
        partitions: Vec<PartitionResult> [0..],
    }

    /// One partition.
    struct PartitionResult {
        partition: i32 [0..],
        error_code: ErrorCode [0..],
        error_message: Option<Str> [0.., null 0..] = None,
        state_epoch: i32 [0..],
        /// The first record that is not done with; -1 before anything is known.
        start_offset: i64 [0..],
        state_batches: Vec<StateBatch> [0..],
    }

    /// Records next to one another in the same state.
    struct StateBatch {
        first_offset: i64 [0..],
        last_offset: i64 [0..],
        /// 0 available, 2 acknowledged, 4 archived.
        delivery_state: i8 [0..],
        delivery_count: i16 [0..],
    }
}
