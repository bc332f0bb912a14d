//! The core for fuzz targets: frames in, actions out, time in the caller's hands.

mod cluster;
mod losses;

use std::time::Instant;

use bytes::Bytes;
use klamm::protocol::TopicName;

use crate::core::{self, Settings};
use crate::faults::{Fault, NetworkFault, Plan};
use crate::script::{ConnectionId, Intercept, SaslMechanism};

pub use losses::Loss;

/// A cluster of one node without sockets, tasks or clock.
#[derive(Debug)]
pub struct Core {
    core: core::Core,
}

/// What a driver has to do.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Write these bytes.
    Send(ConnectionId, Vec<Bytes>),
    /// Close.
    Close(ConnectionId),
    /// Have the network do this from now on.
    Network(NetworkFault),
    /// End all that the network does.
    Heal,
}

impl Core {
    /// With these topics and numbers of partitions; names must be valid. With `users`, clients have to log in as one of them.
    pub fn new(now: Instant, topics: &[(&'static str, i32)], users: &[(SaslMechanism, &str, &str)]) -> Self {
        let mut core = core::Core::new(now, 1_700_000_000_000, Settings::default(), vec![("node-1".to_owned(), 9092)]);
        for (name, partitions) in topics {
            let Ok(name) = TopicName::try_from(*name) else { continue };
            core.create_default_topic(&name, *partitions);
        }
        for (mechanism, user, password) in users {
            core.set_sasl_user(*mechanism, user, password);
        }
        Self { core }
    }

    /// A client connected.
    pub fn connect(&mut self) -> ConnectionId {
        self.core.handle_connected(1, "client-1")
    }

    /// A client closed.
    pub fn close(&mut self, connection: ConnectionId) {
        self.core.handle_closed(connection);
    }

    /// A frame came, without its length.
    pub fn receive(&mut self, now: Instant, connection: ConnectionId, frame: &Bytes) {
        if let Some(request) = self.core.handle_frame(now, connection, frame) {
            self.core.handle_request(now, request, Intercept::Pass);
        }
    }

    /// Has a fault happen.
    pub fn fault(&mut self, now: Instant, fault: &Fault) {
        self.core.apply(now, fault);
    }

    /// Begins a plan. Its seed is for the caller's [`Network`](crate::faults::Network).
    pub fn run_plan(&mut self, now: Instant, plan: Plan) {
        self.core.run_plan(now, plan);
    }

    /// Ends all faults and forgets those to come.
    pub fn clear_faults(&mut self, now: Instant) {
        self.core.clear_faults(now);
    }

    /// Fires what is due.
    pub fn pass(&mut self, now: Instant) {
        self.core.handle_timeout(now);
    }

    /// When something is due next.
    pub fn next_timeout(&self) -> Option<Instant> {
        self.core.next_timeout()
    }

    /// What to do next.
    pub fn poll(&mut self) -> Option<Action> {
        loop {
            return Some(match self.core.poll()? {
                core::Action::Send(connection, bytes) => Action::Send(connection, bytes),
                core::Action::Close(connection) => Action::Close(connection),
                core::Action::Network(fault) => Action::Network(fault),
                core::Action::Heal => Action::Heal,
                // Nobody listens here: a node's address is all there is.
                core::Action::StopListening(_) | core::Action::Listen { .. } => continue,
            });
        }
    }
}
