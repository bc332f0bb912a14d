//! Of what epoch the target assignment of a group of the consumer protocol is: a record of `__consumer_offsets`.

use crate::protocol::Str;

message! {
    coordinator key 6, versions 0..=0;

    /// The group.
    struct ConsumerGroupTargetAssignmentMetadataKey {
        group_id: Str [0..=0],
    }
}

message! {
    coordinator value 6, versions 0..=0, flexible 0..;

    /// The epoch.
    struct ConsumerGroupTargetAssignmentMetadataValue {
        assignment_epoch: i32 [0..],
        /// When it was made (KIP-1263).
        assignment_timestamp: i64 [0.., tag 0] ignorable,
    }
}
