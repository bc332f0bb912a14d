//! DescribeClientQuotas: quotas of users, client ids and addresses (KIP-546). To any broker.

use crate::protocol::{ErrorCode, Str};

message! {
    request 48 -> DescribeClientQuotasResponse, versions 0..=1, flexible 1.., listeners [broker];

    /// Which entities are wanted.
    struct DescribeClientQuotasRequest {
        components: Vec<ComponentData> [0..],
        /// Only entities that have no other parts than those named here.
        strict: bool [0..],
    }

    /// What a part of the entity's name must be.
    struct ComponentData {
        /// `user`, `client-id` or `ip`.
        entity_type: Str [0..],
        /// 0 the name given, 1 the default, 2 any name.
        match_type: i8 [0..],
        r#match: Option<Str> [0.., null 0..],
    }
}

message! {
    response 48, versions 0..=1, flexible 1..;

    /// The entities with quotas; null with an error.
    struct DescribeClientQuotasResponse {
        throttle_time_ms: i32 [0..],
        error_code: ErrorCode [0..],
        error_message: Option<Str> [0.., null 0..],
        entries: Option<Vec<EntryData>> [0.., null 0..],
    }

    /// One entity with its quotas.
    struct EntryData {
        entity: Vec<EntityData> [0..],
        values: Vec<ValueData> [0..],
    }

    /// A part of what names the entity.
    struct EntityData {
        entity_type: Str [0..],
        /// Null for the default of the type.
        entity_name: Option<Str> [0.., null 0..],
    }

    /// One quota.
    struct ValueData {
        key: Str [0..],
        value: f64 [0..],
    }
}
