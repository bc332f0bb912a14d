//! CreateAcls: adds rules of who may do what. Any broker takes it and forwards it to the controller.

use crate::protocol::{ErrorCode, Str};

message! {
    request 30 -> CreateAclsResponse, versions 1..=3, flexible 2.., listeners [broker, controller];

    /// The rules to add.
    struct CreateAclsRequest {
        creations: Vec<AclCreation> [0..],
    }

    /// One rule.
    struct AclCreation {
        /// 2 topic, 3 group, 4 cluster, 5 transactional id, 6 delegation token, 7 user.
        resource_type: i8 [0..],
        resource_name: Str [0..],
        /// 3 the very name, 4 all names that begin so (KIP-290).
        resource_pattern_type: i8 [1..] = 3,
        /// `User:alice`; `User:*` for all.
        principal: Str [0..],
        /// An address; `*` for all.
        host: Str [0..],
        /// 2 all, 3 read, 4 write, 5 create, 6 delete, 7 alter, 8 describe, 9 cluster action, 10 describe configs, 11 alter
        /// configs, 12 idempotent write, 13 create tokens, 14 describe tokens, 15 two-phase commit.
        operation: i8 [0..],
        /// 2 deny, 3 allow.
        permission_type: i8 [0..],
    }
}

message! {
    response 30, versions 1..=3, flexible 2..;

    /// A verdict for each rule, in the order of the request.
    struct CreateAclsResponse {
        throttle_time_ms: i32 [0..],
        results: Vec<AclCreationResult> [0..],
    }

    /// The verdict for one rule.
    struct AclCreationResult {
        error_code: ErrorCode [0..],
        error_message: Option<Str> [0.., null 0..],
    }
}
