//! Topics that a group of the consumer protocol subscribes to: a record of `__consumer_offsets` that a hash in ConsumerGroupMetadata
//! took the place of (KIP-1101).

use crate::protocol::{Str, Uuid};

message! {
    coordinator key 4, versions 0..=0;

    /// The group.
    struct ConsumerGroupPartitionMetadataKey {
        group_id: Str [0..=0],
    }
}

message! {
    coordinator value 4, versions 0..=0, flexible 0..;

    /// The topics as they were when it was written.
    struct ConsumerGroupPartitionMetadataValue {
        topics: Vec<TopicMetadata> [0..],
    }

    /// One topic.
    struct TopicMetadata {
        topic_id: Uuid [0..],
        topic_name: Str [0..],
        num_partitions: i32 [0..],
        partition_metadata: Vec<PartitionMetadata> [0..],
    }

    /// The racks that one partition has replicas in.
    struct PartitionMetadata {
        partition: i32 [0..],
        racks: Vec<Str> [0..],
    }
}
