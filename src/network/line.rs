//! Connections without sockets, tasks or clock, for the simulator: it carries their bytes, and says what the time is.
//!
//! A [`Lines`] holds all connections of one client, each a core with its source, as a driver's task does. After each input
//! [`Lines::turn`] lets them do what there is to do; what the world is to do then comes out of [`Lines::poll`]. A connection is named by
//! its line and its number, so that what arrives late for one that is gone is left out.

use std::collections::{BTreeMap, VecDeque};
use std::io::IoSlice;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use crate::network::connection::Core;
use crate::network::exchange::{Exchange, Notice};
use crate::network::{
    ApiVersions, Cause, CauseKind, ConnectionConfig, Failure, Feedback, Outgoing, RequestSource, ResponseBody, Target,
};

/// Bytes offered to the transport at once.
const MOST: usize = 64 << 10;

/// A connection of a line: the line's number and which of its successive connections it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct End {
    /// The line.
    pub line: u64,
    /// Its connection.
    pub connection: u64,
}

/// What the world is to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wish {
    /// Connect: [`Lines::connected`] or [`Lines::refused`] says what came of it.
    Connect(End, String, u16),
    /// Carry these bytes.
    Write(End, Vec<u8>),
    /// The client closed, or gave up connecting.
    Drop(End),
}

/// The connections of one client.
#[derive(Debug, Default)]
pub struct Lines {
    lines: BTreeMap<u64, Line>,
    next: u64,
    wishes: VecDeque<Wish>,
    /// How often a core in this state met this event.
    seen: BTreeMap<(&'static str, &'static str), u64>,
}

#[derive(Debug)]
struct Line {
    exchange: Exchange<Box<dyn RequestSource>>,
    target: Target,
    /// The connection that the world knows of.
    told: Option<u64>,
    is_open: bool,
    /// Bytes that the transport takes now.
    room: usize,
    closing: bool,
}

impl Lines {
    /// A line that connects when `source` wants it.
    pub(crate) fn add(&mut self, target: Target, config: ConnectionConfig, source: Box<dyn RequestSource>) -> u64 {
        self.next += 1;
        let exchange = Exchange::new(Core::new(config, &target), source);
        self.lines.insert(self.next, Line { exchange, target, told: None, is_open: false, room: 0, closing: false });
        self.next
    }

    /// Closes a line for good; what waits or is in flight fails.
    pub(crate) fn close(&mut self, line: u64) {
        if let Some(line) = self.lines.get_mut(&line) {
            line.closing = true;
        }
    }

    /// The broker's address is another now.
    pub(crate) fn retarget(&mut self, line: u64, target: Target) {
        let Some(line) = self.lines.get_mut(&line) else { return };
        if line.target != target {
            let text = format!("{} moved to {target}: the connection was closed", line.target);
            line.exchange.core.close(&Cause::new(CauseKind::Disconnected, text));
            line.exchange.core.set_target(&target);
            line.target = target;
        }
    }

    /// An answer that came on this connection could not be decoded.
    pub(crate) fn condemn(&mut self, now: Instant, end: End, cause: &Cause) {
        if let Some(line) = self.lines.get_mut(&end.line)
            && line.exchange.core.connection() == end.connection
        {
            line.exchange.core.handle_broken(now, cause);
        }
    }

    /// The connection is made; it takes `room` bytes until [`taken`](Self::taken) says that it takes more.
    pub fn connected(&mut self, now: Instant, end: End, room: usize) {
        if let Some(line) = self.met(end, "connected") {
            (line.is_open, line.room) = (true, room);
            line.exchange.core.handle_connected(now);
        }
    }

    /// The connection was refused.
    pub fn refused(&mut self, now: Instant, end: End, reason: &str) {
        if let Some(line) = self.met(end, "refused") {
            line.told = None;
            line.exchange.core.handle_connect_failed(now, reason);
        }
    }

    /// Bytes came.
    pub fn received(&mut self, now: Instant, end: End, bytes: &[u8]) {
        if let Some(line) = self.met(end, "read").filter(|line| line.is_open) {
            line.exchange.core.read_buffer().extend_from_slice(bytes);
            line.exchange.core.handle_read(now);
        }
    }

    /// The transport takes so many bytes more.
    pub fn taken(&mut self, end: End, bytes: usize) {
        if let Some(line) = self.met(end, "room") {
            line.room += bytes;
        }
    }

    /// The other side closed, or the connection broke.
    pub fn closed(&mut self, now: Instant, end: End, reason: Option<&str>) {
        if let Some(line) = self.met(end, if reason.is_some() { "broke" } else { "closed" }) {
            line.told = None;
            line.exchange.core.handle_closed(now, reason);
        }
    }

    /// The line, if this is its connection and the client has not closed it.
    fn met(&mut self, end: End, event: &'static str) -> Option<&mut Line> {
        let line = self.lines.get_mut(&end.line).filter(|line| line.told == Some(end.connection))?;
        if !line.exchange.core.has_transport() || line.exchange.core.connection() != end.connection {
            return None;
        }
        *self.seen.entry((line.exchange.core.state_name(), event)).or_default() += 1;
        Some(line)
    }

    /// Lets every line do what there is to do. True if something moved.
    pub(crate) fn turn(&mut self, now: Instant) -> bool {
        let mut moved = false;
        for (number, line) in &mut self.lines {
            while line.turn(now, *number, &mut self.wishes, &mut self.seen) {
                moved = true;
            }
        }
        self.lines.retain(|_, line| !line.closing);
        moved
    }

    /// What the world is to do next. Call until `None` after each input.
    pub fn poll(&mut self) -> Option<Wish> {
        self.wishes.pop_front()
    }

    /// When a turn is due although nothing happened.
    pub(crate) fn next_timeout(&mut self, now: Instant) -> Option<Instant> {
        self.lines.values_mut().filter_map(|line| line.exchange.next_timeout(now)).min()
    }

    /// How often a connection core in this state met this event.
    pub fn seen(&self) -> impl Iterator<Item = (&'static str, &'static str, u64)> + '_ {
        self.seen.iter().map(|((state, event), count)| (*state, *event, *count))
    }
}

impl Line {
    fn turn(
        &mut self,
        now: Instant,
        number: u64,
        wishes: &mut VecDeque<Wish>,
        seen: &mut BTreeMap<(&'static str, &'static str), u64>,
    ) -> bool {
        let mut moved = false;
        let core = &mut self.exchange.core;
        if self.closing {
            core.close(&Cause::new(CauseKind::Closed, format!("the connection to {} was closed by this client", self.target)));
        } else {
            if core.next_timeout().is_some_and(|at| at <= now) {
                *seen.entry((core.state_name(), "timeout")).or_default() += 1;
            }
            self.exchange.handle_timeout(now);
        }
        moved |= self.notices(now, seen);
        if !self.closing && self.exchange.begin_connecting(now) {
            // The one before is gone already, whatever the world has yet to hear.
            self.dropped(number, wishes);
            let connection = self.exchange.core.connection();
            self.told = Some(connection);
            let end = End { line: number, connection };
            wishes.push_back(Wish::Connect(end, self.target.host.clone(), self.target.port));
            *seen.entry(("disconnected", "connecting")).or_default() += 1;
            moved = true;
        }
        if self.exchange.pull(&mut Context::from_waker(Waker::noop()), now) {
            *seen.entry((self.exchange.core.state_name(), "sent")).or_default() += 1;
            moved = true;
        }
        moved |= self.write(now, number, wishes, seen);
        moved |= self.notices(now, seen);
        if !self.exchange.core.has_transport() {
            self.dropped(number, wishes);
        }
        moved && !self.closing
    }

    fn notices(&mut self, now: Instant, seen: &mut BTreeMap<(&'static str, &'static str), u64>) -> bool {
        let mut moved = false;
        while let Some(notice) = self.exchange.poll_notice(now) {
            moved = true;
            let what = match notice {
                Notice::Ready => "now ready",
                Notice::Renewed => "renewed",
                Notice::Work(work) => {
                    let connection = self.exchange.core.connection();
                    self.exchange.core.handle_work(now, connection, Some(work.run()));
                    "work"
                }
                Notice::Unconnected(_) => "unconnected",
                Notice::Throttled(_) => "throttled",
            };
            *seen.entry((self.exchange.core.state_name(), what)).or_default() += 1;
        }
        moved
    }

    fn write(
        &mut self,
        now: Instant,
        number: u64,
        wishes: &mut VecDeque<Wish>,
        seen: &mut BTreeMap<(&'static str, &'static str), u64>,
    ) -> bool {
        let mut moved = false;
        while self.is_open && self.room > 0 && self.exchange.core.has_transport() && self.exchange.core.has_output() {
            let mut slices = [IoSlice::new(&[]); 64];
            let count = self.exchange.core.slices(&mut slices);
            let most = self.room.min(MOST);
            let mut bytes = Vec::new();
            for slice in slices.iter().take(count) {
                let left = most - bytes.len();
                bytes.extend(slice.iter().take(left));
            }
            if bytes.is_empty() {
                break;
            }
            self.room -= bytes.len();
            *seen.entry((self.exchange.core.state_name(), "written")).or_default() += 1;
            self.exchange.core.handle_written(now, bytes.len());
            let end = End { line: number, connection: self.exchange.core.connection() };
            wishes.push_back(Wish::Write(end, bytes));
            // Before anything else happens: what was written may be frozen by this.
            self.notices(now, seen);
            moved = true;
        }
        moved
    }

    /// Tells the world that the connection it knows of is no more.
    fn dropped(&mut self, number: u64, wishes: &mut VecDeque<Wish>) {
        self.is_open = false;
        if let Some(connection) = self.told.take() {
            wishes.push_back(Wish::Drop(End { line: number, connection }));
        }
    }
}

impl RequestSource for Box<dyn RequestSource> {
    fn poll_request(&mut self, cx: &mut Context<'_>, now: Instant, versions: &ApiVersions) -> Poll<Option<Outgoing>> {
        (**self).poll_request(cx, now, versions)
    }

    fn handle_written(&mut self, now: Instant, ticket: u64) {
        (**self).handle_written(now, ticket);
    }

    fn handle_response(&mut self, now: Instant, ticket: u64, result: Result<ResponseBody, Failure>) {
        (**self).handle_response(now, ticket, result);
    }

    fn feedback(&mut self) -> Feedback {
        (**self).feedback()
    }

    fn handle_wake(&mut self) {
        (**self).handle_wake();
    }

    fn handle_unconnected(&mut self, now: Instant, cause: &Cause) {
        (**self).handle_unconnected(now, cause);
    }

    fn handle_throttled(&mut self, now: Instant, pause: Duration) {
        (**self).handle_throttled(now, pause);
    }

    fn next_timeout(&self) -> Option<Instant> {
        (**self).next_timeout()
    }

    fn handle_timeout(&mut self, now: Instant) {
        (**self).handle_timeout(now);
    }

    fn wants_connection(&mut self) -> bool {
        (**self).wants_connection()
    }
}

impl std::fmt::Debug for Box<dyn RequestSource> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Source(..)")
    }
}
