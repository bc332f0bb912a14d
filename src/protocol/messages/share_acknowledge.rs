//! ShareAcknowledge: what became of records got by ShareFetch (KIP-932). To the leader of each partition.

use crate::protocol::{BrokerId, ErrorCode, GroupId, Str, Uuid};

message! {
    request 79 -> ShareAcknowledgeResponse, versions 1..=2, flexible 0.., listeners [broker];

    /// The records.
    struct ShareAcknowledgeRequest {
        group_id: Option<GroupId> [0.., null 0..] = None,
        member_id: Option<Str> [0.., null 0..],
        /// Counts up from request to request; -1 closes the session. It cannot be opened here.
        share_session_epoch: i32 [0..],
        /// Are there records whose lock is to be renewed (KIP-1222)?
        is_renew_ack: bool [2..],
        topics: Vec<AcknowledgeTopic> [0..],
    }

    /// One topic.
    struct AcknowledgeTopic {
        topic_id: Uuid [0.., key],
        partitions: Vec<AcknowledgePartition> [0..],
    }

    /// One partition.
    struct AcknowledgePartition {
        partition_index: i32 [0.., key],
        acknowledgement_batches: Vec<AcknowledgementBatch> [0..],
    }

    /// Records next to one another.
    struct AcknowledgementBatch {
        first_offset: i64 [0..],
        last_offset: i64 [0..],
        /// 0 gap, 1 accept, 2 release, 3 reject, 4 renew: one for each record, or one for all of them.
        acknowledge_types: Vec<i8> [0..],
    }
}

message! {
    response 79, versions 1..=2, flexible 0..;

    /// A verdict for each partition.
    struct ShareAcknowledgeResponse {
        throttle_time_ms: i32 [0..],
        error_code: ErrorCode [0..],
        error_message: Option<Str> [0.., null 0..] = None,
        /// How long locks hold that were renewed.
        acquisition_lock_timeout_ms: i32 [2..] ignorable,
        responses: Vec<ShareAcknowledgeTopicResponse> [0..],
        node_endpoints: Vec<NodeEndpoint> [0..],
    }

    /// One topic.
    struct ShareAcknowledgeTopicResponse {
        topic_id: Uuid [0.., key],
        partitions: Vec<PartitionData> [0..],
    }

    /// One partition.
    struct PartitionData {
        partition_index: i32 [0..],
        error_code: ErrorCode [0..],
        error_message: Option<Str> [0.., null 0..] = None,
        current_leader: LeaderIdAndEpoch [0..],
    }

    /// Who leads now, when it is not the broker asked.
    struct LeaderIdAndEpoch {
        leader_id: i32 [0..],
        leader_epoch: i32 [0..],
    }

    /// Address of a broker that a partition names as its leader.
    struct NodeEndpoint {
        node_id: BrokerId [0.., key],
        host: Str [0..],
        port: i32 [0..],
        rack: Option<Str> [0.., null 0..] = None,
    }
}
