//! The state machine of one group (the classic protocol).
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
//! A new generation begins when joining ends. Members that wait in JoinGroup or SyncGroup do not time out.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use bytes::Bytes;
use klamm::protocol::messages::join_group::{JoinGroupRequestProtocol, JoinGroupResponse, JoinGroupResponseMember};
use klamm::protocol::messages::sync_group::SyncGroupResponse;
use klamm::protocol::{ErrorCode, Str};

use crate::core::Call;
use crate::core::groups::member::Member;
use crate::core::groups::{GroupReply, Outbox};

/// Where a group stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// No members; perhaps committed offsets.
    Empty,
    /// Waiting for members to join (again).
    PreparingRebalance {
        /// Who has not joined by then is out.
        deadline: Instant,
        /// A new group waits so long for more members.
        earliest: Instant,
    },
    /// Waiting for the leader's assignment.
    CompletingRebalance,
    /// Members have their assignments.
    Stable,
}

/// What was committed for a partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Committed {
    pub(crate) offset: i64,
    pub(crate) leader_epoch: i32,
    pub(crate) metadata: Str,
}

/// One group.
#[derive(Debug)]
pub(crate) struct Group {
    pub(crate) state: State,
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
    /// Who has not sent SyncGroup by then is out.
    sync_deadline: Option<Instant>,
    pub(crate) offsets: BTreeMap<(String, i32), Committed>,
}

impl Group {
    pub(crate) fn new() -> Self {
        Self {
            state: State::Empty,
            generation: 0,
            protocol_type: None,
            protocol: None,
            leader: None,
            members: BTreeMap::new(),
            instances: BTreeMap::new(),
            pending: BTreeMap::new(),
            sync_deadline: None,
            offsets: BTreeMap::new(),
        }
    }

    /// The name of its state in Kafka's tools.
    pub(crate) fn state_name(&self) -> &'static str {
        match self.state {
            State::Empty => "Empty",
            State::PreparingRebalance { .. } => "PreparingRebalance",
            State::CompletingRebalance => "CompletingRebalance",
            State::Stable => "Stable",
        }
    }

    pub(crate) fn next_timeout(&self) -> Option<Instant> {
        let state = match self.state {
            State::PreparingRebalance { deadline, earliest } => Some(if self.all_joined() { earliest } else { deadline }),
            _ => None,
        };
        let members = self.members.values().filter_map(Member::deadline);
        members.chain(self.pending.values().copied()).chain(state).chain(self.sync_deadline).min()
    }

    pub(crate) fn handle_timeout(&mut self, now: Instant, out: &mut Outbox) {
        let dead = |member: &Member| member.deadline().is_some_and(|deadline| deadline <= now);
        let late = self.sync_deadline.is_some_and(|deadline| deadline <= now);
        let gone = |member: &Member| dead(member) || (late && !member.synced);
        let gone: Vec<_> = self.members.iter().filter(|(_, member)| gone(member)).map(|(id, _)| id.clone()).collect();
        self.pending.retain(|_, deadline| *deadline > now);
        for id in gone {
            self.remove(now, &id, out);
        }
        if late {
            self.sync_deadline = None;
        }
        self.try_complete_join(now, out);
    }

    /// May a member with these protocols be in it?
    pub(crate) fn accepts(&self, protocol_type: &Str, protocols: &[JoinGroupRequestProtocol]) -> bool {
        if self.members.is_empty() {
            return true;
        }
        let common = self.common_protocols();
        self.protocol_type.as_ref() == Some(protocol_type) && protocols.iter().any(|protocol| common.contains(&protocol.name))
    }

    /// Protocols that all members offer.
    fn common_protocols(&self) -> BTreeSet<Str> {
        let mut offers = self.members.values().map(|member| member.protocols.iter().map(|(name, _)| name.clone()).collect());
        let first: BTreeSet<Str> = offers.next().unwrap_or_default();
        offers.fold(first, |common, offer: BTreeSet<Str>| common.intersection(&offer).cloned().collect())
    }

    /// The protocol that most members prefer among those that all offer; of equals the one that the leader prefers.
    fn select_protocol(&self) -> Option<Str> {
        let common = self.common_protocols();
        let preferred =
            |member: &Member| member.protocols.iter().map(|(name, _)| name.clone()).find(|name| common.contains(name));
        let votes = |protocol: &Str| self.members.values().filter(|member| preferred(member).as_ref() == Some(protocol)).count();
        let leader = self.leader.as_ref().and_then(|leader| self.members.get(leader))?;
        let candidates = leader.protocols.iter().map(|(name, _)| name).filter(|name| common.contains(*name));
        // The last of equals wins in `max_by_key`, so the leader's first choice has to come last.
        candidates.rev().max_by_key(|name| votes(name)).cloned()
    }

    pub(crate) fn add(&mut self, now: Instant, id: Str, member: Member, initial_delay: Duration, out: &mut Outbox) {
        if let Some(instance_id) = &member.instance_id {
            self.instances.insert(instance_id.clone(), id.clone());
        }
        let extend = match self.state {
            // More members may be on their way.
            State::PreparingRebalance { deadline, earliest } if earliest > now => Some((deadline, now + initial_delay)),
            _ => None,
        };
        let was_empty = self.state == State::Empty;
        self.members.insert(id, member);
        if let Some((deadline, earliest)) = extend {
            self.state = State::PreparingRebalance { deadline, earliest: earliest.min(deadline) };
        }
        self.rebalance(now, if was_empty { initial_delay } else { Duration::ZERO }, out);
    }

    /// Has everyone join again.
    pub(crate) fn rebalance(&mut self, now: Instant, initial_delay: Duration, out: &mut Outbox) {
        if !matches!(self.state, State::PreparingRebalance { .. }) {
            for member in self.members.values_mut() {
                member.synced = false;
                if let Some(call) = member.syncing.take() {
                    member.heard(now);
                    let error_code = ErrorCode::REBALANCE_IN_PROGRESS;
                    out.push_back((call, GroupReply::Sync(SyncGroupResponse { error_code, ..Default::default() })));
                }
            }
            self.sync_deadline = None;
            let deadline = now + self.rebalance_timeout();
            self.state = State::PreparingRebalance { deadline, earliest: now + initial_delay };
        }
        self.try_complete_join(now, out);
    }

    /// The longest that a member wants to be waited for.
    fn rebalance_timeout(&self) -> Duration {
        self.members.values().map(|member| member.rebalance_timeout).max().unwrap_or_default()
    }

    fn all_joined(&self) -> bool {
        self.pending.is_empty() && self.members.values().all(|member| member.joining.is_some())
    }

    /// Ends the joining if nobody is missing, or has been waited for long enough.
    fn try_complete_join(&mut self, now: Instant, out: &mut Outbox) {
        let State::PreparingRebalance { deadline, earliest } = self.state else { return };
        if (now < earliest || !self.all_joined()) && now < deadline {
            return;
        }
        let missing = |member: &Member| member.joining.is_none() && member.instance_id.is_none();
        self.members.retain(|_, member| !missing(member));
        if self.members.is_empty() {
            self.generation += 1;
            self.state = State::Empty;
            (self.protocol, self.leader) = (None, None);
            return;
        }
        let joined = |id: &Str| self.members.get(id).is_some_and(|member| member.joining.is_some());
        if !self.leader.as_ref().is_some_and(joined) {
            let mut candidates: Vec<_> = self.members.iter().filter(|(_, member)| member.joining.is_some()).collect();
            candidates.sort_by_key(|(_, member)| member.joined);
            let Some((leader, _)) = candidates.first() else {
                // Only static members are left, and none has come back yet.
                self.state = State::PreparingRebalance { deadline: now + self.rebalance_timeout(), earliest: now };
                return;
            };
            self.leader = Some((*leader).clone());
        }
        self.generation += 1;
        self.protocol = self.select_protocol();
        self.state = State::CompletingRebalance;
        self.sync_deadline = Some(now + self.rebalance_timeout());
        let ids: Vec<_> = self.members.keys().cloned().collect();
        for id in ids {
            let Some(member) = self.members.get_mut(&id) else { continue };
            (member.synced, member.assignment) = (false, Bytes::new());
            if let Some(call) = member.joining.take() {
                member.heard(now);
                let response = self.joined(&call, &id);
                out.push_back((call, GroupReply::Join(response)));
            }
        }
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

    /// Takes a member out, with an answer to what it waits for.
    pub(crate) fn remove(&mut self, now: Instant, id: &Str, out: &mut Outbox) {
        let Some(mut member) = self.members.remove(id) else { return };
        refuse_waiting(&mut member, id, ErrorCode::UNKNOWN_MEMBER_ID, out);
        if let Some(instance_id) = &member.instance_id {
            self.instances.remove(instance_id);
        }
        if self.leader.as_ref() == Some(id) {
            self.leader = None;
        }
        self.rebalance(now, Duration::ZERO, out);
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
        let response = super::refused_join(&call, id, error_code);
        out.push_back((call, GroupReply::Join(response)));
    }
    if let Some(call) = member.syncing.take() {
        out.push_back((call, GroupReply::Sync(SyncGroupResponse { error_code, ..Default::default() })));
    }
}
