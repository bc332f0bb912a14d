//! InitializeShareGroupState: begins to keep what a share group reads (KIP-932). From the group's coordinator to the share coordinator.

use crate::protocol::{ErrorCode, Str, Uuid};

message! {
    request 83 -> InitializeShareGroupStateResponse, versions 0..=0, flexible 0.., listeners [broker];

    /// The group, and where it starts.
    struct InitializeShareGroupStateRequest {
        group_id: Str [0..],
        topics: Vec<InitializeStateData> [0..],
    }

    /// One topic.
    struct InitializeStateData {
        topic_id: Uuid [0..],
        partitions: Vec<PartitionData> [0..],
    }

    /// One partition.
    struct PartitionData {
        partition: i32 [0..],
        state_epoch: i32 [0..],
        /// -1 where the share partition's leader is to find it.
        start_offset: i64 [0..],
    }
}

message! {
    response 83, versions 0..=0, flexible 0..;

    /// A verdict for each partition.
    struct InitializeShareGroupStateResponse {
        results: Vec<InitializeStateResult> [0..],
    }

    /// One topic.
    struct InitializeStateResult {
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
