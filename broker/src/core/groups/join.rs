//! JoinGroup: who may come in, and whether that means a new generation.

use std::time::{Duration, Instant};

use klamm::protocol::messages::join_group::{JoinGroupRequest, JoinGroupResponse};
use klamm::protocol::{ErrorCode, Str};

use crate::core::groups::classic::{Classic, Joining, State, refuse_waiting};
use crate::core::groups::member::Member;
use crate::core::groups::{Group, GroupReply, Groups, refused_join};
use crate::core::{Call, Core, Outcome};

/// First version that wants a member to come back with the id it was given (KIP-394).
const ID_REQUIRED: i16 = 4;

/// First version in which a leader can be told not to assign (KIP-814).
const SKIP_ASSIGNMENT: i16 = 9;

/// Why a join is refused, and the member id to say it to.
type Refused = (ErrorCode, Str);

impl Core {
    pub(in crate::core) fn join_group(
        &mut self,
        now: Instant,
        call: &Call,
        request: JoinGroupRequest,
    ) -> Outcome<JoinGroupResponse> {
        let checked = self.groups.check_session(&request).and_then(|()| self.check_group(call, request.group_id.as_str()));
        let joined = match checked {
            Ok(()) => self.groups.join(now, call, &request),
            Err(code) => Err((code, request.member_id.clone())),
        };
        match joined {
            Ok(Some(response)) => Outcome::Reply(response),
            Ok(None) => Outcome::Parked,
            Err((code, member_id)) => Outcome::Reply(refused_join(call, &member_id, code)),
        }
    }
}

impl Classic {
    /// Is there room for one more, or for this one again?
    fn has_room(&self, member_id: &Str, max_size: usize) -> bool {
        match self.state {
            State::Empty => true,
            // Of members that were too many, those who join again first stay.
            State::PreparingRebalance(_) => {
                let waits = |member: &Member| member.joining.is_some();
                self.members.get(member_id).is_some_and(waits)
                    || self.members.values().filter(|member| waits(member)).count() < max_size
            }
            State::CompletingRebalance | State::Stable => self.members.contains_key(member_id) || self.members.len() < max_size,
        }
    }
}

impl Groups {
    fn check_session(&self, request: &JoinGroupRequest) -> Result<(), ErrorCode> {
        if request.group_id.as_str().is_empty() {
            return Err(ErrorCode::INVALID_GROUP_ID);
        }
        let session_timeout = Duration::from_millis(u64::try_from(request.session_timeout_ms).unwrap_or(0));
        let allowed = self.min_session_timeout..=self.max_session_timeout;
        if allowed.contains(&session_timeout) { Ok(()) } else { Err(ErrorCode::INVALID_SESSION_TIMEOUT) }
    }

    /// `None`: the answer comes once joining has ended.
    pub(super) fn join(
        &mut self,
        now: Instant,
        call: &Call,
        request: &JoinGroupRequest,
    ) -> Result<Option<JoinGroupResponse>, Refused> {
        let member_id = &request.member_id;
        let is_new = member_id.as_str().is_empty();
        let group_id = request.group_id.as_str();
        if !is_new && !self.groups.contains_key(group_id) {
            return Err((ErrorCode::UNKNOWN_MEMBER_ID, member_id.clone()));
        }
        let (max_size, exists) = (self.max_size, self.groups.contains_key(group_id));
        self.get_or_create(group_id);
        let Some(group) = self.groups.get_mut(group_id).and_then(Group::classic_mut) else {
            return Err((ErrorCode::INCONSISTENT_GROUP_PROTOCOL, member_id.clone()));
        };
        if !exists {
            group.save();
        }
        if !group.has_room(member_id, max_size) {
            group.pending.remove(member_id);
            group.take_out(member_id, &mut self.out);
            return Err((ErrorCode::GROUP_MAX_SIZE_REACHED, Str::default()));
        }
        if !group.supports(&request.protocol_type, &request.protocols) {
            return Err((ErrorCode::INCONSISTENT_GROUP_PROTOCOL, member_id.clone()));
        }
        match &request.group_instance_id {
            Some(instance_id) if is_new => Ok(self.join_static(now, call, request, &instance_id.detached())),
            None if is_new => {
                let id = self.new_member_id(call.client_id.as_ref().map_or("", Str::as_str));
                if call.version < ID_REQUIRED {
                    self.add_member(now, call, request, id);
                    return Ok(None);
                }
                let session_timeout = Duration::from_millis(u64::try_from(request.session_timeout_ms).unwrap_or(0));
                if let Some(group) = self.classic_mut(group_id) {
                    group.pending.insert(id.clone(), now + session_timeout.max(Duration::from_millis(1)));
                }
                Err((ErrorCode::MEMBER_ID_REQUIRED, id))
            }
            instance_id => {
                let joined = self.join_again(now, call, request, instance_id.as_ref());
                joined.map_err(|code| (code, member_id.clone()))
            }
        }
    }

    fn add_member(&mut self, now: Instant, call: &Call, request: &JoinGroupRequest, id: Str) {
        self.made += 1;
        let mut member = Member::new(now, call, request, self.made);
        member.joining = Some(call.clone());
        let Some(group) = self.groups.get_mut(request.group_id.as_str()).and_then(Group::classic_mut) else { return };
        group.add(now, id, member, &request.protocol_type, &mut self.out);
    }

    /// A member with an id that it was given.
    fn join_again(
        &mut self,
        now: Instant,
        call: &Call,
        request: &JoinGroupRequest,
        instance_id: Option<&Str>,
    ) -> Result<Option<JoinGroupResponse>, ErrorCode> {
        let group = self.groups.get_mut(request.group_id.as_str()).and_then(Group::classic_mut);
        let group = group.ok_or(ErrorCode::UNKNOWN_MEMBER_ID)?;
        let id = request.member_id.detached();
        if instance_id.is_none() && group.pending.remove(&id).is_some() {
            self.add_member(now, call, request, id);
            return Ok(None);
        }
        group.check_member(&id, instance_id)?;
        let leads = group.leader.as_ref() == Some(&id);
        let Some(member) = group.members.get_mut(&id) else { return Err(ErrorCode::UNKNOWN_MEMBER_ID) };
        let same = member.offers(&request.protocols);
        let settled = match group.state {
            State::Empty => return Err(ErrorCode::UNKNOWN_MEMBER_ID),
            State::PreparingRebalance(_) => false,
            // It has not had the answer of this generation.
            State::CompletingRebalance => same,
            // A leader that joins again wants to assign anew.
            State::Stable => same && !leads,
        };
        if settled {
            member.heard(now);
            return Ok(Some(group.joined(call, &id)));
        }
        member.update(request);
        // A request that waits still, from before its connection broke, has nobody to hear it.
        if let Some(before) = member.joining.replace(call.clone()) {
            let response = refused_join(&before, &id, ErrorCode::UNKNOWN_MEMBER_ID);
            self.out.push_back((before, GroupReply::Join(response)));
        }
        group.rebalance(now, &mut self.out);
        Ok(None)
    }

    /// A static member that has (re)started: it takes the place of its former self, if there is one.
    fn join_static(
        &mut self,
        now: Instant,
        call: &Call,
        request: &JoinGroupRequest,
        instance_id: &Str,
    ) -> Option<JoinGroupResponse> {
        let id = self.new_member_id(instance_id.as_str());
        let group = self.groups.get_mut(request.group_id.as_str()).and_then(Group::classic_mut)?;
        let former = group.instances.get(instance_id).cloned();
        let replaced = former.and_then(|former| Some((group.members.remove(&former)?, former)));
        let Some((mut member, former)) = replaced else {
            self.add_member(now, call, request, id);
            return None;
        };
        refuse_waiting(&mut member, &former, ErrorCode::FENCED_INSTANCE_ID, &mut self.out);
        member.update(request);
        member.is_new = false;
        member.heard(now);
        let leads = group.leader.as_ref() == Some(&former);
        if leads {
            group.leader = Some(id.clone());
        }
        group.instances.insert(instance_id.clone(), id.clone());
        group.members.insert(id.clone(), member);
        if group.state == State::Stable && group.select_protocol() == group.protocol {
            // Nothing changes for the others: no new generation.
            group.save();
            let mut response = group.joined(call, &id);
            if leads {
                match call.version {
                    SKIP_ASSIGNMENT.. => response.skip_assignment = true,
                    // Shown another leader, it does not assign.
                    _ => (response.leader, response.members) = (former, Vec::new()),
                }
            }
            return Some(response);
        }
        if let Some(member) = group.members.get_mut(&id) {
            member.joining = Some(call.clone());
        }
        if !matches!(group.state, State::PreparingRebalance(Joining::Initial { .. })) {
            group.rebalance(now, &mut self.out);
        }
        None
    }
}
