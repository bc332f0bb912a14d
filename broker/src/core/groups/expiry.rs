//! Committed offsets are kept for `offsets.retention.minutes`, and a group without members and offsets goes (KIP-211).
//!
//! The time counts from the moment at which a group became empty; for topics that a stable group of consumers reads no more, and for
//! clients that only commit, from the commit. Clients before version 5 of OffsetCommit may say themselves how long. All this is
//! looked after every `offsets.retention.check.interval.ms`, but only while there is something to come, so that the core's timer
//! rests in between.

use std::time::Instant;

use crate::core::groups::classic::{Classic, State};
use crate::core::groups::{Committed, Group, Groups, Kind};
use crate::core::transactions::StagedOffsets;

impl Classic {
    /// From when on the time of an offset counts; `None` as long as it does not.
    fn counts_from(&self, topic: &str, committed: &Committed) -> Option<Instant> {
        match self.state {
            _ if self.is_subscribed(topic) => None,
            _ if self.protocol_type.is_none() => Some(committed.at),
            State::Empty => Some(self.empty_since.unwrap_or(committed.at)),
            State::Stable if self.are_consumers() && self.subscribed.is_some() => Some(committed.at),
            _ => None,
        }
    }
}

impl Group {
    fn counts_from(&self, topic: &str, committed: &Committed) -> Option<Instant> {
        match &self.kind {
            Kind::Classic(classic) => classic.counts_from(topic, committed),
        }
    }

    /// Nothing would be lost with it.
    fn is_idle(&self) -> bool {
        match &self.kind {
            Kind::Classic(classic) => classic.state == State::Empty && self.offsets.is_empty(),
        }
    }
}

impl Groups {
    /// When an offset may go.
    fn ends(&self, group: &Group, topic: &str, committed: &Committed) -> Option<Instant> {
        let from = group.counts_from(topic, committed)?;
        Some(committed.ends.unwrap_or(from + self.retention))
    }

    /// The first check at which something is due, if it is checked at every interval since the start.
    fn check_after(&self, now: Instant, due: Instant) -> Instant {
        let interval = self.check_interval.as_millis().max(1);
        let elapsed = |at: Instant| at.saturating_duration_since(self.started).as_millis();
        let checks = (elapsed(now) / interval + 1).max(elapsed(due).div_ceil(interval));
        let millis = u64::try_from(checks * interval).unwrap_or(u64::MAX);
        self.started + std::time::Duration::from_millis(millis)
    }

    /// Something has changed: it is to be looked at at the next check, if there is any group.
    pub(crate) fn note_change(&mut self, now: Instant) {
        if std::mem::take(&mut self.has_changed) && !self.groups.is_empty() {
            let next = self.check_after(now, now);
            self.next_check = Some(self.next_check.map_or(next, |check| check.min(next)));
        }
    }

    /// Lets go what is over, and finds out when there will be more.
    pub(super) fn check_expiry(&mut self, now: Instant, staged: &StagedOffsets) {
        if self.next_check.is_none_or(|check| check > now) {
            return;
        }
        let names: Vec<_> = self.groups.keys().cloned().collect();
        let mut next: Option<Instant> = None;
        for name in names {
            let Some(mut group) = self.groups.remove(&name) else { continue };
            let over: Vec<_> = group
                .offsets
                .iter()
                .filter(|((topic, _), committed)| self.ends(&group, topic, committed).is_some_and(|ends| ends <= now))
                .filter(|((topic, partition), _)| !staged.has_pending(&name, topic, *partition))
                .map(|(partition, _)| partition.clone())
                .collect();
            over.iter().for_each(|partition| drop(group.offsets.remove(partition)));
            let waits = group.is_idle().then_some(now);
            if waits.is_some() && !staged.has_pending_of(&name) {
                continue;
            }
            let ends = group.offsets.iter().filter_map(|((topic, _), committed)| self.ends(&group, topic, committed)).min();
            next = [next, ends, waits].into_iter().flatten().min();
            self.groups.insert(name, group);
        }
        self.next_check = next.map(|due| self.check_after(now, due));
    }
}
