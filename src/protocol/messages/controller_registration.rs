//! ControllerRegistration: a controller tells of itself what clients and other nodes need (KIP-919). From each controller to the active
//! one.

use crate::protocol::{ErrorCode, Str, Uuid};

message! {
    request 70 -> ControllerRegistrationResponse, versions 0..=0, flexible 0.., listeners [controller];

    /// The controller as it will be known.
    struct ControllerRegistrationRequest {
        controller_id: i32 [0..],
        /// Drawn anew with each start.
        incarnation_id: Uuid [0..],
        /// Of the time of the move away from ZooKeeper.
        zk_migration_ready: bool [0..],
        listeners: Vec<Listener> [0..],
        features: Vec<Feature> [0..],
    }

    /// Where it can be reached.
    struct Listener {
        name: Str [0.., key],
        host: Str [0..],
        port: u16 [0..],
        /// 0 PLAINTEXT, 1 SSL, 2 SASL_PLAINTEXT, 3 SASL_SSL.
        security_protocol: i16 [0..],
    }

    /// Levels of a feature that it supports.
    struct Feature {
        name: Str [0.., key],
        min_supported_version: i16 [0..],
        max_supported_version: i16 [0..],
    }
}

message! {
    response 70, versions 0..=0, flexible 0..;

    /// Done, or why not.
    struct ControllerRegistrationResponse {
        throttle_time_ms: i32 [0..],
        error_code: ErrorCode [0..],
        error_message: Option<Str> [0.., null 0..],
    }
}
