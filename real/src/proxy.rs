//! A user-land proxy in front of each node's second listener, which the node advertises at the proxy's address. It counts Produce
//! requests and, on demand, forwards a whole one and cuts the connection before its answer: the producer can't know what became of it.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::environment::{seeds, variable};

/// API key of Produce.
const PRODUCE: i16 = 0;

/// The longest that a cut waits for the answer that it withholds.
const ANSWER: Duration = Duration::from_secs(2);

#[derive(Debug, Default)]
struct State {
    cut_next: AtomicUsize,
    cuts: AtomicUsize,
    /// Cuts whose request the node had answered: it was done by then, and the client was not told.
    done_by_then: AtomicUsize,
    /// Produce requests that came.
    requests: AtomicUsize,
}

/// What the two directions of one connection tell each other.
#[derive(Debug, Default)]
struct Link {
    /// Correlation id of the request after which nothing goes to the client any more.
    cut: std::sync::Mutex<Option<i32>>,
    answered: Notify,
}

impl Link {
    fn cut(&self) -> Option<i32> {
        *self.cut.lock().expect("nobody panics with it")
    }
}

/// Proxies for all nodes; dropping it ends them.
#[derive(Debug)]
pub struct Proxy {
    state: Arc<State>,
    tasks: Vec<JoinHandle<()>>,
}

impl Proxy {
    /// Listens at every advertised address and forwards to the listener behind it.
    pub async fn start() -> io::Result<Self> {
        let state = Arc::new(State::default());
        let (from, to) = (seeds(&variable("KLAMM_CLUSTER_ADVERTISED")), seeds(&variable("KLAMM_CLUSTER_PROXIED")));
        let mut tasks = Vec::new();
        for (from, to) in from.into_iter().zip(to) {
            let listener = TcpListener::bind(&from).await?;
            tasks.push(tokio::spawn(serve(listener, to, state.clone())));
        }
        Ok(Self { state, tasks })
    }

    /// Addresses for clients.
    pub fn bootstrap(&self) -> String {
        variable("KLAMM_CLUSTER_ADVERTISED")
    }

    /// Cuts the connections of the next `count` Produce requests, each after the whole request went on and before its answer.
    pub fn cut_next(&self, count: usize) {
        self.state.cut_next.fetch_add(count, Ordering::SeqCst);
    }

    /// How many connections were cut so.
    pub fn cuts(&self) -> usize {
        self.state.cuts.load(Ordering::SeqCst)
    }

    /// How many of the cut requests the node had answered when the connection was cut: their records were in the log by then.
    pub fn done_by_then(&self) -> usize {
        self.state.done_by_then.load(Ordering::SeqCst)
    }

    /// How many Produce requests went through.
    pub fn requests(&self) -> usize {
        self.state.requests.load(Ordering::SeqCst)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

async fn serve(listener: TcpListener, to: String, state: Arc<State>) {
    while let Ok((client, _)) = listener.accept().await {
        let (to, state) = (to.clone(), state.clone());
        tokio::spawn(async move {
            // How a connection ends is the client's business; the node may be down at the moment.
            let Ok(node) = TcpStream::connect(&to).await else { return };
            let _ = (client.set_nodelay(true), node.set_nodelay(true));
            let (client_read, client_write) = client.into_split();
            let (node_read, node_write) = node.into_split();
            let link = Arc::new(Link::default());
            let answers = tokio::spawn(forward_answers(node_read, client_write, link.clone()));
            let _ = forward_requests(client_read, node_write, &state, &link).await;
            answers.abort();
        });
    }
}

/// A whole frame, without its length.
async fn read_frame(from: &mut OwnedReadHalf) -> io::Result<Vec<u8>> {
    let length = from.read_u32().await?;
    let mut frame = vec![0; length as usize];
    from.read_exact(&mut frame).await?;
    Ok(frame)
}

async fn write_frame(to: &mut OwnedWriteHalf, frame: &[u8]) -> io::Result<()> {
    let length = u32::try_from(frame.len()).map_err(io::Error::other)?;
    to.write_all(&[&length.to_be_bytes(), frame].concat()).await
}

/// Passes whole requests on; returns (and so closes both sides) after one that is to be cut.
async fn forward_requests(mut client: OwnedReadHalf, mut node: OwnedWriteHalf, state: &State, link: &Link) -> io::Result<()> {
    loop {
        let frame = read_frame(&mut client).await?;
        let is_produce = frame.first_chunk().is_some_and(|key| i16::from_be_bytes(*key) == PRODUCE);
        state.requests.fetch_add(usize::from(is_produce), Ordering::SeqCst);
        let take_one = |left: usize| left.checked_sub(1);
        if !is_produce || state.cut_next.fetch_update(Ordering::SeqCst, Ordering::SeqCst, take_one).is_err() {
            write_frame(&mut node, &frame).await?;
            continue;
        }
        // Before its first byte goes on, so that no answer can slip through.
        let correlation_id = frame.get(4..8).and_then(|id| id.first_chunk()).map(|id| i32::from_be_bytes(*id));
        *link.cut.lock().expect("nobody panics with it") = correlation_id;
        write_frame(&mut node, &frame).await?;
        state.cuts.fetch_add(1, Ordering::SeqCst);
        if timeout(ANSWER, link.answered.notified()).await.is_ok() {
            state.done_by_then.fetch_add(1, Ordering::SeqCst);
        }
        return Ok(());
    }
}

/// Passes answers on until a request was cut; then waits for that request's answer and keeps it.
async fn forward_answers(mut node: OwnedReadHalf, mut client: OwnedWriteHalf, link: Arc<Link>) {
    while let Ok(frame) = read_frame(&mut node).await {
        let correlation_id = frame.first_chunk().map(|id| i32::from_be_bytes(*id));
        match link.cut() {
            None => {
                if write_frame(&mut client, &frame).await.is_err() {
                    return;
                }
            }
            Some(cut) if correlation_id == Some(cut) => link.answered.notify_one(),
            Some(_) => {}
        }
    }
}
