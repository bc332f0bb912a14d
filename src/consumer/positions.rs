//! Where a consumer is in each of its partitions.
//!
//! ```text
//! committed ≤ checkpoint ≤ consumed ≤ fetch position
//!     │            │           │           └ next offset to ask a broker for (`fetch.rs`)
//!     │            │           └ next offset to hand out
//!     │            └ marked + 1: everything before it was processed
//!     └ what the group's coordinator has (`offsets.rs`)
//! ```
//!
//! Marks are cumulative: a mark stands for its record and all before it in the partition. When all that was handed out is marked, the
//! checkpoint is the consumed position and not the last record + 1, so that it passes control records, aborted transactions and gaps
//! of compaction, and the lag of a group that has done its work is 0.
//!
//! A [`Place`] names an assigned partition *since* its last assignment or seek: its version changes with both. Whatever carries an
//! old place (a fetched chunk, an answer on its way, the mark of a record handed out before) is stale and has no effect. A mark that
//! carries no place, because it comes with a user's message, counts only within what was handed out since the place began.

use std::collections::BTreeMap;

use crate::TopicPartition;

/// An assigned partition since its last assignment or seek.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Place {
    pub(crate) slot: usize,
    version: u64,
}

#[cfg(test)]
impl Place {
    /// For tests of what only carries places about.
    pub(crate) fn of(slot: usize, version: u64) -> Self {
        Self { slot, version }
    }
}

/// The next offset to read as it is committed, with the epoch of the leader that the record before it came from (KIP-320).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Checkpoint {
    pub(crate) offset: i64,
    pub(crate) leader_epoch: Option<i32>,
}

/// What became of a mark.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Marked {
    /// The checkpoint moved.
    Advanced,
    /// It stands there or further already.
    Already,
    /// It is of a record that was not handed out since the partition was assigned or sought.
    Ignored,
}

#[derive(Debug)]
struct Position {
    name: TopicPartition,
    version: u64,
    /// Next offset to hand out; `None` until it is known where to begin.
    consumed: Option<Checkpoint>,
    /// Where this place began; marks below are of an earlier one.
    start: i64,
    /// The last record handed out since.
    handed_out: Option<i64>,
    /// The last one marked since.
    marked: Option<i64>,
    checkpoint: Option<Checkpoint>,
}

/// The positions of all assigned partitions. Slots are used again; versions never are.
#[derive(Debug, Default)]
pub(crate) struct Positions {
    slots: Vec<Option<Position>>,
    by_name: BTreeMap<TopicPartition, usize>,
    versions: u64,
}

impl Positions {
    /// Takes `partition` in; one that was there already begins anew.
    pub(crate) fn assign(&mut self, partition: TopicPartition) -> Place {
        let version = self.next_version();
        let free = || self.slots.iter().position(Option::is_none);
        let slot = self.by_name.get(&partition).copied().or_else(free).unwrap_or(self.slots.len());
        if slot == self.slots.len() {
            self.slots.push(None);
        }
        self.by_name.insert(partition.clone(), slot);
        if let Some(entry) = self.slots.get_mut(slot) {
            *entry = Some(Position {
                name: partition,
                version,
                consumed: None,
                start: 0,
                handed_out: None,
                marked: None,
                checkpoint: None,
            });
        }
        Place { slot, version }
    }

    /// Forgets `partition`; its place is stale from now on.
    pub(crate) fn unassign(&mut self, partition: &TopicPartition) -> Option<Place> {
        let slot = self.by_name.remove(partition)?;
        let position = self.slots.get_mut(slot)?.take()?;
        Some(Place { slot, version: position.version })
    }

    /// The place of `partition`, if it is assigned.
    pub(crate) fn place(&self, partition: &TopicPartition) -> Option<Place> {
        let slot = *self.by_name.get(partition)?;
        let position = self.slots.get(slot)?.as_ref()?;
        Some(Place { slot, version: position.version })
    }

    /// Is it assigned, and not sought since?
    #[inline]
    pub(crate) fn is_current(&self, place: Place) -> bool {
        self.slots.get(place.slot).and_then(Option::as_ref).is_some_and(|position| position.version == place.version)
    }

    /// The partition at a place, stale or not, as long as the slot is taken by it.
    pub(crate) fn name(&self, place: Place) -> Option<&TopicPartition> {
        self.get(place).map(|position| &position.name)
    }

    /// All assigned partitions, in order.
    pub(crate) fn assignment(&self) -> impl Iterator<Item = &TopicPartition> {
        self.by_name.keys()
    }

    /// Says where reading begins, once that is known. It is no checkpoint: nothing was read yet.
    pub(crate) fn begin(&mut self, place: Place, offset: i64, leader_epoch: Option<i32>) {
        if let Some(position) = self.get_mut(place) {
            position.consumed = Some(Checkpoint { offset, leader_epoch });
            position.start = offset;
        }
    }

    /// The user wants to go on at `offset`: a new place, and a checkpoint, for that is where the user says to stand.
    pub(crate) fn seek(&mut self, partition: &TopicPartition, offset: i64) -> Option<Place> {
        let place = self.renew(partition)?;
        if let Some(position) = self.get_mut(place) {
            let checkpoint = Checkpoint { offset, leader_epoch: None };
            (position.handed_out, position.marked) = (None, None);
            (position.consumed, position.start, position.checkpoint) = (Some(checkpoint), offset, Some(checkpoint));
        }
        Some(place)
    }

    /// Where to begin is to be found out again, for the offset is not in the log; the checkpoint stays.
    pub(crate) fn lose(&mut self, partition: &TopicPartition) -> Option<Place> {
        let place = self.renew(partition)?;
        if let Some(position) = self.get_mut(place) {
            (position.consumed, position.handed_out, position.marked) = (None, None, None);
        }
        Some(place)
    }

    /// The record at `offset` was handed out but not processed: it is to be handed out again. Marks and checkpoint stay.
    pub(crate) fn rewind(&mut self, partition: &TopicPartition, offset: i64) -> Option<Place> {
        let place = self.renew(partition)?;
        if let Some(position) = self.get_mut(place) {
            position.consumed = Some(Checkpoint { offset, leader_epoch: None });
            position.handed_out = position.handed_out.map(|last| last.min(offset - 1)).filter(|last| *last >= position.start);
        }
        Some(place)
    }

    fn renew(&mut self, partition: &TopicPartition) -> Option<Place> {
        let version = self.next_version();
        let slot = *self.by_name.get(partition)?;
        self.slots.get_mut(slot)?.as_mut()?.version = version;
        Some(Place { slot, version })
    }

    /// Records up to `last` are handed out; `next` is where the partition goes on.
    #[inline]
    pub(crate) fn hand_out(&mut self, place: Place, last: i64, next: Checkpoint) {
        if let Some(position) = self.get_mut(place) {
            position.handed_out = Some(last);
            position.consumed = Some(next);
        }
    }

    /// There is nothing to hand out before `next`: control records, aborted ones, or none at all. Did the checkpoint move?
    pub(crate) fn pass(&mut self, place: Place, next: Checkpoint) -> bool {
        let Some(position) = self.get_mut(place) else { return false };
        if position.consumed.is_some_and(|consumed| consumed.offset >= next.offset) {
            return false;
        }
        position.consumed = Some(next);
        let all_marked = position.marked >= position.handed_out;
        if all_marked {
            position.checkpoint = Some(next);
        }
        all_marked
    }

    /// Marks the record at `offset` and all before it.
    #[inline]
    pub(crate) fn mark(&mut self, place: Place, offset: i64, leader_epoch: Option<i32>) -> Marked {
        let Some(position) = self.get_mut(place) else { return Marked::Ignored };
        let (Some(handed_out), Some(consumed)) = (position.handed_out, position.consumed) else { return Marked::Ignored };
        if offset < position.start || offset > handed_out {
            return Marked::Ignored;
        }
        if position.marked.is_some_and(|marked| offset <= marked) {
            return Marked::Already;
        }
        position.marked = Some(offset);
        let checkpoint = if offset == handed_out { consumed } else { Checkpoint { offset: offset + 1, leader_epoch } };
        position.checkpoint = Some(checkpoint);
        Marked::Advanced
    }

    /// Next offset to hand out.
    pub(crate) fn consumed(&self, partition: &TopicPartition) -> Option<i64> {
        self.get(self.place(partition)?)?.consumed.map(|consumed| consumed.offset)
    }

    /// What may be committed for `partition`.
    pub(crate) fn checkpoint(&self, partition: &TopicPartition) -> Option<Checkpoint> {
        self.get(self.place(partition)?)?.checkpoint
    }

    /// What may be committed, for all partitions, in order.
    pub(crate) fn checkpoints(&self) -> impl Iterator<Item = (&TopicPartition, Checkpoint)> {
        let positions = self.by_name.values().filter_map(|slot| self.slots.get(*slot)?.as_ref());
        positions.filter_map(|position| Some((&position.name, position.checkpoint?)))
    }

    #[inline]
    fn get(&self, place: Place) -> Option<&Position> {
        self.slots.get(place.slot)?.as_ref().filter(|position| position.version == place.version)
    }

    #[inline]
    fn get_mut(&mut self, place: Place) -> Option<&mut Position> {
        self.slots.get_mut(place.slot)?.as_mut().filter(|position| position.version == place.version)
    }

    fn next_version(&mut self) -> u64 {
        self.versions += 1;
        self.versions
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(offset: i64) -> Checkpoint {
        Checkpoint { offset, leader_epoch: None }
    }

    impl Positions {
        fn mark_by_name(&mut self, partition: &TopicPartition, offset: i64, leader_epoch: Option<i32>) -> Marked {
            self.place(partition).map_or(Marked::Ignored, |place| self.mark(place, offset, leader_epoch))
        }
    }

    /// One partition that begins at `start`.
    fn one(start: i64) -> (Positions, TopicPartition, Place) {
        let (mut positions, name) = (Positions::default(), TopicPartition::new("t", 0));
        let place = positions.assign(name.clone());
        positions.begin(place, start, None);
        (positions, name, place)
    }

    #[test]
    fn nothing_read_is_no_checkpoint() {
        let (positions, name, _) = one(10);
        assert_eq!(positions.consumed(&name), Some(10));
        assert_eq!(positions.checkpoint(&name), None);
    }

    #[test]
    fn rk_131_the_checkpoint_of_offset_41_is_42() {
        let (mut positions, name, place) = one(0);
        positions.hand_out(place, 41, at(42));
        assert_eq!(positions.checkpoint(&name), None);
        assert_eq!(positions.mark(place, 41, None), Marked::Advanced);
        assert_eq!(positions.checkpoint(&name), Some(at(42)));
    }

    #[test]
    fn rk_135_a_lower_mark_takes_nothing_back() {
        let (mut positions, name, place) = one(0);
        positions.hand_out(place, 50, at(51));
        assert_eq!(positions.mark(place, 42, None), Marked::Advanced);
        assert_eq!(positions.mark(place, 5, None), Marked::Already);
        assert_eq!(positions.checkpoint(&name), Some(at(43)));
    }

    #[test]
    fn rk_136_a_mark_on_a_partition_not_assigned_is_ignored() {
        let (mut positions, ..) = one(0);
        assert_eq!(positions.mark_by_name(&TopicPartition::new("t", 1), 3, None), Marked::Ignored);
        assert_eq!(positions.checkpoints().count(), 0);
    }

    #[test]
    fn a_mark_beyond_what_was_handed_out_is_ignored() {
        let (mut positions, name, place) = one(0);
        assert_eq!(positions.mark(place, 0, None), Marked::Ignored);
        positions.hand_out(place, 4, at(5));
        assert_eq!(positions.mark(place, 5, None), Marked::Ignored);
        assert_eq!(positions.checkpoint(&name), None);
    }

    #[test]
    fn when_all_is_marked_the_checkpoint_passes_control_records_and_gaps() {
        let (mut positions, name, place) = one(0);
        positions.hand_out(place, 4, at(5));
        positions.mark(place, 4, None);
        positions.pass(place, at(9));
        assert_eq!(positions.checkpoint(&name), Some(at(9)));
        // Not while a record is out unmarked.
        positions.hand_out(place, 9, at(10));
        positions.pass(place, at(12));
        assert_eq!(positions.checkpoint(&name), Some(at(9)));
        positions.mark(place, 9, None);
        assert_eq!(positions.checkpoint(&name), Some(at(12)));
    }

    #[test]
    fn a_partition_of_control_records_alone_is_passed() {
        let (mut positions, name, place) = one(0);
        positions.pass(place, at(3));
        assert_eq!(positions.checkpoint(&name), Some(at(3)));
        positions.pass(place, at(2));
        assert_eq!(positions.consumed(&name), Some(3), "never back");
    }

    #[test]
    fn a_new_assignment_makes_what_came_before_stale() {
        let (mut positions, name, old) = one(0);
        positions.hand_out(old, 7, at(8));
        positions.unassign(&name);
        assert!(!positions.is_current(old));
        assert_eq!(positions.mark(old, 7, None), Marked::Ignored);
        let new = positions.assign(name.clone());
        positions.begin(new, 5, None);
        assert_eq!(old.slot, new.slot, "the slot is used again");
        assert!(!positions.is_current(old) && positions.is_current(new));
        assert_eq!(positions.mark(old, 7, None), Marked::Ignored);
        assert_eq!(positions.mark_by_name(&name, 7, None), Marked::Ignored, "it was not handed out in this assignment");
    }

    #[test]
    fn a_seek_is_a_checkpoint_and_makes_older_marks_stale() {
        let (mut positions, name, old) = one(0);
        positions.hand_out(old, 20, at(21));
        let place = positions.seek(&name, 14).unwrap();
        assert!(!positions.is_current(old));
        assert_eq!(positions.checkpoint(&name), Some(at(14)));
        assert_eq!(positions.mark_by_name(&name, 20, None), Marked::Ignored);
        positions.hand_out(place, 14, at(15));
        assert_eq!(positions.checkpoint(&name), Some(at(14)));
        assert_eq!(positions.mark_by_name(&name, 14, None), Marked::Advanced);
        assert_eq!(positions.checkpoint(&name), Some(at(15)));
    }

    #[test]
    fn a_record_that_failed_is_handed_out_again_and_the_checkpoint_stays_before_it() {
        let (mut positions, name, place) = one(0);
        positions.hand_out(place, 4, at(5));
        positions.mark(place, 4, None);
        positions.hand_out(place, 5, at(6));
        let place = positions.rewind(&name, 5).unwrap();
        assert_eq!(positions.consumed(&name), Some(5));
        assert_eq!(positions.checkpoint(&name), Some(at(5)));
        positions.hand_out(place, 5, at(6));
        positions.mark(place, 5, None);
        assert_eq!(positions.checkpoint(&name), Some(at(6)));
    }

    #[test]
    fn rewinding_marks_nothing_that_the_user_did_not_mark() {
        let (mut positions, name, place) = one(0);
        positions.hand_out(place, 5, at(6));
        let place = positions.rewind(&name, 5).unwrap();
        positions.pass(place, at(6));
        assert_eq!(positions.checkpoint(&name), None, "0 to 4 are out and not marked");
    }

    #[test]
    fn the_epoch_of_the_record_before_goes_with_the_checkpoint() {
        let (mut positions, name, place) = one(0);
        positions.hand_out(place, 9, Checkpoint { offset: 10, leader_epoch: Some(3) });
        positions.mark(place, 4, Some(2));
        assert_eq!(positions.checkpoint(&name), Some(Checkpoint { offset: 5, leader_epoch: Some(2) }));
        positions.mark(place, 9, None);
        assert_eq!(positions.checkpoint(&name), Some(Checkpoint { offset: 10, leader_epoch: Some(3) }));
    }
}
