//! A user-land proxy in front of each node's second listener, which the node advertises at the proxy's address. It counts Produce
//! requests and, on demand, forwards a whole one and cuts the connection before its answer: the producer can't know what became of it.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use bytes::Bytes;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Mutex;
use tokio::task::JoinHandle;

use crate::environment::{seeds, variable};

/// API key of Produce.
const PRODUCE: i16 = 0;

#[derive(Debug, Default)]
struct State {
    cut_next: AtomicUsize,
    cuts: AtomicUsize,
    stopped: AtomicBool,
    /// Bodies of the Produce requests whose answer was withheld, header included.
    withheld: Mutex<Vec<Bytes>>,
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

    /// The requests (header and body, without the length in front) whose answer was withheld.
    pub async fn withheld(&self) -> Vec<Bytes> {
        self.state.withheld.lock().await.clone()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.state.stopped.store(true, Ordering::SeqCst);
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
            let cut = Arc::new(AtomicBool::new(false));
            let answers = tokio::spawn(forward_answers(node_read, client_write, cut.clone()));
            let _ = forward_requests(client_read, node_write, &state, &cut).await;
            answers.abort();
        });
    }
}

/// Passes whole requests on; returns (and so closes both sides) after one that is to be cut.
async fn forward_requests(
    mut client: OwnedReadHalf,
    mut node: OwnedWriteHalf,
    state: &State,
    cut: &AtomicBool,
) -> io::Result<()> {
    loop {
        let length = client.read_u32().await?;
        let mut frame = vec![0; length as usize];
        client.read_exact(&mut frame).await?;
        let is_produce = frame.first_chunk().is_some_and(|key| i16::from_be_bytes(*key) == PRODUCE);
        let take_one = |left: usize| left.checked_sub(1);
        let cut_now = is_produce && state.cut_next.fetch_update(Ordering::SeqCst, Ordering::SeqCst, take_one).is_ok();
        // Before the last byte goes on, so that no answer can slip through.
        cut.fetch_or(cut_now, Ordering::SeqCst);
        node.write_all(&length.to_be_bytes()).await?;
        node.write_all(&frame).await?;
        if cut_now {
            state.withheld.lock().await.push(frame.into());
            state.cuts.fetch_add(1, Ordering::SeqCst);
            // The node must have read the request before its side is closed, or it may never see it.
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            return Ok(());
        }
        if state.stopped.load(Ordering::SeqCst) {
            return Ok(());
        }
    }
}

/// Passes answers on until a request was cut; then nothing more.
async fn forward_answers(mut node: OwnedReadHalf, mut client: OwnedWriteHalf, cut: Arc<AtomicBool>) {
    let mut buffer = vec![0; 64 << 10];
    while let Ok(read @ 1..) = node.read(&mut buffer).await {
        let Some(bytes) = buffer.get(..read) else { return };
        if cut.load(Ordering::SeqCst) || client.write_all(bytes).await.is_err() {
            // Keep reading, so that the node is never held up by answers nobody gets.
            if !cut.load(Ordering::SeqCst) {
                return;
            }
        }
    }
}
