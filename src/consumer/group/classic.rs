//! A member of a classic group (KIP-62, 345, 394, 429, 792, 800, 814): what it sends when, and what it tells the consumer.
//!
//! ```text
//!            polled                       answered, or time is over              joined           assigned
//! Unjoined ─────────► Preparing ──────────────────────────────────► Joining ───────────────► Leading ─────────► Syncing
//!    ▲  ▲                 ▲                                          ▲  ▲  └────────────────────────────────────►  │
//!    │  │                 │ rebalance, other topics                  │  │           is not the leader              │
//!    │  │ polled          │                                          │  └──── join again: 27, transport … ─────────┤
//!    │  │                 │              all owned partitions stay   │                                             │
//!    │  Stale ◄─────── Stable ◄──────────────────────────────────────┼─────────────────────────────────────────────┤
//!    │    max.poll.interval                                          │        some go (cooperative only)           │
//!    │                                                               └──────────────── Releasing ◄─────────────────┘
//!    └── lost: 22, 25                    Leaving ──► Ended: from any state, by `leave` or a fatal verdict
//! ```
//!
//! `Leading` learns how many partitions the topics of all members have; `Assigning`, between it and `Syncing`, waits for the assignor.
//!
//! Invariants: at most one JoinGroup or SyncGroup is unanswered. Heartbeats flow in every state between a join's answer and the next
//! join except `Syncing`, whose parked request keeps the session alive as a parked JoinGroup does. Events come in this order for a
//! partition: Assigned, then Revoking or Lost once. A verdict counts only if it is about the generation that still holds.
//!
//! With cooperative assignors the member keeps what it owns while it joins and gives up after the sync what others shall have, then
//! joins again at once. With eager ones it gives up everything before it joins. A rebalance that takes nothing is announced as well,
//! so that marks are committed before the generation changes.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::leading::{self, text};
use super::offset_reads::{OffsetReads, ReadOutcome};
use super::offset_writes::{Author, OffsetWrites, WriteOutcome};
use super::{Action, Command, Event, GroupConfig, Request, Response, Ticket, Verdict, is_hopeless, verdict};
use crate::cluster::{Backoff, BackoffConfig};
use crate::consumer::assignor::{MemberId, RebalanceProtocol};
use crate::protocol::messages::join_group::JoinGroupResponse;
use crate::protocol::{ErrorCode, GroupId, Str};
use crate::{Error, ErrorKind, Result, Topic, TopicPartition};

/// How long a rebalance that takes nothing away waits for marks to be committed.
const COMMIT_WAIT: Duration = Duration::from_secs(3);
/// What the protocol calls groups of consumers.
pub(super) const PROTOCOL_TYPE: &str = "consumer";

/// See the module.
#[derive(Debug)]
pub(crate) struct Classic {
    pub(super) config: Arc<GroupConfig>,
    pub(super) cooperative: bool,
    pub(super) topics: Vec<Topic>,
    /// The topics that the last JoinGroup named.
    pub(super) joined_topics: Vec<Topic>,
    pub(super) member_id: MemberId,
    /// Of the last answered JoinGroup; `None`: not a member.
    pub(super) generation: Option<i32>,
    pub(super) protocol: String,
    /// What we claim; `announced` is the part that the consumer knows of.
    pub(super) owned: BTreeSet<TopicPartition>,
    pub(super) announced: BTreeSet<TopicPartition>,
    /// A sync was answered whose assignment the consumer has not been told of: it waits for the offsets.
    pub(super) unannounced: bool,
    pub(super) state: State,
    pub(super) coordinator: Coordinator,
    pub(super) heartbeat_at: Instant,
    pub(super) heartbeat: Option<(Ticket, i32)>,
    /// Who waits for the answer to a heartbeat.
    pub(super) heartbeat_waiters: Vec<Ticket>,
    pub(super) polled_at: Instant,
    /// Why to join again, as soon as the state allows it.
    pub(super) rejoin: Option<String>,
    /// As the leader: the partitions of each topic of the group that the assignment was made from.
    pub(super) watched: Option<BTreeMap<Topic, i32>>,
    pub(super) reads: OffsetReads,
    pub(super) writes: OffsetWrites,
    pub(super) backoff: Backoff,
    pub(super) retry_at: Option<Instant>,
    pub(super) actions: VecDeque<Action>,
    pub(super) tickets: Ticket,
}

#[derive(Debug)]
pub(super) enum State {
    /// Not a member yet, or not any more.
    Unjoined,
    /// Thrown out because the user did not poll.
    Stale,
    /// The consumer commits and gives away.
    Preparing {
        ticket: Ticket,
        until: Instant,
        given: BTreeSet<TopicPartition>,
    },
    /// `sent` once the coordinator is known and the pause over.
    Joining {
        sent: Option<Ticket>,
    },
    /// We shall assign: how many partitions are there?
    Leading {
        asked: Option<Ticket>,
        joined: JoinGroupResponse,
    },
    /// The assignor is at work, on this many partitions of each topic.
    Assigning {
        asked: Ticket,
        partitions: BTreeMap<Topic, i32>,
    },
    Syncing {
        sent: Ticket,
        generation: i32,
    },
    /// The consumer gives away what the assignment took.
    Releasing {
        ticket: Ticket,
        until: Instant,
        given: BTreeSet<TopicPartition>,
    },
    Stable,
    Leaving {
        sent: Option<Ticket>,
        until: Instant,
    },
    Ended,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Coordinator {
    Unknown { stale: bool },
    Finding(Ticket),
    Known,
}

impl Classic {
    /// A member that will join as soon as it subscribes to something; `seed` decides the jitter of pauses.
    pub(crate) fn new(config: Arc<GroupConfig>, backoff: BackoffConfig, seed: u64, now: Instant) -> Self {
        let backoff = |salt| Backoff::new(backoff, seed.wrapping_add(salt));
        Self {
            cooperative: config.assignors.iter().all(|assignor| assignor.protocol() == RebalanceProtocol::Cooperative),
            topics: Vec::new(),
            joined_topics: Vec::new(),
            member_id: MemberId::new(),
            generation: None,
            protocol: String::new(),
            owned: BTreeSet::new(),
            announced: BTreeSet::new(),
            unannounced: false,
            state: State::Unjoined,
            coordinator: Coordinator::Unknown { stale: false },
            heartbeat_at: now,
            heartbeat: None,
            heartbeat_waiters: Vec::new(),
            polled_at: now,
            rejoin: None,
            watched: None,
            reads: OffsetReads::new(backoff(1)),
            writes: OffsetWrites::new(&config.group_id, backoff(2)),
            backoff: backoff(3),
            retry_at: None,
            actions: VecDeque::new(),
            tickets: 0,
            config,
        }
    }

    pub(crate) fn handle_command(&mut self, now: Instant, command: Command) {
        match command {
            Command::Subscribe(topics) => self.topics = topics,
            Command::Polled => {
                self.polled_at = now;
                if matches!(self.state, State::Stale) {
                    self.state = State::Unjoined;
                }
            }
            Command::Prepared(answered) => match &self.state {
                State::Preparing { ticket, .. } | State::Releasing { ticket, .. } if *ticket == answered => self.prepared(None),
                // The time was over, or the membership: the consumer has been told.
                _ => {}
            },
            Command::TopicsChanged(found) => {
                let mut watched = self.watched.iter().flatten();
                let changed = watched.find(|(topic, count)| found.get(*topic).is_some_and(|now| now != *count));
                if let Some((topic, _)) = changed {
                    let reason = format!("the number of partitions of {topic} changed");
                    self.watched = None;
                    self.rejoin.get_or_insert(reason);
                }
            }
            Command::Commit { id, offsets, deadline } => {
                self.writes.add(now, id, offsets, deadline);
                if matches!(self.state, State::Leaving { .. } | State::Ended) {
                    self.writes.fail_all(&left());
                }
            }
            Command::Heartbeat { id, when } => self.heartbeat_wanted(now, id, when),
            Command::Leave { deadline } => self.leave(deadline),
        }
    }

    /// The answer to what `poll` gave out as `ticket`; errors are those of the way there, not the broker's codes.
    pub(crate) fn handle_response(&mut self, now: Instant, ticket: Ticket, result: Result<Response>) {
        if let Err(error) = &result
            && error.is_refusal()
            && !matches!(self.state, State::Leaving { .. } | State::Ended)
        {
            self.event(Event::Refused(error.clone()));
        }
        if self.coordinator == Coordinator::Finding(ticket) {
            return self.coordinator_found(now, result);
        }
        if self.heartbeat.is_some_and(|(sent, _)| sent == ticket) {
            return self.heartbeat_answered(now, result);
        }
        if self.reads.is_ours(ticket) {
            return self.offsets_read(now, result);
        }
        if self.writes.is_ours(ticket) {
            return self.offsets_written(now, result);
        }
        match &mut self.state {
            State::Joining { sent } if *sent == Some(ticket) => {
                *sent = None;
                self.joined(now, result);
            }
            State::Leading { asked, .. } if *asked == Some(ticket) => {
                *asked = None;
                self.topics_listed(now, result);
            }
            State::Assigning { asked, .. } if *asked == ticket => self.assigned(result),
            State::Syncing { sent, generation } if *sent == ticket => {
                let generation = *generation;
                self.synced(now, generation, result);
            }
            State::Leaving { sent, .. } if *sent == Some(ticket) => {
                *sent = None;
                self.left(now, result);
            }
            // It came too late: the state has moved on.
            _ => {}
        }
    }

    /// The next thing to do; call it until there is none.
    pub(crate) fn poll(&mut self, now: Instant) -> Option<Action> {
        if self.actions.is_empty() {
            self.expire(now);
            self.advance(now);
        }
        self.actions.pop_front()
    }

    /// When to call `poll` again if nothing happens until then.
    pub(crate) fn next_timeout(&self) -> Option<Instant> {
        let known = self.coordinator == Coordinator::Known;
        let retries = match self.coordinator {
            Coordinator::Unknown { .. } if self.needs_coordinator() => true,
            Coordinator::Known => matches!(self.state, State::Joining { sent: None } | State::Leaving { sent: None, .. }),
            _ => false,
        };
        let retries = retries || matches!(self.state, State::Leading { asked: None, .. });
        let until = match &self.state {
            State::Preparing { until, .. } | State::Releasing { until, .. } | State::Leaving { until, .. } => Some(*until),
            _ => None,
        };
        let timers = [
            self.retry_at.filter(|_| retries),
            self.next_heartbeat(),
            until,
            self.is_polled_for().then(|| self.polled_at + self.config.max_poll_interval),
            self.reads.next_timeout().filter(|_| known && self.reads_offsets()),
            self.writes.next_timeout(known && self.author().is_some()),
        ];
        timers.into_iter().flatten().min()
    }

    /// Topics that a leader must see changes of, besides its own.
    pub(crate) fn watched(&self) -> Option<&BTreeMap<Topic, i32>> {
        self.watched.as_ref()
    }

    /// Does the member wait for the user to poll again?
    pub(crate) fn is_stale(&self) -> bool {
        matches!(self.state, State::Stale)
    }

    /// The event that the consumer's answer is awaited to.
    pub(crate) fn awaited(&self) -> Option<Ticket> {
        match &self.state {
            State::Preparing { ticket, .. } | State::Releasing { ticket, .. } => Some(*ticket),
            _ => None,
        }
    }

    /// The state's name, for tables of what was reached.
    #[cfg(feature = "unstable-cores")]
    pub(crate) fn state_name(&self) -> &'static str {
        match &self.state {
            State::Unjoined => "unjoined",
            State::Stale => "stale",
            State::Preparing { .. } => "preparing",
            State::Joining { sent: None } => "joining, waiting",
            State::Joining { .. } => "joining",
            State::Leading { .. } => "leading",
            State::Assigning { .. } => "assigning",
            State::Syncing { .. } => "syncing",
            State::Releasing { .. } => "releasing",
            State::Stable => "stable",
            State::Leaving { .. } => "leaving",
            State::Ended => "ended",
        }
    }

    /// Is a JoinGroup or SyncGroup unanswered? Behind it, nothing else on its connection is.
    pub(crate) fn is_parked(&self) -> bool {
        matches!(self.state, State::Joining { sent: Some(_) } | State::Syncing { .. })
    }

    fn expire(&mut self, now: Instant) {
        match &self.state {
            State::Preparing { until, .. } | State::Releasing { until, .. } if now >= *until => {
                let message = "the partitions were to be given away, but the consumer was busy for too long: raise max.poll.interval.ms or do less at a time";
                self.prepared(Some(Error::new(ErrorKind::Group, message)));
            }
            State::Leaving { until, .. } if now >= *until => {
                tracing::info!(group = %self.config.group_id, "no time left to say goodbye: the coordinator will notice after the session time-out");
                self.end();
            }
            _ => {}
        }
        if self.is_polled_for() && now >= self.polled_at + self.config.max_poll_interval {
            self.not_polled();
        }
    }

    /// Queues what the state asks for, if anything.
    fn advance(&mut self, now: Instant) {
        match &self.state {
            State::Unjoined if !self.topics.is_empty() => self.prepare(now),
            State::Stable if self.topics != self.joined_topics => {
                self.rejoin = Some("the subscription changed".into());
                self.prepare(now);
            }
            State::Stable if self.rejoin.is_some() => self.prepare(now),
            _ => {}
        }
        if self.needs_coordinator()
            && let Coordinator::Unknown { stale } = self.coordinator
            && self.is_due(now)
        {
            let ticket = self.ticket();
            self.coordinator = Coordinator::Finding(ticket);
            self.actions.push_back(Action::FindCoordinator { ticket, stale });
        }
        let asks = match &self.state {
            State::Leading { asked: None, joined } => Some(joined.members.clone()),
            _ => None,
        };
        if let Some(members) = asks.filter(|_| self.is_due(now)) {
            let wanted = leading::read_members(&members).into_values().flat_map(|member| member.topics);
            let topics: BTreeSet<Topic> = wanted.filter(|topic| topic.invalid().is_none()).collect();
            let ticket = self.ticket();
            if let State::Leading { asked, .. } = &mut self.state {
                *asked = Some(ticket);
            }
            self.actions.push_back(Action::ListTopics { ticket, topics: topics.into_iter().collect() });
        }
        self.announce();
        if self.coordinator == Coordinator::Known {
            match &self.state {
                State::Joining { sent: None } if self.is_due(now) => self.send_join(),
                State::Leaving { sent: None, .. } if self.is_due(now) => self.send_leave(),
                _ => {}
            }
            if self.beats() && self.heartbeat.is_none() && now >= self.heartbeat_at {
                self.send_heartbeat(now);
            }
        }
        if !self.beats() {
            self.answer_heartbeat_waiters();
        }
        self.send_offset_requests(now);
        while let Some((id, result)) = self.writes.take_done() {
            self.event(Event::Committed { id, result });
        }
    }

    /// A rebalance begins, or the first join: what must be given away before it?
    fn prepare(&mut self, now: Instant) {
        let subscribed = |partition: &&TopicPartition| self.topics.contains(&partition.topic);
        let given: BTreeSet<_> = match self.cooperative {
            true => self.owned.iter().filter(|partition| !subscribed(partition)).cloned().collect(),
            false => self.owned.clone(),
        };
        if self.announced.is_empty() && given.is_empty() {
            self.state = State::Joining { sent: None };
            return;
        }
        let ticket = self.ticket();
        let (until, told) = self.begin_giving(now, ticket, &given);
        if !told {
            self.event(Event::Rebalancing { ticket });
        }
        let until = if told { until } else { now + COMMIT_WAIT.min(self.config.max_poll_interval / 4) };
        self.state = State::Preparing { ticket, until, given };
    }

    /// Tells the consumer to give `given` away, as far as it knows of it; when the wait ends, and whether it was told anything.
    pub(super) fn begin_giving(&mut self, now: Instant, ticket: Ticket, given: &BTreeSet<TopicPartition>) -> (Instant, bool) {
        self.reads.drop_partitions(given);
        let known: Vec<_> = given.iter().filter(|partition| self.announced.contains(*partition)).cloned().collect();
        let rebalance = self.config.max_poll_interval;
        // What was left of the rebalance time-out after a heartbeat told us of it, less a fifth for commit, hook and join.
        let wait = (rebalance * 8 / 10).saturating_sub(self.config.heartbeat_interval).max(rebalance / 2);
        let told = !known.is_empty();
        if told {
            self.event(Event::Revoking { ticket, partitions: known, deadline: now + wait });
        }
        (now + wait + rebalance / 10, told)
    }

    /// The consumer gave away what it was asked for, or `overdue` says that it did not in time.
    pub(super) fn prepared(&mut self, overdue: Option<Error>) {
        let state = std::mem::replace(&mut self.state, State::Joining { sent: None });
        let (State::Preparing { given, .. } | State::Releasing { given, .. }) = state else { return };
        let lost: Vec<_> = given.iter().filter(|partition| self.announced.remove(*partition)).cloned().collect();
        given.iter().for_each(|partition| _ = self.owned.remove(partition));
        if let Some(cause) = overdue.filter(|_| !lost.is_empty()) {
            self.event(Event::Lost { partitions: lost, cause });
        }
    }

    fn send_offset_requests(&mut self, now: Instant) {
        let known = self.coordinator == Coordinator::Known;
        // Tickets are drawn here because the parts cannot borrow the whole.
        let mut drawn = self.tickets;
        let mut draw = || {
            drawn += 1;
            drawn
        };
        let timeout = self.config.request_timeout;
        if known
            && self.reads_offsets()
            && let Some((ticket, request)) = self.reads.poll(now, &mut draw)
        {
            self.actions.push_back(Action::Send { ticket, request, timeout });
        }
        let generation = self.generation.filter(|_| known && !self.is_between());
        let author = generation.map(|generation| Author { generation, member_id: &self.member_id });
        let owned = &self.owned;
        if let Some((ticket, request)) = self.writes.poll(now, author, |partition| owned.contains(partition), &mut draw) {
            self.actions.push_back(Action::Send { ticket, request, timeout });
        }
        self.tickets = drawn;
    }

    fn offsets_read(&mut self, now: Instant, result: Result<Response>) {
        let result = match result {
            Ok(Response::OffsetFetch(found)) => Ok(found),
            Ok(_) => return,
            Err(error) => Err(error),
        };
        match self.reads.handle_response(now, &self.config.group_id, result) {
            ReadOutcome::Nothing => {}
            ReadOutcome::FindCoordinator => self.coordinator_moved(now),
            ReadOutcome::Fatal(error) => self.fail(error),
        }
    }

    fn offsets_written(&mut self, now: Instant, result: Result<Response>) {
        let result = match result {
            Ok(Response::OffsetCommit(partitions)) => Ok(partitions),
            Ok(_) => return,
            Err(error) => Err(error),
        };
        match self.writes.handle_response(now, self.generation, result) {
            WriteOutcome::Nothing => {}
            WriteOutcome::FindCoordinator => self.coordinator_moved(now),
            WriteOutcome::Membership(verdict, code) => match verdict {
                Verdict::Rejoin if matches!(self.state, State::Stable) => {
                    self.rejoin.get_or_insert_with(|| "the group is rebalancing".into());
                }
                Verdict::Rejoin => {}
                Verdict::Fatal => self.fail(self.fatal(code, "OffsetCommit")),
                _ if self.beats() => {
                    self.lose_membership(code, "OffsetCommit");
                    self.state = State::Joining { sent: None };
                }
                // There is no such member: a JoinGroup that is on its way joined nothing, or is lost on a connection that is silent, and
                // its answer may take as long as a rebalance. What we still hold is another's by now.
                Verdict::RejoinAnew if self.is_parked() => {
                    self.abandon_parked();
                    self.lose_membership(code, "OffsetCommit");
                    self.state = State::Joining { sent: None };
                }
                // A JoinGroup is on its way, and may have been answered with a later generation: it will say.
                _ => {}
            },
        }
    }

    fn coordinator_found(&mut self, now: Instant, result: Result<Response>) {
        match result {
            Ok(_) => {
                self.coordinator = Coordinator::Known;
                self.retry_at = None;
            }
            Err(error) if is_hopeless(&error) => {
                self.coordinator = Coordinator::Unknown { stale: false };
                self.fail(error);
            }
            Err(error) => {
                tracing::warn!(group = %self.config.group_id, %error, "the group's coordinator is not found yet");
                self.coordinator = Coordinator::Unknown { stale: false };
                self.pause(now);
            }
        }
    }

    pub(super) fn coordinator_moved(&mut self, now: Instant) {
        if self.coordinator == Coordinator::Known {
            self.coordinator = Coordinator::Unknown { stale: true };
        }
        self.pause(now);
    }

    /// A join or sync got no answer.
    pub(super) fn join_again(&mut self, now: Instant, error: Error) {
        if is_hopeless(&error) {
            return self.fail(error);
        }
        tracing::warn!(group = %self.config.group_id, %error, "joining failed, again");
        self.coordinator_moved(now);
    }

    /// The generation ended without us (or there is no such member): what we owned may be another's by now.
    pub(super) fn lose_membership(&mut self, code: ErrorCode, api: &'static str) {
        let group = &self.config.group_id;
        let message = format!("this member is not in the present generation of group {group:?} any more; it joins again");
        self.lose(Error::from_code(code, message).with_api(api).with_group(group.as_str()));
        self.generation = None;
        if verdict(code) == Verdict::RejoinAnew {
            self.member_id.clear();
        }
        self.rejoin = Some(format!("after {code}"));
    }

    fn lose(&mut self, cause: Error) {
        self.reads.clear();
        self.unannounced = false;
        self.watched = None;
        self.owned.clear();
        let partitions: Vec<_> = std::mem::take(&mut self.announced).into_iter().collect();
        if !partitions.is_empty() {
            self.event(Event::Lost { partitions, cause });
        }
    }

    /// The user was away for too long: whoever polls shall have the partitions.
    fn not_polled(&mut self) {
        let limit = self.config.max_poll_interval.as_millis();
        let message = format!(
            "group {:?}: nothing was asked of the consumer for max.poll.interval.ms ({limit}), so it left; handle less at a time or raise the limit",
            self.config.group_id
        );
        tracing::warn!("{message}");
        self.abandon_parked();
        let can_say = self.coordinator == Coordinator::Known && self.config.instance_id.is_none() && !self.member_id.is_empty();
        if can_say {
            let (member_id, reason) = (std::mem::take(&mut self.member_id), format!("max.poll.interval.ms ({limit}) is over"));
            self.send(Request::Leave { member_id, reason }, self.config.request_timeout);
        }
        self.lose(Error::new(ErrorKind::Group, message));
        self.member_id.clear();
        self.generation = None;
        self.state = State::Stale;
    }

    fn leave(&mut self, until: Instant) {
        if matches!(self.state, State::Ended) {
            return self.event(Event::Left);
        }
        self.abandon_parked();
        self.writes.fail_all(&left());
        self.reads.clear();
        self.rejoin = None;
        // KIP-345: a static member keeps its place until the session time-out, so that a restart moves nothing.
        if self.member_id.is_empty() || self.config.instance_id.is_some() {
            return self.end();
        }
        self.retry_at = None;
        self.state = State::Leaving { sent: None, until };
    }

    fn send_leave(&mut self) {
        let (member_id, reason) = (self.member_id.clone(), "the consumer is being closed".to_owned());
        let ticket = self.send(Request::Leave { member_id, reason }, self.config.request_timeout);
        if let State::Leaving { sent, .. } = &mut self.state {
            *sent = Some(ticket);
        }
    }

    fn left(&mut self, now: Instant, result: Result<Response>) {
        match result {
            Ok(Response::Leave(code)) => match verdict(code) {
                Verdict::Fine | Verdict::RejoinAnew => self.end(),
                Verdict::FindCoordinator => self.coordinator_moved(now),
                Verdict::Retry => self.pause(now),
                _ => {
                    tracing::info!(group = %self.config.group_id, %code, "leaving was refused");
                    self.end();
                }
            },
            Ok(_) => {}
            Err(error) if is_hopeless(&error) || error.is_refusal() => self.end(),
            Err(_) => self.coordinator_moved(now),
        }
    }

    fn end(&mut self) {
        self.generation = None;
        self.state = State::Ended;
        self.event(Event::Left);
    }

    pub(super) fn fail(&mut self, error: Error) {
        match self.state {
            State::Leaving { .. } => return self.end(),
            State::Ended => return,
            _ => {}
        }
        self.abandon_parked();
        self.writes.fail_all(&error);
        self.lose(error.clone());
        self.generation = None;
        self.state = State::Ended;
        self.event(Event::Failed(error));
    }

    /// A parked request holds up everything behind it: its connection goes.
    fn abandon_parked(&mut self) {
        if self.is_parked() {
            self.actions.push_back(Action::Reconnect);
        }
    }

    pub(super) fn fatal(&self, code: ErrorCode, api: &'static str) -> Error {
        let group = &self.config.group_id;
        let message = match code {
            ErrorCode::INCONSISTENT_GROUP_PROTOCOL => format!(
                "group {group:?} has members that share no assignor with this one, which offers {} for type {PROTOCOL_TYPE:?}",
                self.config.offered()
            ),
            ErrorCode::INVALID_SESSION_TIMEOUT => format!(
                "session.timeout.ms of {} is outside what the broker allows for group {group:?}: its group.min.session.timeout.ms (6000 unless set) to group.max.session.timeout.ms (1800000 unless set)",
                self.config.session_timeout.as_millis()
            ),
            ErrorCode::GROUP_AUTHORIZATION_FAILED => format!("no access to group {group:?}"),
            ErrorCode::GROUP_MAX_SIZE_REACHED => {
                format!("group {group:?} has as many members as the broker's group.max.size allows")
            }
            ErrorCode::FENCED_INSTANCE_ID => format!(
                "another consumer runs in group {group:?} as group.instance.id {:?}; end one of them, or give each an id of its own",
                self.config.instance_id.as_deref().unwrap_or_default()
            ),
            _ => format!("group {group:?} cannot be joined"),
        };
        Error::from_code(code, message).with_api(api).with_group(group.as_str()).with_fatal(true)
    }

    pub(super) fn send(&mut self, request: Request, timeout: Duration) -> Ticket {
        let ticket = self.ticket();
        self.actions.push_back(Action::Send { ticket, request, timeout });
        ticket
    }

    pub(super) fn event(&mut self, event: Event) {
        self.actions.push_back(Action::Event(event));
    }

    pub(super) fn ticket(&mut self) -> Ticket {
        self.tickets += 1;
        self.tickets
    }

    pub(super) fn pause(&mut self, now: Instant) {
        self.retry_at = Some(now + self.backoff.next_pause());
    }

    fn is_due(&self, now: Instant) -> bool {
        self.retry_at.is_none_or(|at| now >= at)
    }

    /// Is something to be sent as soon as the coordinator is known?
    fn needs_coordinator(&self) -> bool {
        matches!(self.state, State::Joining { .. } | State::Leaving { .. })
            || self.beats()
            || matches!(self.state, State::Syncing { .. })
    }

    /// May offsets be asked for? Behind a parked request they would wait for as long as it does.
    fn reads_offsets(&self) -> bool {
        self.generation.is_some() && !self.is_parked()
    }

    /// As whom to commit, if commits are taken: not between the answers of join and sync. During a join they are, as long as it is
    /// unanswered, on another connection.
    fn author(&self) -> Option<Author<'_>> {
        let generation = self.generation.filter(|_| !self.is_between());
        generation.map(|generation| Author { generation, member_id: &self.member_id })
    }

    /// Is a generation joined, and not synced yet?
    fn is_between(&self) -> bool {
        matches!(self.state, State::Leading { .. } | State::Assigning { .. } | State::Syncing { .. })
    }

    /// Does `max.poll.interval.ms` run?
    fn is_polled_for(&self) -> bool {
        !matches!(self.state, State::Unjoined | State::Stale | State::Leaving { .. } | State::Ended)
    }

    pub(super) fn group_id(&self) -> GroupId {
        GroupId(text(&self.config.group_id))
    }

    pub(super) fn instance_id(&self) -> Option<Str> {
        self.config.instance_id.as_deref().map(text)
    }
}

fn left() -> Error {
    Error::new(ErrorKind::Closed, "the consumer was closed: it leaves its group, or has left it; build another")
}

pub(super) fn milliseconds(time: Duration) -> i32 {
    i32::try_from(time.as_millis()).unwrap_or(i32::MAX)
}
