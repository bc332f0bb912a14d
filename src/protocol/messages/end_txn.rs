//! EndTxn: commits or aborts a transaction. To its coordinator.
//!
//! The answer comes when the outcome is certain; the markers are written after it. From version 5 on each transaction's end raises the
//! producer's epoch (KIP-890).

use crate::protocol::{ErrorCode, ProducerId, TransactionalId};

message! {
    request 26 -> EndTxnResponse, versions 0..=5, flexible 3.., listeners [broker];

    /// The transaction and how it ends.
    struct EndTxnRequest {
        transactional_id: TransactionalId [0..],
        producer_id: ProducerId [0..],
        producer_epoch: i16 [0..],
        committed: bool [0..],
    }
}

message! {
    response 26, versions 0..=5, flexible 3..;

    /// Done, or why not.
    struct EndTxnResponse {
        throttle_time_ms: i32 [0..],
        error_code: ErrorCode [0..],
        /// To go on with, as is the epoch; a new one once the epochs are used up. -1 where they stay.
        producer_id: ProducerId [5..] ignorable = ProducerId(-1),
        producer_epoch: i16 [5..] ignorable = -1,
    }
}
