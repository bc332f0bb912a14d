//! BeginQuorumEpoch: a new leader of the metadata quorum makes itself known (KIP-595). From the leader to the other voters.

use crate::protocol::{BrokerId, ErrorCode, Str, TopicName, Uuid};

message! {
    request 53 -> BeginQuorumEpochResponse, versions 0..=1, flexible 1.., listeners [controller];

    /// Who leads from now on.
    struct BeginQuorumEpochRequest {
        cluster_id: Option<Str> [0.., null 0..] = None,
        /// The voter it is sent to.
        voter_id: BrokerId [1..] ignorable = BrokerId(-1),
        topics: Vec<TopicData> [0..],
        leader_endpoints: Vec<LeaderEndpoint> [1..] ignorable,
    }

    /// One topic; there is only that of the metadata.
    struct TopicData {
        topic_name: TopicName [0..],
        partitions: Vec<PartitionData> [0..],
    }

    /// One partition, its leader and the leader's epoch.
    struct PartitionData {
        partition_index: i32 [0..],
        voter_directory_id: Uuid [1..] ignorable,
        leader_id: BrokerId [0..],
        leader_epoch: i32 [0..],
    }

    /// Where the leader can be reached, by listener (KIP-853).
    struct LeaderEndpoint {
        name: Str [1.., key],
        host: Str [1..],
        port: u16 [1..],
    }
}

message! {
    response 53, versions 0..=1, flexible 1..;

    /// Acknowledged, or that there is a newer epoch.
    struct BeginQuorumEpochResponse {
        error_code: ErrorCode [0..],
        topics: Vec<TopicResult> [0..],
        node_endpoints: Vec<NodeEndpoint> [1.., tag 0],
    }

    /// One topic.
    struct TopicResult as "TopicData" {
        topic_name: TopicName [0..],
        partitions: Vec<PartitionResult> [0..],
    }

    /// One partition, with the leader that the voter knows of.
    struct PartitionResult as "PartitionData" {
        partition_index: i32 [0..],
        error_code: ErrorCode [0..],
        leader_id: BrokerId [0..],
        leader_epoch: i32 [0..],
    }

    /// Address of a node that a partition names as its leader.
    struct NodeEndpoint {
        node_id: BrokerId [1.., key],
        host: Str [1..],
        port: u16 [1..],
    }
}
