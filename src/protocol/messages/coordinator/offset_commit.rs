//! Where a group is in a partition: a record of `__consumer_offsets`, kept for groups of all kinds but share groups.

use crate::protocol::{Str, Uuid};

message! {
    coordinator key 1, versions 0..=0;

    /// Group, topic and partition.
    struct OffsetCommitKey {
        group: Str [0..=0, name "group"],
        topic: Str [0..=0, name "topic"],
        partition: i32 [0..=0, name "partition"],
    }
}

message! {
    coordinator value 1, versions 0..=4, flexible 4..;

    /// The offset and when it was committed.
    struct OffsetCommitValue {
        offset: i64 [0.., name "offset"],
        leader_epoch: i32 [3.., name "leaderEpoch"] ignorable = -1,
        metadata: Str [0.., name "metadata"],
        commit_timestamp: i64 [0.., name "commitTimestamp"],
        /// When it is forgotten; only version 1 has it, later ones leave that to the broker's retention.
        expire_timestamp: i64 [1..=1, name "expireTimestamp"] ignorable = -1,
        /// The topic's id then (KIP-1319).
        topic_id: Uuid [4.., tag 0, name "topicId"] ignorable,
    }
}
