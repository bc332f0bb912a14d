//! A share group (KIP-932): a record of `__consumer_offsets`.

use crate::protocol::Str;

message! {
    coordinator key 11, versions 0..=0;

    /// The group.
    struct ShareGroupMetadataKey {
        group_id: Str [0..=0],
    }
}

message! {
    coordinator value 11, versions 0..=0, flexible 0..;

    /// Its epoch.
    struct ShareGroupMetadataValue {
        epoch: i32 [0..],
        /// Over the topics subscribed to: another hash, a new assignment.
        metadata_hash: i64 [0..],
    }
}
