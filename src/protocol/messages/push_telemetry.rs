//! PushTelemetry: a client's metrics (KIP-714). To the broker that named the subscription.

use bytes::Bytes;

use crate::protocol::{ErrorCode, Uuid};

message! {
    request 72 -> PushTelemetryResponse, versions 0..=0, flexible 0.., listeners [broker];

    /// The metrics.
    struct PushTelemetryRequest {
        client_instance_id: Uuid [0..],
        subscription_id: i32 [0..],
        /// The last ones: they are taken even before their time.
        terminating: bool [0..],
        /// 0 none, 1 gzip, 2 snappy, 3 lz4, 4 zstd.
        compression_type: i8 [0..],
        /// OpenTelemetry's `MetricsData` (v1) in protobuf, compressed.
        metrics: Bytes [0..],
    }
}

message! {
    response 72, versions 0..=0, flexible 0..;

    /// Taken, or why not.
    struct PushTelemetryResponse {
        throttle_time_ms: i32 [0..],
        error_code: ErrorCode [0..],
    }
}
