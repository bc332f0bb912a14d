//! ShareGroupDescribe: state and members of share groups (KIP-932). To each group's coordinator.

use crate::protocol::{ErrorCode, GroupId, Str, TopicName, Uuid};

message! {
    request 77 -> ShareGroupDescribeResponse, versions 1..=1, flexible 0.., listeners [broker];

    /// Asks for some groups, all of this coordinator.
    struct ShareGroupDescribeRequest {
        group_ids: Vec<GroupId> [0..],
        include_authorized_operations: bool [0..],
    }
}

message! {
    response 77, versions 1..=1, flexible 0..;

    /// The groups asked for.
    struct ShareGroupDescribeResponse {
        throttle_time_ms: i32 [0..],
        groups: Vec<DescribedGroup> [0..],
    }

    /// One group.
    struct DescribedGroup {
        error_code: ErrorCode [0..],
        error_message: Option<Str> [0.., null 0..] = None,
        group_id: GroupId [0..],
        group_state: Str [0..],
        group_epoch: i32 [0..],
        assignment_epoch: i32 [0..],
        assignor_name: Str [0..],
        members: Vec<Member> [0..],
        /// A set of bits; `i32::MIN` where it was not asked for.
        authorized_operations: i32 [0..] = i32::MIN,
    }

    /// One member.
    struct Member {
        member_id: Str [0..],
        rack_id: Option<Str> [0.., null 0..] = None,
        member_epoch: i32 [0..],
        client_id: Str [0..],
        client_host: Str [0..],
        subscribed_topic_names: Vec<TopicName> [0..],
        assignment: Assignment [0..],
    }

    /// What a member has.
    struct Assignment {
        topic_partitions: Vec<TopicPartitions> [0..],
    }

    /// Some partitions of one topic.
    struct TopicPartitions {
        topic_id: Uuid [0..],
        topic_name: TopicName [0..],
        partitions: Vec<i32> [0..],
    }
}
