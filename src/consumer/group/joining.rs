//! From the request to join to the consumer's new partitions: JoinGroup, the leader's assignment, SyncGroup, the offsets.
//!
//! A part of [`Classic`], which says when; here is what is sent and what the answers mean.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::classic::{Classic, PROTOCOL_TYPE, State, milliseconds};
use super::leading::{self, text};
use super::{Action, Event, Request, Response, Verdict, is_hopeless, verdict};
use crate::consumer::assignor::{Assignor, Subscription};
use crate::error::Untrusted;
use crate::protocol::messages::join_group::{JoinGroupRequest, JoinGroupRequestProtocol, JoinGroupResponse};
use crate::protocol::messages::sync_group::{SyncGroupRequest, SyncGroupRequestAssignment, SyncGroupResponse};
use crate::protocol::{ErrorCode, Str};
use crate::{Error, Result};

/// What a JoinGroup may take longer than the rebalance time-out, after which the coordinator answers it.
const JOIN_LAPSE: Duration = Duration::from_secs(5);

impl Classic {
    pub(super) fn send_join(&mut self) {
        let generation = self.generation;
        let owned: Vec<_> = self.owned.iter().filter(|_| self.cooperative).cloned().collect();
        let protocol = |assignor: &Arc<dyn Assignor>| {
            let user_data = leading::contain(&**assignor, "say what it knows of this member", || {
                Ok(assignor.user_data(&self.topics, &owned, generation))
            });
            let subscription = Subscription {
                user_data: user_data?,
                topics: self.topics.clone(),
                owned_partitions: owned.clone(),
                generation,
                rack: self.config.rack.clone(),
                instance_id: None,
            };
            let metadata = leading::write_subscription(&subscription);
            Ok(JoinGroupRequestProtocol { name: text(assignor.name()), metadata })
        };
        let protocols = match self.config.assignors.iter().map(protocol).collect::<Result<_>>() {
            Ok(protocols) => protocols,
            Err(error) => return self.fail(error),
        };
        let request = JoinGroupRequest {
            protocols,
            group_id: self.group_id(),
            session_timeout_ms: milliseconds(self.config.session_timeout),
            rebalance_timeout_ms: milliseconds(self.config.max_poll_interval),
            member_id: text(&self.member_id),
            group_instance_id: self.instance_id(),
            protocol_type: text(PROTOCOL_TYPE),
            reason: self.rejoin.take().map(|reason| text(&reason)),
        };
        self.joined_topics = self.topics.clone();
        self.watched = None;
        let timeout = (self.config.max_poll_interval + JOIN_LAPSE).max(self.config.request_timeout);
        let ticket = self.send(Request::Join(request), timeout);
        self.state = State::Joining { sent: Some(ticket) };
    }

    pub(super) fn joined(&mut self, now: Instant, result: Result<Response>) {
        let response = match result {
            Ok(Response::Join(response)) => response,
            Ok(_) => return,
            Err(error) => return self.join_again(now, error),
        };
        let code = response.error_code;
        match code {
            ErrorCode::MEMBER_ID_REQUIRED => {
                // KIP-394: the id comes first, so that a lost answer leaves no member behind that nobody speaks for.
                // Who asks for an id that we have, or gives none, would do so again at once.
                if !self.member_id.is_empty() || response.member_id.as_str().is_empty() {
                    self.pause(now);
                }
                self.member_id = response.member_id.as_str().to_owned();
            }
            ErrorCode::NONE => self.join_succeeded(now, response),
            _ => match verdict(code) {
                Verdict::FindCoordinator => self.coordinator_moved(now),
                Verdict::RejoinAnew | Verdict::RejoinLost => {
                    self.lose_membership(code, "JoinGroup");
                    self.pause(now);
                }
                Verdict::Retry | Verdict::Rejoin => self.pause(now),
                Verdict::Refused if code.is_retriable() || code == ErrorCode::UNKNOWN_SERVER_ERROR => self.pause(now),
                _ => self.fail(self.fatal(code, "JoinGroup")),
            },
        }
    }

    fn join_succeeded(&mut self, now: Instant, response: JoinGroupResponse) {
        let protocol_type = response.protocol_type.as_ref().map_or(PROTOCOL_TYPE, Str::as_str);
        let protocol = response.protocol_name.as_ref().map_or("", Str::as_str);
        if protocol_type != PROTOCOL_TYPE || !self.config.assignors.iter().any(|assignor| assignor.name() == protocol) {
            let (protocol_type, protocol) = (Untrusted(protocol_type), Untrusted(protocol));
            let message = format!(
                "group {:?} is of type {protocol_type:?} and uses {protocol:?}, this member is of type {PROTOCOL_TYPE:?} and offers {}",
                self.config.group_id,
                self.config.offered()
            );
            return self
                .fail(Error::from_code(ErrorCode::INCONSISTENT_GROUP_PROTOCOL, message).with_api("JoinGroup").with_fatal(true));
        }
        self.retry_at = None;
        self.protocol = protocol.to_owned();
        self.member_id = response.member_id.as_str().to_owned();
        self.generation = Some(response.generation_id);
        self.heartbeat_at = now + self.config.heartbeat_interval;
        tracing::debug!(group = %self.config.group_id, generation = response.generation_id, member = %self.member_id, "joined");
        if response.leader == response.member_id {
            self.state = State::Leading { asked: None, joined: response };
        } else {
            self.send_sync(Vec::new());
        }
    }

    pub(super) fn topics_listed(&mut self, now: Instant, result: Result<Response>) {
        let State::Leading { joined, .. } = &self.state else { return };
        let topics = match result {
            Ok(Response::Topics(topics)) => topics,
            Ok(_) => return,
            Err(error) if is_hopeless(&error) => return self.fail(error),
            Err(_) => return self.pause(now),
        };
        let members = leading::read_members(&joined.members);
        let assignor = self.config.assignors.iter().find(|assignor| assignor.name() == self.protocol).cloned();
        let skip = joined.skip_assignment;
        // Topics that are not there yet count as well: the group must notice when they come.
        let wanted = members.values().flat_map(|member| member.topics.iter().cloned()).filter(|topic| topic.invalid().is_none());
        let partitions = wanted.map(|topic| (topic.clone(), topics.get(&topic).copied().unwrap_or(0))).collect();
        match assignor.filter(|_| !skip) {
            Some(assignor) => {
                let ticket = self.ticket();
                self.state = State::Assigning { asked: ticket, partitions };
                self.actions.push_back(Action::Assign { ticket, assignor, topics, members });
            }
            // KIP-814: a static member that came back leads, but its group goes on with the assignment that it has.
            None => {
                self.watched = Some(partitions);
                self.send_sync(Vec::new());
            }
        }
    }

    pub(super) fn assigned(&mut self, result: Result<Response>) {
        let State::Assigning { partitions, .. } = &mut self.state else { return };
        match result {
            Ok(Response::Assigned(assignments)) => {
                self.watched = Some(std::mem::take(partitions));
                self.send_sync(assignments);
            }
            Ok(_) => {}
            Err(error) => self.fail(error),
        }
    }

    fn send_sync(&mut self, assignments: Vec<SyncGroupRequestAssignment>) {
        let Some(generation) = self.generation else { return };
        let request = SyncGroupRequest {
            group_id: self.group_id(),
            generation_id: generation,
            member_id: text(&self.member_id),
            group_instance_id: self.instance_id(),
            protocol_type: Some(text(PROTOCOL_TYPE)),
            protocol_name: Some(text(&self.protocol)),
            assignments,
        };
        let sent = self.send(Request::Sync(request), self.config.request_timeout);
        self.state = State::Syncing { sent, generation };
    }

    pub(super) fn synced(&mut self, now: Instant, generation: i32, result: Result<Response>) {
        let response = match result {
            Ok(Response::Sync(response)) => response,
            Ok(_) => return,
            Err(error) => {
                self.state = State::Joining { sent: None };
                return self.join_again(now, error);
            }
        };
        let code = response.error_code;
        self.state = State::Joining { sent: None };
        match verdict(code) {
            Verdict::Fine => self.sync_succeeded(now, generation, &response),
            // These are part of a group's life, and joining again at once is right; but not for ever.
            Verdict::Rejoin => {
                self.rejoin = Some("the group rebalanced again before it was complete".into());
                self.retry_at = self.backoff.pause_but_first().map(|pause| now + pause);
            }
            Verdict::RejoinAnew | Verdict::RejoinLost => {
                self.lose_membership(code, "SyncGroup");
                self.retry_at = self.backoff.pause_but_first().map(|pause| now + pause);
            }
            Verdict::FindCoordinator => self.coordinator_moved(now),
            Verdict::Retry => self.pause(now),
            Verdict::Refused if code.is_retriable() || code == ErrorCode::UNKNOWN_SERVER_ERROR => self.pause(now),
            _ => self.fail(self.fatal(code, "SyncGroup")),
        }
    }

    fn sync_succeeded(&mut self, now: Instant, generation: i32, response: &SyncGroupResponse) {
        if let Some(other) = response.protocol_name.as_ref().map(Str::as_str).filter(|&name| name != self.protocol) {
            let (other, own) = (Untrusted(other), Untrusted(&self.protocol));
            let message = format!("group {:?} synced with {other:?} after it joined with {own:?}", self.config.group_id);
            return self.fail(Error::from_code(ErrorCode::INCONSISTENT_GROUP_PROTOCOL, message).with_api("SyncGroup"));
        }
        let assigned = match leading::read_assignment(&response.assignment) {
            Ok(assigned) => assigned,
            Err(error) => return self.fail(error),
        };
        if let Some(stranger) = assigned.iter().find(|partition| !self.joined_topics.contains(&partition.topic)) {
            // The leader did not know our subscription yet, or is wrong; the next round will tell.
            self.rejoin = Some(format!("{} was assigned to a member that does not subscribe to it", stranger.topic));
            return self.pause(now);
        }
        let given: BTreeSet<_> = self.owned.difference(&assigned).cloned().collect();
        let added: Vec<_> = assigned.difference(&self.owned).cloned().collect();
        tracing::info!(group = %self.config.group_id, generation, owned = assigned.len(), added = added.len(), gone = given.len(), "synced");
        // Only now: an answer to a join alone is no success while every sync fails.
        self.backoff.reset();
        self.heartbeat_at = now + self.config.heartbeat_interval;
        self.owned.extend(added.iter().cloned());
        self.reads.want(added);
        self.unannounced = true;
        self.state = State::Stable;
        if !given.is_empty() {
            self.rejoin = Some("partitions were given away for others to take".into());
            let ticket = self.ticket();
            let (until, told) = self.begin_giving(now, ticket, &given);
            self.state = State::Releasing { ticket, until, given };
            if !told {
                self.prepared(None);
            }
        }
    }

    /// Tells the consumer of its new partitions once it is known where the group stands in them.
    pub(super) fn announce(&mut self) {
        if !self.unannounced {
            return;
        }
        // With an eager assignor, what was not told yet is given away without a word when the next rebalance begins.
        let settled = self.cooperative || matches!(self.state, State::Stable);
        let Some(generation) = self.generation.filter(|_| settled) else { return };
        let Some(added) = self.reads.take_complete() else { return };
        self.unannounced = false;
        self.announced.extend(added.iter().map(|(partition, _)| partition.clone()));
        self.event(Event::Assigned { generation, added });
    }
}
