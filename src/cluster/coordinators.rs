//! Which broker coordinates a group or a transactional id: lookups shared by all who ask, and what they found.
//!
//! There is at most one lookup per coordinator type and key. It belongs to nobody: a caller that goes away takes only its wish along,
//! and the lookup goes on as long as anyone is left who waits. Every way a lookup can end clears it, so the next wish sends a new one.
//! What was found is kept until somebody reports that the coordinator moved or cannot be reached.
//!
//! Answers that say "not now" (coordinator loading or not available) and lost connections are tried again after a pause; any other
//! refusal is given to those who wait, and a later wish asks anew.

use std::collections::{BTreeMap, VecDeque};
use std::time::Instant;

use crate::cluster::refresh::Ticket;
use crate::cluster::{BackoffConfig, CoordinatorType, Node, Snapshot, Spread};
use crate::error::{Error, ErrorKind, Untrusted, said};
use crate::protocol::messages::find_coordinator::{FindCoordinatorRequest, FindCoordinatorResponse};
use crate::protocol::{BrokerId, ErrorCode, Str};

/// Entries that nobody waits for are dropped beyond so many, the first keys first.
const MAX_KEPT: usize = 4096;

/// What is looked up.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Key {
    /// Group or transaction.
    pub kind: CoordinatorType,
    /// The group's or transactional id.
    pub key: String,
}

/// What the lookups are told.
#[derive(Debug)]
pub(crate) enum Command {
    /// One more caller waits for this coordinator.
    Want(Key),
    /// One caller less.
    Unwant(Key),
    /// The coordinator moved or cannot be reached.
    Forget(Key),
    /// No coordinator is to be trusted any more.
    ForgetAll,
}

/// What the lookups want done.
#[derive(Debug)]
pub(crate) enum Action {
    /// Ask any broker; [`request`] makes the request.
    Send { ticket: Ticket, key: Key },
    /// Callers that wait have to look: [`Coordinators::state`] of this key is final.
    Settled(Key),
}

/// How a lookup stands.
#[derive(Clone, Debug)]
pub(crate) enum State {
    /// To be asked at this instant.
    Due(Instant),
    /// Asked.
    Asking(Ticket),
    /// Found.
    Found(Node),
    /// Refused for good.
    Refused(Error),
}

#[derive(Debug)]
struct Lookup {
    state: State,
    waiters: usize,
    failures: u32,
    /// Why the last attempt brought nothing.
    reason: Option<Error>,
}

/// See the module's head.
#[derive(Debug)]
pub(crate) struct Coordinators {
    backoff: BackoffConfig,
    spread: Spread,
    lookups: BTreeMap<Key, Lookup>,
    next_ticket: Ticket,
    settled: VecDeque<Key>,
}

impl Coordinators {
    /// Nothing looked up yet.
    pub(crate) fn new(backoff: BackoffConfig, seed: u64) -> Self {
        Self { backoff, spread: Spread::new(seed), lookups: BTreeMap::new(), next_ticket: 0, settled: VecDeque::new() }
    }

    /// How the lookup of `key` stands; `None` if there is none.
    pub(crate) fn state(&self, key: &Key) -> Option<&State> {
        self.lookups.get(key).map(|lookup| &lookup.state)
    }

    /// Why the last attempt to find `key` brought nothing.
    pub(crate) fn reason(&self, key: &Key) -> Option<&Error> {
        self.lookups.get(key).and_then(|lookup| lookup.reason.as_ref())
    }

    /// A command, as [`Command`] describes them.
    pub(crate) fn handle_command(&mut self, now: Instant, command: Command) {
        match command {
            Command::Want(key) => {
                let fresh = || Lookup { state: State::Due(now), waiters: 0, failures: 0, reason: None };
                let lookup = self.lookups.entry(key).or_insert_with(fresh);
                lookup.waiters += 1;
                if matches!(lookup.state, State::Refused(_)) {
                    *lookup = Lookup { waiters: lookup.waiters, ..fresh() };
                }
            }
            Command::Unwant(key) => {
                if let Some(lookup) = self.lookups.get_mut(&key) {
                    lookup.waiters = lookup.waiters.saturating_sub(1);
                    if lookup.waiters == 0 && matches!(lookup.state, State::Due(_) | State::Refused(_)) {
                        self.lookups.remove(&key);
                    }
                }
                self.drop_surplus();
            }
            Command::Forget(key) => self.forget(now, &key),
            Command::ForgetAll => {
                let keys: Vec<_> = self.lookups.keys().cloned().collect();
                keys.iter().for_each(|key| self.forget(now, key));
            }
        }
    }

    /// The answer to `ticket`.
    pub(crate) fn handle_response(&mut self, now: Instant, ticket: Ticket, result: Result<FindCoordinatorResponse, Error>) {
        let asked = |lookup: &Lookup| matches!(lookup.state, State::Asking(asked) if asked == ticket);
        let Some((key, lookup)) = self.lookups.iter_mut().find(|(_, lookup)| asked(lookup)) else { return };
        let key = key.clone();
        match result.and_then(|answer| found(&key, &answer)) {
            Ok(node) => {
                *lookup = Lookup { state: State::Found(node), waiters: lookup.waiters, failures: 0, reason: None };
                self.settled.push_back(key);
            }
            Err(error) if may_pass(&error) => {
                lookup.failures = lookup.failures.saturating_add(1);
                lookup.reason = Some(error);
                lookup.state = State::Due(now + self.spread.apply(self.backoff.pause(lookup.failures)));
                if lookup.waiters == 0 {
                    self.lookups.remove(&key);
                }
            }
            Err(error) => {
                if lookup.waiters == 0 {
                    self.lookups.remove(&key);
                } else {
                    lookup.state = State::Refused(error);
                    self.settled.push_back(key);
                }
            }
        }
    }

    /// Brokers may have moved: what was found on one of them is at its new address.
    pub(crate) fn handle_snapshot(&mut self, snapshot: &Snapshot) {
        for lookup in self.lookups.values_mut() {
            if let State::Found(node) = &mut lookup.state
                && let Some(known) = snapshot.node(node.id).filter(|known| known.moved_from(node))
            {
                *node = known.clone();
            }
        }
    }

    /// The next thing to do; call until `None` after every input and at [`next_timeout`](Self::next_timeout).
    pub(crate) fn poll(&mut self, now: Instant) -> Option<Action> {
        if let Some(key) = self.settled.pop_front() {
            return Some(Action::Settled(key));
        }
        let due = |lookup: &Lookup| matches!(lookup.state, State::Due(at) if at <= now);
        let (key, lookup) = self.lookups.iter_mut().find(|(_, lookup)| due(lookup))?;
        let ticket = self.next_ticket;
        self.next_ticket += 1;
        lookup.state = State::Asking(ticket);
        Some(Action::Send { ticket, key: key.clone() })
    }

    /// When to call [`poll`](Self::poll) although nothing happened.
    pub(crate) fn next_timeout(&self) -> Option<Instant> {
        let due = |lookup: &Lookup| match lookup.state {
            State::Due(at) => Some(at),
            _ => None,
        };
        self.lookups.values().filter_map(due).min()
    }

    /// Drops what was found; a lookup under way goes on, for its answer may be the new coordinator.
    fn forget(&mut self, now: Instant, key: &Key) {
        if let Some(lookup) = self.lookups.get_mut(key)
            && matches!(lookup.state, State::Found(_))
        {
            if lookup.waiters == 0 {
                self.lookups.remove(key);
            } else {
                lookup.state = State::Due(now);
            }
        }
    }

    fn drop_surplus(&mut self) {
        while self.lookups.len() > MAX_KEPT {
            let Some(key) = self.lookups.iter().find(|(_, lookup)| lookup.waiters == 0).map(|(key, _)| key.clone()) else {
                return;
            };
            self.lookups.remove(&key);
        }
    }
}

/// The request for `key` in a version: since version 4 keys come as a list (KIP-699).
///
/// # Errors
/// A key that is too long for the protocol.
pub(crate) fn request(key: &Key, version: i16) -> Result<FindCoordinatorRequest, Error> {
    let text = Str::try_from(key.key.as_str()).map_err(|error| {
        Error::new(ErrorKind::InvalidRequest, "the group's or transactional id is too long").with_source(error)
    })?;
    let key_type = key.kind as i8;
    Ok(if version >= 4 {
        FindCoordinatorRequest { key_type, coordinator_keys: vec![text], ..FindCoordinatorRequest::default() }
    } else {
        FindCoordinatorRequest { key_type, key: text, ..FindCoordinatorRequest::default() }
    })
}

/// The coordinator that the answer names for `key`.
fn found(key: &Key, answer: &FindCoordinatorResponse) -> Result<Node, Error> {
    let (code, message, id, host, port) = match answer.coordinators.iter().find(|entry| entry.key == *key.key.as_str()) {
        Some(entry) => (entry.error_code, &entry.error_message, entry.node_id, &entry.host, entry.port),
        None if answer.coordinators.is_empty() => {
            (answer.error_code, &answer.error_message, answer.node_id, &answer.host, answer.port)
        }
        None => return Err(Error::new(ErrorKind::Decode, "the answer is about another key than was asked for")),
    };
    if let Err(code) = code.ok() {
        let text = said(message.as_ref()).map(|text| format!(" (the broker says: {text})")).unwrap_or_default();
        let what = match key.kind {
            CoordinatorType::Group => "group",
            CoordinatorType::Transaction => "transactional id",
        };
        let error = Error::from_code(code, format!("no coordinator for {what} {:?}{text}", Untrusted(&key.key)));
        let error = error.with_api("FindCoordinator");
        return Err(if key.kind == CoordinatorType::Group { error.with_group(key.key.as_str()) } else { error });
    }
    let port = u16::try_from(port).ok().filter(|port| *port > 0 && id >= BrokerId(0) && !host.as_str().is_empty());
    let port =
        port.ok_or_else(|| Error::from_code(ErrorCode::COORDINATOR_NOT_AVAILABLE, "the answer names no usable address"))?;
    Ok(Node::new(id, host.as_str(), port))
}

/// Is another attempt likely to end otherwise?
fn may_pass(error: &Error) -> bool {
    error.is_retriable() || matches!(error.code(), Some(ErrorCode::UNKNOWN_SERVER_ERROR)) || error.kind() == ErrorKind::Decode
}

#[cfg(test)]
mod tests;
