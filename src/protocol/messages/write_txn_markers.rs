//! WriteTxnMarkers: how transactions have ended (KIP-98). From the transactions' coordinator to the leaders of their partitions.

use crate::protocol::{ErrorCode, ProducerId, TopicName};

message! {
    request 27 -> WriteTxnMarkersResponse, versions 1..=2, flexible 1.., listeners [broker];

    /// The markers to write.
    struct WriteTxnMarkersRequest {
        markers: Vec<WritableTxnMarker> [0..],
    }

    /// The end of one transaction.
    struct WritableTxnMarker {
        producer_id: ProducerId [0..],
        producer_epoch: i16 [0..],
        /// True for a commit.
        transaction_result: bool [0..],
        topics: Vec<WritableTxnMarkerTopic> [0..],
        coordinator_epoch: i32 [0..],
        /// 2 where each transaction has an epoch of its own (KIP-1228).
        transaction_version: i8 [2..] ignorable,
    }

    /// Some partitions of one topic.
    struct WritableTxnMarkerTopic {
        name: TopicName [0..],
        partition_indexes: Vec<i32> [0..],
    }
}

message! {
    response 27, versions 1..=2, flexible 1..;

    /// A verdict for each partition.
    struct WriteTxnMarkersResponse {
        markers: Vec<WritableTxnMarkerResult> [0..],
    }

    /// The verdicts for one producer.
    struct WritableTxnMarkerResult {
        producer_id: ProducerId [0..],
        topics: Vec<WritableTxnMarkerTopicResult> [0..],
    }

    /// One topic.
    struct WritableTxnMarkerTopicResult {
        name: TopicName [0..],
        partitions: Vec<WritableTxnMarkerPartitionResult> [0..],
    }

    /// One partition.
    struct WritableTxnMarkerPartitionResult {
        partition_index: i32 [0..],
        error_code: ErrorCode [0..],
    }
}
