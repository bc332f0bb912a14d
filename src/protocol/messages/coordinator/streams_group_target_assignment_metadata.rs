//! Of what epoch the target assignment of a group of Kafka Streams is: a record of `__consumer_offsets`.

use crate::protocol::Str;

message! {
    coordinator key 20, versions 0..=0;

    /// The group.
    struct StreamsGroupTargetAssignmentMetadataKey {
        group_id: Str [0..=0],
    }
}

message! {
    coordinator value 20, versions 0..=0, flexible 0..;

    /// The epoch.
    struct StreamsGroupTargetAssignmentMetadataValue {
        assignment_epoch: i32 [0..],
        /// When it was made (KIP-1263).
        assignment_timestamp: i64 [0.., tag 0] ignorable,
    }
}
