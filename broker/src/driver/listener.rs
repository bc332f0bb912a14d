//! TCP: one listener for each node.

use std::io::Result;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::{TcpListener, TcpStream};

use crate::driver::{Shared, connection, lock};
use crate::script::Reachability;

impl Shared {
    /// Has `node` served at this listener.
    pub(crate) fn listen(self: &Arc<Self>, node: i32, listener: TcpListener) {
        let task = tokio::spawn(accept(self.clone(), node, listener));
        if let Some(before) = lock(&self.state).listeners.insert(node, task) {
            before.abort();
        }
    }

    /// Stops listening for `node`.
    pub(crate) fn stop_listening(&self, node: i32) {
        if let Some(task) = lock(&self.state).listeners.remove(&node) {
            task.abort();
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
