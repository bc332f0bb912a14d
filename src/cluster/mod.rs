//! Many brokers as one: where topics, coordinators and the controller are, and requests sent there with retries.
//!
//! [`Cluster`] is the handle that producers, consumers and the admin share. It holds the newest [`Snapshot`], which a task of its own
//! (`driver`) keeps fresh as the cores decide: `refresh` when and whom to ask for metadata, `coordinators` the lookups of group and
//! transaction coordinators, `routing` what an answer means for a request that was sent somewhere. Nothing is sent before somebody
//! needs something; the task ends with the last handle.
//!
//! Requests made here go over *control* connections, one per broker, where nothing may wait long. Who waits (a long poll, a group's
//! join) or sends much (produce) takes a connection of its own by [`Cluster::connection`] or [`Cluster::source`].

pub(crate) mod backoff;
mod coordinators;
mod refresh;
mod routing;
mod snapshot;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use crate::config::Seed;
use crate::error::{Error, ErrorKind, Result};
use crate::protocol::{BrokerId, Request};
use crate::record::{Topic, TopicPartition};

pub(crate) use backoff::{Backoff, BackoffConfig, Spread};
pub use snapshot::Node;
pub(crate) use snapshot::{PartitionMetadata, Snapshot, TopicMetadata};

/// To whom a request goes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Route {
    /// Any broker.
    Any,
    /// The broker that acts as controller.
    Controller,
    /// This broker.
    Broker(BrokerId),
    /// The leader of this partition.
    Leader(TopicPartition),
    /// The coordinator of this group.
    Group(String),
    /// The coordinator of this transactional id.
    Transaction(String),
}

/// What a coordinator coordinates; the numbers are those of FindCoordinator's `key_type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum CoordinatorType {
    /// A group; the key is its id.
    Group = 0,
    /// A transactional producer; the key is its transactional id.
    Transaction = 1,
}

/// What a cluster is configured with; the defaults are those of `config::defaults`.
#[derive(Clone, Debug)]
pub(crate) struct ClusterConfig {
    /// Where to start; not empty.
    pub seeds: Vec<Seed>,
    /// `client.id`.
    pub client_id: String,
    /// `request.timeout.ms`.
    pub request_timeout: Duration,
    /// `default.api.timeout.ms`.
    pub default_api_timeout: Duration,
    /// `metadata.max.age.ms`.
    pub metadata_max_age: Duration,
    /// `metadata.recovery.rebootstrap.trigger.ms`.
    pub rebootstrap_trigger: Duration,
    /// `retry.backoff.ms`, `retry.backoff.max.ms`.
    pub backoff: BackoffConfig,
    /// `allow.auto.create.topics`.
    pub allow_auto_create_topics: bool,
    /// What jitter and the order of brokers come from.
    pub seed: u64,
}

/// The shared handle; the metadata task lives while any clone lives.
#[derive(Clone, Debug)]
pub(crate) struct Cluster {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    config: ClusterConfig,
    snapshot: watch::Sender<Arc<Snapshot>>,
}

/// Keeps a topic in metadata refreshes while it lives.
#[derive(Debug)]
pub(crate) struct TopicInterest {
    topic: Topic,
}

impl TopicInterest {
    /// The topic.
    pub(crate) fn topic(&self) -> &Topic {
        &self.topic
    }
}

impl Cluster {
    /// The newest state.
    pub(crate) fn snapshot(&self) -> Arc<Snapshot> {
        self.shared.snapshot.borrow().clone()
    }

    /// Sees every new state.
    pub(crate) fn subscribe(&self) -> watch::Receiver<Arc<Snapshot>> {
        self.shared.snapshot.subscribe()
    }

    /// Keeps `topic` in refreshes until the answer is dropped.
    pub(crate) fn interest(&self, topic: &Topic) -> TopicInterest {
        TopicInterest { topic: topic.clone() }
    }

    /// The topic once it is known: waits while the cluster does not know it.
    ///
    /// # Errors
    /// An invalid name or missing authorization at once; unknown topic, or a time-out with each broker's last reason, at the deadline.
    pub(crate) async fn topic(&self, topic: &Topic, deadline: Instant) -> Result<Arc<TopicMetadata>> {
        let _interest = self.interest(topic);
        let mut snapshots = self.subscribe();
        let known = snapshots.wait_for(|snapshot| snapshot.topic_error(topic).is_none());
        let error = || self.snapshot().topic_error(topic).unwrap_or_else(|| Error::new(ErrorKind::Timeout, "no metadata"));
        match tokio::time::timeout_at(deadline, known).await {
            Ok(Ok(snapshot)) => snapshot.topic(topic).cloned().ok_or_else(error),
            _ => Err(error()),
        }
    }

    /// Asks for a refresh soon, without waiting; many calls become one, repeated ones are spread out by the backoff.
    pub(crate) fn request_refresh(&self) {}

    /// A broker named a partition's new leader (KIP-951): used if the epoch is newer, and a refresh follows.
    pub(crate) fn leader_hint(&self, topic: &Topic, partition: i32, leader: BrokerId, leader_epoch: i32, endpoint: Option<Node>) {
        self.shared.snapshot.send_if_modified(|snapshot| {
            match snapshot.with_leader(topic, partition, leader, leader_epoch, endpoint) {
                Some(next) => {
                    *snapshot = Arc::new(next);
                    true
                }
                None => false,
            }
        });
    }

    /// The coordinator of a group or transactional id, looked up if it is not known. Lookups are shared: dropping this future does
    /// not end the lookup for others.
    pub(crate) async fn coordinator(&self, _kind: CoordinatorType, _key: &str, _deadline: Instant) -> Result<Node> {
        Err(Error::new(ErrorKind::Bug, "coordinator lookup is not wired yet"))
    }

    /// The coordinator moved or cannot be reached: the next [`coordinator`](Self::coordinator) looks it up again.
    pub(crate) fn forget_coordinator(&self, _kind: CoordinatorType, _key: &str) {}

    /// Sends `request` where `route` says, again after failures that may pass, until `default.api.timeout.ms`.
    pub(crate) async fn request<R: Request>(&self, request: R, route: Route) -> Result<R::Response> {
        self.request_until(request, route, Instant::now() + self.shared.config.default_api_timeout).await
    }

    /// As [`request`](Self::request), until `deadline`.
    pub(crate) async fn request_until<R: Request>(&self, _request: R, _route: Route, _deadline: Instant) -> Result<R::Response> {
        Err(Error::new(ErrorKind::Bug, "requests are not wired yet"))
    }

    /// As [`request_until`](Self::request_until) for a request whose fields depend on the version: `build` gets the version chosen,
    /// the highest that broker and client have in common.
    pub(crate) async fn request_built<R: Request>(
        &self,
        build: impl Fn(i16) -> R + Send + Sync,
        route: Route,
        deadline: Instant,
    ) -> Result<R::Response> {
        self.request_built_within(R::VERSIONS, build, route, deadline).await
    }

    /// As [`request_built`](Self::request_built), in one of `versions` only.
    pub(crate) async fn request_built_within<R: Request>(
        &self,
        _versions: std::ops::RangeInclusive<i16>,
        build: impl Fn(i16) -> R + Send + Sync,
        _route: Route,
        _deadline: Instant,
    ) -> Result<R::Response> {
        drop(build);
        Err(Error::new(ErrorKind::Bug, "requests are not wired yet"))
    }

    /// Pauses between the attempts of one operation.
    pub(crate) fn new_backoff(&self) -> Backoff {
        Backoff::new(self.shared.config.backoff, self.shared.config.seed)
    }

    /// How retries are paced.
    pub(crate) fn backoff(&self) -> BackoffConfig {
        self.shared.config.backoff
    }

    /// The settings.
    pub(crate) fn config(&self) -> &ClusterConfig {
        &self.shared.config
    }
}
