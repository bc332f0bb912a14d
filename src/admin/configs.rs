//! Configurations of topics, brokers and groups, as brokers describe them.

use super::topics::text;
use super::{Admin, verdict};
use crate::cluster::Route;
use crate::error::{Error, ErrorKind, Result};
use crate::protocol::messages::describe_configs::{DescribeConfigsRequest, DescribeConfigsResource};
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
    /// A group (Kafka 3.8 and later).
    Group(String),
}

/// One setting of a resource.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConfigEntry {
    /// Its name.
    pub name: String,
    /// Its value; `None` if it is sensitive, or has none.
    pub value: Option<String>,
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

impl ConfigResource {
    /// Number of the resource's type in the protocol, and its name.
    fn to_wire(&self) -> Result<(i8, Str)> {
        match self {
            Self::Topic(topic) => Ok((2, super::topics::topic_name(topic)?.0)),
            Self::Broker(broker) => Ok((4, text(&broker.0.to_string(), "a broker's number")?)),
            Self::Group(group) => Ok((32, text(group, "a group's name")?)),
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
        let route = if let ConfigResource::Broker(broker) = resource { Route::Broker(*broker) } else { Route::Any };
        let response = self.cluster.request_until(request, route, self.deadline()).await?;
        let missing = || Error::new(ErrorKind::Decode, "the broker's answer leaves out the resource").with_api("DescribeConfigs");
        let answer = response.results.into_iter().next().ok_or_else(missing)?;
        verdict(answer.error_code, answer.error_message.as_ref(), format!("configuration of {resource:?} can't be described"))
            .map_err(|error| error.with_api("DescribeConfigs"))?;
        // 5 is the source "default" of version 1 and later, the oldest one spoken.
        const DEFAULT: i8 = 5;
        let entry = |config: crate::protocol::messages::describe_configs::DescribeConfigsResourceResult| ConfigEntry {
            name: config.name.as_str().to_owned(),
            value: config.value.map(|value| value.as_str().to_owned()),
            read_only: config.read_only,
            is_default: config.config_source == DEFAULT,
            sensitive: config.is_sensitive,
        };
        Ok(answer.configs.into_iter().map(entry).collect())
    }
}
