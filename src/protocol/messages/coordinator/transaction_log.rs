//! The state of a transactional id: a record of `__transaction_state`.

use crate::protocol::Str;

message! {
    coordinator key 0, versions 0..=0;

    /// The transactional id.
    struct TransactionLogKey {
        transactional_id: Str [0..=0],
    }
}

message! {
    coordinator value 0, versions 0..=1, flexible 1..;

    /// The producer and its transaction.
    struct TransactionLogValue {
        producer_id: i64 [0..],
        previous_producer_id: i64 [1.., tag 0] = -1,
        /// Given to the producer when its transaction ended and its epochs were used up (KIP-890); -1 for none.
        next_producer_id: i64 [1.., tag 1] = -1,
        producer_epoch: i16 [0..],
        client_transaction_version: i16 [1.., tag 2],
        transaction_timeout_ms: i32 [0..],
        /// 0 empty, 1 ongoing, 2 prepare commit, 3 prepare abort, 4 complete commit, 5 complete abort, 6 dead, 7 prepare epoch
        /// fence.
        transaction_status: i8 [0..],
        /// Null where no transaction is open.
        transaction_partitions: Option<Vec<PartitionsSchema>> [0.., null 0..],
        transaction_last_update_timestamp_ms: i64 [0..],
        transaction_start_timestamp_ms: i64 [0..],
        next_producer_epoch: i16 [1.., tag 3] = -1,
    }

    /// Some partitions of one topic.
    struct PartitionsSchema {
        topic: Str [0..],
        partition_ids: Vec<i32> [0..],
    }
}
