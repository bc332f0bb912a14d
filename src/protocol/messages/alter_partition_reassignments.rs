//! AlterPartitionReassignments: moves replicas to other brokers, or stops such a move (KIP-455). Any broker takes it and forwards it to
//! the controller.
//!
//! A success says that the move was accepted; ListPartitionReassignments tells how far it is.

use crate::protocol::{BrokerId, ErrorCode, Str, TopicName};

message! {
    request 45 -> AlterPartitionReassignmentsResponse, versions 0..=1, flexible 0.., listeners [broker, controller];

    /// Where the replicas are to be.
    struct AlterPartitionReassignmentsRequest {
        timeout_ms: i32 [0..] = 60000,
        /// False refuses a list of another length than the present one (KIP-860).
        allow_replication_factor_change: bool [1..] = true,
        topics: Vec<ReassignableTopic> [0..],
    }

    /// One topic.
    struct ReassignableTopic {
        name: TopicName [0..],
        partitions: Vec<ReassignablePartition> [0..],
    }

    /// One partition.
    struct ReassignablePartition {
        partition_index: i32 [0..],
        /// The first is the preferred leader. Null stops a move that is under way.
        replicas: Option<Vec<BrokerId>> [0.., null 0..] = None,
    }
}

message! {
    response 45, versions 0..=1, flexible 0..;

    /// A verdict for each partition.
    struct AlterPartitionReassignmentsResponse {
        throttle_time_ms: i32 [0..],
        allow_replication_factor_change: bool [1..] ignorable = true,
        error_code: ErrorCode [0..],
        error_message: Option<Str> [0.., null 0..],
        responses: Vec<ReassignableTopicResponse> [0..],
    }

    /// One topic.
    struct ReassignableTopicResponse {
        name: TopicName [0..],
        partitions: Vec<ReassignablePartitionResponse> [0..],
    }

    /// One partition.
    struct ReassignablePartitionResponse {
        partition_index: i32 [0..],
        error_code: ErrorCode [0..],
        error_message: Option<Str> [0.., null 0..],
    }
}
