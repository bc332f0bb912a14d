//! What a partition remembers of idempotent producers, and what follows for their next batch (KIP-98, KIP-360).
//!
//! For each producer id: its epoch and its last five batches. A batch that is one of the five is a repetition, answered like the
//! first time. Else its first sequence must follow the last one; after a new epoch it must be 0. A producer the partition does not
//! know may start anywhere: what it wrote before may have been deleted.

use std::collections::{BTreeMap, VecDeque};

use klamm::protocol::ErrorCode;
use klamm::protocol::records::Batch;

/// How many batches are remembered: a client may have no more in flight.
const REMEMBERED: usize = 5;

/// The producers of one partition.
#[derive(Debug, Default)]
pub(crate) struct Producers(BTreeMap<i64, Producer>);

#[derive(Debug)]
struct Producer {
    epoch: i16,
    /// Oldest first; empty after a marker with a new epoch.
    batches: VecDeque<Remembered>,
}

#[derive(Clone, Copy, Debug)]
struct Remembered {
    first_sequence: i32,
    last_sequence: i32,
    base_offset: i64,
    log_append_time: i64,
}

/// What is to be done with a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Append it.
    Append,
    /// It is there already.
    Duplicate { base_offset: i64, log_append_time: i64 },
    /// Refuse it.
    Refuse(ErrorCode),
}

impl Producers {
    /// Judges `batch`, which is not appended yet.
    pub(crate) fn check(&self, batch: &Batch) -> Verdict {
        if batch.producer_id() < 0 {
            return Verdict::Append;
        }
        let Some(producer) = self.0.get(&batch.producer_id()) else { return Verdict::Append };
        let (epoch, first, last) = (batch.producer_epoch(), batch.base_sequence(), batch.last_sequence());
        if epoch < producer.epoch {
            return Verdict::Refuse(ErrorCode::INVALID_PRODUCER_EPOCH);
        }
        if batch.is_control() {
            return Verdict::Append;
        }
        if epoch > producer.epoch {
            return if first == 0 { Verdict::Append } else { Verdict::Refuse(ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER) };
        }
        if let Some(seen) = producer.batches.iter().find(|seen| seen.first_sequence == first && seen.last_sequence == last) {
            return Verdict::Duplicate { base_offset: seen.base_offset, log_append_time: seen.log_append_time };
        }
        let follows = match producer.batches.back() {
            Some(previous) => first == if previous.last_sequence == i32::MAX { 0 } else { previous.last_sequence + 1 },
            None => first == 0,
        };
        if follows { Verdict::Append } else { Verdict::Refuse(ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER) }
    }

    /// Remembers a batch that was appended.
    pub(crate) fn appended(&mut self, batch: &Batch, base_offset: i64, log_append_time: i64) {
        if batch.producer_id() < 0 {
            return;
        }
        let epoch = batch.producer_epoch();
        let producer = self.0.entry(batch.producer_id()).or_insert_with(|| Producer { epoch, batches: VecDeque::new() });
        if producer.epoch != epoch {
            *producer = Producer { epoch, batches: VecDeque::new() };
        }
        if batch.is_control() {
            return;
        }
        if producer.batches.len() == REMEMBERED {
            producer.batches.pop_front();
        }
        let (first_sequence, last_sequence) = (batch.base_sequence(), batch.last_sequence());
        producer.batches.push_back(Remembered { first_sequence, last_sequence, base_offset, log_append_time });
    }

    /// Forgets all, as when retention has deleted what they wrote.
    pub(crate) fn forget(&mut self) {
        self.0.clear();
    }
}
