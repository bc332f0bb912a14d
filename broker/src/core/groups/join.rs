//! JoinGroup: who may come in, and whether that means a new generation.

use std::time::{Duration, Instant};

use klamm::protocol::messages::join_group::{JoinGroupRequest, JoinGroupResponse};
use klamm::protocol::{ErrorCode, Str};

use crate::core::groups::group::{Group, State, refuse_waiting};
use crate::core::groups::member::Member;
use crate::core::groups::{Groups, refused_join};
use crate::core::{Call, Core, Outcome};

/// First version that wants a member to come back with the id it was given (KIP-394).
const ID_REQUIRED: i16 = 4;

/// First version in which a leader can be told not to assign (KIP-814).
const SKIP_ASSIGNMENT: i16 = 9;

impl Core {
    pub(in crate::core) fn join_group(
        &mut self,
        now: Instant,
        call: &Call,
        request: JoinGroupRequest,
    ) -> Outcome<JoinGroupResponse> {
        let member_id = request.member_id.clone();
        match self.check_group(call, request.group_id.as_str()).and_then(|()| self.groups.join(now, call, &request)) {
            Ok(Some(response)) => Outcome::Reply(response),
            Ok(None) => Outcome::Parked,
            Err(code) => Outcome::Reply(refused_join(call, &member_id, code)),
        }
    }
}

impl Groups {
    /// `None`: the answer comes once joining has ended.
    fn join(&mut self, now: Instant, call: &Call, request: &JoinGroupRequest) -> Result<Option<JoinGroupResponse>, ErrorCode> {
        let session_timeout = Duration::from_millis(u64::try_from(request.session_timeout_ms).unwrap_or(0));
        if !(self.min_session_timeout..=self.max_session_timeout).contains(&session_timeout) {
            return Err(ErrorCode::INVALID_SESSION_TIMEOUT);
        }
        if request.protocol_type.as_str().is_empty() || request.protocols.is_empty() {
            return Err(ErrorCode::INCONSISTENT_GROUP_PROTOCOL);
        }
        let is_new = request.member_id.as_str().is_empty();
        let group_id = request.group_id.as_str();
        if !is_new && !self.groups.contains_key(group_id) {
            return Err(ErrorCode::UNKNOWN_MEMBER_ID);
        }
        let max_size = self.max_size;
        let group = self.get_or_create(group_id);
        let known = group.members.contains_key(&request.member_id)
            || request.group_instance_id.as_ref().is_some_and(|id| group.instances.contains_key(id));
        let promised = group.pending.contains_key(&request.member_id);
        if !known && group.members.len() + group.pending.len() - usize::from(promised) >= max_size {
            return Err(ErrorCode::GROUP_MAX_SIZE_REACHED);
        }
        if !known && !group.accepts(&request.protocol_type, &request.protocols) {
            return Err(ErrorCode::INCONSISTENT_GROUP_PROTOCOL);
        }
        match &request.group_instance_id {
            Some(instance_id) if is_new => self.join_static(now, call, request, &instance_id.detached()),
            None if is_new => {
                let id = self.new_member_id(call.client_id.as_ref().map_or("", Str::as_str));
                if call.version < ID_REQUIRED {
                    self.add_member(now, call, request, id);
                    return Ok(None);
                }
                let group = self.get_or_create(group_id);
                group.pending.insert(id.clone(), now + session_timeout);
                Ok(Some(refused_join(call, &id, ErrorCode::MEMBER_ID_REQUIRED)))
            }
            instance_id => self.join_again(now, call, request, instance_id.as_ref()),
        }
    }

    fn add_member(&mut self, now: Instant, call: &Call, request: &JoinGroupRequest, id: Str) {
        self.made += 1;
        let mut member = Member::new(now, call, request, self.made);
        member.joining = Some(call.clone());
        let delay = self.initial_rebalance_delay;
        let group = self.groups.entry(request.group_id.as_str().to_owned()).or_insert_with(Group::new);
        group.protocol_type = Some(request.protocol_type.detached());
        group.add(now, id, member, delay, &mut self.out);
    }

    /// A member with an id that it was given.
    fn join_again(
        &mut self,
        now: Instant,
        call: &Call,
        request: &JoinGroupRequest,
        instance_id: Option<&Str>,
    ) -> Result<Option<JoinGroupResponse>, ErrorCode> {
        let group = self.get_or_create(request.group_id.as_str());
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
            State::PreparingRebalance { .. } => false,
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
            self.out.push_back((before, super::GroupReply::Join(response)));
        }
        let Some(group) = self.groups.get_mut(request.group_id.as_str()) else { return Ok(None) };
        group.rebalance(now, Duration::ZERO, &mut self.out);
        Ok(None)
    }

    /// A static member that has (re)started: it takes the place of its former self, if there is one.
    fn join_static(
        &mut self,
        now: Instant,
        call: &Call,
        request: &JoinGroupRequest,
        instance_id: &Str,
    ) -> Result<Option<JoinGroupResponse>, ErrorCode> {
        let id = self.new_member_id(instance_id.as_str());
        let former = self.get_or_create(request.group_id.as_str()).instances.get(instance_id).cloned();
        let Some(former) = former else {
            self.add_member(now, call, request, id);
            return Ok(None);
        };
        let Some(group) = self.groups.get_mut(request.group_id.as_str()) else { return Ok(None) };
        let Some(mut member) = group.members.remove(&former) else { return Err(ErrorCode::UNKNOWN_MEMBER_ID) };
        refuse_waiting(&mut member, &former, ErrorCode::FENCED_INSTANCE_ID, &mut self.out);
        let same = member.offers(&request.protocols);
        member.update(request);
        member.heard(now);
        let leads = group.leader.as_ref() == Some(&former);
        if leads {
            group.leader = Some(id.clone());
        }
        group.instances.insert(instance_id.clone(), id.clone());
        if same && group.state == State::Stable {
            // Nothing changes for the others: no new generation.
            group.members.insert(id.clone(), member);
            let mut response = group.joined(call, &id);
            if leads {
                match call.version {
                    SKIP_ASSIGNMENT.. => response.skip_assignment = true,
                    // Shown another leader, it does not assign.
                    _ => (response.leader, response.members) = (former, Vec::new()),
                }
            }
            return Ok(Some(response));
        }
        member.joining = Some(call.clone());
        group.members.insert(id, member);
        group.rebalance(now, Duration::ZERO, &mut self.out);
        Ok(None)
    }
}
