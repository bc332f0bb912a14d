//! Transactions (KIP-98, KIP-360, KIP-447, KIP-890): the coordinator of transactional ids, markers in partitions, offsets that wait for
//! their outcome.
//!
//! A request changes the state of its transactional id (`transaction.rs`, which knows of nothing else); [`Core::write_markers`] then
//! carries out what follows: a marker in each partition, the staged offsets into their groups or away. That happens at once, unless a
//! partition has no leader or a test holds the markers back, and is tried again with each change of a leader. All nodes share the state,
//! as if each had read it from Kafka's log of transactions; only the coordinator of an id answers for it.
//!
//! Of time there are three uses: an open transaction is aborted after the time-out that its producer chose, a transactional id without
//! one is forgotten after `transactional.id.expiration.ms`, and what partitions remember of producers goes after
//! `producer.id.expiration.ms`.

mod add;
mod describe;
mod end;
mod markers;
mod offsets;
mod produce;
mod producer_ids;
mod refused;
mod transaction;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use klamm::protocol::{ErrorCode, TransactionalId};

pub(crate) use crate::core::transactions::offsets::StagedOffsets;
pub(crate) use crate::core::transactions::refused::refuse;
pub(crate) use crate::core::transactions::transaction::{End, Identity, Protocol, State, TopicPartition, Transaction};
use crate::core::{Call, Core};

/// A moment on both clocks: the one that runs evenly, and the time of day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Moment {
    pub(crate) at: Instant,
    pub(crate) millis: i64,
}

/// Producer ids that are not given out yet.
#[derive(Debug)]
pub(crate) struct ProducerIds {
    next: i64,
}

impl ProducerIds {
    pub(crate) fn next(&mut self) -> i64 {
        self.next += 1;
        self.next - 1
    }
}

/// What the coordinators know.
#[derive(Debug)]
pub(crate) struct Transactions {
    by_id: BTreeMap<String, Transaction>,
    ids: ProducerIds,
    /// Transactional ids whose markers are not all written.
    ending: BTreeSet<String>,
    /// Markers that followers do not have yet: offset and leader epoch of each.
    unreplicated: BTreeMap<(String, TopicPartition), (i64, i32)>,
    /// Does a test hold the markers back?
    held: bool,
    pub(crate) staged: StagedOffsets,
    /// Nothing of a transactional id is due before.
    earliest: Option<Instant>,
    /// When partitions look next for producers that have been silent for too long.
    next_producer_check: Option<Instant>,
    expire_after: Duration,
}

impl Transactions {
    pub(crate) fn new(expire_after: Duration) -> Self {
        Self {
            by_id: BTreeMap::new(),
            ids: ProducerIds { next: 1000 },
            ending: BTreeSet::new(),
            unreplicated: BTreeMap::new(),
            held: false,
            staged: StagedOffsets::default(),
            earliest: None,
            next_producer_check: None,
            expire_after,
        }
    }

    pub(crate) fn get(&self, id: &str) -> Option<&Transaction> {
        self.by_id.get(id)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &Transaction)> {
        self.by_id.iter().map(|(id, transaction)| (id.as_str(), transaction))
    }

    pub(crate) fn next_timeout(&self) -> Option<Instant> {
        self.earliest.into_iter().chain(self.next_producer_check).min()
    }

    /// Does something to a transactional id, and notes what has to follow.
    ///
    /// # Errors
    /// `INVALID_PRODUCER_ID_MAPPING` if there is no such id; those of `change`.
    fn change<T>(
        &mut self,
        id: &str,
        change: impl FnOnce(&mut Transaction, &mut ProducerIds) -> Result<T, ErrorCode>,
    ) -> Result<T, ErrorCode> {
        let transaction = self.by_id.get_mut(id).ok_or(ErrorCode::INVALID_PRODUCER_ID_MAPPING)?;
        let changed = change(transaction, &mut self.ids);
        if let State::Prepare(_) = transaction.state() {
            self.ending.insert(id.to_owned());
        }
        let deadline = transaction.deadline(self.expire_after);
        self.earliest = self.earliest.into_iter().chain(deadline).min();
        changed
    }

    /// Aborts transactions that have been open for too long, and forgets ids that nobody uses.
    fn handle_timeout(&mut self, now: Moment, protocol: Protocol) {
        if self.earliest.is_none_or(|at| at > now.at) {
            return;
        }
        let (expire_after, ending) = (self.expire_after, &mut self.ending);
        self.by_id.retain(|id, transaction| {
            if transaction.deadline(expire_after).is_none_or(|at| at > now.at) {
                return true;
            }
            if transaction.state() != State::Ongoing {
                return false;
            }
            transaction.fence(now, protocol);
            ending.insert(id.clone());
            true
        });
        self.earliest = self.by_id.values().filter_map(|transaction| transaction.deadline(expire_after)).min();
    }
}

impl Core {
    pub(super) fn moment(&self, now: Instant) -> Moment {
        Moment { at: now, millis: self.wall_millis(now) }
    }

    /// The protocol that the cluster has agreed on; that of a request follows from its version.
    fn protocol(&self) -> Protocol {
        if self.feature("transaction.version") >= 2 { Protocol::V2 } else { Protocol::V1 }
    }

    /// Is this a name for a transactional id, and are we its coordinator?
    fn check_transactional_id(&self, call: &Call, id: &TransactionalId) -> Result<(), ErrorCode> {
        if id.as_str().is_empty() {
            return Err(ErrorCode::INVALID_REQUEST);
        }
        self.check_coordinator(call, id.as_str())
    }

    pub(super) fn handle_transaction_timeouts(&mut self, now: Instant) {
        self.transactions.handle_timeout(self.moment(now), self.protocol());
        self.write_markers(now);
        self.expire_producers(now);
    }

    /// Forgets producers that have not written for long, where it is time for it.
    fn expire_producers(&mut self, now: Instant) {
        if self.transactions.next_producer_check.is_none_or(|at| at > now) {
            return;
        }
        let (now_millis, after) = (self.wall_millis(now), self.settings.producer_id_expiration);
        let mut any_left = false;
        for partition in self.topics.partitions_mut() {
            let open = |id| partition.log.open_transaction(id).is_some();
            partition.producers.expire(now_millis, after, open);
            any_left |= !partition.producers.is_empty();
        }
        self.transactions.next_producer_check = any_left.then(|| now + PRODUCER_CHECK_INTERVAL);
    }

    /// A producer has written: it is to be forgotten one day.
    pub(super) fn note_producer(&mut self, now: Instant) {
        self.transactions.next_producer_check.get_or_insert(now + PRODUCER_CHECK_INTERVAL);
    }

    /// Shuts a producer out as another instance of it would: an open transaction is aborted, its epoch is over. `false` if there is no
    /// such transactional id.
    pub(crate) fn fence_producer(&mut self, now: Instant, id: &str) -> bool {
        let (moment, protocol) = (self.moment(now), self.protocol());
        let fenced = self.transactions.change(id, |transaction, ids| match transaction.state() {
            State::Ongoing => {
                transaction.fence(moment, protocol);
                Ok(())
            }
            State::Prepare(_) => Ok(()),
            State::Empty | State::Complete(_) => transaction.init(moment, transaction.timeout(), None, protocol, ids).map(drop),
        });
        self.write_markers(now);
        self.pump(now);
        fenced.is_ok()
    }

    /// Forgets a transactional id as if it had not been used for long; not while it has a transaction.
    pub(crate) fn expire_transactional_id(&mut self, id: &str) -> bool {
        let idle = |transaction: &Transaction| matches!(transaction.state(), State::Empty | State::Complete(_));
        if !self.transactions.get(id).is_some_and(idle) {
            return false;
        }
        self.transactions.by_id.remove(id).is_some()
    }
}

/// `producer.id.expiration.check.interval.ms`.
const PRODUCER_CHECK_INTERVAL: Duration = Duration::from_secs(600);

/// How a code is called that older clients do not know.
fn as_of(version: i16, since: i16, code: ErrorCode) -> ErrorCode {
    if version < since && code == ErrorCode::PRODUCER_FENCED { ErrorCode::INVALID_PRODUCER_EPOCH } else { code }
}
