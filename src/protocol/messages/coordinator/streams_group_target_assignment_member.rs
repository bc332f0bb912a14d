//! What a member of a group of Kafka Streams shall have: a record of `__consumer_offsets`.

use crate::protocol::Str;

message! {
    coordinator key 21, versions 0..=0;

    /// Group and member.
    struct StreamsGroupTargetAssignmentMemberKey {
        group_id: Str [0..=0],
        member_id: Str [0..=0],
    }
}

message! {
    coordinator value 21, versions 0..=0, flexible 0..;

    /// The tasks.
    struct StreamsGroupTargetAssignmentMemberValue {
        active_tasks: Vec<TaskIds> [0..],
        standby_tasks: Vec<TaskIds> [0..],
        warmup_tasks: Vec<TaskIds> [0..],
    }

    /// Some tasks of one subtopology.
    struct TaskIds {
        subtopology_id: Str [0..],
        partitions: Vec<i32> [0..],
    }
}
