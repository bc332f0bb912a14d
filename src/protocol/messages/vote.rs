//! Vote: a candidate asks for a vote in the metadata quorum (KIP-595). From candidates to the other voters.

use crate::protocol::{BrokerId, ErrorCode, Str, TopicName, Uuid};

message! {
    request 52 -> VoteResponse, versions 0..=2, flexible 0.., listeners [controller];

    /// Who stands for election.
    struct VoteRequest {
        cluster_id: Option<Str> [0.., null 0..] = None,
        /// The voter it is sent to.
        voter_id: BrokerId [1..] ignorable = BrokerId(-1),
        topics: Vec<TopicData> [0..],
    }

    /// One topic; there is only that of the metadata.
    struct TopicData {
        topic_name: TopicName [0..],
        partitions: Vec<PartitionData> [0..],
    }

    /// One partition: the candidate, and how far its log is.
    struct PartitionData {
        partition_index: i32 [0..],
        replica_epoch: i32 [0..],
        replica_id: BrokerId [0..],
        replica_directory_id: Uuid [1..] ignorable,
        voter_directory_id: Uuid [1..] ignorable,
        last_offset_epoch: i32 [0..],
        last_offset: i64 [0..],
        /// Only asks how the vote would be, without raising the epoch (KIP-996).
        pre_vote: bool [2..],
    }
}

message! {
    response 52, versions 0..=2, flexible 0..;

    /// The votes.
    struct VoteResponse {
        error_code: ErrorCode [0..],
        topics: Vec<TopicResult> [0..],
        node_endpoints: Vec<NodeEndpoint> [1.., tag 0],
    }

    /// One topic.
    struct TopicResult as "TopicData" {
        topic_name: TopicName [0..],
        partitions: Vec<PartitionResult> [0..],
    }

    /// One partition: the vote, and the leader that the voter knows of.
    struct PartitionResult as "PartitionData" {
        partition_index: i32 [0..],
        error_code: ErrorCode [0..],
        leader_id: BrokerId [0..],
        leader_epoch: i32 [0..],
        vote_granted: bool [0..],
    }

    /// Address of a node that a partition names as its leader.
    struct NodeEndpoint {
        node_id: BrokerId [1.., key],
        host: Str [1..],
        port: u16 [1..],
    }
}
