//! What a member of a share group has: a record of `__consumer_offsets`.

use crate::protocol::{Str, Uuid};

message! {
    coordinator key 14, versions 0..=0;

    /// Group and member.
    struct ShareGroupCurrentMemberAssignmentKey {
        group_id: Str [0..=0],
        member_id: Str [0..=0],
    }
}

message! {
    coordinator value 14, versions 0..=0, flexible 0..;

    /// Epoch, state and partitions.
    struct ShareGroupCurrentMemberAssignmentValue {
        member_epoch: i32 [0..],
        /// A member that lost the answer with its new epoch comes back with this one.
        previous_member_epoch: i32 [0..],
        state: i8 [0..],
        assigned_partitions: Vec<TopicPartitions> [0..],
    }

    /// Some partitions of one topic.
    struct TopicPartitions {
        topic_id: Uuid [0..],
        partitions: Vec<i32> [0..],
    }
}
