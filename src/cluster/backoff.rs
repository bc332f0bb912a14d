//! Pauses between attempts: they double from a first value up to a greatest one, each spread by ±20 % so that clients which failed
//! together do not come back together (KIP-580).
//!
//! The spread comes from a seed, so that a core which paces itself with this gives the same pauses in every run of a test.

use std::time::Duration;

/// First and greatest pause between attempts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BackoffConfig {
    /// The pause after the first failure.
    pub initial: Duration,
    /// What it doubles up to.
    pub max: Duration,
}

impl BackoffConfig {
    /// The pause after `failures` failures in a row, of which there is at least one, without spread.
    pub(crate) fn pause(&self, failures: u32) -> Duration {
        let factor = 1u32.checked_shl(failures.saturating_sub(1)).unwrap_or(u32::MAX);
        self.initial.saturating_mul(factor.max(1)).min(self.max.max(self.initial))
    }
}

/// `retry.backoff.ms` and `retry.backoff.max.ms`.
impl Default for BackoffConfig {
    fn default() -> Self {
        Self { initial: Duration::from_millis(100), max: Duration::from_secs(1) }
    }
}

/// A run of failures and the pause that each asks for.
#[derive(Clone, Debug)]
pub(crate) struct Backoff {
    config: BackoffConfig,
    failures: u32,
    spread: Spread,
}

impl Backoff {
    /// No failure yet; `seed` decides the spread.
    pub(crate) fn new(config: BackoffConfig, seed: u64) -> Self {
        Self { config, failures: 0, spread: Spread::new(seed) }
    }

    /// One more failure: how long to wait before the next attempt.
    pub(crate) fn next_pause(&mut self) -> Duration {
        self.failures = self.failures.saturating_add(1);
        self.spread.apply(self.config.pause(self.failures))
    }

    /// As [`next_pause`](Self::next_pause), but after the first failure another attempt may follow at once.
    pub(crate) fn pause_but_first(&mut self) -> Option<Duration> {
        let is_first = self.failures == 0;
        let pause = self.next_pause();
        (!is_first).then_some(pause)
    }

    /// It worked; the next failure starts from the first pause.
    pub(crate) fn reset(&mut self) {
        self.failures = 0;
    }
}

/// A stream of numbers from a seed (SplitMix64), for spreading and shuffling; not for secrets.
#[derive(Clone, Debug)]
pub(crate) struct Spread(u64);

impl Spread {
    /// The stream of `seed`.
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number.
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`, or 0 if that is 0.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        // The bias of the remainder is below one in 2^50 for any list that fits memory.
        match u64::try_from(bound) {
            Ok(bound) if bound > 0 => usize::try_from(self.next() % bound).unwrap_or(0),
            _ => 0,
        }
    }

    /// `pause`, longer or shorter by up to a fifth.
    pub(crate) fn apply(&mut self, pause: Duration) -> Duration {
        let nanos = u64::try_from(pause.as_nanos()).unwrap_or(u64::MAX);
        let width = (nanos / 5).saturating_mul(2);
        if width == 0 {
            return pause;
        }
        Duration::from_nanos((nanos - nanos / 5).saturating_add(self.next() % width))
    }

    /// Puts `items` in random order.
    pub(crate) fn shuffle<T>(&mut self, items: &mut [T]) {
        for end in (1..items.len()).rev() {
            items.swap(end, self.below(end + 1));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_greatest_and_start_again_after_success() {
        let mut backoff = Backoff::new(BackoffConfig::default(), 1);
        for expected in [100, 200, 400, 800, 1000, 1000] {
            let pause = backoff.next_pause().as_millis();
            assert!((expected * 8 / 10..=expected * 12 / 10).contains(&pause), "{pause} for {expected}");
        }
        backoff.reset();
        assert!(backoff.next_pause() <= Duration::from_millis(120));
    }

    #[test]
    fn many_failures_do_not_overflow() {
        let config = BackoffConfig { initial: Duration::from_secs(1), max: Duration::from_secs(u64::MAX) };
        assert!(config.pause(u32::MAX) >= config.pause(32));
        assert_eq!(BackoffConfig { initial: Duration::ZERO, max: Duration::ZERO }.pause(9), Duration::ZERO);
    }

    #[test]
    fn spread_differs_within_a_fifth_and_repeats_with_the_seed() {
        let pauses = |seed| {
            let mut spread = Spread::new(seed);
            [0; 64].map(|_| spread.apply(Duration::from_millis(1000)))
        };
        assert_eq!(pauses(7), pauses(7));
        assert_ne!(pauses(7), pauses(8));
        let (least, most) = (pauses(7).into_iter().min().unwrap(), pauses(7).into_iter().max().unwrap());
        assert!(least >= Duration::from_millis(800) && most <= Duration::from_millis(1200));
        assert!(most - least > Duration::from_millis(200), "hardly any spread: {least:?} to {most:?}");
    }

    #[test]
    fn shuffle_keeps_all_and_reaches_every_order() {
        let mut spread = Spread::new(3);
        let mut seen = std::collections::BTreeSet::new();
        for _ in 0..200 {
            let mut items = [1, 2, 3];
            spread.shuffle(&mut items);
            seen.insert(items);
        }
        assert_eq!(seen.len(), 6);
    }
}
