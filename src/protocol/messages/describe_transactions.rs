//! DescribeTransactions: the state of transactions (KIP-664). To the coordinator of each.

use crate::protocol::{ErrorCode, ProducerId, Str, TopicName, TransactionalId};

message! {
    request 65 -> DescribeTransactionsResponse, versions 0..=0, flexible 0.., listeners [broker];

    /// The transactional ids.
    struct DescribeTransactionsRequest {
        transactional_ids: Vec<TransactionalId> [0..],
    }
}

message! {
    response 65, versions 0..=0, flexible 0..;

    /// What the coordinator knows of them.
    struct DescribeTransactionsResponse {
        throttle_time_ms: i32 [0..],
        transaction_states: Vec<TransactionState> [0..],
    }

    /// One transactional id.
    struct TransactionState {
        error_code: ErrorCode [0..],
        transactional_id: TransactionalId [0..],
        /// `Empty`, `Ongoing`, `PrepareCommit`, `PrepareAbort`, `CompleteCommit`, `CompleteAbort`, `PrepareEpochFence` or `Dead`.
        transaction_state: Str [0..],
        transaction_timeout_ms: i32 [0..],
        transaction_start_time_ms: i64 [0..],
        producer_id: ProducerId [0..],
        producer_epoch: i16 [0..],
        /// Partitions of the open transaction; while it ends, those whose marker is not yet written.
        topics: Vec<TopicData> [0..],
    }

    /// Some partitions of one topic.
    struct TopicData {
        topic: TopicName [0.., key],
        partitions: Vec<i32> [0..],
    }
}
