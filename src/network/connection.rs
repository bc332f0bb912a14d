//! The core of a connection: what is sent, in flight and due, without a socket or a clock.
//!
//! ```text
//!              handle_connecting          handle_connected             last step done
//! Disconnected ────────────────▶ Connecting ──────────▶ SettingUp ───────────────────▶ Ready
//!      ▲                              │ refused, too slow    │ refused, too slow, closed   │ closed, request too slow,
//!      └──────────────────────────────┴──────────────────────┴─────────────────────────────┘ nonsense read, idle
//! ```
//!
//! While it is ready, what its set-up steps proved may come to count no more: then they are run again in between (`session`).
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

use bytes::{Bytes, BytesMut};

use crate::error::Untrusted;
use crate::network::handshake::{Handshake, Step};
use crate::network::in_flight::{InFlight, Progress, Sent};
use crate::network::pace::Pace;
use crate::network::session::Session;
use crate::network::setup::{Work, WorkResult};
use crate::network::throttle::{MAX_THROTTLE, throttle_of};
use crate::network::{
    ApiVersions, Cause, CauseKind, ConnectionConfig, Failure, Outgoing, ResponseBody, Target, TlsFailure, Written,
};
use crate::protocol::frame::{FrameError, Frames};
use crate::protocol::{ApiKey, Str};

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
    /// The set-up steps were run again.
    Renewed,
    /// Set-up wants this done; what comes of it goes to [`Core::handle_work`].
    Work(Work),
    /// An attempt to connect and set up failed, or to run the set-up steps again.
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
    Ready { versions: ApiVersions, answered: bool, session: Session },
}

/// The core.
#[derive(Debug)]
pub(crate) struct Core {
    config: ConnectionConfig,
    client_id: Option<Str>,
    /// Where it connects to, for texts.
    target: String,
    /// Who that is, for errors.
    label: String,
    state: State,
    frames: Frames,
    in_flight: InFlight,
    throttled_until: Option<Instant>,
    /// When it was last ready or used; for idle close.
    last_use: Option<Instant>,
    events: VecDeque<Event>,
    /// Number of the present connection.
    connection: u64,
    pace: Pace,
    last_cause: Option<Cause>,
    /// Connections in a row that the broker closed instead of answering ApiVersions.
    resets: u32,
}

impl Core {
    /// A core that is not connected.
    pub(crate) fn new(config: ConnectionConfig, target: &Target) -> Self {
        let client_id = config.client_id.as_deref().and_then(|id| Str::new(id.to_owned()));
        Self {
            client_id,
            target: target.to_string(),
            label: config.label(target),
            state: State::Disconnected,
            frames: Frames::new(MAX_SETUP_FRAME),
            in_flight: InFlight::default(),
            throttled_until: None,
            last_use: None,
            events: VecDeque::new(),
            connection: 0,
            pace: Pace::new(&config),
            last_cause: None,
            resets: 0,
            config,
        }
    }

    // ---- connecting ----

    /// Should the driver hold a transport, or be connecting one?
    pub(crate) fn has_transport(&self) -> bool {
        !matches!(self.state, State::Disconnected)
    }

    /// The state's name, for tables of what was reached.
    #[cfg(feature = "unstable-cores")]
    pub(crate) fn state_name(&self) -> &'static str {
        match &self.state {
            State::Disconnected => "disconnected",
            State::Connecting { .. } => "connecting",
            State::SettingUp { .. } => "setting up",
            State::Ready { session: Session::Renewing { .. }, .. } => "renewing",
            State::Ready { .. } if self.throttled_until.is_some() => "ready, throttled",
            State::Ready { .. } if self.has_in_flight() => "ready, in flight",
            State::Ready { .. } => "ready, idle",
        }
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
        self.pace.retry_at().filter(|at| *at > now)
    }

    /// The driver begins to connect.
    pub(crate) fn handle_connecting(&mut self, now: Instant) {
        debug_assert!(!self.has_transport(), "connects only when disconnected");
        self.connection += 1;
        let deadline = later(now, self.pace.start_attempt());
        self.state = State::Connecting { since: now, deadline };
    }

    /// The transport is there: set-up begins.
    pub(crate) fn handle_connected(&mut self, now: Instant) {
        let State::Connecting { since, deadline } = self.state else { return };
        self.frames = Frames::new(MAX_SETUP_FRAME);
        let (handshake, first) = Handshake::start(&self.config, &self.target, self.resets >= 2);
        self.state = State::SettingUp { since, deadline, handshake: Box::new(handshake) };
        self.advance(now, first);
    }

    /// The transport could not be made.
    pub(crate) fn handle_connect_failed(&mut self, now: Instant, reason: &str) {
        // With one address the reason begins with it, which is named already.
        let reason = reason.strip_prefix(&self.target).and_then(|rest| rest.strip_prefix(": ")).unwrap_or(reason);
        let text = format!("cannot connect to {}: {}", self.target, Untrusted(reason));
        self.fail(now, &Cause::new(CauseKind::Connect, text).advise(self.config.address_advice(&self.target)));
    }

    /// TLS failed: in the handshake, or later, where it is as good as any other break of a connection that had worked.
    pub(crate) fn handle_tls_failed(&mut self, now: Instant, failure: &TlsFailure) {
        let kind = if self.is_setting_up() { CauseKind::Tls } else { CauseKind::Disconnected };
        self.fail(now, &Cause::new(kind, format!("TLS with {} failed: {failure}", self.target)));
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
        self.pace.reset();
        self.resets = 0;
    }

    /// The next connections go elsewhere.
    pub(crate) fn set_target(&mut self, target: &Target) {
        self.target = target.to_string();
        self.label = self.config.label(target);
        self.last_cause = None;
    }

    // ---- sending ----

    /// Can a request be sent now?
    pub(crate) fn has_room(&self, now: Instant) -> bool {
        matches!(&self.state, State::Ready { session, .. } if session.is_open())
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

    /// Puts a request in flight; one of the set-up has no ticket.
    fn queue(&mut self, now: Instant, deadline: Instant, ticket: Option<u64>, request: Outgoing) {
        let api = request.api;
        match (self.in_flight.push(now, deadline, ticket, self.client_id.as_ref(), request), ticket) {
            (Ok(()), _) => self.trust_next(),
            (Err(error), ticket) => {
                let cause = Cause::new(CauseKind::Encode, format!("{api} cannot be sent: {error}")).at(&self.label);
                match ticket {
                    Some(ticket) => self.events.push_back(Event::Answered(ticket, Err(Failure::unwritten(cause)))),
                    None => self.fail(now, &cause),
                }
            }
        }
    }

    /// Lets the next answer be as long as its request allowed.
    fn trust_next(&mut self) {
        self.frames.set_trusted(self.in_flight.expected_len().min(self.config.max_frame));
    }

    /// Is there something to write?
    pub(crate) fn has_output(&self) -> bool {
        self.in_flight.has_output()
    }

    /// What to write next, in as many of `slices` as there is something for; says how many.
    pub(crate) fn slices<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        self.in_flight.slices(slices)
    }

    /// The transport took `count` bytes.
    pub(crate) fn handle_written(&mut self, now: Instant, count: usize) {
        self.handle_use(now);
        let (events, connection) = (&mut self.events, self.connection);
        self.in_flight.handle_written(count, |request, progress| {
            let Some(ticket) = request.ticket else { return };
            events.push_back(match progress {
                Progress::Started => Event::Written(ticket),
                Progress::Finished => {
                    let body = ResponseBody { api: request.api, version: request.version, body: Bytes::new(), connection };
                    Event::Answered(ticket, Ok(body))
                }
            });
        });
        // A request without an answer may have been the last in flight.
        self.renew(now);
    }

    /// It is of use, unless it is only kept usable.
    fn handle_use(&mut self, now: Instant) {
        if !self.is_renewing() {
            self.last_use = Some(now);
        }
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
                    let is_tls = error == FrameError::Tls && self.is_setting_up();
                    let kind = if is_tls { CauseKind::Tls } else { CauseKind::Protocol };
                    let text = format!("what {} sent is not Kafka's protocol: {error}", self.target);
                    self.fail(now, &Cause::new(kind, text));
                }
            }
        }
    }

    /// A whole frame, without its length.
    fn handle_frame(&mut self, now: Instant, frame: &Bytes) {
        let (request, body) = match self.in_flight.handle_answer(frame) {
            Ok(answer) => answer,
            Err(error) => {
                let text = format!("{} is out of step: {error}", self.target);
                return self.fail(now, &Cause::new(CauseKind::Protocol, text));
            }
        };
        self.handle_use(now);
        self.trust_next();
        match (request.ticket, &mut self.state) {
            (Some(ticket), State::Ready { answered, .. }) => {
                *answered = true;
                self.pace.handle_success();
                let throttle = throttle_of(request.api, request.version, &body);
                let body = ResponseBody { api: request.api, version: request.version, body, connection: self.connection };
                self.events.push_back(Event::Answered(ticket, Ok(body)));
                if let Some(pause) = throttle {
                    self.handle_throttle(now, pause);
                }
                self.renew(now);
            }
            (None, State::SettingUp { handshake, .. } | State::Ready { session: Session::Renewing { handshake, .. }, .. }) => {
                let step = handshake.handle_response(now, body);
                self.advance(now, step);
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
        self.in_flight.extend(longer);
        self.events.push_back(Event::Throttled(longer));
    }

    /// What came of work that was asked for on connection number `connection`; `None` if it could not be done.
    pub(crate) fn handle_work(&mut self, now: Instant, connection: u64, result: Option<WorkResult>) {
        let (State::SettingUp { handshake, .. } | State::Ready { session: Session::Renewing { handshake, .. }, .. }) =
            &mut self.state
        else {
            return;
        };
        if connection != self.connection {
            return;
        }
        let step = match result {
            Some(result) => handshake.handle_work(now, result),
            None => {
                let text = format!("{}: a computation was not carried through", handshake.what());
                Step::Fail(Cause::new(CauseKind::Setup, text))
            }
        };
        self.advance(now, step);
    }

    /// Runs the set-up steps again if that is due and nothing is in their way.
    fn renew(&mut self, now: Instant) {
        let (is_drained, is_throttled) = (!self.has_in_flight(), self.throttled_until.is_some_and(|until| until > now));
        let State::Ready { versions, session, .. } = &mut self.state else { return };
        session.handle_timeout(now);
        if !session.may_renew(now) || !is_drained || is_throttled {
            return;
        }
        let deadline = later(now, self.pace.setup_time());
        let (handshake, first) = Handshake::again(now, &self.config, &self.target, versions.clone());
        *session = Session::Renewing { since: now, deadline, handshake: Box::new(handshake) };
        self.advance(now, first);
    }

    fn is_renewing(&self) -> bool {
        matches!(&self.state, State::Ready { session, .. } if session.is_renewing())
    }

    /// What the set-up wants next.
    fn advance(&mut self, now: Instant, step: Step) {
        let (since, deadline) = match &self.state {
            State::SettingUp { since, deadline, .. }
            | State::Ready { session: Session::Renewing { since, deadline, .. }, .. } => (*since, *deadline),
            _ => return,
        };
        match step {
            Step::Send { api, version, body } => {
                // The set-up's own deadline covers it.
                let timeout = deadline.saturating_duration_since(now);
                let request = Outgoing { ticket: 0, api, version, body, timeout, expects_response: true, expected_len: 0 };
                self.queue(now, deadline, None, request);
            }
            Step::Work(work) => self.events.push_back(Event::Work(work)),
            Step::Done { versions, throttle, session: life } => {
                let renewed = Session::new(since, now, life, self.pace.portion());
                if let State::Ready { session, .. } = &mut self.state {
                    *session = renewed;
                    self.events.push_back(Event::Renewed);
                    return;
                }
                self.state = State::Ready { versions, answered: false, session: renewed };
                self.frames.set_limit(self.config.max_frame);
                self.resets = 0;
                self.last_cause = None;
                self.last_use = Some(now);
                self.events.push_back(Event::Ready);
                if let Some(pause) = throttle {
                    self.handle_throttle(now, pause);
                }
            }
            Step::Fail(cause) => self.fail(now, &cause),
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
            let text = format!("{how} during set-up ({}): {}", handshake.what(), handshake.advice_if_closed(self.config.is_tls));
            return self.fail(now, &Cause::new(CauseKind::Disconnected, text));
        }
        let text = match &self.state {
            State::Ready { session: Session::Renewing { handshake, .. }, .. } => {
                format!("{how} while the session on it was being renewed ({})", handshake.what())
            }
            // What a listener does to who does not log in.
            State::Ready { answered: false, .. } if self.config.setup.is_none() && self.has_in_flight() => {
                format!(
                    "{how} before it had answered a request; if the listener wants SASL, set security.protocol and sasl.mechanism"
                )
            }
            _ => how,
        };
        self.fail(now, &Cause::new(CauseKind::Disconnected, text));
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
            State::Ready { session: Session::Renewing { deadline, .. }, .. } if *deadline <= now => {
                let cause = self.setup_timeout(now);
                self.fail(now, &cause);
            }
            State::Ready { .. } => {
                if let Some(late) = self.in_flight.late(now) {
                    let api = late.api;
                    self.request_timeout(now, api);
                } else if self.idle_at().is_some_and(|at| at <= now) {
                    self.disconnect(|_| Cause::new(CauseKind::Disconnected, "idle"));
                } else {
                    self.renew(now);
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
            State::Ready { session, .. } => {
                let session = session.next_timeout(!self.has_in_flight() && self.throttled_until.is_none());
                [self.in_flight.next_deadline(), self.throttled_until, self.idle_at(), session].into_iter().flatten().min()
            }
        }
    }

    /// What the owner is to be told next.
    pub(crate) fn poll(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// When an unused connection is closed.
    fn idle_at(&self) -> Option<Instant> {
        if self.has_in_flight() || self.is_renewing() { None } else { self.last_use.map(|at| at + self.config.idle_timeout) }
    }

    /// At least one request got no answer in its time.
    fn request_timeout(&mut self, now: Instant, api: ApiKey) {
        let target = self.target.clone();
        let closed = format!("the connection to {target} was closed because {api}, sent on it, got no answer in its time");
        let closed = Cause::new(CauseKind::Disconnected, closed).at(&self.label);
        self.pause_after(now, |this| {
            this.disconnect(|request| {
                if request.deadline > now {
                    return closed.clone();
                }
                let (what, waited) = (request.api, now.saturating_duration_since(request.since));
                let text = if request.is_written {
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
                    "{target} accepted the connection, but did not answer {} within {waited:.1?}: {}",
                    handshake.what(),
                    handshake.advice_if_silent(self.config.is_tls)
                );
                Cause::new(CauseKind::SetupTimeout, text)
            }
            State::Ready { session: Session::Renewing { since, handshake, .. }, .. } => {
                let waited = now.saturating_duration_since(*since);
                let text = format!("{target} did not renew the session within {waited:.1?} ({})", handshake.what());
                Cause::new(CauseKind::SetupTimeout, text)
            }
            State::Connecting { since, .. } => {
                let waited = now.saturating_duration_since(*since);
                let (what, check) = match self.config.is_tls {
                    true => {
                        ("no answer at all, or none to the TLS handshake", " and that TLS is expected there (security.protocol)")
                    }
                    false => ("no answer at all", ""),
                };
                let text = format!("connecting to {target} took longer than {waited:.1?}: {what}");
                let advice = format!("check routes and firewalls{check}; {}", self.config.address_advice(target));
                Cause::new(CauseKind::ConnectTimeout, text).advise(advice)
            }
            _ => Cause::new(CauseKind::Disconnected, format!("not connected to {target}")),
        }
    }

    /// The connection, or the attempt at one, failed.
    fn fail(&mut self, now: Instant, cause: &Cause) {
        let cause = cause.clone().at(&self.label);
        // A session that is refused concerns those who wait as well; one that broke is followed by another connection.
        let unconnected = self.is_setting_up() || cause.is_refusal();
        self.pause_after(now, |this| this.disconnect(|_| cause.clone()));
        if cause.is_refusal() {
            self.pace.handle_refusal(now);
        }
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
        if had && !worked {
            self.pace.handle_failure(now);
        }
    }

    /// Answers everything in flight with a failure and forgets the connection.
    fn disconnect(&mut self, cause: impl Fn(&Sent) -> Cause) {
        self.state = State::Disconnected;
        self.throttled_until = None;
        self.last_use = None;
        self.frames = Frames::new(MAX_SETUP_FRAME);
        for request in self.in_flight.clear() {
            let Some(ticket) = request.ticket else { continue };
            let written = if request.is_started { Written::Maybe } else { Written::No };
            let cause = cause(&request).at(&self.label);
            self.events.push_back(Event::Answered(ticket, Err(Failure { written, cause })));
        }
    }
}

/// `duration` after `now`; a year where that is more than a year or cannot be told.
pub(crate) fn later(now: Instant, duration: Duration) -> Instant {
    now + duration.min(Duration::from_secs(365 * 24 * 3600))
}

#[cfg(test)]
mod tests;
