//! What a member of a group of the consumer protocol has: a record of `__consumer_offsets`.

use crate::protocol::{Str, Uuid};

message! {
    coordinator key 8, versions 0..=0;

    /// Group and member.
    struct ConsumerGroupCurrentMemberAssignmentKey {
        group_id: Str [0..=0],
        member_id: Str [0..=0],
    }
}

message! {
    coordinator value 8, versions 0..=0, flexible 0..;

    /// Epoch, state and partitions.
    struct ConsumerGroupCurrentMemberAssignmentValue {
        member_epoch: i32 [0..],
        /// A member that lost the answer with its new epoch comes back with this one.
        previous_member_epoch: i32 [0..],
        state: i8 [0..],
        assigned_partitions: Vec<TopicPartitions> [0..],
        partitions_pending_revocation: Vec<TopicPartitions> [0..],
    }

    /// Some partitions of one topic.
    struct TopicPartitions {
        topic_id: Uuid [0..],
        partitions: Vec<i32> [0..],
        /// For each partition the epoch in which the member got it: a commit of before that is refused.
        assignment_epochs: Option<Vec<i32>> [0.., null 0.., tag 0],
    }
}
