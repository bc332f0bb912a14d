//! Produce: record batches, to the leader of each partition.
//!
//! With acks 0 the broker does not answer at all: there is no response to wait for. A partition appears at most once in a request and
//! holds exactly one batch. Topics have names up to version 12 and ids from 13 on.

use crate::protocol::{BrokerId, ErrorCode, Records, Str, TopicName, TransactionalId, Uuid};

message! {
    request 0 -> ProduceResponse, versions 3..=13, flexible 9.., listeners [broker];

    /// The batches.
    struct ProduceRequest {
        transactional_id: Option<TransactionalId> [3.., null 3..] = None,
        /// 0 none, 1 the leader, -1 all in-sync replicas; idempotent batches need -1.
        acks: i16 [0..],
        /// How long the leader may wait for the replicas.
        timeout_ms: i32 [0..],
        topic_data: Vec<TopicProduceData> [0..],
    }

    /// One topic.
    struct TopicProduceData {
        name: TopicName [0..=12, key] ignorable,
        topic_id: Uuid [13.., key] ignorable,
        partition_data: Vec<PartitionProduceData> [0..],
    }

    /// One partition, and its batch.
    struct PartitionProduceData {
        index: i32 [0..],
        records: Option<Records> [0.., null 0..],
    }
}

message! {
    response 0, versions 3..=13, flexible 9..;

    /// A verdict for each partition.
    struct ProduceResponse {
        responses: Vec<TopicProduceResponse> [0..],
        throttle_time_ms: i32 [1..] ignorable,
        node_endpoints: Vec<NodeEndpoint> [10.., tag 0],
    }

    /// One topic.
    struct TopicProduceResponse {
        name: TopicName [0..=12, key] ignorable,
        topic_id: Uuid [13.., key] ignorable,
        partition_responses: Vec<PartitionProduceResponse> [0..],
    }

    /// The verdict for one partition: where the batch went, or why not.
    struct PartitionProduceResponse {
        index: i32 [0..],
        error_code: ErrorCode [0..],
        /// Offset of the first record; -1 where unknown.
        base_offset: i64 [0..],
        /// -1 unless the topic's records carry the time they were appended.
        log_append_time_ms: i64 [2..] ignorable = -1,
        /// The earliest offset the partition has.
        log_start_offset: i64 [5..] ignorable = -1,
        record_errors: Vec<BatchIndexAndErrorMessage> [8..] ignorable,
        error_message: Option<Str> [8.., null 8..] ignorable = None,
        current_leader: LeaderIdAndEpoch [10.., tag 0],
    }

    /// A record that is the reason for its batch being refused (KIP-467).
    struct BatchIndexAndErrorMessage {
        /// Place of the record in its batch, from 0.
        batch_index: i32 [8..],
        batch_index_error_message: Option<Str> [8.., null 8..] = None,
    }

    /// Who leads now, when it is not the broker asked (KIP-951); -1 where nothing is said.
    struct LeaderIdAndEpoch {
        leader_id: BrokerId [10..] = BrokerId(-1),
        leader_epoch: i32 [10..] = -1,
    }

    /// Address of a broker that a partition names as its leader.
    struct NodeEndpoint {
        node_id: BrokerId [10.., key],
        host: Str [10..],
        port: i32 [10..],
        rack: Option<Str> [10.., null 10..] = None,
    }
}
