//! OffsetDelete (KIP-496): what a group has committed for some partitions. To the group's coordinator, which refuses topics that
//! members subscribe to.

use crate::protocol::{ErrorCode, GroupId, TopicName};

message! {
    request 47 -> OffsetDeleteResponse, versions 0..=0, listeners [broker];

    /// The partitions whose offsets are to go.
    struct OffsetDeleteRequest {
        group_id: GroupId [0..],
        topics: Vec<OffsetDeleteRequestTopic> [0..],
    }

    /// Partitions of one topic.
    struct OffsetDeleteRequestTopic {
        name: TopicName [0.., key],
        partitions: Vec<OffsetDeleteRequestPartition> [0..],
    }

    /// One partition.
    struct OffsetDeleteRequestPartition {
        partition_index: i32 [0..],
    }
}

message! {
    response 47, versions 0..=0;

    /// A verdict on the group, and one for each partition.
    struct OffsetDeleteResponse {
        error_code: ErrorCode [0..],
        throttle_time_ms: i32 [0..] ignorable,
        topics: Vec<OffsetDeleteResponseTopic> [0..],
    }

    /// The verdicts for one topic's partitions.
    struct OffsetDeleteResponseTopic {
        name: TopicName [0.., key],
        partitions: Vec<OffsetDeleteResponsePartition> [0..],
    }

    /// The verdict for one partition.
    struct OffsetDeleteResponsePartition {
        partition_index: i32 [0.., key],
        error_code: ErrorCode [0..],
    }
}
