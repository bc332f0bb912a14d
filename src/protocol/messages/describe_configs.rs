//! DescribeConfigs: settings with their origin. To any broker for topics and groups; settings of a broker only that broker knows.

use crate::protocol::{ErrorCode, Str};

message! {
    request 32 -> DescribeConfigsResponse, versions 1..=4, flexible 4.., listeners [broker, controller];

    /// Asks for the settings of some resources.
    struct DescribeConfigsRequest {
        resources: Vec<DescribeConfigsResource> [0..],
        include_synonyms: bool [1..],
        include_documentation: bool [3..],
    }

    /// One resource, and which of its settings.
    struct DescribeConfigsResource {
        /// 2 topic, 4 broker, 8 broker logger, 16 client metrics, 32 group.
        resource_type: i8 [0..],
        /// A topic's or group's name, a broker's number; an empty name means the defaults of all brokers.
        resource_name: Str [0..],
        /// Null for all.
        configuration_keys: Option<Vec<Str>> [0.., null 0..],
    }
}

message! {
    response 32, versions 1..=4, flexible 4..;

    /// The settings, resource by resource.
    struct DescribeConfigsResponse {
        throttle_time_ms: i32 [0..],
        results: Vec<DescribeConfigsResult> [0..],
    }

    /// The settings of one resource, or why not.
    struct DescribeConfigsResult {
        error_code: ErrorCode [0..],
        error_message: Option<Str> [0.., null 0..],
        resource_type: i8 [0..],
        resource_name: Str [0..],
        configs: Vec<DescribeConfigsResourceResult> [0..],
    }

    /// One setting.
    struct DescribeConfigsResourceResult {
        name: Str [0..],
        /// Null for secrets.
        value: Option<Str> [0.., null 0..],
        read_only: bool [0..],
        /// 1 topic, 2 broker, 3 all brokers, 4 file of the broker, 5 default, 6 broker logger, 7 client metrics, 8 group.
        config_source: i8 [1..] ignorable = -1,
        is_sensitive: bool [0..],
        synonyms: Vec<DescribeConfigsSynonym> [1..] ignorable,
        /// 1 boolean, 2 text, 3 int, 4 short, 5 long, 6 double, 7 list, 8 class, 9 password.
        config_type: i8 [3..] ignorable,
        documentation: Option<Str> [3.., null 0..] ignorable,
    }

    /// Where else a value for the setting comes from, strongest first.
    struct DescribeConfigsSynonym {
        name: Str [1..],
        value: Option<Str> [1.., null 0..],
        source: i8 [1..],
    }
}
