//! InitProducerId.

use crate::protocol::{ErrorCode, ProducerId, TransactionalId};

message! {
    request 22 -> InitProducerIdResponse, versions 0..=6, flexible 2.., unstable 6, listeners [broker];

    /// Init producer id request.
    struct InitProducerIdRequest {
        transactional_id: Option<TransactionalId> [0.., null 0..],
        transaction_timeout_ms: i32 [0..],
        producer_id: ProducerId [3..] = ProducerId(-1),
        producer_epoch: i16 [3..] = -1,
        enable2_pc: bool [6..],
        keep_prepared_txn: bool [6..],
    }
}

message! {
    response 22, versions 0..=6, flexible 2..;

    /// Init producer id response.
    struct InitProducerIdResponse {
        throttle_time_ms: i32 [0..] ignorable,
        error_code: ErrorCode [0..],
        producer_id: ProducerId [0..] = ProducerId(-1),
        producer_epoch: i16 [0..],
        ongoing_txn_producer_id: ProducerId [6..] = ProducerId(-1),
        ongoing_txn_producer_epoch: i16 [6..] = -1,
    }
}
