//! The driver: owns the core, gives it the time and carries out what it says.
//!
//! Everything runs in the tokio runtime in which the broker was started: one task for the core's timer, two for each connection,
//! one for each TCP listener. Time is tokio's, so a paused clock works. The core is behind a mutex that is never held while a
//! test's closure runs or a task waits.

mod connection;
mod listener;
mod memory;
mod network;
#[cfg(feature = "tls")]
mod tls;

use std::collections::HashMap;
use std::fmt;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use klamm::protocol::TopicName;
use tokio::sync::{Notify, mpsc, watch};
use tokio::task::JoinHandle;

use crate::core::{Action, Core, Settings};
use crate::faults::{Network, Plan};
use crate::script::{ConnectionId, Intercept, RequestView};

pub(crate) use listener::bind;
pub(crate) use memory::Pipe;
use network::{Changes, Passage};
#[cfg(feature = "tls")]
pub use tls::ListenerTls;

/// A closure that a test has given.
type Interceptor = Arc<Mutex<dyn FnMut(&RequestView) -> Intercept + Send>>;

/// What all tasks and handles of one broker share.
pub(crate) struct Shared {
    state: Mutex<State>,
    interceptors: Mutex<Vec<(u64, Interceptor)>>,
    /// Says that the core's timer is due earlier than was thought.
    timer: Notify,
    /// Counts arrived requests, for those who wait for one.
    arrivals: watch::Sender<u64>,
    /// Counts faults of the network, for connections that wait.
    network_changes: Changes,
    /// What TCP listeners speak, if they speak TLS.
    #[cfg(feature = "tls")]
    tls: std::sync::OnceLock<tls::Acceptor>,
}

struct State {
    core: Core,
    network: Network,
    /// Where each connection's answers go; dropping one closes it.
    outboxes: HashMap<ConnectionId, Outbox>,
    /// The timer task sleeps until then.
    sleeping_until: Option<Instant>,
    tasks: Vec<JoinHandle<()>>,
    listeners: HashMap<i32, JoinHandle<()>>,
    /// Where each node listens, or did before it was stopped; empty in memory.
    bound: HashMap<i32, SocketAddr>,
    stopped: bool,
}

/// Where a connection's answers go. The core lets no more than one request of a connection be answered at a time, so it never holds
/// more than a few.
struct Outbox {
    frames: mpsc::UnboundedSender<Vec<Bytes>>,
    /// Says that an answer was sent, so that there may be room for more requests.
    answered: Arc<Notify>,
}

/// What the tasks of a connection are given.
struct Registered {
    id: ConnectionId,
    frames: mpsc::UnboundedReceiver<Vec<Bytes>>,
    answered: Arc<Notify>,
}

/// Tokio's time, which a test may have paused.
pub(crate) fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

/// A closure that panicked leaves its mutex poisoned, not what is in it broken.
fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    /// Starts a cluster whose nodes have these addresses, and the task that keeps its time.
    pub(crate) fn start(settings: Settings, addresses: Vec<(String, u16)>, topics: &[(TopicName, i32)]) -> Arc<Self> {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let wall_millis = i64::try_from(wall.as_millis()).unwrap_or(0);
        let mut core = Core::new(now(), wall_millis, settings, addresses);
        for (name, partitions) in topics {
            core.create_default_topic(name, *partitions);
        }
        let shared = Arc::new(Self {
            state: Mutex::new(State {
                core,
                network: Network::default(),
                outboxes: HashMap::new(),
                sleeping_until: None,
                tasks: Vec::new(),
                listeners: HashMap::new(),
                bound: HashMap::new(),
                stopped: false,
            }),
            interceptors: Mutex::default(),
            timer: Notify::new(),
            arrivals: watch::Sender::new(0),
            network_changes: Changes::default(),
            #[cfg(feature = "tls")]
            tls: std::sync::OnceLock::new(),
        });
        let timer = tokio::spawn(keep_time(shared.clone()));
        lock(&shared.state).tasks.push(timer);
        shared
    }

    /// Calls the core and carries out what it says.
    pub(crate) fn with<T>(self: &Arc<Self>, call: impl FnOnce(&mut Core, Instant) -> T) -> T {
        let mut state = lock(&self.state);
        let state = &mut *state;
        let result = call(&mut state.core, now());
        while let Some(action) = state.core.poll() {
            match action {
                Action::Send(id, frame) => {
                    if let Some(outbox) = state.outboxes.get(&id) {
                        // The receiver is gone when the client closed; the core will hear of it.
                        let _ = outbox.frames.send(frame);
                        outbox.answered.notify_one();
                    }
                }
                Action::Close(id) => drop(state.outboxes.remove(&id)),
                Action::Network(fault) => {
                    state.network.apply(now(), &fault);
                    self.network_changes.tell();
                }
                Action::Heal => {
                    state.network.clear();
                    self.network_changes.tell();
                }
                Action::StopListening(node) => state.stop_listening(node),
                Action::Listen { node, elsewhere } => state.listen_again(self, node, elsewhere),
            }
        }
        let next = state.core.next_timeout();
        if next.is_some() && state.sleeping_until.is_none_or(|until| next.is_some_and(|next| next < until)) {
            self.timer.notify_one();
        }
        result
    }

    /// Begins a plan.
    pub(crate) fn run_plan(self: &Arc<Self>, plan: Plan) {
        lock(&self.state).network.set_seed(plan.seed);
        self.with(|core, now| core.run_plan(now, plan));
    }

    /// Has all TCP listeners speak TLS.
    #[cfg(feature = "tls")]
    pub(crate) fn set_tls(&self, acceptor: tls::Acceptor) {
        self.tls.get_or_init(|| acceptor);
    }

    /// Looks at the core.
    pub(crate) fn look<T>(&self, look: impl FnOnce(&Core) -> T) -> T {
        look(&lock(&self.state).core)
    }

    pub(crate) fn add_interceptor(&self, id: u64, interceptor: Interceptor) {
        lock(&self.interceptors).push((id, interceptor));
    }

    pub(crate) fn remove_interceptors(&self, remove: impl Fn(u64) -> bool) {
        lock(&self.interceptors).retain(|(id, _)| !remove(*id));
    }

    /// Asks the closures, the latest first, until one does not let it pass.
    fn verdict(&self, request: &RequestView) -> Intercept {
        let interceptors: Vec<_> = lock(&self.interceptors).iter().rev().map(|(_, one)| one.clone()).collect();
        for interceptor in interceptors {
            match lock(&*interceptor)(request) {
                Intercept::Pass => {}
                verdict => return verdict,
            }
        }
        Intercept::Pass
    }

    /// Says that another request was logged.
    fn arrived(&self) {
        self.arrivals.send_modify(|count| *count += 1);
    }

    /// Counts the requests that have arrived.
    pub(crate) fn arrivals(&self) -> watch::Receiver<u64> {
        self.arrivals.subscribe()
    }

    /// Registers a connection to a node that runs.
    fn connected(&self, node: i32, host: &str) -> Option<Registered> {
        let mut state = lock(&self.state);
        if state.stopped || !state.core.nodes().get(&node).is_some_and(|node| node.running) {
            return None;
        }
        let id = state.core.handle_connected(node, host);
        state.network.open(id, node);
        let (sender, frames) = mpsc::unbounded_channel();
        let answered = Arc::new(Notify::new());
        state.outboxes.insert(id, Outbox { frames: sender, answered: answered.clone() });
        Some(Registered { id, frames, answered })
    }

    fn closed(self: &Arc<Self>, id: ConnectionId) {
        let mut state = lock(&self.state);
        state.outboxes.remove(&id);
        state.network.close(id);
        drop(state);
        self.with(|core, _| core.handle_closed(id));
    }

    /// Ends every task.
    pub(crate) fn stop(&self) {
        let mut state = lock(&self.state);
        state.stopped = true;
        state.outboxes.clear();
        state.tasks.drain(..).for_each(|task| task.abort());
        state.listeners.drain().for_each(|(_, task)| task.abort());
        self.network_changes.tell();
    }

    #[cfg(feature = "connector")]
    pub(crate) fn is_stopped(&self) -> bool {
        lock(&self.state).stopped
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").finish_non_exhaustive()
    }
}

/// Calls the core when its time has come.
async fn keep_time(shared: Arc<Shared>) {
    loop {
        let next = {
            let mut state = lock(&shared.state);
            state.sleeping_until = state.core.next_timeout();
            state.sleeping_until
        };
        match next {
            None => shared.timer.notified().await,
            Some(at) => {
                tokio::select! {
                    // In a set order, so that a run can be replayed.
                    biased;
                    () = tokio::time::sleep_until(at.into()) => shared.with(|core, now| core.handle_timeout(now)),
                    () = shared.timer.notified() => {}
                }
            }
        }
    }
}
