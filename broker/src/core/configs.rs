//! Configurations: which there are, their defaults, and DescribeConfigs.
//!
//! Topics take all of Kafka's configurations for topics; only those that `set_topic_config` names have an effect here. Of a broker
//! those can be changed that Kafka changes while it runs; `message.max.bytes` alone has an effect.

use std::collections::BTreeMap;
use std::time::Instant;

use klamm::protocol::ErrorCode;
use klamm::protocol::messages::describe_configs::{
    DescribeConfigsRequest, DescribeConfigsResource, DescribeConfigsResourceResult, DescribeConfigsResponse,
    DescribeConfigsResult, DescribeConfigsSynonym,
};

use crate::core::topics::text;
use crate::core::{Call, Core, Outcome};

/// `resource_type`.
pub(super) const TOPIC: i8 = 2;
pub(super) const BROKER: i8 = 4;

/// `config_source`.
const SET_ON_TOPIC: i8 = 1;
const SET_ON_BROKER: i8 = 2;
const SET_ON_ALL_BROKERS: i8 = 3;
const STATIC: i8 = 4;
const DEFAULT: i8 = 5;

/// Why something was refused, with words.
pub(super) type Refusal = (ErrorCode, String);

/// `config_type`, and what values of each look like.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Boolean = 1,
    String = 2,
    Int = 3,
    Long = 5,
    Double = 6,
    List = 7,
}

/// Kafka's configurations of topics with their defaults.
const OF_TOPIC: &[(&str, Kind, &str)] = &[
    ("cleanup.policy", Kind::List, "delete"),
    ("compression.gzip.level", Kind::Int, "-1"),
    ("compression.lz4.level", Kind::Int, "9"),
    ("compression.type", Kind::String, "producer"),
    ("compression.zstd.level", Kind::Int, "3"),
    ("delete.retention.ms", Kind::Long, "86400000"),
    ("file.delete.delay.ms", Kind::Long, "60000"),
    ("flush.messages", Kind::Long, "9223372036854775807"),
    ("flush.ms", Kind::Long, "9223372036854775807"),
    ("follower.replication.throttled.replicas", Kind::List, ""),
    ("index.interval.bytes", Kind::Int, "4096"),
    ("leader.replication.throttled.replicas", Kind::List, ""),
    ("local.retention.bytes", Kind::Long, "-2"),
    ("local.retention.ms", Kind::Long, "-2"),
    ("max.compaction.lag.ms", Kind::Long, "9223372036854775807"),
    ("max.message.bytes", Kind::Int, "1048588"),
    ("message.timestamp.after.max.ms", Kind::Long, "3600000"),
    ("message.timestamp.before.max.ms", Kind::Long, "9223372036854775807"),
    ("message.timestamp.type", Kind::String, "CreateTime"),
    ("min.cleanable.dirty.ratio", Kind::Double, "0.5"),
    ("min.compaction.lag.ms", Kind::Long, "0"),
    ("min.insync.replicas", Kind::Int, "1"),
    ("preallocate", Kind::Boolean, "false"),
    ("remote.storage.enable", Kind::Boolean, "false"),
    ("retention.bytes", Kind::Long, "-1"),
    ("retention.ms", Kind::Long, "604800000"),
    ("segment.bytes", Kind::Int, "1073741824"),
    ("segment.index.bytes", Kind::Int, "10485760"),
    ("segment.jitter.ms", Kind::Long, "0"),
    ("segment.ms", Kind::Long, "604800000"),
    ("unclean.leader.election.enable", Kind::Boolean, "false"),
];

/// Some of a broker's that do not follow from the settings.
const OF_BROKER: &[(&str, Kind, &str)] = &[
    ("background.threads", Kind::Int, "10"),
    ("log.cleaner.threads", Kind::Int, "1"),
    ("log.retention.hours", Kind::Int, "168"),
    ("min.insync.replicas", Kind::Int, "1"),
    ("num.io.threads", Kind::Int, "8"),
    ("num.network.threads", Kind::Int, "3"),
    ("offsets.retention.minutes", Kind::Int, "10080"),
    ("socket.request.max.bytes", Kind::Int, "104857600"),
];

/// Those of a broker's that Kafka changes while it runs (KIP-226).
const DYNAMIC: &[&str] = &[
    "background.threads",
    "log.cleaner.threads",
    "message.max.bytes",
    "min.insync.replicas",
    "num.io.threads",
    "num.network.threads",
];

/// May a topic have this?
pub(super) fn check(key: &str, value: &str) -> Result<(), String> {
    let kind = kind_of_topic_config(key).ok_or_else(|| format!("Unknown topic config name: {key}"))?;
    let allowed = match key {
        "cleanup.policy" => value.split(',').all(|policy| matches!(policy.trim(), "compact" | "delete")),
        "message.timestamp.type" => matches!(value, "CreateTime" | "LogAppendTime"),
        _ => true,
    };
    if kind.fits(value) && allowed { Ok(()) } else { Err(format!("Invalid value {value} for configuration {key}")) }
}

pub(super) fn kind_of_topic_config(key: &str) -> Option<Kind> {
    OF_TOPIC.iter().find(|(name, ..)| *name == key).map(|(_, kind, _)| *kind)
}

/// A topic's default for this.
pub(super) fn default_of_topic_config(key: &str) -> Option<&'static str> {
    OF_TOPIC.iter().find(|(name, ..)| *name == key).map(|(_, _, default)| *default)
}

/// Can a broker change this while it runs?
pub(super) fn is_dynamic(key: &str) -> bool {
    DYNAMIC.contains(&key)
}

impl Kind {
    /// Does a value look like one of this kind?
    pub(super) fn fits(self, value: &str) -> bool {
        match self {
            Self::Boolean => matches!(value, "true" | "false"),
            Self::Int => value.parse::<i32>().is_ok(),
            Self::Long => value.parse::<i64>().is_ok(),
            Self::Double => value.parse::<f64>().is_ok(),
            Self::String | Self::List => true,
        }
    }
}

/// All configurations of a topic on which these are set: name, value, source.
pub(super) fn of_topic(set: &BTreeMap<String, String>) -> impl Iterator<Item = (&'static str, String, i8)> {
    OF_TOPIC.iter().map(|(name, _, default)| match set.get(*name) {
        Some(value) => (*name, value.clone(), SET_ON_TOPIC),
        None => (*name, (*default).to_owned(), DEFAULT),
    })
}

impl Core {
    pub(super) fn describe_configs(
        &mut self,
        _: Instant,
        call: &Call,
        request: DescribeConfigsRequest,
    ) -> Outcome<DescribeConfigsResponse> {
        let describe = |resource: &DescribeConfigsResource| {
            let found = self.configs(call, resource);
            let wanted = |name: &str| {
                let keys = resource.configuration_keys.as_ref();
                keys.is_none_or(|keys| keys.iter().any(|key| key.as_str() == name))
            };
            let config = |(name, kind, value, source): (&str, Kind, String, i8)| DescribeConfigsResourceResult {
                name: text(name),
                value: Some(text(&value)),
                // What a broker's file says can mostly not be changed while it runs.
                read_only: resource.resource_type == BROKER && !is_dynamic(name),
                config_source: source,
                synonyms: match request.include_synonyms {
                    true => vec![DescribeConfigsSynonym { name: text(name), value: Some(text(&value)), source }],
                    false => Vec::new(),
                },
                config_type: kind as i8,
                documentation: None,
                ..Default::default()
            };
            let (error_code, error_message, configs) = match found {
                Ok(configs) => {
                    let wanted = configs.into_iter().filter(|(name, ..)| wanted(name));
                    (ErrorCode::NONE, None, wanted.map(config).collect())
                }
                Err((code, message)) => (code, Some(text(&message)), Vec::new()),
            };
            let (resource_type, resource_name) = (resource.resource_type, resource.resource_name.clone());
            DescribeConfigsResult { error_code, error_message, resource_type, resource_name, configs }
        };
        let results = request.resources.iter().map(describe).collect();
        Outcome::Reply(DescribeConfigsResponse { results, ..Default::default() })
    }

    fn configs(&self, call: &Call, resource: &DescribeConfigsResource) -> Result<Vec<(&'static str, Kind, String, i8)>, Refusal> {
        let name = resource.resource_name.as_str();
        match resource.resource_type {
            TOPIC => {
                let Some(topic) = self.topics.get(name) else {
                    let message = "This server does not host this topic-partition.".to_owned();
                    return Err((ErrorCode::UNKNOWN_TOPIC_OR_PARTITION, message));
                };
                let kinds = OF_TOPIC.iter().map(|(_, kind, _)| *kind);
                Ok(kinds.zip(of_topic(&topic.configs)).map(|(kind, (name, value, source))| (name, kind, value, source)).collect())
            }
            BROKER => {
                check_broker(call, name)?;
                let mut configs = self.broker_configs(call.node);
                if name.is_empty() {
                    // Of all brokers only what was set for all is told.
                    configs.retain(|(_, _, _, source)| *source == SET_ON_ALL_BROKERS);
                }
                Ok(configs)
            }
            other => Err((ErrorCode::INVALID_REQUEST, format!("Unsupported resource type: {other}"))),
        }
    }

    /// What was set for a broker while it ran: for itself, else for all.
    fn set_on_broker(&self, node: i32, key: &str) -> Option<(&str, i8)> {
        let set = |name: &str| self.broker_configs.get(name)?.get(key).map(String::as_str);
        let own = set(&node.to_string()).map(|value| (value, SET_ON_BROKER));
        own.or_else(|| set("").map(|value| (value, SET_ON_ALL_BROKERS)))
    }

    /// The largest batch for topics without a limit of their own.
    pub(super) fn message_max_bytes(&self, node: i32) -> i32 {
        let set = self.set_on_broker(node, "message.max.bytes").and_then(|(value, _)| value.parse().ok());
        set.unwrap_or(self.settings.message_max_bytes)
    }

    fn broker_configs(&self, node: i32) -> Vec<(&'static str, Kind, String, i8)> {
        let settings = &self.settings;
        let millis = |duration: std::time::Duration| duration.as_millis().to_string();
        let set = [
            ("auto.create.topics.enable", Kind::Boolean, settings.auto_create_topics.to_string()),
            ("default.replication.factor", Kind::Int, settings.replication_factor().to_string()),
            ("group.initial.rebalance.delay.ms", Kind::Int, millis(settings.group_initial_rebalance_delay)),
            ("group.max.session.timeout.ms", Kind::Int, millis(settings.group_max_session_timeout)),
            ("group.min.session.timeout.ms", Kind::Int, millis(settings.group_min_session_timeout)),
            ("message.max.bytes", Kind::Int, settings.message_max_bytes.to_string()),
            ("node.id", Kind::Int, node.to_string()),
            ("num.partitions", Kind::Int, settings.default_partitions.to_string()),
        ];
        let set = set.into_iter().map(|(name, kind, value)| (name, kind, value, STATIC));
        let defaults = OF_BROKER.iter().map(|(name, kind, value)| (*name, *kind, (*value).to_owned(), DEFAULT));
        let mut all: Vec<_> = set.chain(defaults).collect();
        for (name, _, value, source) in &mut all {
            if let Some((set, from)) = self.set_on_broker(node, name) {
                (*value, *source) = (set.to_owned(), from);
            }
        }
        all.sort_by_key(|(name, ..)| *name);
        all
    }
}

/// Is a broker asked about itself, or about all?
pub(super) fn check_broker(call: &Call, name: &str) -> Result<(), Refusal> {
    if name.is_empty() || name.parse() == Ok(call.node) {
        return Ok(());
    }
    Err((ErrorCode::INVALID_REQUEST, format!("Unexpected broker id, expected {} but received {name}", call.node)))
}
