//! AllocateProducerIds: a block of producer ids that a broker may give out. From brokers to the active controller.

use crate::protocol::{BrokerId, ErrorCode, ProducerId};

message! {
    request 67 -> AllocateProducerIdsResponse, versions 0..=0, flexible 0.., listeners [controller];

    /// The broker that asks.
    struct AllocateProducerIdsRequest {
        broker_id: BrokerId [0..],
        broker_epoch: i64 [0..] = -1,
    }
}

message! {
    response 67, versions 0..=0, flexible 0..;

    /// The block: its first id and its length.
    struct AllocateProducerIdsResponse {
        throttle_time_ms: i32 [0..],
        error_code: ErrorCode [0..],
        producer_id_start: ProducerId [0..],
        producer_id_len: i32 [0..],
    }
}
