//! Consumer groups of the classic protocol, as the group coordinator keeps them: membership and its timers, the assignment that the
//! leader makes, committed offsets.
//!
//! Requests come in through the handlers of this folder. Those that have to wait are answered later through an outbox that the core
//! empties. Time-outs are looked after by `handle_timeout`.

mod delete;
mod describe;
mod group;
mod join;
mod member;

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use klamm::protocol::messages::heartbeat::{HeartbeatRequest, HeartbeatResponse};
use klamm::protocol::messages::join_group::JoinGroupResponse;
use klamm::protocol::messages::leave_group::{LeaveGroupRequest, LeaveGroupResponse, MemberIdentity, MemberResponse};
use klamm::protocol::messages::sync_group::{SyncGroupRequest, SyncGroupResponse};
use klamm::protocol::{ErrorCode, Str};

pub(crate) use crate::core::groups::group::{Committed, Group, State};
pub(crate) use crate::core::groups::member::Member;
use crate::core::topics::{scramble, text};
use crate::core::{Call, Core, Outcome, Settings};

/// Answers that leave later than their requests' handlers.
type Outbox = VecDeque<(Call, GroupReply)>;

/// One of them.
#[derive(Debug)]
pub(crate) enum GroupReply {
    Join(JoinGroupResponse),
    Sync(SyncGroupResponse),
}

/// All groups.
#[derive(Debug)]
pub(crate) struct Groups {
    groups: BTreeMap<String, Group>,
    out: Outbox,
    min_session_timeout: Duration,
    max_session_timeout: Duration,
    initial_rebalance_delay: Duration,
    max_size: usize,
    seed: u64,
    /// Counts member ids given out.
    made: u64,
}

impl Groups {
    pub(crate) fn new(settings: &Settings) -> Self {
        Self {
            groups: BTreeMap::new(),
            out: VecDeque::new(),
            min_session_timeout: settings.group_min_session_timeout,
            max_session_timeout: settings.group_max_session_timeout,
            initial_rebalance_delay: settings.group_initial_rebalance_delay,
            max_size: settings.group_max_size,
            seed: settings.seed,
            made: 0,
        }
    }

    pub(crate) fn next_reply(&mut self) -> Option<(Call, GroupReply)> {
        self.out.pop_front()
    }

    pub(crate) fn next_timeout(&self) -> Option<Instant> {
        self.groups.values().filter_map(Group::next_timeout).min()
    }

    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        for group in self.groups.values_mut() {
            if group.next_timeout().is_some_and(|at| at <= now) {
                group.handle_timeout(now, &mut self.out);
            }
        }
    }

    pub(crate) fn get(&self, group: &str) -> Option<&Group> {
        self.groups.get(group)
    }

    pub(crate) fn get_mut(&mut self, group: &str) -> Option<&mut Group> {
        self.groups.get_mut(group)
    }

    pub(crate) fn get_or_create(&mut self, group: &str) -> &mut Group {
        self.groups.entry(group.to_owned()).or_insert_with(Group::new)
    }

    /// Drops what was committed for a topic that is no more.
    pub(crate) fn forget_topic(&mut self, topic: &str) {
        for group in self.groups.values_mut() {
            group.offsets.retain(|(name, _), _| name != topic);
        }
    }

    /// Takes a member out as if its session had timed out.
    pub(crate) fn expire(&mut self, now: Instant, group: &str, member: &str) {
        let Some(group) = self.groups.get_mut(group) else { return };
        group.remove(now, &text(member), &mut self.out);
    }

    /// Has all members of a group join again.
    pub(crate) fn rebalance(&mut self, now: Instant, group: &str) {
        let Some(group) = self.groups.get_mut(group) else { return };
        if !group.members.is_empty() {
            group.rebalance(now, Duration::ZERO, &mut self.out);
        }
    }

    /// Removes a group with its offsets.
    pub(crate) fn delete(&mut self, now: Instant, name: &str) {
        let Some(group) = self.groups.get_mut(name) else { return };
        let ids: Vec<_> = group.members.keys().cloned().collect();
        for id in ids {
            group.remove(now, &id, &mut self.out);
        }
        self.groups.remove(name);
    }

    /// A member id that begins with `prefix`.
    fn new_member_id(&mut self, prefix: &str) -> Str {
        self.made += 1;
        let (high, low) = (scramble(!self.seed, 2 * self.made), scramble(!self.seed, 2 * self.made + 1));
        let (a, b, c) = (high >> 32, (high >> 16) & 0xffff, high & 0xffff);
        text(&format!("{prefix}-{a:08x}-{b:04x}-{c:04x}-{:04x}-{:012x}", low >> 48, low & 0xffff_ffff_ffff))
    }
}

/// The refusal of a JoinGroup.
fn refused_join(call: &Call, member_id: &Str, error_code: ErrorCode) -> JoinGroupResponse {
    // Null only since version 7.
    let protocol_name = (call.version < 7).then(Default::default);
    JoinGroupResponse { error_code, member_id: member_id.clone(), protocol_name, ..Default::default() }
}

impl Core {
    /// Is this a name for a group, and are we its coordinator?
    pub(super) fn check_group(&self, call: &Call, group: &str) -> Result<(), ErrorCode> {
        if group.is_empty() {
            return Err(ErrorCode::INVALID_GROUP_ID);
        }
        self.check_coordinator(call, group)
    }

    pub(super) fn sync_group(&mut self, now: Instant, call: &Call, request: SyncGroupRequest) -> Outcome<SyncGroupResponse> {
        match self.check_group(call, request.group_id.as_str()).and_then(|()| self.groups.sync(now, call, request)) {
            Ok(Some(response)) => Outcome::Reply(response),
            Ok(None) => Outcome::Parked,
            Err(error_code) => Outcome::Reply(SyncGroupResponse { error_code, ..Default::default() }),
        }
    }

    pub(super) fn heartbeat(&mut self, now: Instant, call: &Call, request: HeartbeatRequest) -> Outcome<HeartbeatResponse> {
        let checked = self.check_group(call, request.group_id.as_str());
        let error_code = checked.and_then(|()| self.groups.heartbeat(now, &request)).err().unwrap_or(ErrorCode::NONE);
        Outcome::Reply(HeartbeatResponse { error_code, ..Default::default() })
    }

    pub(super) fn leave_group(&mut self, now: Instant, call: &Call, request: LeaveGroupRequest) -> Outcome<LeaveGroupResponse> {
        let group = request.group_id.as_str();
        if let Err(error_code) = self.check_group(call, group) {
            return Outcome::Reply(LeaveGroupResponse { error_code, ..Default::default() });
        }
        if call.version < 3 {
            let error_code = self.groups.leave(now, group, &request.member_id, None);
            return Outcome::Reply(LeaveGroupResponse { error_code, ..Default::default() });
        }
        let leave = |MemberIdentity { member_id, group_instance_id, .. }| MemberResponse {
            error_code: self.groups.leave(now, group, &member_id, group_instance_id.as_ref()),
            member_id,
            group_instance_id,
        };
        let members = request.members.into_iter().map(leave).collect();
        Outcome::Reply(LeaveGroupResponse { members, ..Default::default() })
    }
}

impl Groups {
    /// `None`: the answer comes once the leader has sent its own.
    fn sync(&mut self, now: Instant, call: &Call, request: SyncGroupRequest) -> Result<Option<SyncGroupResponse>, ErrorCode> {
        let group = self.groups.get_mut(request.group_id.as_str()).ok_or(ErrorCode::UNKNOWN_MEMBER_ID)?;
        let id = &request.member_id;
        group.check_generation(id, request.group_instance_id.as_ref(), request.generation_id)?;
        let differs = |told: &Option<Str>, known: &Option<Str>| told.is_some() && told != known;
        if differs(&request.protocol_type, &group.protocol_type) || differs(&request.protocol_name, &group.protocol) {
            return Err(ErrorCode::INCONSISTENT_GROUP_PROTOCOL);
        }
        match group.state {
            State::Empty => Err(ErrorCode::UNKNOWN_MEMBER_ID),
            State::PreparingRebalance { .. } => Err(ErrorCode::REBALANCE_IN_PROGRESS),
            State::CompletingRebalance => {
                group.note_sync(id);
                if let Some(member) = group.members.get_mut(id) {
                    member.syncing = Some(call.clone());
                }
                if group.leader.as_ref() == Some(id) {
                    // Copies, so that the request's frame does not stay in memory for them.
                    let assignments = request.assignments.iter();
                    let copied = assignments.map(|to| (to.member_id.detached(), bytes::Bytes::copy_from_slice(&to.assignment)));
                    group.assign(now, copied.collect(), &mut self.out);
                }
                Ok(None)
            }
            State::Stable => {
                group.note_sync(id);
                group.heard(now, id);
                let member = group.members.get(id).ok_or(ErrorCode::UNKNOWN_MEMBER_ID)?;
                Ok(Some(group::synced(&group.protocol_type, &group.protocol, member)))
            }
        }
    }

    fn heartbeat(&mut self, now: Instant, request: &HeartbeatRequest) -> Result<(), ErrorCode> {
        let group = self.groups.get_mut(request.group_id.as_str()).ok_or(ErrorCode::UNKNOWN_MEMBER_ID)?;
        let id = &request.member_id;
        group.check_generation(id, request.group_instance_id.as_ref(), request.generation_id)?;
        group.heard(now, id);
        match group.state {
            State::Empty => Err(ErrorCode::UNKNOWN_MEMBER_ID),
            State::PreparingRebalance { .. } => Err(ErrorCode::REBALANCE_IN_PROGRESS),
            // Members may beat before their SyncGroup is answered.
            State::CompletingRebalance | State::Stable => Ok(()),
        }
    }

    fn leave(&mut self, now: Instant, group: &str, member_id: &Str, instance_id: Option<&Str>) -> ErrorCode {
        let Some(group) = self.groups.get_mut(group) else { return ErrorCode::UNKNOWN_MEMBER_ID };
        if group.pending.remove(member_id).is_some() {
            group.handle_timeout(now, &mut self.out);
            return ErrorCode::NONE;
        }
        // An administrator removes a static member by its instance id alone.
        let id = match instance_id.and_then(|instance_id| group.instances.get(instance_id)) {
            Some(known) if member_id.as_str().is_empty() => known.clone(),
            _ => member_id.clone(),
        };
        if let Err(code) = group.check_member(&id, instance_id) {
            return code;
        }
        group.remove(now, &id, &mut self.out);
        ErrorCode::NONE
    }
}
