//! Where a group is in a partition, as very old brokers wrote it to `__consumer_offsets`.

use crate::protocol::Str;

message! {
    coordinator key 0, versions 0..=0;

    /// Group, topic and partition.
    struct LegacyOffsetCommitKey {
        group: Str [0..=0, name "group"],
        topic: Str [0..=0, name "topic"],
        partition: i32 [0..=0, name "partition"],
    }
}

message! {
    coordinator value 0, versions 0..=0;

    /// The offset and when it was committed.
    struct LegacyOffsetCommitValue {
        offset: i64 [0..=0, name "offset"],
        metadata: Str [0..=0, name "metadata"],
        commit_timestamp: i64 [0..=0, name "commitTimestamp"],
    }
}
