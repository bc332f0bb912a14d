//! The user of a member: reads, works, copies, commits, and goes.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use klamm::unstable::{Client, Handed, Mark, MemberSettings, MemberTold as Told, Taken};

use super::calls::Calls;
use crate::history::{Call, Event, History, Partition, RecordId, Who, topic_name, topic_number};
use crate::random::Random;
use crate::workload::{Leave, MILLISECOND, MemberPlan, ProducerPlan, SECOND};

/// How long the last commit and the farewell of a member may take.
const CLOSE: Duration = Duration::from_secs(20);
/// How long a commit may take: the client's default.
const COMMIT: Duration = Duration::from_secs(60);
/// After so long without a record, a member that commits by itself does so.
const IDLE: Duration = Duration::from_secs(2);
/// After a copy that failed, and after trouble.
const PAUSE: Duration = Duration::from_millis(100);

/// See the module.
#[derive(Debug)]
pub(super) struct User {
    pub(super) plan: MemberPlan,
    state: State,
    /// How its copies are produced, in a copy.
    copier: Option<ProducerPlan>,
    next_copy: u64,
    random: Random,
    calls: Calls,
    assigned: BTreeSet<Partition>,
    /// The record handed out last: it is marked when the next is asked for.
    unmarked: Option<Mark>,
    since: u64,
    idle_since: Instant,
    next_commit: u64,
    is_polling: bool,
    /// Its member cannot go on.
    failed: bool,
    /// It was closed or dropped, and the member has not left yet.
    pub(super) leaving: bool,
    pub(super) ended: bool,
}

#[derive(Debug)]
enum State {
    Reading,
    /// With this record, until then.
    Working(Handed, Instant),
    /// Its copy waits for a place.
    Enqueuing(Handed, RecordId, Instant),
    /// Its copy has no result yet.
    Copying(Handed, RecordId),
    /// Its copy failed: once more then.
    Again(Handed, Instant),
    Committing(u64),
    /// Something was wrong.
    Resting(Instant),
    /// It cannot be read any more.
    Stuck,
}

impl User {
    pub(super) fn new(now: Instant, seed: u64, plan: &MemberPlan, copier: Option<ProducerPlan>) -> Self {
        Self {
            plan: plan.clone(),
            state: State::Reading,
            copier,
            next_copy: 0,
            random: Random::of(seed, &format!("works {}", plan.number)),
            calls: Calls::new(Who::Member(plan.number)),
            assigned: BTreeSet::new(),
            unmarked: None,
            since: 0,
            idle_since: now,
            next_commit: 0,
            is_polling: false,
            failed: false,
            leaving: false,
            ended: false,
        }
    }

    /// How its member is set up.
    pub(super) fn settings(&self, group: &str, assignor: &'static str) -> MemberSettings {
        MemberSettings {
            group: group.to_owned(),
            topics: vec![topic_name(0)],
            session_timeout: self.plan.session_timeout,
            heartbeat_interval: self.plan.heartbeat_interval,
            // A join that nobody answers is given up after this: soon enough to be seen.
            max_poll_interval: Duration::from_secs(60),
            auto_commit_interval: self.plan.auto_commit_interval,
            prefetch_bytes: self.plan.prefetch_bytes,
            assignor,
        }
    }

    /// Goes.
    pub(super) fn leave(&mut self, now: Instant, since: Duration, how: Leave, client: &mut Client, history: &mut History) {
        if let State::Copying(_, record) = &self.state {
            history.push(since, Event::Abandoned { record: *record });
        }
        self.leaving = true;
        self.state = State::Stuck;
        self.poll(now, client, false);
        let member = self.plan.number;
        self.calls.drop_all(since, history);
        match how {
            Leave::Close => {
                self.calls.begin(since, Call::Close(Who::Member(member)), CLOSE, history);
                client.leave(now, Some(CLOSE));
                if self.failed {
                    self.calls.end(since, Call::Close(Who::Member(member)), false, history);
                    history.push(since, Event::Ended { member, crashed: false });
                    self.ended = true;
                }
            }
            Leave::Drop => {
                client.leave(now, None);
                history.push(since, Event::Ended { member, crashed: false });
                self.ended = true;
            }
            Leave::Crash => {
                history.push(since, Event::Ended { member, crashed: true });
                self.ended = true;
            }
        }
    }

    /// When it has something to do by itself.
    pub(super) fn next_timeout(&self) -> Option<Instant> {
        match &self.state {
            State::Reading if self.plan.auto_commit_interval.is_zero() => Some(self.idle_since + IDLE),
            State::Working(_, at) | State::Enqueuing(_, _, at) | State::Again(_, at) | State::Resting(at) => Some(*at),
            State::Reading | State::Copying(..) | State::Committing(_) | State::Stuck => None,
        }
    }

    fn poll(&mut self, now: Instant, client: &mut Client, polling: bool) {
        if self.is_polling != polling {
            self.is_polling = polling;
            client.set_polling(now, polling);
        }
    }

    /// Does what it can. True if something moved.
    pub(super) fn step(&mut self, now: Instant, since: Duration, client: &mut Client, history: &mut History) -> bool {
        let mut moved = self.listen(now, since, client, history);
        if self.leaving {
            return moved;
        }
        match std::mem::replace(&mut self.state, State::Stuck) {
            State::Reading => {
                if let Some(mark) = self.unmarked.take() {
                    client.mark(now, mark);
                }
                self.poll(now, client, true);
                let read = client.read(now);
                // What it was told on the way there came before.
                self.listen(now, since, client, history);
                match read {
                    Some(handed) => {
                        let partition = place(&handed);
                        let (member, record) = (self.plan.number, RecordId::read(&handed.value));
                        history.push(since, Event::Delivered { member, partition, offset: handed.offset, record });
                        self.idle_since = now;
                        let longest = self.plan.longest_work.as_millis() as u64;
                        let work = longest > 0 && self.random.once_in(4);
                        let pause = if work { self.random.within(0..=longest) as u32 * MILLISECOND } else { Duration::ZERO };
                        self.state = State::Working(handed, now + pause);
                        moved = true;
                    }
                    None if matches!(self.state, State::Resting(_)) => moved = true,
                    None => {
                        self.state = State::Reading;
                        if self.plan.auto_commit_interval.is_zero() && self.idle_since + IDLE <= now {
                            self.commit(since, client, history);
                            moved = true;
                        }
                    }
                }
            }
            State::Working(handed, at) if at <= now => {
                moved = true;
                match self.copier.is_some() {
                    true => self.enqueue(now, since, handed, client, history),
                    false => {
                        self.unmarked = Some(handed.mark);
                        self.processed(since, client, history);
                    }
                }
            }
            State::Enqueuing(handed, record, until) => {
                moved |= self.hand_over(now, since, handed, record, until, client, history);
            }
            State::Again(handed, at) if at <= now => {
                moved = true;
                match self.assigned.contains(&place(&handed)) {
                    true => self.enqueue(now, since, handed, client, history),
                    // Somebody else copies it.
                    false => self.state = State::Reading,
                }
            }
            State::Resting(at) if at <= now => {
                moved = true;
                self.state = State::Reading;
                self.idle_since = now;
            }
            other => self.state = other,
        }
        let polling = matches!(self.state, State::Reading);
        self.poll(now, client, polling);
        moved
    }

    /// What the member and the copies' producer tell it.
    fn listen(&mut self, now: Instant, since: Duration, client: &mut Client, history: &mut History) -> bool {
        let mut moved = false;
        let member = self.plan.number;
        for delivered in client.take_delivered() {
            moved = true;
            let record = RecordId { producer: self.copier.as_ref().map_or(0, |plan| plan.number), number: delivered.number };
            let State::Copying(_, waited) = &self.state else { continue };
            if *waited != record {
                continue;
            }
            let State::Copying(handed, _) = std::mem::replace(&mut self.state, State::Stuck) else { continue };
            self.calls.end(since, Call::Delivery(record), delivered.result.is_ok(), history);
            match delivered.result {
                Ok(offset) => {
                    let partition = Partition { topic: 1, number: delivered.partition };
                    history.push(since, Event::Acked { record, partition, offset });
                    client.mark(now, handed.mark);
                    self.processed(since, client, history);
                }
                Err((error, possibly_written)) => {
                    history.push(since, Event::Failed { record, possibly_written, error });
                    self.state = State::Again(handed, now + PAUSE);
                }
            }
        }
        while let Some(told) = client.poll_told() {
            moved = true;
            match told {
                Told::Assigned(names) => {
                    let partitions = partitions(&names);
                    self.assigned.extend(partitions.iter().copied());
                    history.push(since, Event::Assigned { member, partitions });
                }
                Told::Revoked(names) => {
                    let partitions = partitions(&names);
                    self.assigned.retain(|partition| !partitions.contains(partition));
                    history.push(since, Event::Revoked { member, partitions });
                }
                Told::Lost(names) => {
                    let partitions = partitions(&names);
                    self.assigned.retain(|partition| !partitions.contains(partition));
                    history.push(since, Event::Lost { member, partitions });
                }
                Told::Committed(number, result) => {
                    self.calls.end(since, Call::Commit(member), result.is_ok(), history);
                    if let Ok(offsets) = result {
                        let offset = |(topic, number, offset): (String, i32, i64)| {
                            Some((Partition { topic: topic_number(&topic)?, number }, offset))
                        };
                        let offsets = offsets.into_iter().filter_map(offset).collect();
                        history.push(since, Event::CommitAcked { member, offsets });
                    }
                    if matches!(self.state, State::Committing(waited) if waited == number) {
                        self.state = State::Reading;
                        self.idle_since = now;
                    }
                }
                Told::Trouble(error) => {
                    history.push(since, Event::Fault(format!("member {member}: {error}")));
                    if matches!(self.state, State::Reading | State::Stuck) {
                        self.state = State::Resting(now + PAUSE);
                    }
                }
                Told::Failed(error) => {
                    history.push(since, Event::Fault(format!("member {member} failed: {error}")));
                    self.calls.end(since, Call::Close(Who::Member(member)), false, history);
                    // A commit under way is not answered any more.
                    self.calls.drop_all(since, history);
                    self.state = State::Stuck;
                    self.failed = true;
                }
                Told::Left => {
                    self.calls.end(since, Call::Close(Who::Member(member)), true, history);
                    if !self.ended {
                        history.push(since, Event::Ended { member, crashed: false });
                        self.ended = true;
                    }
                }
            }
        }
        moved
    }

    fn processed(&mut self, since: Duration, client: &mut Client, history: &mut History) {
        self.state = State::Reading;
        self.since += 1;
        if self.plan.commit_every > 0 && self.since >= self.plan.commit_every {
            self.commit(since, client, history);
        }
    }

    fn commit(&mut self, since: Duration, client: &mut Client, history: &mut History) {
        self.since = 0;
        self.next_commit += 1;
        self.calls.begin(since, Call::Commit(self.plan.number), COMMIT, history);
        client.commit(self.next_commit);
        self.state = State::Committing(self.next_commit);
    }

    fn enqueue(&mut self, now: Instant, since: Duration, handed: Handed, client: &mut Client, history: &mut History) {
        let Some(plan) = &self.copier else { return };
        let record = RecordId { producer: plan.number, number: self.next_copy };
        let until = now + plan.max_block;
        self.next_copy += 1;
        self.calls.begin(since, Call::Enqueue(record), plan.max_block, history);
        history.push(since, Event::Copied { record, from: place(&handed), offset: handed.offset });
        self.hand_over(now, since, handed, record, until, client, history);
    }

    #[expect(clippy::too_many_arguments, reason = "what a step has")]
    fn hand_over(
        &mut self,
        now: Instant,
        since: Duration,
        handed: Handed,
        record: RecordId,
        until: Instant,
        client: &mut Client,
        history: &mut History,
    ) -> bool {
        let partition = Partition { topic: 1, number: handed.partition };
        let error = match client.produce(now, record.number, &topic_name(1), handed.partition, &record.value(0)) {
            Taken::Yes => {
                self.calls.end(since, Call::Enqueue(record), true, history);
                history.push(since, Event::Accepted { record, partition });
                let limit = self.copier.as_ref().map(|plan| plan.delivery_timeout).unwrap_or_default();
                self.calls.begin(since, Call::Delivery(record), limit, history);
                self.state = State::Copying(handed, record);
                return true;
            }
            Taken::NotYet if until > now => {
                self.state = State::Enqueuing(handed, record, until);
                return false;
            }
            Taken::NotYet => "no room in time".to_owned(),
            Taken::Refused(why) => why,
        };
        self.calls.end(since, Call::Enqueue(record), false, history);
        history.push(since, Event::Failed { record, possibly_written: false, error });
        self.state = State::Again(handed, now + PAUSE);
        true
    }
}

/// The producer of a member that copies.
pub(super) fn copier(seed: u64, first: &ProducerPlan, member: u32) -> ProducerPlan {
    let mut random = Random::of(seed, &format!("copies {member}"));
    ProducerPlan {
        number: 100 + member,
        idempotent: true,
        acks: crate::history::Acks::All,
        delivery_timeout: random.pick(&[35, 120]) * SECOND,
        request_timeout: 30 * SECOND,
        buffer_memory: 32 << 20,
        ..first.clone()
    }
}

fn place(handed: &Handed) -> Partition {
    Partition { topic: topic_number(&handed.topic).unwrap_or(0), number: handed.partition }
}

fn partitions(names: &[(String, i32)]) -> Vec<Partition> {
    let partition = |(topic, number): &(String, i32)| Some(Partition { topic: topic_number(topic)?, number: *number });
    names.iter().filter_map(partition).collect()
}
