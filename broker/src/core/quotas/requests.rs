//! DescribeClientQuotas and AlterClientQuotas (KIP-546).

use std::time::Instant;

use klamm::protocol::messages::alter_client_quotas::{
    AlterClientQuotasRequest, AlterClientQuotasResponse, EntityData as AlteredPart, EntryData as Altered, EntryResult,
};
use klamm::protocol::messages::describe_client_quotas::{
    ComponentData, DescribeClientQuotasRequest, DescribeClientQuotasResponse, EntityData, EntryData, ValueData,
};
use klamm::protocol::{ErrorCode, Str};

use crate::core::configs::Refusal;
use crate::core::topics::text;
use crate::core::{Call, Core, Outcome};
use crate::quota::{Name, Quota, QuotaEntity};

/// Types of entities, and where they stand in one.
const USER: &str = "user";
const CLIENT_ID: &str = "client-id";
const IP: &str = "ip";

/// `match_type`.
const EXACT: i8 = 0;
const DEFAULT: i8 = 1;
const ANY: i8 = 2;

fn refuse<T>(code: ErrorCode, message: impl Into<String>) -> Result<T, Refusal> {
    Err((code, message.into()))
}

impl QuotaEntity {
    fn part(&self, kind: &str) -> &Option<Name> {
        match kind {
            USER => &self.user,
            CLIENT_ID => &self.client_id,
            _ => &self.ip,
        }
    }

    fn part_mut(&mut self, kind: &str) -> Option<&mut Option<Name>> {
        match kind {
            USER => Some(&mut self.user),
            CLIENT_ID => Some(&mut self.client_id),
            IP => Some(&mut self.ip),
            _ => None,
        }
    }
}

impl Core {
    pub(in crate::core) fn describe_client_quotas(
        &mut self,
        _: Instant,
        _: &Call,
        request: DescribeClientQuotasRequest,
    ) -> Outcome<DescribeClientQuotasResponse> {
        if let Err((error_code, message)) = check_filter(&request.components) {
            let (entries, error_message) = (None, Some(text(&message)));
            return Outcome::Reply(DescribeClientQuotasResponse { error_code, error_message, entries, ..Default::default() });
        }
        let wanted = |entity: &QuotaEntity| {
            let fits = |component: &ComponentData| match (component.match_type, entity.part(component.entity_type.as_str())) {
                (_, None) => false,
                (EXACT, Some(name)) => name.as_str() == component.r#match.as_ref().map(Str::as_str),
                (DEFAULT, Some(name)) => *name == Name::Default,
                _ => true,
            };
            let named = |kind: &str| request.components.iter().any(|component| component.entity_type.as_str() == kind);
            let has_more = [USER, CLIENT_ID, IP].into_iter().any(|kind| entity.part(kind).is_some() && !named(kind));
            request.components.iter().all(fits) && !(request.strict && has_more)
        };
        let described = self.quotas.set.iter().filter(|(entity, _)| wanted(entity)).map(|(entity, quotas)| {
            let part = |kind: &str| {
                let name = entity.part(kind).as_ref()?;
                Some(EntityData { entity_type: text(kind), entity_name: name.as_str().map(text) })
            };
            let value = |(quota, value): (&Quota, &f64)| ValueData { key: text(quota.name()), value: *value };
            let entity = [USER, CLIENT_ID, IP].into_iter().filter_map(part).collect();
            EntryData { entity, values: quotas.iter().map(value).collect() }
        });
        let entries = Some(described.collect());
        Outcome::Reply(DescribeClientQuotasResponse { entries, error_message: Some(Str::default()), ..Default::default() })
    }

    pub(in crate::core) fn alter_client_quotas(
        &mut self,
        _: Instant,
        _: &Call,
        request: AlterClientQuotasRequest,
    ) -> Outcome<AlterClientQuotasResponse> {
        let mut entries = Vec::new();
        for altered in request.entries {
            let checked = check_entity(&altered.entity).and_then(|entity| check_values(entity, &altered));
            let (error_code, error_message) = match checked {
                Ok((entity, changes)) => {
                    for (quota, value) in changes.into_iter().filter(|_| !request.validate_only) {
                        self.quotas.set(entity.clone(), quota, value);
                    }
                    (ErrorCode::NONE, None)
                }
                Err((code, message)) => (code, Some(text(&message))),
            };
            entries.push(EntryResult { error_code, error_message, entity: altered.entity });
        }
        Outcome::Reply(AlterClientQuotasResponse { entries, ..Default::default() })
    }
}

fn check_filter(components: &[ComponentData]) -> Result<(), Refusal> {
    let mut named = QuotaEntity::NOBODY;
    for component in components {
        let kind = component.entity_type.as_str();
        if kind.is_empty() {
            return refuse(ErrorCode::INVALID_REQUEST, "Unexpected empty filter component entity type");
        }
        let Some(part) = named.part_mut(kind) else {
            return refuse(ErrorCode::UNSUPPORTED_VERSION, format!("Unsupported entity type {kind}"));
        };
        if part.replace(Name::Default).is_some() {
            return refuse(ErrorCode::INVALID_REQUEST, format!("Entity type {kind} cannot appear more than once in the filter."));
        }
        match component.match_type {
            EXACT if component.r#match.is_none() => {
                return refuse(ErrorCode::INVALID_REQUEST, "Request specified MATCH_TYPE_EXACT, but set match string to null");
            }
            DEFAULT | ANY if component.r#match.is_some() => {
                let name = if component.match_type == ANY { "MATCH_TYPE_SPECIFIED" } else { "MATCH_TYPE_DEFAULT" };
                let message = format!("Request specified {name}, but also specified a match string.");
                return refuse(ErrorCode::INVALID_REQUEST, message);
            }
            EXACT..=ANY => {}
            other => return refuse(ErrorCode::INVALID_REQUEST, format!("Unknown match type {other}")),
        }
    }
    if named.ip.is_some() && (named.user.is_some() || named.client_id.is_some()) {
        let message = "Invalid entity filter component combination, IP filter component should not be used with user or clientId filter component.";
        return refuse(ErrorCode::INVALID_REQUEST, message);
    }
    Ok(())
}

fn check_entity(parts: &[AlteredPart]) -> Result<QuotaEntity, Refusal> {
    if parts.is_empty() {
        return refuse(ErrorCode::INVALID_REQUEST, "Invalid empty client quota entity");
    }
    let mut entity = QuotaEntity::NOBODY;
    for AlteredPart { entity_type, entity_name } in parts {
        let kind = entity_type.as_str();
        let Some(part) = entity.part_mut(kind) else {
            return refuse(ErrorCode::INVALID_REQUEST, format!("Unhandled client quota entity type: {kind}"));
        };
        if entity_name.as_ref().is_some_and(|name| name.as_str().is_empty()) {
            return refuse(ErrorCode::INVALID_REQUEST, format!("Empty {kind} not supported"));
        }
        let name = Name::new(entity_name.as_ref().map(Str::as_str));
        if part.replace(name).is_some() {
            let message = format!("Invalid client quota entity, contains duplicate entity type: {kind}");
            return refuse(ErrorCode::INVALID_REQUEST, message);
        }
    }
    if entity.ip.is_some() && (entity.user.is_some() || entity.client_id.is_some()) {
        return refuse(ErrorCode::INVALID_REQUEST, "Invalid quota entity combination");
    }
    Ok(entity)
}

/// What is to be set, if all of it can be.
fn check_values(entity: QuotaEntity, altered: &Altered) -> Result<(QuotaEntity, Vec<(Quota, Option<f64>)>), Refusal> {
    let mut changes = Vec::new();
    for change in &altered.ops {
        let key = change.key.as_str();
        // Addresses have the one quota, all others the others.
        let allowed = |quota: &Quota| (*quota == Quota::ConnectionCreationRate) == entity.ip.is_some();
        let Some(quota) = Quota::ALL.into_iter().find(|quota| quota.name() == key).filter(allowed) else {
            return refuse(ErrorCode::INVALID_REQUEST, format!("Invalid configuration key {key}"));
        };
        if change.remove {
            changes.push((quota, None));
            continue;
        }
        let value = change.value;
        if value.is_nan() || value <= 0.0 {
            return refuse(ErrorCode::INVALID_REQUEST, format!("Quota {key} must be greater than 0"));
        }
        let whole = match quota {
            Quota::ProducerByteRate | Quota::ConsumerByteRate => Some((i64::MAX as f64, "Long")),
            Quota::ConnectionCreationRate => Some((f64::from(i32::MAX), "Integer")),
            Quota::RequestPercentage | Quota::ControllerMutationRate => None,
        };
        if let Some((largest, kind)) = whole.filter(|(largest, _)| value.fract().abs() > 1e-6 || value > *largest) {
            let message = match value > largest {
                true => format!("Proposed value for {key} is too large for a {}.", kind.to_uppercase()),
                false => format!("{key} cannot be a fractional value."),
            };
            return refuse(ErrorCode::INVALID_REQUEST, message);
        }
        changes.push((quota, Some(value)));
    }
    Ok((entity, changes))
}
