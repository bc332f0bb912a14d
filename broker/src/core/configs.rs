//! Configurations: which there are, their defaults, and DescribeConfigs.
//!
//! Topics take all of Kafka's configurations for topics, by Kafka's rules; only those that `set_topic_config` names have an effect
//! here. Of a broker those can be changed that Kafka changes while it runs; `message.max.bytes`, `min.insync.replicas` and
//! `unclean.leader.election.enable` have an effect, the last two where they are set for all.

use std::collections::BTreeMap;
use std::time::Instant;

use klamm::protocol::ErrorCode;
use klamm::protocol::messages::describe_configs::{
    DescribeConfigsRequest, DescribeConfigsResource, DescribeConfigsResourceResult, DescribeConfigsResponse,
    DescribeConfigsResult, DescribeConfigsSynonym,
};

use crate::core::topics::{invalid_name, text};
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
    ("remote.log.copy.disable", Kind::Boolean, "false"),
    ("remote.log.delete.on.disable", Kind::Boolean, "false"),
    ("remote.storage.enable", Kind::Boolean, "false"),
    ("retention.bytes", Kind::Long, "-1"),
    ("retention.ms", Kind::Long, "604800000"),
    ("segment.bytes", Kind::Int, "1073741824"),
    ("segment.index.bytes", Kind::Int, "10485760"),
    ("segment.jitter.ms", Kind::Long, "0"),
    ("segment.ms", Kind::Long, "604800000"),
    ("unclean.leader.election.enable", Kind::Boolean, "false"),
];

/// The smallest values of numbers; others may be anything.
const LEAST: &[(&str, i64)] = &[
    ("delete.retention.ms", 0),
    ("file.delete.delay.ms", 0),
    ("flush.messages", 1),
    ("flush.ms", 0),
    ("index.interval.bytes", 0),
    ("local.retention.bytes", -2),
    ("local.retention.ms", -2),
    ("max.compaction.lag.ms", 1),
    ("max.message.bytes", 0),
    ("message.timestamp.after.max.ms", 0),
    ("message.timestamp.before.max.ms", 0),
    ("min.cleanable.dirty.ratio", 0),
    ("min.compaction.lag.ms", 0),
    ("min.insync.replicas", 1),
    ("retention.ms", -1),
    ("segment.bytes", 1_048_576),
    ("segment.index.bytes", 4),
    ("segment.jitter.ms", 0),
    ("segment.ms", 1),
];

/// What text may be.
const CHOICES: &[(&str, &[&str])] = &[
    ("cleanup.policy", &["compact", "delete"]),
    ("compression.type", &["uncompressed", "zstd", "lz4", "snappy", "gzip", "producer"]),
    ("message.timestamp.type", &["CreateTime", "LogAppendTime"]),
];

/// Configurations of topics with what brokers call their defaults.
const OF_TOPIC_AND_BROKER: &[(&str, &str)] = &[
    ("cleanup.policy", "log.cleanup.policy"),
    ("compression.gzip.level", "compression.gzip.level"),
    ("compression.lz4.level", "compression.lz4.level"),
    ("compression.type", "compression.type"),
    ("compression.zstd.level", "compression.zstd.level"),
    ("delete.retention.ms", "log.cleaner.delete.retention.ms"),
    ("file.delete.delay.ms", "log.segment.delete.delay.ms"),
    ("flush.messages", "log.flush.interval.messages"),
    ("flush.ms", "log.flush.interval.ms"),
    ("index.interval.bytes", "log.index.interval.bytes"),
    ("local.retention.bytes", "log.local.retention.bytes"),
    ("local.retention.ms", "log.local.retention.ms"),
    ("max.compaction.lag.ms", "log.cleaner.max.compaction.lag.ms"),
    ("max.message.bytes", "message.max.bytes"),
    ("message.timestamp.after.max.ms", "log.message.timestamp.after.max.ms"),
    ("message.timestamp.before.max.ms", "log.message.timestamp.before.max.ms"),
    ("message.timestamp.type", "log.message.timestamp.type"),
    ("min.cleanable.dirty.ratio", "log.cleaner.min.cleanable.ratio"),
    ("min.compaction.lag.ms", "log.cleaner.min.compaction.lag.ms"),
    ("min.insync.replicas", "min.insync.replicas"),
    ("preallocate", "log.preallocate"),
    ("retention.bytes", "log.retention.bytes"),
    ("retention.ms", "log.retention.ms"),
    ("segment.bytes", "log.segment.bytes"),
    ("segment.index.bytes", "log.index.size.max.bytes"),
    ("segment.jitter.ms", "log.roll.jitter.ms"),
    ("segment.ms", "log.roll.ms"),
    ("unclean.leader.election.enable", "unclean.leader.election.enable"),
];

/// Those of a broker's that have no value by default, because there are others that say it in hours, or none.
const WITHOUT_DEFAULT: &[&str] = &["log.flush.interval.ms", "log.retention.ms", "log.roll.jitter.ms", "log.roll.ms"];

/// Kafka's words for a request that makes no sense.
pub(super) const INVALID_REQUEST: &str = "This most likely occurs because of a request being malformed by the client library or the message was sent to an incompatible broker. See the broker logs for more details.";

/// Some more of a broker's that do not follow from the settings.
const OF_BROKER: &[(&str, Kind, &str)] = &[
    ("background.threads", Kind::Int, "10"),
    ("log.cleaner.threads", Kind::Int, "1"),
    ("log.retention.hours", Kind::Int, "168"),
    ("num.io.threads", Kind::Int, "8"),
    ("num.network.threads", Kind::Int, "3"),
    ("socket.request.max.bytes", Kind::Int, "104857600"),
];

/// Those of a broker's that Kafka changes while it runs (KIP-226), beside the defaults of topics.
const DYNAMIC: &[&str] = &["background.threads", "log.cleaner.threads", "num.io.threads", "num.network.threads"];

/// A configuration and where it comes from.
struct Config {
    name: &'static str,
    kind: Kind,
    value: Option<String>,
    source: i8,
    /// What its value was taken from and what it would else be taken from: names, values and sources.
    synonyms: Vec<(&'static str, String, i8)>,
}

/// May a topic have this? The words are Kafka's.
pub(super) fn check(key: &str, value: &str) -> Result<(), String> {
    let kind = kind_of_topic_config(key).ok_or_else(|| format!("Unknown topic config name: {key}"))?;
    check_value(key, key, kind, value)
}

/// May a broker have this?
pub(super) fn check_on_broker(key: &str, value: &str) -> Result<(), String> {
    check_value(key, of_topic_for(key).unwrap_or(key), kind_of_broker_config(key), value)
}

/// `rules`: the configuration of topics whose rules there are for it.
fn check_value(key: &str, rules: &str, kind: Kind, value: &str) -> Result<(), String> {
    let wrong = |why: String| Err(format!("Invalid value {value} for configuration {key}: {why}"));
    if !kind.fits(value) {
        return wrong(match kind {
            Kind::Boolean => "Expected value to be either true or false".to_owned(),
            kind => format!("Not a number of type {}", kind.name()),
        });
    }
    if let Some((_, choices)) = CHOICES.iter().find(|(name, _)| *name == rules) {
        let items: Vec<_> = if kind == Kind::List { value.split(',').map(str::trim).collect() } else { vec![value] };
        if !items.iter().all(|item| choices.contains(item)) {
            return wrong(format!("String must be one of: {}", choices.join(", ")));
        }
    }
    let least = LEAST.iter().find(|(name, _)| *name == rules).map(|(_, least)| *least);
    if let Some(least) = least.filter(|least| value.parse::<f64>().is_ok_and(|value| value < *least as f64)) {
        return wrong(format!("Value must be at least {least}"));
    }
    if rules == "min.cleanable.dirty.ratio" && value.parse::<f64>().is_ok_and(|ratio| ratio > 1.0) {
        return wrong("Value must be no more than 1".to_owned());
    }
    Ok(())
}

/// The configuration of topics for which a broker's is the default.
fn of_topic_for(broker: &str) -> Option<&'static str> {
    OF_TOPIC_AND_BROKER.iter().find(|(_, name)| *name == broker).map(|(topic, _)| *topic)
}

/// What kind a broker's configuration is that can be changed while it runs.
pub(super) fn kind_of_broker_config(key: &str) -> Kind {
    of_topic_for(key).and_then(kind_of_topic_config).unwrap_or(Kind::Int)
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
    DYNAMIC.contains(&key) || of_topic_for(key).is_some()
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Boolean => "BOOLEAN",
            Self::String => "STRING",
            Self::Int => "INT",
            Self::Long => "LONG",
            Self::Double => "DOUBLE",
            Self::List => "LIST",
        }
    }

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
                keys.is_none_or(|keys| keys.is_empty() || keys.iter().any(|key| key.as_str() == name))
            };
            let synonym = |(name, value, source): (&str, String, i8)| DescribeConfigsSynonym {
                name: text(name),
                value: Some(text(&value)),
                source,
            };
            let config = |Config { name, kind, value, source, synonyms }: Config| DescribeConfigsResourceResult {
                name: text(name),
                value: value.as_deref().map(text),
                // What a broker's file says can mostly not be changed while it runs.
                read_only: resource.resource_type == BROKER && !is_dynamic(name),
                // Before version 1 there is only whether it is the default.
                config_source: source,
                synonyms: match request.include_synonyms {
                    true => synonyms.into_iter().map(synonym).collect(),
                    false => Vec::new(),
                },
                config_type: kind as i8,
                documentation: None,
                ..Default::default()
            };
            let (error_code, error_message, configs) = match found {
                Ok(configs) => {
                    let wanted = configs.into_iter().filter(|config| wanted(config.name));
                    (ErrorCode::NONE, Some(text("")), wanted.map(config).collect())
                }
                Err((code, message)) => (code, Some(text(&message)), Vec::new()),
            };
            let (resource_type, resource_name) = (resource.resource_type, resource.resource_name.clone());
            DescribeConfigsResult { error_code, error_message, resource_type, resource_name, configs }
        };
        let results = request.resources.iter().map(describe).collect();
        Outcome::Reply(DescribeConfigsResponse { results, ..Default::default() })
    }

    fn configs(&self, call: &Call, resource: &DescribeConfigsResource) -> Result<Vec<Config>, Refusal> {
        let name = resource.resource_name.as_str();
        match resource.resource_type {
            TOPIC => {
                if let Some(why) = refused_name(name) {
                    return Err((ErrorCode::INVALID_TOPIC_EXCEPTION, why));
                }
                let Some(topic) = self.topics.get(name) else {
                    return Err((ErrorCode::UNKNOWN_TOPIC_OR_PARTITION, String::new()));
                };
                let config = |(name, kind, default): &(&'static str, Kind, &'static str)| {
                    let set = topic.configs.get(*name).map(|value| (*name, value.clone(), SET_ON_TOPIC));
                    let of_broker = OF_TOPIC_AND_BROKER.iter().find(|(topic, _)| topic == name);
                    let synonyms = of_broker.map(|(_, broker)| self.layers(call.node, broker, Some(default)));
                    let synonyms: Vec<_> = set.into_iter().chain(synonyms.into_iter().flatten()).collect();
                    // Times that brokers count in hours are told in milliseconds.
                    let (value, source) = match synonyms.first() {
                        Some((_, value, source)) if *source != DEFAULT => (value.clone(), *source),
                        _ => ((*default).to_owned(), DEFAULT),
                    };
                    Config { name, kind: *kind, value: Some(value), source, synonyms }
                };
                Ok(OF_TOPIC.iter().map(config).collect())
            }
            BROKER => {
                check_broker(call, name, " or empty string")?;
                let mut configs = self.broker_configs(call.node);
                if name.is_empty() {
                    // Of all brokers only what was set for all is told.
                    configs.retain(|config| config.source == SET_ON_ALL_BROKERS);
                }
                Ok(configs)
            }
            _ => Err((ErrorCode::INVALID_REQUEST, INVALID_REQUEST.to_owned())),
        }
    }

    /// Where a broker's configuration may come from, the first first: set on it, set on all, from its file, its default.
    fn layers(&self, node: i32, key: &'static str, default: Option<&str>) -> Vec<(&'static str, String, i8)> {
        let set = |name: &str| self.broker_configs.get(name).and_then(|set| set.get(key)).cloned();
        let mut layers: Vec<(&'static str, String, i8)> = Vec::new();
        layers.extend(set(&node.to_string()).map(|value| (key, value, SET_ON_BROKER)));
        layers.extend(set("").map(|value| (key, value, SET_ON_ALL_BROKERS)));
        let file = self.set_in_file(node).into_iter().find(|(name, ..)| *name == key);
        let default = file.as_ref().map_or(default, |(.., default)| Some(default));
        let default = default.filter(|default| !default.is_empty() && !WITHOUT_DEFAULT.contains(&key));
        // What the settings say stands in the file if it is not the default anyway.
        let set = file.as_ref().filter(|(_, _, value, _)| Some(value.as_str()) != default);
        layers.extend(set.map(|(_, _, value, _)| (key, value.clone(), STATIC)));
        layers.extend(default.map(|value| (key, value.to_owned(), DEFAULT)));
        layers
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

    /// What the settings say that may stand in the node's `server.properties`, each with Kafka's default.
    fn set_in_file(&self, node: i32) -> Vec<(&'static str, Kind, String, &'static str)> {
        let settings = &self.settings;
        let millis = |duration: std::time::Duration| duration.as_millis().to_string();
        let check_interval = millis(settings.offsets_retention_check_interval);
        let group_max_size = settings.group_max_size.min(i32::MAX as usize).to_string();
        vec![
            ("auto.create.topics.enable", Kind::Boolean, settings.auto_create_topics.to_string(), "true"),
            ("default.replication.factor", Kind::Int, settings.replication_factor().to_string(), "1"),
            ("group.initial.rebalance.delay.ms", Kind::Int, millis(settings.group_initial_rebalance_delay), "3000"),
            ("group.max.session.timeout.ms", Kind::Int, millis(settings.group_max_session_timeout), "1800000"),
            ("group.max.size", Kind::Int, group_max_size, "2147483647"),
            ("group.min.session.timeout.ms", Kind::Int, millis(settings.group_min_session_timeout), "6000"),
            ("message.max.bytes", Kind::Int, settings.message_max_bytes.to_string(), "1048588"),
            ("log.retention.check.interval.ms", Kind::Long, millis(settings.retention_check_interval), "300000"),
            ("min.insync.replicas", Kind::Int, settings.min_insync_replicas.to_string(), "1"),
            ("node.id", Kind::Int, node.to_string(), ""),
            ("num.partitions", Kind::Int, settings.default_partitions.to_string(), "1"),
            ("offset.metadata.max.bytes", Kind::Int, settings.offset_metadata_max_bytes.to_string(), "4096"),
            ("offsets.retention.check.interval.ms", Kind::Long, check_interval, "600000"),
            ("offsets.retention.minutes", Kind::Int, (settings.offsets_retention.as_secs() / 60).to_string(), "10080"),
            ("replica.lag.time.max.ms", Kind::Long, millis(settings.replica_lag_time_max), "30000"),
            ("unclean.leader.election.enable", Kind::Boolean, settings.unclean_leader_election.to_string(), "false"),
        ]
    }

    fn broker_configs(&self, node: i32) -> Vec<Config> {
        let set = self.set_in_file(node).into_iter().map(|(name, kind, _, default)| (name, kind, default));
        let defaults = OF_BROKER.iter().copied();
        let of_topics = OF_TOPIC_AND_BROKER.iter().filter_map(|(topic, broker)| {
            let (_, kind, default) = OF_TOPIC.iter().find(|(name, ..)| name == topic)?;
            Some((*broker, *kind, *default))
        });
        let mut all: BTreeMap<&'static str, Config> = BTreeMap::new();
        for (name, kind, default) in defaults.chain(of_topics).chain(set) {
            let synonyms = self.layers(node, name, Some(default));
            let (value, source) = match synonyms.first() {
                Some((_, value, source)) => (Some(value.clone()), *source),
                None => (None, DEFAULT),
            };
            all.insert(name, Config { name, kind, value, source, synonyms });
        }
        all.into_values().collect()
    }
}

/// Why a topic cannot have this name, in Kafka's words.
pub(super) fn refused_name(name: &str) -> Option<String> {
    invalid_name(name)?;
    let why = match name {
        "" => "the empty string is not allowed".to_owned(),
        "." | ".." => format!("'{name}' is not allowed"),
        name if name.len() > 249 => format!("the length of '{name}' is longer than the max allowed length 249"),
        _ => format!("'{name}' contains one or more characters other than ASCII alphanumerics, '.', '_' and '-'"),
    };
    Some(format!("Topic name is invalid: {why}"))
}

/// Is a broker asked about itself, or about all? `or_all` is how a refusal says that the latter would have been fine, too.
pub(super) fn check_broker(call: &Call, name: &str, or_all: &str) -> Result<(), Refusal> {
    let why = match name.parse::<i32>() {
        _ if name.is_empty() => return Ok(()),
        Ok(id) if id == call.node => return Ok(()),
        Ok(id) => format!("Unexpected broker id, expected {}{or_all}, but received {id}", call.node),
        Err(_) => format!("Broker id must be an integer, but it is: {name}"),
    };
    Err((ErrorCode::INVALID_REQUEST, why))
}
