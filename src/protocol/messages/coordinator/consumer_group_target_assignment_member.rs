//! What a member of a group of the consumer protocol shall have: a record of `__consumer_offsets`.

use crate::protocol::{Str, Uuid};

message! {
    coordinator key 7, versions 0..=0;

    /// Group and member.
    struct ConsumerGroupTargetAssignmentMemberKey {
        group_id: Str [0..=0],
        member_id: Str [0..=0],
    }
}

message! {
    coordinator value 7, versions 0..=0, flexible 0..;

    /// The partitions.
    struct ConsumerGroupTargetAssignmentMemberValue {
        topic_partitions: Vec<TopicPartition> [0..],
    }

    /// Some partitions of one topic.
    struct TopicPartition {
        topic_id: Uuid [0..],
        partitions: Vec<i32> [0..],
    }
}
