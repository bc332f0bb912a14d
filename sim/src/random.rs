//! Chance that follows from a seed: SplitMix64, the same on every machine.

use std::ops::RangeInclusive;
use std::time::Duration;

/// A stream of choices. Streams of different subjects are split off by name, so that one more choice in one of them does not change all
/// that is drawn after it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Random(u64);

impl Random {
    /// The stream of a seed.
    pub fn new(seed: u64) -> Self {
        Self(mix(seed ^ 0x6b6c_616d_6d00_0000))
    }

    /// Another stream, which depends on seed and subject alone.
    pub fn of(seed: u64, subject: &str) -> Self {
        // FNV-1a.
        let hash = subject
            .bytes()
            .fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3));
        Self(mix(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ hash))
    }

    /// Any number.
    #[expect(clippy::should_implement_trait, reason = "an iterator might have an end")]
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }

    /// A number below `bound`; 0 if that is 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.next().checked_rem(bound).unwrap_or(0)
    }

    /// A number in `range`.
    pub fn within(&mut self, range: RangeInclusive<u64>) -> u64 {
        let (start, end) = range.into_inner();
        start + self.below(end.saturating_sub(start).saturating_add(1))
    }

    /// True once in `times` times.
    pub fn once_in(&mut self, times: u64) -> bool {
        self.below(times) == 0
    }

    /// One of these.
    pub fn pick<T: Clone>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len() as u64) as usize].clone()
    }

    /// So many milliseconds.
    pub fn millis(&mut self, range: RangeInclusive<u64>) -> Duration {
        Duration::from_millis(self.within(range))
    }
}

fn mix(mut mixed: u64) -> u64 {
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_the_same_choices_and_another_subject_others() {
        let drawn = |mut random: Random| (0..8).map(|_| random.next()).collect::<Vec<_>>();
        assert_eq!(drawn(Random::of(7, "faults")), drawn(Random::of(7, "faults")));
        assert_ne!(drawn(Random::of(7, "faults")), drawn(Random::of(7, "network")));
        assert_ne!(drawn(Random::of(7, "faults")), drawn(Random::of(8, "faults")));
    }

    #[test]
    fn choices_stay_in_their_ranges() {
        let mut random = Random::new(1);
        assert!((0..1000).all(|_| (3..=5).contains(&random.within(3..=5))));
        assert_eq!(random.within(4..=4), 4);
        assert_eq!(random.below(0), 0);
    }
}
