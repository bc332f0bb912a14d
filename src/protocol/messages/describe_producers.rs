//! DescribeProducers: the producers that a partition remembers (KIP-664). To the leader of each partition.

use crate::protocol::{ErrorCode, ProducerId, Str, TopicName};

message! {
    request 61 -> DescribeProducersResponse, versions 0..=0, flexible 0.., listeners [broker];

    /// The partitions.
    struct DescribeProducersRequest {
        topics: Vec<TopicRequest> [0..],
    }

    /// One topic.
    struct TopicRequest {
        name: TopicName [0.., key],
        partition_indexes: Vec<i32> [0..],
    }
}

message! {
    response 61, versions 0..=0, flexible 0..;

    /// Producers by partition.
    struct DescribeProducersResponse {
        throttle_time_ms: i32 [0..],
        topics: Vec<TopicResponse> [0..],
    }

    /// One topic.
    struct TopicResponse {
        name: TopicName [0..],
        partitions: Vec<PartitionResponse> [0..],
    }

    /// One partition.
    struct PartitionResponse {
        partition_index: i32 [0..],
        error_code: ErrorCode [0..],
        error_message: Option<Str> [0.., null 0..] = None,
        active_producers: Vec<ProducerState> [0..],
    }

    /// One producer.
    struct ProducerState {
        producer_id: ProducerId [0..],
        producer_epoch: i32 [0..],
        last_sequence: i32 [0..] = -1,
        last_timestamp: i64 [0..] = -1,
        coordinator_epoch: i32 [0..],
        /// Where its open transaction begins; -1 without one.
        current_txn_start_offset: i64 [0..] = -1,
    }
}
