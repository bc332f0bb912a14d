//! DescribeAcls: the rules that match. To any broker.

use crate::protocol::{ErrorCode, Str};

message! {
    request 29 -> DescribeAclsResponse, versions 1..=3, flexible 2.., listeners [broker, controller];

    /// What rules are wanted; null matches everything. The numbers are those of CreateAcls, with 1 for "any".
    struct DescribeAclsRequest {
        resource_type_filter: i8 [0..],
        resource_name_filter: Option<Str> [0.., null 0..],
        /// 1 any, 2 every pattern that covers the name, 3 the very name, 4 names that begin so.
        pattern_type_filter: i8 [1..] = 3,
        principal_filter: Option<Str> [0.., null 0..],
        host_filter: Option<Str> [0.., null 0..],
        operation: i8 [0..],
        permission_type: i8 [0..],
    }
}

message! {
    response 29, versions 1..=3, flexible 2..;

    /// The rules, by resource.
    struct DescribeAclsResponse {
        throttle_time_ms: i32 [0..],
        error_code: ErrorCode [0..],
        error_message: Option<Str> [0.., null 0..],
        resources: Vec<DescribeAclsResource> [0..],
    }

    /// One resource, or all of a pattern.
    struct DescribeAclsResource {
        resource_type: i8 [0..],
        resource_name: Str [0..],
        pattern_type: i8 [1..] = 3,
        acls: Vec<AclDescription> [0..],
    }

    /// One rule.
    struct AclDescription {
        principal: Str [0..],
        host: Str [0..],
        operation: i8 [0..],
        permission_type: i8 [0..],
    }
}
