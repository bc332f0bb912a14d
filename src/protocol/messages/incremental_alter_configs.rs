//! IncrementalAlterConfigs (KIP-339): changes settings one by one and leaves the others alone. To any broker for topics and groups;
//! what concerns one broker goes to that broker.
//!
//! AlterConfigs, its predecessor, sets whatever it does not name back to the default, and is not declared for that reason.

use crate::protocol::{ErrorCode, Str};

message! {
    request 44 -> IncrementalAlterConfigsResponse, versions 0..=1, flexible 1.., listeners [broker, controller];

    /// The changes, resource by resource.
    struct IncrementalAlterConfigsRequest {
        resources: Vec<AlterConfigsResource> [0..],
        validate_only: bool [0..],
    }

    /// The changes to one resource.
    struct AlterConfigsResource {
        /// 2 topic, 4 broker, 8 broker logger, 16 client metrics, 32 group.
        resource_type: i8 [0.., key],
        /// A topic's or group's name, a broker's number; an empty name means the defaults of all brokers.
        resource_name: Str [0.., key],
        configs: Vec<AlterableConfig> [0..],
    }

    /// One change.
    struct AlterableConfig {
        name: Str [0.., key],
        /// 0 set, 1 back to the default, 2 add to a list, 3 take out of a list.
        config_operation: i8 [0.., key],
        /// Null where the setting goes back to its default.
        value: Option<Str> [0.., null 0..],
    }
}

message! {
    response 44, versions 0..=1, flexible 1..;

    /// A verdict for each resource.
    struct IncrementalAlterConfigsResponse {
        throttle_time_ms: i32 [0..],
        responses: Vec<AlterConfigsResourceResponse> [0..],
    }

    /// The verdict for one resource, of which all changes were made or none.
    struct AlterConfigsResourceResponse {
        error_code: ErrorCode [0..],
        error_message: Option<Str> [0.., null 0..],
        resource_type: i8 [0..],
        resource_name: Str [0..],
    }
}
