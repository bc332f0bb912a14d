//! AddOffsetsToTxn: a group's offsets will be part of a transaction. To the transaction's coordinator.
//!
//! The offsets themselves follow in TxnOffsetCommit, which since KIP-890 also does what this request is for.

use crate::protocol::{ErrorCode, GroupId, ProducerId, TransactionalId};

message! {
    request 25 -> AddOffsetsToTxnResponse, versions 0..=4, flexible 3.., listeners [broker];

    /// Which group joins which transaction.
    struct AddOffsetsToTxnRequest {
        transactional_id: TransactionalId [0..],
        producer_id: ProducerId [0..],
        producer_epoch: i16 [0..],
        group_id: GroupId [0..],
    }
}

message! {
    response 25, versions 0..=4, flexible 3..;

    /// Done, or why not.
    struct AddOffsetsToTxnResponse {
        throttle_time_ms: i32 [0..],
        error_code: ErrorCode [0..],
    }
}
