//! UnregisterBroker: forgets a broker that is gone for good. Any broker takes it and forwards it to the controller.

use crate::protocol::{BrokerId, ErrorCode, Str};

message! {
    request 64 -> UnregisterBrokerResponse, versions 0..=0, flexible 0.., listeners [broker, controller];

    /// The broker.
    struct UnregisterBrokerRequest {
        broker_id: BrokerId [0..],
    }
}

message! {
    response 64, versions 0..=0, flexible 0..;

    /// Done, or why not.
    struct UnregisterBrokerResponse {
        throttle_time_ms: i32 [0..],
        error_code: ErrorCode [0..],
        error_message: Option<Str> [0.., null 0..],
    }
}
