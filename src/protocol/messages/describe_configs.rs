//! DescribeConfigs.

use crate::protocol::{ErrorCode, Str};

message! {
    request 32 -> DescribeConfigsResponse, versions 1..=4, flexible 4.., listeners [broker, controller];

    /// Describe configs request.
    struct DescribeConfigsRequest {
        resources: Vec<DescribeConfigsResource> [0..],
        include_synonyms: bool [1..],
        include_documentation: bool [3..],
    }

    /// Describe configs resource.
    struct DescribeConfigsResource {
        resource_type: i8 [0..],
        resource_name: Str [0..],
        configuration_keys: Option<Vec<Str>> [0.., null 0..],
    }
}

message! {
    response 32, versions 1..=4, flexible 4..;

    /// Describe configs response.
    struct DescribeConfigsResponse {
        throttle_time_ms: i32 [0..],
        results: Vec<DescribeConfigsResult> [0..],
    }

    /// Describe configs result.
    struct DescribeConfigsResult {
        error_code: ErrorCode [0..],
        error_message: Option<Str> [0.., null 0..],
        resource_type: i8 [0..],
        resource_name: Str [0..],
        configs: Vec<DescribeConfigsResourceResult> [0..],
    }

    /// Describe configs resource result.
    struct DescribeConfigsResourceResult {
        name: Str [0..],
        value: Option<Str> [0.., null 0..],
        read_only: bool [0..],
        config_source: i8 [1..] ignorable = -1,
        is_sensitive: bool [0..],
        synonyms: Vec<DescribeConfigsSynonym> [1..] ignorable,
        config_type: i8 [3..] ignorable,
        documentation: Option<Str> [3.., null 0..] ignorable,
    }

    /// Describe configs synonym.
    struct DescribeConfigsSynonym {
        name: Str [1..],
        value: Option<Str> [1.., null 0..],
        source: i8 [1..],
    }
}
