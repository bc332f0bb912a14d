//! Produce.

use crate::protocol::{BrokerId, ErrorCode, Records, Str, TopicName, TransactionalId, Uuid};

message! {
    request 0 -> ProduceResponse, versions 3..=13, flexible 9.., listeners [broker];

    /// Produce request.
    struct ProduceRequest {
        transactional_id: Option<TransactionalId> [3.., null 3..] = None,
        acks: i16 [0..],
        timeout_ms: i32 [0..],
        topic_data: Vec<TopicProduceData> [0..],
    }

    /// Topic produce data.
    struct TopicProduceData {
        name: TopicName [0..=12, key] ignorable,
        topic_id: Uuid [13.., key] ignorable,
        partition_data: Vec<PartitionProduceData> [0..],
    }

    /// Partition produce data.
    struct PartitionProduceData {
        index: i32 [0..],
        records: Option<Records> [0.., null 0..],
    }
}

message! {
    response 0, versions 3..=13, flexible 9..;

    /// Produce response.
    struct ProduceResponse {
        responses: Vec<TopicProduceResponse> [0..],
        throttle_time_ms: i32 [1..] ignorable,
        node_endpoints: Vec<NodeEndpoint> [10.., tag 0],
    }

    /// Topic produce response.
    struct TopicProduceResponse {
        name: TopicName [0..=12, key] ignorable,
        topic_id: Uuid [13.., key] ignorable,
        partition_responses: Vec<PartitionProduceResponse> [0..],
    }

    /// Partition produce response.
    struct PartitionProduceResponse {
        index: i32 [0..],
        error_code: ErrorCode [0..],
        base_offset: i64 [0..],
        log_append_time_ms: i64 [2..] ignorable = -1,
        log_start_offset: i64 [5..] ignorable = -1,
        record_errors: Vec<BatchIndexAndErrorMessage> [8..] ignorable,
        error_message: Option<Str> [8.., null 8..] ignorable = None,
        current_leader: LeaderIdAndEpoch [10.., tag 0],
    }

    /// Batch index and error message.
    struct BatchIndexAndErrorMessage {
        batch_index: i32 [8..],
        batch_index_error_message: Option<Str> [8.., null 8..] = None,
    }

    /// Leader id and epoch.
    struct LeaderIdAndEpoch {
        leader_id: BrokerId [10..] = BrokerId(-1),
        leader_epoch: i32 [10..] = -1,
    }

    /// Node endpoint.
    struct NodeEndpoint {
        node_id: BrokerId [10.., key],
        host: Str [10..],
        port: i32 [10..],
        rack: Option<Str> [10.., null 10..] = None,
    }
}
