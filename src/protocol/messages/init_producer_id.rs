//! InitProducerId: a number and an epoch for a producer; fences earlier producers of the same transactional id.
//!
//! To any broker without a transactional id, else to its coordinator. From version 3 on a producer may hand in its own number and
//! epoch to have the epoch raised (KIP-360). Version 6 is not stable (KIP-939).

use crate::protocol::{ErrorCode, ProducerId, TransactionalId};

message! {
    request 22 -> InitProducerIdResponse, versions 0..=6, flexible 2.., unstable 6, listeners [broker];

    /// Who asks.
    struct InitProducerIdRequest {
        /// Null for a producer that is idempotent only. The default is empty text, which is not that.
        transactional_id: Option<TransactionalId> [0.., null 0..],
        /// No meaning without a transactional id.
        transaction_timeout_ms: i32 [0..],
        /// The number the producer has; -1 for none.
        producer_id: ProducerId [3..] = ProducerId(-1),
        producer_epoch: i16 [3..] = -1,
        enable2_pc: bool [6..],
        keep_prepared_txn: bool [6..],
    }
}

message! {
    response 22, versions 0..=6, flexible 2..;

    /// The number and epoch to write with.
    struct InitProducerIdResponse {
        throttle_time_ms: i32 [0..] ignorable,
        error_code: ErrorCode [0..],
        producer_id: ProducerId [0..] = ProducerId(-1),
        producer_epoch: i16 [0..],
        /// Of a prepared transaction that was kept; -1 for none.
        ongoing_txn_producer_id: ProducerId [6..] = ProducerId(-1),
        ongoing_txn_producer_epoch: i16 [6..] = -1,
    }
}
