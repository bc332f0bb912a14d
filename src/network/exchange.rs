//! A connection's core and the source of its requests: what a turn of a connection does beside moving bytes and connecting.
//!
//! The driver's task and the simulator's lines both hold one, so that neither decides anything by itself.

use std::task::{Context, Poll};
use std::time::Instant;

use crate::network::connection::{Core, Event};
use crate::network::setup::Work;
use crate::network::{Cause, RequestSource};

/// See the module.
#[derive(Debug)]
pub(in crate::network) struct Exchange<S> {
    pub(in crate::network) core: Core,
    pub(in crate::network) source: S,
    /// Has the source said that there will be no more requests?
    is_drained: bool,
}

/// What the owner of the transport is told beside what the source is.
#[derive(Debug)]
pub(in crate::network) enum Notice {
    /// Set-up is through.
    Ready,
    /// The set-up steps were run again.
    Renewed,
    /// To be done elsewhere, for the present connection.
    Work(Work),
    /// An attempt to connect failed.
    Unconnected(Cause),
    /// The broker wants nothing for so long.
    Throttled(std::time::Duration),
}

impl<S: RequestSource> Exchange<S> {
    pub(in crate::network) fn new(core: Core, source: S) -> Self {
        Self { core, source, is_drained: false }
    }

    /// Fires what is due. Then come the notices.
    pub(in crate::network) fn handle_timeout(&mut self, now: Instant) {
        self.core.handle_timeout(now);
        if self.source.next_timeout().is_some_and(|at| at <= now) {
            self.source.handle_timeout(now);
            // Who waited for the connection has given up: no reason to hold on to a peer that lets the set-up hang.
            if self.core.is_setting_up() && !self.source.wants_connection() {
                self.core.abandon(now);
            }
        }
    }

    /// Begins to connect if the source wants it and the core's pause is over.
    pub(in crate::network) fn begin_connecting(&mut self, now: Instant) -> bool {
        let begins =
            !self.core.has_transport() && !self.is_drained && self.core.retry_at(now).is_none() && self.source.wants_connection();
        if begins {
            self.core.handle_connecting(now);
        }
        begins
    }

    /// Takes requests while there is room.
    pub(in crate::network) fn pull(&mut self, cx: &mut Context<'_>, now: Instant) -> bool {
        let mut moved = false;
        while !self.is_drained && self.core.has_room(now) {
            let Some(versions) = self.core.versions() else { break };
            match self.source.poll_request(cx, now, versions) {
                Poll::Pending => break,
                Poll::Ready(None) => self.is_drained = true,
                Poll::Ready(Some(request)) => self.core.send(now, request),
            }
            moved = true;
        }
        moved
    }

    /// Hands the source what the core has to say, and gives what is somebody else's. Call until `None`.
    pub(in crate::network) fn poll_notice(&mut self, now: Instant) -> Option<Notice> {
        loop {
            match self.core.poll()? {
                Event::Written(ticket) => self.source.handle_written(now, ticket),
                Event::Answered(ticket, result) => {
                    self.source.handle_response(now, ticket, result);
                    let feedback = self.source.feedback();
                    if let Some(pause) = feedback.throttle {
                        self.core.handle_throttle(now, pause);
                    }
                    if let Some(cause) = feedback.broken {
                        self.core.handle_broken(now, &cause);
                    }
                }
                Event::Ready => return Some(Notice::Ready),
                Event::Renewed => return Some(Notice::Renewed),
                Event::Work(work) => return Some(Notice::Work(work)),
                Event::Unconnected(cause) => {
                    self.source.handle_unconnected(now, &cause);
                    return Some(Notice::Unconnected(cause));
                }
                Event::Throttled(pause) => {
                    self.source.handle_throttled(now, pause);
                    return Some(Notice::Throttled(pause));
                }
            }
        }
    }

    /// Is the source through, and everything answered?
    pub(in crate::network) fn is_done(&self) -> bool {
        self.is_drained && !self.core.has_in_flight()
    }

    /// When a turn is due although nothing happened.
    pub(in crate::network) fn next_timeout(&mut self, now: Instant) -> Option<Instant> {
        // A deadline of the source that is over has had its turn: it waits for something else.
        let source = self.source.next_timeout().filter(|at| *at > now);
        let retry = self.core.retry_at(now).filter(|_| !self.core.has_transport() && self.source.wants_connection());
        [self.core.next_timeout(), source, retry].into_iter().flatten().min()
    }
}
