//! ListPartitionReassignments: moves of replicas that are under way (KIP-455). Any broker takes it and forwards it to the controller.

use crate::protocol::{BrokerId, ErrorCode, Str, TopicName};

message! {
    request 46 -> ListPartitionReassignmentsResponse, versions 0..=0, flexible 0.., listeners [broker, controller];

    /// Which partitions.
    struct ListPartitionReassignmentsRequest {
        timeout_ms: i32 [0..] = 60000,
        /// Null for all.
        topics: Option<Vec<ListPartitionReassignmentsTopics>> [0.., null 0..] = None,
    }

    /// Some partitions of one topic.
    struct ListPartitionReassignmentsTopics {
        name: TopicName [0..],
        partition_indexes: Vec<i32> [0..],
    }
}

message! {
    response 46, versions 0..=0, flexible 0..;

    /// Partitions with a move.
    struct ListPartitionReassignmentsResponse {
        throttle_time_ms: i32 [0..],
        error_code: ErrorCode [0..],
        error_message: Option<Str> [0.., null 0..],
        topics: Vec<OngoingTopicReassignment> [0..],
    }

    /// One topic.
    struct OngoingTopicReassignment {
        name: TopicName [0..],
        partitions: Vec<OngoingPartitionReassignment> [0..],
    }

    /// One partition.
    struct OngoingPartitionReassignment {
        partition_index: i32 [0..],
        /// All of them, those that come and those that go included.
        replicas: Vec<BrokerId> [0..],
        adding_replicas: Vec<BrokerId> [0..],
        removing_replicas: Vec<BrokerId> [0..],
    }
}
