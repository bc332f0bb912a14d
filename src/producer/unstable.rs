//! The producer's cores without tasks, for the simulator: what the engine and the director do, each time they are asked to.
//!
//! Accumulator, sequences, the ledger and the sources of the brokers' connections are the producer's own; this file appends, follows
//! the metadata, asks for producer ids and ends what is past its time.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::accumulator::{Accumulator, Rules};
use super::delivery::{Completion, Delivery};
use super::driver::{BrokerSource, Host};
use super::ledger::{Ledger, Payload};
use super::memory::Memory;
use super::open_batch::{Append, Filling, OpenBatch};
use super::sequence::{BatchId, Identity};
use super::settings::{Acks, Choice, Settings};
use super::topics::PartitionState;
use crate::cluster::unstable::Hub;
use crate::cluster::{Backoff, Node, Route, Snapshot, refresh};
use crate::error::{Error, ErrorKind, Result};
use crate::network::line::Lines;
use crate::network::{ConnectionConfig, Target};
use crate::protocol::messages::init_producer_id::{InitProducerIdRequest, InitProducerIdResponse};
use crate::protocol::records::{BATCH_HEADER_SIZE, BatchBuilder, Compression};
use crate::protocol::{BrokerId, ErrorCode, ProducerId, TopicName};
use crate::record::{Record, Topic};

/// How a simulated producer is set up.
#[derive(Clone, Debug)]
pub struct ProducerSettings {
    /// With sequence numbers.
    pub idempotent: bool,
    /// Without idempotence: when a record counts as delivered.
    pub acks: Acks,
    /// How long an open batch waits for more.
    pub linger: Duration,
    /// Of a batch, in bytes.
    pub batch_size: usize,
    /// Unanswered requests of a connection; none: the default.
    pub max_in_flight: Option<usize>,
    /// How long until a record's result.
    pub delivery_timeout: Duration,
    /// How long a broker may take to answer.
    pub request_timeout: Duration,
    /// Attempts after the first.
    pub retries: u32,
    /// Of batches.
    pub compression: Compression,
    /// Bytes that may wait.
    pub buffer_memory: usize,
    /// Of a request, in bytes.
    pub max_request_size: usize,
}

/// What became of a record that was handed over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Taken {
    /// It is the producer's.
    Yes,
    /// There is no room for it, or its topic is not known yet.
    NotYet,
    /// It never will be, for this reason.
    Refused(String),
}

/// What became of a record that was taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivered {
    /// The caller's number for it.
    pub number: u64,
    /// Its topic.
    pub topic: String,
    /// Its partition.
    pub partition: i32,
    /// Its offset, if the broker said; or why it was not delivered, and whether it may be in the log all the same.
    pub result: std::result::Result<Option<i64>, (String, bool)>,
}

/// A producer without tasks.
#[derive(Debug)]
pub(crate) struct Producer {
    engine: Arc<Virtual>,
    topics: BTreeMap<Topic, Vec<Arc<PartitionState>>>,
    /// Brokers that are sent to: where they were when we last looked, and the line.
    senders: BTreeMap<i32, (Target, u64)>,
    asking: Option<Asking>,
    refreshing: Option<Refreshing>,
    backoff: Backoff,
    pause: Duration,
    seen_version: u64,
    seen_refusals: u64,
    waiting: Vec<(u64, Delivery)>,
    closed: bool,
}

/// A producer id is asked for.
#[derive(Debug)]
struct Asking {
    deadline: Option<Instant>,
    backoff: Backoff,
    at: Instant,
    call: Option<u64>,
}

/// Metadata is asked for anew.
#[derive(Debug)]
struct Refreshing {
    round: u64,
    wanted: u64,
    refused: u64,
    until: Instant,
}

/// What the sources of the brokers' connections have in the engine's place.
#[derive(Debug)]
struct Virtual {
    settings: Settings,
    hub: Arc<Mutex<Hub>>,
    ledger: Mutex<Ledger>,
    memory: Arc<Memory>,
    now: Mutex<Instant>,
}

impl Host for Virtual {
    type Guard<'a> = MutexGuard<'a, Ledger>;

    fn settings(&self) -> &Settings {
        &self.settings
    }

    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn close_open(self: &Arc<Self>, partition: usize, batch: BatchId) {
        let state = self.ledger().partitions.get(partition).cloned();
        match state.and_then(|state| state.open.take(batch).map(|filling| (state, filling))) {
            Some((state, filling)) => self.finish_batch(&state, filling),
            None => drop(self.ledger().accumulator.handle_closed(partition, batch)),
        }
    }

    fn snapshot(&self) -> Arc<Snapshot> {
        self.hub().snapshot()
    }

    fn request_refresh(&self) {
        self.hub().command(self.now(), refresh::Command::Refresh);
    }

    fn leader_hint(&self, topic: &Topic, partition: i32, leader: BrokerId, leader_epoch: i32, endpoint: Option<Node>) {
        let topic = topic.clone();
        let hint = refresh::Command::LeaderHint { topic, partition, leader, leader_epoch, endpoint };
        self.hub().command(self.now(), hint);
    }

    fn now(&self) -> Instant {
        *self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Virtual {
    fn hub(&self) -> MutexGuard<'_, Hub> {
        self.hub.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn finish_batch(&self, partition: &PartitionState, filling: Filling) {
        let Filling { id, builder, completion: _, mut charge } = filling;
        let (count, capacity) = (builder.count() as u32, builder.capacity());
        let compression = self.settings.compression_of(builder.count());
        match builder.close_with_level(compression, self.settings.compression_level) {
            Ok(content) => {
                let size = content.size();
                charge.shrink(if content.compression() == Compression::None { capacity } else { size });
                self.ledger().accumulator.handle_ready(partition.index, id, size, count, |payload| {
                    payload.range = 0..count;
                    payload.content = Some(content);
                    payload.charge = Some(charge);
                });
            }
            Err(error) => {
                let error = Error::new(ErrorKind::Bug, format!("the batch could not be compressed: {error}"));
                self.ledger().accumulator.fail(partition.index, id, error);
            }
        }
    }
}

impl Producer {
    /// A producer for these topics.
    ///
    /// # Errors
    /// If the settings don't fit together.
    pub(crate) fn new(now: Instant, hub: Arc<Mutex<Hub>>, topics: &[&str], settings: &ProducerSettings) -> Result<Self> {
        let (seed, backoff, spread) = {
            let mut hub = hub.lock().unwrap_or_else(PoisonError::into_inner);
            (hub.next_seed(), hub.config.backoff, hub.next_seed())
        };
        let mut choice = Choice::new(settings.request_timeout);
        choice.seed = seed;
        choice.idempotent = Some(settings.idempotent);
        choice.acks = (!settings.idempotent).then_some(settings.acks);
        choice.linger = settings.linger;
        choice.batch_size = settings.batch_size;
        choice.max_in_flight = settings.max_in_flight;
        choice.delivery_timeout = Some(settings.delivery_timeout);
        choice.retries = settings.retries;
        choice.compression = settings.compression;
        choice.buffer_memory = settings.buffer_memory;
        choice.max_request_size = settings.max_request_size;
        let settings = choice.resolve()?;
        let rules = Rules {
            idempotent: settings.idempotent,
            linger: Some(settings.linger),
            delivery_timeout: Some(settings.delivery_timeout),
            max_batches: settings.max_batches,
            max_request_size: settings.max_request_size,
            retries: settings.retries,
            backoff,
            hold_failed: false,
            seed,
        };
        let engine = Arc::new(Virtual {
            memory: Memory::new(settings.buffer_memory),
            ledger: Mutex::new(Ledger::new(Accumulator::new(rules))),
            now: Mutex::new(now),
            settings,
            hub,
        });
        for topic in topics {
            engine.hub().command(now, refresh::Command::Use(Topic::from(*topic)));
        }
        Ok(Self {
            engine,
            topics: topics.iter().map(|topic| (Topic::from(*topic), Vec::new())).collect(),
            senders: BTreeMap::new(),
            asking: None,
            refreshing: None,
            backoff: Backoff::new(backoff, spread),
            pause: Duration::ZERO,
            seen_version: 0,
            seen_refusals: 0,
            waiting: Vec::new(),
            closed: false,
        })
    }

    /// Hands over a record for a partition.
    pub(crate) fn produce(&mut self, now: Instant, wall: i64, number: u64, topic: &str, partition: i32, value: &[u8]) -> Taken {
        self.set_now(now);
        let name = Topic::from(topic);
        let Some(partitions) = self.topics.get(&name).filter(|partitions| !partitions.is_empty()) else { return Taken::NotYet };
        let Some(state) = usize::try_from(partition).ok().and_then(|at| partitions.get(at)).cloned() else {
            return Taken::Refused("no such partition".to_owned());
        };
        if self.closed {
            return Taken::Refused("the producer is closed".to_owned());
        }
        let record = Record::new(topic).value(value.to_vec()).partition(partition);
        let headers = record.headers.iter().map(|header| (&*header.key, header.value.as_deref()));
        let bound = BatchBuilder::record_size_bound(record.key.as_deref(), record.value.as_deref(), headers);
        let (engine, batch_size) = (self.engine.clone(), self.engine.settings.batch_size);
        loop {
            let appended = match state.open.append(&record, wall, bound, batch_size) {
                Append::Vacant => {
                    let needed = BATCH_HEADER_SIZE + bound;
                    let capacity = batch_size.clamp(needed, 16 * 1024);
                    let room = engine.memory.try_charge(capacity).or_else(|| engine.memory.try_charge(needed));
                    let Some(room) = room else { return Taken::NotYet };
                    state.open.open(&record, wall, bound, batch_size, || {
                        let completion = Completion::new(state.topic.clone(), state.partition);
                        let payload = Payload::new(completion.clone());
                        let id = engine.ledger().accumulator.handle_opened(now, now, state.index, payload);
                        Some(Filling { id, builder: BatchBuilder::new(room.bytes()), completion, charge: room })
                    })
                }
                appended => appended,
            };
            match appended {
                Append::Done(delivery) => {
                    self.waiting.push((number, delivery));
                    return Taken::Yes;
                }
                Append::Refused(error) => return Taken::Refused(error.to_string()),
                Append::Full(filling) => engine.finish_batch(&state, filling),
                Append::Vacant => return Taken::NotYet,
            }
        }
    }

    /// Every open batch is due.
    pub(crate) fn flush(&mut self) {
        self.engine.ledger().accumulator.flush();
    }

    /// No records any more.
    pub(crate) fn close(&mut self) {
        self.closed = true;
    }

    /// Records without a result.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Bytes in use.
    pub(crate) fn used(&self) -> usize {
        self.engine.memory.used()
    }

    /// Bytes that may be in use.
    pub(crate) fn limit(&self) -> usize {
        self.engine.memory.total()
    }

    /// It is over: its connections close, what is left is dropped.
    pub(crate) fn end(&mut self, now: Instant, lines: &mut Lines) {
        self.engine.ledger().accumulator.drop_all();
        std::mem::take(&mut self.senders).into_values().for_each(|(_, line)| lines.close(line));
        for topic in std::mem::take(&mut self.topics).into_keys() {
            self.engine.hub().command(now, refresh::Command::Unuse(topic));
        }
    }

    /// How often a partition's sequence in this state met this event.
    pub(crate) fn seen(&self) -> Vec<(&'static str, &'static str, u64)> {
        self.engine.ledger().accumulator.sequences().map(|sequences| sequences.seen().collect()).unwrap_or_default()
    }

    fn set_now(&self, now: Instant) {
        *self.engine.now.lock().unwrap_or_else(PoisonError::into_inner) = now;
    }

    /// Does all there is to do. True if something moved.
    pub(crate) fn pump(&mut self, now: Instant, lines: &mut Lines, delivered: &mut Vec<Delivered>) -> bool {
        self.set_now(now);
        let snapshot = self.engine.snapshot();
        let mut moved = false;
        if snapshot.version != self.seen_version {
            self.seen_version = snapshot.version;
            self.handle_metadata(&snapshot);
            self.readdress(lines, &snapshot);
            moved = true;
        }
        self.handle_refusal();
        let mut ledger = self.engine.ledger();
        if self.closed {
            ledger.accumulator.set_hurry(true);
        }
        if ledger.accumulator.next_timeout().is_some_and(|at| at <= now) {
            ledger.accumulator.handle_timeout(now);
            moved = true;
        }
        let (needs_identity, needs_metadata) = (ledger.accumulator.needs_identity(), ledger.accumulator.needs_metadata());
        drop(ledger);
        if needs_identity && self.asking.is_none() {
            let mut hub = self.engine.hub();
            let backoff = Backoff::new(hub.config.backoff, hub.next_seed());
            self.asking = Some(Asking { deadline: None, backoff, at: now + self.pause, call: None });
        }
        moved |= self.ask_identity(now);
        if needs_metadata && self.refreshing.is_none() {
            let round = self.engine.ledger().accumulator.begin_metadata();
            let mut hub = self.engine.hub();
            // An answer under way may have been asked for too early.
            let wanted = hub.refresh.answered_rounds() + 1 + u64::from(hub.refresh.is_asking());
            hub.command(now, refresh::Command::Refresh);
            hub.command(now, refresh::Command::Wait);
            let until = now + hub.config.backoff.max.saturating_mul(2);
            self.refreshing = Some(Refreshing { round, wanted, refused: hub.refused, until });
        }
        moved |= self.refreshed(now);
        moved |= self.begin_senders(lines, &snapshot);
        moved |= self.announce(delivered);
        moved
    }

    /// When to [`pump`](Self::pump) although nothing happened.
    pub(crate) fn next_timeout(&self) -> Option<Instant> {
        let expiry = self.engine.ledger().accumulator.next_timeout();
        let asking = self.asking.as_ref().filter(|asking| asking.call.is_none()).map(|asking| asking.at);
        let refreshing = self.refreshing.as_ref().map(|refreshing| refreshing.until);
        [expiry, asking, refreshing].into_iter().flatten().min()
    }

    fn handle_metadata(&mut self, snapshot: &Snapshot) {
        let mut ledger = self.engine.ledger();
        for (name, known) in &mut self.topics {
            let Some(topic) = snapshot.topic(name) else { continue };
            for (number, found) in (0..).zip(&topic.partitions) {
                let leader = found.leader.filter(|leader| snapshot.node(*leader).is_some()).map(|leader| leader.0);
                match known.get(number as usize) {
                    Some(partition) => ledger.accumulator.set_leader(partition.index, leader),
                    None => {
                        let index = ledger.accumulator.add_partition(leader);
                        let partition = Arc::new(PartitionState {
                            topic: name.clone(),
                            partition: number,
                            index,
                            wire_name: TopicName::try_from(name.as_str()).unwrap_or_default(),
                            open: OpenBatch::default(),
                            last_size: AtomicUsize::new(0),
                        });
                        ledger.partitions.push(partition.clone());
                        known.push(partition);
                    }
                }
            }
        }
    }

    fn readdress(&mut self, lines: &mut Lines, snapshot: &Snapshot) {
        for (broker, (known, line)) in &mut self.senders {
            let Some(node) = snapshot.node(BrokerId(*broker)) else { continue };
            let target = Target::new(&*node.host, node.port);
            if *known != target {
                lines.retarget(*line, target.clone());
                *known = target;
            }
        }
    }

    fn handle_refusal(&mut self) {
        let refusal = {
            let hub = self.engine.hub();
            let news = std::mem::replace(&mut self.seen_refusals, hub.refused) != hub.refused;
            hub.refresh.refusal().filter(|_| news).cloned()
        };
        if let Some(refusal) = refusal {
            self.engine.ledger().accumulator.handle_refused(&refusal);
        }
    }

    /// Asks any broker for a producer id, with the retries that the director makes.
    fn ask_identity(&mut self, now: Instant) -> bool {
        let Some(asking) = &mut self.asking else { return false };
        let request_timeout = self.engine.settings.request_timeout;
        let Some(call) = asking.call else {
            if asking.at > now {
                return false;
            }
            let deadline = *asking.deadline.get_or_insert(now + request_timeout);
            let build = |_| InitProducerIdRequest {
                transactional_id: None,
                transaction_timeout_ms: i32::MAX,
                producer_id: ProducerId(-1),
                producer_epoch: -1,
                ..InitProducerIdRequest::default()
            };
            asking.call = Some(self.engine.hub().call(now, Route::Any, deadline, build));
            return true;
        };
        let Some(answer) = self.engine.hub().take_call::<InitProducerIdResponse>(call) else { return false };
        asking.call = None;
        let error = match answer {
            Ok(response) if response.error_code.is_ok() => {
                self.asking = None;
                self.backoff.reset();
                self.pause = Duration::ZERO;
                let identity = Identity { producer_id: response.producer_id.0, epoch: response.producer_epoch };
                self.engine.ledger().accumulator.handle_identity(identity);
                return true;
            }
            Ok(response) => {
                let code = response.error_code;
                let passes = code.is_retriable() || code == ErrorCode::COORDINATOR_NOT_AVAILABLE;
                if passes && asking.deadline.is_some_and(|deadline| now < deadline) {
                    asking.at = now + asking.backoff.next_pause();
                    return true;
                }
                Error::from_code(code, "no producer id").with_retriable(passes)
            }
            Err(error) => error,
        };
        self.asking = None;
        self.pause = self.backoff.next_pause();
        self.engine.ledger().accumulator.handle_identity_failed(&error, !error.is_retriable());
        true
    }

    fn refreshed(&mut self, now: Instant) -> bool {
        let Some(refreshing) = &self.refreshing else { return false };
        let mut hub = self.engine.hub();
        let over =
            hub.refresh.answered_rounds() >= refreshing.wanted || hub.refused > refreshing.refused || refreshing.until <= now;
        if !over {
            return false;
        }
        hub.command(now, refresh::Command::Unwait);
        let snapshot = hub.snapshot();
        drop(hub);
        let round = refreshing.round;
        self.refreshing = None;
        self.handle_metadata(&snapshot);
        self.engine.ledger().accumulator.handle_metadata(round);
        true
    }

    fn begin_senders(&mut self, lines: &mut Lines, snapshot: &Snapshot) -> bool {
        let wanted: Vec<i32> = self.engine.ledger().wanted.iter().copied().collect();
        let mut moved = false;
        for broker in wanted {
            let Some(node) = snapshot.node(BrokerId(broker)) else { continue };
            let target = Target::new(&*node.host, node.port);
            let config = ConnectionConfig { max_in_flight: usize::MAX, ..self.engine.hub().connection_config(Some(node)) };
            let line = lines.add(target.clone(), config, Box::new(BrokerSource::new(self.engine.clone(), broker)));
            self.senders.insert(broker, (target, line));
            let mut ledger = self.engine.ledger();
            ledger.wanted.remove(&broker);
            ledger.senders.insert(broker);
            moved = true;
        }
        moved
    }

    /// Tells what became of batches, and the caller what became of records.
    fn announce(&mut self, delivered: &mut Vec<Delivered>) -> bool {
        let effects = self.engine.ledger().effects(self.closed);
        let moved = !effects.finished.is_empty();
        for (finished, partition) in effects.finished {
            drop(partition.open.take(finished.batch));
            let mut payload = finished.payload;
            drop(payload.charge.take());
            use super::accumulator::Fate;
            let (error, possibly_written) = match finished.fate {
                Fate::Acked => {
                    payload.acknowledge();
                    continue;
                }
                Fate::Failed { error, possibly_written } | Fate::Expired { error, possibly_written } => (error, possibly_written),
                Fate::Dropped { possibly_written } => (None, possibly_written),
            };
            let error = error.unwrap_or_else(|| Error::new(ErrorKind::Timeout, "its time was up"));
            payload.fail(error, |error| error.with_possibly_written(possibly_written));
        }
        if moved {
            self.waiting.retain(|(number, delivery)| {
                let Some(result) = delivery.try_result() else { return true };
                let result = result.map(|at| at.offset).map_err(|error| (error.to_string(), error.is_possibly_written()));
                let (topic, partition) = (delivery.topic().as_str().to_owned(), delivery.partition());
                delivered.push(Delivered { number: *number, topic, partition, result });
                false
            });
        }
        moved
    }
}
