//! WriteShareGroupState: what a share group has read (KIP-932). From the share partition's leader to the share coordinator.

use crate::protocol::{ErrorCode, Str, Uuid};

message! {
    request 85 -> WriteShareGroupStateResponse, versions 0..=1, flexible 0.., listeners [broker];

    /// The group and what is new.
    struct WriteShareGroupStateRequest {
        group_id: Str [0..],
        topics: Vec<WriteStateData> [0..],
    }

    /// One topic.
    struct WriteStateData {
        topic_id: Uuid [0..],
        partitions: Vec<PartitionData> [0..],
    }

    /// One partition.
    struct PartitionData {
        partition: i32 [0..],
        state_epoch: i32 [0..],
        leader_epoch: i32 [0..],
        /// -1 where it stays.
        start_offset: i64 [0..],
        /// Records from there on that are done with (KIP-1226).
        delivery_complete_count: i32 [1..] ignorable = -1,
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

message! {
    response 85, versions 0..=1, flexible 0..;

    /// A verdict for each partition.
    struct WriteShareGroupStateResponse {
        results: Vec<WriteStateResult> [0..],
    }

    /// One topic.
    struct WriteStateResult {
        topic_id: Uuid [0..],
        partitions: Vec<PartitionResult> [0..],
    }

    /// One partition.
    struct PartitionResult {
        partition: i32 [0..],
        error_code: ErrorCode [0..],
        error_message: Option<Str> [0.., null 0..] = None,
    }
}
