//! DeleteAcls: removes all rules that match. Any broker takes it and forwards it to the controller.

use crate::protocol::{ErrorCode, Str};

message! {
    request 31 -> DeleteAclsResponse, versions 1..=3, flexible 2.., listeners [broker, controller];

    /// The filters.
    struct DeleteAclsRequest {
        filters: Vec<DeleteAclsFilter> [0..],
    }

    /// What rules to remove; null matches everything. The numbers are those of CreateAcls, with 1 for "any".
    struct DeleteAclsFilter {
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
    response 31, versions 1..=3, flexible 2..;

    /// What was removed, in the order of the request.
    struct DeleteAclsResponse {
        throttle_time_ms: i32 [0..],
        filter_results: Vec<DeleteAclsFilterResult> [0..],
    }

    /// What one filter removed.
    struct DeleteAclsFilterResult {
        error_code: ErrorCode [0..],
        error_message: Option<Str> [0.., null 0..],
        matching_acls: Vec<DeleteAclsMatchingAcl> [0..],
    }

    /// A rule that matched, and whether it is removed.
    struct DeleteAclsMatchingAcl {
        error_code: ErrorCode [0..],
        error_message: Option<Str> [0.., null 0..],
        resource_type: i8 [0..],
        resource_name: Str [0..],
        pattern_type: i8 [1..] = 3,
        principal: Str [0..],
        host: Str [0..],
        operation: i8 [0..],
        permission_type: i8 [0..],
    }
}
