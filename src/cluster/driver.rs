//! The metadata task, and what it shares with the handles: cores under a lock, control connections, the newest state.
//!
//! A handle tells a core something under the lock and wakes the task; the task asks the cores what to do, does it, and hands the
//! answers back. So a core has one owner at a time and no channel can fill up. Whoever waits for a state watches `events`, which is
//! touched whenever a core says that something is final. What waits without a call (batches, a consumer's partitions) watches
//! `refusals`: whether brokers refuse this client, as the last round of metadata showed.
//!
//! The task ends when the last handle is gone; its connections close with it. All of them, control connections and those that components
//! take, live in the runtime that the client was built in, whoever needs them first: a guest that calls from a runtime of its own takes
//! nothing along when that ends. Should the client's own runtime end, everybody who waits or asks is told.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::cluster::coordinators::{self, Coordinators, Key, State};
use crate::cluster::explain::KnownTopics;
use crate::cluster::refresh::{self, Peer, Refresh, RefreshConfig, SLOW_PEER, Ticket};
use crate::cluster::{ClusterConfig, Node, Snapshot, TopicMetadata, target, watched};
use crate::error::{Error, ErrorKind, Result};
use crate::network::clock::Clock;
use crate::network::{CauseKind, Connection, ConnectionConfig, Connector, Failure, KnownBroker, Target};
use crate::protocol::BrokerId;
use crate::protocol::messages::find_coordinator::{FindCoordinatorRequest, FindCoordinatorResponse};
use crate::protocol::messages::metadata::MetadataResponse;
use crate::record::Topic;

/// What the task and the handles share.
#[derive(Debug)]
pub(super) struct Shared {
    config: ClusterConfig,
    connector: Arc<dyn Connector>,
    runtime: Handle,
    clock: Clock,
    inner: Mutex<Inner>,
    snapshot: watched::Sender<Arc<Snapshot>>,
    /// Touched when a round ended or a lookup settled.
    pub(super) events: watched::Sender<()>,
    pub(super) known_topics: KnownTopics,
    /// The refusal that the last round of metadata ended with; sent anew with each that did.
    refusals: watched::Sender<Option<Error>>,
    /// The task has something to look at.
    wake: Notify,
    /// The task has ended, or is told to.
    ended: AtomicBool,
    seeds_given: AtomicU64,
}

#[derive(Debug)]
pub(super) struct Inner {
    pub(super) refresh: Refresh,
    pub(super) coordinators: Coordinators,
    /// Control connections, each with the address it goes to.
    control: BTreeMap<BrokerId, (Target, Connection)>,
    /// Connections to bootstrap servers, while a round needs them.
    seeds: BTreeMap<usize, (Target, Connection)>,
    /// The bootstrap server that told of the cluster last.
    told_by: Option<Arc<str>>,
}

/// What a task of the driver brings back.
enum Outcome {
    Metadata(Ticket, Peer, Result<MetadataResponse>),
    Coordinator(Ticket, Result<FindCoordinatorResponse>),
}

/// What the driver does next, taken from the cores under the lock.
enum Step {
    Metadata(refresh::Action),
    Coordinator(coordinators::Action),
}

/// Makes the shared state and starts the task.
pub(super) fn start(config: ClusterConfig, connector: Arc<dyn Connector>) -> Result<Arc<Shared>> {
    let runtime = Handle::try_current().map_err(|error| {
        let message = "a client needs a tokio runtime around it: build it in an async function, or inside Runtime::enter";
        Error::new(ErrorKind::InvalidRequest, message).with_source(error)
    })?;
    let refresh = Refresh::new(RefreshConfig {
        seeds: config.seeds.clone(),
        max_age: config.metadata_max_age,
        rebootstrap_trigger: config.rebootstrap_trigger,
        backoff: config.backoff,
        refusal_pause: config.connection.reconnect_backoff_max,
        allow_auto_create_topics: config.allow_auto_create_topics,
        seed: config.seed,
    });
    let coordinators = Coordinators::new(config.backoff, config.seed);
    let inner = Inner { refresh, coordinators, control: BTreeMap::new(), seeds: BTreeMap::new(), told_by: None };
    let shared = Arc::new(Shared {
        config,
        connector,
        runtime: runtime.clone(),
        clock: Clock::new(),
        inner: Mutex::new(inner),
        snapshot: watched::Sender::default(),
        events: watched::Sender::default(),
        known_topics: KnownTopics::default(),
        refusals: watched::Sender::default(),
        wake: Notify::new(),
        ended: AtomicBool::new(false),
        seeds_given: AtomicU64::new(0),
    });
    runtime.spawn(run(Last(shared.clone())));
    Ok(shared)
}

/// The metadata task.
async fn run(last: Last) {
    let shared = &last.0;
    let mut tasks = JoinSet::new();
    while !shared.ended.load(Ordering::Acquire) {
        while let Some(step) = shared.next_step() {
            shared.perform(step, &mut tasks);
        }
        let timeout = shared.next_timeout();
        tokio::select! {
            // In a set order, so that a run can be replayed; whatever woke the task, it does all that is due in its turn.
            biased;
            Some(outcome) = tasks.join_next(), if !tasks.is_empty() => {
                // A task that panicked or was aborted has no outcome; its request counts as slow, and others are asked.
                if let Ok(outcome) = outcome {
                    shared.take(outcome);
                }
            }
            () = shared.wake.notified() => {}
            () = tokio::time::sleep_until(timeout.unwrap_or_else(Instant::now)), if timeout.is_some() => {}
        }
    }
}

/// However the task ends, also with its runtime before it was polled at all: nobody waits for it any more, and no connection is left.
struct Last(Arc<Shared>);

impl Drop for Last {
    fn drop(&mut self) {
        self.0.ended.store(true, Ordering::Release);
        self.0.close_control_connections();
        self.0.events.send_replace(());
    }
}

impl Inner {
    fn known_broker(&self, node: &Node) -> KnownBroker {
        KnownBroker { id: node.id.0, told_by: self.told_by.clone() }
    }
}

impl Shared {
    /// Ends the task.
    pub(super) fn end(&self) {
        self.ended.store(true, Ordering::Release);
        self.wake.notify_one();
    }

    /// Is there still a task that learns of the cluster?
    ///
    /// # Errors
    /// [`ErrorKind::Closed`] if not: who asks holds a handle, so it ended with its runtime.
    pub(super) fn check(&self) -> Result<()> {
        if !self.ended.load(Ordering::Acquire) {
            return Ok(());
        }
        let message = "the tokio runtime that the client was built in has ended; build another client in one that goes on";
        Err(Error::new(ErrorKind::Closed, message))
    }

    /// The runtime that the client was built in: what it needs runs there.
    pub(super) fn runtime(&self) -> &Handle {
        &self.runtime
    }

    pub(super) fn config(&self) -> &ClusterConfig {
        &self.config
    }

    pub(super) fn clock(&self) -> &Clock {
        &self.clock
    }

    pub(super) fn connector(&self) -> Arc<dyn Connector> {
        self.connector.clone()
    }

    pub(super) fn snapshot(&self) -> Arc<Snapshot> {
        self.snapshot.borrow().clone()
    }

    pub(super) fn subscribe(&self) -> watched::Receiver<Arc<Snapshot>> {
        self.snapshot.subscribe()
    }

    pub(super) fn refusals(&self) -> watched::Receiver<Option<Error>> {
        self.refusals.subscribe()
    }

    /// A seed that no one else got.
    pub(super) fn next_seed(&self) -> u64 {
        let count = self.seeds_given.fetch_add(1, Ordering::Relaxed);
        self.config.seed.wrapping_add(count.wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }

    /// The configuration of one more connection to `node`.
    pub(super) fn connection_config(&self, node: &Node) -> ConnectionConfig {
        let broker = self.lock().known_broker(node);
        self.connection_config_to(Some(broker))
    }

    /// The configuration of one more connection; to a bootstrap server, if the broker is not known.
    fn connection_config_to(&self, broker: Option<KnownBroker>) -> ConnectionConfig {
        ConnectionConfig { broker, seed: self.next_seed(), ..self.config.connection.clone() }
    }

    /// Tells the refresh something.
    pub(super) fn command(&self, command: refresh::Command) {
        let mut inner = self.lock();
        inner.refresh.handle_command(now(), command);
        self.publish(inner.refresh.snapshot().clone());
        drop(inner);
        self.wake.notify_one();
    }

    /// Tells the lookups something.
    pub(super) fn lookup(&self, command: coordinators::Command) {
        self.lock().coordinators.handle_command(now(), command);
        self.wake.notify_one();
    }

    /// Drops what is known of a coordinator.
    pub(super) fn forget(&self, key: Key) {
        self.lookup(coordinators::Command::Forget(key));
    }

    /// How many answers there were so far, and a broker that is likely connected.
    pub(super) fn progress(&self) -> (u64, Option<BrokerId>) {
        let inner = self.lock();
        (inner.refresh.answered_rounds(), inner.refresh.favorite())
    }

    /// The topic, if it can be used as it is known. What nobody used for long may have been learned long ago.
    pub(super) fn known_topic(&self, topic: &Topic) -> Option<Arc<TopicMetadata>> {
        let inner = self.lock();
        let known = inner.refresh.snapshot().topic(topic).filter(|known| known.error.is_none())?;
        inner.refresh.is_fresh(now()).then(|| known.clone())
    }

    /// The control connection to `node`, a new one if the broker listens elsewhere now.
    pub(super) fn control(&self, node: &Node) -> Result<Connection> {
        self.check()?;
        let target = target(node);
        let _here = self.runtime.enter();
        let mut inner = self.lock();
        if let Some((known, connection)) = inner.control.get(&node.id) {
            if *known == target {
                return Ok(connection.clone());
            }
            connection.close();
        }
        let config = self.connection_config_to(Some(inner.known_broker(node)));
        let connection = Connection::spawn(self.connector(), target.clone(), config)?;
        inner.control.insert(node.id, (target, connection.clone()));
        Ok(connection)
    }

    /// Closes all control connections.
    pub(super) fn close_control_connections(&self) {
        let mut inner = self.lock();
        let control = std::mem::take(&mut inner.control).into_values();
        let seeds = std::mem::take(&mut inner.seeds).into_values();
        drop(inner);
        control.chain(seeds).for_each(|(_, connection)| connection.close());
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Inner> {
        // Nothing under the lock can panic half-way; if it did, old state is better than none.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes `newest` visible, unless it is.
    fn publish(&self, newest: Arc<Snapshot>) {
        self.snapshot.send_if_modified(|published| {
            let news = newest.version > published.version;
            if news {
                *published = newest;
            }
            news
        });
    }

    fn next_step(&self) -> Option<Step> {
        let mut inner = self.lock();
        let action = inner.refresh.poll(now()).map(Step::Metadata);
        action.or_else(|| inner.coordinators.poll(now()).map(Step::Coordinator))
    }

    fn next_timeout(&self) -> Option<Instant> {
        let inner = self.lock();
        [inner.refresh.next_timeout(), inner.coordinators.next_timeout()].into_iter().flatten().min().map(Instant::from_std)
    }

    fn perform(self: &Arc<Self>, step: Step, tasks: &mut JoinSet<Outcome>) {
        match step {
            Step::Metadata(refresh::Action::Send { ticket, peer, request }) => {
                tracing::debug!(?peer, topics = request.topics.as_ref().map(Vec::len), "asking for metadata");
                let connection = self.peer_connection(peer);
                let timeout = self.config.request_timeout;
                tasks.spawn(async move {
                    let answer = match connection {
                        Ok(connection) => {
                            connection.request(request, timeout).await.map_err(|failure| failed(failure, "Metadata"))
                        }
                        Err(error) => Err(error),
                    };
                    Outcome::Metadata(ticket, peer, answer)
                });
            }
            Step::Metadata(refresh::Action::Publish(snapshot)) => {
                tracing::debug!(version = snapshot.version, brokers = snapshot.brokers.len(), "metadata changed");
                self.close_moved(&snapshot);
                self.lock().coordinators.handle_snapshot(&snapshot);
                self.publish(snapshot);
                self.events.send_replace(());
            }
            Step::Metadata(refresh::Action::RoundEnded) => {
                self.settle_seeds();
                self.tell_refusal();
                self.events.send_replace(());
            }
            Step::Metadata(refresh::Action::Rebootstrap) => {
                tracing::info!("no known broker can be used; going back to the bootstrap servers");
                let control = std::mem::take(&mut self.lock().control);
                control.into_values().for_each(|(_, connection)| connection.close());
                self.lookup(coordinators::Command::ForgetAll);
            }
            Step::Coordinator(coordinators::Action::Send { ticket, key }) => {
                let shared = self.clone();
                tasks.spawn(async move { Outcome::Coordinator(ticket, shared.find_coordinator(&key).await) });
            }
            Step::Coordinator(coordinators::Action::Settled(key)) => {
                let mut inner = self.lock();
                // The lookup's answer has the address, so the node can be used at once; its other properties come by the refresh.
                if let Some(State::Found(node)) = inner.coordinators.state(&key)
                    && inner.refresh.snapshot().node(node.id).is_none_or(|known| known.moved_from(node))
                {
                    inner.refresh.handle_command(now(), refresh::Command::Refresh);
                }
                drop(inner);
                self.events.send_replace(());
            }
        }
    }

    fn take(&self, outcome: Outcome) {
        let mut inner = self.lock();
        match outcome {
            Outcome::Metadata(ticket, peer, answer) => {
                match (&answer, peer) {
                    (Ok(_), Peer::Seed(index)) => {
                        inner.told_by = self.config.seeds.get(index).map(|seed| seed.to_string().into())
                    }
                    (Ok(_), Peer::Broker(_)) => {}
                    (Err(error), _) => tracing::debug!(%error, "no metadata"),
                }
                inner.refresh.handle_response(now(), ticket, answer);
            }
            Outcome::Coordinator(ticket, answer) => {
                if answer.is_err() {
                    inner.refresh.handle_command(now(), refresh::Command::Refresh);
                }
                inner.coordinators.handle_response(now(), ticket, answer);
            }
        }
    }

    /// The connection to whom the refresh wants to ask.
    fn peer_connection(&self, peer: Peer) -> Result<Connection> {
        match peer {
            Peer::Broker(id) => {
                let node = self.lock().refresh.snapshot().node(id).cloned();
                self.control(&node.ok_or_else(|| Error::new(ErrorKind::Disconnected, "the broker left the cluster"))?)
            }
            Peer::Seed(index) => {
                let seed = self.config.seeds.get(index).ok_or_else(|| Error::new(ErrorKind::Bug, "no such bootstrap server"))?;
                let target = Target::new(seed.host.clone(), seed.port);
                let connection = Connection::spawn(self.connector(), target.clone(), self.connection_config_to(None))?;
                self.lock().seeds.insert(index, (target, connection.clone()));
                Ok(connection)
            }
        }
    }

    /// Closes control connections to brokers that left or listen elsewhere now.
    fn close_moved(&self, snapshot: &Snapshot) {
        self.lock().control.retain(|id, (known, connection)| {
            let stays = snapshot.node(*id).is_some_and(|node| target(node) == *known);
            if !stays {
                connection.close();
            }
            stays
        });
    }

    /// After a round: a bootstrap server's connection becomes that of the broker which has its address, or is closed.
    fn settle_seeds(&self) {
        let mut inner = self.lock();
        let snapshot = inner.refresh.snapshot().clone();
        for (known, connection) in std::mem::take(&mut inner.seeds).into_values() {
            let node = snapshot.brokers.values().find(|node| target(node) == known);
            match node {
                Some(node) if !inner.control.contains_key(&node.id) => {
                    inner.control.insert(node.id, (known, connection));
                }
                _ => connection.close(),
            }
        }
    }

    /// After a round: tells whether brokers refuse this client.
    fn tell_refusal(&self) {
        if self.lock().refresh.refusal().is_some() {
            let refusal = self.unreachable(ErrorKind::Disconnected);
            tracing::warn!(error = %refusal, "no metadata: refused");
            self.refusals.send_replace(Some(refusal));
        } else {
            self.refusals.send_if_modified(|refusal| refusal.take().is_some());
        }
    }

    /// One attempt to find a coordinator. A broker that is slow gets company.
    async fn find_coordinator(self: &Arc<Self>, key: &Key) -> Result<FindCoordinatorResponse> {
        let timeout = self.config.request_timeout;
        let snapshot = self.learned(Instant::now() + timeout).await?;
        let (_, favorite) = self.progress();
        let mut nodes: Vec<_> = snapshot.brokers.values().cloned().collect();
        crate::cluster::Spread::new(self.next_seed()).shuffle(&mut nodes);
        nodes.sort_by_key(|node| favorite != Some(node.id));
        let mut nodes = nodes.into_iter();
        let first = nodes.next().ok_or_else(|| self.unreachable(ErrorKind::Disconnected))?;
        let ask = async |node: Node| {
            let connection = self.control(&node)?;
            let named = |failure| failed(failure, "FindCoordinator").with_broker(node.to_string());
            let version = select::<FindCoordinatorRequest>(&connection, timeout).await.map_err(named)?;
            let request = coordinators::request(key, version)?;
            connection.request_with(version..=version, request, timeout).await.map_err(named)
        };
        let Some(second) = nodes.next() else { return ask(first).await };
        let company = async {
            tokio::time::sleep(SLOW_PEER).await;
            ask(second.clone()).await
        };
        tokio::select! {
            biased;
            // A failure of the first is not waited over: the lookup comes again, by then with other brokers.
            answer = ask(first) => answer,
            Ok(answer) = company => Ok(answer),
        }
    }
}

/// The version that `connection` will use for a request.
pub(super) async fn select<R: crate::protocol::Request>(connection: &Connection, timeout: Duration) -> Result<i16, Failure> {
    let versions = connection.versions(timeout).await?;
    versions.select_for::<R>(R::VERSIONS).map_err(Failure::unwritten)
}

/// A failure of a control connection as an error. Only this library closes one, and then another can be opened.
pub(super) fn failed(failure: Failure, api: &'static str) -> Error {
    let closed = failure.cause.kind() == CauseKind::Closed;
    let error = failure.into_error(api).with_possibly_written(false);
    if closed {
        return Error::new(ErrorKind::Disconnected, "the connection was closed").with_api(api).with_source(error);
    }
    error
}

/// Now, as the cores are told it: tokio's clock, which tests can pause.
pub(super) fn now() -> std::time::Instant {
    Instant::now().into_std()
}
