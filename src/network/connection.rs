//! The core of a connection: what is sent, in flight and due, without a socket or a clock.
//!
//! ```text
//!              handle_connecting          handle_connected             last step done
//! Disconnected ────────────────▶ Connecting ──────────▶ SettingUp ───────────────────▶ Ready
//!      ▲                              │ refused, too slow    │ refused, too slow, closed   │ closed, request too slow,
//!      └──────────────────────────────┴──────────────────────┴─────────────────────────────┘ nonsense read, idle
//! ```
//!
//! One core lives through all connections of its owner, so it also paces them: pauses and set-up times double with each failure in a
//! row (KIP-601). The driver feeds bytes in ([`Core::read_buffer`], [`Core::handle_read`]), takes bytes out ([`Core::slices`],
//! [`Core::handle_written`]) and, after each input, all of [`Core::poll`]. When [`Core::has_transport`] says no, it drops the transport.
//!
//! Invariants:
//! - Each ticket sent is answered exactly once, also when the connection breaks. `Written::No` only if none of its bytes was taken.
//! - Answers come in the order of requests; one that does not match the oldest request ends the connection.
//! - A request that is not answered in its time ends the connection: a late answer has nowhere to arrive.
//! - No request follows a throttled answer before its time is over; what is in flight gets that much longer (KIP-219).

use std::collections::VecDeque;
use std::io::IoSlice;
use std::time::{Duration, Instant};

use bytes::{Buf, Bytes, BytesMut};

use crate::network::handshake::{Handshake, Progress};
use crate::network::throttle::{MAX_THROTTLE, throttle_of};
use crate::network::{ApiVersions, Cause, CauseKind, ConnectionConfig, Failure, Outgoing, ResponseBody, Target, Written};
use crate::protocol::frame::Frames;
use crate::protocol::{ApiKey, Str, header};

/// The longest frame while the broker's versions are not known and it has not accepted us.
const MAX_SETUP_FRAME: usize = 512 << 10;

/// What the owner is to be told.
#[derive(Debug)]
pub(crate) enum Event {
    /// The first byte of a request was taken.
    Written(u64),
    /// A request is answered, or will not be.
    Answered(u64, Result<ResponseBody, Failure>),
    /// Set-up is through.
    Ready,
    /// An attempt to connect and set up failed.
    Unconnected(Cause),
    /// The broker wants nothing for this much longer.
    Throttled(Duration),
}

/// See the picture above.
#[derive(Debug)]
enum State {
    Disconnected,
    Connecting { since: Instant, deadline: Instant },
    SettingUp { since: Instant, deadline: Instant, handshake: Box<Handshake> },
    Ready { versions: ApiVersions, answered: bool },
}

/// A request sent, or being sent.
#[derive(Debug)]
struct InFlight {
    /// `None`: a request of the set-up.
    ticket: Option<u64>,
    api: ApiKey,
    version: i16,
    flexible: bool,
    correlation_id: i32,
    sent: Instant,
    deadline: Instant,
    expects_response: bool,
    expected_len: usize,
    /// Where in the stream of all bytes queued it begins and ends.
    span: (u64, u64),
    started: bool,
}

/// The core.
#[derive(Debug)]
pub(crate) struct Core {
    config: ConnectionConfig,
    client_id: Option<Str>,
    /// Where it connects to, for texts.
    target: String,
    state: State,
    frames: Frames,
    /// Not yet taken by the transport.
    output: VecDeque<Bytes>,
    /// Bytes ever put into `output`, and ever taken.
    queued: u64,
    taken: u64,
    in_flight: VecDeque<InFlight>,
    next_correlation_id: i32,
    throttled_until: Option<Instant>,
    /// When it was last ready or used; for idle close.
    last_use: Option<Instant>,
    events: VecDeque<Event>,
    /// Number of the present connection.
    connection: u64,
    /// Failures to connect in a row, or of connections that answered nothing.
    failures: u32,
    retry_at: Option<Instant>,
    last_cause: Option<Cause>,
    /// Connections in a row that the broker closed instead of answering ApiVersions.
    resets: u32,
    random: u64,
}

impl Core {
    /// A core that is not connected.
    pub(crate) fn new(config: ConnectionConfig, target: &Target) -> Self {
        let client_id = config.client_id.as_deref().and_then(|id| Str::new(id.to_owned()));
        Self {
            client_id,
            target: target.to_string(),
            state: State::Disconnected,
            frames: Frames::new(MAX_SETUP_FRAME),
            output: VecDeque::new(),
            queued: 0,
            taken: 0,
            in_flight: VecDeque::new(),
            next_correlation_id: 0,
            throttled_until: None,
            last_use: None,
            events: VecDeque::new(),
            connection: 0,
            failures: 0,
            retry_at: None,
            last_cause: None,
            resets: 0,
            random: config.seed,
            config,
        }
    }

    // ---- connecting ----

    /// Should the driver hold a transport, or be connecting one?
    pub(crate) fn has_transport(&self) -> bool {
        !matches!(self.state, State::Disconnected)
    }

    /// Is it between the start of connecting and ready?
    pub(crate) fn is_setting_up(&self) -> bool {
        matches!(self.state, State::Connecting { .. } | State::SettingUp { .. })
    }

    /// What the broker serves, once set up.
    pub(crate) fn versions(&self) -> Option<&ApiVersions> {
        match &self.state {
            State::Ready { versions, .. } => Some(versions),
            _ => None,
        }
    }

    /// Number of the present connection.
    pub(crate) fn connection(&self) -> u64 {
        self.connection
    }

    /// Why there is no connection, as far as is known.
    pub(crate) fn last_cause(&self) -> Option<&Cause> {
        self.last_cause.as_ref()
    }

    /// When the next attempt to connect may start; `None` for at once.
    pub(crate) fn retry_at(&self, now: Instant) -> Option<Instant> {
        self.retry_at.filter(|at| *at > now)
    }

    /// The driver begins to connect.
    pub(crate) fn handle_connecting(&mut self, now: Instant) {
        debug_assert!(!self.has_transport(), "connects only when disconnected");
        let longest = self.config.setup_timeout_max.max(self.config.setup_timeout);
        let timeout = doubled(self.config.setup_timeout, self.failures, longest);
        self.connection += 1;
        self.retry_at = None;
        let deadline = now + self.spread(timeout);
        self.state = State::Connecting { since: now, deadline };
    }

    /// The transport is there: set-up begins.
    pub(crate) fn handle_connected(&mut self, now: Instant) {
        let State::Connecting { since, deadline } = self.state else { return };
        self.frames = Frames::new(MAX_SETUP_FRAME);
        let (handshake, first) = Handshake::start(&self.config, self.resets >= 2);
        self.state = State::SettingUp { since, deadline, handshake: Box::new(handshake) };
        self.advance(now, first);
    }

    /// The transport could not be made.
    pub(crate) fn handle_connect_failed(&mut self, now: Instant, reason: &str) {
        let text = format!(
            "cannot connect to {}: {reason}; check that a broker listens there and that its advertised address is right",
            self.target
        );
        self.fail(now, &Cause::new(CauseKind::Connect, text));
    }

    /// Nobody wants the connection that is being set up any more.
    pub(crate) fn abandon(&mut self, now: Instant) {
        if self.is_setting_up() {
            let cause = self.setup_timeout(now);
            self.fail(now, &cause);
        }
    }

    /// The owner closes it, or its address changed; not a failure that asks for a pause.
    pub(crate) fn close(&mut self, cause: &Cause) {
        self.disconnect(|_| cause.clone());
        (self.failures, self.retry_at, self.resets) = (0, None, 0);
    }

    /// The next connections go elsewhere.
    pub(crate) fn set_target(&mut self, target: &Target) {
        self.target = target.to_string();
        self.last_cause = None;
    }

    // ---- sending ----

    /// Can a request be sent now?
    pub(crate) fn has_room(&self, now: Instant) -> bool {
        matches!(self.state, State::Ready { .. })
            && self.in_flight.len() < self.config.max_in_flight
            && self.throttled_until.is_none_or(|until| until <= now)
    }

    /// Is anything sent and not answered?
    pub(crate) fn has_in_flight(&self) -> bool {
        !self.in_flight.is_empty()
    }

    /// Sends a request; ask [`has_room`](Self::has_room) before.
    pub(crate) fn send(&mut self, now: Instant, request: Outgoing) {
        debug_assert!(self.has_room(now), "sent without room");
        self.last_use = Some(now);
        let deadline = later(now, request.timeout);
        self.queue(now, deadline, Some(request.ticket), request);
    }

    /// Puts header and body into the output, and the request in flight; one of the set-up has no ticket.
    fn queue(&mut self, now: Instant, deadline: Instant, ticket: Option<u64>, request: Outgoing) {
        let Outgoing { api, version, body, expects_response, expected_len, .. } = request;
        let flexible = api.api().is_some_and(|api| (api.is_flexible)(version));
        let correlation_id = self.next_correlation_id;
        let len = body.iter().map(Bytes::len).sum();
        let head = match header::encode_request_head(api, version, flexible, correlation_id, self.client_id.as_ref(), len) {
            Ok(head) => head,
            Err(error) => {
                let cause = Cause::new(CauseKind::Encode, format!("{api} cannot be sent: {error}")).at(&self.target);
                match ticket {
                    Some(ticket) => self.events.push_back(Event::Answered(ticket, Err(Failure::unwritten(cause)))),
                    None => self.fail(now, &cause),
                }
                return;
            }
        };
        self.next_correlation_id = correlation_id.checked_add(1).unwrap_or(0);
        let start = self.queued;
        for bytes in std::iter::once(head).chain(body) {
            if !bytes.is_empty() {
                self.queued += bytes.len() as u64;
                self.output.push_back(bytes);
            }
        }
        self.in_flight.push_back(InFlight {
            ticket,
            api,
            version,
            flexible,
            correlation_id,
            sent: now,
            deadline,
            expects_response,
            expected_len,
            span: (start, self.queued),
            started: false,
        });
        self.trust_next();
    }

    /// Says how long the next answer may be by what its request allowed.
    fn trust_next(&mut self) {
        let next = self.in_flight.iter().find(|request| request.expects_response);
        let allowed = next.map_or(0, |request| request.expected_len).min(self.config.max_frame);
        self.frames.set_trusted(allowed);
    }

    /// Is there something to write?
    pub(crate) fn has_output(&self) -> bool {
        !self.output.is_empty()
    }

    /// What to write next, in as many of `slices` as there is something for; says how many.
    pub(crate) fn slices<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        let mut count = 0;
        for (slice, bytes) in slices.iter_mut().zip(&self.output) {
            *slice = IoSlice::new(bytes);
            count += 1;
        }
        count
    }

    /// The transport took `count` bytes.
    pub(crate) fn handle_written(&mut self, now: Instant, count: usize) {
        self.last_use = Some(now);
        self.taken += count as u64;
        debug_assert!(self.taken <= self.queued, "more was taken than there was");
        let mut left = count;
        while left > 0 {
            let Some(front) = self.output.front_mut() else { break };
            let step = left.min(front.len());
            front.advance(step);
            left -= step;
            if front.is_empty() {
                self.output.pop_front();
            }
        }
        let (taken, connection) = (self.taken, self.connection);
        let events = &mut self.events;
        self.in_flight.retain_mut(|request| {
            let Some(ticket) = request.ticket else { return true };
            if !request.started && request.span.0 < taken {
                request.started = true;
                events.push_back(Event::Written(ticket));
            }
            let done = !request.expects_response && request.span.1 <= taken;
            if done {
                let body = ResponseBody { api: request.api, version: request.version, body: Bytes::new(), connection };
                events.push_back(Event::Answered(ticket, Ok(body)));
            }
            !done
        });
    }

    // ---- receiving ----

    /// Where to append what is read.
    pub(crate) fn read_buffer(&mut self) -> &mut BytesMut {
        self.frames.read_buffer()
    }

    /// Bytes were appended to the read buffer.
    pub(crate) fn handle_read(&mut self, now: Instant) {
        while self.has_transport() {
            match self.frames.next_frame() {
                Ok(Some(frame)) => self.handle_frame(now, &frame),
                Ok(None) => return,
                Err(error) => {
                    let text = format!("what {} sent is not Kafka's protocol: {error}", self.target);
                    self.fail(now, &Cause::new(CauseKind::Protocol, text));
                }
            }
        }
    }

    /// A whole frame, without its length.
    fn handle_frame(&mut self, now: Instant, frame: &Bytes) {
        let at = self.in_flight.iter().position(|request| request.expects_response && request.span.1 <= self.taken);
        // Requests that expect no answer are passed over; one that is not all written cannot have one, nor what follows it.
        let request = at.and_then(|at| self.in_flight.get(at).map(|request| (at, request)));
        let Some((at, request)) = request else {
            let text = format!("{} sent an answer that nobody had asked for", self.target);
            return self.fail(now, &Cause::new(CauseKind::Protocol, text));
        };
        let (api, version) = (request.api, request.version);
        let (found, body) = match header::decode_response(frame, api, request.flexible) {
            Ok(decoded) => decoded,
            Err(error) => {
                let text = format!("the header of {}'s answer to {api} cannot be read: {error}", self.target);
                return self.fail(now, &Cause::new(CauseKind::Protocol, text));
            }
        };
        if found != request.correlation_id {
            let text = format!(
                "{} answered request {found} where the answer to {api}, request {}, was due: requests and answers are out of step",
                self.target, request.correlation_id
            );
            return self.fail(now, &Cause::new(CauseKind::Protocol, text));
        }
        self.last_use = Some(now);
        let ticket = self.in_flight.remove(at).and_then(|request| request.ticket);
        self.trust_next();
        match (ticket, &mut self.state) {
            (Some(ticket), State::Ready { answered, .. }) => {
                *answered = true;
                self.failures = 0;
                let throttle = throttle_of(api, version, &body);
                let body = ResponseBody { api, version, body, connection: self.connection };
                self.events.push_back(Event::Answered(ticket, Ok(body)));
                if let Some(pause) = throttle {
                    self.handle_throttle(now, pause);
                }
            }
            (None, State::SettingUp { handshake, .. }) => {
                let progress = handshake.handle_response(now, body);
                self.advance(now, progress);
            }
            _ => debug_assert!(false, "an answer in the wrong state"),
        }
    }

    /// The broker wants nothing for `pause`. A longer throttle stays.
    pub(crate) fn handle_throttle(&mut self, now: Instant, pause: Duration) {
        if !matches!(self.state, State::Ready { .. }) {
            return;
        }
        let until = now + pause.min(MAX_THROTTLE);
        let before = self.throttled_until.unwrap_or(now).max(now);
        let Some(longer) = until.checked_duration_since(before).filter(|longer| !longer.is_zero()) else { return };
        self.throttled_until = Some(until);
        for request in &mut self.in_flight {
            request.deadline += longer;
        }
        self.events.push_back(Event::Throttled(longer));
    }

    /// What the set-up wants next.
    fn advance(&mut self, now: Instant, progress: Progress) {
        match progress {
            Progress::Send { api, version, body } => {
                // The set-up's own deadline covers it.
                let State::SettingUp { deadline, .. } = self.state else { return };
                let timeout = deadline.saturating_duration_since(now);
                let request = Outgoing { ticket: 0, api, version, body, timeout, expects_response: true, expected_len: 0 };
                self.queue(now, deadline, None, request);
            }
            Progress::Done { versions, throttle } => {
                self.state = State::Ready { versions, answered: false };
                self.frames.set_limit(self.config.max_frame);
                self.resets = 0;
                self.last_cause = None;
                self.last_use = Some(now);
                self.events.push_back(Event::Ready);
                if let Some(pause) = throttle {
                    self.handle_throttle(now, pause);
                }
            }
            Progress::Fail(cause) => self.fail(now, &cause),
        }
    }

    // ---- ends ----

    /// The other side closed, or the transport broke.
    pub(crate) fn handle_closed(&mut self, now: Instant, reason: Option<&str>) {
        let how = match reason {
            Some(reason) => format!("the connection to {} broke: {reason}", self.target),
            None if self.frames.is_inside_frame() => format!("{} closed the connection in the middle of an answer", self.target),
            None => format!("{} closed the connection", self.target),
        };
        if let State::SettingUp { handshake, .. } = &self.state {
            // Some brokers close instead of saying that they do not know the version of ApiVersions. After two of these the
            // oldest is tried, and the owner hears of a failure only when that did not help either.
            if handshake.may_be_version() && !self.frames.is_inside_frame() {
                self.resets += 1;
                if self.resets <= 2 {
                    return self.pause_after(now, |this| this.disconnect(|_| Cause::new(CauseKind::Disconnected, how.clone())));
                }
            }
            self.resets = 0;
            let text = format!(
                "{how} during set-up ({}): not a Kafka listener, or one that expects TLS or SASL; check port and security.protocol",
                handshake.what()
            );
            return self.fail(now, &Cause::new(CauseKind::Disconnected, text));
        }
        self.fail(now, &Cause::new(CauseKind::Disconnected, how));
    }

    /// An answer could not be decoded, says its reader.
    pub(crate) fn handle_broken(&mut self, now: Instant, cause: &Cause) {
        self.fail(now, cause);
    }

    /// Fires what is due.
    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        if self.throttled_until.is_some_and(|until| until <= now) {
            self.throttled_until = None;
        }
        match &self.state {
            State::Connecting { deadline, .. } | State::SettingUp { deadline, .. } if *deadline <= now => {
                let cause = self.setup_timeout(now);
                self.fail(now, &cause);
            }
            State::Ready { .. } => {
                let late = self.in_flight.iter().find(|request| request.deadline <= now);
                if let Some(late) = late {
                    self.request_timeout(now, late.api);
                } else if self.idle_at().is_some_and(|at| at <= now) {
                    self.disconnect(|_| Cause::new(CauseKind::Disconnected, "idle"));
                    self.retry_at = None;
                }
            }
            _ => {}
        }
    }

    /// When something is due next.
    pub(crate) fn next_timeout(&self) -> Option<Instant> {
        match &self.state {
            State::Disconnected => None,
            State::Connecting { deadline, .. } | State::SettingUp { deadline, .. } => Some(*deadline),
            State::Ready { .. } => {
                let requests = self.in_flight.iter().map(|request| request.deadline);
                requests.chain(self.throttled_until).chain(self.idle_at()).min()
            }
        }
    }

    /// What the owner is to be told next.
    pub(crate) fn poll(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// When an unused connection is closed.
    fn idle_at(&self) -> Option<Instant> {
        if self.has_in_flight() { None } else { self.last_use.map(|at| at + self.config.idle_timeout) }
    }

    /// At least one request got no answer in its time.
    fn request_timeout(&mut self, now: Instant, api: ApiKey) {
        let (target, taken) = (self.target.clone(), self.taken);
        let closed = format!("the connection to {target} was closed because {api}, sent on it, got no answer in its time");
        let closed = Cause::new(CauseKind::Disconnected, closed).at(&target);
        self.pause_after(now, |this| {
            this.disconnect(|request| {
                if request.deadline > now {
                    return closed.clone();
                }
                let (what, waited) = (request.api, now.saturating_duration_since(request.sent));
                let text = if request.span.1 <= taken {
                    format!("{target} did not answer {what} within {waited:.1?}")
                } else {
                    format!("{what} could not be written to {target} within {waited:.1?}: the broker does not read")
                };
                Cause::new(CauseKind::Timeout, text + "; the connection was closed")
            });
        });
        self.last_cause = Some(closed);
    }

    fn setup_timeout(&self, now: Instant) -> Cause {
        let target = &self.target;
        match &self.state {
            State::SettingUp { since, handshake, .. } => {
                let waited = now.saturating_duration_since(*since);
                let text = format!(
                    "{target} accepted the connection, but did not answer {} within {waited:.1?}: the broker hangs, or it is no Kafka listener",
                    handshake.what()
                );
                Cause::new(CauseKind::SetupTimeout, text)
            }
            State::Connecting { since, .. } => {
                let waited = now.saturating_duration_since(*since);
                let text = format!(
                    "connecting to {target} took longer than {waited:.1?}: no answer at all; check address, routes and firewalls"
                );
                Cause::new(CauseKind::ConnectTimeout, text)
            }
            _ => Cause::new(CauseKind::Disconnected, format!("not connected to {target}")),
        }
    }

    /// The connection, or the attempt at one, failed.
    fn fail(&mut self, now: Instant, cause: &Cause) {
        let cause = cause.clone().at(&self.target);
        let unconnected = self.is_setting_up();
        self.pause_after(now, |this| this.disconnect(|_| cause.clone()));
        if unconnected {
            self.events.push_back(Event::Unconnected(cause.clone()));
        }
        self.last_cause = Some(cause);
    }

    /// Runs `end`, which ends the connection, and sets when the next may begin: at once if this one had answered anything.
    fn pause_after(&mut self, now: Instant, end: impl FnOnce(&mut Self)) {
        let worked = matches!(self.state, State::Ready { answered: true, .. });
        let had = self.has_transport();
        end(self);
        if worked || !had {
            return;
        }
        let pause = doubled(self.config.reconnect_backoff, self.failures, self.config.reconnect_backoff_max);
        self.failures = self.failures.saturating_add(1);
        let pause = self.spread(pause);
        self.retry_at = Some(now + pause);
    }

    /// Answers everything in flight with a failure and forgets the connection.
    fn disconnect(&mut self, cause: impl Fn(&InFlight) -> Cause) {
        self.state = State::Disconnected;
        self.output.clear();
        self.throttled_until = None;
        self.last_use = None;
        self.frames = Frames::new(MAX_SETUP_FRAME);
        for request in std::mem::take(&mut self.in_flight) {
            let Some(ticket) = request.ticket else { continue };
            let written = if request.started { Written::Maybe } else { Written::No };
            let cause = cause(&request).at(&self.target);
            self.events.push_back(Event::Answered(ticket, Err(Failure { written, cause })));
        }
        self.queued = self.taken;
    }

    /// `duration`, up to a fifth longer or shorter.
    fn spread(&mut self, duration: Duration) -> Duration {
        // SplitMix64.
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let unit = ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64;
        duration.mul_f64(0.8 + 0.4 * unit)
    }
}

/// `duration` after `now`; a year where that is more than a year or cannot be told.
pub(crate) fn later(now: Instant, duration: Duration) -> Instant {
    now + duration.min(Duration::from_secs(365 * 24 * 3600))
}

/// `first`, doubled `times`, at most `longest`.
fn doubled(first: Duration, times: u32, longest: Duration) -> Duration {
    first.saturating_mul(1u32.checked_shl(times).unwrap_or(u32::MAX)).min(longest)
}

#[cfg(test)]
mod tests;
