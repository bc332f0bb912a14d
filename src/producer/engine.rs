//! What callers, the director and the brokers' connections share, and the path of a record into its batch.
//!
//! ```text
//!   callers --- append ---> OpenBatch (a lock per partition) --- closed ---> compressed --- ready --+
//!                                   |  opened                                                       v
//!   director: metadata, producer id, time-outs <---------------------------> ledger (one lock, per batch)
//!                                                                                 ^  due, take, answers
//!   one BrokerSource per broker's connection <------------------------------------+
//! ```
//!
//! Locks are taken in this order and never the other way: topics, open batch, ledger. Records touch the first two only.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Instant;

use tokio::runtime::Handle;
use tokio::sync::Notify;

use super::accumulator::Accumulator;
use super::buffers::Buffers;
use super::delivery::{Completion, Delivery};
use super::driver::Host;
use super::ledger::{Effects, Ledger, LedgerGuard, Payload};
use super::memory::{Charge, Memory};
use super::open_batch::{Append, Filling};
use super::partitioner::Partitioning;
use super::sequence::BatchId;
use super::settings::Settings;
use super::topics::{PartitionState, TopicState};
use crate::cluster::{Cluster, Node, Snapshot};
use crate::error::{Error, ErrorKind, Result};
use crate::network::SourceHandle;
use crate::network::clock::Clock;
use crate::protocol::records::{AppendError, BATCH_HEADER_SIZE, BatchBuilder, Compression};
use crate::protocol::{BrokerId, ErrorCode};
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
    pub(super) buffers: Buffers,
    pub(super) clock: Clock,
    runtime: Handle,
    pub(super) topics: RwLock<HashMap<Topic, TopicState>>,
    pub(super) ledger: Mutex<Ledger>,
    senders: Mutex<BTreeMap<i32, SourceHandle>>,
    /// Wakes the director.
    pub(super) director: Notify,
    /// Told after every change of the ledger, for who waits until nothing moves any more.
    pub(super) progress: Notify,
    closed: AtomicBool,
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
            buffers: Buffers::default(),
            clock: *cluster.clock(),
            settings,
            cluster,
            runtime,
            topics: RwLock::default(),
            ledger: Mutex::new(Ledger::new(accumulator)),
            senders: Mutex::default(),
            director: Notify::new(),
            progress: Notify::new(),
            closed: AtomicBool::new(false),
        }))
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
        let asked = match &self.settings.partitioning {
            Partitioning::Custom(partitioner) if record.partition.is_none() => self.ask_partitioner(&**partitioner, record)?,
            _ => None,
        };
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
            None => asked.or_else(|| self.settings.partitioning.by_key(record, count)),
        };
        loop {
            let index = chosen.unwrap_or_else(|| topic.sticky.current());
            let Some(partition) = topic.partitions.get(index as usize) else {
                self.cluster.request_refresh();
                return Err(Refusal::Error(no_such_partition(record, count)));
            };
            let appended = match partition.open.append(record, timestamp, bound, self.settings.batch_size) {
                Append::Vacant => {
                    let needed = BATCH_HEADER_SIZE + bound;
                    let usual = partition.last_size.load(Ordering::Relaxed).next_power_of_two().max(FIRST_CAPACITY);
                    let capacity = usual.min(self.settings.batch_size).max(needed);
                    let room = charge.take().filter(|charge| charge.bytes() >= needed.min(self.memory.total()));
                    let room = room.or_else(|| self.memory.try_charge(capacity)).or_else(|| self.memory.try_charge(needed));
                    let Some(room) = room else { return Err(Refusal::Memory(needed)) };
                    let capacity = capacity.min(room.bytes().max(needed));
                    let now = self.now();
                    let builder = match self.buffers.take(capacity) {
                        Some(buffer) => BatchBuilder::from_buffer(buffer),
                        None => BatchBuilder::new(capacity),
                    };
                    let mut effects = Effects::default();
                    let appended = partition.open.open(record, timestamp, bound, self.settings.batch_size, || {
                        let completion = Completion::new(partition.topic.clone(), partition.partition);
                        let payload = Payload::new(completion.clone());
                        let mut ledger = self.ledger();
                        if ledger.ended {
                            return None;
                        }
                        let entered = entered.unwrap_or(now);
                        let id = ledger.accumulator.handle_opened(now, entered, partition.index, payload);
                        effects = ledger.into_effects();
                        Some(Filling { id, builder, completion, charge: room })
                    });
                    self.run(effects);
                    appended
                }
                appended => appended,
            };
            match appended {
                Append::Done(delivery) => return Ok(delivery),
                Append::Refused(error) => return Err(Refusal::Error(not_encodable(record, &error))),
                Append::Full(filling) => {
                    let size = filling.builder.len();
                    self.close_batch(partition, filling);
                    if chosen.is_none() {
                        topic.sticky.batch_ended(index, size, || self.queues(topic));
                    }
                }
                // None could be opened: it has ended meanwhile.
                Append::Vacant => return Err(Refusal::Error(closed())),
            }
        }
    }

    /// Can `record` ever be sent? Returns the most bytes it can take.
    pub(super) fn admit(&self, record: &Record) -> Result<usize> {
        if let Some(reason) = record.topic.invalid() {
            return Err(Error::new(ErrorKind::InvalidRequest, reason).with_topic(&record.topic));
        }
        self.bound(record)
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

    /// Closes the batch `id` of the partition with this index, if it is still open.
    pub(super) fn close_open(self: &Arc<Self>, index: usize, id: BatchId) {
        let partition = self.look(|ledger| ledger.partitions.get(index).cloned());
        let filling = partition.and_then(|partition| partition.open.take(id).map(|filling| (partition, filling)));
        let Some((partition, filling)) = filling else {
            // Whoever found it full has taken it and makes it ready.
            self.ledger().accumulator.handle_closed(index, id);
            return;
        };
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
        let compression = self.settings.compression_of(filling.builder.count());
        if compression == Compression::None || self.settings.inline || size < COMPRESS_INLINE {
            return self.finish_batch(partition, filling);
        }
        if self.ledger().accumulator.handle_closed(partition.index, filling.id) {
            let (engine, partition) = (self.clone(), partition.clone());
            self.runtime.spawn_blocking(move || engine.finish_batch(&partition, filling));
        }
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
                // `new` tried the codec; what is left is its running out of memory or the like.
                let error = Error::new(ErrorKind::Bug, format!("the batch could not be compressed: {error}"));
                self.ledger().accumulator.fail(partition.index, id, error);
            }
        }
    }

    /// Begins sending to a broker.
    pub(super) fn add_sender(&self, broker: i32, sender: SourceHandle) {
        self.senders.lock().unwrap_or_else(PoisonError::into_inner).insert(broker, sender);
        let mut ledger = self.ledger();
        ledger.wanted.remove(&broker);
        ledger.senders.insert(broker);
        drop(ledger);
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
}

impl Host for Engine {
    type Guard<'a> = LedgerGuard<'a>;

    fn settings(&self) -> &Settings {
        &self.settings
    }

    fn ledger(&self) -> LedgerGuard<'_> {
        self.ledger()
    }

    fn close_open(self: &Arc<Self>, partition: usize, batch: BatchId) {
        Self::close_open(self, partition, batch);
    }

    fn snapshot(&self) -> Arc<Snapshot> {
        self.cluster.snapshot()
    }

    fn request_refresh(&self) {
        self.cluster.request_refresh();
    }

    fn leader_hint(&self, topic: &Topic, partition: i32, leader: BrokerId, leader_epoch: i32, endpoint: Option<Node>) {
        self.cluster.leader_hint(topic, partition, leader, leader_epoch, endpoint);
    }

    fn now(&self) -> Instant {
        self.now()
    }
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine").field("settings", &self.settings).finish_non_exhaustive()
    }
}

/// The producer takes nothing any more.
#[cold]
pub(super) fn closed() -> Error {
    Error::new(ErrorKind::Closed, "the producer is closed; build another")
}

#[cold]
fn no_such_partition(record: &Record, count: u32) -> Error {
    let message = format!("the topic has no such partition: it has {count}, from 0");
    let error = Error::new(ErrorKind::InvalidRequest, message).with_code(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);
    error.with_topic(&record.topic).with_partition(record.partition.unwrap_or_default())
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
