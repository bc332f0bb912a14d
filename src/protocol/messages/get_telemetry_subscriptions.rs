//! GetTelemetrySubscriptions: which metrics the cluster wants of this client (KIP-714). To any broker.

use crate::protocol::{ErrorCode, Str, Uuid};

message! {
    request 71 -> GetTelemetrySubscriptionsResponse, versions 0..=0, flexible 0.., listeners [broker];

    /// Who asks.
    struct GetTelemetrySubscriptionsRequest {
        /// Zero the first time; the broker then gives one.
        client_instance_id: Uuid [0..],
    }
}

message! {
    response 71, versions 0..=0, flexible 0..;

    /// What to push with PushTelemetry, and how often.
    struct GetTelemetrySubscriptionsResponse {
        throttle_time_ms: i32 [0..],
        error_code: ErrorCode [0..],
        /// The one to use from now on.
        client_instance_id: Uuid [0..],
        /// A check sum: PushTelemetry is refused with another one, since then the subscription has changed.
        subscription_id: i32 [0..],
        /// 0 none, 1 gzip, 2 snappy, 3 lz4, 4 zstd; most wanted first.
        accepted_compression_types: Vec<i8> [0..],
        push_interval_ms: i32 [0..],
        telemetry_max_bytes: i32 [0..],
        /// Counters as differences, or as sums from the start.
        delta_temporality: bool [0..],
        /// Beginnings of names. An empty list asks for nothing, one empty name for everything.
        requested_metrics: Vec<Str> [0..],
    }
}
