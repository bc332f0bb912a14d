//! Connections inside the process: a pipe in place of a socket.

#[cfg(feature = "connector")]
use std::io::{Error, ErrorKind, Result};
use std::sync::Arc;

use tokio::io::DuplexStream;

use crate::driver::{Shared, connection};
#[cfg(feature = "connector")]
use crate::script::Reachability;

/// Bytes a pipe holds in each direction.
const CAPACITY: usize = 64 << 10;

/// The client's end of a connection.
pub(crate) type Pipe = DuplexStream;

impl Shared {
    /// Connects to the node that has this address.
    #[cfg(feature = "connector")]
    pub(crate) async fn connect(self: &Arc<Self>, host: &str, port: u16) -> Result<Pipe> {
        let node = self.look(|core| {
            let mut nodes = core.nodes().iter();
            nodes.find(|(_, node)| node.host == host && node.port == port).map(|(id, node)| (*id, node.clone()))
        });
        let Some((id, node)) = node else {
            return Err(Error::new(ErrorKind::NotFound, format!("no node of the embedded broker has the address {host}:{port}")));
        };
        if node.reachability == Reachability::BlackHole {
            std::future::pending::<()>().await;
        }
        let is_admitted = self.admits(id).await;
        if !is_admitted || !node.running || node.reachability == Reachability::Refusing || self.is_stopped() {
            return Err(Error::new(
                ErrorKind::ConnectionRefused,
                format!("node {id} of the embedded broker refuses connections"),
            ));
        }
        Ok(self.pipe(id))
    }

    /// Connects to a node whatever it says to others.
    pub(crate) fn pipe(self: &Arc<Self>, node: i32) -> Pipe {
        let (ours, theirs) = tokio::io::duplex(CAPACITY);
        let task = connection::serve(self.clone(), node, "/127.0.0.1".to_owned(), ours);
        tokio::spawn(task);
        theirs
    }
}
