//! OffsetCommit: how far a group has come. To the coordinator.
//!
//! Generation -1 with an empty member id commits for a group that has no members. Topics have names up to version 9 and ids from 10 on.

use crate::protocol::{ErrorCode, GroupId, Str, TopicName, Uuid};

message! {
    request 8 -> OffsetCommitResponse, versions 2..=10, flexible 8.., listeners [broker];

    /// Who commits.
    struct OffsetCommitRequest {
        group_id: GroupId [0..],
        /// The generation in classic groups, the member epoch in those of KIP-848.
        generation_id_or_member_epoch: i32 [1..] ignorable = -1,
        member_id: Str [1..] ignorable,
        group_instance_id: Option<Str> [7.., null 7..] = None,
        /// -1 for the broker's own rule.
        retention_time_ms: i64 [2..=4] ignorable = -1,
        topics: Vec<OffsetCommitRequestTopic> [0..],
    }

    /// One topic.
    struct OffsetCommitRequestTopic {
        name: TopicName [0..=9] ignorable,
        topic_id: Uuid [10..] ignorable,
        partitions: Vec<OffsetCommitRequestPartition> [0..],
    }

    /// One partition, and where to go on reading.
    struct OffsetCommitRequestPartition {
        partition_index: i32 [0..],
        /// The next offset to read: one above the last that is done.
        committed_offset: i64 [0..],
        /// Epoch of the last record that is done; -1 where unknown.
        committed_leader_epoch: i32 [6..] ignorable = -1,
        /// Any text of the client.
        committed_metadata: Option<Str> [0.., null 0..],
    }
}

message! {
    response 8, versions 2..=10, flexible 8..;

    /// A verdict for each partition.
    struct OffsetCommitResponse {
        throttle_time_ms: i32 [3..] ignorable,
        topics: Vec<OffsetCommitResponseTopic> [0..],
    }

    /// One topic.
    struct OffsetCommitResponseTopic {
        name: TopicName [0..=9] ignorable,
        topic_id: Uuid [10..] ignorable,
        partitions: Vec<OffsetCommitResponsePartition> [0..],
    }

    /// The verdict for one partition.
    struct OffsetCommitResponsePartition {
        partition_index: i32 [0..],
        error_code: ErrorCode [0..],
    }
}
