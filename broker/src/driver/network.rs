//! The network's part of the driver: what the tasks of connections ask of [`Network`](crate::faults::Network).
//!
//! They hear of new faults, and of the broker's end, through [`Changes`]: a fault counts for all bytes that are read or written after it.

use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use bytes::Bytes;
use tokio::sync::Notify;

use crate::driver::{Shared, lock, now};
use crate::faults::{Connect, Delivery, Direction};
use crate::script::ConnectionId;

/// A count that grows, for many who wait. They are woken in the order in which they began to wait, so that a run can be replayed; tokio's
/// `watch` wakes in any order.
#[derive(Debug, Default)]
pub(super) struct Changes {
    count: AtomicU64,
    grown: Notify,
}

/// One who waits for it to grow.
#[derive(Debug)]
pub(super) struct Watcher<'a> {
    changes: &'a Changes,
    seen: u64,
}

impl Changes {
    /// Something has changed.
    pub(super) fn tell(&self) {
        _ = self.count.fetch_add(1, Ordering::SeqCst);
        self.grown.notify_waiters();
    }
}

impl Watcher<'_> {
    /// What has changed up to now is known.
    pub(super) fn mark_unchanged(&mut self) {
        self.seen = self.changes.count.load(Ordering::SeqCst);
    }

    /// Waits until there is more.
    pub(super) async fn changed(&self) {
        loop {
            let mut grown = pin!(self.changes.grown.notified());
            _ = grown.as_mut().enable();
            if self.changes.count.load(Ordering::SeqCst) != self.seen {
                return;
            }
            grown.await;
        }
    }
}

/// How a link stands.
pub(super) enum Passage {
    /// Bytes need not pass it.
    Clear,
    /// They have to; look again then, or when the network has changed.
    Held { until: Option<Instant>, queued: usize },
    /// All that the sender had is there.
    End,
    /// The connection is cut, or the broker has stopped.
    Cut,
}

impl Shared {
    /// Changes with each fault, and when the broker stops.
    pub(super) fn network_changes(&self) -> Watcher<'_> {
        let mut watcher = Watcher { changes: &self.network_changes, seen: 0 };
        watcher.mark_unchanged();
        watcher
    }

    /// Gives `arrive` what is due on a link, and says how it stands then.
    pub(super) fn passage(&self, id: ConnectionId, direction: Direction, mut arrive: impl FnMut(Bytes)) -> Passage {
        let mut state = lock(&self.state);
        if state.network.is_clear(id, direction) {
            return Passage::Clear;
        }
        if state.stopped {
            return Passage::Cut;
        }
        let now = now();
        while let Some(delivery) = state.network.pull(now, id, direction) {
            match delivery {
                Delivery::Bytes(bytes) => arrive(bytes),
                Delivery::End => return Passage::End,
                Delivery::Cut => return Passage::Cut,
            }
        }
        let until = state.network.next_timeout_of(now, id, direction);
        Passage::Held { until, queued: state.network.queued(id, direction) }
    }

    /// Puts bytes on their way.
    pub(super) fn push(&self, id: ConnectionId, direction: Direction, bytes: Bytes) {
        lock(&self.state).network.push(now(), id, direction, bytes);
    }

    /// Puts the end of one direction on its way.
    pub(super) fn finish(&self, id: ConnectionId, direction: Direction) {
        lock(&self.state).network.finish(now(), id, direction);
    }

    /// Waits until a new connection to `node` is made; `false` if it is refused.
    pub(super) async fn admits(&self, node: i32) -> bool {
        let since = now();
        let mut changes = self.network_changes();
        loop {
            changes.mark_unchanged();
            let met = {
                let state = lock(&self.state);
                if state.stopped { Connect::Refused } else { state.network.connect(now(), since, node) }
            };
            let at = match met {
                Connect::Made => return true,
                Connect::Refused => return false,
                Connect::Later(at) => at,
            };
            tokio::select! {
                biased;
                () = changes.changed() => {}
                () = super::connection::due(at) => {}
            }
        }
    }
}
