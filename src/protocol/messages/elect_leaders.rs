//! ElectLeaders: new leaders for partitions (KIP-460). Any broker takes it and forwards it to the controller.

use crate::protocol::{ErrorCode, Str, TopicName};

message! {
    request 43 -> ElectLeadersResponse, versions 0..=2, flexible 2.., listeners [broker, controller];

    /// The kind of election and the partitions.
    struct ElectLeadersRequest {
        /// 0 the preferred replica; 1, if none is in sync, the first one alive, at the price of lost records.
        election_type: i8 [1..],
        /// Null for all.
        topic_partitions: Option<Vec<TopicPartitions>> [0.., null 0..],
        timeout_ms: i32 [0..] = 60000,
    }

    /// Some partitions of one topic.
    struct TopicPartitions {
        topic: TopicName [0.., key],
        partitions: Vec<i32> [0..],
    }
}

message! {
    response 43, versions 0..=2, flexible 2..;

    /// A verdict for each partition. ELECTION_NOT_NEEDED where it already has that leader.
    struct ElectLeadersResponse {
        throttle_time_ms: i32 [0..],
        error_code: ErrorCode [1..],
        replica_election_results: Vec<ReplicaElectionResult> [0..],
    }

    /// One topic.
    struct ReplicaElectionResult {
        topic: TopicName [0..],
        partition_result: Vec<PartitionResult> [0..],
    }

    /// One partition.
    struct PartitionResult {
        partition_id: i32 [0..],
        error_code: ErrorCode [0..],
        error_message: Option<Str> [0.., null 0..],
    }
}
