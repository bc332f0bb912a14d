//! What callers, the director and the brokers' connections share, and the path of a record into its batch.
//!
//! ```text
//!   callers --- append ---> OpenBatch (a lock per partition) --- closed ---> compressed --- ready --+
//!                                   |  opened                                                       v
//!   director: metadata, producer id, time-outs <---------------------------> core (one lock, per batch)
//!                                                                                 ^  due, take, answers
//!   one BrokerSource per broker's connection <------------------------------------+
//! ```
//!
//! Locks are taken in this order and never the other way: topics, open batch, core. Records touch the first two only; the core's is
//! taken per batch. Whatever the core decides to tell others, results and wakes, is done after all locks are released: see
//! [`Engine::core`].

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::{Duration, Instant};

use tokio::runtime::Handle;
use tokio::sync::Notify;

use super::accumulator::{Accumulator, Fate, Finished};
use super::delivery::{Ack, Completion, Delivery};
use super::memory::{Charge, Memory};
use super::open_batch::{Append, Filling, OpenBatch};
use super::partitioner::{self, Sticky};
use super::sequence::BatchId;
use super::settings::Settings;
use crate::cluster::{Cluster, PartitionMetadata, Snapshot, TopicInterest, TopicMetadata};
use crate::error::{Error, ErrorKind, Result};
use crate::network::SourceHandle;
use crate::network::clock::Clock;
use crate::protocol::TopicName;
use crate::protocol::records::{AppendError, BATCH_HEADER_SIZE, BatchBuilder, ClosedBatch, Compression};
use crate::record::{Record, Topic};

/// What a new batch's buffer has room for at least, unless batches are smaller.
const FIRST_CAPACITY: usize = 16 * 1024;
/// Batches below this size are compressed where they are closed.
const COMPRESS_INLINE: usize = 16 * 1024;

/// See the module.
pub(super) struct Engine {
    pub(super) settings: Settings,
    pub(super) cluster: Cluster,
    pub(super) memory: Arc<Memory>,
    pub(super) clock: Clock,
    runtime: Handle,
    topics: RwLock<HashMap<Topic, TopicState>>,
    core: Mutex<Core>,
    senders: Mutex<BTreeMap<i32, SourceHandle>>,
    /// Wakes the director.
    pub(super) director: Notify,
    /// Told after every change of the core, for who waits until nothing moves any more.
    pub(super) progress: Notify,
    closed: AtomicBool,
}

/// A topic that records were handed over for.
pub(super) struct TopicState {
    /// Keeps it in metadata refreshes.
    _interest: TopicInterest,
    sticky: Sticky,
    partitions: Vec<Arc<PartitionState>>,
}

/// One of its partitions.
#[derive(Debug)]
pub(super) struct PartitionState {
    pub(super) topic: Topic,
    pub(super) partition: i32,
    /// Its index in the accumulator.
    pub(super) index: usize,
    /// The topic's name as it goes into requests.
    pub(super) wire_name: TopicName,
    pub(super) open: OpenBatch,
    /// How large its last batch became: what the next one's buffer is made for.
    last_size: AtomicUsize,
}

/// What is behind the core's lock.
#[derive(Debug)]
pub(super) struct Core {
    pub(super) accumulator: Accumulator<Payload>,
    /// By the accumulator's index.
    pub(super) partitions: Vec<Arc<PartitionState>>,
    /// Brokers that have a sender.
    pub(super) senders: BTreeSet<i32>,
    /// Brokers that need one: the director's to begin.
    pub(super) wanted: BTreeSet<i32>,
    /// The director sleeps without an end: it must hear of the next batch, which has a deadline.
    director_idle: bool,
    /// The director asks for a producer id.
    director_asks: bool,
    /// The director asks for metadata.
    director_refreshes: bool,
    /// Memory of batches that ended while their bytes were on the way.
    orphans: BTreeMap<BatchId, Charge>,
}

/// What is kept with a batch.
#[derive(Debug)]
pub(super) struct Payload {
    pub(super) completion: Arc<Completion>,
    /// Its first record's index in the completion, and one past its last.
    pub(super) range: std::ops::Range<u32>,
    /// From when it is closed on; away while it is being stamped.
    pub(super) content: Option<ClosedBatch>,
    pub(super) charge: Option<Charge>,
    /// Is it all that the completion is about?
    pub(super) whole: bool,
    /// What the broker said, once it is acknowledged.
    pub(super) ack: Ack,
    /// The records that the broker named in its refusal, by their index from the range's start, and why.
    pub(super) record_errors: Vec<(u32, Error)>,
}

/// Why a record was not taken.
#[derive(Debug)]
pub(super) enum Refusal {
    /// Its topic's metadata is not there.
    Metadata,
    /// There is no room for so many bytes.
    Memory(usize),
    /// It never will be.
    Error(Error),
}

/// A lock of the core. What changed is told to others when it is dropped.
pub(super) struct CoreGuard<'a> {
    engine: &'a Engine,
    core: Option<MutexGuard<'a, Core>>,
}

impl Engine {
    /// Without a tokio runtime around: an error.
    pub(super) fn new(cluster: Cluster, settings: Settings, accumulator: Accumulator<Payload>) -> Result<Arc<Self>> {
        let runtime = Handle::try_current().map_err(|error| {
            Error::new(ErrorKind::InvalidRequest, "a producer needs a tokio runtime around").with_source(error)
        })?;
        // A codec that this build lacks should fail here, not with the first batch.
        BatchBuilder::new(0).close_with_level(settings.compression, settings.compression_level).map_err(|error| {
            Error::new(ErrorKind::InvalidConfig, format!("compression.type is {}: {error}", settings.compression))
        })?;
        Ok(Arc::new(Self {
            memory: Memory::new(settings.buffer_memory),
            clock: *cluster.clock(),
            settings,
            cluster,
            runtime,
            topics: RwLock::default(),
            core: Mutex::new(Core {
                accumulator,
                partitions: Vec::new(),
                senders: BTreeSet::new(),
                wanted: BTreeSet::new(),
                director_idle: false,
                director_asks: false,
                director_refreshes: false,
                orphans: BTreeMap::new(),
            }),
            senders: Mutex::default(),
            director: Notify::new(),
            progress: Notify::new(),
            closed: AtomicBool::new(false),
        }))
    }

    /// The core, locked.
    pub(super) fn core(&self) -> CoreGuard<'_> {
        // Panics in the core are bugs; what it holds is then still better than no results at all.
        CoreGuard { engine: self, core: Some(self.core.lock().unwrap_or_else(PoisonError::into_inner)) }
    }

    /// A look at the core that changes nothing, and so tells nobody.
    pub(super) fn look<T>(&self, look: impl FnOnce(&Core) -> T) -> T {
        look(&self.core.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// No records any more.
    pub(super) fn close(&self) {
        self.closed.store(true, Ordering::Release);
        self.memory.close();
        self.director.notify_one();
    }

    pub(super) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// Puts `record` into its partition's batch; `charge` is room that was waited for, `entered` when the caller came.
    pub(super) fn append(
        self: &Arc<Self>,
        record: &Record,
        charge: &mut Option<Charge>,
        entered: Option<Instant>,
    ) -> Result<Delivery, Refusal> {
        if self.is_closed() {
            return Err(Refusal::Error(closed()));
        }
        let topics = self.topics.read().unwrap_or_else(PoisonError::into_inner);
        let Some(topic) = topics.get(&record.topic) else { return Err(Refusal::Metadata) };
        let bound = self.bound(record).map_err(Refusal::Error)?;
        let timestamp = match record.timestamp {
            None => self.clock.wall_millis(),
            Some(timestamp) if timestamp >= 0 => timestamp,
            Some(timestamp) => return Err(Refusal::Error(invalid_timestamp(record, timestamp))),
        };
        let count = topic.partitions.len() as u32;
        let chosen = match record.partition {
            Some(partition) => Some(u32::try_from(partition).unwrap_or(u32::MAX)),
            None => partitioner::by_key(record, count),
        };
        loop {
            let index = chosen.unwrap_or_else(|| topic.sticky.current());
            let Some(partition) = topic.partitions.get(index as usize) else {
                self.cluster.request_refresh();
                return Err(Refusal::Error(no_such_partition(record, count)));
            };
            match partition.open.append(record, timestamp, bound, self.settings.batch_size) {
                Append::Done(delivery) => return Ok(delivery),
                Append::Refused(error) => return Err(Refusal::Error(not_encodable(record, &error))),
                Append::Full(filling) => {
                    let size = filling.builder.len();
                    self.close_batch(partition, filling);
                    if chosen.is_none() {
                        topic.sticky.batch_ended(index, size, || self.queues(topic));
                    }
                }
                Append::Vacant => {
                    let needed = BATCH_HEADER_SIZE + bound;
                    let usual = partition.last_size.load(Ordering::Relaxed).next_power_of_two().max(FIRST_CAPACITY);
                    let capacity = usual.min(self.settings.batch_size).max(needed);
                    let room = charge.take().filter(|charge| charge.bytes() >= needed.min(self.memory.total()));
                    let room = room.or_else(|| self.memory.try_charge(capacity)).or_else(|| self.memory.try_charge(needed));
                    let Some(room) = room else { return Err(Refusal::Memory(needed)) };
                    let capacity = capacity.min(room.bytes().max(needed));
                    let now = self.now();
                    let mut effects = Effects::default();
                    partition.open.open(|| {
                        let completion = Completion::new(partition.topic.clone(), partition.partition);
                        let payload = Payload::new(completion.clone());
                        let mut core = self.core();
                        let entered = entered.unwrap_or(now);
                        let id = core.accumulator.handle_opened(now, entered, partition.index, payload);
                        effects = core.into_effects();
                        Filling { id, builder: BatchBuilder::new(capacity), completion, charge: room }
                    });
                    self.run(effects);
                }
            }
        }
    }

    /// The most bytes `record` can take; an error if that is more than a request may have.
    pub(super) fn bound(&self, record: &Record) -> Result<usize> {
        let headers = record.headers.iter().map(|header| (&*header.key, header.value.as_deref()));
        let bound = BatchBuilder::record_size_bound(record.key.as_deref(), record.value.as_deref(), headers);
        if bound.saturating_add(BATCH_HEADER_SIZE) > self.settings.max_request_size {
            return Err(self.oversize(record, bound));
        }
        Ok(bound)
    }

    #[cold]
    fn oversize(&self, record: &Record, bound: usize) -> Error {
        let message = format!(
            "the record is too large: it takes up to {bound} bytes, and max.request.size is {} bytes; \
             raise it (and the topic's max.message.bytes), or send less in one record",
            self.settings.max_request_size
        );
        Error::new(ErrorKind::MessageTooLarge, message).with_topic(&record.topic)
    }

    /// Waits until the topic is known.
    pub(super) async fn learn(&self, topic: &Topic, deadline: tokio::time::Instant) -> Result<()> {
        if let Some(reason) = topic.invalid() {
            return Err(Error::new(ErrorKind::InvalidRequest, reason).with_topic(topic));
        }
        let interest = self.cluster.interest(topic);
        let metadata = self.cluster.topic(topic, deadline).await?;
        self.know(topic, interest, &metadata);
        Ok(())
    }

    /// Takes the topic from what is known already, without waiting.
    pub(super) fn learn_now(&self, topic: &Topic) -> Result<()> {
        if let Some(reason) = topic.invalid() {
            return Err(Error::new(ErrorKind::InvalidRequest, reason).with_topic(topic));
        }
        let interest = self.cluster.interest(topic);
        let snapshot = self.cluster.snapshot();
        match snapshot.topic(topic).filter(|metadata| metadata.error.is_none() && !metadata.partitions.is_empty()) {
            Some(metadata) => {
                self.know(topic, interest, metadata);
                Ok(())
            }
            None => {
                self.cluster.request_refresh();
                let message = "nothing is known about the topic yet; try again, or use a call that waits";
                Err(Error::new(ErrorKind::UnknownTopic, message).with_topic(topic).with_retriable(true))
            }
        }
    }

    fn know(&self, topic: &Topic, interest: TopicInterest, metadata: &TopicMetadata) {
        let mut topics = self.topics.write().unwrap_or_else(PoisonError::into_inner);
        let count = u32::try_from(metadata.partitions.len()).unwrap_or(u32::MAX);
        // Topics start at different partitions, and so do producers.
        let seed = self.settings.seed.wrapping_add(partitioner::murmur2(topic.as_str().as_bytes()).into());
        let state = topics.entry(topic.clone()).or_insert_with(|| TopicState {
            _interest: interest,
            sticky: Sticky::new(count, seed),
            partitions: Vec::new(),
        });
        self.update(topic, state, metadata);
    }

    /// Leaders, and partitions that are new; a partition that is missing in the metadata keeps its place and its batches.
    fn update(&self, topic: &Topic, state: &mut TopicState, metadata: &TopicMetadata) {
        let snapshot = self.cluster.snapshot();
        let mut core = self.core();
        for (number, found) in (0..).zip(&metadata.partitions) {
            let leader = leader(&snapshot, found);
            match state.partitions.get(number as usize) {
                Some(partition) => core.accumulator.set_leader(partition.index, leader),
                None => {
                    let index = core.accumulator.add_partition(leader);
                    let partition = Arc::new(PartitionState {
                        topic: topic.clone(),
                        partition: number,
                        index,
                        // A name that Kafka takes is short enough for the protocol's text.
                        wire_name: TopicName::try_from(topic.as_str()).unwrap_or_default(),
                        open: OpenBatch::default(),
                        last_size: AtomicUsize::new(0),
                    });
                    core.partitions.push(partition.clone());
                    state.partitions.push(partition);
                }
            }
        }
    }

    /// The cluster's metadata changed.
    pub(super) fn handle_metadata(&self) {
        let snapshot = self.cluster.snapshot();
        let changed = |(topic, state): (&Topic, &TopicState)| {
            snapshot.topic(topic).is_some_and(|metadata| metadata.partitions.len() > state.partitions.len())
        };
        let grown = self.topics.read().unwrap_or_else(PoisonError::into_inner).iter().any(changed);
        if grown {
            let mut topics = self.topics.write().unwrap_or_else(PoisonError::into_inner);
            for (topic, state) in topics.iter_mut() {
                if let Some(metadata) = snapshot.topic(topic) {
                    self.update(topic, state, metadata);
                }
            }
            return;
        }
        let topics = self.topics.read().unwrap_or_else(PoisonError::into_inner);
        let mut core = self.core();
        for (topic, state) in topics.iter() {
            let Some(metadata) = snapshot.topic(topic) else { continue };
            for (partition, found) in state.partitions.iter().zip(&metadata.partitions) {
                core.accumulator.set_leader(partition.index, leader(&snapshot, found));
            }
        }
    }

    /// Is the topic known?
    pub(super) fn knows(&self, topic: &Topic) -> bool {
        self.topics.read().unwrap_or_else(PoisonError::into_inner).contains_key(topic)
    }

    /// Chooses the sticky partition of every topic anew.
    pub(super) fn switch_sticky(&self) {
        let topics = self.topics.read().unwrap_or_else(PoisonError::into_inner);
        for topic in topics.values() {
            topic.sticky.switch(&self.queues(topic));
        }
    }

    fn queues(&self, topic: &TopicState) -> Vec<Option<u32>> {
        self.look(|core| {
            let queue = |partition: &Arc<PartitionState>| {
                core.accumulator.leader(partition.index)?;
                u32::try_from(core.accumulator.queued(partition.index)).ok()
            };
            topic.partitions.iter().map(queue).collect()
        })
    }

    /// Closes the batch `id` of the partition with this index, if it is still open.
    pub(super) fn close_open(self: &Arc<Self>, index: usize, id: BatchId) {
        let Some(partition) = self.look(|core| core.partitions.get(index).cloned()) else { return };
        let Some(filling) = partition.open.take(id) else { return };
        let size = filling.builder.len();
        self.close_batch(&partition, filling);
        let topics = self.topics.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(topic) = topics.get(&partition.topic) {
            topic.sticky.batch_ended(partition.partition.unsigned_abs(), size, || self.queues(topic));
        }
    }

    /// Compresses a batch that was taken out of its place, here or on the pool, and makes it ready.
    fn close_batch(self: &Arc<Self>, partition: &Arc<PartitionState>, filling: Filling) {
        let size = filling.builder.len();
        partition.last_size.store(size, Ordering::Relaxed);
        if self.settings.compression == Compression::None || self.settings.inline || size < COMPRESS_INLINE {
            return self.finish_batch(partition, filling);
        }
        if self.core().accumulator.handle_closed(partition.index, filling.id) {
            let (engine, partition) = (self.clone(), partition.clone());
            self.runtime.spawn_blocking(move || engine.finish_batch(&partition, filling));
        }
    }

    fn finish_batch(&self, partition: &PartitionState, filling: Filling) {
        let Filling { id, builder, completion: _, mut charge } = filling;
        let (count, capacity) = (builder.count() as u32, builder.capacity());
        match builder.close_with_level(self.settings.compression, self.settings.compression_level) {
            Ok(content) => {
                let size = content.size();
                charge.shrink(if content.compression() == Compression::None { capacity } else { size });
                self.core().accumulator.handle_ready(partition.index, id, size, count, |payload| {
                    payload.range = 0..count;
                    payload.content = Some(content);
                    payload.charge = Some(charge);
                });
            }
            Err(error) => {
                // `new` tried the codec; what is left is its running out of memory or the like.
                let error = Error::new(ErrorKind::Bug, format!("the batch could not be compressed: {error}"));
                self.core().accumulator.fail(partition.index, id, error);
            }
        }
    }

    /// Begins sending to a broker.
    pub(super) fn add_sender(&self, broker: i32, sender: SourceHandle) {
        self.senders.lock().unwrap_or_else(PoisonError::into_inner).insert(broker, sender);
        let mut core = self.core();
        core.wanted.remove(&broker);
        core.senders.insert(broker);
        drop(core);
        self.with_sender(broker, SourceHandle::wake);
    }

    /// Ends sending to all brokers.
    pub(super) fn drop_senders(&self) {
        let senders = std::mem::take(&mut *self.senders.lock().unwrap_or_else(PoisonError::into_inner));
        // Dropped after the lock is released: closing a connection may drop its source, and that the engine.
        drop(senders);
    }

    /// With the sender of a broker, if there is one.
    pub(super) fn with_sender(&self, broker: i32, act: impl FnOnce(&SourceHandle)) {
        let senders = self.senders.lock().unwrap_or_else(PoisonError::into_inner);
        senders.get(&broker).map(act);
    }

    /// The time, as the cores are told it.
    pub(super) fn now(&self) -> Instant {
        tokio::time::Instant::now().into_std()
    }

    /// Tells all who wait for a batch.
    fn announce(&self, finished: Finished<Payload>, partition: &PartitionState) {
        // One that never was closed leaves its place, else records would go on into a batch that has its result.
        drop(partition.open.take(finished.batch));
        let elapsed = self.now().saturating_duration_since(finished.opened);
        let Finished { payload, fate, attempts, .. } = finished;
        let Payload { completion, range, whole, ack, record_errors, .. } = payload;
        let (error, possibly_written) = match fate {
            Fate::Acked => {
                let result = Ok(ack);
                return if whole { completion.complete(result) } else { completion.complete_piece([(range, result)]) };
            }
            Fate::Failed { error, possibly_written } => {
                (error.unwrap_or_else(|| Error::new(ErrorKind::Broker, "the batch was not acknowledged")), possibly_written)
            }
            Fate::Expired { error, possibly_written } => (expired(self.settings.delivery_timeout, error), possibly_written),
            Fate::Dropped { possibly_written } => (closed(), possibly_written),
        };
        let context = |error: Error| {
            let error = error.with_topic(&partition.topic).with_partition(partition.partition);
            Err(error.with_attempts(attempts, elapsed).with_possibly_written(possibly_written))
        };
        let rest = if whole { 0..u32::MAX } else { range.clone() };
        if whole && record_errors.is_empty() {
            return completion.complete(context(error));
        }
        let named = record_errors.into_iter().map(|(index, error)| {
            let at = range.start.saturating_add(index);
            (at..at.saturating_add(1), context(error))
        });
        completion.complete_piece(named.chain([(rest, context(error))]).collect::<Vec<_>>());
    }

    fn run(&self, effects: Effects) {
        for broker in effects.wakes {
            self.with_sender(broker, SourceHandle::wake);
        }
        if effects.director {
            self.director.notify_one();
        }
        for (finished, partition) in effects.finished {
            self.announce(finished, &partition);
        }
        self.progress.notify_waiters();
    }
}

/// What has to be told to others, once no lock is held.
#[derive(Debug, Default)]
pub(super) struct Effects {
    wakes: Vec<i32>,
    finished: Vec<(Finished<Payload>, Arc<PartitionState>)>,
    director: bool,
}

impl Core {
    /// A batch's answer came: memory that waited for it goes back.
    pub(super) fn answered(&mut self, id: BatchId) {
        self.orphans.remove(&id);
    }

    /// The director goes to sleep: without an end, asking for a producer id, asking for metadata?
    pub(super) fn sleeping(&mut self, without_end: bool, asks: bool, refreshes: bool) {
        (self.director_idle, self.director_asks, self.director_refreshes) = (without_end, asks, refreshes);
    }

    fn effects(&mut self, closed: bool) -> Effects {
        let mut effects = Effects::default();
        while let Some(broker) = self.accumulator.poll_wake() {
            if self.senders.contains(&broker) {
                effects.wakes.push(broker);
            } else {
                effects.director |= self.wanted.insert(broker);
            }
        }
        while let Some(mut finished) = self.accumulator.poll_finished() {
            if finished.in_flight
                && let Some(charge) = finished.payload.charge.take()
            {
                self.orphans.insert(finished.batch, charge);
            }
            if let Some(partition) = self.partitions.get(finished.partition) {
                effects.finished.push((finished, partition.clone()));
            }
        }
        let ask = !self.director_asks && self.accumulator.needs_identity();
        let deadline = self.director_idle && self.accumulator.next_timeout().is_some();
        self.director_idle &= !deadline;
        self.director_asks |= ask;
        let refresh = !self.director_refreshes && self.accumulator.needs_metadata();
        self.director_refreshes |= refresh;
        effects.director |= ask || refresh || deadline || (closed && self.accumulator.is_empty());
        effects
    }
}

impl Payload {
    /// A part of a batch that was split.
    pub(super) fn piece(
        completion: Arc<Completion>,
        range: std::ops::Range<u32>,
        content: ClosedBatch,
        charge: Option<Charge>,
    ) -> Self {
        let (ack, record_errors) = (Ack::default(), Vec::new());
        Self { completion, range, whole: false, content: Some(content), charge, ack, record_errors }
    }

    fn new(completion: Arc<Completion>) -> Self {
        let (content, charge, ack, record_errors) = (None, None, Ack::default(), Vec::new());
        Self { completion, range: 0..0, whole: true, content, charge, ack, record_errors }
    }
}

impl std::ops::Deref for CoreGuard<'_> {
    type Target = Core;

    fn deref(&self) -> &Core {
        // There until `drop`.
        self.core.as_ref().expect("locked while it lives")
    }
}

impl std::ops::DerefMut for CoreGuard<'_> {
    fn deref_mut(&mut self) -> &mut Core {
        self.core.as_mut().expect("locked while it lives")
    }
}

impl CoreGuard<'_> {
    /// Unlocks, and leaves it to the caller to tell others.
    fn into_effects(mut self) -> Effects {
        let closed = self.engine.is_closed();
        self.core.take().map(|mut core| core.effects(closed)).unwrap_or_default()
    }
}

impl Drop for CoreGuard<'_> {
    fn drop(&mut self) {
        let closed = self.engine.is_closed();
        let Some(mut core) = self.core.take() else { return };
        let effects = core.effects(closed);
        drop(core);
        self.engine.run(effects);
    }
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine").field("settings", &self.settings).finish_non_exhaustive()
    }
}

/// The partition's leader, if it can be reached.
fn leader(snapshot: &Snapshot, found: &PartitionMetadata) -> Option<i32> {
    let leader = found.leader?;
    snapshot.node(leader).map(|_| leader.0)
}

/// The producer takes nothing any more.
#[cold]
pub(super) fn closed() -> Error {
    Error::new(ErrorKind::Closed, "the producer is closed")
}

#[cold]
fn expired(timeout: Duration, cause: Option<Error>) -> Error {
    let message = format!("no acknowledgement within delivery.timeout.ms ({} ms)", timeout.as_millis());
    let error = Error::new(ErrorKind::Timeout, message);
    match cause {
        Some(cause) => match cause.code() {
            Some(code) => error.with_code(code).with_source(cause),
            None => error.with_source(cause),
        },
        None => error,
    }
}

#[cold]
fn no_such_partition(record: &Record, count: u32) -> Error {
    let message = format!("the topic has no such partition: it has {count}, from 0");
    let error = Error::new(ErrorKind::InvalidRequest, message).with_topic(&record.topic);
    error.with_partition(record.partition.unwrap_or_default())
}

#[cold]
fn invalid_timestamp(record: &Record, timestamp: i64) -> Error {
    let message = format!("the record's timestamp is {timestamp}; it must be milliseconds since 1970-01-01 UTC, not negative");
    Error::new(ErrorKind::InvalidRequest, message).with_topic(&record.topic)
}

#[cold]
fn not_encodable(record: &Record, error: &AppendError) -> Error {
    Error::new(ErrorKind::MessageTooLarge, format!("the record cannot be encoded: {error}")).with_topic(&record.topic)
}
