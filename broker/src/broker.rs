//! The handle a test holds.

use std::io;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use klamm::protocol::{ApiKey, Request, TopicName, Uuid};
use tokio::net::TcpListener;

use crate::builder::BrokerBuilder;
use crate::core::{Core, KafkaVersion, invalid_name};
use crate::driver::Shared;
use crate::faults::{Fault, Plan};
use crate::quota::{Quota, QuotaEntity};
use crate::raw_client::RawClient;
use crate::script::{ConnectionId, Intercept, Reachability, RequestView, SaslMechanism, SeenRequest};

/// A running broker, or cluster of them.
///
/// Cloning gives another handle to the same. When the last is dropped, the broker stops: connections are closed and no more are
/// taken. All methods that change something take effect before they return.
#[derive(Clone, Debug)]
#[must_use = "the broker stops when its last handle is dropped"]
pub struct Broker {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    shared: Arc<Shared>,
    interceptors: AtomicU64,
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.shared.stop();
    }
}

/// Number of a closure given to [`Broker::intercept`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InterceptId(u64);

impl Broker {
    /// Sets one up.
    pub fn builder() -> BrokerBuilder {
        BrokerBuilder::new()
    }

    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { inner: Arc::new(Inner { shared, interceptors: AtomicU64::new(0) }) }
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.inner.shared
    }

    pub(crate) fn look<T>(&self, look: impl FnOnce(&Core) -> T) -> T {
        self.inner.shared.look(look)
    }

    /// The addresses of all nodes, as a client's list of seeds.
    pub fn bootstrap(&self) -> Vec<String> {
        self.look(|core| core.nodes().values().map(|node| format!("{}:{}", node.host, node.port)).collect())
    }

    /// The address that a node names.
    pub fn address(&self, node: i32) -> Option<(String, u16)> {
        self.look(|core| core.nodes().get(&node).map(|node| (node.host.clone(), node.port)))
    }

    // ---- Requests: what came, and what is to be done with the next ones ----

    /// Has `decide` look at every request from now on, and say what is to be done with it. Of several closures the latest is asked
    /// first; those before it are asked when it lets a request pass.
    ///
    /// It runs on the broker's task, without any of its locks: it may call methods of the broker. It must not block.
    ///
    /// ```
    /// # use klamm_broker::{Broker, Intercept};
    /// # use klamm::protocol::{ApiKey, ErrorCode};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> std::io::Result<()> {
    /// let broker = Broker::builder().topic("orders", 1).start_in_memory()?;
    /// let mut left = 2;
    /// broker.intercept(move |request| match request.api_key {
    ///     ApiKey::PRODUCE if left > 0 => {
    ///         left -= 1;
    ///         Intercept::Error(ErrorCode::NOT_LEADER_OR_FOLLOWER)
    ///     }
    ///     _ => Intercept::Pass,
    /// });
    /// # Ok(())
    /// # }
    /// ```
    pub fn intercept(&self, decide: impl FnMut(&RequestView) -> Intercept + Send + 'static) -> InterceptId {
        let id = self.inner.interceptors.fetch_add(1, Ordering::Relaxed);
        self.inner.shared.add_interceptor(id, Arc::new(Mutex::new(decide)));
        InterceptId(id)
    }

    /// Does the same with the next `times` requests of one API, and then lets them pass.
    ///
    /// ```
    /// # use klamm_broker::{Broker, Intercept};
    /// # use klamm::protocol::{ApiKey, ErrorCode};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> std::io::Result<()> {
    /// # let broker = Broker::builder().topic("orders", 1).start_in_memory()?;
    /// broker.intercept_next(ApiKey::PRODUCE, 2, |_| Intercept::Error(ErrorCode::NOT_LEADER_OR_FOLLOWER));
    /// # Ok(())
    /// # }
    /// ```
    pub fn intercept_next(
        &self,
        api: ApiKey,
        times: usize,
        mut decide: impl FnMut(&RequestView) -> Intercept + Send + 'static,
    ) -> InterceptId {
        let mut left = times;
        self.intercept(move |request| {
            if request.api_key != api || left == 0 {
                return Intercept::Pass;
            }
            left -= 1;
            decide(request)
        })
    }

    /// Does the same with every request of one API.
    pub fn intercept_all(&self, api: ApiKey, mut decide: impl FnMut(&RequestView) -> Intercept + Send + 'static) -> InterceptId {
        self.intercept(move |request| if request.api_key == api { decide(request) } else { Intercept::Pass })
    }

    /// No longer asks a closure.
    pub fn remove_intercept(&self, id: InterceptId) {
        self.inner.shared.remove_interceptors(|other| other == id.0);
    }

    /// No longer asks any closure. Requests that were held or swallowed stay so; see [`release`](Self::release).
    pub fn clear_intercepts(&self) {
        self.inner.shared.remove_interceptors(|_| true);
    }

    /// Handles the requests that an [`Intercept::Hold`] stopped, and what came behind them.
    pub fn release(&self) {
        self.inner.shared.with(Core::release);
    }

    /// Every request that arrived, in order; the oldest are forgotten beyond
    /// [`request_log_bytes`](BrokerBuilder::request_log_bytes).
    pub fn requests(&self) -> Vec<SeenRequest> {
        self.look(|core| core.requests().cloned().collect())
    }

    /// Those of one API.
    pub fn requests_of(&self, api: ApiKey) -> Vec<SeenRequest> {
        self.look(|core| core.requests().filter(|request| request.api_key == api).cloned().collect())
    }

    /// Those of one API, decoded; what cannot be decoded is left out.
    pub fn decoded<R: Request>(&self) -> Vec<R> {
        self.look(|core| core.requests().filter_map(|request| request.decode().ok()).collect())
    }

    /// Forgets the requests seen so far.
    pub fn clear_requests(&self) {
        self.inner.shared.with(|core, _| core.clear_requests());
    }

    /// Waits until at least `count` requests of an API have arrived, and gives them. Waits without end: put a time-out around it.
    ///
    /// # Cancel safety
    /// Dropping it has no effect.
    pub async fn wait_for(&self, api: ApiKey, count: usize) -> Vec<SeenRequest> {
        self.wait_until(|broker| Some(broker.requests_of(api)).filter(|seen| seen.len() >= count)).await
    }

    /// Waits until `look` finds something; it is asked after every request that arrives.
    ///
    /// # Cancel safety
    /// Dropping it has no effect.
    pub async fn wait_until<T>(&self, mut look: impl FnMut(&Self) -> Option<T>) -> T {
        let mut arrivals = self.inner.shared.arrivals();
        loop {
            arrivals.mark_unchanged();
            if let Some(found) = look(self) {
                return found;
            }
            // The sender lives in what `self` holds.
            if arrivals.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    // ---- Faults ----

    /// Has a fault happen now. What it names and is not there (a topic, a node, a group) is not hit.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use klamm_broker::Broker;
    /// # use klamm_broker::faults::{BrokerFault, NetworkEffect, NetworkFault};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> std::io::Result<()> {
    /// let broker = Broker::builder().nodes(3).topic("orders", 1).start_in_memory()?;
    /// broker.fault(BrokerFault::MoveLeader { topic: "orders".into(), partition: 0, to: Some(2) });
    /// broker.fault(NetworkFault::from(NetworkEffect::BlackHole).at(2).lasting(Duration::from_secs(5)));
    /// # assert_eq!(broker.leader("orders", 0), Some(2));
    /// # Ok(())
    /// # }
    /// ```
    pub fn fault(&self, fault: impl Into<Fault>) {
        let fault = fault.into();
        self.inner.shared.with(|core, now| core.apply(now, &fault));
    }

    /// Begins a plan now: its times count from here, and so do its requests. Several plans may run at once; the seed of the latest counts.
    pub fn run_plan(&self, plan: Plan) {
        self.inner.shared.run_plan(plan);
    }

    /// Ends all faults that last, also for ever, and forgets those that have not come yet: nodes that were killed start, topics that were
    /// to be created again are there, the network is whole. What was changed for good (a leader that moved) stays.
    pub fn clear_faults(&self) {
        self.inner.shared.with(|core, now| core.clear_faults(now));
    }

    // ---- Nodes and connections ----

    /// Stops a node as if its process died: its connections close, new ones are refused, and the partitions it led go to the first of
    /// their replicas that is in sync and runs. What that one does not have yet is lost; see [`hold_replication`](Self::hold_replication).
    /// Where none is, a partition has no leader.
    pub fn stop_node(&self, node: i32) {
        self.inner.shared.stop_listening(node);
        self.inner.shared.with(|core, now| core.stop_node(now, node));
    }

    /// Starts a stopped node again, at its old address. It cuts off what its leaders do not have, follows them, and leads what has no
    /// other leader.
    ///
    /// # Errors
    /// Over TCP, when its port is taken by now.
    pub async fn start_node(&self, node: i32) -> io::Result<()> {
        if let Some(address) = self.inner.shared.bound(node) {
            let listener = TcpListener::bind(address).await?;
            self.inner.shared.listen(node, listener);
        }
        self.inner.shared.with(|core, now| core.start_node(now, node));
        Ok(())
    }

    /// Sets what meets new connections to a node, which goes on running and leading. Those made before stay.
    pub fn set_reachability(&self, node: i32, reachability: Reachability) {
        self.inner.shared.with(|core, _| core.set_reachability(node, reachability));
    }

    /// Changes the address that a node names, and in memory the one at which it is reached.
    pub fn set_address(&self, node: i32, host: &str, port: u16) {
        self.inner.shared.with(|core, _| core.set_address(node, host, port));
    }

    /// How many connections a node has.
    pub fn connections(&self, node: i32) -> usize {
        self.look(|core| core.connections(node).len())
    }

    /// Which connections a node has, oldest first.
    pub fn connection_ids(&self, node: i32) -> Vec<ConnectionId> {
        self.look(|core| core.connections(node))
    }

    /// Closes all connections to a node, which goes on running.
    pub fn close_connections(&self, node: i32) {
        self.inner.shared.with(|core, _| core.close_connections(Some(node)));
    }

    /// Puts `throttle_time_ms` into every answer from now on, and does not handle what comes on the connection for as long (KIP-219).
    /// Zero ends it.
    pub fn set_throttle(&self, throttle: Duration) {
        self.inner.shared.with(|core, _| core.set_throttle(throttle));
    }

    /// Sets a quota, or with `None` takes it away. A client that uses more is answered at once, told by `throttle_time_ms` how long to be
    /// quiet, and not heard for as long (KIP-219). One that is not above 0 holds its clients up for weeks.
    pub fn set_quota(&self, entity: QuotaEntity, quota: Quota, value: Option<f64>) {
        self.inner.shared.with(|core, _| core.set_quota(entity, quota, value));
    }

    /// A quota that was set, here or by request.
    pub fn quota(&self, entity: &QuotaEntity, quota: Quota) -> Option<f64> {
        self.look(|core| core.quota(entity, quota))
    }

    /// Offers an API in other versions from now on, or with `None` not at all.
    pub fn set_versions(&self, api: ApiKey, versions: Option<std::ops::RangeInclusive<i16>>) {
        let versions = versions.map(std::ops::RangeInclusive::into_inner);
        self.inner.shared.with(|core, _| core.set_versions(api, versions));
    }

    /// Plays another release of Kafka from now on, as after an upgrade: see [`BrokerBuilder::kafka_version`].
    ///
    /// # Errors
    /// When the ranges of that release are not known; the error names those that are.
    pub fn set_kafka_version(&self, version: &str) -> io::Result<()> {
        let version = KafkaVersion::parse(version).map_err(|why| io::Error::new(io::ErrorKind::InvalidInput, why))?;
        self.inner.shared.with(|core, _| core.set_kafka_version(version));
        Ok(())
    }

    /// The release of Kafka that is played, such as `3.7`; `None` if it was not chosen.
    pub fn kafka_version(&self) -> Option<String> {
        self.look(|core| core.kafka_version().map(|version| version.to_string()))
    }

    /// Switches the creation of unknown topics on or off.
    pub fn set_auto_create_topics(&self, on: bool) {
        self.inner.shared.with(|core, _| core.set_auto_create_topics(on));
    }

    /// Changes the largest batch of topics without a limit of their own.
    pub fn set_message_max_bytes(&self, bytes: i32) {
        self.inner.shared.with(|core, _| core.set_message_max_bytes(bytes));
    }

    // ---- Logging in ----

    /// Adds a user that may log in by this mechanism, or gives one another password. Where nobody was asked before, new connections
    /// are from now on.
    pub fn set_sasl_user(&self, mechanism: SaslMechanism, name: &str, password: &str) {
        self.inner.shared.with(|core, _| core.set_sasl_user(mechanism, name, password));
    }

    /// Takes a user out. Who has logged in stays.
    pub fn remove_sasl_user(&self, mechanism: SaslMechanism, name: &str) {
        self.inner.shared.with(|core, _| core.remove_sasl_user(mechanism, name));
    }

    /// Changes how long those are believed who log in from now on; `None`: as long as their connection lasts.
    pub fn set_session_lifetime(&self, lifetime: Option<Duration>) {
        self.inner.shared.with(|core, _| core.set_session_lifetime(lifetime));
    }

    // ---- Coordinators ----

    /// Makes a node the coordinator of a group or transactional id, at once: [`move_coordinator`](Self::move_coordinator) without a
    /// time for loading.
    pub fn set_coordinator(&self, key: &str, node: i32) {
        self.move_coordinator(key, node, Duration::ZERO);
    }

    /// Makes a node the coordinator of a group or transactional id. For as long as `loading` it answers
    /// `COORDINATOR_LOAD_IN_PROGRESS`.
    ///
    /// As in Kafka, the new coordinator knows of a group what stands in the log: its offsets, and its members in the last generation
    /// that got its assignments. Who waits at the old one is told `NOT_COORDINATOR`; a rebalance that was under way is forgotten.
    pub fn move_coordinator(&self, key: &str, node: i32, loading: Duration) {
        self.inner.shared.with(|core, now| core.move_coordinator(now, key, node, loading));
    }

    /// Leaves a group or transactional id without a coordinator, until [`move_coordinator`](Self::move_coordinator) gives it one: no
    /// node answers for it (`NOT_COORDINATOR`), and none is found (`COORDINATOR_NOT_AVAILABLE`).
    pub fn unload_coordinator(&self, key: &str) {
        self.inner.shared.with(|core, now| core.unload_coordinator(now, key));
    }

    /// The node that coordinates a group or transactional id; `None` while no node runs, or none has loaded it.
    pub fn coordinator(&self, key: &str) -> Option<i32> {
        self.look(|core| core.coordinator_of(key))
    }

    // ---- Topics ----

    /// Adds a topic; `false` if there is one of that name, or Kafka would refuse the name.
    pub fn create_topic(&self, name: &str, partitions: i32) -> bool {
        let (None, Ok(name)) = (invalid_name(name), TopicName::try_from(name)) else { return false };
        partitions > 0 && self.inner.shared.with(|core, _| core.create_default_topic(&name, partitions))
    }

    /// Removes a topic with all its records and committed offsets; `false` if there is none.
    pub fn delete_topic(&self, name: &str) -> bool {
        self.inner.shared.with(|core, now| core.delete_topic(now, name))
    }

    /// Raises the number of a topic's partitions to `count`; `false` if there is no such topic.
    pub fn add_partitions(&self, topic: &str, count: i32) -> bool {
        self.inner.shared.with(|core, _| core.add_partitions(topic, count))
    }

    /// The names of all topics, sorted.
    pub fn topics(&self) -> Vec<String> {
        self.look(Core::topic_names)
    }

    /// How many partitions a topic has; `None` if there is no such topic.
    pub fn partition_count(&self, topic: &str) -> Option<usize> {
        self.look(|core| core.topic(topic).map(|topic| topic.partitions.len()))
    }

    /// A topic's id.
    pub fn topic_id(&self, topic: &str) -> Option<Uuid> {
        self.look(|core| core.topic(topic).map(|topic| topic.id))
    }

    /// Gives a topic another id, as if it had been deleted and created again with the same records.
    pub fn set_topic_id(&self, topic: &str, id: Uuid) {
        self.inner.shared.with(|core, now| core.set_topic_id(now, topic, id));
    }

    /// Sets a topic's configuration, or with `None` its default; `false` if there is no such topic. These have an effect:
    /// `max.message.bytes`, `message.timestamp.type`, `cleanup.policy` (compacted topics need keys), `min.insync.replicas`,
    /// `unclean.leader.election.enable`, `retention.ms`, `retention.bytes`, `segment.bytes`, `delete.retention.ms`.
    pub fn set_topic_config(&self, topic: &str, key: &str, value: Option<&str>) -> bool {
        self.inner.shared.with(|core, now| {
            let is_set = core.set_topic_config(topic, key, value);
            core.look_at_configs(now);
            is_set
        })
    }

    /// What a topic's configuration was set to; `None` where it has its default.
    pub fn topic_config(&self, topic: &str, key: &str) -> Option<String> {
        self.look(|core| core.topic(topic)?.configs.get(key).cloned())
    }

    /// What a broker's configuration was set to while it ran; `None` where it was not.
    pub fn broker_config(&self, node: i32, key: &str) -> Option<String> {
        self.look(|core| core.broker_configs.get(&node.to_string())?.get(key).cloned())
    }

    /// The node that leads a partition.
    pub fn leader(&self, topic: &str, partition: i32) -> Option<i32> {
        self.look(|core| core.partition(topic, partition)?.leader)
    }

    /// The partition's leader epoch, from 0; -1 if there is no such partition.
    pub fn leader_epoch(&self, topic: &str, partition: i32) -> i32 {
        self.look(|core| core.partition(topic, partition).map_or(-1, |partition| partition.leader_epoch))
    }

    /// Makes a node the leader of a partition, with the next epoch; `false` if there is no such partition. One that is in sync and
    /// yet lags loses what it does not have; one that is not in sync is brought in step first.
    pub fn move_leader(&self, topic: &str, partition: i32, node: i32) -> bool {
        self.inner.shared.with(|core, now| core.move_leader(now, topic, partition, Some(node)))
    }

    /// Leaves a partition without a leader; `false` if there is no such partition.
    pub fn remove_leader(&self, topic: &str, partition: i32) -> bool {
        self.inner.shared.with(|core, now| core.move_leader(now, topic, partition, None))
    }

    // ---- Requests of the test's own ----

    /// Sends one request to a node over a connection of its own, and gives the answer.
    ///
    /// # Errors
    /// When the request does not fit the version, the node closes the connection, or the answer cannot be read.
    ///
    /// # Cancel safety
    /// Dropping it closes the connection; the request may have taken effect.
    pub async fn raw_request<R: Request>(&self, node: i32, version: i16, request: &R) -> io::Result<R::Response> {
        let mut client = RawClient::new(self.inner.shared.pipe(node));
        client.request(version, request).await
    }

    /// Opens a connection to a node on which requests can be sent one by one, or bytes of any kind.
    pub fn raw_client(&self, node: i32) -> RawClient {
        RawClient::new(self.inner.shared.pipe(node))
    }
}
