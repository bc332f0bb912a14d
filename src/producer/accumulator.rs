//! When which batch goes to which broker, and what becomes of it.
//!
//! Each partition has a queue of batches, oldest first; a batch stays in its place until it has its final answer, so that what has to
//! be sent again is in order by itself. The accumulator hears only of whole batches, never of records:
//!
//! ```text
//!   opened --> Open --> Closing --> Ready <--> InFlight --> finished: acknowledged, failed, or expired
//!           (linger,   (being      (waits for its turn,       (expired in flight: Gone, until its answer comes, because
//!            full)     compressed)  or for a retry)            nothing of the partition may be sent past it)
//! ```
//!
//! An open batch is only *due* once its linger is over and the partition could send: while a partition or its broker is busy, the
//! batch fills on. At a turn of a broker's connection the driver closes what is due and takes the next batch of each partition that
//! may send; when neither is there the same step parks the broker. With idempotence [`Sequences`] decides which that is; without it, a limit of batches in flight.
//!
//! A broker that had nothing to take is parked until the instant something becomes due; a change that is earlier wakes it, once.

mod outcomes;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::Bound;
use std::time::{Duration, Instant};

use super::sequence::{BatchId, Identity, Next, Sequences, Stamp};
use crate::cluster::{BackoffConfig, Spread};
use crate::error::Error;

/// What the accumulator is told once.
#[derive(Clone, Debug)]
pub(super) struct Rules {
    pub(super) idempotent: bool,
    /// How long an open batch waits for more; `None`: until it is full or flushed.
    pub(super) linger: Option<Duration>,
    /// How long until a batch's result; `None`: as long as its owner likes.
    pub(super) delivery_timeout: Option<Duration>,
    /// Batches in flight per partition, without idempotence.
    pub(super) max_batches: usize,
    pub(super) max_request_size: usize,
    pub(super) retries: u32,
    pub(super) backoff: BackoffConfig,
    /// After a failure, does the partition wait for `release` instead of the backoff?
    pub(super) hold_failed: bool,
    /// What jitter follows from.
    pub(super) seed: u64,
}

/// See the module; `P` is what the driver keeps with a batch.
#[derive(Debug)]
pub(super) struct Accumulator<P> {
    rules: Rules,
    sequences: Option<Sequences>,
    partitions: Vec<Partition<P>>,
    brokers: BTreeMap<i32, Broker>,
    next_batch: u64,
    hurry: bool,
    /// Rounds of metadata begun because of stale partitions.
    metadata_round: u64,
    /// Does a partition wait for a round that was not begun?
    needs_metadata: bool,
    spread: Spread,
    finished: VecDeque<Finished<P>>,
    wakes: VecDeque<i32>,
}

#[derive(Debug)]
struct Partition<P> {
    leader: Option<i32>,
    batches: VecDeque<Batch<P>>,
    /// After a failure, nothing is sent before.
    not_before: Option<Instant>,
    /// Failures since the last success.
    failures: u32,
    held: bool,
    /// Its leader was not its leader: it waits for the metadata of a later round than this.
    stale: Option<u64>,
}

#[derive(Debug)]
struct Batch<P> {
    id: BatchId,
    state: State,
    opened: Instant,
    deadline: Option<Instant>,
    flush: bool,
    size: usize,
    count: u32,
    attempts: u32,
    /// May it be in the log? Kept here only without idempotence.
    doubt: bool,
    last_error: Option<Error>,
    /// Always there until `Gone`.
    payload: Option<P>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Open,
    Closing,
    Ready,
    InFlight,
    Gone,
}

#[derive(Debug, Default)]
struct Broker {
    /// Partitions that it leads and that have batches.
    partitions: BTreeSet<usize>,
    /// Where the next turn starts.
    cursor: usize,
    parked: Parked,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Parked {
    /// Nobody sends to it yet.
    #[default]
    Absent,
    /// It will ask by itself.
    Awake,
    /// It asks again then, or when it is woken.
    Until(Option<Instant>),
}

/// What a broker's turn came to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// These open batches are due: they are to be closed, then the turn goes on.
    Close(Vec<(usize, BatchId)>),
    /// These go into the next request.
    Send(Vec<Taken>),
    /// There is nothing to send: it asks again then, a time to come, or when it is woken.
    Park(Option<Instant>),
}

/// A batch on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Taken {
    pub(super) partition: usize,
    pub(super) batch: BatchId,
    /// What to stamp it with, if it is to be stamped; otherwise its bytes go out as they are.
    pub(super) stamp: Option<Stamp>,
}

/// A batch with its final result.
#[derive(Debug)]
pub(super) struct Finished<P> {
    pub(super) partition: usize,
    pub(super) batch: BatchId,
    pub(super) payload: P,
    pub(super) fate: Fate,
    pub(super) opened: Instant,
    pub(super) attempts: u32,
    /// Its bytes may still be on their way to a broker.
    pub(super) in_flight: bool,
}

/// How a batch ended.
#[derive(Debug)]
pub(super) enum Fate {
    Acked,
    /// The broker's word, or that of the last attempt allowed.
    Failed {
        error: Option<Error>,
        possibly_written: bool,
    },
    /// Its time was up; `error` is the last failure.
    Expired {
        error: Option<Error>,
        possibly_written: bool,
    },
    /// Its owner wanted no more of it.
    Dropped {
        possibly_written: bool,
    },
}

impl<P> Accumulator<P> {
    pub(super) fn new(rules: Rules) -> Self {
        Self {
            sequences: rules.idempotent.then(Sequences::default),
            spread: Spread::new(rules.seed),
            rules,
            partitions: Vec::new(),
            brokers: BTreeMap::new(),
            next_batch: 0,
            hurry: false,
            metadata_round: 0,
            needs_metadata: false,
            finished: VecDeque::new(),
            wakes: VecDeque::new(),
        }
    }

    /// A partition's index from now on.
    pub(super) fn add_partition(&mut self, leader: Option<i32>) -> usize {
        self.partitions.push(Partition {
            leader,
            batches: VecDeque::new(),
            not_before: None,
            failures: 0,
            held: false,
            stale: None,
        });
        self.partitions.len() - 1
    }

    /// Metadata says who leads `partition`.
    pub(super) fn set_leader(&mut self, partition: usize, leader: Option<i32>) {
        let Some(state) = self.partitions.get_mut(partition) else { return };
        if state.leader == leader {
            return;
        }
        if let Some(broker) = state.leader.and_then(|old| self.brokers.get_mut(&old)) {
            broker.partitions.remove(&partition);
        }
        state.leader = leader;
        state.stale = None;
        self.touched(partition);
    }

    /// The broker says that it does not lead `partition`: nothing is sent until the metadata was asked again.
    pub(super) fn handle_stale(&mut self, partition: usize) {
        if let Some(state) = self.partitions.get_mut(partition)
            && !self.rules.hold_failed
        {
            state.stale = Some(self.metadata_round);
            self.needs_metadata = true;
        }
    }

    /// Does a partition wait for metadata that nobody has asked for yet?
    pub(super) fn needs_metadata(&self) -> bool {
        self.needs_metadata
    }

    /// The metadata is asked for. Returns the round's number, for `handle_metadata`.
    pub(super) fn begin_metadata(&mut self) -> u64 {
        self.needs_metadata = false;
        self.metadata_round += 1;
        self.metadata_round
    }

    /// The metadata of `round` is there, or not to be had: what waited for it goes where its leader is now.
    pub(super) fn handle_metadata(&mut self, round: u64) {
        for partition in 0..self.partitions.len() {
            let stale = &mut self.partitions[partition].stale;
            if stale.is_some_and(|waits| waits < round) {
                *stale = None;
                self.touched(partition);
            }
        }
    }

    /// The leader now.
    pub(super) fn leader(&self, partition: usize) -> Option<i32> {
        self.partitions.get(partition)?.leader
    }

    /// Batches of `partition` without a final answer.
    pub(super) fn queued(&self, partition: usize) -> usize {
        self.partitions.get(partition).map_or(0, |state| state.batches.len())
    }

    /// The partition's next batch takes records; `entered` is when the first of them was handed over.
    pub(super) fn handle_opened(&mut self, now: Instant, entered: Instant, partition: usize, payload: P) -> BatchId {
        let id = BatchId(self.next_batch);
        self.next_batch += 1;
        let deadline = self.rules.delivery_timeout.map(|timeout| entered.min(now) + timeout);
        let batch = Batch {
            id,
            state: State::Open,
            opened: now,
            deadline,
            flush: false,
            size: 0,
            count: 0,
            attempts: 0,
            doubt: false,
            last_error: None,
            payload: Some(payload),
        };
        debug_assert!(partition < self.partitions.len());
        if let Some(state) = self.partitions.get_mut(partition) {
            state.batches.push_back(batch);
        }
        self.touched(partition);
        id
    }

    /// The batch takes no more records; whoever closed it makes it ready. Returns false if it has ended meanwhile.
    pub(super) fn handle_closed(&mut self, partition: usize, id: BatchId) -> bool {
        let Some(batch) = self.batch_mut(partition, id) else { return false };
        if batch.state == State::Open {
            batch.state = State::Closing;
        }
        true
    }

    /// The batch has its final size and can be sent; `keep` gives its payload what there is to send. Returns false if it has ended
    /// meanwhile.
    pub(super) fn handle_ready(
        &mut self,
        partition: usize,
        id: BatchId,
        size: usize,
        count: u32,
        keep: impl FnOnce(&mut P),
    ) -> bool {
        let Some(batch) = self.batch_mut(partition, id) else { return false };
        debug_assert!(matches!(batch.state, State::Open | State::Closing));
        (batch.state, batch.size, batch.count) = (State::Ready, size, count);
        if let Some(payload) = &mut batch.payload {
            keep(payload);
        }
        self.touched(partition);
        true
    }

    /// A turn of `broker`. One step looks at everything at once: were it parked later than it looked for due batches, one that became
    /// due in between would be waited for by nobody.
    pub(super) fn turn(&mut self, now: Instant, broker: i32) -> Turn {
        let due = self.due(now, broker);
        if !due.is_empty() {
            return Turn::Close(due);
        }
        let taken = self.take(now, broker);
        if !taken.is_empty() {
            return Turn::Send(taken);
        }
        let until = self.park(broker);
        debug_assert!(until.is_none_or(|until| until > now), "what is due was closed or taken");
        Turn::Park(until)
    }

    /// Open batches that `broker` could send now.
    fn due(&mut self, now: Instant, broker: i32) -> Vec<(usize, BatchId)> {
        let state = self.brokers.entry(broker).or_default();
        state.parked = Parked::Awake;
        let due = self.brokers[&broker].partitions.iter().filter_map(|&partition| {
            let (batch, at) = self.next_batch(partition)?;
            (batch.state == State::Open && at <= now).then_some((partition, batch.id))
        });
        due.collect()
    }

    /// What goes into the next request to `broker`: at most one batch of each partition, starting where the last turn ended.
    fn take(&mut self, now: Instant, broker: i32) -> Vec<Taken> {
        let Some(state) = self.brokers.get(&broker) else { return Vec::new() };
        let from_cursor = state.partitions.range(state.cursor..);
        let order: Vec<usize> = from_cursor.chain(state.partitions.range(..state.cursor)).copied().collect();
        let (mut taken, mut room) = (Vec::new(), self.rules.max_request_size);
        let mut cursor = None;
        for partition in order {
            let Some((batch, at)) = self.next_batch(partition) else { continue };
            if batch.state != State::Ready || at > now {
                continue;
            }
            if batch.size > room && !taken.is_empty() {
                cursor.get_or_insert(partition);
                continue;
            }
            let (id, count) = (batch.id, batch.count);
            let stamp = match &mut self.sequences {
                None => None,
                Some(sequences) => match sequences.next(partition) {
                    Next::New => sequences.stamp(partition, id, count),
                    Next::Resend(_) => sequences.resend(partition, id).and(None),
                    Next::Wait | Next::NoIdentity => continue,
                },
            };
            let Some(batch) = self.batch_mut(partition, id) else { continue };
            batch.state = State::InFlight;
            batch.attempts += 1;
            room = room.saturating_sub(batch.size);
            taken.push(Taken { partition, batch: id, stamp });
        }
        if let Some(state) = self.brokers.get_mut(&broker) {
            state.parked = Parked::Awake;
            let after_last =
                |taken: &Taken| state.partitions.range((Bound::Excluded(taken.partition), Bound::Unbounded)).next().copied();
            state.cursor = cursor.or_else(|| taken.last().and_then(after_last)).unwrap_or(0);
        }
        taken
    }

    /// What the driver keeps with a batch that has not ended.
    pub(super) fn payload_mut(&mut self, partition: usize, id: BatchId) -> Option<&mut P> {
        self.batch_mut(partition, id)?.payload.as_mut()
    }

    /// `broker` has nothing to take: when to ask again, unless it is woken before.
    pub(super) fn park(&mut self, broker: i32) -> Option<Instant> {
        let until = self.brokers.get(&broker).and_then(|state| {
            let instants = state.partitions.iter().filter_map(|partition| self.sendable_at(*partition));
            instants.min()
        });
        self.brokers.entry(broker).or_default().parked = Parked::Until(until);
        until
    }

    /// `broker` cannot be reached: without retries of its own, what waits for it failed once. If it refuses this client, it failed for good.
    pub(super) fn handle_unconnected(&mut self, broker: i32, error: &Error) {
        if error.is_refusal() && !self.rules.hold_failed {
            return self.fail_waiting(error, |state| state.leader == Some(broker));
        }
        let Some(state) = self.brokers.get(&broker) else { return };
        for partition in state.partitions.iter().copied().collect::<Vec<_>>() {
            let state = &mut self.partitions[partition];
            state.held |= self.rules.hold_failed;
            for batch in state.batches.iter_mut().filter(|batch| matches!(batch.state, State::Ready | State::Open)) {
                batch.last_error = Some(error.clone());
            }
        }
    }

    /// All open batches are due, whatever their linger.
    pub(super) fn flush(&mut self) {
        for batch in self.partitions.iter_mut().flat_map(|state| &mut state.batches) {
            batch.flush = true;
        }
        self.touch_all();
    }

    /// From now on, or no longer, every batch is due as soon as it is opened.
    pub(super) fn set_hurry(&mut self, hurry: bool) {
        if hurry != self.hurry {
            self.hurry = hurry;
            self.touch_all();
        }
    }

    #[cfg(test)]
    pub(super) fn is_hurried(&self) -> bool {
        self.hurry
    }

    /// Partitions held after a failure may send again.
    pub(super) fn release(&mut self) {
        for state in &mut self.partitions {
            state.held = false;
            state.not_before = None;
        }
        self.touch_all();
    }

    /// Is nothing on the way, and nothing that could be sent without `release`, a leader, or an answer from elsewhere?
    pub(super) fn is_at_rest(&self) -> bool {
        self.partitions.iter().all(|state| {
            state.batches.iter().all(|batch| !matches!(batch.state, State::InFlight | State::Gone | State::Closing))
                && (state.batches.is_empty() || state.held || state.leader.is_none())
        })
    }

    /// Has every batch its result? Some may be on the way all the same: nobody waits for what their broker says.
    pub(super) fn is_done(&self) -> bool {
        self.partitions.iter().flat_map(|state| &state.batches).all(|batch| batch.state == State::Gone)
    }

    /// Does a batch wait for a producer id?
    pub(super) fn needs_identity(&self) -> bool {
        self.sequences.as_ref().is_some_and(Sequences::needs_identity)
            && self.partitions.iter().any(|state| !state.held && !state.batches.is_empty())
    }

    /// Brokers refuse to tell this client who leads: what waits for that failed for good.
    pub(super) fn handle_refused(&mut self, error: &Error) {
        if !self.rules.hold_failed {
            self.fail_waiting(error, |state| state.leader.is_none() || state.stale.is_some());
        }
    }

    /// No producer id could be had; `last`: nor will one be by trying again.
    pub(super) fn handle_identity_failed(&mut self, error: &Error, last: bool) {
        if error.is_refusal() && !self.rules.hold_failed {
            return self.fail_waiting(error, |_| true);
        }
        if last && !self.rules.hold_failed {
            return self.fail_unsent(error);
        }
        for state in &mut self.partitions {
            state.held |= self.rules.hold_failed && !state.batches.is_empty();
            for batch in &mut state.batches {
                batch.last_error = Some(error.clone());
            }
        }
    }

    /// A broker gave this producer an id.
    pub(super) fn handle_identity(&mut self, identity: Identity) {
        if let Some(sequences) = &mut self.sequences {
            sequences.handle_identity(identity);
        }
        self.touch_all();
    }

    /// Payloads of all batches that have not ended, oldest first per partition.
    pub(super) fn payloads(&self) -> impl Iterator<Item = (usize, BatchId, &P)> {
        let queues = self.partitions.iter().enumerate();
        queues.flat_map(|(partition, state)| {
            state.batches.iter().filter_map(move |batch| Some((partition, batch.id, batch.payload.as_ref()?)))
        })
    }

    /// Batches that have not ended but failed, with their last failure.
    pub(super) fn last_errors(&self) -> impl Iterator<Item = (&P, &Error)> {
        let batches = self.partitions.iter().flat_map(|state| &state.batches);
        batches.filter_map(|batch| Some((batch.payload.as_ref()?, batch.last_error.as_ref()?)))
    }

    /// The sequence numbers, if there are any.
    #[cfg(feature = "unstable-cores")]
    pub(super) fn sequences(&self) -> Option<&Sequences> {
        self.sequences.as_ref()
    }

    /// The next batch that ended. Call until `None`.
    pub(super) fn poll_finished(&mut self) -> Option<Finished<P>> {
        self.finished.pop_front()
    }

    /// The next broker to wake, or to begin sending to. Call until `None`.
    pub(super) fn poll_wake(&mut self) -> Option<i32> {
        self.wakes.pop_front()
    }

    fn index(&self, partition: usize, id: BatchId) -> Option<usize> {
        self.partitions.get(partition)?.batches.iter().position(|batch| batch.id == id)
    }

    fn batch_mut(&mut self, partition: usize, id: BatchId) -> Option<&mut Batch<P>> {
        let index = self.index(partition, id)?;
        self.partitions.get_mut(partition)?.batches.get_mut(index).filter(|batch| batch.state != State::Gone)
    }

    /// The batch that the partition sends next, if it may send one, and from when on if nothing else happens.
    fn next_batch(&self, partition: usize) -> Option<(&Batch<P>, Instant)> {
        let state = self.partitions.get(partition)?;
        if state.held || state.stale.is_some() || state.leader.is_none() {
            return None;
        }
        let on_the_way = |batch: &&Batch<P>| matches!(batch.state, State::InFlight | State::Gone);
        let oldest = || state.batches.iter().find(|batch| !on_the_way(batch));
        let batch = match &self.sequences {
            Some(sequences) => match sequences.next(partition) {
                Next::New => oldest()?,
                Next::Resend(id) => state.batches.iter().find(|batch| batch.id == id)?,
                Next::Wait | Next::NoIdentity => return None,
            },
            None if state.batches.iter().filter(on_the_way).count() < self.rules.max_batches => oldest()?,
            None => return None,
        };
        let at = match batch.state {
            State::Ready => batch.opened,
            State::Open if batch.flush || self.hurry => batch.opened,
            State::Open => batch.opened + self.rules.linger?,
            State::Closing | State::InFlight | State::Gone => return None,
        };
        Some((batch, state.not_before.map_or(at, |not_before| at.max(not_before))))
    }

    fn sendable_at(&self, partition: usize) -> Option<Instant> {
        self.next_batch(partition).map(|(_, at)| at)
    }

    /// Something about the partition changed: keeps the brokers' lists, and wakes its leader if it can send earlier than it knows.
    fn touched(&mut self, partition: usize) {
        let Some(state) = self.partitions.get(partition) else { return };
        let Some(leader) = state.leader else { return };
        let empty = state.batches.is_empty();
        let at = self.sendable_at(partition);
        let broker = self.brokers.entry(leader).or_default();
        if empty {
            broker.partitions.remove(&partition);
        } else {
            broker.partitions.insert(partition);
        }
        let earlier = match (broker.parked, at) {
            (Parked::Absent, _) => !empty,
            (Parked::Until(Some(until)), Some(at)) => at < until,
            (Parked::Until(None), Some(_)) => true,
            (Parked::Awake, _) | (Parked::Until(_), None) => false,
        };
        if earlier {
            broker.parked = Parked::Awake;
            self.wakes.push_back(leader);
        }
    }

    fn touch_all(&mut self) {
        for partition in 0..self.partitions.len() {
            self.touched(partition);
        }
    }
}

#[cfg(test)]
mod tests;
