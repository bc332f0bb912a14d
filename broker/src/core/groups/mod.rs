//! Consumer groups, as the group coordinator keeps them: membership and its timers, the assignment that the leader makes, committed
//! offsets and how long they are kept.
//!
//! A group has offsets and members by one of the protocols; so far there is the classic one (`classic.rs`). Requests come in through
//! the handlers of this folder. Those that have to wait are answered later through an outbox that the core empties. Time-outs are
//! looked after by `handle_timeout`. What becomes of a group whose coordinator moves is in `moves.rs`.

mod classic;
mod delete;
mod describe;
mod expiry;
mod join;
mod member;
mod moves;
mod subscription;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use klamm::protocol::messages::heartbeat::{HeartbeatRequest, HeartbeatResponse};
use klamm::protocol::messages::join_group::JoinGroupResponse;
use klamm::protocol::messages::leave_group::{LeaveGroupRequest, LeaveGroupResponse, MemberIdentity, MemberResponse};
use klamm::protocol::messages::sync_group::{SyncGroupRequest, SyncGroupResponse};
use klamm::protocol::{ErrorCode, Str};

pub(crate) use crate::core::groups::classic::{Classic, State};
pub(crate) use crate::core::groups::member::Member;
use crate::core::topics::{scramble, text};
use crate::core::transactions::StagedOffsets;
use crate::core::{Call, Core, Outcome, Settings};

/// First version of SyncGroup whose client must say which protocol it follows (KIP-559).
const PROTOCOL_TOLD: i16 = 5;

/// Answers that leave later than their requests' handlers.
type Outbox = VecDeque<(Call, GroupReply)>;

/// One of them.
#[derive(Debug)]
pub(crate) enum GroupReply {
    Join(JoinGroupResponse),
    Sync(SyncGroupResponse),
}

/// What was committed for a partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Committed {
    pub(crate) offset: i64,
    pub(crate) leader_epoch: i32,
    pub(crate) metadata: Str,
    at: Instant,
    /// The client's own wish for how long it is kept.
    ends: Option<Instant>,
}

impl Committed {
    pub(crate) fn new(now: Instant, offset: i64, leader_epoch: i32, metadata: Str) -> Self {
        Self { offset, leader_epoch, metadata, at: now, ends: None }
    }

    /// Kept for so many milliseconds, whatever the broker's rule; -1: by its rule.
    pub(crate) fn kept_for(self, millis: i64) -> Self {
        let kept = u64::try_from(millis).ok().map(Duration::from_millis);
        Self { ends: kept.and_then(|kept| self.at.checked_add(kept)), ..self }
    }
}

/// One group.
#[derive(Debug)]
pub(crate) struct Group {
    pub(crate) kind: Kind,
    pub(crate) offsets: BTreeMap<(String, i32), Committed>,
}

/// Who its members are, by the protocol that they speak.
#[derive(Debug)]
pub(crate) enum Kind {
    Classic(Classic),
}

/// How an offset is committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Commit {
    /// At once.
    Plain,
    /// With a transaction.
    Transactional,
}

impl Group {
    /// Its members, if they speak the classic protocol.
    pub(crate) fn classic(&self) -> Option<&Classic> {
        match &self.kind {
            Kind::Classic(classic) => Some(classic),
        }
    }

    pub(crate) fn classic_mut(&mut self) -> Option<&mut Classic> {
        match &mut self.kind {
            Kind::Classic(classic) => Some(classic),
        }
    }

    /// The name of its state in Kafka's tools.
    pub(crate) fn state_name(&self) -> &'static str {
        match &self.kind {
            Kind::Classic(classic) => classic.state_name(),
        }
    }

    fn next_timeout(&self) -> Option<Instant> {
        match &self.kind {
            Kind::Classic(classic) => classic.next_timeout(),
        }
    }

    fn handle_timeout(&mut self, now: Instant, out: &mut Outbox) {
        match &mut self.kind {
            Kind::Classic(classic) => classic.handle_timeout(now, out),
        }
    }
}

/// All groups.
#[derive(Debug)]
pub(crate) struct Groups {
    groups: BTreeMap<String, Group>,
    out: Outbox,
    started: Instant,
    retention: Duration,
    check_interval: Duration,
    /// When it is next looked for offsets that are over.
    next_check: Option<Instant>,
    /// May there be more to look for than was thought then?
    has_changed: bool,
    min_session_timeout: Duration,
    max_session_timeout: Duration,
    initial_rebalance_delay: Duration,
    max_size: usize,
    seed: u64,
    /// Counts member ids given out.
    made: u64,
}

impl Groups {
    pub(crate) fn new(now: Instant, settings: &Settings) -> Self {
        Self {
            groups: BTreeMap::new(),
            out: VecDeque::new(),
            started: now,
            retention: settings.offsets_retention,
            check_interval: settings.offsets_retention_check_interval,
            next_check: None,
            has_changed: false,
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
        self.groups.values().filter_map(Group::next_timeout).chain(self.next_check).min()
    }

    /// `staged`: offsets that may be committed yet, which keep their forerunners from going.
    pub(crate) fn handle_timeout(&mut self, now: Instant, staged: &StagedOffsets) {
        for group in self.groups.values_mut() {
            if group.next_timeout().is_some_and(|at| at <= now) {
                group.handle_timeout(now, &mut self.out);
                self.has_changed = true;
            }
        }
        self.note_change(now);
        self.check_expiry(now, staged);
    }

    pub(crate) fn get(&self, group: &str) -> Option<&Group> {
        self.groups.get(group)
    }

    pub(crate) fn get_mut(&mut self, group: &str) -> Option<&mut Group> {
        self.has_changed = true;
        self.groups.get_mut(group)
    }

    /// A group of the classic protocol.
    fn classic_mut(&mut self, group: &str) -> Option<&mut Classic> {
        self.get_mut(group)?.classic_mut()
    }

    pub(crate) fn get_or_create(&mut self, group: &str) -> &mut Group {
        self.has_changed = true;
        let delay = self.initial_rebalance_delay;
        let new = || Group { kind: Kind::Classic(Classic::new(delay)), offsets: BTreeMap::new() };
        self.groups.entry(group.to_owned()).or_insert_with(new)
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
        self.has_changed = true;
        match &mut group.kind {
            Kind::Classic(classic) => {
                classic.pending.remove(&text(member));
                classic.take_out(&text(member), &mut self.out);
                classic.go_on_without(now, &mut self.out);
            }
        }
    }

    /// Has all members of a group join again.
    pub(crate) fn rebalance(&mut self, now: Instant, group: &str) {
        let Some(group) = self.groups.get_mut(group) else { return };
        match &mut group.kind {
            Kind::Classic(classic) if !classic.members.is_empty() => classic.rebalance(now, &mut self.out),
            Kind::Classic(_) => {}
        }
    }

    /// Removes a group with its offsets.
    pub(crate) fn delete(&mut self, name: &str) {
        let Some(mut group) = self.groups.remove(name) else { return };
        match &mut group.kind {
            Kind::Classic(classic) => {
                let ids: Vec<_> = classic.members.keys().cloned().collect();
                ids.iter().for_each(|id| classic.take_out(id, &mut self.out));
            }
        }
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
        if call.version >= PROTOCOL_TOLD && (request.protocol_type.is_none() || request.protocol_name.is_none()) {
            let error_code = ErrorCode::INCONSISTENT_GROUP_PROTOCOL;
            return Outcome::Reply(SyncGroupResponse { error_code, ..Default::default() });
        }
        match self.check_group(call, request.group_id.as_str()).and_then(|()| self.groups.sync(now, call, request)) {
            Ok(Some(response)) => Outcome::Reply(response),
            Ok(None) => Outcome::Parked,
            Err(error_code) => Outcome::Reply(SyncGroupResponse { error_code, ..Default::default() }),
        }
    }

    pub(super) fn heartbeat(&mut self, now: Instant, call: &Call, request: HeartbeatRequest) -> Outcome<HeartbeatResponse> {
        let checked = self.check_group(call, request.group_id.as_str());
        let error_code = match checked.and_then(|()| self.groups.heartbeat(now, &request)) {
            // Nothing is known yet that would speak against it.
            Ok(()) | Err(ErrorCode::COORDINATOR_LOAD_IN_PROGRESS) => ErrorCode::NONE,
            Err(code) => code,
        };
        Outcome::Reply(HeartbeatResponse { error_code, ..Default::default() })
    }

    pub(super) fn leave_group(&mut self, now: Instant, call: &Call, request: LeaveGroupRequest) -> Outcome<LeaveGroupResponse> {
        let group = request.group_id.as_str();
        if let Err(error_code) = self.check_group(call, group) {
            return Outcome::Reply(LeaveGroupResponse { error_code, ..Default::default() });
        }
        if call.version < 3 {
            let left = self.groups.leave(group, &request.member_id, None);
            if left.is_ok() {
                self.groups.have_left(now, group);
            }
            let error_code = left.err().unwrap_or(ErrorCode::NONE);
            return Outcome::Reply(LeaveGroupResponse { error_code, ..Default::default() });
        }
        let leave = |MemberIdentity { member_id, group_instance_id, .. }| MemberResponse {
            error_code: self.groups.leave(group, &member_id, group_instance_id.as_ref()).err().unwrap_or(ErrorCode::NONE),
            member_id,
            group_instance_id,
        };
        let members: Vec<_> = request.members.into_iter().map(leave).collect();
        // All of them leave at once: the others join again but once.
        if members.iter().any(|member| member.error_code.is_ok()) {
            self.groups.have_left(now, group);
        }
        Outcome::Reply(LeaveGroupResponse { members, ..Default::default() })
    }
}

impl Groups {
    /// `None`: the answer comes once the leader has sent its own.
    fn sync(&mut self, now: Instant, call: &Call, request: SyncGroupRequest) -> Result<Option<SyncGroupResponse>, ErrorCode> {
        let Some(group) = self.groups.get_mut(request.group_id.as_str()).and_then(Group::classic_mut) else {
            return Err(ErrorCode::UNKNOWN_MEMBER_ID);
        };
        let id = &request.member_id;
        group.check_generation(id, request.group_instance_id.as_ref(), request.generation_id)?;
        let differs = |told: &Option<Str>, known: &Option<Str>| told.is_some() && known.is_some() && told != known;
        if differs(&request.protocol_type, &group.protocol_type) || differs(&request.protocol_name, &group.protocol) {
            return Err(ErrorCode::INCONSISTENT_GROUP_PROTOCOL);
        }
        match group.state {
            State::Empty => Err(ErrorCode::UNKNOWN_MEMBER_ID),
            State::PreparingRebalance(_) => Err(ErrorCode::REBALANCE_IN_PROGRESS),
            State::CompletingRebalance => {
                group.note_sync(id);
                if let Some(member) = group.members.get_mut(id) {
                    // A request that waits still, from before its connection broke, has nobody to hear it.
                    if let Some(before) = member.syncing.replace(call.clone()) {
                        let error_code = ErrorCode::UNKNOWN_MEMBER_ID;
                        let response = SyncGroupResponse { error_code, ..Default::default() };
                        self.out.push_back((before, GroupReply::Sync(response)));
                    }
                }
                if group.leader.as_ref() == Some(id) {
                    // Copies, so that the request's frame does not stay in memory for them.
                    let assignments = request.assignments.iter();
                    let copied = assignments.map(|to| (to.member_id.detached(), bytes::Bytes::copy_from_slice(&to.assignment)));
                    group.assign(now, copied.collect(), &mut self.out);
                    self.has_changed = true;
                }
                Ok(None)
            }
            State::Stable => {
                group.note_sync(id);
                group.heard(now, id);
                let member = group.members.get(id).ok_or(ErrorCode::UNKNOWN_MEMBER_ID)?;
                Ok(Some(classic::synced(&group.protocol_type, &group.protocol, member)))
            }
        }
    }

    fn heartbeat(&mut self, now: Instant, request: &HeartbeatRequest) -> Result<(), ErrorCode> {
        let group = self.groups.get_mut(request.group_id.as_str()).and_then(Group::classic_mut);
        let group = group.ok_or(ErrorCode::UNKNOWN_MEMBER_ID)?;
        let id = &request.member_id;
        group.check_generation(id, request.group_instance_id.as_ref(), request.generation_id)?;
        match group.state {
            State::Empty => return Err(ErrorCode::UNKNOWN_MEMBER_ID),
            State::PreparingRebalance(_) => {
                group.heard(now, id);
                return Err(ErrorCode::REBALANCE_IN_PROGRESS);
            }
            // Members may beat before their SyncGroup is answered.
            State::CompletingRebalance | State::Stable => group.heard(now, id),
        }
        Ok(())
    }

    /// Takes a member out at its wish, or an administrator's; `have_left` has to follow when all of a request are out.
    fn leave(&mut self, group: &str, member_id: &Str, instance_id: Option<&Str>) -> Result<(), ErrorCode> {
        let group = self.groups.get_mut(group).and_then(Group::classic_mut).ok_or(ErrorCode::UNKNOWN_MEMBER_ID)?;
        if member_id.as_str().is_empty() {
            // An administrator removes a static member by its instance id alone.
            let known = instance_id.and_then(|instance_id| group.instances.get(instance_id)).cloned();
            group.take_out(&known.ok_or(ErrorCode::UNKNOWN_MEMBER_ID)?, &mut self.out);
            return Ok(());
        }
        if group.pending.remove(member_id).is_some() {
            return Ok(());
        }
        group.check_member(member_id, instance_id)?;
        group.take_out(member_id, &mut self.out);
        Ok(())
    }

    fn have_left(&mut self, now: Instant, group: &str) {
        self.has_changed = true;
        if let Some(group) = self.groups.get_mut(group).and_then(Group::classic_mut) {
            group.have_left(now, &mut self.out);
        }
    }

    /// May this client commit for the group? A member must be of the present generation; anyone may for a group without members.
    pub(crate) fn check_commit(
        &mut self,
        now: Instant,
        name: &str,
        (member_id, instance_id, generation): (&Str, Option<&Str>, i32),
        commit: Commit,
    ) -> Result<(), ErrorCode> {
        let Some(group) = self.groups.get_mut(name) else {
            return if generation < 0 { Ok(()) } else { Err(ErrorCode::ILLEGAL_GENERATION) };
        };
        match &mut group.kind {
            Kind::Classic(classic) => classic.check_commit(now, (member_id, instance_id, generation), commit),
        }
    }
}
