//! When a consumer commits, and what: the checkpoints of what the user has finished with.
//!
//! A mark says: this and everything before it in its partition is done. It becomes a commit of the offset after it when the interval
//! since the first uncommitted mark is over, when enough marks came, or when somebody asks (before a partition is given away, at the
//! end). Only changes are committed, except that the offsets of partitions without news are committed again now and then, by default
//! twice in the time that brokers keep them: a group that has nothing to read must not lose its place.
//!
//! Only partitions that are assigned have marks; those of a partition that is given away or lost go with it. The first commit after
//! the start carries the unchanged offsets as well, as ruby-kafka's does.
//!
//! One commit that the core asked for is on its way at a time. Nothing here knows of groups or requests: the consumer says what is
//! assigned and how commits end.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::TopicPartition;

/// How often unchanged offsets are committed again where nobody said how long brokers keep them.
pub(crate) const RECOMMIT: Duration = Duration::from_secs(12 * 60 * 60);

/// A place in a partition as the group keeps it: the next offset to read, not the last one read.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct OffsetAndMetadata {
    /// The offset of the next record to read.
    pub offset: i64,
    /// Epoch of the leader that the record before it came from, to notice a truncated log (KIP-320).
    pub leader_epoch: Option<i32>,
    /// Any text, kept with the offset.
    pub metadata: String,
}

impl OffsetAndMetadata {
    /// `offset` as the next to read, with neither epoch nor text.
    pub fn new(offset: i64) -> Self {
        Self { offset, leader_epoch: None, metadata: String::new() }
    }

    /// Sets the epoch of the leader that the record before it came from.
    #[must_use]
    pub fn leader_epoch(mut self, leader_epoch: Option<i32>) -> Self {
        self.leader_epoch = leader_epoch;
        self
    }

    /// Sets the text kept with it.
    #[must_use]
    pub fn metadata(mut self, metadata: impl Into<String>) -> Self {
        self.metadata = metadata.into();
        self
    }
}

/// What is committed when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CommitPolicy {
    /// The time from a mark to its commit; `None`: marks alone do not lead to one.
    pub(crate) interval: Option<Duration>,
    /// So many marks lead to a commit; `None`: no number does.
    pub(crate) threshold: Option<u32>,
    /// How often unchanged offsets are committed again.
    pub(crate) recommit: Duration,
}

impl CommitPolicy {
    /// Zero means off, as in ruby-kafka; unchanged offsets go again after half of `retention`.
    pub(crate) fn new(interval: Duration, threshold: u32, retention: Option<Duration>) -> Self {
        Self {
            interval: Some(interval).filter(|interval| !interval.is_zero()),
            threshold: Some(threshold).filter(|&threshold| threshold > 0),
            recommit: retention.map_or(RECOMMIT, |retention| retention / 2).max(Duration::from_secs(1)),
        }
    }
}

/// What became of a mark.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Marked {
    Taken,
    /// Something later in the partition is marked already.
    Older,
    /// The partition is not assigned (any more): it will never be committed.
    NotAssigned,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Offsets {
    policy: CommitPolicy,
    partitions: BTreeMap<TopicPartition, Place>,
    /// Marks since the last commit was handed out.
    marks: u32,
    /// When the first of them must be committed.
    due_at: Option<Instant>,
    /// When unchanged offsets are due, and whether the first commit is still to come.
    recommit_at: Instant,
    is_first: bool,
    /// The commit handed out by `poll` whose end is not known yet.
    in_flight: Option<u64>,
    commits: u64,
}

#[derive(Debug, Default)]
struct Place {
    committed: Option<OffsetAndMetadata>,
    marked: Option<OffsetAndMetadata>,
}

/// Offsets to commit now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Checkpoint {
    /// Comes back with `handle_committed`.
    pub(crate) ticket: u64,
    /// What to commit.
    pub(crate) offsets: BTreeMap<TopicPartition, OffsetAndMetadata>,
}

impl Offsets {
    /// Nothing is assigned yet.
    pub(crate) fn new(policy: CommitPolicy, now: Instant) -> Self {
        Self {
            policy,
            partitions: BTreeMap::new(),
            marks: 0,
            due_at: None,
            recommit_at: now + policy.recommit,
            is_first: true,
            in_flight: None,
            commits: 0,
        }
    }

    /// `partition` is ours now; the group stands at `committed`.
    pub(crate) fn assign(&mut self, partition: TopicPartition, committed: Option<OffsetAndMetadata>) {
        self.partitions.insert(partition, Place { committed, marked: None });
    }

    /// `partition` is not ours any more; its marks go.
    pub(crate) fn revoke(&mut self, partition: &TopicPartition) {
        self.partitions.remove(partition);
        if !self.partitions.values().any(Place::is_changed) {
            (self.marks, self.due_at) = (0, None);
        }
    }

    /// Everything before `at` is done; counts as `count` marks.
    pub(crate) fn mark(&mut self, now: Instant, partition: &TopicPartition, at: OffsetAndMetadata, count: u32) -> Marked {
        let Some(place) = self.partitions.get_mut(partition) else { return Marked::NotAssigned };
        if place.marked.as_ref().is_some_and(|marked| at.offset < marked.offset) {
            return Marked::Older;
        }
        self.marks = self.marks.saturating_add(count);
        place.marked = Some(at);
        if place.is_changed() && self.due_at.is_none() {
            self.due_at = self.policy.interval.map(|interval| now + interval);
        }
        Marked::Taken
    }

    /// The user goes elsewhere in `partition`: earlier offsets than the last mark may be marked from here on. What was marked and is
    /// not committed is forgotten: commit before, if it counts.
    pub(crate) fn rewind(&mut self, partition: &TopicPartition) {
        if let Some(place) = self.partitions.get_mut(partition) {
            place.marked = None;
        }
    }

    /// What must be committed now, if anything, and no commit of this kind is under way.
    pub(crate) fn poll(&mut self, now: Instant) -> Option<Checkpoint> {
        let by_number = self.policy.threshold.is_some_and(|threshold| self.marks >= threshold);
        let by_time = self.due_at.is_some_and(|due| now >= due) || now >= self.recommit_at;
        if self.in_flight.is_some() || !(by_number || by_time) {
            return None;
        }
        let checkpoint = self.take(now)?;
        self.in_flight = Some(checkpoint.ticket);
        Some(checkpoint)
    }

    /// All that is worth committing, due or not: on request, before partitions are given away, at the end.
    pub(crate) fn take(&mut self, now: Instant) -> Option<Checkpoint> {
        let unchanged_too = self.is_first || now >= self.recommit_at;
        let worth = |(partition, place): (&TopicPartition, &Place)| {
            let at = if place.is_changed() { place.marked.as_ref() } else { place.committed.as_ref().filter(|_| unchanged_too) };
            Some((partition.clone(), at?.clone()))
        };
        let changed = self.partitions.values().any(Place::is_changed);
        (self.marks, self.due_at) = (0, None);
        if !changed && now < self.recommit_at {
            return None;
        }
        if unchanged_too {
            self.recommit_at = now + self.policy.recommit;
        }
        let offsets: BTreeMap<_, _> = self.partitions.iter().filter_map(worth).collect();
        if offsets.is_empty() {
            return None;
        }
        self.is_first = false;
        self.commits += 1;
        Some(Checkpoint { ticket: self.commits, offsets })
    }

    /// How a commit ended. One that failed is due again an interval later.
    pub(crate) fn handle_committed(&mut self, now: Instant, checkpoint: Checkpoint, succeeded: bool) {
        if self.in_flight == Some(checkpoint.ticket) {
            self.in_flight = None;
        }
        for (partition, at) in checkpoint.offsets {
            // Given away meanwhile, it is not ours to know.
            if succeeded && let Some(place) = self.partitions.get_mut(&partition) {
                place.committed = Some(at);
            }
        }
        if self.due_at.is_none() && self.partitions.values().any(Place::is_changed) {
            self.due_at = self.policy.interval.map(|interval| now + interval);
        }
    }

    /// When `poll` may have something.
    pub(crate) fn next_timeout(&self) -> Option<Instant> {
        if self.in_flight.is_some() {
            return None;
        }
        self.due_at.into_iter().chain([self.recommit_at]).min()
    }
}

impl Place {
    /// Is something marked that is not committed?
    fn is_changed(&self) -> bool {
        self.marked.is_some() && self.marked != self.committed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn partition(number: i32) -> TopicPartition {
        TopicPartition::new("t", number)
    }

    fn offsets(interval: u64, threshold: u32, retention: Option<u64>) -> (Offsets, Instant) {
        let start = Instant::now();
        let retention = retention.map(Duration::from_secs);
        let mut offsets = Offsets::new(CommitPolicy::new(Duration::from_secs(interval), threshold, retention), start);
        offsets.assign(partition(0), None);
        offsets.assign(partition(1), None);
        (offsets, start)
    }

    fn at(offset: i64) -> OffsetAndMetadata {
        OffsetAndMetadata::new(offset)
    }

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn plain(checkpoint: &Checkpoint) -> Vec<(i32, i64)> {
        checkpoint.offsets.iter().map(|(partition, at)| (partition.partition, at.offset)).collect()
    }

    #[test]
    fn rk_132_an_interval_of_10_commits_one_mark_after_10_seconds() {
        let (mut offsets, start) = offsets(10, 0, None);
        assert_eq!(offsets.mark(start, &partition(0), at(1), 1), Marked::Taken);
        assert_eq!(offsets.poll(start + seconds(9)), None);
        assert_eq!(offsets.next_timeout(), Some(start + seconds(10)));
        let checkpoint = offsets.poll(start + seconds(10)).expect("due");
        assert_eq!(plain(&checkpoint), [(0, 1)]);
        offsets.handle_committed(start + seconds(10), checkpoint, true);
        assert_eq!(offsets.poll(start + seconds(30)), None, "nothing changed since");
    }

    #[test]
    fn rk_133_a_threshold_of_3_commits_at_the_third_mark() {
        let (mut offsets, start) = offsets(0, 3, None);
        offsets.mark(start, &partition(0), at(1), 1);
        offsets.mark(start, &partition(1), at(1), 1);
        assert_eq!(offsets.poll(start + seconds(3600)), None);
        offsets.mark(start, &partition(0), at(2), 1);
        assert_eq!(plain(&offsets.poll(start).expect("three marks")), [(0, 2), (1, 1)]);
        assert_eq!(offsets.poll(start), None, "counted anew");
    }

    #[test]
    fn rk_134_without_interval_and_threshold_only_a_request_commits() {
        let (mut offsets, start) = offsets(0, 0, None);
        for offset in 1..1000 {
            offsets.mark(start, &partition(0), at(offset), 1);
        }
        assert_eq!(offsets.poll(start + seconds(11 * 3600)), None);
        assert_eq!(plain(&offsets.take(start + seconds(1)).expect("asked for")), [(0, 999)]);
    }

    #[test]
    fn rk_135_a_mark_behind_an_earlier_one_changes_nothing() {
        let (mut offsets, start) = offsets(5, 0, None);
        assert_eq!(offsets.mark(start, &partition(0), at(43), 1), Marked::Taken);
        assert_eq!(offsets.mark(start, &partition(0), at(6), 1), Marked::Older);
        assert_eq!(plain(&offsets.take(start).expect("one mark")), [(0, 43)]);
    }

    #[test]
    fn rk_136_a_mark_on_a_partition_not_assigned_is_never_committed() {
        let (mut offsets, start) = offsets(5, 1, None);
        assert_eq!(offsets.mark(start, &partition(7), at(1), 1), Marked::NotAssigned);
        assert_eq!(offsets.poll(start + seconds(60)), None);
        assert_eq!(offsets.take(start + seconds(60)), None);
    }

    #[test]
    fn rk_137_marks_of_a_revoked_partition_are_dropped() {
        let (mut offsets, start) = offsets(5, 0, None);
        offsets.mark(start, &partition(0), at(1), 1);
        offsets.mark(start, &partition(1), at(1), 1);
        offsets.revoke(&partition(1));
        assert_eq!(plain(&offsets.poll(start + seconds(5)).expect("p0 is due")), [(0, 1)]);
        let (mut offsets, start) = self::offsets(5, 0, None);
        offsets.mark(start, &partition(1), at(1), 1);
        offsets.revoke(&partition(1));
        assert_eq!(offsets.poll(start + seconds(5)), None, "no timer stays behind");
    }

    #[test]
    fn rk_145_unchanged_offsets_go_with_the_first_commit_and_again_after_half_the_retention() {
        let (mut offsets, start) = offsets(10, 0, Some(300));
        offsets.assign(partition(1), Some(at(20)));
        offsets.assign(partition(2), Some(at(7)));
        offsets.mark(start, &partition(1), at(26), 1);
        let first = start + seconds(10);
        let checkpoint = offsets.poll(first).expect("due");
        assert_eq!(plain(&checkpoint), [(1, 26), (2, 7)], "p0 never had an offset");
        offsets.handle_committed(first, checkpoint, true);
        // A change in between carries nothing else and does not move the re-commit.
        offsets.mark(first, &partition(1), at(30), 1);
        let checkpoint = offsets.poll(first + seconds(10)).expect("due");
        assert_eq!(plain(&checkpoint), [(1, 30)]);
        offsets.handle_committed(first + seconds(10), checkpoint, true);
        assert_eq!(offsets.next_timeout(), Some(first + seconds(150)));
        assert_eq!(offsets.poll(first + seconds(149)), None);
        assert_eq!(plain(&offsets.poll(first + seconds(150)).expect("half of 300 s")), [(1, 30), (2, 7)]);
    }

    #[test]
    fn a_failed_commit_is_due_again_an_interval_later_and_only_one_is_on_its_way() {
        let (mut offsets, start) = offsets(10, 0, None);
        offsets.mark(start, &partition(0), at(1), 1);
        let checkpoint = offsets.poll(start + seconds(10)).expect("due");
        offsets.mark(start + seconds(11), &partition(0), at(2), 1);
        assert_eq!(offsets.poll(start + seconds(60)), None, "one is on its way");
        assert_eq!(offsets.next_timeout(), None);
        offsets.handle_committed(start + seconds(60), checkpoint, false);
        assert_eq!(plain(&offsets.poll(start + seconds(60)).expect("the later mark is overdue")), [(0, 2)]);
        let (mut offsets, start) = self::offsets(10, 0, None);
        offsets.mark(start, &partition(0), at(1), 1);
        let checkpoint = offsets.poll(start + seconds(10)).expect("due");
        offsets.handle_committed(start + seconds(12), checkpoint, false);
        assert_eq!(offsets.poll(start + seconds(21)), None);
        assert_eq!(plain(&offsets.poll(start + seconds(22)).expect("again")), [(0, 1)]);
    }

    #[test]
    fn after_a_rewind_an_earlier_place_is_committed() {
        let (mut offsets, start) = offsets(10, 0, None);
        offsets.mark(start, &partition(0), at(50), 1);
        let checkpoint = offsets.take(start).expect("marked");
        offsets.handle_committed(start, checkpoint, true);
        offsets.rewind(&partition(0));
        assert_eq!(offsets.take(start), None);
        assert_eq!(offsets.mark(start, &partition(0), at(15), 1), Marked::Taken);
        assert_eq!(plain(&offsets.take(start).expect("marked")), [(0, 15)]);
    }
}
