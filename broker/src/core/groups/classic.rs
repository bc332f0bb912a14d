//! The state machine of one group of the classic protocol.
//!
//! ```text
//!            a member joins             all have joined, or time is over
//!   Empty ──────────────► PreparingRebalance ──────────────► CompletingRebalance
//!     ▲                      │      ▲   ▲                        │        │
//!     │  nobody joined again │      │   │ one joins, leaves, dies│        │ the leader syncs
//!     └──────────────────────┘      │   └────────────────────────┘        ▼
//!                                   └──────────────────────────────── Stable
//! ```
//!
//! A new generation begins when joining ends. Members that wait in JoinGroup or SyncGroup do not time out, but for new ones, whose
//! clients may be gone. `Dead`, Kafka's fifth state, is a group that is not in the table any more.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use bytes::Bytes;
use klamm::protocol::messages::join_group::{JoinGroupRequestProtocol, JoinGroupResponse, JoinGroupResponseMember};
use klamm::protocol::messages::sync_group::SyncGroupResponse;
use klamm::protocol::{ErrorCode, Str};

use crate::core::Call;
use crate::core::groups::member::Member;
use crate::core::groups::moves::Saved;
use crate::core::groups::subscription;
use crate::core::groups::{Commit, GroupReply, Outbox, refused_join};

/// The protocol type of consumers.
pub(crate) const CONSUMER: &str = "consumer";

/// Where a group stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// No members; perhaps committed offsets.
    Empty,
    /// Waiting for members to join (again).
    PreparingRebalance(Joining),
    /// Waiting for the leader's assignment.
    CompletingRebalance,
    /// Members have their assignments.
    Stable,
}

/// What ends the joining.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Joining {
    /// A new group waits so long for members, whoever has joined; longer when one came meanwhile, but not longer than `left`.
    Initial { until: Instant, left: Duration, one_came: bool },
    /// All known members have joined; who has not by then is out.
    Again { deadline: Instant },
}

/// One group.
#[derive(Debug)]
pub(crate) struct Classic {
    pub(crate) state: State,
    /// Since when it has no members.
    pub(crate) empty_since: Option<Instant>,
    pub(crate) generation: i32,
    pub(crate) protocol_type: Option<Str>,
    /// What all members agree on, once joining has ended.
    pub(crate) protocol: Option<Str>,
    pub(crate) leader: Option<Str>,
    pub(crate) members: BTreeMap<Str, Member>,
    /// Static members: instance id to member id.
    pub(crate) instances: BTreeMap<Str, Str>,
    /// Member ids that were given out (KIP-394), and until when they are kept.
    pub(crate) pending: BTreeMap<Str, Instant>,
    /// Topics that consumers subscribe to in this generation, if all of them can be read.
    pub(crate) subscribed: Option<BTreeSet<String>>,
    /// What the coordinator's log says of it.
    pub(crate) saved: Option<Saved>,
    /// Who has not sent SyncGroup by then is out.
    pub(crate) sync_deadline: Option<Instant>,
    initial_delay: Duration,
}

impl Classic {
    /// `initial_delay`: how long it waits for more members when one has come.
    pub(crate) fn new(initial_delay: Duration) -> Self {
        Self {
            state: State::Empty,
            empty_since: None,
            generation: 0,
            protocol_type: None,
            protocol: None,
            leader: None,
            members: BTreeMap::new(),
            instances: BTreeMap::new(),
            pending: BTreeMap::new(),
            subscribed: None,
            saved: None,
            sync_deadline: None,
            initial_delay,
        }
    }

    /// The name of its state in Kafka's tools.
    pub(crate) fn state_name(&self) -> &'static str {
        match self.state {
            State::Empty => "Empty",
            State::PreparingRebalance(_) => "PreparingRebalance",
            State::CompletingRebalance => "CompletingRebalance",
            State::Stable => "Stable",
        }
    }

    pub(crate) fn next_timeout(&self) -> Option<Instant> {
        let joining = match self.state {
            State::PreparingRebalance(Joining::Initial { until: at, .. } | Joining::Again { deadline: at }) => Some(at),
            _ => None,
        };
        let members = self.members.values().filter_map(Member::deadline);
        members.chain(self.pending.values().copied()).chain(joining).chain(self.sync_deadline).min()
    }

    pub(crate) fn handle_timeout(&mut self, now: Instant, out: &mut Outbox) {
        let before = self.members.len() + self.pending.len();
        self.pending.retain(|_, deadline| *deadline > now);
        let dead = |member: &Member| member.deadline().is_some_and(|deadline| deadline <= now);
        for id in self.ids(dead) {
            self.take_out(&id, out);
        }
        if self.members.len() + self.pending.len() < before {
            self.go_on_without(now, out);
        }
        if self.sync_deadline.is_some_and(|deadline| deadline <= now) {
            for id in self.ids(|member| !member.synced) {
                self.take_out(&id, out);
            }
            self.prepare_rebalance(now, out);
        }
        match self.state {
            State::PreparingRebalance(Joining::Initial { until, left, one_came }) if until <= now => {
                if one_came && !left.is_zero() {
                    let (more, left) = (self.initial_delay.min(left), left.saturating_sub(self.initial_delay));
                    self.state = State::PreparingRebalance(Joining::Initial { until: now + more, left, one_came: false });
                } else {
                    self.complete_join(now, out);
                }
            }
            State::PreparingRebalance(Joining::Again { deadline }) if deadline <= now => self.complete_join(now, out),
            _ => {}
        }
    }

    /// Ids of members like this.
    fn ids(&self, wanted: impl Fn(&Member) -> bool) -> Vec<Str> {
        self.members.iter().filter(|(_, member)| wanted(member)).map(|(id, _)| id.clone()).collect()
    }

    /// May a member with these protocols be in it?
    pub(crate) fn supports(&self, protocol_type: &Str, protocols: &[JoinGroupRequestProtocol]) -> bool {
        if self.state == State::Empty {
            return !protocol_type.as_str().is_empty() && !protocols.is_empty();
        }
        let common = self.common_protocols();
        // Where the last member has just left and another is expected, there is nobody to disagree with.
        let supports = |protocol: &JoinGroupRequestProtocol| self.members.is_empty() || common.contains(&protocol.name);
        self.protocol_type.as_ref() == Some(protocol_type) && protocols.iter().any(supports)
    }

    /// Protocols that all members offer.
    fn common_protocols(&self) -> BTreeSet<Str> {
        let mut offers = self.members.values().map(|member| member.protocols.iter().map(|(name, _)| name.clone()).collect());
        let first: BTreeSet<Str> = offers.next().unwrap_or_default();
        offers.fold(first, |common, offer: BTreeSet<Str>| common.intersection(&offer).cloned().collect())
    }

    /// The protocol that most members prefer among those that all offer; of equals the one that the leader prefers.
    pub(crate) fn select_protocol(&self) -> Option<Str> {
        let common = self.common_protocols();
        let preferred =
            |member: &Member| member.protocols.iter().map(|(name, _)| name.clone()).find(|name| common.contains(name));
        let votes = |protocol: &Str| self.members.values().filter(|member| preferred(member).as_ref() == Some(protocol)).count();
        let leader = self.leader.as_ref().and_then(|leader| self.members.get(leader))?;
        let candidates = leader.protocols.iter().map(|(name, _)| name).filter(|name| common.contains(*name));
        // The last of equals wins in `max_by_key`, so the leader's first choice has to come last.
        candidates.rev().max_by_key(|name| votes(name)).cloned()
    }

    /// Takes in a member, which waits for the answer to its JoinGroup.
    pub(crate) fn add(&mut self, now: Instant, id: Str, member: Member, protocol_type: &Str, out: &mut Outbox) {
        if let Some(instance_id) = &member.instance_id {
            self.instances.insert(instance_id.clone(), id.clone());
        }
        if self.members.is_empty() {
            self.protocol_type = Some(protocol_type.detached());
        }
        self.pending.remove(&id);
        self.members.insert(id, member);
        if let State::PreparingRebalance(Joining::Initial { one_came, .. }) = &mut self.state {
            *one_came = true;
        }
        self.rebalance(now, out);
    }

    /// Has everyone join again, or goes on if that is what they are doing.
    pub(crate) fn rebalance(&mut self, now: Instant, out: &mut Outbox) {
        match self.state {
            State::PreparingRebalance(Joining::Again { .. }) if self.all_joined() => self.complete_join(now, out),
            State::PreparingRebalance(_) => {}
            _ => self.prepare_rebalance(now, out),
        }
    }

    /// Has everyone join again.
    fn prepare_rebalance(&mut self, now: Instant, out: &mut Outbox) {
        for member in self.members.values_mut() {
            member.synced = false;
            if let Some(call) = member.syncing.take() {
                member.heard(now);
                let error_code = ErrorCode::REBALANCE_IN_PROGRESS;
                out.push_back((call, GroupReply::Sync(SyncGroupResponse { error_code, ..Default::default() })));
            }
        }
        self.sync_deadline = None;
        let timeout = self.rebalance_timeout();
        let joining = match self.state {
            State::Empty => {
                let left = timeout.saturating_sub(self.initial_delay);
                Joining::Initial { until: now + self.initial_delay, left, one_came: false }
            }
            _ => Joining::Again { deadline: now + timeout },
        };
        self.state = State::PreparingRebalance(joining);
        let is_over = match joining {
            Joining::Initial { until, .. } => until <= now,
            Joining::Again { .. } => self.all_joined(),
        };
        if is_over {
            self.complete_join(now, out);
        }
    }

    /// The longest that a member wants to be waited for.
    fn rebalance_timeout(&self) -> Duration {
        self.members.values().map(|member| member.rebalance_timeout).max().unwrap_or(Duration::from_millis(1))
    }

    fn all_joined(&self) -> bool {
        self.pending.is_empty() && self.members.values().all(|member| member.joining.is_some())
    }

    /// Ends the joining with those who have joined.
    fn complete_join(&mut self, now: Instant, out: &mut Outbox) {
        let missing = |member: &Member| member.joining.is_none() && member.instance_id.is_none();
        for id in self.ids(missing) {
            self.take_out(&id, out);
        }
        if self.members.is_empty() {
            self.generation += 1;
            (self.state, self.empty_since) = (State::Empty, Some(now));
            (self.protocol, self.leader) = (None, None);
            self.subscribed = self.subscribed_topics();
            return self.save();
        }
        let joined = |id: &Str| self.members.get(id).is_some_and(|member| member.joining.is_some());
        if !self.leader.as_ref().is_some_and(joined) {
            let candidates = self.members.iter().filter(|(_, member)| member.joining.is_some());
            let Some((leader, _)) = candidates.min_by_key(|(_, member)| member.joined) else {
                // Only static members are left, and none has come back yet.
                self.state = State::PreparingRebalance(Joining::Again { deadline: now + self.rebalance_timeout() });
                return;
            };
            self.leader = Some(leader.clone());
        }
        self.generation += 1;
        self.protocol = self.select_protocol();
        self.subscribed = self.subscribed_topics();
        self.state = State::CompletingRebalance;
        self.sync_deadline = Some(now + self.rebalance_timeout());
        let ids: Vec<_> = self.members.keys().cloned().collect();
        for id in ids {
            let Some(member) = self.members.get_mut(&id) else { continue };
            (member.synced, member.is_new, member.assignment) = (false, false, Bytes::new());
            member.heard(now);
            if let Some(call) = member.joining.take() {
                let response = self.joined(&call, &id);
                out.push_back((call, GroupReply::Join(response)));
            }
        }
    }

    /// What the consumers of this generation subscribe to.
    pub(crate) fn subscribed_topics(&self) -> Option<BTreeSet<String>> {
        if !self.are_consumers() {
            return None;
        }
        let Some(protocol) = &self.protocol else { return self.members.is_empty().then(BTreeSet::new) };
        let topics = self.members.values().map(|member| subscription::topics(&member.metadata(protocol)));
        Some(topics.collect::<Option<Vec<_>>>()?.into_iter().flatten().collect())
    }

    pub(crate) fn are_consumers(&self) -> bool {
        self.protocol_type.as_ref().is_some_and(|kind| kind.as_str() == CONSUMER)
    }

    /// Does the group read this topic? Consumers whose subscriptions cannot be read may read any.
    pub(crate) fn is_subscribed(&self, topic: &str) -> bool {
        self.subscribed.as_ref().map_or_else(|| self.are_consumers(), |topics| topics.contains(topic))
    }

    /// The answer to a member that is in the present generation.
    pub(crate) fn joined(&self, call: &Call, id: &Str) -> JoinGroupResponse {
        let protocol = self.protocol.clone().unwrap_or_default();
        let leads = self.leader.as_ref() == Some(id);
        let member = |(member_id, member): (&Str, &Member)| JoinGroupResponseMember {
            member_id: member_id.clone(),
            group_instance_id: member.instance_id.clone(),
            metadata: member.metadata(&protocol),
        };
        JoinGroupResponse {
            generation_id: self.generation,
            protocol_type: self.protocol_type.clone().filter(|_| call.version >= 7),
            leader: self.leader.clone().unwrap_or_default(),
            member_id: id.clone(),
            members: if leads { self.members.iter().map(member).collect() } else { Vec::new() },
            protocol_name: Some(protocol),
            ..Default::default()
        }
    }

    /// Takes the leader's assignment and gives it out.
    pub(crate) fn assign(&mut self, now: Instant, mut assignments: BTreeMap<Str, Bytes>, out: &mut Outbox) {
        self.state = State::Stable;
        for (id, member) in &mut self.members {
            member.assignment = assignments.remove(id).unwrap_or_default();
            if let Some(call) = member.syncing.take() {
                member.heard(now);
                let response = synced(&self.protocol_type, &self.protocol, member);
                out.push_back((call, GroupReply::Sync(response)));
            }
        }
        self.save();
    }

    /// Notes that a member has sent SyncGroup.
    pub(crate) fn note_sync(&mut self, id: &Str) {
        if let Some(member) = self.members.get_mut(id) {
            member.synced = true;
        }
        if self.members.values().all(|member| member.synced) {
            self.sync_deadline = None;
        }
    }

    /// Takes a member out, with an answer to what it waits for; what follows is up to the caller.
    pub(crate) fn take_out(&mut self, id: &Str, out: &mut Outbox) {
        let Some(mut member) = self.members.remove(id) else { return };
        refuse_waiting(&mut member, id, ErrorCode::UNKNOWN_MEMBER_ID, out);
        if let Some(instance_id) = &member.instance_id {
            self.instances.remove(instance_id);
        }
        if self.leader.as_ref() == Some(id) {
            let next = self.members.iter().min_by_key(|(_, member)| member.joined);
            self.leader = next.map(|(id, _)| id.clone());
        }
    }

    /// A member is gone without having left.
    pub(crate) fn go_on_without(&mut self, now: Instant, out: &mut Outbox) {
        match self.state {
            State::Stable | State::CompletingRebalance => self.prepare_rebalance(now, out),
            State::PreparingRebalance(_) if self.all_joined() => self.complete_join(now, out),
            _ => {}
        }
    }

    /// Members have left by request. A new group goes on waiting for more.
    pub(crate) fn have_left(&mut self, now: Instant, out: &mut Outbox) {
        match self.state {
            State::PreparingRebalance(Joining::Initial { .. }) | State::Empty => {}
            _ => self.rebalance(now, out),
        }
    }

    /// May this client commit?
    pub(crate) fn check_commit(
        &mut self,
        now: Instant,
        (id, instance_id, generation): (&Str, Option<&Str>, i32),
        commit: Commit,
    ) -> Result<(), ErrorCode> {
        if generation < 0 && self.state == State::Empty {
            // A client that does without the group's protocol.
            return Ok(());
        }
        if generation >= 0 || !id.as_str().is_empty() || instance_id.is_some() {
            self.check_generation(id, instance_id, generation)?;
        } else if commit == Commit::Plain {
            return Err(ErrorCode::UNKNOWN_MEMBER_ID);
        }
        if commit == Commit::Plain && self.state == State::CompletingRebalance {
            return Err(ErrorCode::REBALANCE_IN_PROGRESS);
        }
        self.heard(now, id);
        Ok(())
    }

    /// Is this the member that it claims to be?
    pub(crate) fn check_member(&self, id: &Str, instance_id: Option<&Str>) -> Result<(), ErrorCode> {
        if let Some(instance_id) = instance_id {
            match self.instances.get(instance_id) {
                None => return Err(ErrorCode::UNKNOWN_MEMBER_ID),
                Some(known) if known != id => return Err(ErrorCode::FENCED_INSTANCE_ID),
                Some(_) => {}
            }
        }
        if self.members.contains_key(id) { Ok(()) } else { Err(ErrorCode::UNKNOWN_MEMBER_ID) }
    }

    /// Is it, and of the present generation?
    pub(crate) fn check_generation(&self, id: &Str, instance_id: Option<&Str>, generation: i32) -> Result<(), ErrorCode> {
        self.check_member(id, instance_id)?;
        if generation == self.generation { Ok(()) } else { Err(ErrorCode::ILLEGAL_GENERATION) }
    }

    pub(crate) fn heard(&mut self, now: Instant, id: &Str) {
        if let Some(member) = self.members.get_mut(id) {
            member.heard(now);
        }
    }
}

/// The answer to a member that has its assignment.
pub(crate) fn synced(protocol_type: &Option<Str>, protocol: &Option<Str>, member: &Member) -> SyncGroupResponse {
    SyncGroupResponse {
        protocol_type: protocol_type.clone(),
        protocol_name: protocol.clone(),
        assignment: member.assignment.clone(),
        ..Default::default()
    }
}

/// Answers what a member waits for.
pub(crate) fn refuse_waiting(member: &mut Member, id: &Str, error_code: ErrorCode, out: &mut Outbox) {
    if let Some(call) = member.joining.take() {
        let response = refused_join(&call, id, error_code);
        out.push_back((call, GroupReply::Join(response)));
    }
    if let Some(call) = member.syncing.take() {
        out.push_back((call, GroupReply::Sync(SyncGroupResponse { error_code, ..Default::default() })));
    }
}
