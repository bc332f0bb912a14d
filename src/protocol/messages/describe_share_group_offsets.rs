//! DescribeShareGroupOffsets: how far share groups are (KIP-932). To each group's coordinator.

use crate::protocol::{ErrorCode, GroupId, Str, TopicName, Uuid};

message! {
    request 90 -> DescribeShareGroupOffsetsResponse, versions 0..=1, flexible 0.., listeners [broker];

    /// The groups.
    struct DescribeShareGroupOffsetsRequest {
        groups: Vec<DescribeShareGroupOffsetsRequestGroup> [0..],
    }

    /// One group.
    struct DescribeShareGroupOffsetsRequestGroup {
        group_id: GroupId [0..],
        /// Null for all it has.
        topics: Option<Vec<DescribeShareGroupOffsetsRequestTopic>> [0.., null 0..],
    }

    /// One topic.
    struct DescribeShareGroupOffsetsRequestTopic {
        topic_name: TopicName [0..],
        partitions: Vec<i32> [0..],
    }
}

message! {
    response 90, versions 0..=1, flexible 0..;

    /// Offsets, group by group.
    struct DescribeShareGroupOffsetsResponse {
        throttle_time_ms: i32 [0..],
        groups: Vec<DescribeShareGroupOffsetsResponseGroup> [0..],
    }

    /// One group.
    struct DescribeShareGroupOffsetsResponseGroup {
        group_id: GroupId [0..],
        topics: Vec<DescribeShareGroupOffsetsResponseTopic> [0..],
        error_code: ErrorCode [0..],
        error_message: Option<Str> [0.., null 0..] = None,
    }

    /// One topic.
    struct DescribeShareGroupOffsetsResponseTopic {
        topic_name: TopicName [0..],
        topic_id: Uuid [0..],
        partitions: Vec<DescribeShareGroupOffsetsResponsePartition> [0..],
    }

    /// One partition.
    struct DescribeShareGroupOffsetsResponsePartition {
        partition_index: i32 [0..],
        /// The first record that is not done with; -1 where the group has not begun.
        start_offset: i64 [0..],
        leader_epoch: i32 [0..],
        /// Records still to be delivered (KIP-1226); -1 where unknown.
        lag: i64 [1..] ignorable = -1,
        error_code: ErrorCode [0..],
        error_message: Option<Str> [0.., null 0..] = None,
    }
}
