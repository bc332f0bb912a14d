//! The embedded broker's core against clients that say anything: its answers are in order, one for each request and in their order.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use bytes::Bytes;
use klamm::protocol::header::{RequestHeader, decode_response};
use klamm::protocol::messages::produce::ProduceRequest;
use klamm::protocol::{ApiKey, ApiMessage as _, DECLARATIONS, Declaration, Kind};
use klamm_broker::unstable::{Action, Core};
use klamm_broker::{ConnectionId, SaslMechanism};

use crate::declared::{self, Message};
use crate::input::Input;

/// What a client has asked and not been answered.
type Asked = BTreeMap<ConnectionId, VecDeque<RequestHeader>>;

/// Must clients log in? Then steps.
pub(crate) fn script(input: &[u8]) {
    let mut input = Input(input);
    let users = [(SaslMechanism::Plain, "alice", "alice-secret"), (SaslMechanism::ScramSha256, "bob", "bob-secret")];
    let users = if input.below(4) == 1 { &users[..] } else { &[] };
    let mut now = Instant::now();
    let mut broker = Core::new(now, &[("t", 3), ("u", 1)], users);
    let mut connections = vec![broker.connect()];
    let mut asked = Asked::new();
    let mut steps = 0;
    while !input.is_empty() && steps < 500 {
        steps += 1;
        let at = connections[input.below(connections.len())];
        match input.below(8) {
            0 => {
                let len = usize::from(input.short());
                ask(&mut broker, now, at, Bytes::copy_from_slice(input.slice(len)), &mut asked);
            }
            1..=4 => {
                let frame = valid(&mut input);
                ask(&mut broker, now, at, frame, &mut asked);
            }
            5 => {
                now += Duration::from_millis(u64::from(input.short()));
                broker.pass(now);
                let due = broker.next_timeout();
                assert!(due.is_none_or(|at| at > now), "a time-out that is over stays due");
            }
            6 if connections.len() < 8 => connections.push(broker.connect()),
            _ => {
                broker.close(at);
                asked.remove(&at);
            }
        }
        while let Some(action) = broker.poll() {
            match action {
                Action::Send(connection, bytes) => answered(&bytes.concat(), asked.get_mut(&connection)),
                Action::Close(connection) => _ = asked.remove(&connection),
                Action::Network(_) | Action::Heal => {}
            }
        }
    }
}

fn ask(broker: &mut Core, now: Instant, at: ConnectionId, frame: Bytes, asked: &mut Asked) {
    if let Ok((header, body)) = RequestHeader::decode(&frame) {
        // One that is never answered must not be taken for what is: fuzzing gives all requests the same number.
        let is_silent = header.api_key == ApiKey::PRODUCE
            && ProduceRequest::decode(&body, header.api_version).is_ok_and(|request| request.acks == 0);
        if !is_silent {
            asked.entry(at).or_default().push_back(header);
        }
    }
    broker.receive(now, at, &frame);
}

/// API, version, and the choices that make a request.
fn valid(input: &mut Input<'_>) -> Bytes {
    let Some(declaration) = declared::of_api(input.byte(), Kind::Request) else { return Bytes::new() };
    let version = declared::version(declaration, input.byte());
    let mut frame = Vec::new();
    for number in [declaration.api_key, version, 0, i16::from(input.byte()), -1] {
        frame.extend(number.to_be_bytes());
    }
    frame.extend((declaration.is_flexible)(version).then_some(0));
    frame.extend(Message::new(input, declaration, version).body(declaration));
    frame.into()
}

/// An answer: to the oldest request that was not left unanswered, and of its version.
fn answered(bytes: &[u8], asked: Option<&mut VecDeque<RequestHeader>>) {
    let asked = asked.expect("only connections that are there are answered");
    assert_eq!(bytes[..4], (bytes.len() as u32 - 4).to_be_bytes());
    let frame = Bytes::copy_from_slice(&bytes[4..]);
    let id = klamm::protocol::header::correlation_id(&frame).expect("a header");
    // A Produce that cannot be read may have wanted no answer.
    let request = loop {
        let request = asked.pop_front().expect("an answer to a request");
        if request.correlation_id == id && is_answer(&request, &frame) {
            break request;
        }
        assert_eq!(request.api_key, ApiKey::PRODUCE, "{request:?} was passed over");
    };
    assert_eq!(request.correlation_id, id);
}

/// Can it be read as an answer to this?
fn is_answer(request: &RequestHeader, frame: &Bytes) -> bool {
    let is_it = |declaration: &&Declaration| declaration.kind == Kind::Response && declaration.api_key == request.api_key.0;
    let declaration = DECLARATIONS.iter().find(is_it).expect("its API is declared");
    // What the broker does not know of ApiVersions it says in version 0 (KIP-511).
    let known = declaration.each_version().contains(&request.api_version);
    let version = if known { request.api_version } else { 0 };
    let Ok((_, body)) = decode_response(frame, request.api_key, (declaration.is_flexible)(version)) else { return false };
    (declaration.decode)(&body, version).is_ok()
}
