//! Of what epoch the target assignment of a share group is: a record of `__consumer_offsets`.

use crate::protocol::Str;

message! {
    coordinator key 12, versions 0..=0;

    /// The group.
    struct ShareGroupTargetAssignmentMetadataKey {
        group_id: Str [0..=0],
    }
}

message! {
    coordinator value 12, versions 0..=0, flexible 0..;

    /// The epoch.
    struct ShareGroupTargetAssignmentMetadataValue {
        assignment_epoch: i32 [0..],
        /// When it was made (KIP-1263).
        assignment_timestamp: i64 [0.., tag 0] ignorable,
    }
}
