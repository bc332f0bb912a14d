//! AlterConfigs: replaces all settings of a resource. Any broker takes it for topics and groups; settings of a broker go to that
//! broker.
//!
//! What is not named goes back to its default. IncrementalAlterConfigs (KIP-339) was made because of that; use it.

use crate::protocol::{ErrorCode, Str};

message! {
    request 33 -> AlterConfigsResponse, versions 0..=2, flexible 2.., listeners [broker, controller];

    /// The resources and all their settings.
    struct AlterConfigsRequest {
        resources: Vec<AlterConfigsResource> [0..],
        /// Checks everything and changes nothing.
        validate_only: bool [0..],
    }

    /// One resource.
    struct AlterConfigsResource {
        /// 2 topic, 4 broker, 8 broker logger, 16 client metrics, 32 group.
        resource_type: i8 [0.., key],
        resource_name: Str [0.., key],
        configs: Vec<AlterableConfig> [0..],
    }

    /// One setting.
    struct AlterableConfig {
        name: Str [0.., key],
        value: Option<Str> [0.., null 0..],
    }
}

message! {
    response 33, versions 0..=2, flexible 2..;

    /// A verdict for each resource.
    struct AlterConfigsResponse {
        throttle_time_ms: i32 [0..],
        responses: Vec<AlterConfigsResourceResponse> [0..],
    }

    /// The verdict for one resource.
    struct AlterConfigsResourceResponse {
        error_code: ErrorCode [0..],
        error_message: Option<Str> [0.., null 0..],
        resource_type: i8 [0..],
        resource_name: Str [0..],
    }
}
