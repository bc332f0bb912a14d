//! BrokerRegistration: a broker that starts joins the cluster (KIP-631). From the broker to the active controller.

use crate::protocol::{BrokerId, ErrorCode, Str, Uuid};

message! {
    request 62 -> BrokerRegistrationResponse, versions 0..=4, flexible 0.., listeners [controller];

    /// The broker as it will be known.
    struct BrokerRegistrationRequest {
        broker_id: BrokerId [0..],
        cluster_id: Str [0..],
        /// Drawn anew with each start.
        incarnation_id: Uuid [0..],
        listeners: Vec<Listener> [0..],
        features: Vec<Feature> [0..],
        rack: Option<Str> [0.., null 0..],
        /// Of the time of the move away from ZooKeeper.
        is_migrating_zk_broker: bool [1..],
        log_dirs: Vec<Uuid> [2..] ignorable,
        /// The epoch it had before a clean shutdown; -1 where there was none (KIP-966).
        previous_broker_epoch: i64 [3..] ignorable = -1,
    }

    /// Where it can be reached.
    struct Listener {
        name: Str [0.., key],
        host: Str [0..],
        port: u16 [0..],
        /// 0 PLAINTEXT, 1 SSL, 2 SASL_PLAINTEXT, 3 SASL_SSL.
        security_protocol: i16 [0..],
    }

    /// Levels of a feature that it supports. Up to version 3, features with a lowest level of 0 are not told.
    struct Feature {
        name: Str [0.., key],
        min_supported_version: i16 [0..],
        max_supported_version: i16 [0..],
    }
}

message! {
    response 62, versions 0..=4, flexible 0..;

    /// The epoch the broker is registered with.
    struct BrokerRegistrationResponse {
        throttle_time_ms: i32 [0..],
        error_code: ErrorCode [0..],
        broker_epoch: i64 [0..] = -1,
    }
}
