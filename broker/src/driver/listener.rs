//! TCP: one listener for each node.

use std::io::Result;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use crate::driver::{Shared, State, connection, lock};
use crate::script::Reachability;

/// A port that is not free yet is tried again after this.
const RETRY: Duration = Duration::from_millis(10);

impl Shared {
    /// Has `node` served at this listener.
    pub(crate) fn listen(self: &Arc<Self>, node: i32, listener: TcpListener) {
        lock(&self.state).listen(self, node, listener);
    }

    /// Stops listening for `node`.
    pub(crate) fn stop_listening(&self, node: i32) {
        lock(&self.state).stop_listening(node);
    }

    /// Where `node` listens, or did before it was stopped.
    pub(crate) fn bound(&self, node: i32) -> Option<SocketAddr> {
        lock(&self.state).bound.get(&node).copied()
    }
}

impl State {
    fn listen(&mut self, shared: &Arc<Shared>, node: i32, listener: TcpListener) {
        if let Ok(address) = listener.local_addr() {
            self.bound.insert(node, address);
        }
        self.replace_listener(node, tokio::spawn(accept(shared.clone(), node, listener)));
    }

    fn replace_listener(&mut self, node: i32, task: JoinHandle<()>) {
        if let Some(before) = self.listeners.insert(node, task) {
            before.abort();
        }
    }

    pub(super) fn stop_listening(&mut self, node: i32) {
        if let Some(task) = self.listeners.remove(&node) {
            task.abort();
        }
    }

    /// Listens for `node` where it did before, or at a free port, which the core is told. In memory there is nothing to do.
    pub(super) fn listen_again(&mut self, shared: &Arc<Shared>, node: i32, elsewhere: bool) {
        let Some(address) = self.bound.get(&node).copied() else { return };
        if elsewhere && let Ok(listener) = bind_anywhere(address.ip()) {
            if let Ok(address) = listener.local_addr() {
                self.core.set_address(node, &address.ip().to_string(), address.port());
            }
            return self.listen(shared, node, listener);
        }
        if elsewhere {
            // There is no other port: it stays where it was.
            self.core.set_address(node, &address.ip().to_string(), address.port());
        }
        if !self.listeners.contains_key(&node) {
            self.replace_listener(node, tokio::spawn(listen_at(shared.clone(), node, address)));
        }
    }
}

/// Binds at once, so that nobody hears of an address before it is there.
fn bind_anywhere(ip: IpAddr) -> Result<TcpListener> {
    let listener = std::net::TcpListener::bind((ip, 0))?;
    listener.set_nonblocking(true)?;
    TcpListener::from_std(listener)
}

/// The listener before may not be gone yet: it goes when its task does.
async fn listen_at(shared: Arc<Shared>, node: i32, address: SocketAddr) {
    loop {
        match TcpListener::bind(address).await {
            Ok(listener) => return accept(shared, node, listener).await,
            Err(_) => tokio::time::sleep(RETRY).await,
        }
    }
}

async fn accept(shared: Arc<Shared>, node: i32, listener: TcpListener) {
    let mut held = Vec::new();
    loop {
        let Ok((stream, peer)) = listener.accept().await else {
            // Out of file descriptors, for example: the client is gone, others may come.
            tokio::task::yield_now().await;
            continue;
        };
        match shared.look(|core| core.nodes().get(&node).map(|node| node.reachability)) {
            Some(Reachability::Open) => drop(tokio::spawn(serve(shared.clone(), node, stream, peer))),
            Some(Reachability::BlackHole) => held.push(stream),
            Some(Reachability::Refusing) | None => drop(stream),
        }
    }
}

async fn serve(shared: Arc<Shared>, node: i32, stream: TcpStream, peer: SocketAddr) {
    if !shared.admits(node).await {
        return;
    }
    // Answers are written whole; holding back their last bytes only costs time. Where it cannot be set, they come later.
    let _ = stream.set_nodelay(true);
    let host = format!("/{}", peer.ip());
    #[cfg(feature = "tls")]
    if let Some(tls) = shared.tls.get() {
        // A client whose handshake fails has been told so by TLS.
        let Ok(stream) = tls.accept(stream).await else { return };
        return connection::serve(shared, node, host, stream).await;
    }
    connection::serve(shared, node, host, stream).await;
}

/// Binds an address for each of `nodes` nodes: the first at `address`, the others at the ports after it, or at any where it says 0.
pub(crate) async fn bind(address: SocketAddr, nodes: i32) -> Result<Vec<TcpListener>> {
    let mut listeners = Vec::new();
    for node in 0..u16::try_from(nodes).unwrap_or(0) {
        let port = if address.port() == 0 { 0 } else { address.port().saturating_add(node) };
        listeners.push(TcpListener::bind((address.ip(), port)).await?);
    }
    Ok(listeners)
}
