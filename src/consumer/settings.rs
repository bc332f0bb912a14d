//! What a consumer is configured with, and what of it cannot be.

use std::collections::BTreeMap;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use crate::cluster::{BackoffConfig, LogEnd};
use crate::config::Properties;
use crate::consumer::assignor::{Assignor, CooperativeStickyAssignor, RangeAssignor, RoundRobinAssignor};
use crate::consumer::fetch::FetchSettings;
use crate::consumer::pattern::{Subscribed, TopicPattern};
use crate::{Error, ErrorKind, Result, Topic};

/// Where to begin where there is no offset to begin at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum OffsetReset {
    /// At the first record that the log still has.
    #[default]
    Earliest,
    /// Behind the last one, for records that come from now on.
    Latest,
    /// Nowhere: the user gets an error and decides.
    Error,
}

impl FromStr for OffsetReset {
    type Err = Error;

    /// Java's names: `earliest`, `latest`, `none`.
    fn from_str(text: &str) -> Result<Self> {
        match text {
            "earliest" => Ok(Self::Earliest),
            "latest" => Ok(Self::Latest),
            "none" | "error" => Ok(Self::Error),
            _ => Err(invalid(format!("auto.offset.reset is \"{text}\"; it must be earliest, latest or none"))),
        }
    }
}

/// Which records of transactions a consumer sees.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum IsolationLevel {
    /// Those of committed ones, once they are committed.
    #[default]
    ReadCommitted,
    /// All, also of those that are open or were aborted.
    ReadUncommitted,
}

impl IsolationLevel {
    /// Where a log ends for who reads it so.
    pub(crate) fn log_end(self) -> LogEnd {
        match self {
            Self::ReadCommitted => LogEnd::LastStable,
            Self::ReadUncommitted => LogEnd::HighWatermark,
        }
    }
}

impl FromStr for IsolationLevel {
    type Err = Error;

    /// Java's names: `read_committed`, `read_uncommitted`.
    fn from_str(text: &str) -> Result<Self> {
        match text {
            "read_committed" => Ok(Self::ReadCommitted),
            "read_uncommitted" => Ok(Self::ReadUncommitted),
            _ => Err(invalid(format!("isolation.level is \"{text}\"; it must be read_committed or read_uncommitted"))),
        }
    }
}

#[derive(Clone, Debug)]
pub(crate) struct ConsumerSettings {
    pub(crate) group_id: String,
    pub(crate) topics: Vec<Topic>,
    /// As they were written; read when the consumer is built.
    pub(crate) patterns: Vec<String>,
    pub(crate) exclude_internal_topics: bool,
    /// `None`: as often as metadata is refreshed.
    pub(crate) refresh_topic_interval: Option<Duration>,
    pub(crate) auto_offset_reset: OffsetReset,
    pub(crate) isolation_level: IsolationLevel,
    pub(crate) session_timeout: Duration,
    pub(crate) heartbeat_interval: Duration,
    pub(crate) max_poll_interval: Duration,
    pub(crate) auto_commit_interval: Duration,
    pub(crate) auto_commit_threshold: u32,
    pub(crate) offset_retention: Option<Duration>,
    pub(crate) automatically_mark: bool,
    pub(crate) fetch_max_wait: Duration,
    pub(crate) fetch_min_bytes: usize,
    pub(crate) fetch_max_bytes: usize,
    pub(crate) max_partition_fetch_bytes: usize,
    /// The same for topics that have their own.
    pub(crate) topic_fetch_bytes: BTreeMap<Topic, usize>,
    pub(crate) prefetch_bytes: usize,
    /// Empty: the default.
    pub(crate) assignors: Vec<Arc<dyn Assignor>>,
    pub(crate) instance_id: Option<String>,
    pub(crate) rack: Option<String>,
    pub(crate) assigning: Assigning,
}

/// Where a group's leader calls its assignor, which may be a user's and take its time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Assigning {
    /// On the runtime's blocking pool.
    #[default]
    OnPool,
    /// In the group's task: for tests that replay, since a pool has a clock of its own.
    Inline,
}

impl ConsumerSettings {
    pub(crate) fn new(group_id: String) -> Self {
        Self {
            group_id,
            topics: Vec::new(),
            patterns: Vec::new(),
            exclude_internal_topics: true,
            refresh_topic_interval: None,
            auto_offset_reset: OffsetReset::default(),
            isolation_level: IsolationLevel::default(),
            session_timeout: Duration::from_secs(45),
            heartbeat_interval: Duration::from_secs(3),
            max_poll_interval: Duration::from_secs(300),
            auto_commit_interval: Duration::from_secs(5),
            auto_commit_threshold: 0,
            offset_retention: None,
            automatically_mark: true,
            fetch_max_wait: Duration::from_millis(500),
            fetch_min_bytes: 1,
            fetch_max_bytes: 50 * 1024 * 1024,
            max_partition_fetch_bytes: 1024 * 1024,
            topic_fetch_bytes: BTreeMap::new(),
            prefetch_bytes: 64 * 1024 * 1024,
            assignors: Vec::new(),
            instance_id: None,
            rack: None,
            assigning: Assigning::default(),
        }
    }

    /// Takes what belongs to consumers out of `properties`.
    ///
    /// # Errors
    /// A value that cannot be, naming its setting.
    pub(crate) fn take(mut self, properties: &mut Properties) -> Result<Self> {
        if let Some(group_id) = properties.take("group.id") {
            self.group_id = group_id;
        }
        for (name, time) in [
            ("session.timeout.ms", &mut self.session_timeout),
            ("heartbeat.interval.ms", &mut self.heartbeat_interval),
            ("max.poll.interval.ms", &mut self.max_poll_interval),
            ("auto.commit.interval.ms", &mut self.auto_commit_interval),
            ("fetch.max.wait.ms", &mut self.fetch_max_wait),
        ] {
            *time = properties.take_millis(name)?.unwrap_or(*time);
        }
        for (name, size) in [
            ("fetch.min.bytes", &mut self.fetch_min_bytes),
            ("fetch.max.bytes", &mut self.fetch_max_bytes),
            ("max.partition.fetch.bytes", &mut self.max_partition_fetch_bytes),
        ] {
            *size = properties.take_size(name)?.unwrap_or(*size);
        }
        if let Some(reset) = properties.take_parsed("auto.offset.reset")? {
            self.auto_offset_reset = reset;
        }
        if let Some(isolation) = properties.take_parsed("isolation.level")? {
            self.isolation_level = isolation;
        }
        if properties.take_bool("enable.auto.commit")? == Some(false) {
            self.automatically_mark = false;
            self.auto_commit_interval = Duration::ZERO;
        }
        if let Some(exclude) = properties.take_bool("exclude.internal.topics")? {
            self.exclude_internal_topics = exclude;
        }
        if let Some(names) = properties.take_list("partition.assignment.strategy") {
            self.assignors = names.iter().map(|name| assignor(name)).collect::<Result<_>>()?;
        }
        self.instance_id = properties.take("group.instance.id").filter(|id| !id.is_empty());
        self.rack = properties.take("client.rack").filter(|rack| !rack.is_empty());
        Ok(self)
    }

    /// # Errors
    /// The first setting that is wrong, or two that contradict each other.
    pub(crate) fn check(&self) -> Result<()> {
        if self.group_id.is_empty() {
            return Err(invalid("group.id is empty; a consumer belongs to a group that has a name"));
        }
        if i16::try_from(self.group_id.len()).is_err() {
            return Err(invalid(format!("group.id has {} bytes; at most {} are possible", self.group_id.len(), i16::MAX)));
        }
        if self.topics.is_empty() && self.patterns.is_empty() {
            return Err(invalid(
                "the consumer has no topics; name those it shall read with `topics`, or say what their names are like with `topics_matching`",
            ));
        }
        self.check_reading()?;
        for (name, value) in [("session.timeout.ms", self.session_timeout), ("max.poll.interval.ms", self.max_poll_interval)] {
            if value.is_zero() || i32::try_from(value.as_millis()).is_err() {
                return Err(invalid(format!("{name} is {value:?}; it must be from 1 ms to {} ms", i32::MAX)));
            }
        }
        if self.heartbeat_interval.is_zero() || self.heartbeat_interval >= self.session_timeout {
            return Err(invalid(format!(
                "heartbeat.interval.ms is {:?} and session.timeout.ms is {:?}; heartbeats must come more often than the session runs out, a third of it is usual",
                self.heartbeat_interval, self.session_timeout
            )));
        }
        Ok(())
    }

    /// What also holds without a group.
    pub(crate) fn check_reading(&self) -> Result<()> {
        if let Some((topic, reason)) = self.topics.iter().find_map(|topic| Some((topic, topic.invalid()?))) {
            return Err(Error::new(ErrorKind::InvalidRequest, reason).with_topic(topic));
        }
        let sizes = [
            ("fetch.max.bytes", self.fetch_max_bytes),
            ("max.partition.fetch.bytes", self.max_partition_fetch_bytes),
            ("the number of bytes to fetch ahead", self.prefetch_bytes),
        ];
        if let Some((name, _)) = sizes.iter().find(|(_, bytes)| *bytes == 0) {
            return Err(invalid(format!("{name} is 0; nothing could be fetched")));
        }
        if let Some((topic, bytes)) =
            self.topic_fetch_bytes.iter().find(|(_, bytes)| **bytes == 0 || i32::try_from(**bytes).is_err())
        {
            let why = format!("max.partition.fetch.bytes of topic {topic} is {bytes}; it must be from 1 to {}", i32::MAX);
            return Err(invalid(why).with_topic(topic));
        }
        let sizes = [("fetch.min.bytes", self.fetch_min_bytes), sizes[0], sizes[1]];
        if let Some((name, bytes)) = sizes.iter().find(|(_, bytes)| i32::try_from(*bytes).is_err()) {
            return Err(invalid(format!("{name} is {bytes}; at most {} is possible", i32::MAX)));
        }
        if self.fetch_min_bytes > self.fetch_max_bytes {
            return Err(invalid(format!(
                "fetch.min.bytes is {} and fetch.max.bytes is {}: no answer could be enough",
                self.fetch_min_bytes, self.fetch_max_bytes
            )));
        }
        if i32::try_from(self.fetch_max_wait.as_millis()).is_err() {
            return Err(invalid(format!("fetch.max.wait.ms is {:?}; at most {} ms is possible", self.fetch_max_wait, i32::MAX)));
        }
        Ok(())
    }

    /// What is subscribed to; `interval` is how often patterns are looked through unless that is set.
    ///
    /// # Errors
    /// A pattern that is none.
    pub(crate) fn subscribed(&self, interval: Duration) -> Result<Subscribed> {
        let interval = self.refresh_topic_interval.unwrap_or(interval);
        Ok(Subscribed {
            topics: self.topics.clone(),
            patterns: self.patterns.iter().map(|pattern| TopicPattern::new(pattern)).collect::<Result<_>>()?,
            exclude_internal: self.exclude_internal_topics,
            interval: (!interval.is_zero()).then_some(interval),
        })
    }

    pub(crate) fn fetch(&self, backoff: BackoffConfig) -> FetchSettings {
        let bytes = |bytes| i32::try_from(bytes).unwrap_or(i32::MAX);
        FetchSettings {
            max_wait: self.fetch_max_wait,
            min_bytes: bytes(self.fetch_min_bytes),
            max_bytes: bytes(self.fetch_max_bytes),
            partition_max_bytes: bytes(self.max_partition_fetch_bytes),
            topic_max_bytes: self.topic_fetch_bytes.iter().map(|(topic, most)| (topic.clone(), bytes(*most))).collect(),
            read_committed: self.isolation_level == IsolationLevel::ReadCommitted,
            budget: self.prefetch_bytes,
            backoff,
        }
    }
}

/// The assignor of a name that members agree on, or of its class in Java.
fn assignor(name: &str) -> Result<Arc<dyn Assignor>> {
    match name.rsplit('.').next().unwrap_or(name) {
        "cooperative-sticky" | "CooperativeStickyAssignor" => Ok(Arc::new(CooperativeStickyAssignor)),
        "range" | "RangeAssignor" => Ok(Arc::new(RangeAssignor)),
        "roundrobin" | "RoundRobinAssignor" => Ok(Arc::new(RoundRobinAssignor)),
        _ => Err(invalid(format!(
            "partition.assignment.strategy names \"{name}\"; known are cooperative-sticky, range and roundrobin"
        ))),
    }
}

pub(crate) fn invalid(message: impl Into<std::borrow::Cow<'static, str>>) -> Error {
    Error::new(ErrorKind::InvalidConfig, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(change: impl FnOnce(&mut ConsumerSettings)) -> Result<()> {
        let mut settings = ConsumerSettings::new("group".into());
        settings.topics = vec!["topic".into()];
        change(&mut settings);
        settings.check()
    }

    #[test]
    fn defaults_are_in_order() {
        assert!(settings(|_| {}).is_ok());
    }

    #[test]
    fn rk_127_no_subscription_is_an_error_that_says_so() {
        let error = settings(|settings| settings.topics.clear()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidConfig);
        assert!(error.to_string().contains("no topics"), "{error}");
    }

    #[test]
    fn each_wrong_setting_is_named() {
        type Change = fn(&mut ConsumerSettings);
        let cases: [(&str, Change); 8] = [
            ("group.id", |settings| settings.group_id.clear()),
            ("session.timeout.ms", |settings| settings.session_timeout = Duration::ZERO),
            ("heartbeat.interval.ms", |settings| settings.heartbeat_interval = settings.session_timeout),
            ("fetch.max.bytes", |settings| settings.fetch_max_bytes = 0),
            ("fetch.max.bytes", |settings| settings.fetch_max_bytes = 1 << 31),
            ("fetch.min.bytes", |settings| settings.fetch_min_bytes = settings.fetch_max_bytes + 1),
            ("fetch.max.wait.ms", |settings| settings.fetch_max_wait = Duration::from_secs(1 << 40)),
            ("max.poll.interval.ms", |settings| settings.max_poll_interval = Duration::from_secs(1 << 40)),
        ];
        for (name, change) in cases {
            let error = settings(change).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidConfig);
            assert!(error.to_string().contains(name), "{error}");
        }
        let error = settings(|settings| settings.topics.push("a b".into())).unwrap_err();
        assert_eq!((error.kind(), error.topic()), (ErrorKind::InvalidRequest, Some("a b")));
    }

    #[test]
    fn properties_by_java_s_names_are_taken() {
        let mut properties = Properties::from_pairs([
            ("group.id", "billing"),
            ("auto.offset.reset", "latest"),
            ("enable.auto.commit", "false"),
            ("partition.assignment.strategy", "org.apache.kafka.clients.consumer.RangeAssignor,roundrobin"),
            ("fetch.min.bytes", "7"),
            ("exclude.internal.topics", "false"),
        ])
        .unwrap();
        let settings = ConsumerSettings::new(String::new()).take(&mut properties).unwrap();
        assert_eq!(settings.group_id, "billing");
        assert_eq!(settings.auto_offset_reset, OffsetReset::Latest);
        assert!(!settings.automatically_mark && settings.auto_commit_interval.is_zero());
        assert_eq!(settings.fetch_min_bytes, 7);
        assert!(!settings.exclude_internal_topics);
        let names: Vec<&str> = settings.assignors.iter().map(|assignor| assignor.name()).collect();
        assert_eq!(names, ["range", "roundrobin"]);
        let mut properties = Properties::from_pairs([("partition.assignment.strategy", "fair")]).unwrap();
        let error = ConsumerSettings::new(String::new()).take(&mut properties).unwrap_err();
        assert!(error.to_string().contains("fair"), "{error}");
    }

    #[test]
    fn names_of_choices_are_java_s() {
        assert_eq!("none".parse::<OffsetReset>().unwrap(), OffsetReset::Error);
        assert_eq!("read_uncommitted".parse::<IsolationLevel>().unwrap(), IsolationLevel::ReadUncommitted);
        assert!("newest".parse::<OffsetReset>().unwrap_err().to_string().contains("newest"));
        assert!("dirty".parse::<IsolationLevel>().unwrap_err().to_string().contains("dirty"));
    }
}
