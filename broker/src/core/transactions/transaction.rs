//! One transactional id at its coordinator: which producer it belongs to, and how far its transaction has come.
//!
//! ```text
//!                 partitions or                    EndTxn, or time is over,          all markers
//!                 offsets added                    or another instance came          are written
//!   Empty ─────────────────────► Ongoing ───────► PrepareCommit ─────────► CompleteCommit
//!     ▲                          ▲  │  ▲                                     │   │
//!     │                          │  └──┼─────────► PrepareAbort ──► CompleteAbort│
//!     │                          └─────┴── added ─────────────────────┴──────┘   │
//!     └───────────────────────────────── InitProducerId ◄───────────────────────┘
//! ```
//!
//! Two protocols. In the first, an epoch lasts from one InitProducerId to the next. In the second (KIP-890) each end of a transaction
//! raises it, so that nothing late can get into the next one; there an abort is allowed without an open transaction. When the epochs of
//! a producer id are used up, the next one that is given out belongs to a new id.
//!
//! The names, the order of the checks and their codes are those of Kafka's coordinator. What Kafka logs first and does then is one step
//! here: its states for "about to" (`PrepareEpochFence`) and "about to go" (`Dead`) cannot be seen.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use klamm::protocol::ErrorCode;

use crate::core::transactions::{Moment, ProducerIds};

/// A topic and the number of a partition.
pub(crate) type TopicPartition = (String, i32);

/// The last epoch that is given to a producer; the one after it fences that one.
const LAST_EPOCH: i16 = i16::MAX - 1;

/// No epoch yet.
const NO_EPOCH: i16 = -1;

/// Which of the two protocols is spoken (feature `transaction.version`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    /// An epoch for all transactions of an instance.
    V1,
    /// Each transaction has its own epoch (KIP-890).
    V2,
}

/// How a transaction ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Commit,
    Abort,
}

/// A producer, and which life of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) id: i64,
    pub(crate) epoch: i16,
}

/// Where a transactional id stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// No transaction since the last InitProducerId.
    Empty,
    /// Partitions are being written.
    Ongoing,
    /// The outcome is certain, some markers are not yet written.
    Prepare(End),
    /// The last transaction ended so.
    Complete(End),
}

impl State {
    /// The name in Kafka's tools.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Empty => "Empty",
            Self::Ongoing => "Ongoing",
            Self::Prepare(End::Commit) => "PrepareCommit",
            Self::Prepare(End::Abort) => "PrepareAbort",
            Self::Complete(End::Commit) => "CompleteCommit",
            Self::Complete(End::Abort) => "CompleteAbort",
        }
    }
}

/// One transactional id.
#[derive(Debug)]
pub(crate) struct Transaction {
    producer: Identity,
    /// The id before the last step; differs where that step brought a new one.
    previous_id: i64,
    /// The epoch that the producer may still name in a repeated request; -1 for none.
    last_epoch: i16,
    /// What the producer goes on with once the markers are written, because its epochs are used up.
    next_id: Option<i64>,
    timeout: Duration,
    state: State,
    /// What the open transaction has written to; while it ends, what has no marker yet.
    partitions: BTreeSet<TopicPartition>,
    /// When the transaction began; of the last one where none is open.
    started: Option<Moment>,
    updated: Moment,
}

impl Transaction {
    /// One without an epoch yet: `init` gives it.
    pub(crate) fn new(now: Moment, producer_id: i64) -> Self {
        Self {
            producer: Identity { id: producer_id, epoch: NO_EPOCH },
            previous_id: -1,
            last_epoch: NO_EPOCH,
            next_id: None,
            timeout: Duration::ZERO,
            state: State::Empty,
            partitions: BTreeSet::new(),
            started: None,
            updated: now,
        }
    }

    pub(crate) fn producer(&self) -> Identity {
        self.producer
    }

    pub(crate) fn state(&self) -> State {
        self.state
    }

    pub(crate) fn timeout(&self) -> Duration {
        self.timeout
    }

    pub(crate) fn started(&self) -> Option<Moment> {
        self.started
    }

    pub(crate) fn partitions(&self) -> &BTreeSet<TopicPartition> {
        &self.partitions
    }

    /// When something has to happen without a request: an open transaction is over, an unused id goes.
    pub(crate) fn deadline(&self, expire_after: Duration) -> Option<Instant> {
        match self.state {
            State::Ongoing => self.started?.at.checked_add(self.timeout),
            State::Empty | State::Complete(_) => self.updated.at.checked_add(expire_after),
            State::Prepare(_) => None,
        }
    }

    /// The next epoch for a producer that starts, or that has lost its way and says who it was (KIP-360).
    ///
    /// # Errors
    /// `PRODUCER_FENCED` for one whose successor was here; `CONCURRENT_TRANSACTIONS` while a transaction ends, and when an open one had
    /// to be aborted: that fences the instance before, but the epoch of it is for nobody, so that the client has to ask again.
    pub(crate) fn init(
        &mut self,
        now: Moment,
        timeout: Duration,
        expected: Option<Identity>,
        protocol: Protocol,
        ids: &mut ProducerIds,
    ) -> Result<Identity, ErrorCode> {
        // It may have been told of its new id and not have heard it.
        let is_ours = |told: Identity| {
            let before = told.id == self.previous_id && told.epoch >= LAST_EPOCH;
            self.producer.epoch == NO_EPOCH || told.id == self.producer.id || before
        };
        if !expected.is_none_or(is_ours) {
            return Err(ErrorCode::PRODUCER_FENCED);
        }
        match self.state {
            State::Prepare(_) => return Err(ErrorCode::CONCURRENT_TRANSACTIONS),
            State::Ongoing => {
                self.fence(now, protocol);
                return Err(ErrorCode::CONCURRENT_TRANSACTIONS);
            }
            State::Empty | State::Complete(_) => {}
        }
        let current = self.producer;
        let (producer, last_epoch) = match expected {
            // A repetition of the call that gave the present epoch.
            Some(told) if current.epoch != NO_EPOCH && told.epoch != current.epoch => {
                if told.epoch != self.last_epoch {
                    return Err(ErrorCode::PRODUCER_FENCED);
                }
                (current, self.last_epoch)
            }
            Some(_) => (self.next_identity(ids), current.epoch),
            None => (self.next_identity(ids), NO_EPOCH),
        };
        self.previous_id = current.id;
        (self.producer, self.last_epoch) = (producer, last_epoch);
        (self.timeout, self.started, self.updated) = (timeout, None, now);
        self.transition(State::Empty);
        Ok(producer)
    }

    fn next_identity(&self, ids: &mut ProducerIds) -> Identity {
        match self.producer {
            Identity { epoch, .. } if epoch >= LAST_EPOCH => Identity { id: ids.next(), epoch: 0 },
            Identity { id, epoch } => Identity { id, epoch: epoch + 1 },
        }
    }

    /// Adds partitions to the transaction, which begins with it if none is open.
    ///
    /// # Errors
    /// See [`check`](Self::check).
    pub(crate) fn add(
        &mut self,
        now: Moment,
        producer: Identity,
        partitions: impl IntoIterator<Item = TopicPartition>,
    ) -> Result<(), ErrorCode> {
        self.check(producer)?;
        if self.state != State::Ongoing {
            self.started = Some(now);
            self.transition(State::Ongoing);
        }
        self.previous_id = self.producer.id;
        self.updated = now;
        self.partitions.extend(partitions);
        Ok(())
    }

    /// Is this the producer, and may it write?
    ///
    /// # Errors
    /// `INVALID_PRODUCER_ID_MAPPING` for another id, `PRODUCER_FENCED` for another epoch, `CONCURRENT_TRANSACTIONS` while a transaction
    /// ends.
    pub(crate) fn check(&self, producer: Identity) -> Result<(), ErrorCode> {
        if producer.id != self.producer.id {
            return Err(ErrorCode::INVALID_PRODUCER_ID_MAPPING);
        }
        if producer.epoch != self.producer.epoch {
            return Err(ErrorCode::PRODUCER_FENCED);
        }
        if let State::Prepare(_) = self.state { Err(ErrorCode::CONCURRENT_TRANSACTIONS) } else { Ok(()) }
    }

    /// Is the partition in the transaction?
    ///
    /// # Errors
    /// As [`check`](Self::check); `TRANSACTION_ABORTABLE` when it is not.
    pub(crate) fn verify(&self, producer: Identity, partition: &TopicPartition) -> Result<(), ErrorCode> {
        self.check(producer)?;
        let is_in = self.state == State::Ongoing && self.partitions.contains(partition);
        if is_in { Ok(()) } else { Err(ErrorCode::TRANSACTION_ABORTABLE) }
    }

    /// Ends the transaction as its producer wants, and says what the producer goes on with. The markers are still to be written.
    ///
    /// # Errors
    /// As [`check`](Self::check); `INVALID_TXN_STATE` where there is nothing to end so.
    pub(crate) fn end(
        &mut self,
        now: Moment,
        producer: Identity,
        end: End,
        protocol: Protocol,
        ids: &mut ProducerIds,
    ) -> Result<Identity, ErrorCode> {
        match protocol {
            Protocol::V1 => self.end_v1(now, producer, end),
            Protocol::V2 => self.end_v2(now, producer, end, ids),
        }
    }

    fn end_v1(&mut self, now: Moment, producer: Identity, end: End) -> Result<Identity, ErrorCode> {
        if producer.id != self.producer.id {
            return Err(ErrorCode::INVALID_PRODUCER_ID_MAPPING);
        }
        if producer.epoch != self.producer.epoch {
            return Err(ErrorCode::PRODUCER_FENCED);
        }
        match self.state {
            State::Ongoing => self.prepare(now, end),
            // A repetition.
            State::Complete(ended) if ended == end => {}
            State::Prepare(ending) if ending == end => return Err(ErrorCode::CONCURRENT_TRANSACTIONS),
            State::Empty | State::Complete(_) | State::Prepare(_) => return Err(ErrorCode::INVALID_TXN_STATE),
        }
        Ok(self.producer)
    }

    /// Since each end raises the epoch, one that names the epoch before is a repetition, and one with the present epoch is a new call.
    fn end_v2(&mut self, now: Moment, producer: Identity, end: End, ids: &mut ProducerIds) -> Result<Identity, ErrorCode> {
        let current = self.producer;
        let bumped = current.epoch > 0 && producer.epoch == current.epoch - 1;
        let renewed = self.previous_id == producer.id && producer.epoch == LAST_EPOCH && current.epoch == 0;
        if producer.id != current.id && !renewed {
            return Err(ErrorCode::INVALID_PRODUCER_ID_MAPPING);
        }
        let is_valid = match self.state {
            State::Empty | State::Ongoing => producer.epoch == current.epoch,
            State::Prepare(_) => bumped,
            State::Complete(_) => bumped || renewed || producer.epoch == current.epoch,
        };
        if !is_valid {
            return Err(ErrorCode::PRODUCER_FENCED);
        }
        match (self.state, end) {
            (State::Prepare(ending), end) if ending == end => return Err(ErrorCode::CONCURRENT_TRANSACTIONS),
            (State::Prepare(_), _) => return Err(ErrorCode::INVALID_TXN_STATE),
            (State::Complete(ended), end) if bumped || renewed => {
                return if ended == end { Ok(current) } else { Err(ErrorCode::INVALID_TXN_STATE) };
            }
            (State::Empty | State::Complete(_), End::Commit) => return Err(ErrorCode::INVALID_TXN_STATE),
            // Nothing was written, but the producer does not know that for certain: the new epoch makes it so.
            (State::Empty | State::Complete(_), End::Abort) => self.started = Some(now),
            (State::Ongoing, _) => {}
        }
        self.next_id = (current.epoch >= LAST_EPOCH).then(|| ids.next());
        self.raise_epoch();
        self.prepare(now, end);
        Ok(self.after_end())
    }

    /// What the producer goes on with after the markers.
    fn after_end(&self) -> Identity {
        self.next_id.map_or(self.producer, |id| Identity { id, epoch: 0 })
    }

    /// The producer's present epoch is over; the marker carries the next one.
    fn raise_epoch(&mut self) {
        self.last_epoch = self.producer.epoch;
        self.producer.epoch = self.producer.epoch.saturating_add(1);
    }

    fn prepare(&mut self, now: Moment, end: End) {
        self.previous_id = self.producer.id;
        self.updated = now;
        self.transition(State::Prepare(end));
    }

    /// Aborts the open transaction against its producer, which is shut out by the epoch: time is over, or another instance has come.
    ///
    /// By the second protocol this looks like an end that the producer asked for, also to the producer: if it says who it was it goes on
    /// with the epoch that fenced it.
    pub(crate) fn fence(&mut self, now: Moment, protocol: Protocol) {
        if self.state != State::Ongoing {
            return;
        }
        self.raise_epoch();
        if protocol == Protocol::V1 {
            self.last_epoch = NO_EPOCH;
        }
        self.prepare(now, End::Abort);
    }

    /// A partition has its marker, or is no more.
    pub(crate) fn marked(&mut self, partition: &TopicPartition) {
        self.partitions.remove(partition);
    }

    /// Is only the last step missing?
    pub(crate) fn is_marked(&self) -> bool {
        matches!(self.state, State::Prepare(_)) && self.partitions.is_empty()
    }

    /// All markers are written.
    pub(crate) fn complete(&mut self, now: Moment) {
        let State::Prepare(end) = self.state else { return };
        self.previous_id = self.producer.id;
        self.producer = self.after_end();
        (self.next_id, self.updated) = (None, now);
        self.transition(State::Complete(end));
    }

    fn transition(&mut self, to: State) {
        let allowed = match (self.state, to) {
            (State::Empty | State::Complete(_), State::Empty | State::Ongoing | State::Prepare(End::Abort)) => true,
            (State::Ongoing, State::Prepare(_)) => true,
            (State::Prepare(ending), State::Complete(ended)) => ending == ended,
            _ => false,
        };
        debug_assert!(allowed, "{:?} to {to:?}", self.state);
        self.state = to;
    }

    /// For tests of what follows when the epochs are used up.
    #[cfg(test)]
    pub(crate) fn set_epoch(&mut self, epoch: i16) {
        self.producer.epoch = epoch;
    }
}
