//! Retention: what is too old or too much goes, by segments as in Kafka.
//!
//! A log has no segments here; they are counted off from its start in steps of `segment.bytes`. A segment goes as a whole, when its
//! latest record is older than `retention.ms`, or when what is behind it alone is as large as `retention.bytes`; never what is not
//! replicated yet. Only topics that set one of the two are looked at, and only while there are any is there a timer.

use std::time::{Duration, Instant};

use crate::core::Core;
use crate::core::log::{Log, Stored};
use crate::core::topics::Topic;

/// What a topic keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Keeps {
    /// `retention.ms`.
    millis: Option<i64>,
    /// `retention.bytes`.
    bytes: Option<u64>,
    segment_bytes: u64,
}

impl Keeps {
    /// `None` where nothing is ever too old or too much.
    fn of(topic: &Topic) -> Option<Self> {
        // -1 is without limit.
        let limit = |key| topic.number(key).filter(|limit| *limit >= 0);
        let keeps = Self {
            millis: limit("retention.ms"),
            bytes: limit("retention.bytes").map(i64::unsigned_abs),
            segment_bytes: limit("segment.bytes").map_or(1 << 30, i64::unsigned_abs),
        };
        let has_limit = keeps.millis.is_some() || keeps.bytes.is_some();
        (has_limit && topic.has_policy("delete")).then_some(keeps)
    }

    /// Where the log shall start.
    fn start_of(self, log: &Log, now_millis: i64) -> i64 {
        let mut start = log.start_offset();
        let mut left = log.size();
        let mut batches = &log.batches[..];
        while let Some(segment) = segment(batches, self.segment_bytes) {
            let end = segment.last().map_or(start, |stored| stored.batch.next_offset());
            let latest = segment.iter().map(|stored| stored.batch.max_timestamp()).max().unwrap_or(-1);
            let size: u64 = segment.iter().map(|stored| stored.batch.size() as u64).sum();
            let is_old = self.millis.is_some_and(|millis| now_millis.saturating_sub(latest) > millis);
            let is_much = self.bytes.is_some_and(|bytes| left.saturating_sub(bytes) >= size);
            if end > log.high_watermark() || !(is_old || is_much) {
                break;
            }
            (start, left) = (end, left - size);
            batches = batches.get(segment.len()..).unwrap_or_default();
        }
        start
    }
}

/// The first segment of these; `None` if there is nothing.
fn segment(batches: &[Stored], segment_bytes: u64) -> Option<&[Stored]> {
    let first = batches.first()?;
    let fits = |stored: &Stored| stored.position + stored.batch.size() as u64 - first.position <= segment_bytes;
    // A batch that is larger than a segment has one of its own.
    let count = batches.iter().take_while(|stored| fits(stored)).count().max(1);
    batches.get(..count)
}

impl Core {
    /// Starts or stops the timer, as topics want.
    pub(super) fn schedule_retention(&mut self, now: Instant) {
        let is_wanted = self.topics.iter().any(|topic| Keeps::of(topic).is_some());
        let next = now + self.settings.retention_check_interval.max(Duration::from_millis(1));
        self.next_retention = is_wanted.then(|| self.next_retention.unwrap_or(next));
    }

    /// Looks at retention if it is time to.
    pub(super) fn check_retention(&mut self, now: Instant) {
        if self.next_retention.is_some_and(|at| at <= now) {
            self.next_retention = None;
            self.schedule_retention(now);
            self.delete_old_records(now);
        }
    }

    /// Deletes what is too old or too much.
    fn delete_old_records(&mut self, now: Instant) {
        let now_millis = self.wall_millis(now);
        for topic in self.topics.iter_mut() {
            let Some(keeps) = Keeps::of(topic) else { continue };
            for partition in &mut topic.partitions {
                let start = keeps.start_of(&partition.log, now_millis);
                partition.log.delete_before(start);
            }
        }
        self.topics.touch();
    }

    /// The same at once, for a test.
    pub(crate) fn apply_retention(&mut self, now: Instant) {
        self.delete_old_records(now);
        self.pump(now);
    }
}

#[cfg(test)]
mod tests {
    use klamm::protocol::records::{Batch, BatchBuilder, Compression, NO_HEADERS};

    use super::*;

    /// Batches of one record each, all of one size, at these times.
    fn log(times: &[i64]) -> (Log, u64) {
        let mut log = Log::default();
        let mut size = 0;
        for time in times {
            let mut builder = BatchBuilder::new(256);
            builder.append(*time, None, Some(b"value"), NO_HEADERS).expect("room");
            let batch = Batch::new(builder.close(Compression::None).expect("no codec").stamp(-1, -1, -1, false));
            let batch = batch.expect("a batch");
            size = batch.size() as u64;
            log.append(&batch, 0, None);
        }
        (log, size)
    }

    #[test]
    fn segments_go_when_their_latest_record_is_too_old() {
        let (log, size) = log(&[10, 30, 20, 40, 50, 60]);
        let start = |millis, segment_bytes, now| Keeps { millis: Some(millis), bytes: None, segment_bytes }.start_of(&log, now);
        assert_eq!(start(0, size, 35), 3);
        assert_eq!(start(15, size, 35), 1, "one that stays keeps what is behind it");
        assert_eq!(start(0, 2 * size, 35), 2, "40 keeps 20");
        assert_eq!(start(0, 2 * size + 7, 35), 2);
        assert_eq!(start(0, 100 * size, 60), 0, "the latest is just not older");
        assert_eq!(start(0, 100 * size, 61), 6);
        assert_eq!(start(0, 1, 35), 3, "each batch is a segment at least");
    }

    #[test]
    fn segments_go_as_long_as_enough_is_left() {
        let (log, size) = log(&[1; 6]);
        let start = |bytes, segment_bytes| Keeps { millis: None, bytes: Some(bytes), segment_bytes }.start_of(&log, 1000);
        assert_eq!((start(6 * size, size), start(6 * size - 1, size), start(5 * size, size)), (0, 0, 1));
        assert_eq!((start(3 * size, 2 * size), start(2 * size, 2 * size), start(0, 2 * size)), (2, 4, 6));
    }

    #[test]
    fn what_is_not_replicated_stays() {
        let (mut log, size) = log(&[1, 2]);
        log.set_waiting(true);
        let (more, _) = super::tests::log(&[3]);
        let batch = more.batches().next().expect("a batch").clone();
        log.append(&batch, 0, None);
        assert_eq!(Keeps { millis: Some(0), bytes: Some(0), segment_bytes: size }.start_of(&log, 1000), 2);
        assert_eq!(Keeps { millis: Some(0), bytes: None, segment_bytes: 100 * size }.start_of(&log, 1000), 0);
    }
}
