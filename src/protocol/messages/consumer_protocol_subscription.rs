//! ConsumerProtocolSubscription.

use bytes::Bytes;

use crate::protocol::{Str, TopicName};

message! {
    data, versions 0..=3;

    /// Consumer protocol subscription.
    struct ConsumerProtocolSubscription {
        topics: Vec<Str> [0..],
        user_data: Option<Bytes> [0.., null 0..] = None,
        owned_partitions: Vec<TopicPartition> [1..] ignorable,
        generation_id: i32 [2..] ignorable = -1,
        rack_id: Option<Str> [3.., null 3..] ignorable = None,
    }

    /// Topic partition.
    struct TopicPartition {
        topic: TopicName [1.., key],
        partitions: Vec<i32> [1..],
    }
}
