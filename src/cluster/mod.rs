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
pub(crate) mod coordinators;
mod driver;
mod explain;
mod list_offsets;
mod list_topics;
pub(crate) mod refresh;
mod request;
mod routing;
mod snapshot;
#[cfg(feature = "unstable-cores")]
pub(crate) mod unstable;
mod wait;
pub(crate) mod watched;

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use crate::cluster::coordinators::Key;
use crate::cluster::driver::Shared;
use crate::config::Seed;
use crate::error::{Error, ErrorKind, Result};
use crate::network::clock::Clock;
use crate::network::{Connection, ConnectionConfig, Connector, RequestSource, SourceHandle, Target, spawn_source};
use crate::protocol::{ApiKey, BrokerId, Request};
use crate::record::{Topic, TopicPartition};

pub(crate) use backoff::{Backoff, BackoffConfig, Spread};
pub use list_offsets::ListedOffset;
pub(crate) use list_offsets::LogEnd;
pub use list_topics::TopicListing;
pub use request::RawResponse;
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
    /// Who the client is to the brokers, if it knows.
    pub principal: Option<Arc<str>>,
    /// How each connection behaves: client id, set-up, reconnecting. Its seed is not used, each connection gets one of its own.
    pub connection: ConnectionConfig,
    /// What jitter and the order of brokers come from.
    pub seed: u64,
}

impl ClusterConfig {
    /// The defaults, starting at `seeds`.
    pub(crate) fn new(seeds: Vec<Seed>) -> Self {
        Self {
            seeds,
            request_timeout: Duration::from_secs(30),
            default_api_timeout: Duration::from_secs(60),
            metadata_max_age: Duration::from_secs(300),
            rebootstrap_trigger: Duration::from_secs(300),
            backoff: BackoffConfig::default(),
            allow_auto_create_topics: false,
            principal: None,
            connection: ConnectionConfig::default(),
            seed: 0,
        }
    }
}

/// The shared handle; the metadata task lives while any clone lives.
#[derive(Clone, Debug)]
pub(crate) struct Cluster {
    alive: Arc<Alive>,
    /// Refuses work when closed; components that outlive the client have none.
    gate: Option<Gate>,
}

/// Open until it is closed for good. A client's own handle refuses work by it while components made before go on.
#[derive(Clone, Debug, Default)]
pub(crate) struct Gate(Arc<AtomicBool>);

impl Gate {
    /// From now on everything is refused.
    pub(crate) fn close(&self) {
        self.0.store(true, Ordering::Release);
    }

    /// Is everything refused?
    pub(crate) fn is_closed(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

/// Ends the metadata task when the last handle goes.
#[derive(Debug)]
struct Alive(Arc<Shared>);

impl Drop for Alive {
    fn drop(&mut self) {
        self.0.end();
    }
}

/// Keeps a topic in metadata refreshes while it lives.
#[derive(Debug)]
pub(crate) struct TopicInterest {
    topic: Topic,
    shared: Arc<Shared>,
}

impl TopicInterest {
    fn new(shared: &Arc<Shared>, topic: &Topic) -> Self {
        shared.command(refresh::Command::Use(topic.clone()));
        Self { topic: topic.clone(), shared: shared.clone() }
    }
}

impl Drop for TopicInterest {
    fn drop(&mut self) {
        self.shared.command(refresh::Command::Unuse(self.topic.clone()));
    }
}

impl Cluster {
    /// Starts the metadata task. Nothing is sent before somebody needs something.
    ///
    /// # Errors
    /// When not called inside a tokio runtime.
    pub(crate) fn new(config: ClusterConfig, connector: Arc<dyn Connector>) -> Result<Self> {
        let shared = driver::start(config, connector)?;
        Ok(Self { alive: Arc::new(Alive(shared)), gate: None })
    }

    /// A handle that refuses work once `gate` is closed.
    pub(crate) fn gated(&self, gate: &Gate) -> Self {
        Self { alive: self.alive.clone(), gate: Some(gate.clone()) }
    }

    /// A handle that goes on working, whatever becomes of the client.
    pub(crate) fn ungated(&self) -> Self {
        Self { alive: self.alive.clone(), gate: None }
    }

    /// May work begin?
    ///
    /// # Errors
    /// [`ErrorKind::Closed`] if the client was closed, or its runtime has ended.
    pub(crate) fn check(&self) -> Result<()> {
        match &self.gate {
            Some(gate) if gate.is_closed() => Err(Error::new(ErrorKind::Closed, "the client was closed; build another")),
            _ => self.shared().check(),
        }
    }

    /// The runtime that the client was built in is the one around until the answer is dropped: what lives as long as the client must
    /// not end with a runtime that somebody calls from.
    pub(crate) fn enter(&self) -> tokio::runtime::EnterGuard<'_> {
        self.shared().runtime().enter()
    }

    /// Learns of the cluster: each bootstrap server is tried once. Does nothing if the cluster is known already.
    ///
    /// # Errors
    /// When none gives an answer: one error that lists each with its own reason; a refusal's, if one of them refused this client.
    pub(crate) async fn connect(&self) -> Result<()> {
        self.check()?;
        self.shared().connect().await
    }

    /// The newest state.
    pub(crate) fn snapshot(&self) -> Arc<Snapshot> {
        self.shared().snapshot()
    }

    /// Sees every new state.
    pub(crate) fn subscribe(&self) -> watched::Receiver<Arc<Snapshot>> {
        self.shared().subscribe()
    }

    /// Sees whenever a round of metadata ended because brokers refuse this client, and when one succeeds again.
    pub(crate) fn refusals(&self) -> watched::Receiver<Option<Error>> {
        self.shared().refusals()
    }

    /// Why brokers refuse this client, as the last round of metadata showed.
    pub(crate) fn refusal(&self) -> Option<Error> {
        self.shared().refusals().borrow().clone()
    }

    /// Keeps `topic` in refreshes until the answer is dropped; asks for it at once if it was not asked for yet.
    pub(crate) fn interest(&self, topic: &Topic) -> TopicInterest {
        TopicInterest::new(self.shared(), topic)
    }

    /// The topic once it is known: waits while the cluster does not know it. To keep it fresh afterwards, hold an
    /// [`interest`](Self::interest).
    ///
    /// # Errors
    /// An invalid name, missing authorization, or that this client is refused as soon as a broker says so; unknown topic, or a time-out with each broker's last
    /// reason, at the deadline.
    pub(crate) async fn topic(&self, topic: &Topic, deadline: Instant) -> Result<Arc<TopicMetadata>> {
        self.check()?;
        if let Some(known) = self.shared().known_topic(topic) {
            return Ok(known);
        }
        let _interest = self.interest(topic);
        match self.shared().topic(topic, deadline).await {
            Err(error) => Err(self.explain(error).await),
            known => known,
        }
    }

    /// Asks for a refresh soon, without waiting; many calls become one, repeated ones are spread out by the backoff.
    pub(crate) fn request_refresh(&self) {
        self.shared().command(refresh::Command::Refresh);
    }

    /// Waits until metadata was learned anew, at most until `deadline`: after a change that components of this client must see. Or until
    /// brokers refuse this client.
    pub(crate) async fn refreshed(&self, deadline: Instant) {
        self.shared().refreshed(deadline).await;
    }

    /// A broker named a partition's new leader (KIP-951): used at once if the epoch is newer, and a refresh follows.
    pub(crate) fn leader_hint(&self, topic: &Topic, partition: i32, leader: BrokerId, leader_epoch: i32, endpoint: Option<Node>) {
        let topic = topic.clone();
        self.shared().command(refresh::Command::LeaderHint { topic, partition, leader, leader_epoch, endpoint });
    }

    /// The coordinator of a group or transactional id, looked up if it is not known. Lookups are shared: dropping this future does
    /// not end the lookup for others.
    ///
    /// # Errors
    /// Missing authorization and the like as soon as a broker says so; a time-out with the last reason at the deadline.
    pub(crate) async fn coordinator(&self, kind: CoordinatorType, key: &str, deadline: Instant) -> Result<Node> {
        self.check()?;
        let found = self.shared().coordinator(Key { kind, key: key.to_owned() }, deadline).await;
        found.map_err(|error| self.with_principal(error))
    }

    /// The coordinator moved or cannot be reached: the next [`coordinator`](Self::coordinator) looks it up again.
    pub(crate) fn forget_coordinator(&self, kind: CoordinatorType, key: &str) {
        self.shared().forget(Key { kind, key: key.to_owned() });
    }

    /// A new connection to `node` for the caller alone.
    ///
    /// # Errors
    /// When not called inside a tokio runtime.
    pub(crate) fn connection(&self, node: &Node) -> Result<Connection> {
        self.check()?;
        let shared = self.shared();
        let _there = self.enter();
        Connection::spawn(shared.connector(), target(node), shared.connection_config(node))
    }

    /// A new connection to `node` whose requests come from `source`.
    ///
    /// # Errors
    /// When not called inside a tokio runtime.
    pub(crate) fn source<S: RequestSource>(&self, node: &Node, source: S) -> Result<SourceHandle> {
        self.check()?;
        let shared = self.shared();
        let _there = self.enter();
        // A source knows itself how many requests it wants in flight.
        let config = ConnectionConfig { max_in_flight: usize::MAX, ..shared.connection_config(node) };
        spawn_source(shared.connector(), target(node), config, source)
    }

    /// Sends `request` where `route` says, again after failures that may pass, until `default.api.timeout.ms`.
    ///
    /// # Errors
    /// A time-out with each broker's last reason; at once what no other attempt can change. Codes in an answer are the caller's, save
    /// those that say that the request was sent to the wrong broker or too early.
    pub(crate) async fn request<R: Request + Clone>(&self, request: R, route: Route) -> Result<R::Response> {
        self.request_until(request, route, Instant::now() + self.config().default_api_timeout).await
    }

    /// As [`request`](Self::request), until `deadline`.
    pub(crate) async fn request_until<R: Request + Clone>(
        &self,
        request: R,
        route: Route,
        deadline: Instant,
    ) -> Result<R::Response> {
        self.request_built(|_| request.clone(), route, deadline).await
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
        versions: RangeInclusive<i16>,
        build: impl Fn(i16) -> R + Send + Sync,
        route: Route,
        deadline: Instant,
    ) -> Result<R::Response> {
        self.check()?;
        match self.shared().request(versions, build, route, deadline).await {
            Err(error) => Err(self.explain(error).await),
            answer => answer,
        }
    }

    /// As [`request`](Self::request) for a body that somebody else writes, in one of `versions`, which may be unstable. What an answer
    /// says is not looked at: no code in it makes the request go to another broker.
    pub(crate) async fn request_raw(
        &self,
        api: ApiKey,
        versions: RangeInclusive<i16>,
        body: impl Fn(i16) -> Result<Bytes> + Send + Sync,
        route: Route,
    ) -> Result<RawResponse> {
        self.check()?;
        let deadline = Instant::now() + self.config().default_api_timeout;
        match self.shared().request_raw(api, versions, body, route, deadline).await {
            Err(error) => Err(self.explain(error).await),
            answer => answer,
        }
    }

    /// Closes the connections for metadata, lookups and admin calls. They are opened again when one is needed.
    pub(crate) fn close_control_connections(&self) {
        self.shared().close_control_connections();
    }

    /// Pauses between the attempts of one operation.
    pub(crate) fn new_backoff(&self) -> Backoff {
        Backoff::new(self.config().backoff, self.shared().next_seed())
    }

    /// How retries are paced.
    pub(crate) fn backoff(&self) -> BackoffConfig {
        self.config().backoff
    }

    /// The settings.
    pub(crate) fn config(&self) -> &ClusterConfig {
        self.shared().config()
    }

    /// The wall clock for records' timestamps.
    pub(crate) fn clock(&self) -> &Clock {
        self.shared().clock()
    }

    fn shared(&self) -> &Arc<Shared> {
        &self.alive.0
    }
}

/// Where a broker listens.
fn target(node: &Node) -> Target {
    Target::new(&*node.host, node.port)
}
