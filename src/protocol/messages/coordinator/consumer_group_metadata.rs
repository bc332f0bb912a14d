//! A group of the consumer protocol (KIP-848): a record of `__consumer_offsets`.

use crate::protocol::Str;

message! {
    coordinator key 3, versions 0..=0;

    /// The group.
    struct ConsumerGroupMetadataKey {
        group_id: Str [0..=0],
    }
}

message! {
    coordinator value 3, versions 0..=0, flexible 0..;

    /// Its epoch.
    struct ConsumerGroupMetadataValue {
        epoch: i32 [0..],
        /// Over the topics subscribed to: another hash, a new assignment (KIP-1101).
        metadata_hash: i64 [0.., tag 0],
    }
}
