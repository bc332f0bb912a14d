//! When a connection may be tried again, and how long the attempt may take; part of the connection's core.
//!
//! Both double with each failure in a row, up to a limit, and are spread by ±20 % so that clients which lost a broker together do not
//! come back together (KIP-601). An answer ends the row. A connection that was set up and then broke before it had answered anything
//! is a failure too: else a broker that accepts and closes would be called without a pause. After a refusal for who the client is the
//! pause is the longest at once: brokers lock out who tries too often.

use std::time::{Duration, Instant};

use crate::network::ConnectionConfig;

/// The pace of one owner's attempts to connect.
#[derive(Debug)]
pub(crate) struct Pace {
    backoff: (Duration, Duration),
    setup: (Duration, Duration),
    failures: u32,
    retry_at: Option<Instant>,
    random: u64,
}

impl Pace {
    /// Nothing has failed yet.
    pub(crate) fn new(config: &ConnectionConfig) -> Self {
        Self {
            backoff: (config.reconnect_backoff, config.reconnect_backoff_max),
            setup: (config.setup_timeout, config.setup_timeout_max),
            failures: 0,
            retry_at: None,
            random: config.seed,
        }
    }

    /// When the next attempt may start; `None` for at once.
    pub(crate) fn retry_at(&self) -> Option<Instant> {
        self.retry_at
    }

    /// An attempt starts: says how long connecting and set-up may take together.
    pub(crate) fn start_attempt(&mut self) -> Duration {
        self.retry_at = None;
        self.setup_time()
    }

    /// How long set-up steps may take.
    pub(crate) fn setup_time(&mut self) -> Duration {
        self.spread(doubled(self.setup, self.failures))
    }

    /// It failed.
    pub(crate) fn handle_failure(&mut self, now: Instant) {
        let pause = doubled(self.backoff, self.failures);
        self.failures = self.failures.saturating_add(1);
        self.retry_at = Some(now + self.spread(pause));
    }

    /// One side refused the other for who it is.
    pub(crate) fn handle_refusal(&mut self, now: Instant) {
        let longest = self.backoff.1.max(self.backoff.0);
        self.retry_at = Some(now + self.spread(longest));
    }

    /// An answer came.
    pub(crate) fn handle_success(&mut self) {
        self.failures = 0;
    }

    /// What failed says nothing about what comes: the address is another one.
    pub(crate) fn reset(&mut self) {
        (self.failures, self.retry_at) = (0, None);
    }

    /// `duration`, up to a fifth longer or shorter.
    fn spread(&mut self, duration: Duration) -> Duration {
        // Days at most, so that no setting can overflow.
        duration.min(Duration::from_secs(7 * 24 * 3600)).mul_f64(0.8 + 0.4 * self.portion())
    }

    /// A number from 0 to 1.
    pub(crate) fn portion(&mut self) -> f64 {
        // The upper 53 bits of SplitMix64.
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64
    }
}

/// The first of `range`, doubled `times`, at most the second.
fn doubled((first, longest): (Duration, Duration), times: u32) -> Duration {
    first.saturating_mul(1u32.checked_shl(times).unwrap_or(u32::MAX)).min(longest.max(first))
}
