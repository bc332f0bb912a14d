//! What is known of every batch, behind one lock that is taken per batch and never per record.
//!
//! Whoever changes something in it, an append that opens a batch or a connection that brings an answer, leaves effects: results to be
//! told, connections and the director to be woken. They happen when the lock is released, so that nobody who is woken finds it
//! taken, and no waker runs under it. [`LedgerGuard`] sees to that.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::Duration;

use super::accumulator::{Accumulator, Fate, Finished};
use super::delivery::{Ack, Completion};
use super::engine::{Engine, closed};
use super::memory::Charge;
use super::sequence::BatchId;
use super::topics::PartitionState;
use crate::error::{Error, ErrorKind};
use crate::network::SourceHandle;
use crate::protocol::records::ClosedBatch;

/// What is behind the lock.
#[derive(Debug)]
pub(super) struct Ledger {
    pub(super) accumulator: Accumulator<Payload>,
    /// By the accumulator's index.
    pub(super) partitions: Vec<Arc<PartitionState>>,
    /// The director has left: nobody would send another batch, or end it.
    pub(super) ended: bool,
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

/// A lock of the ledger. What changed is told to others when it is dropped.
pub(super) struct LedgerGuard<'a> {
    engine: &'a Engine,
    ledger: Option<MutexGuard<'a, Ledger>>,
}

/// What has to be told to others, once no lock is held.
#[derive(Debug, Default)]
pub(super) struct Effects {
    wakes: Vec<i32>,
    pub(super) finished: Vec<(Finished<Payload>, Arc<PartitionState>)>,
    director: bool,
}

impl Engine {
    /// The ledger, locked.
    pub(super) fn ledger(&self) -> LedgerGuard<'_> {
        // Panics under the lock are bugs; what it holds is then still better than no results at all.
        LedgerGuard { engine: self, ledger: Some(self.ledger.lock().unwrap_or_else(PoisonError::into_inner)) }
    }

    /// A look at the ledger that changes nothing, and so tells nobody.
    pub(super) fn look<T>(&self, look: impl FnOnce(&Ledger) -> T) -> T {
        look(&self.ledger.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Tells all who wait for a batch.
    fn announce(&self, finished: Finished<Payload>, partition: &PartitionState) {
        // One that never was closed leaves its place, else records would go on into a batch that has its result.
        drop(partition.open.take(finished.batch));
        let elapsed = self.now().saturating_duration_since(finished.opened);
        let Finished { mut payload, fate, attempts, .. } = finished;
        drop(payload.charge.take());
        let (error, possibly_written) = match fate {
            Fate::Acked => {
                if let Some(buffer) = payload.content.take().and_then(ClosedBatch::into_buffer) {
                    self.buffers.give(self.now(), buffer, self.memory.total() - self.memory.used());
                }
                return payload.acknowledge();
            }
            Fate::Failed { error, possibly_written } => {
                (error.unwrap_or_else(|| Error::new(ErrorKind::Broker, "the batch was not acknowledged")), possibly_written)
            }
            Fate::Expired { error, possibly_written } => {
                // One that never was on its way may have had nowhere to go.
                let nowhere = || self.cluster.snapshot().leader(&partition.topic, partition.partition).err();
                (expired(self.settings.delivery_timeout, error.or_else(nowhere)), possibly_written)
            }
            Fate::Dropped { possibly_written } => (closed(), possibly_written),
        };
        payload.fail(error, |error| {
            let error = self.cluster.with_principal(error).with_topic(&partition.topic).with_partition(partition.partition);
            error.with_attempts(attempts, elapsed).with_possibly_written(possibly_written)
        });
    }

    /// Tells others what changed. No lock of the producer's may be held, but for that of the topics.
    pub(super) fn run(&self, effects: Effects) {
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

impl Ledger {
    pub(super) fn new(accumulator: Accumulator<Payload>) -> Self {
        Self {
            accumulator,
            partitions: Vec::new(),
            ended: false,
            senders: BTreeSet::new(),
            wanted: BTreeSet::new(),
            director_idle: false,
            director_asks: false,
            director_refreshes: false,
            orphans: BTreeMap::new(),
        }
    }

    /// A batch's answer came: memory that waited for it goes back.
    pub(super) fn answered(&mut self, id: BatchId) {
        self.orphans.remove(&id);
    }

    /// The director goes to sleep: without an end, asking for a producer id, asking for metadata?
    pub(super) fn sleeping(&mut self, without_end: bool, asks: bool, refreshes: bool) {
        (self.director_idle, self.director_asks, self.director_refreshes) = (without_end, asks, refreshes);
    }

    pub(super) fn effects(&mut self, closed: bool) -> Effects {
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
        effects.director |= ask || refresh || deadline || (closed && self.accumulator.is_done());
        effects
    }
}

impl Payload {
    /// Tells all who wait for one of its records that they are delivered.
    pub(super) fn acknowledge(self) {
        let Self { completion, range, whole, ack, .. } = self;
        if whole { completion.complete(Ok(ack)) } else { completion.complete_piece([(range, Ok(ack))]) }
    }

    /// Tells them that they are not: those that the broker named for reasons of their own. `context` says in each error where it was.
    pub(super) fn fail(self, error: Error, context: impl Fn(Error) -> Error) {
        let Self { completion, range, whole, record_errors, .. } = self;
        let rest = if whole { 0..u32::MAX } else { range.clone() };
        if whole && record_errors.is_empty() {
            return completion.complete(Err(context(error)));
        }
        let named = record_errors.into_iter().map(|(index, error)| {
            let at = range.start.saturating_add(index);
            (at..at.saturating_add(1), Err(context(error)))
        });
        completion.complete_piece(named.chain([(rest, Err(context(error)))]).collect::<Vec<_>>());
    }

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

    /// Of a batch that is opened.
    pub(super) fn new(completion: Arc<Completion>) -> Self {
        let (content, charge, ack, record_errors) = (None, None, Ack::default(), Vec::new());
        Self { completion, range: 0..0, whole: true, content, charge, ack, record_errors }
    }
}

impl std::ops::Deref for LedgerGuard<'_> {
    type Target = Ledger;

    fn deref(&self) -> &Ledger {
        // There until `drop`.
        self.ledger.as_ref().expect("locked while it lives")
    }
}

impl std::ops::DerefMut for LedgerGuard<'_> {
    fn deref_mut(&mut self) -> &mut Ledger {
        self.ledger.as_mut().expect("locked while it lives")
    }
}

impl LedgerGuard<'_> {
    /// Unlocks, and leaves it to the caller to tell others.
    pub(super) fn into_effects(mut self) -> Effects {
        let closed = self.engine.is_closed();
        self.ledger.take().map(|mut ledger| ledger.effects(closed)).unwrap_or_default()
    }
}

impl Drop for LedgerGuard<'_> {
    fn drop(&mut self) {
        let closed = self.engine.is_closed();
        let Some(mut ledger) = self.ledger.take() else { return };
        let effects = ledger.effects(closed);
        drop(ledger);
        self.engine.run(effects);
    }
}

#[cold]
fn expired(timeout: Duration, cause: Option<Error>) -> Error {
    let message = format!("no acknowledgement within delivery.timeout.ms ({} ms)", timeout.as_millis());
    let error = Error::new(ErrorKind::Timeout, message);
    match cause {
        Some(cause) => error.after(cause),
        None => error,
    }
}
