//! ConsumerProtocolAssignment.

use bytes::Bytes;

use crate::protocol::TopicName;

message! {
    data, versions 0..=3;

    /// Consumer protocol assignment.
    struct ConsumerProtocolAssignment {
        assigned_partitions: Vec<TopicPartition> [0..],
        user_data: Option<Bytes> [0.., null 0..] = None,
    }

    /// Topic partition.
    struct TopicPartition {
        topic: TopicName [0.., key],
        partitions: Vec<i32> [0..],
    }
}
