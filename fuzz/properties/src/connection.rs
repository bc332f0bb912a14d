//! The connection's core against a broker that says anything, in any pieces, at any time.
//!
//! The input is a script of steps. Answers that are in order are made here, for fuzzing would rarely find them: the request's
//! correlation id, then a body that is fuzzed.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use bytes::Bytes;
use klamm::config::{Sasl, SaslMechanism};
use klamm::protocol::header::RequestHeader;
use klamm::protocol::{ApiKey, DECLARATIONS, Kind};
use klamm::unstable::{Connection, Told};

use crate::declared::{self, Message};
use crate::input::Input;
use crate::login::NONCE;

/// What the broker of the script has seen.
#[derive(Default)]
struct Peer {
    /// Bytes that came and make no whole frame yet.
    bytes: Vec<u8>,
    /// Requests that are not answered.
    requests: VecDeque<RequestHeader>,
}

impl Peer {
    fn take(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
        while let Some(len) = self.bytes.first_chunk().map(|len| u32::from_be_bytes(*len) as usize) {
            if self.bytes.len() < 4 + len {
                return;
            }
            let frame = Bytes::from(self.bytes.drain(..4 + len).skip(4).collect::<Vec<u8>>());
            let (header, _) = RequestHeader::decode(&frame).expect("the client's requests are in order");
            self.requests.push_back(header);
        }
    }
}

/// What the owner of a connection was told, and what must hold of it.
#[derive(Default)]
struct Owner {
    /// Requests that are not answered: was the first byte taken?
    open: BTreeMap<u64, bool>,
    /// The last that was answered.
    answered: Option<u64>,
    ready: bool,
    derive: bool,
}

impl Owner {
    fn hear(&mut self, connection: &mut Connection, login: Option<SaslMechanism>) {
        while let Some(told) = connection.poll() {
            match told {
                Told::Written(ticket) => {
                    let written = self.open.insert(ticket, true);
                    assert_eq!(written, Some(false), "{ticket} is written once");
                }
                Told::Answered(ticket, ..) => {
                    assert_eq!(self.open.remove(&ticket), Some(true), "{ticket} is answered once, after it was written");
                    assert!(self.answered.is_none_or(|last| last < ticket), "answers come in the order of requests");
                    self.answered = Some(ticket);
                }
                Told::Failed(ticket, possibly_written, why) => {
                    assert_eq!(self.open.remove(&ticket), Some(possibly_written), "{ticket}: {why}");
                    assert!(why.len() < 4096, "{why}");
                }
                Told::Ready | Told::Renewed => {
                    let is_scram = login.is_some_and(|mechanism| mechanism != SaslMechanism::Plain);
                    assert!(!is_scram, "nobody is logged in without the broker's signature");
                    self.ready = true;
                }
                Told::Derive => self.derive = true,
                Told::Unconnected(_, why) => assert!(why.len() < 4096 && !why.contains(PASSWORD), "{why}"),
                Told::Throttled(pause) => assert!(pause <= Duration::from_secs(300), "{pause:?}"),
            }
        }
    }
}

const PASSWORD: &str = "canary-of-a-password";

/// How to log in, then steps.
pub(crate) fn script(input: &[u8]) {
    let mut input = Input(input);
    if input.knows(PASSWORD) {
        return;
    }
    let login = [None, None, Some(SaslMechanism::Plain), Some(SaslMechanism::ScramSha256), Some(SaslMechanism::ScramSha512)]
        [input.below(5)];
    let sasl = login.map(|mechanism| (Sasl::new(mechanism, "alice", PASSWORD), NONCE));
    let (mut connection, mut peer, mut owner) = (Connection::new(sasl), Peer::default(), Owner::default());
    let (mut now, mut next_ticket) = (Instant::now(), 0);
    connection.connect(now);
    let mut steps = 0;
    while !input.is_empty() && steps < 2000 {
        steps += 1;
        match input.below(10) {
            0 => connection.receive(now, input.piece()),
            1 | 2 => answer(&mut connection, &mut peer, &mut input, now),
            3 => peer.take(&connection.take(now, input.below(64) + 1)),
            4 | 5 => take_all(&mut connection, &mut peer, now),
            6 => {
                let Some(declaration) = declared::of_api(input.byte(), Kind::Request) else { return };
                let version = declared::version(declaration, input.byte());
                let api = ApiKey(declaration.api_key);
                if connection.send(now, next_ticket, api, version, Bytes::copy_from_slice(input.piece())) {
                    owner.open.insert(next_ticket, false);
                    next_ticket += 1;
                }
            }
            7 => {
                now += Duration::from_millis(u64::from(input.short()));
                connection.pass(now);
                let due = connection.next_timeout();
                // What is due was done: else the driver's timer would fire at once, for ever. A second look may find what the first made.
                if due.is_some_and(|at| at <= now) {
                    connection.pass(now);
                    let due = connection.next_timeout();
                    assert!(due.is_none_or(|at| at > now), "a time-out that is over stays due");
                }
            }
            8 => {
                connection.close(now);
                peer = Peer::default();
            }
            _ => {
                if owner.derive {
                    owner.derive = false;
                    connection.derived(now, input.flag().then(|| vec![7; 32]));
                }
            }
        }
        owner.hear(&mut connection, login);
        if !connection.is_connected() {
            assert!(owner.open.is_empty(), "requests of a connection that is gone were answered: {:?}", owner.open);
            peer = Peer::default();
            owner.ready = false;
            now += Duration::from_secs(2);
            connection.connect(now);
        }
    }
    connection.close(now);
    // Two closes may be taken for a broker that does not know the version; nothing is left open all the same.
    owner.hear(&mut connection, login);
    assert!(owner.open.is_empty(), "requests are answered in the end: {:?}", owner.open);
}

fn take_all(connection: &mut Connection, peer: &mut Peer, now: Instant) {
    loop {
        let taken = connection.take(now, usize::MAX);
        if taken.is_empty() {
            return;
        }
        peer.take(&taken);
    }
}

/// Answers the oldest request: header in order, body fuzzed, valid, or both in turn.
fn answer(connection: &mut Connection, peer: &mut Peer, input: &mut Input<'_>, now: Instant) {
    take_all(connection, peer, now);
    let Some(request) = peer.requests.pop_front() else { return };
    let is_it = |declaration: &&klamm::protocol::Declaration| {
        declaration.kind == Kind::Response && declaration.api_key == request.api_key.0
    };
    let Some(declaration) = DECLARATIONS.iter().find(is_it) else { return };
    let tags = (declaration.is_flexible)(request.api_version) && request.api_key != ApiKey::API_VERSIONS;
    let body = match input.below(4) {
        0 => input.piece().to_vec(),
        1 if request.api_key == ApiKey::API_VERSIONS => every_api(request.api_version),
        _ => Message::new(input, declaration, request.api_version).body(declaration),
    };
    let mut frame = request.correlation_id.to_be_bytes().to_vec();
    frame.extend(tags.then_some(0));
    frame.extend(body);
    let frame = [&(frame.len() as u32).to_be_bytes()[..], &frame].concat();
    let (first, rest) = frame.split_at(input.below(256).min(frame.len()));
    connection.receive(now, first);
    connection.receive(now, rest);
}

/// ApiVersions of a broker that serves all: the way to a connection that is ready.
fn every_api(version: i16) -> Vec<u8> {
    let requests: Vec<_> = DECLARATIONS.iter().filter(|declaration| declaration.kind == Kind::Request).collect();
    let mut body = vec![0, 0];
    match version {
        ..=2 => body.extend((requests.len() as u32).to_be_bytes()),
        _ => body.extend([(requests.len() as u8 + 1) | 0x80, ((requests.len() + 1) >> 7) as u8]),
    }
    for request in requests {
        for number in [request.api_key, request.versions.0, request.versions.1] {
            body.extend(number.to_be_bytes());
        }
        body.extend((version > 2).then_some(0));
    }
    body.extend((version > 0).then_some([0; 4]).into_iter().flatten());
    body.extend((version > 2).then_some(0));
    body
}
