//! DeleteShareGroupState: forgets what a share group has read (KIP-932). From the group's coordinator to the share coordinator.

use crate::protocol::{ErrorCode, Str, Uuid};

message! {
    request 86 -> DeleteShareGroupStateResponse, versions 0..=0, flexible 0.., listeners [broker];

    /// The group and the partitions.
    struct DeleteShareGroupStateRequest {
        group_id: Str [0..],
        topics: Vec<DeleteStateData> [0..],
    }

    /// One topic.
    struct DeleteStateData {
        topic_id: Uuid [0..],
        partitions: Vec<PartitionData> [0..],
    }

    /// One partition.
    struct PartitionData {
        partition: i32 [0..],
    }
}

message! {
    response 86, versions 0..=0, flexible 0..;

    /// A verdict for each partition.
    struct DeleteShareGroupStateResponse {
        results: Vec<DeleteStateResult> [0..],
    }

    /// One topic.
    struct DeleteStateResult {
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
