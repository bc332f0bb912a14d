//! For which partitions the share coordinator keeps the state of a share group: a record of `__consumer_offsets`.

use crate::protocol::{Str, Uuid};

message! {
    coordinator key 15, versions 0..=0;

    /// The group.
    struct ShareGroupStatePartitionMetadataKey {
        group_id: Str [0..=0],
    }
}

message! {
    coordinator value 15, versions 0..=0, flexible 0..;

    /// The partitions, by how far that is.
    struct ShareGroupStatePartitionMetadataValue {
        initializing_topics: Vec<TopicPartitionsInfo> [0..],
        initialized_topics: Vec<TopicPartitionsInfo> [0..],
        deleting_topics: Vec<TopicInfo> [0..],
    }

    /// Some partitions of one topic.
    struct TopicPartitionsInfo {
        topic_id: Uuid [0..],
        topic_name: Str [0..],
        partitions: Vec<i32> [0..],
    }

    /// One topic.
    struct TopicInfo {
        topic_id: Uuid [0..],
        topic_name: Str [0..],
    }
}
