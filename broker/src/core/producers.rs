//! What a partition remembers of idempotent and transactional producers, and what follows for their next batch (KIP-98, KIP-360).
//!
//! For each producer id: its epoch and its last five batches. A batch that is one of the five is a repetition, answered like the
//! first time. Else its first sequence must follow the last one; after a new epoch it must be 0. A producer the partition does not
//! know may start anywhere: what it wrote before may have been deleted. A producer that has been silent for too long is forgotten, but not
//! while it has a transaction open.
//!
//! A transactional batch that has to be verified first leaves its sequence here, verified or not: until something of the transaction is
//! written, nothing with a later sequence is taken. So a batch that was refused is not passed by the one behind it (KIP-890).

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use klamm::protocol::ErrorCode;
use klamm::protocol::records::Batch;

/// How many batches are remembered: a client may have no more in flight.
const REMEMBERED: usize = 5;

/// The producers of one partition.
#[derive(Debug, Default)]
pub(crate) struct Producers {
    known: BTreeMap<i64, Producer>,
    attempts: BTreeMap<i64, Attempt>,
}

/// What a producer tried to begin a transaction with.
#[derive(Clone, Copy, Debug)]
struct Attempt {
    epoch: i16,
    /// The lowest of those it tried with.
    sequence: i32,
    /// Does each of its transactions have an epoch? Then each begins with 0.
    own_epochs: bool,
}

#[derive(Debug)]
struct Producer {
    epoch: i16,
    /// Of the coordinator that wrote the last marker.
    coordinator_epoch: Option<i32>,
    /// The latest time in the last batch.
    last_timestamp: i64,
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

/// What can be seen of a producer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) epoch: i16,
    /// -1 without batches of this epoch.
    pub(crate) last_sequence: i32,
    pub(crate) last_timestamp: i64,
    /// -1 without a marker.
    pub(crate) coordinator_epoch: i32,
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
        let (epoch, first, last) = (batch.producer_epoch(), batch.base_sequence(), batch.last_sequence());
        let attempt = self.attempts.get(&batch.producer_id()).filter(|_| !batch.is_control());
        let is_ahead = attempt.is_some_and(|attempt| epoch == attempt.epoch && first > attempt.sequence);
        let Some(producer) = self.known.get(&batch.producer_id()) else {
            let has_no_beginning = first != 0 && attempt.is_some_and(|attempt| attempt.own_epochs);
            return match is_ahead || has_no_beginning {
                true => Verdict::Refuse(ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER),
                false => Verdict::Append,
            };
        };
        if epoch < producer.epoch {
            return Verdict::Refuse(ErrorCode::INVALID_PRODUCER_EPOCH);
        }
        if batch.is_control() {
            return Verdict::Append;
        }
        if epoch > producer.epoch {
            return if first == 0 && !is_ahead {
                Verdict::Append
            } else {
                Verdict::Refuse(ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER)
            };
        }
        if let Some(seen) = producer.batches.iter().find(|seen| seen.first_sequence == first && seen.last_sequence == last) {
            return Verdict::Duplicate { base_offset: seen.base_offset, log_append_time: seen.log_append_time };
        }
        let follows = match producer.batches.back() {
            Some(previous) => first == if previous.last_sequence == i32::MAX { 0 } else { previous.last_sequence + 1 },
            None => first == 0,
        };
        if follows && !is_ahead { Verdict::Append } else { Verdict::Refuse(ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER) }
    }

    /// Remembers a batch that was appended.
    pub(crate) fn appended(&mut self, batch: &Batch, base_offset: i64, log_append_time: i64) {
        if batch.producer_id() < 0 {
            return;
        }
        if batch.is_transactional() {
            self.attempts.remove(&batch.producer_id());
        }
        let epoch = batch.producer_epoch();
        let new = Producer { epoch, coordinator_epoch: None, last_timestamp: -1, batches: VecDeque::new() };
        let producer = self.known.entry(batch.producer_id()).or_insert(new);
        if producer.epoch != epoch {
            producer.epoch = epoch;
            producer.batches.clear();
        }
        producer.last_timestamp = if log_append_time < 0 { batch.max_timestamp() } else { log_append_time };
        if batch.is_control() {
            let marker = batch.control_marker().ok().flatten();
            producer.coordinator_epoch = marker.and_then(|marker| marker.coordinator_epoch);
            return;
        }
        if producer.batches.len() == REMEMBERED {
            producer.batches.pop_front();
        }
        let (first_sequence, last_sequence) = (batch.base_sequence(), batch.last_sequence());
        // What a repetition is told, also where the log does not set times.
        let log_append_time = producer.last_timestamp;
        producer.batches.push_back(Remembered { first_sequence, last_sequence, base_offset, log_append_time });
    }

    /// A producer tries to begin a transaction with `batch`, by the protocol with `own_epochs` or the other.
    pub(crate) fn attempted(&mut self, batch: &Batch, own_epochs: bool) {
        let (epoch, sequence) = (batch.producer_epoch(), batch.base_sequence());
        let attempt = self.attempts.entry(batch.producer_id()).or_insert(Attempt { epoch, sequence, own_epochs });
        if epoch > attempt.epoch || (epoch == attempt.epoch && sequence < attempt.sequence) {
            (attempt.epoch, attempt.sequence) = (epoch, sequence);
        }
    }

    /// The epoch of a producer that the partition knows.
    pub(crate) fn epoch(&self, id: i64) -> Option<i16> {
        self.known.get(&id).map(|producer| producer.epoch)
    }

    /// The epoch of the coordinator that wrote a producer's last marker.
    pub(crate) fn coordinator_epoch(&self, id: i64) -> Option<i32> {
        self.known.get(&id)?.coordinator_epoch
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (i64, Seen)> {
        let seen = |producer: &Producer| Seen {
            epoch: producer.epoch,
            last_sequence: producer.batches.back().map_or(-1, |batch| batch.last_sequence),
            last_timestamp: producer.last_timestamp,
            coordinator_epoch: producer.coordinator_epoch.unwrap_or(-1),
        };
        self.known.iter().map(move |(id, producer)| (*id, seen(producer)))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.known.is_empty()
    }

    /// Forgets those whose last batch is `after` old or older, but for who has a transaction open (`producer.id.expiration.ms`).
    pub(crate) fn expire(&mut self, now_millis: i64, after: Duration, is_open: impl Fn(i64) -> bool) {
        let after = i64::try_from(after.as_millis()).unwrap_or(i64::MAX);
        self.attempts.retain(|id, _| self.known.contains_key(id));
        self.known.retain(|id, producer| now_millis.saturating_sub(producer.last_timestamp) < after || is_open(*id));
    }

    /// Forgets all, as when retention has deleted what they wrote.
    pub(crate) fn forget(&mut self) {
        self.known.clear();
        self.attempts.clear();
    }
}

#[cfg(test)]
mod tests {
    use klamm::protocol::records::{BatchBuilder, Compression, ControlMarker, NO_HEADERS};

    use super::*;

    fn batch(epoch: i16, sequence: i32, count: usize) -> Batch {
        let mut builder = BatchBuilder::new(256);
        for _ in 0..count {
            builder.append(0, None, Some(b"x"), NO_HEADERS).expect("room");
        }
        let bytes = builder.close(Compression::None).expect("no codec").stamp(7, epoch, sequence, false);
        Batch::new(bytes).expect("a batch")
    }

    /// Appends batches of these sequences, one record each at offsets 100, 101, …
    fn with(epoch: i16, sequences: impl IntoIterator<Item = i32>) -> Producers {
        let mut producers = Producers::default();
        for (offset, sequence) in (100..).zip(sequences) {
            let batch = batch(epoch, sequence, 1);
            assert_eq!(producers.check(&batch), Verdict::Append, "sequence {sequence}");
            producers.appended(&batch, offset, -1);
        }
        producers
    }

    const OUT_OF_ORDER: Verdict = Verdict::Refuse(ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER);

    #[test]
    fn the_last_five_batches_are_known_again() {
        let producers = with(0, 0..6);
        for (sequence, base_offset) in (1..6).zip(101..) {
            assert_eq!(producers.check(&batch(0, sequence, 1)), Verdict::Duplicate { base_offset, log_append_time: 0 });
        }
        assert_eq!(producers.check(&batch(0, 0, 1)), OUT_OF_ORDER, "the sixth is forgotten");
        assert_eq!(producers.check(&batch(0, 4, 2)), OUT_OF_ORDER, "the same start, but more records");
    }

    #[test]
    fn a_gap_is_out_of_order() {
        let producers = with(0, 0..2);
        assert_eq!(producers.check(&batch(0, 3, 1)), OUT_OF_ORDER);
        assert_eq!(producers.check(&batch(0, 2, 5)), Verdict::Append);
    }

    #[test]
    fn sequences_wrap_to_zero() {
        let producers = with(0, [i32::MAX - 1, i32::MAX, 0]);
        assert_eq!(producers.check(&batch(0, 1, 1)), Verdict::Append);
        let mut producers = with(0, [i32::MAX - 1]);
        let over = batch(0, i32::MAX, 3);
        assert_eq!((over.base_sequence(), over.last_sequence()), (i32::MAX, 1));
        producers.appended(&over, 101, -1);
        assert_eq!(producers.check(&batch(0, 2, 1)), Verdict::Append);
    }

    #[test]
    fn a_new_epoch_starts_at_zero_and_an_old_one_is_refused() {
        let mut producers = with(3, 0..4);
        assert_eq!(producers.check(&batch(4, 4, 1)), OUT_OF_ORDER);
        assert_eq!(producers.check(&batch(2, 4, 1)), Verdict::Refuse(ErrorCode::INVALID_PRODUCER_EPOCH));
        let bumped = batch(4, 0, 1);
        assert_eq!(producers.check(&bumped), Verdict::Append);
        producers.appended(&bumped, 200, -1);
        assert_eq!(producers.check(&batch(3, 4, 1)), Verdict::Refuse(ErrorCode::INVALID_PRODUCER_EPOCH));
        assert_eq!(producers.check(&batch(4, 1, 1)), Verdict::Append);
    }

    #[test]
    fn an_unknown_producer_may_start_anywhere() {
        assert_eq!(Producers::default().check(&batch(0, 17, 1)), Verdict::Append);
    }

    #[test]
    fn what_was_tried_first_has_to_be_written_first() {
        let mut producers = with(0, 0..3);
        producers.attempted(&batch(0, 3, 1), false);
        producers.attempted(&batch(0, 4, 1), false);
        assert_eq!(producers.check(&batch(0, 3, 1)), Verdict::Append);
        // As if it had been appended without a transaction: the one behind it is still ahead of what was tried.
        producers.appended(&batch(0, 3, 1), 103, -1);
        assert_eq!(producers.check(&batch(0, 4, 1)), OUT_OF_ORDER);
        let marker = Batch::new(ControlMarker::end_of_transaction(false, 0).batch(0, 7, 0)).expect("a batch");
        producers.appended(&marker, 104, -1);
        assert_eq!(producers.check(&batch(0, 4, 1)), Verdict::Append);
        producers.attempted(&batch(0, 4, 1), false);
        producers.attempted(&batch(1, 0, 1), false);
        assert_eq!(producers.check(&batch(1, 0, 1)), Verdict::Append, "a new epoch has its own beginning");
    }

    #[test]
    fn with_an_epoch_for_each_transaction_an_unknown_producer_begins_at_zero() {
        let mut producers = Producers::default();
        producers.attempted(&batch(4, 3, 1), true);
        assert_eq!(producers.check(&batch(4, 3, 1)), OUT_OF_ORDER);
        producers.attempted(&batch(4, 0, 1), true);
        assert_eq!(producers.check(&batch(4, 0, 1)), Verdict::Append);
    }

    #[test]
    fn who_is_silent_for_too_long_is_forgotten_but_not_with_an_open_transaction() {
        let hour = Duration::from_secs(3600);
        let mut producers = with(0, 0..2);
        producers.expire(3_599_999, hour, |_| false);
        assert_eq!(producers.epoch(7), Some(0));
        producers.expire(3_600_000, hour, |id| id == 7);
        assert_eq!(producers.epoch(7), Some(0));
        producers.expire(3_600_000, hour, |_| false);
        assert!(producers.is_empty());
        assert_eq!(producers.check(&batch(0, 9, 1)), Verdict::Append);
    }

    #[test]
    fn what_is_seen_of_a_producer_is_its_last_batch_and_marker() {
        let mut producers = with(2, 0..3);
        let seen = Seen { epoch: 2, last_sequence: 2, last_timestamp: 0, coordinator_epoch: -1 };
        assert_eq!(producers.iter().collect::<Vec<_>>(), [(7, seen)]);
        let marker = Batch::new(ControlMarker::end_of_transaction(true, 4).batch(50, 7, 3)).expect("a batch");
        producers.appended(&marker, 103, -1);
        let seen = Seen { epoch: 3, last_sequence: -1, last_timestamp: 50, coordinator_epoch: 4 };
        assert_eq!(producers.iter().collect::<Vec<_>>(), [(7, seen)]);
    }

    #[test]
    fn a_marker_of_a_new_epoch_leaves_no_batches() {
        let mut producers = with(0, 0..2);
        let marker = Batch::new(ControlMarker::end_of_transaction(false, 0).batch(0, 7, 1)).expect("a batch");
        assert_eq!(producers.check(&marker), Verdict::Append);
        producers.appended(&marker, 300, -1);
        assert_eq!(producers.check(&batch(1, 2, 1)), OUT_OF_ORDER);
        assert_eq!(producers.check(&batch(1, 0, 1)), Verdict::Append);
    }
}
