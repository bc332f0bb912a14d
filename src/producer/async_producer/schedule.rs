//! When an asynchronous producer delivers: at a number of records, at intervals, when its buffer is full, or when it is told to.
//!
//! The interval counts from the first record that waits, not from the producer's start, so an idle producer does nothing. After a
//! delivery that failed, what is left waits at least for a pause: a cluster that refuses at once is not asked without end. Only the
//! user's word goes past it.

use std::time::{Duration, Instant};

/// See the module.
#[derive(Debug)]
pub(super) struct Schedule {
    /// 0: no number of records is enough.
    threshold: usize,
    /// 0: no time is long enough.
    interval: Duration,
    pause: Duration,
    asked: bool,
    /// When the record came that waits longest, or what was left by the last delivery.
    waiting_since: Option<Instant>,
    /// After a failure: nothing by itself before.
    not_before: Option<Instant>,
}

/// How full the buffer is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fill {
    /// Records in it.
    pub(super) records: usize,
    /// Does a record wait because it does not fit?
    pub(super) full: bool,
}

impl Schedule {
    /// `pause` is the least time between a failed delivery and the next that comes by itself.
    pub(super) fn new(threshold: usize, interval: Duration, pause: Duration) -> Self {
        Self { threshold, interval, pause, asked: false, waiting_since: None, not_before: None }
    }

    /// Records came into the buffer.
    pub(super) fn handle_filled(&mut self, now: Instant) {
        self.waiting_since.get_or_insert(now);
    }

    /// The user wants what is in the buffer delivered, and what waits because it does not fit.
    pub(super) fn handle_asked(&mut self) {
        self.asked = true;
    }

    /// A delivery ended with this many records left. `more`: could not all that was asked for be in the buffer at once?
    pub(super) fn handle_delivered(&mut self, now: Instant, left: usize, more: bool) {
        self.asked &= more && left == 0;
        self.waiting_since = (left > 0).then_some(now);
        self.not_before = (left > 0).then(|| now + self.pause);
    }

    /// When the next delivery is due, if nothing else happens; in the past if it is due now.
    pub(super) fn next_timeout(&self, fill: Fill) -> Option<Instant> {
        let since = self.waiting_since.filter(|_| fill.records > 0)?;
        if self.asked {
            return Some(since);
        }
        let enough = fill.full || (self.threshold > 0 && fill.records >= self.threshold);
        let at = if enough { Some(since) } else { (!self.interval.is_zero()).then(|| since + self.interval) };
        at.map(|at| self.not_before.map_or(at, |not_before| at.max(not_before)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn some(records: usize) -> Fill {
        Fill { records, full: false }
    }

    #[test]
    fn without_threshold_and_interval_only_a_full_buffer_or_a_word_delivers() {
        let now = Instant::now();
        let mut schedule = Schedule::new(0, Duration::ZERO, SECOND);
        schedule.handle_filled(now);
        assert_eq!(schedule.next_timeout(some(1000)), None);
        assert_eq!(schedule.next_timeout(Fill { records: 1000, full: true }), Some(now));
        schedule.handle_asked();
        assert_eq!(schedule.next_timeout(some(1)), Some(now));
        schedule.handle_delivered(now, 0, false);
        assert_eq!(schedule.next_timeout(some(0)), None);
    }

    #[test]
    fn the_threshold_counts_what_is_in_the_buffer() {
        let now = Instant::now();
        let mut schedule = Schedule::new(5, Duration::ZERO, SECOND);
        schedule.handle_filled(now);
        assert_eq!(schedule.next_timeout(some(4)), None);
        assert_eq!(schedule.next_timeout(some(5)), Some(now));
    }

    #[test]
    fn the_interval_counts_from_the_first_record_that_waits() {
        let start = Instant::now();
        let mut schedule = Schedule::new(0, SECOND, SECOND);
        assert_eq!(schedule.next_timeout(some(0)), None);
        schedule.handle_filled(start + 5 * SECOND);
        schedule.handle_filled(start + 5 * SECOND + SECOND / 2);
        assert_eq!(schedule.next_timeout(some(2)), Some(start + 6 * SECOND));
        schedule.handle_delivered(start + 6 * SECOND, 0, false);
        assert_eq!(schedule.next_timeout(some(0)), None);
    }

    #[test]
    fn a_word_holds_for_what_did_not_fit_unless_the_delivery_fails() {
        let now = Instant::now();
        let mut schedule = Schedule::new(0, Duration::ZERO, SECOND);
        schedule.handle_filled(now);
        schedule.handle_asked();
        schedule.handle_delivered(now, 0, true);
        schedule.handle_filled(now);
        assert_eq!(schedule.next_timeout(some(1)), Some(now));
        schedule.handle_delivered(now, 1, true);
        assert_eq!(schedule.next_timeout(some(1)), None);
    }

    #[test]
    fn after_a_failure_what_is_left_waits_and_only_a_word_goes_past() {
        let start = Instant::now();
        let mut schedule = Schedule::new(1, SECOND / 10, SECOND);
        schedule.handle_filled(start);
        schedule.handle_delivered(start, 3, false);
        for fill in [some(3), Fill { records: 3, full: true }] {
            assert_eq!(schedule.next_timeout(fill), Some(start + SECOND));
        }
        schedule.handle_asked();
        assert_eq!(schedule.next_timeout(some(3)), Some(start));
        schedule.handle_delivered(start, 0, false);
        schedule.handle_filled(start);
        assert_eq!(schedule.next_timeout(some(1)), Some(start), "a success ends the pause");
    }
}
