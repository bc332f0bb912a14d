//! What a member of a group of Kafka Streams has: a record of `__consumer_offsets`.

use crate::protocol::Str;

message! {
    coordinator key 22, versions 0..=0;

    /// Group and member.
    struct StreamsGroupCurrentMemberAssignmentKey {
        group_id: Str [0..=0],
        member_id: Str [0..=0],
    }
}

message! {
    coordinator value 22, versions 0..=0, flexible 0..;

    /// Epoch, state and tasks.
    struct StreamsGroupCurrentMemberAssignmentValue {
        member_epoch: i32 [0..],
        /// A member that lost the answer with its new epoch comes back with this one.
        previous_member_epoch: i32 [0..],
        state: i8 [0..],
        active_tasks: Vec<TaskIds> [0..],
        standby_tasks: Vec<TaskIds> [0..],
        warmup_tasks: Vec<TaskIds> [0..],
        active_tasks_pending_revocation: Vec<TaskIds> [0..],
        standby_tasks_pending_revocation: Vec<TaskIds> [0..],
        warmup_tasks_pending_revocation: Vec<TaskIds> [0..],
    }

    /// Some tasks of one subtopology.
    struct TaskIds {
        subtopology_id: Str [0..],
        partitions: Vec<i32> [0..],
        /// For each active task the epoch in which the member got it: a commit of before that is refused.
        assignment_epochs: Option<Vec<i32>> [0.., null 0.., tag 0],
    }
}
