//! ListConfigResources: names of things that have settings (KIP-1142). To any broker.
//!
//! Version 0 lists the subscriptions to client metrics only; it was called ListClientMetricsResources (KIP-714).

use crate::protocol::{ErrorCode, Str};

message! {
    request 74 -> ListConfigResourcesResponse, versions 0..=1, flexible 0.., listeners [broker];

    /// What kinds are wanted.
    struct ListConfigResourcesRequest {
        /// 2 topic, 4 broker, 8 broker logger, 16 client metrics, 32 group; empty for all that can be listed.
        resource_types: Vec<i8> [1..],
    }
}

message! {
    response 74, versions 0..=1, flexible 0..;

    /// The names.
    struct ListConfigResourcesResponse {
        throttle_time_ms: i32 [0..],
        error_code: ErrorCode [0..],
        config_resources: Vec<ConfigResource> [0..],
    }

    /// One of them.
    struct ConfigResource {
        resource_name: Str [0..],
        resource_type: i8 [1..] ignorable = 16,
    }
}
