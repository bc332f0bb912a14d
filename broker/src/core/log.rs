//! The log of one partition: batches as they came, with their offsets filled in.
//!
//! The high watermark is the log's end while everything is replicated at once; else it waits to be told how far the followers are
//! (`replication.rs`). The last stable offset stays at the first record of the oldest transaction that is open, or whose marker is
//! not replicated yet. Offsets only grow; the start moves up when records are deleted.

use std::collections::BTreeMap;

use bytes::{Bytes, BytesMut};
use klamm::protocol::records::{Batch, ControlType, Limits};

/// The log of one partition.
#[derive(Clone, Debug, Default)]
pub(crate) struct Log {
    pub(super) batches: Vec<Stored>,
    start_offset: i64,
    next_offset: i64,
    high_watermark: i64,
    /// Does the high watermark wait for followers?
    waits: bool,
    /// Bytes ever appended.
    appended: u64,
    /// First offset of each leader epoch, ascending.
    epochs: Vec<(i32, i64)>,
    /// Open transactions: producer id to first offset.
    open: BTreeMap<i64, i64>,
    /// First offset and marker of transactions that ended, as long as the marker is not below the high watermark.
    ending: Vec<(i64, i64)>,
    aborted: Vec<Aborted>,
}

#[derive(Clone, Debug)]
pub(super) struct Stored {
    pub(super) batch: Batch,
    /// Bytes appended before it.
    pub(super) position: u64,
}

/// A transaction that was taken back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Aborted {
    pub(crate) producer_id: i64,
    pub(crate) first_offset: i64,
    /// Offset of its marker.
    pub(crate) last_offset: i64,
}

/// What a fetch gets of one partition.
#[derive(Debug, Default)]
pub(crate) struct Read {
    /// Whole batches, the last perhaps cut.
    pub(crate) bytes: Bytes,
    /// Aborted transactions that reach into them.
    pub(crate) aborted: Vec<Aborted>,
}

/// What a look-up by timestamp found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) offset: i64,
    pub(crate) timestamp: i64,
    pub(crate) leader_epoch: i32,
}

impl Log {
    pub(crate) fn start_offset(&self) -> i64 {
        self.start_offset
    }

    /// Where the next record goes.
    pub(crate) fn end_offset(&self) -> i64 {
        self.next_offset
    }

    pub(crate) fn high_watermark(&self) -> i64 {
        self.high_watermark
    }

    pub(crate) fn last_stable_offset(&self) -> i64 {
        let ending = self.ending.iter().map(|(first, _)| *first);
        let unstable = self.open.values().copied().chain(ending).min().unwrap_or(self.next_offset);
        unstable.max(self.start_offset).min(self.high_watermark)
    }

    /// Says whether the high watermark waits for followers from now on.
    pub(crate) fn set_waiting(&mut self, waits: bool) {
        self.waits = waits;
        if !waits {
            self.replicated_to(self.next_offset);
        }
    }

    /// What a new leader knows of it: it may be less than the last one knew.
    pub(crate) fn set_high_watermark(&mut self, offset: i64) {
        self.high_watermark = 0;
        self.waits = true;
        self.find_transactions();
        self.replicated_to(offset);
    }

    /// All followers that count have what is before `offset`. The high watermark never goes back.
    pub(crate) fn replicated_to(&mut self, offset: i64) {
        let to = offset.min(self.next_offset);
        if to > self.high_watermark {
            self.high_watermark = to;
            self.ending.retain(|(_, marker)| *marker >= to);
        }
    }

    /// Where a producer's open transaction begins.
    pub(crate) fn open_transaction(&self, producer_id: i64) -> Option<i64> {
        self.open.get(&producer_id).copied()
    }

    /// Up to where a reader may read.
    pub(crate) fn readable(&self, committed_only: bool) -> i64 {
        if committed_only { self.last_stable_offset() } else { self.high_watermark() }
    }

    /// Batches still there, oldest first.
    pub(crate) fn batches(&self) -> impl ExactSizeIterator<Item = &Batch> {
        self.batches.iter().map(|stored| &stored.batch)
    }

    /// Appends `batch` at the end and gives its base offset.
    pub(crate) fn append(&mut self, batch: &Batch, leader_epoch: i32, log_append_time: Option<i64>) -> i64 {
        let base_offset = self.next_offset;
        let batch = batch.assign(base_offset, leader_epoch, log_append_time);
        self.start_epoch(leader_epoch);
        self.note_transaction(&batch);
        self.next_offset = batch.next_offset();
        let position = self.appended;
        self.appended += batch.size() as u64;
        self.batches.push(Stored { batch, position });
        if !self.waits {
            self.replicated_to(self.next_offset);
        }
        base_offset
    }

    /// A leader of this epoch begins, if it is a new one: what comes from here on is its.
    pub(crate) fn start_epoch(&mut self, epoch: i32) {
        if self.epochs.last().is_none_or(|(last, _)| *last < epoch) {
            // An epoch that appended nothing leaves no trace, as in Kafka.
            let end = self.next_offset;
            self.epochs.retain(|(_, start)| *start < end);
            self.epochs.push((epoch, end));
        }
    }

    fn note_transaction(&mut self, batch: &Batch) {
        if !batch.is_control() {
            if batch.is_transactional() {
                self.open.entry(batch.producer_id()).or_insert(batch.base_offset());
            }
            return;
        }
        let control_type = batch.control_type().ok().flatten();
        let Some(ControlType::Abort | ControlType::Commit) = control_type else { return };
        let Some(first_offset) = self.open.remove(&batch.producer_id()) else { return };
        let last_offset = batch.base_offset();
        self.ending.push((first_offset, last_offset));
        if control_type == Some(ControlType::Abort) {
            self.aborted.push(Aborted { producer_id: batch.producer_id(), first_offset, last_offset });
        }
    }

    /// Bytes that are there.
    pub(crate) fn size(&self) -> u64 {
        self.appended - self.batches.first().map_or(self.appended, |stored| stored.position)
    }

    /// Index of the batch that holds `offset`, or of the next one.
    fn index_of(&self, offset: i64) -> usize {
        self.batches.partition_point(|stored| stored.batch.next_offset() <= offset)
    }

    /// Bytes from `offset` up to `end`, not counting more than a reader would get.
    pub(crate) fn available(&self, offset: i64, end: i64) -> u64 {
        let position = |index: usize| self.batches.get(index).map_or(self.appended, |stored| stored.position);
        position(self.index_of(end)).saturating_sub(position(self.index_of(offset)))
    }

    /// Reads from the batch that holds `offset` on, at most `max_bytes`, nothing at or after `end`. As Kafka does, the last batch is
    /// cut at the limit; a first batch that is larger than it is left out, or given whole with `whole_first`.
    pub(crate) fn read(&self, offset: i64, end: i64, max_bytes: usize, whole_first: bool, committed_only: bool) -> Read {
        let from = self.index_of(offset);
        let to = self.index_of(end).max(from);
        let Some(batches) = self.batches.get(from..to) else { return Read::default() };
        let Some(first) = batches.first().map(|first| first.batch.size()) else { return Read::default() };
        let limit = match first > max_bytes {
            true if whole_first => first,
            true => return Read::default(),
            false => max_bytes,
        };
        let mut next_offset = offset;
        let mut bytes = BytesMut::new();
        for Stored { batch, .. } in batches {
            let room = limit - bytes.len();
            if bytes.is_empty() && (batches.len() == 1 || batch.size() == limit) {
                // The usual answer of a test, and that of a huge batch: nothing to copy.
                let aborted = self.aborted_between(offset, batch.next_offset(), committed_only);
                return Read { bytes: batch.bytes().clone(), aborted };
            }
            if bytes.is_empty() {
                let last = self.batches.get(to).map_or(self.appended, |stored| stored.position);
                let all = batches.first().map_or(0, |first| last - first.position);
                bytes.reserve(limit.min(usize::try_from(all).unwrap_or(limit)));
            }
            let part = batch.bytes().get(..room).unwrap_or(batch.bytes());
            bytes.extend_from_slice(part);
            next_offset = batch.next_offset();
            if bytes.len() == limit {
                break;
            }
        }
        Read { bytes: bytes.freeze(), aborted: self.aborted_between(offset, next_offset, committed_only) }
    }

    fn aborted_between(&self, from: i64, to: i64, committed_only: bool) -> Vec<Aborted> {
        if !committed_only {
            return Vec::new();
        }
        self.aborted.iter().filter(|aborted| aborted.last_offset >= from && aborted.first_offset < to).copied().collect()
    }

    /// The first record whose timestamp is at least `timestamp`.
    pub(crate) fn find_timestamp(&self, timestamp: i64) -> Option<Found> {
        let after_start = self.batches().filter(|batch| batch.next_offset() > self.start_offset && !batch.is_control());
        for batch in after_start.filter(|batch| batch.max_timestamp() >= timestamp) {
            // What was appended was checked, so its records can be read; if not, the batch's own values are as good as can be had.
            let found = |offset, timestamp| Some(Found { offset, timestamp, leader_epoch: batch.partition_leader_epoch() });
            let Ok(records) = batch.records(Limits::default()) else { return found(batch.base_offset(), batch.max_timestamp()) };
            let mut records = records.iter().filter_map(Result::ok);
            let hit = records.find(|record| record.timestamp >= timestamp && record.offset >= self.start_offset);
            if let Some(record) = hit {
                return found(record.offset, record.timestamp);
            }
        }
        None
    }

    /// The record with the highest timestamp; of several the first.
    pub(crate) fn find_max_timestamp(&self) -> Option<Found> {
        let highest = self.batches().filter(|batch| !batch.is_control()).map(Batch::max_timestamp).max()?;
        self.find_timestamp(highest)
    }

    /// The epoch that appended `offset`, or would append it.
    pub(crate) fn epoch_at(&self, offset: i64) -> Option<i32> {
        let index = self.epochs.partition_point(|(_, start)| *start <= offset);
        self.epochs.get(index.checked_sub(1)?).map(|(epoch, _)| *epoch)
    }

    /// Where the last epoch up to `epoch` ended, with that epoch; `None` for an epoch that is not known yet. As Kafka says it: one from
    /// before the log's start ended at that start.
    pub(crate) fn end_of_epoch(&self, epoch: i32) -> Option<(i32, i64)> {
        let (latest, _) = self.epochs.last().filter(|_| epoch >= 0)?;
        if epoch == *latest {
            return Some((epoch, self.next_offset));
        }
        let after = self.epochs.partition_point(|(known, _)| *known <= epoch);
        let (_, end) = self.epochs.get(after)?;
        let known = after.checked_sub(1).and_then(|before| self.epochs.get(before)).map_or(epoch, |(known, _)| *known);
        Some((known, *end))
    }

    /// Up to where this log and another of the same partition are the same: no two leaders have the same epoch, so what both have of
    /// the latest epoch that both know.
    pub(crate) fn shared_with(&self, other: &Self) -> i64 {
        let ends =
            self.epochs.iter().rev().find_map(|(epoch, _)| Some((self.end_if_known(*epoch)?, other.end_if_known(*epoch)?)));
        ends.map_or(0, |(own, others)| own.min(others))
    }

    fn end_if_known(&self, epoch: i32) -> Option<i64> {
        self.end_of_epoch(epoch)
            .filter(|(known, _)| *known == epoch && self.epochs.iter().any(|(known, _)| *known == epoch))
            .map(|(_, end)| end)
    }

    /// The end of the last whole batch up to `offset`.
    pub(crate) fn batch_end_before(&self, offset: i64) -> i64 {
        let index = self.index_of(offset.max(self.start_offset));
        self.batches.get(index).map_or(self.next_offset, |stored| stored.batch.base_offset().max(self.start_offset))
    }

    /// Drops what is before `offset`, which is at most the high watermark; whole batches only, but readers start at `offset`.
    pub(crate) fn delete_before(&mut self, offset: i64) {
        self.start_offset = offset.clamp(self.start_offset, self.high_watermark);
        let keep_from = self.index_of(self.start_offset);
        self.batches.drain(..keep_from);
        // The oldest epoch still there begins at the start.
        let start = self.start_offset;
        let older = self.epochs.partition_point(|(_, first)| *first <= start).saturating_sub(1);
        self.epochs.drain(..older);
        if let Some((_, first)) = self.epochs.first_mut() {
            *first = start.max(*first);
        }
        self.aborted.retain(|aborted| aborted.last_offset >= start);
    }

    /// Is the batch still there that a leader of this epoch wrote at `offset`?
    pub(crate) fn has_batch(&self, offset: i64, leader_epoch: i32) -> bool {
        let found = self.batches.get(self.index_of(offset)).map(|stored| &stored.batch);
        found.is_some_and(|batch| batch.base_offset() == offset && batch.partition_leader_epoch() == leader_epoch)
    }

    /// Was what a producer wrote at `offset` taken back?
    pub(crate) fn is_aborted(&self, producer_id: i64, offset: i64) -> bool {
        let reaches = |aborted: &Aborted| (aborted.first_offset..=aborted.last_offset).contains(&offset);
        self.aborted.iter().any(|aborted| aborted.producer_id == producer_id && reaches(aborted))
    }

    /// Puts other batches in place of its own, as compaction does. Where it starts and ends does not change; transactions of which no
    /// batch is left are forgotten.
    pub(crate) fn replace(&mut self, batches: Vec<Batch>) {
        self.appended = 0;
        self.batches.clear();
        for batch in batches {
            let position = self.appended;
            self.appended += batch.size() as u64;
            self.batches.push(Stored { batch, position });
        }
        let open = self.open.clone();
        self.find_transactions();
        // Those that are open are not touched.
        self.open = open;
    }

    /// Cuts off what is at or after `offset`, as a follower does whose leader has another history. Whole batches only.
    pub(crate) fn truncate_from(&mut self, offset: i64) {
        let keep = self.index_of(offset);
        let Some(cut) = self.batches.get(keep) else { return };
        self.next_offset = cut.batch.base_offset();
        self.appended = cut.position;
        self.batches.truncate(keep);
        let end = self.next_offset;
        self.start_offset = self.start_offset.min(end);
        self.high_watermark = self.high_watermark.min(end);
        self.epochs.retain(|(_, start)| *start < end);
        self.find_transactions();
    }

    /// What is known of transactions, anew from the batches: a marker that was cut off leaves its transaction open.
    fn find_transactions(&mut self) {
        self.open.clear();
        self.aborted.clear();
        self.ending.clear();
        for index in 0..self.batches.len() {
            let Some(batch) = self.batches.get(index).map(|stored| stored.batch.clone()) else { continue };
            self.note_transaction(&batch);
        }
        let high_watermark = self.high_watermark;
        self.ending.retain(|(_, marker)| *marker >= high_watermark);
    }
}

#[cfg(test)]
mod tests {
    use klamm::protocol::records::{BatchBuilder, Compression, ControlMarker, NO_HEADERS};

    use super::*;

    fn batch(timestamps: &[i64], producer: Option<i64>) -> Batch {
        let mut builder = BatchBuilder::new(256);
        for timestamp in timestamps {
            builder.append(*timestamp, None, Some(b"12345678"), NO_HEADERS).expect("room");
        }
        let mut closed = builder.close(Compression::None).expect("no codec");
        Batch::new(closed.stamp(producer.unwrap_or(-1), 0, 0, producer.is_some())).expect("a batch")
    }

    fn marker(producer: i64, committed: bool) -> Batch {
        Batch::new(ControlMarker::end_of_transaction(committed, 0).batch(0, producer, 0)).expect("a batch")
    }

    /// Three batches of two records each.
    fn log() -> (Log, usize) {
        let mut log = Log::default();
        for timestamp in [10, 30, 20] {
            log.append(&batch(&[timestamp, timestamp + 5], None), 0, None);
        }
        (log, batch(&[0, 5], None).size())
    }

    #[test]
    fn reading_starts_at_the_batch_that_holds_the_offset() {
        let (log, size) = log();
        for (offset, batches) in [(0, 3), (1, 3), (2, 2), (3, 2), (5, 1), (6, 0)] {
            assert_eq!(log.read(offset, 6, usize::MAX, true, false).bytes.len(), batches * size, "offset {offset}");
            assert_eq!(log.available(offset, 6), (batches * size) as u64);
        }
    }

    #[test]
    fn the_last_batch_is_cut_at_the_limit_but_the_first_is_whole() {
        let (log, size) = log();
        assert_eq!(log.read(0, 6, 2 * size + 7, true, false).bytes.len(), 2 * size + 7);
        assert_eq!(log.read(0, 6, size, true, false).bytes.len(), size);
        assert_eq!(log.read(0, 6, 7, true, false).bytes.len(), size);
        assert_eq!(log.read(0, 6, 7, false, false).bytes.len(), 0);
    }

    #[test]
    fn timestamps_are_found_in_the_first_batch_that_reaches_them() {
        let (log, _) = log();
        let offset = |timestamp| log.find_timestamp(timestamp).map(|found| (found.offset, found.timestamp));
        assert_eq!(offset(0), Some((0, 10)));
        assert_eq!(offset(11), Some((1, 15)));
        assert_eq!(offset(16), Some((2, 30)), "not the later record of time 20");
        assert_eq!(offset(36), None);
        assert_eq!(log.find_max_timestamp().map(|found| found.offset), Some(3));
    }

    #[test]
    fn deleting_moves_the_start_and_drops_whole_batches() {
        let (mut log, size) = log();
        log.delete_before(3);
        assert_eq!((log.start_offset(), log.batches().len()), (3, 2));
        assert_eq!(log.read(3, 6, usize::MAX, true, false).bytes.len(), 2 * size);
        assert_eq!(log.find_timestamp(0).map(|found| found.offset), Some(3), "what is deleted is not found");
        log.delete_before(100);
        assert_eq!((log.start_offset(), log.batches().len(), log.high_watermark()), (6, 0, 6));
        assert_eq!(log.append(&batch(&[1], None), 0, None), 6);
    }

    #[test]
    fn the_stable_offset_waits_for_the_oldest_open_transaction() {
        let mut log = Log::default();
        log.append(&batch(&[1], None), 0, None);
        log.append(&batch(&[1, 2], Some(5)), 0, None);
        log.append(&batch(&[1], Some(6)), 0, None);
        log.append(&batch(&[1], None), 0, None);
        assert_eq!((log.last_stable_offset(), log.high_watermark()), (1, 5));
        log.append(&marker(5, false), 0, None);
        assert_eq!(log.last_stable_offset(), 3);
        log.append(&marker(6, true), 0, None);
        assert_eq!(log.last_stable_offset(), 7);
        let read = log.read(0, 7, usize::MAX, true, true);
        assert_eq!(read.aborted, [Aborted { producer_id: 5, first_offset: 1, last_offset: 5 }]);
        assert!(log.read(6, 7, usize::MAX, true, true).aborted.is_empty(), "it ends before what is read");
        assert!(log.read(0, 7, usize::MAX, true, false).aborted.is_empty());
    }

    #[test]
    fn epochs_tell_where_they_ended() {
        let mut log = Log::default();
        log.append(&batch(&[1, 2], None), 0, None);
        log.append(&batch(&[1], None), 3, None);
        assert_eq!(log.end_of_epoch(0), Some((0, 2)));
        assert_eq!(log.end_of_epoch(2), Some((0, 2)));
        assert_eq!(log.end_of_epoch(3), Some((3, 3)));
        assert_eq!((log.epoch_at(1), log.epoch_at(2)), (Some(0), Some(3)));
        assert_eq!((log.end_of_epoch(-1), log.end_of_epoch(4)), (None, None));
        log.truncate_from(2);
        assert_eq!((log.high_watermark(), log.end_of_epoch(0), log.end_of_epoch(3)), (2, Some((0, 2)), None));
    }

    #[test]
    fn an_epoch_from_before_the_start_ended_there() {
        let mut log = Log::default();
        for epoch in [2, 5, 7] {
            log.start_epoch(epoch);
            log.append(&batch(&[1, 2], None), epoch, None);
        }
        log.delete_before(3);
        assert_eq!((log.end_of_epoch(2), log.end_of_epoch(5), log.end_of_epoch(6)), (Some((2, 3)), Some((5, 4)), Some((5, 4))));
        assert_eq!((log.epoch_at(2), log.epoch_at(3)), (None, Some(5)));
    }

    #[test]
    fn an_epoch_that_appended_nothing_leaves_no_trace() {
        let mut log = Log::default();
        log.start_epoch(0);
        log.append(&batch(&[1], None), 0, None);
        log.start_epoch(1);
        assert_eq!(log.end_of_epoch(1), Some((1, 1)));
        log.start_epoch(2);
        log.append(&batch(&[1], None), 2, None);
        assert_eq!((log.end_of_epoch(1), log.end_of_epoch(2)), (Some((0, 1)), Some((2, 2))));
    }

    #[test]
    fn histories_share_what_both_have_of_the_last_common_epoch() {
        let (mut log, _) = log();
        let mut other = log.clone();
        assert_eq!(log.shared_with(&other), 6);
        other.truncate_from(2);
        assert_eq!((log.shared_with(&other), other.shared_with(&log)), (2, 2));
        other.append(&batch(&[1], None), 1, None);
        log.append(&batch(&[1], None), 2, None);
        assert_eq!((log.shared_with(&other), other.shared_with(&log)), (2, 2));
        assert_eq!(Log::default().shared_with(&log), 0);
    }

    #[test]
    fn the_high_watermark_waits_and_transactions_with_it() {
        let mut log = Log::default();
        log.set_waiting(true);
        log.append(&batch(&[1, 2], Some(5)), 0, None);
        log.append(&marker(5, true), 0, None);
        log.append(&batch(&[1], None), 0, None);
        assert_eq!((log.high_watermark(), log.end_offset(), log.last_stable_offset()), (0, 4, 0));
        log.replicated_to(2);
        assert_eq!((log.high_watermark(), log.last_stable_offset()), (2, 0), "its marker is not replicated");
        log.replicated_to(3);
        assert_eq!((log.high_watermark(), log.last_stable_offset()), (3, 3));
        log.replicated_to(1);
        assert_eq!(log.high_watermark(), 3, "it never goes back");
        log.set_waiting(false);
        assert_eq!(log.high_watermark(), 4);
    }

    #[test]
    fn a_marker_that_is_cut_off_leaves_its_transaction_open() {
        let mut log = Log::default();
        log.append(&batch(&[1, 2], Some(5)), 0, None);
        log.append(&marker(5, false), 0, None);
        assert_eq!(log.last_stable_offset(), 3);
        log.truncate_from(2);
        assert_eq!((log.end_offset(), log.last_stable_offset()), (2, 0));
        assert!(log.read(0, 2, usize::MAX, true, true).aborted.is_empty());
    }
}
