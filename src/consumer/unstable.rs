//! A consumer's cores without tasks, for the simulator: what the group's and the fetch task do, and the user's end.
//!
//! Membership, offsets, positions, fetches and chunks are the consumer's own; this file carries requests and answers between them and
//! hands out records, in the order in which `group_driver.rs`, `fetch_driver.rs` and `intake.rs` do.

mod user;

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::assignor::{Assignor, CooperativeStickyAssignor, RangeAssignor, RoundRobinAssignor};
use super::chunk::Chunk;
use super::fetch::{self, Leader};
use super::fetch_driver::LAST_FETCH_BY_NAME;
use super::group::classic::Classic;
use super::group::messages::{self, LAST_WITH_NAMES};
use super::group::{Action, Command, Event, GroupConfig, Request, Response, Ticket, leading};
use super::offsets::Checkpoint;
use super::positions::Place;
use super::settings::ConsumerSettings;
use super::state::{Shared, State};
use crate::cluster::coordinators::{self, Key, State as Found};
use crate::cluster::unstable::{Asked, Hub, Talk};
use crate::cluster::{CoordinatorType, Node, Route, Snapshot, refresh};
use crate::network::line::Lines;
use crate::protocol::BrokerId;
use crate::protocol::messages::fetch::FetchRequest;
use crate::protocol::messages::heartbeat::HeartbeatRequest;
use crate::protocol::messages::join_group::JoinGroupRequest;
use crate::protocol::messages::leave_group::LeaveGroupRequest;
use crate::protocol::messages::list_offsets::ListOffsetsResponse;
use crate::protocol::messages::offset_commit::OffsetCommitRequest;
use crate::protocol::messages::offset_fetch::OffsetFetchRequest;
use crate::protocol::messages::sync_group::SyncGroupRequest;
use crate::protocol::records::Limits;
use crate::{Error, ErrorKind, Result, Topic, TopicPartition};

/// How long a member that was dropped may take to say goodbye.
const FAREWELL: Duration = Duration::from_secs(5);

/// How a simulated member is set up.
#[derive(Clone, Debug)]
pub struct MemberSettings {
    /// Its group.
    pub group: String,
    /// What it reads.
    pub topics: Vec<String>,
    /// Without a heartbeat for so long the coordinator takes it out.
    pub session_timeout: Duration,
    /// How often it beats.
    pub heartbeat_interval: Duration,
    /// How long the user may be away.
    pub max_poll_interval: Duration,
    /// How often it commits by itself; never with zero.
    pub auto_commit_interval: Duration,
    /// Bytes fetched ahead.
    pub prefetch_bytes: usize,
    /// How partitions are shared out: `range`, `roundrobin`, else cooperative.
    pub assignor: &'static str,
}

/// What the user of a member is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Told {
    /// These are its own now, too.
    Assigned(Vec<(String, i32)>),
    /// These were given away.
    Revoked(Vec<(String, i32)>),
    /// These are not its own any more.
    Lost(Vec<(String, i32)>),
    /// A commit that it asked for has ended: its number, and up to where all that was marked is committed.
    Committed(u64, std::result::Result<Vec<(String, i32, i64)>, String>),
    /// Something is wrong, but not for good.
    Trouble(String),
    /// It cannot go on.
    Failed(String),
    /// It has left.
    Left,
}

/// A record handed out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Handed {
    /// Its topic.
    pub topic: String,
    /// Its partition.
    pub partition: i32,
    /// Its offset.
    pub offset: i64,
    /// Its value.
    pub value: Vec<u8>,
    /// For its mark.
    pub mark: Mark,
}

/// Marks a record as processed, and all before it in its partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    place: Place,
    offset: i64,
    leader_epoch: Option<i32>,
}

/// A member without tasks.
#[derive(Debug)]
pub(crate) struct Member {
    hub: Arc<Mutex<Hub>>,
    config: Arc<GroupConfig>,
    core: Classic,
    shared: Arc<Shared>,
    /// Of a Fetch.
    timeout: Duration,
    limits: Limits,
    link: Option<Talk>,
    side: Option<Talk>,
    node: Option<Node>,
    sent: Vec<(Ticket, bool, Sent)>,
    lookup: Option<(Ticket, Key, Instant)>,
    listing: Option<(Ticket, Vec<Topic>, Instant)>,
    interests: Vec<Topic>,
    group_interests: Vec<Topic>,
    followed: Vec<Topic>,
    commits: BTreeMap<Ticket, (Checkpoint, Then)>,
    next_commit: Ticket,
    /// Commits that the user wants, and what they will have committed.
    wanted: VecDeque<u64>,
    is_committing: bool,
    connections: BTreeMap<BrokerId, Talk>,
    fetches: Vec<(fetch::Ticket, Asked<FetchRequest>)>,
    listed: Vec<(fetch::Ticket, u64)>,
    give_away_by: Option<Instant>,
    giving: Option<Ticket>,
    notices: VecDeque<Notice>,
    told: VecDeque<Told>,
    chunk: Option<(Box<Chunk>, TopicPartition)>,
    charged: usize,
    seen_version: u64,
    is_polling: bool,
    over: bool,
    /// How often the core in this state met this event.
    seen: BTreeMap<(&'static str, &'static str, &'static str), u64>,
}

/// A request to the coordinator.
#[derive(Debug)]
enum Sent {
    Join(Asked<JoinGroupRequest>),
    Sync(Asked<SyncGroupRequest>),
    Heartbeat(Asked<HeartbeatRequest>),
    Leave(Asked<LeaveGroupRequest>),
    OffsetFetch(Asked<OffsetFetchRequest>),
    OffsetCommit(Asked<OffsetCommitRequest>),
    Failed(Option<Error>),
}

/// What follows a commit.
#[derive(Debug)]
enum Then {
    Nothing,
    /// The rebalance goes on.
    Prepared(Ticket),
    /// These are given away.
    GiveAway(Ticket, Vec<TopicPartition>),
    /// The user hears of it.
    Tell(Vec<u64>, Vec<(String, i32, i64)>),
    /// The member leaves.
    Leave(Instant),
}

/// For the user's side, in order.
#[derive(Debug)]
enum Notice {
    Assigned(Vec<TopicPartition>),
    Revoking(Ticket, Vec<TopicPartition>, Instant),
    Lost(Vec<TopicPartition>),
    Trouble(Error),
}

impl Member {
    /// A member that joins at once.
    ///
    /// # Errors
    /// If the settings don't fit together.
    pub(crate) fn new(now: Instant, hub: Arc<Mutex<Hub>>, settings: &MemberSettings) -> Result<Self> {
        let mut consumer = ConsumerSettings::new(settings.group.clone());
        consumer.topics = settings.topics.iter().map(|topic| Topic::from(topic.as_str())).collect();
        consumer.session_timeout = settings.session_timeout;
        consumer.heartbeat_interval = settings.heartbeat_interval;
        consumer.max_poll_interval = settings.max_poll_interval;
        consumer.auto_commit_interval = settings.auto_commit_interval;
        consumer.prefetch_bytes = settings.prefetch_bytes;
        consumer.check()?;
        let assignor: Arc<dyn Assignor> = match settings.assignor {
            "range" => Arc::new(RangeAssignor),
            "roundrobin" => Arc::new(RoundRobinAssignor),
            _ => Arc::new(CooperativeStickyAssignor),
        };
        let mut inner = hub.lock().unwrap_or_else(PoisonError::into_inner);
        let (backoff, seed, fetch_seed) = (inner.config.backoff, inner.config.seed, inner.next_seed());
        let request_timeout = inner.config.request_timeout;
        let config = Arc::new(GroupConfig {
            group_id: settings.group.clone(),
            session_timeout: settings.session_timeout,
            heartbeat_interval: settings.heartbeat_interval,
            max_poll_interval: settings.max_poll_interval,
            assignors: vec![assignor],
            instance_id: None,
            rack: None,
            request_timeout,
            offset_retention: None,
        });
        config.validate()?;
        for topic in &consumer.topics {
            inner.command(now, refresh::Command::Use(topic.clone()));
        }
        drop(inner);
        let timeout = consumer.fetch_max_wait.saturating_add(request_timeout);
        let mut member = Self {
            core: Classic::new(config.clone(), backoff, seed, now),
            shared: Shared::new(&consumer, backoff, fetch_seed),
            hub,
            config,
            timeout,
            limits: Limits::default(),
            link: None,
            side: None,
            node: None,
            sent: Vec::new(),
            lookup: None,
            listing: None,
            interests: consumer.topics.clone(),
            group_interests: Vec::new(),
            followed: Vec::new(),
            commits: BTreeMap::new(),
            next_commit: 0,
            wanted: VecDeque::new(),
            is_committing: false,
            connections: BTreeMap::new(),
            fetches: Vec::new(),
            listed: Vec::new(),
            give_away_by: None,
            giving: None,
            notices: VecDeque::new(),
            told: VecDeque::new(),
            chunk: None,
            charged: 0,
            seen_version: 0,
            is_polling: false,
            over: false,
            seen: BTreeMap::new(),
        };
        member.command(now, Command::Subscribe(consumer.topics));
        Ok(member)
    }

    fn hub(&self) -> MutexGuard<'_, Hub> {
        self.hub.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&mut self, core: &'static str, state: &'static str, event: &'static str) {
        *self.seen.entry((core, state, event)).or_default() += 1;
    }

    /// How often cores met events: core, state, event, count.
    pub(crate) fn seen(&self) -> Vec<(&'static str, &'static str, &'static str, u64)> {
        self.seen.iter().map(|((core, state, event), count)| (*core, *state, *event, *count)).collect()
    }

    fn command(&mut self, now: Instant, command: Command) {
        let what = match &command {
            Command::Subscribe(_) => "subscribe",
            Command::Polled => "polled",
            Command::Prepared(_) => "prepared",
            Command::TopicsChanged(_) => "topics changed",
            Command::Commit { .. } => "commit",
            Command::Heartbeat { .. } => "heartbeat wanted",
            Command::Leave { .. } => "leave",
        };
        self.note("group", self.core.state_name(), what);
        self.core.handle_command(now, command);
    }

    fn answer(&mut self, now: Instant, ticket: Ticket, result: Result<Response>) {
        let what = match &result {
            Ok(Response::Coordinator) => "coordinator",
            Ok(Response::Topics(_)) => "topics",
            Ok(Response::Assigned(_)) => "assigned",
            Ok(Response::Join(answer)) if answer.error_code.is_ok() => "joined",
            Ok(Response::Join(_)) => "join refused",
            Ok(Response::Sync(answer)) if answer.error_code.is_ok() => "synced",
            Ok(Response::Sync(_)) => "sync refused",
            Ok(Response::Heartbeat(code)) if code.is_ok() => "heartbeat",
            Ok(Response::Heartbeat(_)) => "heartbeat refused",
            Ok(Response::Leave(_)) => "leave answered",
            Ok(Response::OffsetFetch(_)) => "offsets",
            Ok(Response::OffsetCommit(codes)) if codes.iter().all(|(_, code)| code.is_ok()) => "committed",
            Ok(Response::OffsetCommit(_)) => "commit refused",
            Err(_) => "failed",
        };
        self.note("group", self.core.state_name(), what);
        self.core.handle_response(now, ticket, result);
    }

    /// Does all there is to do. True if something moved.
    pub(crate) fn pump(&mut self, now: Instant, lines: &mut Lines) -> bool {
        let mut moved = false;
        let snapshot = self.hub().snapshot();
        if snapshot.version != self.seen_version {
            self.seen_version = snapshot.version;
            self.metadata_changed(now, lines, &snapshot);
            moved = true;
        }
        moved |= self.take_answers(now, lines, &snapshot);
        if self.over {
            return moved;
        }
        if self.is_polling {
            self.core.handle_command(now, Command::Polled);
        }
        if self.core.next_timeout().is_some_and(|at| at <= now) {
            self.note("group", self.core.state_name(), "timeout");
        }
        while let Some(action) = self.core.poll(now) {
            moved = true;
            self.act(now, lines, action);
        }
        if self.giving.is_some_and(|giving| self.core.awaited() != Some(giving)) {
            // The group went on without us.
            self.giving = None;
        }
        moved |= self.fetch(now, lines, &snapshot);
        moved
    }

    /// When to [`pump`](Self::pump) although nothing happened.
    pub(crate) fn next_timeout(&self) -> Option<Instant> {
        if self.over {
            return None;
        }
        let state = self.shared.lock();
        let lookup = self.lookup.as_ref().map(|(.., deadline)| *deadline);
        let listing = self.listing.as_ref().map(|(.., deadline)| *deadline);
        let cores = [self.core.next_timeout(), state.fetch.next_timeout(), state.next_commit()];
        cores.into_iter().chain([lookup, listing, self.give_away_by]).flatten().min()
    }

    fn metadata_changed(&mut self, now: Instant, lines: &mut Lines, snapshot: &Snapshot) {
        let moved = self.node.as_ref().and_then(|node| snapshot.node(node.id).filter(|known| known.moved_from(node)));
        if let Some(node) = moved.cloned() {
            self.move_to(now, lines, node);
        }
        if let Some(watched) = self.core.watched() {
            let counts = counts(snapshot, watched.keys());
            self.command(now, Command::TopicsChanged(counts));
        }
        let shared = self.shared.clone();
        self.follow(&mut shared.lock(), now, snapshot);
    }

    fn follow(&mut self, state: &mut State, now: Instant, snapshot: &Snapshot) {
        let partitions: Vec<(usize, TopicPartition)> =
            state.fetch.partitions().map(|(slot, name)| (slot, name.clone())).collect();
        let gone: Vec<_> =
            self.followed.extract_if(.., |topic| !partitions.iter().any(|(_, name)| name.topic == *topic)).collect();
        for topic in gone {
            self.hub().command(now, refresh::Command::Unuse(topic));
        }
        for (slot, name) in partitions {
            if !self.followed.contains(&name.topic) {
                self.followed.push(name.topic.clone());
                self.hub().command(now, refresh::Command::Use(name.topic.clone()));
            }
            let known = snapshot.topic(&name.topic).filter(|topic| topic.error.is_none());
            let leader = known.and_then(|topic| {
                let partition = topic.partition(name.partition)?;
                Some(Leader { broker: partition.leader?, epoch: partition.leader_epoch, topic_id: topic.id })
            });
            state.fetch.handle_command(now, fetch::Command::Leader { slot, leader });
        }
    }

    fn take_answers(&mut self, now: Instant, lines: &mut Lines, snapshot: &Snapshot) -> bool {
        let mut moved = false;
        // One at a time: what an answer brings about may end others.
        while let Some((at, answer)) =
            self.sent.iter_mut().enumerate().find_map(|(at, (.., sent))| Some((at, sent.take(now, lines)?)))
        {
            let (ticket, ..) = self.sent.remove(at);
            self.answer(now, ticket, answer);
            moved = true;
        }
        if let Some((ticket, key, deadline)) = self.lookup.take() {
            let found = match self.hub().coordinators.state(&key) {
                Some(Found::Found(node)) => Some(Ok(node.clone())),
                Some(Found::Refused(error)) => Some(Err(error.clone())),
                _ if deadline <= now => Some(Err(Error::new(ErrorKind::Timeout, "no coordinator was found in time"))),
                _ => None,
            };
            if found.is_some() {
                self.hub().coordinators.handle_command(now, coordinators::Command::Unwant(key.clone()));
                moved = true;
            }
            match found {
                None => self.lookup = Some((ticket, key, deadline)),
                Some(Err(error)) => self.answer(now, ticket, Err(error)),
                Some(Ok(node)) => {
                    if self.node.as_ref().is_none_or(|known| known.id != node.id || known.moved_from(&node)) {
                        self.move_to(now, lines, node);
                    }
                    self.answer(now, ticket, Ok(Response::Coordinator));
                }
            }
        }
        if let Some((ticket, topics, deadline)) = self.listing.take() {
            if topics.iter().all(|topic| snapshot.topics.contains_key(topic)) {
                self.answer(now, ticket, Ok(Response::Topics(counts(snapshot, topics.iter()))));
                moved = true;
            } else if deadline <= now {
                let error = Error::new(ErrorKind::Timeout, "the topics of the group's members are not known yet");
                self.answer(now, ticket, Err(error));
                moved = true;
            } else {
                self.listing = Some((ticket, topics, deadline));
            }
        }
        let shared = self.shared.clone();
        let mut fetches = std::mem::take(&mut self.fetches);
        fetches.retain_mut(|(ticket, asked)| {
            let Some(answer) = asked.take(lines, now) else { return true };
            let what = if answer.is_ok() { "answered" } else { "failed" };
            let mut state = shared.lock();
            *self.seen.entry(("fetch", fetch_state(&state), what)).or_default() += 1;
            state.fetch.handle_fetched(now, *ticket, answer.ok());
            moved = true;
            false
        });
        self.fetches.append(&mut fetches);
        let mut listed = std::mem::take(&mut self.listed);
        listed.retain(|(ticket, call)| {
            let Some(answer) = self.hub.lock().unwrap_or_else(PoisonError::into_inner).take_call::<ListOffsetsResponse>(*call)
            else {
                return true;
            };
            let what = if answer.is_ok() { "offsets listed" } else { "listing failed" };
            let mut state = shared.lock();
            *self.seen.entry(("fetch", fetch_state(&state), what)).or_default() += 1;
            state.fetch.handle_offsets_listed(now, *ticket, answer.ok());
            moved = true;
            false
        });
        self.listed.append(&mut listed);
        moved
    }

    fn act(&mut self, now: Instant, lines: &mut Lines, action: Action) {
        match action {
            Action::FindCoordinator { ticket, stale } => {
                let key = Key { kind: CoordinatorType::Group, key: self.config.group_id.clone() };
                let mut hub = self.hub();
                if stale {
                    hub.coordinators.handle_command(now, coordinators::Command::Forget(key.clone()));
                }
                hub.coordinators.handle_command(now, coordinators::Command::Want(key.clone()));
                drop(hub);
                self.lookup = Some((ticket, key, now + self.config.request_timeout));
            }
            Action::ListTopics { ticket, topics } => {
                let before = std::mem::replace(&mut self.group_interests, topics.clone());
                let mut hub = self.hub();
                for topic in &topics {
                    hub.command(now, refresh::Command::Use(topic.clone()));
                }
                for topic in before {
                    hub.command(now, refresh::Command::Unuse(topic));
                }
                if !topics.iter().all(|topic| hub.refresh.snapshot().topics.contains_key(topic)) {
                    hub.command(now, refresh::Command::Refresh);
                }
                drop(hub);
                let timeout = self.config.request_timeout.min(self.config.session_timeout / 3);
                self.listing = Some((ticket, topics, now + timeout));
            }
            Action::Assign { ticket, assignor, topics, members } => {
                let assigned = leading::assign(&*assignor, &topics, &members).map(Response::Assigned);
                self.answer(now, ticket, assigned);
            }
            Action::Send { ticket, request, timeout } => self.send(now, lines, ticket, request, timeout),
            Action::Reconnect => self.reconnect(now, lines),
            Action::Event(event) => self.tell(now, event),
        }
    }

    fn send(&mut self, now: Instant, lines: &mut Lines, ticket: Ticket, request: Request, timeout: Duration) {
        // Behind a parked join a commit would wait for as long as that; it gets a connection of its own.
        let aside = matches!(request, Request::OffsetCommit { .. }) && self.core.is_parked();
        let known = if aside { self.side.clone() } else { self.link.clone() };
        let talk = match (known, self.node.clone()) {
            (Some(talk), _) => talk,
            (None, Some(node)) => {
                let talk = self.hub().talk(lines, &node);
                *(if aside { &mut self.side } else { &mut self.link }) = Some(talk.clone());
                talk
            }
            (None, None) => {
                let error = Error::new(ErrorKind::Disconnected, "the group's coordinator is not known");
                return self.sent.push((ticket, !aside, Sent::Failed(Some(error))));
            }
        };
        let (config, every) = (self.config.clone(), 0..=i16::MAX);
        let sent = match request {
            Request::Join(request) => Sent::Join(talk.ask(now, every, |_| request, timeout)),
            Request::Sync(request) => Sent::Sync(talk.ask(now, every, |_| request, timeout)),
            Request::Heartbeat(request) => Sent::Heartbeat(talk.ask(now, every, |_| request, timeout)),
            Request::Leave { member_id, reason } => {
                let build = move |version| messages::leave(&config, &member_id, &reason, version);
                Sent::Leave(talk.ask(now, every, build, timeout))
            }
            Request::OffsetFetch { partitions } => {
                let build = move |version| messages::offset_fetch(&config, &partitions, version);
                Sent::OffsetFetch(talk.ask(now, 0..=LAST_WITH_NAMES, build, timeout))
            }
            Request::OffsetCommit { generation, member_id, offsets } => {
                let build = move |version| messages::offset_commit(&config, generation, &member_id, &offsets, version);
                Sent::OffsetCommit(talk.ask(now, 0..=LAST_WITH_NAMES, build, timeout))
            }
        };
        self.sent.push((ticket, !aside, sent));
    }

    /// The coordinator is this broker now, or at this address.
    fn move_to(&mut self, now: Instant, lines: &mut Lines, node: Node) {
        self.reconnect(now, lines);
        // What is under way on it goes on: only the place for the next is another.
        self.side = None;
        self.node = Some(node);
    }

    fn reconnect(&mut self, now: Instant, lines: &mut Lines) {
        if let Some(talk) = self.link.take() {
            talk.close(lines);
        }
        let gone: Vec<Ticket> = self.sent.extract_if(.., |(_, on_link, _)| *on_link).map(|(ticket, ..)| ticket).collect();
        for ticket in gone {
            let error = Error::new(ErrorKind::Disconnected, "the connection to the group's coordinator was given up");
            self.answer(now, ticket, Err(error));
        }
    }

    fn tell(&mut self, now: Instant, event: Event) {
        self.hear_event(now, event);
        // Notices of the state itself: partitions without a place to begin.
        let noticed = std::mem::take(&mut self.shared.lock().notices);
        for notice in noticed {
            if let super::state::Notice::Trouble(error) = notice {
                self.notices.push_back(Notice::Trouble(error));
            }
        }
    }

    fn hear_event(&mut self, now: Instant, event: Event) {
        let shared = self.shared.clone();
        let mut state = shared.lock();
        match event {
            Event::Assigned { added, .. } => {
                let names: Vec<TopicPartition> = added.iter().map(|(partition, _)| partition.clone()).collect();
                state.assign(now, added);
                if !names.is_empty() {
                    self.notices.push_back(Notice::Assigned(names));
                }
                let snapshot = self.hub().snapshot();
                self.follow(&mut state, now, &snapshot);
            }
            Event::Rebalancing { ticket } => {
                let commit = state.take_commit(now);
                drop(state);
                let deadline = now + self.hub().config.default_api_timeout;
                self.begin_commit(now, commit, deadline, Then::Prepared(ticket));
            }
            Event::Revoking { ticket, partitions, deadline } => {
                state.hold(now, &partitions);
                self.notices.push_back(Notice::Revoking(ticket, partitions, deadline));
                self.give_away_by = Some(deadline);
            }
            Event::Lost { partitions, .. } => {
                state.unassign(now, &partitions);
                self.notices.push_back(Notice::Lost(partitions));
            }
            Event::Committed { id, result } => {
                let Some((checkpoint, then)) = self.commits.remove(&id) else { return };
                state.committed(checkpoint, result.is_ok());
                drop(state);
                self.committed(now, then, result);
            }
            Event::HeartbeatAnswered { .. } => {}
            Event::Refused(error) => self.told.push_back(Told::Trouble(error.to_string())),
            Event::Left => {
                self.over = true;
                self.told.push_back(Told::Left);
            }
            Event::Failed(error) => {
                self.over = true;
                self.told.push_back(Told::Failed(error.to_string()));
            }
        }
    }

    fn begin_commit(&mut self, now: Instant, commit: Option<Checkpoint>, deadline: Instant, then: Then) {
        let Some(commit) = commit else { return self.committed(now, then, Ok(())) };
        self.next_commit += 1;
        let (id, offsets) = (self.next_commit, commit.offsets.clone());
        self.commits.insert(id, (commit, then));
        self.command(now, Command::Commit { id, offsets, deadline });
    }

    fn committed(&mut self, now: Instant, then: Then, result: Result<()>) {
        match then {
            Then::Nothing => {}
            Then::Prepared(ticket) => self.command(now, Command::Prepared(ticket)),
            Then::GiveAway(ticket, partitions) => {
                // The group may have gone on without us; then they are lost, which is told next, and may be ours anew already.
                if self.giving.take() != Some(ticket) || self.core.awaited() != Some(ticket) {
                    return;
                }
                self.shared.lock().unassign(now, &partitions);
                self.told.push_back(Told::Revoked(named(&partitions)));
                self.command(now, Command::Prepared(ticket));
            }
            Then::Tell(numbers, offsets) => {
                self.is_committing = false;
                // What was lost meanwhile was not committed.
                let is_ours = |(topic, partition, _): &(String, i32, i64)| {
                    self.shared.lock().positions.place(&TopicPartition::new(topic.as_str(), *partition)).is_some()
                };
                let offsets: Vec<_> = offsets.into_iter().filter(is_ours).collect();
                for number in numbers {
                    let result = result.as_ref().map(|()| offsets.clone()).map_err(ToString::to_string);
                    self.told.push_back(Told::Committed(number, result));
                }
            }
            Then::Leave(deadline) => self.command(now, Command::Leave { deadline }),
        }
    }

    /// Commits that are due, and what the fetch core asks for.
    fn fetch(&mut self, now: Instant, lines: &mut Lines, snapshot: &Snapshot) -> bool {
        let mut moved = false;
        let deadline = now + self.hub().config.default_api_timeout;
        let shared = self.shared.clone();
        if !self.wanted.is_empty() && !self.is_committing {
            self.is_committing = true;
            let mut state = shared.lock();
            let commit = state.take_commit(now);
            let marked = state.positions.checkpoints();
            let offsets = marked.map(|(name, at)| (name.topic.as_str().to_owned(), name.partition, at.offset)).collect();
            drop(state);
            let numbers = std::mem::take(&mut self.wanted).into();
            self.begin_commit(now, commit, deadline, Then::Tell(numbers, offsets));
            moved = true;
        }
        let due = shared.lock().due_commit(now);
        if due.is_some() {
            self.begin_commit(now, due, deadline, Then::Nothing);
            moved = true;
        }
        if self.give_away_by.is_some_and(|by| now >= by) {
            // The group will go on without us: what is done shall count all the same.
            self.give_away_by = None;
            let commit = shared.lock().take_commit(now);
            self.begin_commit(now, commit, deadline, Then::Nothing);
            moved = true;
        }
        let mut state = shared.lock();
        if state.fetch.is_new() {
            self.follow(&mut state, now, snapshot);
        }
        if state.fetch.next_timeout().is_some_and(|at| at <= now) {
            *self.seen.entry(("fetch", fetch_state(&state), "timeout")).or_default() += 1;
        }
        while let Some(action) = state.fetch.poll(now) {
            moved = true;
            let what = match &action {
                fetch::Action::Fetch { .. } => "fetch",
                fetch::Action::ListOffsets { .. } => "list offsets",
                fetch::Action::Refresh => "refresh",
                fetch::Action::LeaderHint { .. } => "leader hint",
                fetch::Action::Begin { .. } => "begin",
            };
            *self.seen.entry(("fetch", fetch_state(&state), what)).or_default() += 1;
            match action {
                fetch::Action::Fetch { ticket, broker, by_id, request } => {
                    let versions = if by_id { 0..=i16::MAX } else { 0..=LAST_FETCH_BY_NAME };
                    match self.connection(lines, snapshot, broker) {
                        Some(talk) => self.fetches.push((ticket, talk.ask(now, versions, |_| request, self.timeout))),
                        None => state.fetch.handle_fetched(now, ticket, None),
                    }
                }
                fetch::Action::ListOffsets { ticket, broker, request } => {
                    let mut hub = self.hub();
                    let deadline = now + hub.config.request_timeout;
                    let call = hub.call(now, Route::Broker(broker), deadline, move |_| request.clone());
                    drop(hub);
                    self.listed.push((ticket, call));
                }
                fetch::Action::Refresh => self.hub().command(now, refresh::Command::Refresh),
                fetch::Action::LeaderHint { partition, leader, epoch, endpoint } => {
                    let TopicPartition { topic, partition, .. } = partition;
                    let hint = refresh::Command::LeaderHint { topic, partition, leader, leader_epoch: epoch, endpoint };
                    self.hub().command(now, hint);
                }
                fetch::Action::Begin { place, offset, leader_epoch } => state.positions.begin(place, offset, leader_epoch),
            }
        }
        moved
    }

    /// This consumer's own connection to a broker.
    fn connection(&mut self, lines: &mut Lines, snapshot: &Snapshot, broker: BrokerId) -> Option<Talk> {
        let node = snapshot.node(broker)?;
        if let Some(known) = self.connections.get(&broker) {
            if known.goes_to(node) {
                return Some(known.clone());
            }
            known.close(lines);
        }
        let talk = self.hub().talk(lines, node);
        self.connections.insert(broker, talk.clone());
        Some(talk)
    }
}

impl Sent {
    fn take(&mut self, now: Instant, lines: &mut Lines) -> Option<Result<Response>> {
        let failed = |failure: crate::network::Failure, api| failure.into_error(api);
        Some(match self {
            Self::Join(asked) => asked.take(lines, now)?.map(Response::Join).map_err(|failure| failed(failure, "JoinGroup")),
            Self::Sync(asked) => asked.take(lines, now)?.map(Response::Sync).map_err(|failure| failed(failure, "SyncGroup")),
            Self::Heartbeat(asked) => {
                let answer = asked.take(lines, now)?.map(|answer| Response::Heartbeat(answer.error_code));
                answer.map_err(|failure| failed(failure, "Heartbeat"))
            }
            Self::Leave(asked) => {
                let answer = asked.take(lines, now)?.map(|answer| messages::read_leave(&answer));
                answer.map_err(|failure| failed(failure, "LeaveGroup"))
            }
            Self::OffsetFetch(asked) => {
                let answer = asked.take(lines, now)?.map(|answer| messages::read_offset_fetch(&answer));
                answer.map_err(|failure| failed(failure, "OffsetFetch"))
            }
            Self::OffsetCommit(asked) => {
                let answer = asked.take(lines, now)?.map(|answer| messages::read_offset_commit(&answer));
                answer.map_err(|failure| failed(failure, "OffsetCommit"))
            }
            Self::Failed(error) => Err(error.take()?),
        })
    }
}

fn fetch_state(state: &State) -> &'static str {
    match (state.fetch.partitions().next().is_some(), state.fetch.has_ready()) {
        (false, _) => "nothing to read",
        (true, false) => "waiting for records",
        (true, true) => "records ready",
    }
}

fn named(partitions: &[TopicPartition]) -> Vec<(String, i32)> {
    partitions.iter().map(|name| (name.topic.as_str().to_owned(), name.partition)).collect()
}

fn counts<'a>(snapshot: &Snapshot, topics: impl Iterator<Item = &'a Topic>) -> BTreeMap<Topic, i32> {
    let known = topics.filter_map(|topic| Some((topic.clone(), snapshot.topics.get(topic)?)));
    known.filter(|(_, known)| !known.partitions.is_empty()).map(|(topic, known)| (topic, known.partition_count())).collect()
}
