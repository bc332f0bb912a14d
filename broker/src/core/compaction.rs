//! Compaction by request: of each key the last record stays, as Kafka's log cleaner leaves it.
//!
//! Offsets never move: batches keep the range they cover, with gaps inside, and where nothing of a batch is left it goes, unless it
//! is the last of its producer, of whom its sequence has to be known: then its header stays. Records of aborted transactions go at
//! once. Tombstones, and the markers of transactions of which nothing is left, stay for `delete.retention.ms` after the first run that
//! finds them: that moment stands in their batch from then on (KIP-534).
//!
//! Everything below the last stable offset is cleaned. Kafka leaves the segment that is being written out; to a test that asks for
//! compaction that is of no use.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use bytes::Bytes;
use klamm::protocol::records::{Batch, ControlType, Limits};

use crate::core::Core;
use crate::core::log::Log;

/// How a topic is compacted.
#[derive(Clone, Copy, Debug)]
struct Rules {
    now_millis: i64,
    /// `delete.retention.ms`.
    delete_retention: i64,
    /// `min.compaction.lag.ms`.
    lag: i64,
}

/// Transactions as the cleaner comes by them.
struct Transactions<'a> {
    log: &'a Log,
    /// Producers of whose transaction a batch has been seen since its last marker.
    seen: BTreeSet<i64>,
}

impl Transactions<'_> {
    fn is_aborted(&self, batch: &Batch) -> bool {
        batch.is_transactional() && !batch.is_control() && self.log.is_aborted(batch.producer_id(), batch.base_offset())
    }

    /// Takes the next batch; says of a marker whether its transaction is empty by now.
    fn take(&mut self, batch: &Batch) -> bool {
        if batch.is_control() {
            let ends = matches!(batch.control_type(), Ok(Some(ControlType::Abort | ControlType::Commit)));
            // One whose record is gone ends nothing, and may go itself.
            return !ends || !self.seen.remove(&batch.producer_id());
        }
        if batch.is_transactional() {
            self.seen.insert(batch.producer_id());
        }
        false
    }
}

/// Where each producer's last batch of data ends, in its latest epoch; `None` if that epoch has a marker only.
fn last_of_producers(log: &Log) -> BTreeMap<i64, (i16, Option<i64>)> {
    let mut last = BTreeMap::new();
    for batch in log.batches().filter(|batch| batch.producer_id() >= 0) {
        let (epoch, data) = last.entry(batch.producer_id()).or_insert((batch.producer_epoch(), None));
        if *epoch != batch.producer_epoch() {
            (*epoch, *data) = (batch.producer_epoch(), None);
        }
        if !batch.is_control() {
            *data = Some(batch.last_offset());
        }
    }
    last
}

/// The last offset of each key below `end`, without aborted records; batches that cannot be read have none.
fn last_of_keys(log: &Log, end: i64) -> BTreeMap<Bytes, i64> {
    let transactions = Transactions { log, seen: BTreeSet::new() };
    let mut last = BTreeMap::new();
    for batch in log.batches().take_while(|batch| batch.next_offset() <= end) {
        if batch.is_control() || transactions.is_aborted(batch) {
            continue;
        }
        let Ok(records) = batch.records(Limits::default()) else { continue };
        for record in records.iter().filter_map(Result::ok) {
            if let Some(key) = record.key {
                last.insert(Bytes::copy_from_slice(key), record.offset);
            }
        }
    }
    last
}

impl Rules {
    /// The batches that are left of a log.
    fn clean(self, log: &Log) -> Vec<Batch> {
        let youngest = self.now_millis.saturating_sub(self.lag);
        let is_young = |batch: &Batch| self.lag > 0 && batch.max_timestamp() > youngest;
        let lag = log.batches().find(|batch| is_young(batch)).map_or(i64::MAX, Batch::base_offset);
        let end = log.last_stable_offset().min(lag);
        let (keys, producers) = (last_of_keys(log, end), last_of_producers(log));
        let mut transactions = Transactions { log, seen: BTreeSet::new() };
        let mut cleaned = Vec::new();
        for batch in log.batches() {
            if batch.next_offset() > end {
                cleaned.push(batch.clone());
                continue;
            }
            let is_last = producers.get(&batch.producer_id()).is_some_and(|(epoch, data)| match data {
                Some(offset) => *offset == batch.last_offset(),
                None => batch.is_control() && batch.producer_epoch() == *epoch,
            });
            let is_empty_marker = transactions.take(batch);
            let horizon_is_over = batch.delete_horizon().is_some_and(|horizon| horizon <= self.now_millis);
            let discard = if batch.is_control() { is_empty_marker && horizon_is_over } else { transactions.is_aborted(batch) };
            if discard && !is_last {
                continue;
            }
            cleaned.extend(self.clean_batch(batch, &keys, discard, is_last, is_empty_marker));
        }
        cleaned
    }

    /// What is left of one batch, if anything.
    fn clean_batch(
        self,
        batch: &Batch,
        keys: &BTreeMap<Bytes, i64>,
        discard: bool,
        is_last: bool,
        is_empty_marker: bool,
    ) -> Option<Batch> {
        let horizon_is_over = batch.delete_horizon().is_some_and(|horizon| horizon <= self.now_millis);
        let stays = |key: Option<&[u8]>, has_value: bool, offset: i64| {
            if discard || batch.is_control() {
                return !discard;
            }
            // A record without a key has no place in a compacted topic.
            key.and_then(|key| keys.get(key)).is_some_and(|last| offset >= *last) && (has_value || !horizon_is_over)
        };
        let Ok(records) = batch.records(Limits::default()) else { return Some(batch.clone()) };
        let (mut kept, mut tombstones) = (0, false);
        for record in &records {
            // What a test has appended and nobody can read is left alone.
            let Ok(record) = record else { return Some(batch.clone()) };
            if stays(record.key, record.value.is_some(), record.offset) {
                kept += 1;
                tombstones |= record.value.is_none();
            }
        }
        if kept == 0 && !is_last {
            return None;
        }
        let needs_horizon = (tombstones || (is_empty_marker && kept > 0)) && batch.delete_horizon().is_none();
        if kept == records.count() && !needs_horizon {
            return Some(batch.clone());
        }
        let horizon = needs_horizon.then(|| self.now_millis.saturating_add(self.delete_retention));
        let keep = |record: &klamm::protocol::records::RecordRef<'_>| stays(record.key, record.value.is_some(), record.offset);
        Some(batch.retain(Limits::default(), horizon, keep).unwrap_or_else(|_| batch.clone()))
    }
}

impl Core {
    /// Compacts a partition's log; `false` if there is no such partition.
    pub(crate) fn compact(&mut self, now: Instant, topic: &str, partition: i32) -> bool {
        let now_millis = self.wall_millis(now);
        let Some(configured) = self.topics.get(topic) else { return false };
        let millis = |key: &str, default| configured.number(key).unwrap_or(default);
        let rules = Rules {
            now_millis,
            delete_retention: millis("delete.retention.ms", 86_400_000),
            lag: millis("min.compaction.lag.ms", 0),
        };
        let Some(partition) = self.topics.partition_mut(topic, partition) else { return false };
        let cleaned = rules.clean(&partition.log);
        partition.log.replace(cleaned);
        self.topics.touch();
        self.pump(now);
        true
    }
}

#[cfg(test)]
mod tests;
