//! Rates as Kafka measures them, and how long a client that exceeds one has to be quiet.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// `quota.window.size.seconds`.
const WINDOW: Duration = Duration::from_secs(1);

/// Whole windows before the current one: `quota.window.num` is one more.
const WHOLE_WINDOWS: u32 = 10;

/// What was used in the last windows.
#[derive(Debug, Default)]
pub(super) struct Rate {
    /// Begin and sum of each; none is longer than `WINDOW`.
    windows: VecDeque<(Instant, f64)>,
}

impl Rate {
    /// Notes `amount`, and gives how long the client has to wait until it has used no more than `limit` per second.
    pub(super) fn record(&mut self, now: Instant, amount: f64, limit: f64) -> Duration {
        let oldest = WINDOW * (WHOLE_WINDOWS + 1);
        self.windows.retain(|(begin, _)| now.saturating_duration_since(*begin) < oldest);
        match self.windows.back_mut() {
            Some((begin, sum)) if now.saturating_duration_since(*begin) < WINDOW => *sum += amount,
            _ => self.windows.push_back((now, amount)),
        }
        let used: f64 = self.windows.iter().map(|(_, sum)| sum).sum();
        let span = self.span(now).as_secs_f64();
        let rate = used / span;
        if rate <= limit {
            return Duration::ZERO;
        }
        // So that what was used, spread over the windows and the pause, is the limit.
        let millis = ((rate - limit) / limit * span * 1000.0).round();
        Duration::from_millis(if millis.is_finite() { millis as u64 } else { u64::from(u32::MAX) })
    }

    /// Takes back what was not used after all.
    pub(super) fn take_back(&mut self, amount: f64) {
        if let Some((_, sum)) = self.windows.back_mut() {
            *sum -= amount;
        }
    }

    /// The time that the windows stand for: at least all whole ones, so that a first burst is not taken for a rate.
    fn span(&self, now: Instant) -> Duration {
        let elapsed = self.windows.front().map_or(Duration::ZERO, |(begin, _)| now.saturating_duration_since(*begin));
        let whole = u32::try_from(elapsed.as_secs()).unwrap_or(u32::MAX);
        elapsed + WINDOW * WHOLE_WINDOWS.saturating_sub(whole)
    }
}

/// A bucket of tokens that fills at the limit's rate (KIP-599). It may be overdrawn once.
#[derive(Debug, Default)]
pub(super) struct Bucket {
    /// How many there were, and when; full before the first is taken.
    tokens: Option<(f64, Instant)>,
}

impl Bucket {
    fn refill(&mut self, now: Instant, limit: f64) -> f64 {
        let full = limit * f64::from(WHOLE_WINDOWS + 1);
        let tokens = match self.tokens {
            Some((tokens, at)) => (tokens + limit * now.saturating_duration_since(at).as_secs_f64()).min(full),
            None => full,
        };
        self.tokens = Some((tokens, now));
        tokens
    }

    /// How long until it is not overdrawn any more.
    pub(super) fn wait(&mut self, now: Instant, limit: f64) -> Duration {
        let millis = (-self.refill(now, limit) / limit * 1000.0).round();
        if millis > 0.0 { Duration::from_millis(millis as u64) } else { Duration::ZERO }
    }

    pub(super) fn take(&mut self, now: Instant, amount: f64, limit: f64) {
        let tokens = self.refill(now, limit);
        self.tokens = Some((tokens - amount, now));
    }
}
