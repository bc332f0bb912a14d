//! AddPartitionsToTxn: partitions that a transaction will write to. To the transaction's coordinator.
//!
//! Clients use versions up to 3, one transaction a request. Versions from 4 on are for brokers, which ask for several transactions at
//! once (KIP-890): a partition's leader adds it itself, or only has it verified.

use crate::protocol::{ErrorCode, ProducerId, TopicName, TransactionalId};

message! {
    request 24 -> AddPartitionsToTxnResponse, versions 0..=5, flexible 3.., listeners [broker];

    /// The transactions and what is added to them.
    struct AddPartitionsToTxnRequest {
        transactions: Vec<AddPartitionsToTxnTransaction> [4..],
        v3_and_below_transactional_id: TransactionalId [0..=3],
        v3_and_below_producer_id: ProducerId [0..=3],
        v3_and_below_producer_epoch: i16 [0..=3],
        v3_and_below_topics: Vec<AddPartitionsToTxnTopic> [0..=3],
    }

    /// One transaction.
    struct AddPartitionsToTxnTransaction {
        transactional_id: TransactionalId [4.., key],
        producer_id: ProducerId [4..],
        producer_epoch: i16 [4..],
        /// Asks whether the partitions are in the transaction, and adds nothing.
        verify_only: bool [4..],
        topics: Vec<AddPartitionsToTxnTopic> [4..],
    }

    /// One topic.
    struct AddPartitionsToTxnTopic {
        name: TopicName [0.., key],
        partitions: Vec<i32> [0..],
    }
}

message! {
    response 24, versions 0..=5, flexible 3..;

    /// Verdicts, in the form that goes with the version.
    struct AddPartitionsToTxnResponse {
        throttle_time_ms: i32 [0..],
        error_code: ErrorCode [4..] ignorable,
        results_by_transaction: Vec<AddPartitionsToTxnResult> [4..],
        results_by_topic_v3_and_below: Vec<AddPartitionsToTxnTopicResult> [0..=3],
    }

    /// The verdicts for one transaction.
    struct AddPartitionsToTxnResult {
        transactional_id: TransactionalId [4.., key],
        topic_results: Vec<AddPartitionsToTxnTopicResult> [4..],
    }

    /// One topic.
    struct AddPartitionsToTxnTopicResult {
        name: TopicName [0.., key],
        results_by_partition: Vec<AddPartitionsToTxnPartitionResult> [0..],
    }

    /// One partition.
    struct AddPartitionsToTxnPartitionResult {
        partition_index: i32 [0.., key],
        partition_error_code: ErrorCode [0..],
    }
}
