//! ShareFetch: records for a member of a share group, and what became of earlier ones (KIP-932). To the leader of each partition.
//!
//! Records that are sent are locked for the member: it has to acknowledge them, here or by ShareAcknowledge, before the lock runs out.

use crate::protocol::{BrokerId, ErrorCode, GroupId, Records, Str, Uuid};

message! {
    request 78 -> ShareFetchResponse, versions 1..=2, flexible 0.., listeners [broker];

    /// How much to send, of what; and acknowledgements.
    struct ShareFetchRequest {
        group_id: Option<GroupId> [0.., null 0..] = None,
        member_id: Option<Str> [0.., null 0..],
        /// 0 opens a session, -1 closes it, else it counts up from request to request.
        share_session_epoch: i32 [0..],
        max_wait_ms: i32 [0..],
        min_bytes: i32 [0..],
        max_bytes: i32 [0..] = i32::MAX,
        /// Batches are not split for it, so there may be more.
        max_records: i32 [1..],
        /// How many records a batch of those acquired had best have.
        batch_size: i32 [1..],
        /// 0 whole batches, 1 exactly `max_records` (KIP-1206).
        share_acquire_mode: i8 [2..] ignorable,
        /// Are there records whose lock is to be renewed (KIP-1222)? Then nothing is fetched.
        is_renew_ack: bool [2..],
        topics: Vec<FetchTopic> [0..],
        forgotten_topics_data: Vec<ForgottenTopic> [0..],
    }

    /// One topic.
    struct FetchTopic {
        topic_id: Uuid [0.., key],
        partitions: Vec<FetchPartition> [0..],
    }

    /// One partition.
    struct FetchPartition {
        partition_index: i32 [0.., key],
        /// In no version that is still spoken.
        partition_max_bytes: i32 [0..=0],
        acknowledgement_batches: Vec<AcknowledgementBatch> [0..],
    }

    /// Records next to one another.
    struct AcknowledgementBatch {
        first_offset: i64 [0..],
        last_offset: i64 [0..],
        /// 0 gap, 1 accept, 2 release, 3 reject, 4 renew: one for each record, or one for all of them.
        acknowledge_types: Vec<i8> [0..],
    }

    /// Partitions that leave the session.
    struct ForgottenTopic {
        topic_id: Uuid [0..],
        partitions: Vec<i32> [0..],
    }
}

message! {
    response 78, versions 1..=2, flexible 0..;

    /// Records, and verdicts on the acknowledgements.
    struct ShareFetchResponse {
        throttle_time_ms: i32 [0..],
        error_code: ErrorCode [0..],
        error_message: Option<Str> [0.., null 0..] = None,
        /// How long the records are locked for the member.
        acquisition_lock_timeout_ms: i32 [1..],
        responses: Vec<ShareFetchableTopicResponse> [0..],
        node_endpoints: Vec<NodeEndpoint> [0..],
    }

    /// One topic.
    struct ShareFetchableTopicResponse {
        topic_id: Uuid [0.., key],
        partitions: Vec<PartitionData> [0..],
    }

    /// One partition.
    struct PartitionData {
        partition_index: i32 [0..],
        error_code: ErrorCode [0..],
        error_message: Option<Str> [0.., null 0..] = None,
        acknowledge_error_code: ErrorCode [0..],
        acknowledge_error_message: Option<Str> [0.., null 0..] = None,
        current_leader: LeaderIdAndEpoch [0..],
        /// More than were acquired, perhaps: only those in `acquired_records` are the member's.
        records: Option<Records> [0.., null 0..=0],
        acquired_records: Vec<AcquiredRecords> [0..],
    }

    /// Who leads now, when it is not the broker asked.
    struct LeaderIdAndEpoch {
        leader_id: i32 [0..],
        leader_epoch: i32 [0..],
    }

    /// Records that are locked for the member.
    struct AcquiredRecords {
        first_offset: i64 [0..],
        last_offset: i64 [0..],
        /// How often they have been delivered, this time included.
        delivery_count: i16 [0..],
    }

    /// Address of a broker that a partition names as its leader.
    struct NodeEndpoint {
        node_id: BrokerId [0.., key],
        host: Str [0..],
        port: i32 [0..],
        rack: Option<Str> [0.., null 0..] = None,
    }
}
