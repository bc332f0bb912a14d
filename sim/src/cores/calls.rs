//! The calls of one user, as the history has them: what the real client's futures are on the level of drivers.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::history::{Call, Event, History, Who};

/// Calls that have not returned.
#[derive(Debug)]
pub(super) struct Calls {
    next: u64,
    open: BTreeMap<Call, u64>,
}

impl Calls {
    /// Numbers that no other user's calls have.
    pub(super) fn new(who: Who) -> Self {
        let (kind, number) = match who {
            Who::Producer(number) => (0, number),
            Who::Member(number) => (1, number),
        };
        Self { next: (u64::from(number) << 33) | (kind << 32), open: BTreeMap::new() }
    }

    /// A call begins, unless it is under way.
    pub(super) fn begin(&mut self, at: Duration, what: Call, limit: Duration, history: &mut History) {
        if self.open.contains_key(&what) {
            return;
        }
        self.next += 1;
        _ = self.open.insert(what, self.next);
        history.push(at, Event::Called { call: self.next, what, limit });
    }

    /// It gives its result, if it is under way.
    pub(super) fn end(&mut self, at: Duration, what: Call, ok: bool, history: &mut History) {
        if let Some(call) = self.open.remove(&what) {
            history.push(at, Event::Returned { call, ok });
        }
    }

    /// Nobody waits any more.
    pub(super) fn drop_all(&mut self, at: Duration, history: &mut History) {
        for call in std::mem::take(&mut self.open).into_values() {
            history.push(at, Event::Dropped { call });
        }
    }
}
