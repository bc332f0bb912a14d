//! The connection's core for fuzz targets: bytes in, bytes and events out, time and chance in the caller's hands.

use std::io::IoSlice;
use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::config::Sasl;
use crate::network::connection::{Core, Event};
use crate::network::{CauseKind, ConnectionConfig, Outgoing, Target, Written, sasl};
use crate::protocol::ApiKey;

/// A connection without a socket.
#[derive(Debug)]
pub struct Connection {
    core: Core,
}

/// What a connection tells its owner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Told {
    /// The first byte of this request was taken.
    Written(u64),
    /// This request was answered: API, version, body.
    Answered(u64, ApiKey, i16, Bytes),
    /// This request will not be answered, and whether the broker may have seen it.
    Failed(u64, bool, String),
    /// Set-up is through.
    Ready,
    /// Logged in anew.
    Renewed,
    /// A password is to be derived: [`Connection::derived`].
    Derive,
    /// An attempt to connect and set up failed, and whether by a refusal to log in.
    Unconnected(bool, String),
    /// The broker wants nothing for this much longer.
    Throttled(Duration),
}

impl Connection {
    /// Not connected; logs in as `sasl` with `nonce`, if there is one.
    pub fn new(login: Option<(Sasl, &'static str)>) -> Self {
        let setup = login.map(|(sasl, nonce)| sasl::unstable::steps(sasl, nonce));
        let config = ConnectionConfig { setup, seed: 7, ..ConnectionConfig::default() };
        Self { core: Core::new(config, &Target::new("broker", 9092)) }
    }

    /// Connects, if it is not connected.
    pub fn connect(&mut self, now: Instant) {
        if !self.core.has_transport() {
            self.core.handle_connecting(now);
            self.core.handle_connected(now);
        }
    }

    /// Is there a connection, set up or being set up?
    pub fn is_connected(&self) -> bool {
        self.core.has_transport()
    }

    /// Sends a request; `false` if there is no room for it now.
    pub fn send(&mut self, now: Instant, ticket: u64, api: ApiKey, version: i16, body: Bytes) -> bool {
        let has_room = self.core.has_room(now);
        if has_room {
            let timeout = Duration::from_secs(30);
            let body = vec![body];
            self.core.send(now, Outgoing { ticket, api, version, body, timeout, expects_response: true, expected_len: 0 });
        }
        has_room
    }

    /// Takes at most `most` bytes of what is to be written.
    pub fn take(&mut self, now: Instant, most: usize) -> Vec<u8> {
        let mut slices = [IoSlice::new(&[]); 8];
        let count = self.core.slices(&mut slices);
        let bytes = slices.iter().take(count).flat_map(|slice| slice.iter().copied()).take(most);
        let taken: Vec<u8> = bytes.collect();
        if !taken.is_empty() {
            self.core.handle_written(now, taken.len());
        }
        taken
    }

    /// Bytes came.
    pub fn receive(&mut self, now: Instant, bytes: &[u8]) {
        if self.core.has_transport() {
            self.core.read_buffer().extend_from_slice(bytes);
            self.core.handle_read(now);
        }
    }

    /// The password was derived, or could not be.
    pub fn derived(&mut self, now: Instant, salted: Option<Vec<u8>>) {
        self.core.handle_work(now, self.core.connection(), salted.map(Into::into));
    }

    /// The broker closed.
    pub fn close(&mut self, now: Instant) {
        if self.core.has_transport() {
            self.core.handle_closed(now, None);
        }
    }

    /// Fires what is due.
    pub fn pass(&mut self, now: Instant) {
        self.core.handle_timeout(now);
    }

    /// When something is due next.
    pub fn next_timeout(&self) -> Option<Instant> {
        self.core.next_timeout()
    }

    /// What the owner is told next.
    pub fn poll(&mut self) -> Option<Told> {
        Some(match self.core.poll()? {
            Event::Written(ticket) => Told::Written(ticket),
            Event::Answered(ticket, Ok(answer)) => Told::Answered(ticket, answer.api, answer.version, answer.body),
            Event::Answered(ticket, Err(failure)) => {
                Told::Failed(ticket, failure.written == Written::Maybe, failure.cause.to_string())
            }
            Event::Ready => Told::Ready,
            Event::Renewed => Told::Renewed,
            Event::Work(_) => Told::Derive,
            Event::Unconnected(cause) => Told::Unconnected(cause.kind() == CauseKind::Authentication, cause.to_string()),
            Event::Throttled(pause) => Told::Throttled(pause),
        })
    }
}
