//! Which node coordinates a group or transactional id, and what becomes of groups when that changes.
//!
//! In Kafka the coordinator is the leader of the partition of `__consumer_offsets` or `__transaction_state` that follows from the
//! name. Here a node follows from the name, unless a test has chosen one; the next one that runs if it does not. A test may also
//! leave a name without a coordinator, or have a coordinator load for a while.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use klamm::protocol::ErrorCode;

use crate::core::{Call, Core};

/// What tests want of coordinators, and where groups are at present.
#[derive(Debug, Default)]
pub(crate) struct Placement {
    chosen: BTreeMap<String, i32>,
    unloaded: BTreeSet<String>,
    /// Until when a coordinator reads its log.
    loading: BTreeMap<String, Instant>,
    /// Groups that are not where their name says, or whose coordinator has changed before.
    at: BTreeMap<String, Option<i32>>,
}

impl Placement {
    pub(super) fn next_timeout(&self) -> Option<Instant> {
        self.loading.values().min().copied()
    }

    pub(super) fn handle_timeout(&mut self, now: Instant) {
        self.loading.retain(|_, until| *until > now);
    }
}

impl Core {
    /// The node that coordinates a group or a transactional id.
    pub(crate) fn coordinator_of(&self, key: &str) -> Option<i32> {
        if self.placement.unloaded.contains(key) {
            return None;
        }
        let hash = key.bytes().fold(0usize, |hash, byte| hash.wrapping_mul(31).wrapping_add(usize::from(byte)));
        let nodes: Vec<_> = self.nodes.keys().copied().collect();
        let chosen = self.placement.chosen.get(key).and_then(|chosen| nodes.iter().position(|node| node == chosen));
        let first = chosen.unwrap_or(hash % nodes.len().max(1));
        let mut from_first = nodes.iter().cycle().skip(first).take(nodes.len());
        from_first.find(|id| self.nodes.get(id).is_some_and(|node| node.running)).copied()
    }

    /// Is the node that was asked the coordinator, and ready?
    pub(super) fn check_coordinator(&self, call: &Call, key: &str) -> Result<(), ErrorCode> {
        if self.coordinator_of(key) != Some(call.node) {
            return Err(ErrorCode::NOT_COORDINATOR);
        }
        if self.placement.loading.contains_key(key) { Err(ErrorCode::COORDINATOR_LOAD_IN_PROGRESS) } else { Ok(()) }
    }

    /// Is a coordinator on this node loading?
    pub(super) fn is_loading(&self, node: i32) -> bool {
        self.placement.loading.keys().any(|key| self.coordinator_of(key) == Some(node))
    }

    /// Makes a node the coordinator of a group or transactional id. It says that it is loading for so long; what a group's log says
    /// is then there, what was under way is lost.
    pub(crate) fn move_coordinator(&mut self, now: Instant, key: &str, node: i32, loading: Duration) {
        self.remember_coordinators();
        self.placement.unloaded.remove(key);
        self.placement.chosen.insert(key.to_owned(), node);
        match now.checked_add(loading) {
            Some(until) if until > now => drop(self.placement.loading.insert(key.to_owned(), until)),
            _ => drop(self.placement.loading.remove(key)),
        }
        self.settle_coordinators(now);
        self.pump(now);
    }

    /// Ends that nobody coordinates a group or transactional id: who did before does, or whoever runs.
    pub(crate) fn load_coordinator(&mut self, now: Instant, key: &str) {
        self.remember_coordinators();
        self.placement.unloaded.remove(key);
        self.settle_coordinators(now);
        self.pump(now);
    }

    /// Does nobody coordinate it, whichever nodes run?
    pub(super) fn is_unloaded(&self, key: &str) -> bool {
        self.placement.unloaded.contains(key)
    }

    /// Leaves a group or transactional id without a coordinator, until `move_coordinator` gives it one.
    pub(crate) fn unload_coordinator(&mut self, now: Instant, key: &str) {
        self.remember_coordinators();
        self.placement.unloaded.insert(key.to_owned());
        self.placement.loading.remove(key);
        self.settle_coordinators(now);
        self.pump(now);
    }

    /// Notes where groups are, before something changes that may move them.
    pub(super) fn remember_coordinators(&mut self) {
        let at: BTreeMap<_, _> = self.groups.names().map(|name| (name.clone(), self.coordinator_of(name))).collect();
        self.placement.at = at;
    }

    /// Reads groups back from the log whose coordinator has changed since.
    pub(super) fn settle_coordinators(&mut self, now: Instant) {
        for (name, before) in std::mem::take(&mut self.placement.at) {
            if self.coordinator_of(&name) != before {
                self.groups.reload(now, &name);
            }
        }
    }
}
