//! Heartbeats: when they go out, what their answers mean, and who asked for one by hand.
//!
//! A part of [`Classic`]. A heartbeat that a handler asks for is the background's next one, sent at once; whoever waits for it is told
//! where the membership stands once it is answered, or is over.

use std::time::Instant;

use super::classic::{Classic, Coordinator, State};
use super::leading::text;
use super::{Event, Heartbeat, Membership, Request, Response, Ticket, Verdict, is_hopeless, verdict};
use crate::Result;
use crate::protocol::messages::heartbeat::HeartbeatRequest;

impl Classic {
    /// Where the membership stands.
    pub(crate) fn membership(&self) -> Membership {
        match self.state {
            State::Unjoined | State::Stale | State::Leaving { .. } | State::Ended => Membership::NotMember,
            _ if self.generation.is_none() => Membership::NotMember,
            State::Stable if self.rejoin.is_none() && self.topics == self.joined_topics => Membership::Stable,
            _ => Membership::Rebalancing,
        }
    }

    pub(super) fn heartbeat_wanted(&mut self, now: Instant, id: Ticket, when: Heartbeat) {
        let due = when == Heartbeat::Now || now >= self.heartbeat_at || self.heartbeat.is_some();
        if !self.beats() || !due {
            let membership = self.membership();
            return self.event(Event::HeartbeatAnswered { id, membership });
        }
        self.heartbeat_waiters.push(id);
        if self.heartbeat.is_none() {
            self.heartbeat_at = now;
        }
    }

    pub(super) fn answer_heartbeat_waiters(&mut self) {
        let membership = self.membership();
        for id in std::mem::take(&mut self.heartbeat_waiters) {
            self.event(Event::HeartbeatAnswered { id, membership });
        }
    }

    pub(super) fn send_heartbeat(&mut self, now: Instant) {
        let Some(generation_id) = self.generation else { return };
        let request = HeartbeatRequest {
            group_id: self.group_id(),
            generation_id,
            member_id: text(&self.member_id),
            group_instance_id: self.instance_id(),
        };
        // Early enough for another one, on a new connection, before the session is over.
        let timeout = self.config.request_timeout.min(self.config.session_timeout / 2);
        let ticket = self.send(Request::Heartbeat(request), timeout);
        self.heartbeat = Some((ticket, generation_id));
        self.heartbeat_at = now + self.config.heartbeat_interval;
    }

    pub(super) fn heartbeat_answered(&mut self, now: Instant, result: Result<Response>) {
        let Some((_, generation)) = self.heartbeat.take() else { return };
        let is_current = self.generation == Some(generation) && self.beats();
        let code = match result {
            Ok(Response::Heartbeat(code)) => code,
            Ok(_) => return,
            Err(error) if is_hopeless(&error) => return self.fail(error),
            Err(_) => {
                self.heartbeat_at = now;
                return self.coordinator_moved(now);
            }
        };
        match verdict(code) {
            Verdict::Fine => {
                self.backoff.reset();
            }
            Verdict::FindCoordinator => {
                // Repeated at once when the coordinator is found: the session is running.
                self.heartbeat_at = now;
                return self.coordinator_moved(now);
            }
            _ if !is_current => {}
            Verdict::Rejoin => {
                if matches!(self.state, State::Stable) {
                    self.rejoin.get_or_insert_with(|| "the group is rebalancing".into());
                }
            }
            Verdict::RejoinAnew | Verdict::RejoinLost => {
                self.lose_membership(code, "Heartbeat");
                self.state = State::Joining { sent: None };
            }
            Verdict::Fatal => self.fail(self.fatal(code, "Heartbeat")),
            Verdict::Retry | Verdict::Refused => tracing::warn!(group = %self.config.group_id, %code, "heartbeat refused"),
        }
        self.answer_heartbeat_waiters();
    }

    /// Must the session be kept alive?
    pub(super) fn beats(&self) -> bool {
        use State::{Assigning, Leading, Preparing, Releasing, Stable};
        let beats = matches!(self.state, Stable | Preparing { .. } | Releasing { .. } | Leading { .. } | Assigning { .. });
        self.generation.is_some() && beats
    }

    /// When the next heartbeat is due, if one can be sent.
    pub(super) fn next_heartbeat(&self) -> Option<Instant> {
        let free = self.beats() && self.coordinator == Coordinator::Known && self.heartbeat.is_none();
        free.then_some(self.heartbeat_at)
    }
}
