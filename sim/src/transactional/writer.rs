//! One transactional id's producer, step by step.
//!
//! ```text
//!   (coordinator) ─► Init ─► begin ─► [Add] Produce … ─► End ─► begin …
//!                     ▲                  │               │
//!                     └── given up: fenced, refused, left open, another instance wanted ──┘
//! ```

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use bytes::Bytes;
use klamm::protocol::ErrorCode;

use super::requests::{Ask, Identity, Requests, batch};
use super::{WRITERS, WriterPlan};
use crate::history::{Acks, Event, Partition, RecordId, TransactionId};
use crate::random::Random;
use crate::workload::{MILLISECOND, SECOND};

/// How a transaction is to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    Commit,
    Abort,
    /// It is left open until its time is over, and is then committed too late.
    TooLate,
    /// It is left open until its time is over, or a new instance comes: whichever the pause allows.
    Left,
    /// A new instance comes at once, and the old one wants to commit as soon as the new one has written.
    Replaced,
}

/// What was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    Coordinator,
    Leaders,
    Init,
    Add(i32),
    Produce,
    End(bool),
    /// An instance that was replaced asks for a commit.
    Haunt,
}

#[derive(Debug)]
struct Transaction {
    id: TransactionId,
    /// Partition and number of records of each batch to come.
    batches: VecDeque<(i32, u64)>,
    sending: Option<Sending>,
    added: BTreeSet<i32>,
    /// Was a batch of it acknowledged?
    has_written: bool,
    ending: Ending,
    /// What was asked for, once the end was.
    end_asked: Option<bool>,
    /// Has the pause before its end passed?
    waited: bool,
}

/// A batch without a result.
#[derive(Debug)]
struct Sending {
    partition: i32,
    records: Vec<RecordId>,
    bytes: Bytes,
}

/// See the module. Times are from the start of the run.
#[derive(Debug)]
pub struct Writer {
    plan: WriterPlan,
    seed: u64,
    nodes: i32,
    partitions: i32,
    /// No transaction begins after it.
    until: Duration,
    random: Random,
    requests: Requests,
    /// Whom to ask what any node knows.
    any: i32,
    coordinator: Option<i32>,
    leaders: BTreeMap<i32, i32>,
    producer: Option<Identity>,
    sequences: BTreeMap<i32, i32>,
    open: Option<Transaction>,
    begun: u64,
    next_record: u64,
    /// Given up: was a commit asked for?
    given_up: Vec<(TransactionId, bool)>,
    /// An old instance that wants to commit what is not its own.
    ghost: Option<Identity>,
    /// Something may still arrive that was asked before: only a new epoch keeps it out of the next transaction.
    doubt: bool,
    asked: Option<(What, Duration)>,
    not_before: Duration,
    events: Vec<Event>,
    codes: Vec<(&'static str, i16)>,
    through: bool,
}

impl Writer {
    /// The writer of a plan in a cluster of so many nodes; topic 0 has so many partitions. It begins nothing after `until`.
    pub fn new(plan: &WriterPlan, seed: u64, nodes: i32, partitions: i32, until: Duration) -> Self {
        let producer = WRITERS + plan.number;
        let started = Event::ProducerStarted { producer, idempotent: true, ordered: true, acks: Acks::All };
        Self {
            plan: plan.clone(),
            seed,
            nodes,
            partitions,
            until,
            random: Random::of(seed, &format!("writes {}", plan.number)),
            requests: Requests::new(plan.transactional_id(), plan.adds_partitions),
            any: 1 + i32::try_from(plan.number).unwrap_or(0) % nodes,
            coordinator: None,
            leaders: BTreeMap::new(),
            producer: None,
            sequences: BTreeMap::new(),
            open: None,
            begun: 0,
            next_record: 0,
            given_up: Vec::new(),
            ghost: None,
            doubt: false,
            asked: None,
            not_before: Duration::ZERO,
            events: vec![started],
            codes: Vec::new(),
            through: false,
        }
    }

    /// What happened since it was asked last.
    pub fn take_events(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.events)
    }

    /// What it was answered since it was asked last: API and code.
    pub fn take_codes(&mut self) -> Vec<(&'static str, i16)> {
        std::mem::take(&mut self.codes)
    }

    /// Has it nothing more to do? A transaction that it left open may still be.
    pub fn is_through(&self) -> bool {
        self.through
    }

    /// When it wants to be asked by itself, or told that its request was [`lost`](Self::lost) for nobody answered in time.
    pub fn next_timeout(&self) -> Option<Duration> {
        match self.asked {
            Some((_, until)) => Some(until),
            None => (!self.through).then_some(self.not_before),
        }
    }

    /// Does it wait for an answer?
    pub fn is_waiting(&self) -> bool {
        self.asked.is_some()
    }

    /// The next request, if it is time for one. It is [`answered`](Self::answered) or [`lost`](Self::lost) before the next.
    pub fn poll(&mut self, now: Duration) -> Option<Ask> {
        while self.asked.is_none() && !self.through && self.not_before <= now {
            let Some((what, node)) = self.next(now) else { continue };
            self.asked = Some((what, now + self.plan.request_timeout));
            let timeout_ms = |of: Duration| i32::try_from(of.as_millis()).unwrap_or(i32::MAX);
            let frame = match (what, self.producer) {
                (What::Coordinator, _) => self.requests.find_coordinator(),
                (What::Leaders, _) => self.requests.metadata(),
                (What::Add(partition), Some(producer)) => self.requests.add(producer, partition),
                (What::End(commit), Some(producer)) => self.requests.end(producer, commit),
                (What::Haunt, _) => {
                    let ghost = self.ghost.take()?;
                    self.requests.end(ghost, true)
                }
                (What::Produce, Some(_)) => {
                    let sending = self.open.as_ref()?.sending.as_ref()?;
                    self.requests.produce(sending.partition, &sending.bytes, timeout_ms(self.plan.request_timeout))
                }
                (What::Init, _) | (_, None) => self.requests.init(timeout_ms(self.plan.timeout)),
            };
            return Some(Ask { node, frame });
        }
        None
    }

    /// What to ask next and whom; `None` after something else was done.
    fn next(&mut self, now: Duration) -> Option<(What, i32)> {
        let Some(coordinator) = self.coordinator else { return Some((What::Coordinator, self.any)) };
        let Some(producer) = self.producer else { return Some((What::Init, coordinator)) };
        let Some(open) = &mut self.open else {
            if self.begun == self.plan.transactions || now > self.until {
                self.through = true;
            } else if std::mem::take(&mut self.doubt) {
                self.producer = None;
            } else {
                self.begin(now);
            }
            return None;
        };
        if open.sending.is_none() && open.has_written && self.ghost.is_some() {
            return Some((What::Haunt, coordinator));
        }
        if open.sending.is_none()
            && let Some((partition, _)) = open.batches.front().copied()
        {
            if self.plan.adds_partitions && !open.added.contains(&partition) {
                return Some((What::Add(partition), coordinator));
            }
            if let Some((partition, count)) = open.batches.pop_front() {
                self.make(now, producer, partition, count);
            }
            return None;
        }
        if let Some(sending) = &open.sending {
            let leader = self.leaders.get(&sending.partition);
            return Some(leader.map_or((What::Leaders, self.any), |leader| (What::Produce, *leader)));
        }
        let left_open = matches!(open.ending, Ending::Left | Ending::TooLate);
        if !std::mem::replace(&mut open.waited, true) && left_open {
            let patience =
                if open.ending == Ending::Left && self.random.once_in(2) { SECOND } else { self.plan.timeout + SECOND };
            self.not_before = now + patience;
            return None;
        }
        match open.ending {
            Ending::Left => self.give_up(),
            Ending::Replaced => {
                self.ghost = self.producer;
                self.give_up();
            }
            ending => {
                let commit = ending != Ending::Abort;
                if open.end_asked.is_none() {
                    open.end_asked = Some(commit);
                    self.events.push(Event::EndAsked { transaction: open.id, commit });
                }
                return Some((What::End(commit), coordinator));
            }
        }
        None
    }

    /// Begins the next transaction, after a pause.
    fn begin(&mut self, now: Duration) {
        let id = TransactionId { writer: self.plan.number, number: self.begun };
        let mut random = Random::of(self.seed, &format!("transaction {} of {}", id.number, id.writer));
        let mut ending = match random.below(20) {
            0..=9 => Ending::Commit,
            10..=15 => Ending::Abort,
            16 => Ending::TooLate,
            17 => Ending::Left,
            _ => Ending::Replaced,
        };
        let count = if random.once_in(8) { 0 } else { random.within(1..=self.plan.batches) };
        let partitions = self.partitions as u64;
        let mut batches: VecDeque<_> =
            (0..count).map(|_| (random.below(partitions) as i32, random.within(1..=self.plan.records))).collect();
        if count == 0 && self.plan.adds_partitions {
            // Its marker stands behind nothing.
            batches.push_back((random.below(partitions) as i32, 0));
        } else if count == 0 {
            // The second protocol has no commit of nothing.
            ending = Ending::Abort;
        }
        self.begun += 1;
        let (sending, added) = (None, BTreeSet::new());
        self.open = Some(Transaction { id, batches, sending, added, has_written: false, ending, end_asked: None, waited: false });
        self.pause(now);
    }

    /// Makes a batch of the open transaction.
    fn make(&mut self, now: Duration, producer: Identity, partition: i32, count: u64) {
        let Some(open) = self.open.as_mut().filter(|_| count > 0) else { return };
        let number = WRITERS + self.plan.number;
        let records: Vec<_> =
            (self.next_record..).take(count as usize).map(|at| RecordId { producer: number, number: at }).collect();
        self.next_record += count;
        for record in &records {
            let to = Partition { topic: 0, number: partition };
            self.events.push(Event::Transacted { record: *record, transaction: open.id });
            self.events.push(Event::Accepted { record: *record, partition: to });
        }
        let sequence = self.sequences.get(&partition).copied().unwrap_or(0);
        let timestamp = 1_700_000_000_000 + i64::try_from(now.as_millis()).unwrap_or(0);
        let bytes = batch(&records, timestamp, self.plan.compression, producer, sequence);
        open.sending = Some(Sending { partition, records, bytes });
    }

    /// Waits a little, as the plan has it.
    fn pause(&mut self, now: Duration) {
        self.not_before = now + self.random.millis(0..=self.plan.longest_pause.as_millis() as u64);
    }

    /// Once more, a little later.
    fn again(&mut self, now: Duration) {
        self.not_before = now + self.random.within(20..=300) as u32 * MILLISECOND;
    }

    /// The batch that was on its way has no result, and will not get one.
    fn fail_batch(&mut self) {
        let sending = self.open.as_mut().and_then(|open| open.sending.take());
        for record in sending.into_iter().flat_map(|sending| sending.records) {
            let error = "its transaction was given up".to_owned();
            self.events.push(Event::Failed { record, possibly_written: true, error });
        }
    }

    /// Goes on as a new instance; what became of the transaction it does not know.
    fn give_up(&mut self) {
        self.fail_batch();
        if let Some(open) = self.open.take() {
            self.given_up.push((open.id, open.end_asked == Some(true)));
        }
        self.producer = None;
    }

    /// The connection was closed, or nobody answered in time. Whether the request was carried out is not known.
    pub fn lost(&mut self, now: Duration) {
        let Some((what, _)) = self.asked.take() else { return };
        self.any = self.any % self.nodes + 1;
        match what {
            What::Coordinator => {}
            What::Leaders | What::Produce => self.leaders.clear(),
            What::Init | What::Add(_) | What::End(_) | What::Haunt => self.coordinator = None,
        }
        self.doubt |= !matches!(what, What::Coordinator | What::Leaders | What::Init);
        self.again(now);
    }

    /// The answer came.
    pub fn answered(&mut self, now: Duration, frame: &Bytes) {
        let Some((what, _)) = self.asked else { return };
        let understood = match what {
            What::Coordinator => self.requests.coordinator(frame).map(|answer| {
                self.note("FindCoordinator", &answer);
                self.found(now, answer);
            }),
            What::Leaders => self.requests.leaders(frame).map(|leaders| self.led(now, leaders)),
            What::Init => self.requests.identity(frame).map(|answer| {
                self.note("InitProducerId", &answer);
                self.introduced(now, answer);
            }),
            What::Add(partition) => self.requests.added(frame).map(|code| {
                self.note("AddPartitionsToTxn", &code.ok());
                self.added(now, partition, code);
            }),
            What::Produce => self.requests.produced(frame).map(|answer| {
                self.note("Produce", &answer);
                self.produced(now, answer);
            }),
            What::End(commit) => self.requests.ended(frame).map(|answer| {
                self.note("EndTxn", &answer);
                self.ended(now, commit, answer);
            }),
            // Whatever it was told: the log says whether it had an effect.
            What::Haunt => self.requests.ended(frame).map(|answer| self.note("EndTxn", &answer)),
        };
        match understood {
            Some(()) => self.asked = None,
            // A part of an answer, or none at all.
            None => self.lost(now),
        }
    }

    fn note<T>(&mut self, api: &'static str, answer: &Result<T, ErrorCode>) {
        self.codes.push((api, answer.as_ref().err().map_or(0, |code| code.0)));
    }

    fn found(&mut self, now: Duration, answer: Result<i32, ErrorCode>) {
        self.coordinator = answer.ok();
        if self.coordinator.is_none() {
            self.any = self.any % self.nodes + 1;
            self.again(now);
        }
    }

    fn led(&mut self, now: Duration, leaders: Vec<(i32, i32)>) {
        self.leaders = leaders.into_iter().collect();
        let wanted = self.open.as_ref().and_then(|open| open.sending.as_ref());
        if wanted.is_some_and(|sending| !self.leaders.contains_key(&sending.partition)) {
            self.any = self.any % self.nodes + 1;
            self.again(now);
        }
    }

    fn introduced(&mut self, now: Duration, answer: Result<Identity, ErrorCode>) {
        match answer {
            Ok(producer) => {
                self.producer = Some(producer);
                self.sequences.clear();
                self.doubt = false;
                for (transaction, may_be_committed) in std::mem::take(&mut self.given_up) {
                    // Nothing is open any more. Without a request for a commit that is an end of one kind only.
                    if !may_be_committed {
                        self.events.push(Event::TransactionEnded { transaction, committed: false });
                    }
                }
            }
            Err(code) => self.refused(now, code),
        }
    }

    /// The coordinator did not do it: does it make sense to ask again? Then that is about to happen.
    fn is_asked_again(&mut self, now: Duration, code: ErrorCode) -> bool {
        let elsewhere = [ErrorCode::NOT_COORDINATOR, ErrorCode::COORDINATOR_NOT_AVAILABLE];
        let later = [ErrorCode::COORDINATOR_LOAD_IN_PROGRESS, ErrorCode::CONCURRENT_TRANSACTIONS];
        if elsewhere.contains(&code) {
            self.coordinator = None;
        }
        let again = elsewhere.contains(&code) || later.contains(&code);
        if again {
            self.again(now);
        }
        again
    }

    fn refused(&mut self, now: Duration, code: ErrorCode) {
        if !self.is_asked_again(now, code) {
            self.again(now);
        }
    }

    fn added(&mut self, now: Duration, partition: i32, code: ErrorCode) {
        if code.is_ok() {
            let Some(open) = &mut self.open else { return };
            open.added.insert(partition);
            self.pause(now);
        } else if !self.is_asked_again(now, code) {
            self.give_up();
        }
    }

    fn produced(&mut self, now: Duration, answer: Result<i64, ErrorCode>) {
        let Some(open) = &mut self.open else { return };
        match answer {
            Ok(first) => {
                let Some(sending) = open.sending.take() else { return };
                open.has_written = true;
                let partition = Partition { topic: 0, number: sending.partition };
                *self.sequences.entry(sending.partition).or_default() += i32::try_from(sending.records.len()).unwrap_or(0);
                for (offset, record) in (first..).zip(sending.records) {
                    self.events.push(Event::Acked { record, partition, offset: Some(offset) });
                }
                self.pause(now);
            }
            Err(
                ErrorCode::NOT_ENOUGH_REPLICAS
                | ErrorCode::NOT_ENOUGH_REPLICAS_AFTER_APPEND
                | ErrorCode::REQUEST_TIMED_OUT
                | ErrorCode::CONCURRENT_TRANSACTIONS
                | ErrorCode::COORDINATOR_NOT_AVAILABLE
                | ErrorCode::COORDINATOR_LOAD_IN_PROGRESS,
            ) => self.again(now),
            Err(
                ErrorCode::NOT_LEADER_OR_FOLLOWER
                | ErrorCode::LEADER_NOT_AVAILABLE
                | ErrorCode::UNKNOWN_TOPIC_OR_PARTITION
                | ErrorCode::FENCED_LEADER_EPOCH
                | ErrorCode::UNKNOWN_LEADER_EPOCH
                | ErrorCode::KAFKA_STORAGE_ERROR,
            ) => {
                self.leaders.clear();
                self.again(now);
            }
            Err(ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER | ErrorCode::TRANSACTION_ABORTABLE) => {
                // Its own way out: it aborts, and goes on as a new instance.
                open.batches.clear();
                open.ending = Ending::Abort;
                self.fail_batch();
                self.doubt = true;
            }
            Err(_) => self.give_up(),
        }
    }

    fn ended(&mut self, now: Duration, commit: bool, answer: Result<Option<Identity>, ErrorCode>) {
        match answer {
            Ok(next) => {
                if let Some(open) = self.open.take() {
                    self.events.push(Event::TransactionEnded { transaction: open.id, committed: commit });
                }
                if let Some(next) = next.filter(|next| self.producer != Some(*next)) {
                    self.producer = Some(next);
                    self.sequences.clear();
                }
            }
            Err(code) if self.is_asked_again(now, code) => {}
            Err(_) => self.give_up(),
        }
    }
}

#[cfg(test)]
mod tests;
