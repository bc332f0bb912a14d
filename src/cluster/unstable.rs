//! The cluster's cores without tasks, for the simulator: metadata, lookups of coordinators and routed requests of one client.
//!
//! It does what the metadata task does (`driver.rs`), and what those who wait do (`wait.rs`, `request.rs`), each time it is asked to:
//! [`Hub::pump`] after every input and at [`Hub::next_timeout`].

use std::any::Any;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::cluster::coordinators::{self, Coordinators, Key, State};
use crate::cluster::driver::failed;
use crate::cluster::refresh::{self, Peer, Refresh, RefreshConfig, SLOW_PEER, Ticket};
use crate::cluster::routing::{Call, Target as Place, Verdict};
use crate::cluster::{ClusterConfig, Node, Route, Snapshot, Spread, target};
use crate::error::{Error, ErrorKind, Result};
use crate::network::line::{End, Lines};
use crate::network::{ConnectionConfig, KnownBroker, Pending, Queue, Target, Written};
use crate::protocol::messages::find_coordinator::{FindCoordinatorRequest, FindCoordinatorResponse};
use crate::protocol::messages::metadata::MetadataRequest;
use crate::protocol::{ApiKey, ApiMessage, BrokerId, Request};

/// A connection that typed requests go over.
#[derive(Clone, Debug)]
pub(crate) struct Talk {
    target: Target,
    line: u64,
    queue: Queue,
}

/// A request on its way over such a connection.
#[derive(Debug)]
pub(crate) struct Asked<R> {
    line: u64,
    pending: Pending<R>,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Hub {
    pub(crate) config: ClusterConfig,
    pub(crate) refresh: Refresh,
    pub(crate) coordinators: Coordinators,
    control: BTreeMap<BrokerId, Talk>,
    seeds: BTreeMap<usize, Talk>,
    asks: Vec<(Ticket, Peer, Result<Asked<MetadataRequest>, Option<Error>>)>,
    lookups: Vec<Lookup>,
    calls: BTreeMap<u64, Box<dyn Routed>>,
    done: BTreeMap<u64, Result<Box<dyn Any + Send>>>,
    next_call: u64,
    seeds_given: u64,
    told_by: Option<Arc<str>>,
    /// Rounds that ended with a refusal.
    pub(crate) refused: u64,
    /// How often a core in this state met this event.
    pub(crate) seen: BTreeMap<(&'static str, &'static str), u64>,
}

/// One attempt to find a coordinator.
#[derive(Debug)]
struct Lookup {
    ticket: Ticket,
    key: Key,
    deadline: Instant,
    first: Option<(Node, Asked<FindCoordinatorRequest>)>,
    others: Vec<Node>,
    /// When another broker is asked, too, if there is another.
    company_at: Option<Instant>,
    company: Option<(Node, Asked<FindCoordinatorRequest>)>,
}

/// A routed request under way.
trait Routed: std::fmt::Debug + Send {
    fn pump(&mut self, hub: &mut Hub, lines: &mut Lines, now: Instant) -> Option<Result<Box<dyn Any + Send>>>;
    fn next_timeout(&self) -> Option<Instant>;
    fn end(&mut self, hub: &mut Hub, now: Instant);
}

struct Routing<R> {
    call: Call,
    build: Arc<dyn Fn(i16) -> R + Send + Sync>,
    deadline: Instant,
    answers_before: u64,
    stage: Stage<R>,
    /// Taken back when it ends.
    wants: Option<Key>,
}

enum Stage<R> {
    Choose,
    Wait(Instant),
    Coordinator,
    Asked(Node, Asked<R>),
}

impl<R> std::fmt::Debug for Routing<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Routing").field("call", &self.call).finish_non_exhaustive()
    }
}

impl Talk {
    /// Sends a request over it.
    pub(crate) fn ask<R: Request>(
        &self,
        now: Instant,
        versions: std::ops::RangeInclusive<i16>,
        build: impl FnOnce(i16) -> R + Send + 'static,
        timeout: Duration,
    ) -> Asked<R> {
        Asked { line: self.line, pending: self.queue.request(now, versions, build, timeout) }
    }

    /// Closes it.
    pub(crate) fn close(&self, lines: &mut Lines) {
        lines.close(self.line);
    }

    /// Does it go there?
    pub(crate) fn goes_to(&self, node: &Node) -> bool {
        self.target == target(node)
    }
}

impl<R: Request> Asked<R> {
    /// The answer once it is there. What cannot be decoded ends the connection.
    pub(crate) fn take(&mut self, lines: &mut Lines, now: Instant) -> Option<Result<R::Response, crate::network::Failure>> {
        let (answer, condemned) = self.pending.take()?;
        if let (Err(failure), Some(connection)) = (&answer, condemned) {
            lines.condemn(now, End { line: self.line, connection }, &failure.cause);
        }
        Some(answer)
    }
}

impl Hub {
    /// Nothing is sent before somebody needs something.
    pub(crate) fn new(config: ClusterConfig) -> Self {
        let refresh = Refresh::new(RefreshConfig {
            seeds: config.seeds.clone(),
            max_age: config.metadata_max_age,
            rebootstrap_trigger: config.rebootstrap_trigger,
            backoff: config.backoff,
            refusal_pause: config.connection.reconnect_backoff_max,
            allow_auto_create_topics: config.allow_auto_create_topics,
            seed: config.seed,
        });
        Self {
            refresh,
            coordinators: Coordinators::new(config.backoff, config.seed),
            config,
            control: BTreeMap::new(),
            seeds: BTreeMap::new(),
            asks: Vec::new(),
            lookups: Vec::new(),
            calls: BTreeMap::new(),
            done: BTreeMap::new(),
            next_call: 0,
            seeds_given: 0,
            told_by: None,
            refused: 0,
            seen: BTreeMap::new(),
        }
    }

    /// The newest state.
    pub(crate) fn snapshot(&self) -> Arc<Snapshot> {
        self.refresh.snapshot().clone()
    }

    /// A seed that no one else got.
    pub(crate) fn next_seed(&mut self) -> u64 {
        self.seeds_given += 1;
        self.config.seed.wrapping_add(self.seeds_given.wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }

    /// Tells the refresh something.
    pub(crate) fn command(&mut self, now: Instant, command: refresh::Command) {
        let what = match &command {
            refresh::Command::Use(_) => "use",
            refresh::Command::Unuse(_) => "unuse",
            refresh::Command::Refresh => "refresh",
            refresh::Command::Wait => "wait",
            refresh::Command::Unwait => "unwait",
            refresh::Command::LeaderHint { .. } => "leader hint",
        };
        *self.seen.entry((self.refresh.state_name(), what)).or_default() += 1;
        self.refresh.handle_command(now, command);
    }

    /// How a connection to `node` is set up.
    pub(crate) fn connection_config(&mut self, node: Option<&Node>) -> ConnectionConfig {
        let broker = node.map(|node| KnownBroker { id: node.id.0, told_by: self.told_by.clone() });
        ConnectionConfig { broker, seed: self.next_seed(), ..self.config.connection.clone() }
    }

    /// A new connection to `node` for the caller alone.
    pub(crate) fn talk(&mut self, lines: &mut Lines, node: &Node) -> Talk {
        self.talk_to(lines, target(node), Some(node))
    }

    fn talk_to(&mut self, lines: &mut Lines, target: Target, node: Option<&Node>) -> Talk {
        let (queue, source) = Queue::new();
        let line = lines.add(target.clone(), self.connection_config(node), source);
        Talk { target, line, queue }
    }

    /// The control connection to `node`, a new one if the broker listens elsewhere now.
    fn control(&mut self, lines: &mut Lines, node: &Node) -> Talk {
        if let Some(known) = self.control.get(&node.id) {
            if known.goes_to(node) {
                return known.clone();
            }
            known.close(lines);
        }
        let talk = self.talk(lines, node);
        self.control.insert(node.id, talk.clone());
        talk
    }

    /// Sends a request where `route` says; [`take_call`](Self::take_call) has what came of it.
    pub(crate) fn call<R: Request + 'static>(
        &mut self,
        now: Instant,
        route: Route,
        deadline: Instant,
        build: impl Fn(i16) -> R + Send + Sync + 'static,
    ) -> u64
    where
        R::Response: Send + 'static,
    {
        self.next_call += 1;
        let call = Call::new(ApiKey(R::API_KEY), route, now, deadline, self.config.backoff, self.next_seed());
        let answers_before = self.refresh.answered_rounds();
        let routing = Routing { call, build: Arc::new(build), deadline, answers_before, stage: Stage::Choose, wants: None };
        self.command(now, refresh::Command::Wait);
        self.calls.insert(self.next_call, Box::new(routing));
        self.next_call
    }

    /// What came of a call, once it is over.
    pub(crate) fn take_call<T: 'static>(&mut self, call: u64) -> Option<Result<T>> {
        let answer = self.done.remove(&call)?;
        Some(answer.and_then(|answer| {
            answer.downcast::<T>().map(|answer| *answer).map_err(|_| Error::new(ErrorKind::Bug, "an answer of another kind"))
        }))
    }

    /// Does all there is to do. True if something moved.
    pub(crate) fn pump(&mut self, now: Instant, lines: &mut Lines) -> bool {
        let mut moved = self.take_answers(now, lines);
        let mut calls = std::mem::take(&mut self.calls);
        calls.retain(|id, call| {
            let Some(answer) = call.pump(self, lines, now) else { return true };
            call.end(self, now);
            self.done.insert(*id, answer);
            moved = true;
            false
        });
        self.calls.append(&mut calls);
        if self.refresh.next_timeout().is_some_and(|at| at <= now) {
            *self.seen.entry((self.refresh.state_name(), "timeout")).or_default() += 1;
        }
        while let Some(action) = self.refresh.poll(now) {
            moved = true;
            match action {
                refresh::Action::Send { ticket, peer, request } => self.ask(now, lines, ticket, peer, request),
                refresh::Action::Publish(snapshot) => {
                    self.control.retain(|id, known| {
                        let stays = snapshot.node(*id).is_some_and(|node| known.goes_to(node));
                        if !stays {
                            known.close(lines);
                        }
                        stays
                    });
                    self.coordinators.handle_snapshot(&snapshot);
                }
                refresh::Action::RoundEnded => {
                    self.settle_seeds(lines);
                    self.refused += u64::from(self.refresh.refusal().is_some());
                }
                refresh::Action::Rebootstrap => {
                    *self.seen.entry((self.refresh.state_name(), "rebootstrap")).or_default() += 1;
                    std::mem::take(&mut self.control).into_values().for_each(|known| known.close(lines));
                    self.coordinators.handle_command(now, coordinators::Command::ForgetAll);
                }
            }
        }
        while let Some(action) = self.coordinators.poll(now) {
            moved = true;
            match action {
                coordinators::Action::Send { ticket, key } => {
                    let deadline = now + self.config.request_timeout;
                    let (first, company) = (None, None);
                    self.command(now, refresh::Command::Wait);
                    self.lookups.push(Lookup { ticket, key, deadline, first, others: Vec::new(), company_at: None, company });
                }
                coordinators::Action::Settled(key) => {
                    if let Some(State::Found(node)) = self.coordinators.state(&key)
                        && self.refresh.snapshot().node(node.id).is_none_or(|known| known.moved_from(node))
                    {
                        self.command(now, refresh::Command::Refresh);
                    }
                }
            }
        }
        moved
    }

    /// When to [`pump`](Self::pump) although nothing happened.
    pub(crate) fn next_timeout(&self) -> Option<Instant> {
        let calls = self.calls.values().filter_map(|call| call.next_timeout());
        let lookups = self.lookups.iter().map(|lookup| match lookup.first {
            None => lookup.deadline,
            Some(_) => lookup.company_at.unwrap_or(lookup.deadline + self.config.request_timeout),
        });
        let cores = [self.refresh.next_timeout(), self.coordinators.next_timeout()];
        cores.into_iter().flatten().chain(calls).chain(lookups).min()
    }

    fn ask(&mut self, now: Instant, lines: &mut Lines, ticket: Ticket, peer: Peer, request: MetadataRequest) {
        let talk = match peer {
            Peer::Broker(id) => match self.refresh.snapshot().node(id).cloned() {
                Some(node) => Ok(self.control(lines, &node)),
                None => Err(Error::new(ErrorKind::Disconnected, "the broker left the cluster")),
            },
            Peer::Seed(index) => match self.config.seeds.get(index) {
                Some(seed) => {
                    let target = Target::new(seed.host.clone(), seed.port);
                    let talk = self.talk_to(lines, target, None);
                    if let Some(before) = self.seeds.insert(index, talk.clone()) {
                        before.close(lines);
                    }
                    Ok(talk)
                }
                None => Err(Error::new(ErrorKind::Bug, "no such bootstrap server")),
            },
        };
        let timeout = self.config.request_timeout;
        let asked = talk.map(|talk| talk.ask(now, 0..=i16::MAX, |_| request, timeout)).map_err(Some);
        self.asks.push((ticket, peer, asked));
    }

    fn take_answers(&mut self, now: Instant, lines: &mut Lines) -> bool {
        let mut moved = false;
        for (ticket, peer, mut asked) in std::mem::take(&mut self.asks) {
            let answer = match &mut asked {
                Ok(asked) => asked.take(lines, now).map(|answer| answer.map_err(|failure| failed(failure, "Metadata"))),
                Err(error) => error.take().map(Err),
            };
            let Some(answer) = answer else {
                self.asks.push((ticket, peer, asked));
                continue;
            };
            moved = true;
            if let (Ok(_), Peer::Seed(index)) = (&answer, peer) {
                self.told_by = self.config.seeds.get(index).map(|seed| seed.to_string().into());
            }
            let what = if answer.is_ok() { "answered" } else { "failed" };
            *self.seen.entry((self.refresh.state_name(), what)).or_default() += 1;
            self.refresh.handle_response(now, ticket, answer);
        }
        for mut lookup in std::mem::take(&mut self.lookups) {
            let Some(answer) = self.advance_lookup(now, lines, &mut lookup) else {
                self.lookups.push(lookup);
                continue;
            };
            moved = true;
            self.command(now, refresh::Command::Unwait);
            if answer.is_err() {
                self.command(now, refresh::Command::Refresh);
            }
            self.coordinators.handle_response(now, lookup.ticket, answer);
        }
        moved
    }

    fn advance_lookup(
        &mut self,
        now: Instant,
        lines: &mut Lines,
        lookup: &mut Lookup,
    ) -> Option<Result<FindCoordinatorResponse>> {
        let timeout = self.config.request_timeout;
        if lookup.first.is_none() {
            let snapshot = self.snapshot();
            if snapshot.version == 0 {
                let late = lookup.deadline <= now;
                return late.then(|| Err(Error::new(ErrorKind::Timeout, "no broker has answered yet").with_retriable(true)));
            }
            let mut nodes: Vec<_> = snapshot.brokers.values().cloned().collect();
            Spread::new(self.next_seed()).shuffle(&mut nodes);
            let favorite = self.refresh.favorite();
            nodes.sort_by_key(|node| favorite != Some(node.id));
            if nodes.is_empty() {
                return Some(Err(Error::new(ErrorKind::Disconnected, "the cluster has no brokers").with_retriable(true)));
            }
            let first = nodes.remove(0);
            let asked = self.ask_coordinator(now, lines, &first, &lookup.key, timeout);
            let company_at = (!nodes.is_empty()).then_some(now + SLOW_PEER);
            (lookup.first, lookup.others, lookup.company_at) = (Some((first, asked)), nodes, company_at);
        }
        let named = |node: &Node, failure| failed(failure, "FindCoordinator").with_broker(node.to_string());
        if let Some((node, asked)) = &mut lookup.first
            && let Some(answer) = asked.take(lines, now)
        {
            return Some(answer.map_err(|failure| named(node, failure)));
        }
        if lookup.company_at.take_if(|at| *at <= now).is_some() && !lookup.others.is_empty() {
            let node = lookup.others.remove(0);
            let asked = self.ask_coordinator(now, lines, &node, &lookup.key, timeout);
            lookup.company = Some((node, asked));
        }
        if let Some((_, asked)) = &mut lookup.company
            && let Some(Ok(answer)) = asked.take(lines, now)
        {
            return Some(Ok(answer));
        }
        // The connection's own time-out answers; this one is for what it could not be.
        (lookup.deadline + timeout <= now)
            .then(|| Err(Error::new(ErrorKind::Timeout, "no coordinator in time").with_retriable(true)))
    }

    fn ask_coordinator(
        &mut self,
        now: Instant,
        lines: &mut Lines,
        node: &Node,
        key: &Key,
        timeout: Duration,
    ) -> Asked<FindCoordinatorRequest> {
        let key = key.clone();
        let build = move |version| coordinators::request(&key, version).unwrap_or_default();
        self.control(lines, node).ask(now, FindCoordinatorRequest::VERSIONS, build, timeout)
    }

    /// A bootstrap server's connection becomes that of the broker which has its address, or is closed.
    fn settle_seeds(&mut self, lines: &mut Lines) {
        let snapshot = self.snapshot();
        for known in std::mem::take(&mut self.seeds).into_values() {
            match snapshot.brokers.values().find(|node| known.goes_to(node)) {
                Some(node) if !self.control.contains_key(&node.id) => {
                    self.control.insert(node.id, known);
                }
                _ => known.close(lines),
            }
        }
    }
}

impl<R: Request + 'static> Routed for Routing<R>
where
    R::Response: Send + 'static,
{
    fn pump(&mut self, hub: &mut Hub, lines: &mut Lines, now: Instant) -> Option<Result<Box<dyn Any + Send>>> {
        loop {
            let verdict = match &mut self.stage {
                Stage::Wait(at) if *at > now => return None,
                Stage::Wait(_) => {
                    self.stage = Stage::Choose;
                    continue;
                }
                Stage::Asked(node, asked) => {
                    let node = node.clone();
                    match asked.take(lines, now)? {
                        Ok(answer) => match self.call.handle_response(now, &node, &answer) {
                            Verdict::Done => return Some(Ok(Box::new(answer))),
                            verdict => verdict,
                        },
                        Err(failure) => {
                            let written = failure.written == Written::Maybe;
                            let error = failed(failure, R::NAME).with_broker(node.to_string());
                            self.call.handle_failure(now, &node, error, written)
                        }
                    }
                }
                Stage::Choose | Stage::Coordinator => {
                    let left = self.call.time_left(now);
                    if left.is_zero() {
                        return Some(Err(self.call.timed_out(now)));
                    }
                    let snapshot = hub.snapshot();
                    if snapshot.version == 0 {
                        return None;
                    }
                    let node = match self.call.target(&snapshot, hub.refresh.favorite()) {
                        Place::Unknown(error) => Err(error),
                        Place::Node(node) => Ok(node),
                        Place::Coordinator(key) => {
                            if self.wants.is_none() {
                                hub.coordinators.handle_command(now, coordinators::Command::Want(key.clone()));
                                self.wants = Some(key.clone());
                            }
                            match hub.coordinators.state(&key) {
                                Some(State::Found(node)) => Ok(node.clone()),
                                Some(State::Refused(error)) => return Some(Err(error.clone())),
                                _ => {
                                    self.stage = Stage::Coordinator;
                                    return None;
                                }
                            }
                        }
                    };
                    match node {
                        Err(error) => {
                            let fresh = hub.refresh.answered_rounds() > self.answers_before;
                            self.call.handle_unknown(now, error, fresh)
                        }
                        Ok(node) => {
                            let (build, timeout) = (self.build.clone(), left.min(hub.config.request_timeout));
                            let asked = hub.control(lines, &node).ask(now, R::VERSIONS, move |version| build(version), timeout);
                            self.stage = Stage::Asked(node, asked);
                            return None;
                        }
                    }
                }
            };
            match verdict {
                Verdict::Done => return None,
                Verdict::Failed(error) => return Some(Err(error)),
                Verdict::Retry { at, refresh, forget_coordinator } => {
                    if refresh {
                        hub.command(now, refresh::Command::Refresh);
                    }
                    if let Some(key) = self.wants.clone().filter(|_| forget_coordinator) {
                        hub.coordinators.handle_command(now, coordinators::Command::Forget(key));
                    }
                    self.stage = Stage::Wait(at);
                }
            }
        }
    }

    fn next_timeout(&self) -> Option<Instant> {
        match &self.stage {
            Stage::Wait(at) => Some(*at),
            Stage::Choose | Stage::Coordinator => Some(self.deadline),
            Stage::Asked(..) => None,
        }
    }

    fn end(&mut self, hub: &mut Hub, now: Instant) {
        hub.command(now, refresh::Command::Unwait);
        if let Some(key) = self.wants.take() {
            hub.coordinators.handle_command(now, coordinators::Command::Unwant(key));
        }
    }
}
