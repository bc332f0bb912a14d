//! IncrementalAlterConfigs (KIP-339) and its forerunner AlterConfigs, which sets all of a resource's configurations anew: changes to
//! topics and brokers, all of a resource or none.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use klamm::protocol::ErrorCode;
use klamm::protocol::messages::alter_configs::{self, AlterConfigsRequest, AlterConfigsResponse};
use klamm::protocol::messages::incremental_alter_configs::{
    AlterConfigsResource, AlterConfigsResourceResponse, AlterableConfig, IncrementalAlterConfigsRequest,
    IncrementalAlterConfigsResponse,
};

use crate::core::configs::{self, BROKER, Kind, Refusal, TOPIC};
use crate::core::topics::text;
use crate::core::{Call, Core, Outcome};

/// `config_operation`.
const SET: i8 = 0;
const DELETE: i8 = 1;
const APPEND: i8 = 2;
const SUBTRACT: i8 = 3;

fn refuse<T>(code: ErrorCode, message: impl Into<String>) -> Result<T, Refusal> {
    Err((code, message.into()))
}

impl Core {
    pub(super) fn incremental_alter_configs(
        &mut self,
        _: Instant,
        call: &Call,
        request: IncrementalAlterConfigsRequest,
    ) -> Outcome<IncrementalAlterConfigsResponse> {
        let responses = self.alter_resources(call, request.resources, request.validate_only, false);
        Outcome::Reply(IncrementalAlterConfigsResponse { responses, ..Default::default() })
    }

    pub(super) fn alter_configs(
        &mut self,
        _: Instant,
        call: &Call,
        request: AlterConfigsRequest,
    ) -> Outcome<AlterConfigsResponse> {
        let set = |config: alter_configs::AlterableConfig| AlterableConfig {
            name: config.name,
            config_operation: SET,
            value: config.value,
        };
        let resource = |resource: alter_configs::AlterConfigsResource| AlterConfigsResource {
            resource_type: resource.resource_type,
            resource_name: resource.resource_name,
            configs: resource.configs.into_iter().map(set).collect(),
        };
        let resources = request.resources.into_iter().map(resource).collect();
        let verdict = |verdict: AlterConfigsResourceResponse| alter_configs::AlterConfigsResourceResponse {
            error_code: verdict.error_code,
            error_message: verdict.error_message,
            resource_type: verdict.resource_type,
            resource_name: verdict.resource_name,
        };
        let responses = self.alter_resources(call, resources, request.validate_only, true);
        let responses = responses.into_iter().map(verdict).collect();
        Outcome::Reply(AlterConfigsResponse { responses, ..Default::default() })
    }

    /// `anew`: what is not named goes back to its default.
    fn alter_resources(
        &mut self,
        call: &Call,
        resources: Vec<AlterConfigsResource>,
        validate_only: bool,
        anew: bool,
    ) -> Vec<AlterConfigsResourceResponse> {
        let key = |resource: &AlterConfigsResource| (resource.resource_type, resource.resource_name.as_str().to_owned());
        let mut times: BTreeMap<(i8, String), usize> = BTreeMap::new();
        resources.iter().for_each(|resource| *times.entry(key(resource)).or_default() += 1);
        let mut responses = Vec::new();
        for resource in resources {
            let altered = match times.get(&key(&resource)) {
                Some(2..) => refuse(ErrorCode::INVALID_REQUEST, "Each resource must appear at most once."),
                _ => self.alter_resource(call, &resource, validate_only, anew),
            };
            let (error_code, error_message) = match altered {
                Ok(()) => (ErrorCode::NONE, None),
                Err((code, message)) => (code, Some(text(&message)).filter(|message| !message.as_str().is_empty())),
            };
            let AlterConfigsResource { resource_type, resource_name, .. } = resource;
            responses.push(AlterConfigsResourceResponse { error_code, error_message, resource_type, resource_name });
        }
        responses
    }

    fn alter_resource(
        &mut self,
        call: &Call,
        resource: &AlterConfigsResource,
        validate_only: bool,
        anew: bool,
    ) -> Result<(), Refusal> {
        let name = resource.resource_name.as_str();
        let mut keys = BTreeSet::new();
        if resource.configs.iter().any(|change| !keys.insert(change.name.as_str())) {
            return refuse(ErrorCode::INVALID_REQUEST, "Error due to duplicate config keys");
        }
        match resource.resource_type {
            TOPIC => {
                let Some(topic) = self.topics.get_mut(name) else {
                    let message = format!("The topic '{name}' does not exist.");
                    return refuse(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION, message);
                };
                let mut set = if anew { BTreeMap::new() } else { topic.configs.clone() };
                for change in &resource.configs {
                    let key = change.name.as_str();
                    let Some(kind) = configs::kind_of_topic_config(key) else {
                        return refuse(ErrorCode::INVALID_CONFIG, format!("Unknown topic config name: {key}"));
                    };
                    apply(&mut set, change, kind, configs::default_of_topic_config(key).unwrap_or_default())?;
                    if let Some(value) = set.get(key) {
                        configs::check(key, value).map_err(|message| (ErrorCode::INVALID_CONFIG, message))?;
                    }
                }
                if !validate_only {
                    topic.configs = set;
                }
                Ok(())
            }
            BROKER => {
                configs::check_broker(call, name, "")?;
                let fixed: Vec<_> = keys.iter().filter(|key| !configs::is_dynamic(key)).copied().collect();
                if !fixed.is_empty() {
                    let message = format!("Cannot update these configs dynamically: [{}]", fixed.join(", "));
                    return refuse(ErrorCode::INVALID_REQUEST, message);
                }
                let before = if anew { None } else { self.broker_configs.get(name).cloned() };
                let mut set = before.unwrap_or_default();
                for change in &resource.configs {
                    let key = change.name.as_str();
                    apply(&mut set, change, configs::kind_of_broker_config(key), "")?;
                    if let Some(value) = set.get(key) {
                        configs::check_on_broker(key, value).map_err(|message| (ErrorCode::INVALID_CONFIG, message))?;
                    }
                }
                if !validate_only {
                    self.broker_configs.insert(name.to_owned(), set);
                }
                Ok(())
            }
            other => refuse(ErrorCode::INVALID_REQUEST, format!("Unknown resource type {other}")),
        }
    }
}

/// Makes one change to what is set.
fn apply(set: &mut BTreeMap<String, String>, change: &AlterableConfig, kind: Kind, default: &str) -> Result<(), Refusal> {
    let key = change.name.as_str();
    if change.config_operation == DELETE {
        set.remove(key);
        return Ok(());
    }
    let Some(value) = change.value.as_ref().map(|value| value.as_str()) else {
        return refuse(ErrorCode::INVALID_REQUEST, format!("Null value not supported for : {key}"));
    };
    let changed = match change.config_operation {
        SET => value.to_owned(),
        APPEND | SUBTRACT if kind != Kind::List => {
            let operation = if change.config_operation == APPEND { "APPEND" } else { "SUBTRACT" };
            let message = format!("Can't {operation} to key {key} because its type is not LIST.");
            return refuse(ErrorCode::INVALID_CONFIG, message);
        }
        APPEND | SUBTRACT => {
            let now = set.get(key).map_or(default, String::as_str);
            let mut items: Vec<&str> = now.split(',').filter(|item| !item.is_empty()).collect();
            for item in value.split(',') {
                items.retain(|known| *known != item);
                if change.config_operation == APPEND {
                    items.push(item);
                }
            }
            items.join(",")
        }
        // Kafka stumbles over it.
        _ => return refuse(ErrorCode::UNKNOWN_SERVER_ERROR, ""),
    };
    set.insert(key.to_owned(), changed);
    Ok(())
}
