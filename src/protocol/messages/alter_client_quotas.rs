//! AlterClientQuotas: sets and removes quotas of users, client ids and addresses (KIP-546). Any broker takes it and forwards it to the
//! controller.

use crate::protocol::{ErrorCode, Str};

message! {
    request 49 -> AlterClientQuotasResponse, versions 0..=1, flexible 1.., listeners [broker, controller];

    /// The changes.
    struct AlterClientQuotasRequest {
        entries: Vec<EntryData> [0..],
        /// Checks everything and changes nothing.
        validate_only: bool [0..],
    }

    /// What changes for one entity.
    struct EntryData {
        entity: Vec<EntityData> [0..],
        ops: Vec<OpData> [0..],
    }

    /// A part of what names the entity: its type, `user`, `client-id` or `ip`, with a name.
    struct EntityData {
        entity_type: Str [0..],
        /// Null for the default of the type.
        entity_name: Option<Str> [0.., null 0..],
    }

    /// One quota, set or removed.
    struct OpData {
        key: Str [0..],
        value: f64 [0..],
        remove: bool [0..],
    }
}

message! {
    response 49, versions 0..=1, flexible 1..;

    /// A verdict for each entity.
    struct AlterClientQuotasResponse {
        throttle_time_ms: i32 [0..],
        entries: Vec<EntryResult> [0..],
    }

    /// The verdict for one entity.
    struct EntryResult as "EntryData" {
        error_code: ErrorCode [0..],
        error_message: Option<Str> [0.., null 0..],
        entity: Vec<EntityData> [0..],
    }
}
