//! Connections: requests in order, one at a time, and what a test wants to happen to them.
//!
//! ```text
//!                 head is due                  answered
//!   Idle ────────────────────────► Processing ────────► Idle
//!    │ head is due later              │    │ answer is to wait        ▲
//!    ├──────► Waiting ── time ──┐     │    └──► Sending ── time ──────┤
//!    │                          ▼     │ throttled                     │
//!    └──────► Held ── release ─► Idle └──► Throttled ── time ─────────┘
//!
//!   from Processing also: Silent (for ever), or closed
//! ```

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::Bytes;
use klamm::protocol::{ApiKey, ErrorCode, Str};

use crate::core::sasl::Login;
use crate::script::{ConnectionId, Edit, Intercept, PartitionError};

/// A request's way back, and what its handling needs to know of it.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) connection: ConnectionId,
    pub(crate) node: i32,
    pub(crate) api_key: ApiKey,
    pub(crate) version: i16,
    pub(crate) correlation_id: i32,
    pub(crate) client_id: Option<Str>,
    /// The client's address, as groups show it.
    pub(crate) host: Str,
    /// Partitions that are to be refused.
    pub(crate) refused: Vec<PartitionError>,
}

impl Call {
    /// Why a test does not want this partition to be served.
    pub(crate) fn refusal(&self, topic: &str, partition: i32) -> Option<ErrorCode> {
        let hit = |refused: &&PartitionError| refused.partition == partition && refused.topic == topic;
        self.refused.iter().find(hit).map(|refused| refused.code)
    }
}

/// A request in a connection's queue.
#[derive(Debug)]
pub(crate) struct Queued {
    pub(crate) call: Call,
    pub(crate) body: Bytes,
    pub(crate) verdict: Intercept,
    pub(crate) not_before: Option<Instant>,
    /// Was it found that its sender may send it?
    pub(crate) is_admitted: bool,
}

/// What becomes of an answer.
#[derive(Debug, Default)]
pub(crate) enum After {
    /// It is sent.
    #[default]
    Send,
    /// It is changed and sent.
    Edit(Edit),
    /// It is dropped and the connection closed.
    Close,
    /// It is dropped, and so is all that comes.
    Silence,
    /// So many bytes of it are sent, then the connection is closed.
    Cut(usize),
    /// It is sent later.
    Later(Duration),
}

/// What a connection is doing.
#[derive(Debug, Default)]
pub(crate) enum State {
    #[default]
    Idle,
    Waiting(Instant),
    Held,
    Processing(After),
    Sending(Instant, Vec<Bytes>),
    Throttled(Instant),
    Silent,
}

/// One connection to one node.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) node: i32,
    pub(crate) host: Str,
    pub(crate) login: Login,
    pub(crate) queue: VecDeque<Queued>,
    pub(crate) state: State,
    /// Is what is being sent the last?
    pub(crate) is_last: bool,
    /// How long its client is to be quiet after the next answer, for what it used.
    pub(crate) quota_wait: Duration,
}

impl Connection {
    pub(crate) fn next_timeout(&self) -> Option<Instant> {
        match self.state {
            State::Waiting(at) | State::Sending(at, _) | State::Throttled(at) => Some(at),
            State::Idle | State::Held | State::Processing(_) | State::Silent => None,
        }
    }
}
