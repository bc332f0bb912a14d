//! Administration: topics, configurations, groups and offsets, the cluster itself.
//!
//! An [`Admin`] is a cheap handle on a client's cluster. Every call goes to the broker that can answer it (controller, coordinator,
//! leader, or each broker) and is repeated after failures that may pass, until its time-out. Calls on several things give a result
//! for each: one bad item never fails its neighbours.

mod cluster;
mod configs;
mod groups;
mod offsets;
mod topics;

use std::time::Duration;

use tokio::time::Instant;

use crate::cluster::Cluster;
use crate::error::{Error, Result, said};
use crate::protocol::{ErrorCode, Str};

pub use cluster::{ApiSupport, ClusterDescription, FeatureLevel};
pub use configs::{ConfigChange, ConfigEntry, ConfigResource, ConfigSource};
pub use groups::{GroupDescription, GroupListing, GroupMember, GroupOffset};
pub use offsets::OffsetSpec;
pub use topics::{NewTopic, TopicDescription, TopicPartitionDescription, Validate};

pub use crate::cluster::{ListedOffset, TopicListing};

/// What became of each item of a call, in the order of the items.
pub type Outcomes<K, V = ()> = Vec<(K, Result<V>)>;

/// Administers a cluster; made by `Client::admin`.
#[derive(Clone, Debug)]
pub struct Admin {
    cluster: Cluster,
    timeout: Duration,
}

impl Admin {
    /// With the cluster's own limit for calls.
    pub(crate) fn new(cluster: Cluster) -> Self {
        let timeout = cluster.config().default_api_timeout;
        Self { cluster, timeout }
    }

    /// The same with another limit for each call; default: `default.api.timeout.ms`, 60 s. Brokers are told it where an API has a
    /// place for it.
    #[must_use]
    pub fn with_timeout(&self, timeout: Duration) -> Self {
        Self { cluster: self.cluster.clone(), timeout }
    }

    /// When a call that starts now must have ended.
    fn deadline(&self) -> Instant {
        Instant::now() + self.timeout
    }

    /// The time-out as brokers are told it.
    fn timeout_ms(&self) -> i32 {
        i32::try_from(self.timeout.as_millis()).unwrap_or(i32::MAX)
    }

    /// A broker's verdict on one item, with the text it gave.
    fn verdict(&self, code: ErrorCode, text: Option<&Str>, what: String) -> Result<()> {
        if code.is_ok() {
            return Ok(());
        }
        let what = match said(text) {
            Some(text) => format!("{what}: {text}"),
            None => what,
        };
        Err(self.cluster.with_principal(Error::from_code(code, what)))
    }
}
