//! A connector around the broker's own: it counts what passes, remembers who ended each connection, and breaks one where it is told.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use klamm::network::{BoxFuture, Connector, Target, Transport};
use klamm::protocol::ApiKey;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

use super::frames::Frames;

/// Which way bytes go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    /// To the broker.
    Up,
    /// To the client.
    Down,
}

/// What happens to a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum How {
    /// Both sides find it broken.
    Reset,
    /// The client reads its end; what it writes goes nowhere.
    Close,
    /// Nothing passes any more, and nobody is told.
    BlackHole,
    /// As a black hole, but it takes no bytes either: its window is zero.
    Stall,
}

/// How bytes pass.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Pace {
    /// As they come.
    #[default]
    AtOnce,
    /// One at each wake.
    OneByte,
    /// So many in a millisecond.
    Slowly(usize),
}

/// A connection is broken once so many bytes went that way.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fault {
    /// The how manieth, from 0; `None`: every one.
    pub(crate) connection: Option<usize>,
    pub(crate) direction: Direction,
    pub(crate) after: u64,
    pub(crate) how: How,
}

/// Who ended a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Open,
    Client,
    Broker,
    Fault,
}

/// What is known of a connection.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) number: usize,
    pub(crate) up: u64,
    pub(crate) down: u64,
    pub(crate) end: End,
    /// How often the client's task looked at it.
    pub(crate) polls: u64,
    pub(crate) requests: Frames,
    pub(crate) answers: Frames,
}

/// What a connection may ask before it is used.
const SET_UP: [ApiKey; 3] = [ApiKey::API_VERSIONS, ApiKey::SASL_HANDSHAKE, ApiKey::SASL_AUTHENTICATE];

impl Seen {
    /// How many bytes its set-up took.
    pub(crate) fn set_up(&self, direction: Direction) -> u64 {
        let frames = if direction == Direction::Up { &self.requests } else { &self.answers };
        let requests = self.requests.apis().iter().take_while(|api| SET_UP.contains(api)).count();
        requests.checked_sub(1).and_then(|last| frames.ends().get(last)).copied().unwrap_or(0)
    }

    /// What the connection is for, by what it asks first after the set-up.
    pub(crate) fn purpose(&self) -> &'static str {
        match self.requests.apis().iter().find(|api| !SET_UP.contains(api)) {
            Some(&ApiKey::PRODUCE) => "produce",
            Some(&ApiKey::FETCH) => "fetch",
            Some(&(ApiKey::JOIN_GROUP | ApiKey::OFFSET_COMMIT | ApiKey::LEAVE_GROUP | ApiKey::HEARTBEAT)) => "group",
            Some(_) => "control",
            None => "unused",
        }
    }
}

/// The connector; clones share everything.
#[derive(Clone, Debug)]
pub(crate) struct Proxy {
    inner: Arc<dyn Connector>,
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    seen: Vec<Seen>,
    attempts: usize,
    fault: Option<Fault>,
    pace: Pace,
    readable: bool,
    /// Has a stall ended?
    released: bool,
    /// Who waits for that.
    stalled: Vec<Waker>,
}

impl Proxy {
    pub(crate) fn new(inner: impl Connector, readable: bool) -> Self {
        Self { inner: Arc::new(inner), state: Arc::new(Mutex::new(State { readable, ..State::default() })) }
    }

    /// Breaks connections by this plan; those that are open as well.
    pub(crate) fn plan(&self, fault: Option<Fault>) {
        self.state().fault = fault;
    }

    /// How bytes pass from now on, both ways.
    pub(crate) fn set_pace(&self, pace: Pace) {
        self.state().pace = pace;
    }

    /// Ends every stall.
    pub(crate) fn release(&self) {
        let mut state = self.state();
        state.released = true;
        let stalled = std::mem::take(&mut state.stalled);
        drop(state);
        stalled.into_iter().for_each(Waker::wake);
    }

    /// How often somebody wanted to connect.
    pub(crate) fn attempts(&self) -> usize {
        self.state().attempts
    }

    /// All connections so far.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.state().seen.clone()
    }

    /// Those that are open.
    pub(crate) fn open(&self) -> Vec<Seen> {
        self.seen().into_iter().filter(|seen| seen.end == End::Open).collect()
    }

    /// How often tasks of clients looked at connections.
    pub(crate) fn polls(&self) -> u64 {
        self.state().seen.iter().map(|seen| seen.polls).sum()
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }
}

impl Connector for Proxy {
    fn connect(&self, target: Target) -> BoxFuture<'static, io::Result<Box<dyn Transport>>> {
        self.state().attempts += 1;
        let this = self.clone();
        Box::pin(async move {
            let inner = this.inner.connect(target).await?;
            let mut state = this.state();
            let number = state.seen.len();
            let (requests, answers) = (Frames::default(), Frames::default());
            state.seen.push(Seen { number, up: 0, down: 0, end: End::Open, polls: 0, requests, answers });
            drop(state);
            let link =
                Link { inner: Some(inner), broken: None, number, held: None, rests: [Rest::None, Rest::None], proxy: this };
            Ok(Box::new(link) as Box<dyn Transport>)
        })
    }
}

/// The client's end of a connection.
struct Link {
    inner: Option<Box<dyn Transport>>,
    broken: Option<How>,
    number: usize,
    /// Read from the broker and not passed on.
    held: Option<Vec<u8>>,
    /// Where bytes don't pass at once: what the next wait for, by direction.
    rests: [Rest; 2],
    proxy: Proxy,
}

/// What the next bytes of a connection wait for.
enum Rest {
    None,
    /// To be woken once.
    Turn,
    Until(Pin<Box<Sleep>>),
}

impl Link {
    /// How many bytes may pass now; breaks the connection if none may any more.
    fn room(&mut self, direction: Direction) -> usize {
        let proxy = self.proxy.clone();
        let mut state = proxy.state();
        let seen = &mut state.seen[self.number];
        seen.polls += 1;
        let passed = if direction == Direction::Up { seen.up } else { seen.down };
        let fault = state.fault.filter(|fault| fault.direction == direction);
        let fault = fault.filter(|fault| fault.connection.is_none_or(|number| number == self.number));
        let mut room = usize::MAX;
        if let Some(fault) = fault {
            room = usize::try_from(fault.after.saturating_sub(passed)).unwrap();
        }
        match state.pace {
            Pace::AtOnce => room,
            Pace::OneByte => room.min(1),
            Pace::Slowly(bytes) => room.min(bytes),
        }
    }

    fn passed(&mut self, direction: Direction, bytes: &[u8]) {
        let mut state = self.proxy.state();
        let readable = state.readable;
        let seen = &mut state.seen[self.number];
        let (passed, frames) = match direction {
            Direction::Up => (&mut seen.up, &mut seen.requests),
            Direction::Down => (&mut seen.down, &mut seen.answers),
        };
        *passed += bytes.len() as u64;
        if readable {
            frames.push(bytes);
        }
        self.rests[direction as usize] = match state.pace {
            Pace::AtOnce => Rest::None,
            Pace::OneByte => Rest::Turn,
            Pace::Slowly(_) => Rest::Until(Box::pin(tokio::time::sleep(Duration::from_millis(1)))),
        };
    }

    /// The fault that is due happens.
    fn break_down(&mut self) -> How {
        let mut state = self.proxy.state();
        let how = state.fault.map_or(How::Reset, |fault| fault.how);
        state.seen[self.number].end = End::Fault;
        drop(state);
        self.broken = Some(how);
        if matches!(how, How::Reset | How::Close) {
            self.inner = None;
        }
        how
    }

    /// Is what stalled on its way again?
    fn goes_on(&mut self, cx: &Context<'_>) -> bool {
        let mut state = self.proxy.state();
        if state.released {
            state.fault = None;
            self.broken = None;
            return true;
        }
        state.stalled.push(cx.waker().clone());
        false
    }

    /// Do the next bytes have to wait?
    fn rest(&mut self, cx: &mut Context<'_>, direction: Direction) -> bool {
        let pace = self.proxy.state().pace;
        let rest = &mut self.rests[direction as usize];
        match rest {
            Rest::None => false,
            Rest::Turn => {
                *rest = Rest::None;
                cx.waker().wake_by_ref();
                true
            }
            Rest::Until(_) if pace == Pace::AtOnce => false,
            Rest::Until(sleep) => {
                let waits = sleep.as_mut().poll(cx).is_pending();
                if !waits {
                    *rest = Rest::None;
                }
                waits
            }
        }
    }

    fn ended_by_broker(&mut self) {
        let seen = &mut self.proxy.state().seen[self.number];
        if seen.end == End::Open {
            seen.end = End::Broker;
        }
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        let seen = &mut self.proxy.state().seen[self.number];
        if seen.end == End::Open {
            seen.end = End::Client;
        }
    }
}

impl AsyncRead for Link {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let broken = this.broken;
        match broken {
            Some(How::Reset) => return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into())),
            Some(How::Close) => return Poll::Ready(Ok(())),
            Some(How::BlackHole) => return Poll::Pending,
            Some(How::Stall) if !this.goes_on(cx) => return Poll::Pending,
            Some(How::Stall) | None => {}
        }
        if this.rest(cx, Direction::Down) {
            return Poll::Pending;
        }
        let Some(inner) = &mut this.inner else { return Poll::Ready(Ok(())) };
        if this.held.is_none() {
            let mut space = [0; 4096];
            let mut part = ReadBuf::new(&mut space);
            match ready!(Pin::new(inner).poll_read(cx, &mut part)) {
                Ok(()) if part.filled().is_empty() => {
                    this.ended_by_broker();
                    return Poll::Ready(Ok(()));
                }
                Ok(()) => this.held = Some(part.filled().to_vec()),
                Err(error) => {
                    this.ended_by_broker();
                    return Poll::Ready(Err(error));
                }
            }
        }
        let room = this.room(Direction::Down).min(buf.remaining());
        if room == 0 {
            this.break_down();
            return self.poll_read(cx, buf);
        }
        let mut held = this.held.take().unwrap_or_default();
        let rest = held.split_off(room.min(held.len()));
        this.held = Some(rest).filter(|rest| !rest.is_empty());
        this.passed(Direction::Down, &held);
        buf.put_slice(&held);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Link {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        let broken = this.broken;
        match broken {
            Some(How::Reset) => return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
            Some(How::Close | How::BlackHole) => return Poll::Ready(Ok(bytes.len())),
            Some(How::Stall) if !this.goes_on(cx) => return Poll::Pending,
            Some(How::Stall) | None => {}
        }
        if this.rest(cx, Direction::Up) {
            return Poll::Pending;
        }
        let room = this.room(Direction::Up).min(bytes.len());
        if room == 0 {
            this.break_down();
            return self.poll_write(cx, bytes);
        }
        let Some(inner) = &mut this.inner else { return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())) };
        let written = ready!(Pin::new(inner).poll_write(cx, &bytes[..room]))?;
        this.passed(Direction::Up, &bytes[..written]);
        if this.room(Direction::Up) == 0 {
            this.break_down();
        }
        Poll::Ready(Ok(written))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.inner {
            Some(inner) => Pin::new(inner).poll_flush(cx),
            None => Poll::Ready(Ok(())),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.inner {
            Some(inner) => Pin::new(inner).poll_shutdown(cx),
            None => Poll::Ready(Ok(())),
        }
    }
}
