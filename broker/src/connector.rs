//! The way of klamm's own clients to a broker of this process.

use std::io;
use std::sync::Arc;

use klamm::network::{BoxFuture, Connector, Target, Transport};

use crate::Broker;
use crate::driver::Shared;

/// Connects to the nodes of one [`Broker`] without sockets, whichever way it was started.
///
/// It does not keep the broker alive: once its last handle is dropped, connections are refused.
#[derive(Clone, Debug)]
pub struct MemoryConnector {
    shared: Arc<Shared>,
}

impl Broker {
    /// What a client is given to reach this broker: `Client::builder(broker.bootstrap()).connector(broker.connector())`.
    pub fn connector(&self) -> MemoryConnector {
        MemoryConnector { shared: self.shared().clone() }
    }
}

impl Connector for MemoryConnector {
    fn connect(&self, target: Target) -> BoxFuture<'static, io::Result<Box<dyn Transport>>> {
        let shared = self.shared.clone();
        Box::pin(async move { Ok(Box::new(shared.connect(&target.host, target.port).await?) as Box<dyn Transport>) })
    }
}
