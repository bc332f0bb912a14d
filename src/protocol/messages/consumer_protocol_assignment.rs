//! What a group's leader assigns to one member: the bytes inside SyncGroup, for protocol type `consumer`.
//!
//! On the wire it follows its version, an i16. Readers take a version above their own for their own: later ones only append.

use bytes::Bytes;

use crate::protocol::TopicName;

message! {
    data, versions 0..=3;

    /// The partitions of one member.
    struct ConsumerProtocolAssignment {
        assigned_partitions: Vec<TopicPartition> [0..],
        /// The assignor's own; the built-in ones leave it null.
        user_data: Option<Bytes> [0.., null 0..] = None,
    }

    /// Some partitions of one topic.
    struct TopicPartition {
        topic: TopicName [0.., key],
        partitions: Vec<i32> [0..],
    }
}
