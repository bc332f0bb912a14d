//! DescribeQuorum: who votes and who follows in the metadata quorum, and how far they are (KIP-595). To any broker, which forwards it,
//! or to the active controller.

use crate::protocol::{BrokerId, ErrorCode, Str, TopicName, Uuid};

message! {
    request 55 -> DescribeQuorumResponse, versions 0..=2, flexible 0.., listeners [broker, controller];

    /// The partitions; there is only one, that of the metadata.
    struct DescribeQuorumRequest {
        topics: Vec<TopicData> [0..],
    }

    /// One topic.
    struct TopicData {
        topic_name: TopicName [0..],
        partitions: Vec<PartitionData> [0..],
    }

    /// One partition.
    struct PartitionData {
        partition_index: i32 [0..],
    }
}

message! {
    response 55, versions 0..=2, flexible 0..;

    /// The quorum.
    struct DescribeQuorumResponse {
        error_code: ErrorCode [0..],
        error_message: Option<Str> [2.., null 2..] ignorable,
        topics: Vec<TopicResult> [0..],
        nodes: Vec<Node> [2..],
    }

    /// One topic.
    struct TopicResult as "TopicData" {
        topic_name: TopicName [0..],
        partitions: Vec<PartitionResult> [0..],
    }

    /// One partition, as its leader has it.
    struct PartitionResult as "PartitionData" {
        partition_index: i32 [0..],
        error_code: ErrorCode [0..],
        error_message: Option<Str> [2.., null 2..] ignorable,
        leader_id: BrokerId [0..],
        leader_epoch: i32 [0..],
        high_watermark: i64 [0..],
        current_voters: Vec<ReplicaState> [0..],
        observers: Vec<ReplicaState> [0..],
    }

    /// A voter or an observer.
    struct ReplicaState {
        replica_id: BrokerId [0..],
        replica_directory_id: Uuid [2..],
        /// -1 where unknown.
        log_end_offset: i64 [0..],
        /// When it last fetched, by the leader's clock; -1 for the leader and where unknown (KIP-836).
        last_fetch_timestamp: i64 [1..] ignorable = -1,
        /// When it last had all there was; now for the leader, -1 where unknown (KIP-836).
        last_caught_up_timestamp: i64 [1..] ignorable = -1,
    }

    /// Addresses of a node (KIP-853).
    struct Node {
        node_id: BrokerId [2.., key],
        listeners: Vec<Listener> [2..],
    }

    /// Where it can be reached.
    struct Listener {
        name: Str [2.., key],
        host: Str [2..],
        port: u16 [2..],
    }
}
