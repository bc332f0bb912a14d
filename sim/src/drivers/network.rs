//! The network between clients and the broker: a connector around the broker's own, whose connections are slow, come in pieces, and break
//! where the case says so.
//!
//! A connection has two tasks, one a direction. Each reads pieces, holds them for their latency and writes them in order; whichever
//! reaches the byte after which the connection breaks tells both.

use std::collections::BTreeMap;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use klamm::network::{BoxFuture, Connector, Target, Transport};
use klamm_broker::MemoryConnector;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, ReadBuf, ReadHalf, WriteHalf};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, sleep_until};

use super::answers::Conversation;
use super::recorder::Recorder;
use super::switch::Switch;
use crate::history::Who;
use crate::random::Random;
use crate::run::Traffic;
use crate::trouble::{Direction, How, Network, Trouble};

/// Bytes on their way between a client and its end of the pumps.
const PIPE: usize = 64 << 10;
/// Pieces on their way in one direction.
const PIECES: usize = 1024;

/// The network; clones share it.
#[derive(Clone, Debug)]
pub(super) struct Net {
    shape: Network,
    seed: u64,
    recorder: Recorder,
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    lines: Vec<Line>,
    attempts: u64,
    /// Connection, direction: after how many bytes, and how.
    cuts: BTreeMap<(u64, bool), (u64, How)>,
    /// Clients whose machine is dead.
    dead: Vec<Who>,
}

/// A connection that was made.
#[derive(Debug)]
struct Line {
    who: Who,
    node: i32,
    fate: Switch<How>,
    traffic: Traffic,
}

impl Net {
    pub(super) fn new(shape: Network, seed: u64, troubles: &[Trouble], recorder: Recorder) -> Self {
        let mut state = State::default();
        for trouble in troubles {
            if let Trouble::Cut { connection, direction, after, how } = trouble {
                _ = state.cuts.insert((*connection, *direction == Direction::Up), (*after, *how));
            }
        }
        Self { shape, seed, recorder, state: Arc::new(Mutex::new(state)) }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One client's way to the broker.
    pub(super) fn of(&self, who: Who, inner: MemoryConnector) -> Wire {
        Wire { net: self.clone(), who, inner }
    }

    /// Breaks what is connected to a node.
    pub(super) fn break_node(&self, node: i32, how: How) {
        self.lock().lines.iter().filter(|line| line.node == node).for_each(|line| line.fate.set(how));
    }

    /// A client's machine dies.
    pub(super) fn kill(&self, who: Who) {
        let mut state = self.lock();
        state.dead.push(who);
        state.lines.iter().filter(|line| line.who == who).for_each(|line| line.fate.set(How::Silence));
    }

    /// What passed on each connection.
    pub(super) fn traffic(&self) -> Vec<Traffic> {
        self.lock().lines.iter().map(|line| line.traffic).collect()
    }

    fn begin(&self, who: Who, node: i32) -> (u64, Switch<How>) {
        let mut state = self.lock();
        let fate = Switch::default();
        state.lines.push(Line { who, node, fate: fate.clone(), traffic: Traffic::default() });
        (state.lines.len() as u64 - 1, fate)
    }

    /// So many bytes want to pass: how many may, and how the connection breaks behind them.
    fn pass(&self, connection: u64, direction: Direction, bytes: usize) -> (usize, Option<How>) {
        let mut state = self.lock();
        let cut = state.cuts.get(&(connection, direction == Direction::Up)).copied();
        let Some(line) = state.lines.get_mut(connection as usize) else { return (bytes, None) };
        let passed = if direction == Direction::Up { &mut line.traffic.up } else { &mut line.traffic.down };
        if let Some((after, how)) = cut {
            let room = usize::try_from(after.saturating_sub(*passed)).unwrap_or(usize::MAX);
            if room <= bytes {
                *passed += room as u64;
                return (room, Some(how));
            }
        }
        *passed += bytes as u64;
        (bytes, None)
    }

    fn meets_its_fate(&self, connection: u64, how: How) {
        if let Some(line) = self.lock().lines.get(connection as usize) {
            line.fate.set(how);
        }
    }
}

/// One client's connector.
#[derive(Clone, Debug)]
pub(super) struct Wire {
    net: Net,
    who: Who,
    inner: MemoryConnector,
}

impl Connector for Wire {
    fn connect(&self, target: Target) -> BoxFuture<'static, io::Result<Box<dyn Transport>>> {
        let this = self.clone();
        Box::pin(async move {
            let net = &this.net;
            let (attempt, dead) = {
                let mut state = net.lock();
                state.attempts += 1;
                (state.attempts, state.dead.contains(&this.who))
            };
            if dead {
                std::future::pending::<()>().await;
            }
            let mut random = Random::of(net.seed, &format!("attempt {attempt}"));
            let (shortest, longest) = net.shape.latency;
            sleep(random.millis(shortest.as_millis() as u64..=longest.as_millis() as u64)).await;
            let node = target.host.strip_prefix("node-").and_then(|node| node.parse().ok()).unwrap_or(0);
            let broker = this.inner.connect(target).await?;
            let (connection, fate) = net.begin(this.who, node);
            let (client, ours) = tokio::io::duplex(PIPE);
            let (from_client, to_client) = tokio::io::split(ours);
            let (from_broker, to_broker) = tokio::io::split(broker);
            let conversation = Arc::new(Mutex::new(Conversation::default()));
            let pump = |direction| Pump {
                net: net.clone(),
                who: this.who,
                connection,
                direction,
                fate: fate.clone(),
                conversation: conversation.clone(),
            };
            _ = tokio::spawn(pump(Direction::Up).run(from_client, to_broker));
            _ = tokio::spawn(pump(Direction::Down).run(from_broker, to_client));
            let end = ClientEnd { pipe: client, fate, who: this.who, recorder: net.recorder.clone() };
            Ok(Box::new(end) as Box<dyn Transport>)
        })
    }
}

/// One direction of a connection.
struct Pump {
    net: Net,
    who: Who,
    connection: u64,
    direction: Direction,
    fate: Switch<How>,
    conversation: Arc<Mutex<Conversation>>,
}

impl Pump {
    async fn run<R: AsyncRead, W: AsyncWrite>(self, mut from: ReadHalf<R>, mut to: WriteHalf<W>) {
        let how = tokio::select! {
            biased;
            how = self.fate.wait() => Some(how),
            how = self.carry(&mut from, &mut to) => how,
        };
        match (how, self.direction) {
            // Nothing broke: its source ended, and so does what it wrote to.
            (None, _) => _ = to.shutdown().await,
            // Both ends are dropped with the halves.
            (Some(How::Reset), _) => {}
            (Some(How::Close), Direction::Up) => {
                _ = to.shutdown().await;
                discard(&mut from).await;
            }
            (Some(How::Close), Direction::Down) => _ = to.shutdown().await,
            (Some(How::Silence), direction) => {
                if direction == Direction::Up {
                    discard(&mut from).await;
                }
                // Whatever the client does, the broker hears nothing of it.
                std::future::pending::<()>().await;
            }
        }
    }

    /// Carries bytes until the source ends, or the connection breaks by its cut.
    async fn carry<R: AsyncRead, W: AsyncWrite>(&self, from: &mut ReadHalf<R>, to: &mut WriteHalf<W>) -> Option<How> {
        let shape = self.net.shape;
        let subject = format!("pieces {} {:?}", self.connection, self.direction);
        let mut random = Random::of(self.net.seed, &subject);
        let (sender, mut pieces) = mpsc::channel::<(Instant, Vec<u8>)>(PIECES);
        let read = async move {
            let mut space = vec![0; shape.piece];
            let mut last = Instant::now();
            while let Ok(count @ 1..) = from.read(&mut space).await {
                let (shortest, longest) = shape.latency;
                let latency = random.millis(shortest.as_millis() as u64..=longest.as_millis() as u64);
                // What was sent later does not arrive sooner.
                last = last.max(Instant::now() + latency);
                if sender.send((last, space[..count].to_vec())).await.is_err() {
                    break;
                }
            }
            drop(sender);
        };
        let write = async {
            while let Some((due, piece)) = pieces.recv().await {
                if due > Instant::now() {
                    sleep_until(due).await;
                }
                let (room, how) = self.net.pass(self.connection, self.direction, piece.len());
                let piece = piece.get(..room).unwrap_or_default();
                {
                    let mut conversation = self.conversation.lock().unwrap_or_else(PoisonError::into_inner);
                    conversation.pass(self.direction, piece, |api, code| self.net.recorder.answered(self.who, api, code));
                }
                let written = to.write_all(piece).await;
                if let Some(how) = how {
                    self.net.meets_its_fate(self.connection, how);
                    return Some(how);
                }
                if written.is_err() {
                    break;
                }
            }
            None
        };
        // Reading has an end when the source has one; what is on its way then still arrives.
        let mut read = std::pin::pin!(read);
        let mut write = std::pin::pin!(write);
        tokio::select! {
            biased;
            how = &mut write => return how,
            () = &mut read => {}
        }
        write.await
    }
}

/// Reads what goes nowhere.
async fn discard<R: AsyncRead>(from: &mut ReadHalf<R>) {
    let mut space = vec![0; 4096];
    while let Ok(1..) = from.read(&mut space).await {}
}

/// The client's end: counts polls, and says of a connection that was reset that it was.
struct ClientEnd {
    pipe: DuplexStream,
    fate: Switch<How>,
    who: Who,
    recorder: Recorder,
}

impl ClientEnd {
    fn is_reset(&self) -> bool {
        self.fate.get() == Some(How::Reset)
    }
}

impl AsyncRead for ClientEnd {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.recorder.polled(self.who);
        let before = buf.filled().len();
        let polled = Pin::new(&mut self.pipe).poll_read(cx, buf);
        match polled {
            Poll::Ready(Ok(())) if buf.filled().len() == before && self.is_reset() => {
                Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()))
            }
            polled => polled,
        }
    }
}

impl AsyncWrite for ClientEnd {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.recorder.polled(self.who);
        if self.is_reset() {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        Pin::new(&mut self.pipe).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.pipe).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.pipe).poll_shutdown(cx)
    }
}
