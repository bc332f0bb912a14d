//! Configurations of topics, brokers and groups: described, and changed one setting at a time.

use std::collections::BTreeMap;

use super::topics::text;
use super::{Admin, Validate};
use crate::cluster::Route;
use crate::error::{Error, ErrorKind, Result};
use crate::protocol::messages::describe_configs::{
    DescribeConfigsRequest, DescribeConfigsResource, DescribeConfigsResourceResult,
};
use crate::protocol::messages::incremental_alter_configs::{
    AlterConfigsResource, AlterableConfig, IncrementalAlterConfigsRequest,
};
use crate::protocol::{BrokerId, Str};
use crate::record::Topic;

/// What has a configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConfigResource {
    /// A topic.
    Topic(Topic),
    /// A broker.
    Broker(BrokerId),
    /// All brokers: what holds for each of them that has no setting of its own.
    AllBrokers,
    /// A group (Kafka 3.8 and later).
    Group(String),
}

/// Where a setting's value comes from; of several places the strongest counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConfigSource {
    /// Set on the topic.
    Topic,
    /// Set on this broker while it ran.
    Broker,
    /// Set on all brokers while they ran.
    AllBrokers,
    /// In the broker's file, or set when it was started.
    Static,
    /// Nowhere: it is the default.
    Default,
    /// Set on the group.
    Group,
    /// Somewhere else; the protocol's number.
    Other(i8),
}

/// One setting of a resource.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConfigEntry {
    /// Its name.
    pub name: String,
    /// Its value; `None` if it is sensitive, or has none.
    pub value: Option<String>,
    /// Where the value comes from.
    pub source: ConfigSource,
    /// Can it not be changed while the broker runs?
    pub read_only: bool,
    /// Does it have the default value?
    pub is_default: bool,
    /// Is its value a secret, which brokers don't show?
    pub sensitive: bool,
}

/// Values of sensitive settings are never shown, whatever a broker sent.
impl std::fmt::Debug for ConfigEntry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let value = if self.sensitive { &Some("[hidden]".to_owned()) } else { &self.value };
        write!(f, "{} = {value:?}", self.name)
    }
}

/// A change to one setting; what is not named stays as it is.
#[derive(Clone, PartialEq, Eq)]
pub struct ConfigChange {
    name: String,
    operation: Operation,
    value: Option<String>,
}

/// The protocol's `config_operation`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operation {
    Set = 0,
    Delete = 1,
    Append = 2,
    Subtract = 3,
}

/// Without the value: it may be a password.
impl std::fmt::Debug for ConfigChange {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?} {}", self.operation, self.name)
    }
}

impl ConfigChange {
    /// Sets a value in place of the one there was.
    pub fn set(name: impl Into<String>, value: impl Into<String>) -> Self {
        Self { name: name.into(), operation: Operation::Set, value: Some(value.into()) }
    }

    /// Takes the setting back to what it is without being set here.
    pub fn delete(name: impl Into<String>) -> Self {
        Self { name: name.into(), operation: Operation::Delete, value: None }
    }

    /// Adds items, with commas between them, to a setting that is a list, such as `cleanup.policy`.
    pub fn append(name: impl Into<String>, items: impl Into<String>) -> Self {
        Self { name: name.into(), operation: Operation::Append, value: Some(items.into()) }
    }

    /// Takes items out of a setting that is a list.
    pub fn subtract(name: impl Into<String>, items: impl Into<String>) -> Self {
        Self { name: name.into(), operation: Operation::Subtract, value: Some(items.into()) }
    }

    fn to_wire(&self) -> Result<AlterableConfig> {
        let value = self.value.as_ref().map(|value| text(value, "a setting's value")).transpose()?;
        Ok(AlterableConfig { name: text(&self.name, "a setting's name")?, config_operation: self.operation as i8, value })
    }
}

/// Sets `name` to `value`.
impl<N: Into<String>, V: Into<String>> From<(N, V)> for ConfigChange {
    fn from((name, value): (N, V)) -> Self {
        Self::set(name, value)
    }
}

impl std::fmt::Display for ConfigResource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Topic(topic) => write!(f, "topic {topic}"),
            Self::Broker(broker) => write!(f, "broker {}", broker.0),
            Self::AllBrokers => f.write_str("all brokers"),
            Self::Group(group) => write!(f, "group {group}"),
        }
    }
}

impl ConfigResource {
    /// Number of the resource's type in the protocol, and its name.
    fn to_wire(&self) -> Result<(i8, Str)> {
        match self {
            Self::Topic(topic) => Ok((2, super::topics::topic_name(topic)?.0)),
            Self::Broker(broker) => Ok((4, text(&broker.0.to_string(), "a broker's number")?)),
            Self::AllBrokers => Ok((4, Str::default())),
            Self::Group(group) => Ok((32, text(group, "a group's name")?)),
        }
    }

    /// Who is asked: of its own settings only the broker itself knows.
    fn route(&self) -> Route {
        if let Self::Broker(broker) = self { Route::Broker(*broker) } else { Route::Any }
    }

    /// Names the resource in an error.
    fn name_in(&self, error: Error) -> Error {
        if let Self::Topic(topic) = self { error.with_topic(topic) } else { error }
    }
}

impl ConfigSource {
    fn from_wire(number: i8) -> Self {
        match number {
            1 => Self::Topic,
            2 => Self::Broker,
            3 => Self::AllBrokers,
            4 => Self::Static,
            5 => Self::Default,
            8 => Self::Group,
            other => Self::Other(other),
        }
    }
}

impl ConfigEntry {
    fn from_wire(config: DescribeConfigsResourceResult) -> Self {
        let source = ConfigSource::from_wire(config.config_source);
        Self {
            name: config.name.as_str().to_owned(),
            value: config.value.map(|value| value.as_str().to_owned()),
            source,
            read_only: config.read_only,
            is_default: source == ConfigSource::Default,
            sensitive: config.is_sensitive,
        }
    }
}

impl Admin {
    /// The configuration of one resource: all settings, or those in `keys`. A broker's is asked of that broker.
    ///
    /// # Errors
    /// If the resource does not exist or may not be seen; if no broker answered in time.
    ///
    /// # Cancel safety
    /// Nothing is changed by it.
    pub async fn describe_configs(&self, resource: &ConfigResource, keys: Option<&[&str]>) -> Result<Vec<ConfigEntry>> {
        let (resource_type, resource_name) = resource.to_wire()?;
        let keys =
            keys.map(|keys| keys.iter().map(|key| text(key, "a setting's name")).collect::<Result<Vec<_>>>()).transpose()?;
        let asked = DescribeConfigsResource { resource_type, resource_name, configuration_keys: keys };
        let request = DescribeConfigsRequest { resources: vec![asked], ..DescribeConfigsRequest::default() };
        let response = self.cluster.request_until(request, resource.route(), self.deadline()).await?;
        let named = |error: Error| resource.name_in(error.with_api("DescribeConfigs"));
        let missing = || named(Error::new(ErrorKind::Decode, "the broker's answer leaves out the resource"));
        let answer = response.results.into_iter().next().ok_or_else(missing)?;
        let what = format!("the configuration of {resource} can't be described");
        self.verdict(answer.error_code, answer.error_message.as_ref(), what).map_err(named)?;
        Ok(answer.configs.into_iter().map(ConfigEntry::from_wire).collect())
    }

    /// Changes settings of one resource; those that are not named stay as they are. All changes are made, or none. Brokers hear of a
    /// change some moments after this returns.
    ///
    /// ```no_run
    /// # async fn example(admin: klamm::admin::Admin) -> klamm::Result<()> {
    /// use klamm::admin::{ConfigChange, ConfigResource, Validate};
    ///
    /// let orders = ConfigResource::Topic("orders".into());
    /// let changes = [ConfigChange::set("retention.ms", "86400000"), ConfigChange::delete("max.message.bytes")];
    /// admin.alter_configs(&orders, changes, Validate::AndApply).await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// `INVALID_CONFIG` and the like with the broker's text, for a setting that is not there, cannot be changed, or not to this value.
    /// [`ErrorKind::UnsupportedVersion`] from brokers before Kafka 2.3, which can only replace a whole configuration: what this call
    /// does not name would be reset without a word, so it is not done.
    ///
    /// # Cancel safety
    /// What was sent is not taken back: the settings may have changed, all of them or none.
    pub async fn alter_configs(
        &self,
        resource: &ConfigResource,
        changes: impl IntoIterator<Item = impl Into<ConfigChange>>,
        validate: Validate,
    ) -> Result<()> {
        let (resource_type, resource_name) = resource.to_wire()?;
        let configs = changes.into_iter().map(|change| change.into().to_wire()).collect::<Result<Vec<_>>>()?;
        let altered = AlterConfigsResource { resource_type, resource_name, configs };
        let request = IncrementalAlterConfigsRequest { resources: vec![altered], validate_only: validate == Validate::Only };
        let named = |error: Error| resource.name_in(error.with_api("IncrementalAlterConfigs"));
        let response = self.cluster.request_until(request, resource.route(), self.deadline()).await.map_err(too_old)?;
        let missing = || named(Error::new(ErrorKind::Decode, "the broker's answer leaves out the resource"));
        let answer = response.responses.into_iter().next().ok_or_else(missing)?;
        let what = format!("the configuration of {resource} was not changed");
        self.verdict(answer.error_code, answer.error_message.as_ref(), what).map_err(named)
    }

    /// Settings of a topic by name, as text: all, or those in `keys`; without those that have no value.
    ///
    /// # Errors
    /// As [`describe_configs`](Self::describe_configs).
    ///
    /// # Cancel safety
    /// Nothing is changed by it.
    #[doc(alias = "describe_topic")]
    pub async fn topic_configs(&self, topic: impl Into<Topic>, keys: Option<&[&str]>) -> Result<BTreeMap<String, String>> {
        let entries = self.describe_configs(&ConfigResource::Topic(topic.into()), keys).await?;
        Ok(entries.into_iter().filter_map(|entry| Some((entry.name, entry.value?))).collect())
    }

    /// Sets settings of a topic; those that are not named stay as they are.
    ///
    /// # Errors
    /// As [`alter_configs`](Self::alter_configs).
    ///
    /// # Cancel safety
    /// As [`alter_configs`](Self::alter_configs).
    pub async fn alter_topic(
        &self,
        topic: impl Into<Topic>,
        settings: impl IntoIterator<Item = impl Into<ConfigChange>>,
    ) -> Result<()> {
        self.alter_configs(&ConfigResource::Topic(topic.into()), settings, Validate::AndApply).await
    }

    /// Settings of a broker: all, or those in `keys`.
    ///
    /// # Errors
    /// As [`describe_configs`](Self::describe_configs).
    ///
    /// # Cancel safety
    /// Nothing is changed by it.
    pub async fn broker_configs(&self, broker: BrokerId, keys: Option<&[&str]>) -> Result<Vec<ConfigEntry>> {
        self.describe_configs(&ConfigResource::Broker(broker), keys).await
    }

    /// Sets settings of a broker that can be changed while it runs; those that are not named stay as they are.
    ///
    /// # Errors
    /// As [`alter_configs`](Self::alter_configs).
    ///
    /// # Cancel safety
    /// As [`alter_configs`](Self::alter_configs).
    pub async fn alter_broker(
        &self,
        broker: BrokerId,
        settings: impl IntoIterator<Item = impl Into<ConfigChange>>,
    ) -> Result<()> {
        self.alter_configs(&ConfigResource::Broker(broker), settings, Validate::AndApply).await
    }
}

/// What a broker without the API means.
fn too_old(error: Error) -> Error {
    if error.kind() != ErrorKind::UnsupportedVersion {
        return error;
    }
    let message = "the broker is older than Kafka 2.3 and can only replace a whole configuration, which would reset every setting that is not named; nothing was changed. Upgrade it, or use its own kafka-configs.sh";
    let told = Error::new(ErrorKind::UnsupportedVersion, message).with_api("IncrementalAlterConfigs");
    let told = match error.broker() {
        Some(broker) => told.with_broker(broker.to_owned()),
        None => told,
    };
    told.with_source(error)
}
