//! The partition for records that no key decides: one for a while, then another.
//!
//! The sticky choice (KIP-480, KIP-794) changes only at a batch's end, and only once [`STICKY_BYTES`] went to the partition: so
//! batches are full under load, and a slow producer still spreads its records. It prefers partitions with short queues and leaves
//! out those without a leader.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

/// Bytes of batches that went to a partition before the sticky choice changes.
const STICKY_BYTES: usize = 64 * 1024;

/// The sticky choice of one topic: one relaxed load per record, everything else per batch.
#[derive(Debug)]
pub(super) struct Sticky {
    current: AtomicU32,
    /// Bytes of batches that ended in `current` since it was chosen.
    bytes: AtomicUsize,
    random: Mutex<fastrand::Rng>,
}

impl Sticky {
    /// Starts at a partition below `count` that follows from `seed`.
    pub(super) fn new(count: u32, seed: u64) -> Self {
        let mut random = fastrand::Rng::with_seed(seed);
        Self { current: AtomicU32::new(random.u32(0..count.max(1))), bytes: AtomicUsize::new(0), random: Mutex::new(random) }
    }

    /// The partition for a record without keys.
    #[inline]
    pub(super) fn current(&self) -> u32 {
        self.current.load(Ordering::Relaxed)
    }

    /// A batch of `bytes` ended in `partition`: chooses anew if that was the sticky one and has had enough.
    ///
    /// `queues` gives each partition's number of unanswered batches, `None` without a leader; it is only asked at a switch.
    pub(super) fn batch_ended(&self, partition: u32, bytes: usize, queues: impl FnOnce() -> Vec<Option<u32>>) {
        if self.current() != partition || self.bytes.fetch_add(bytes, Ordering::Relaxed) + bytes < STICKY_BYTES {
            return;
        }
        self.switch(&queues());
    }

    /// Chooses anew, as after a batch's end.
    pub(super) fn switch(&self, queues: &[Option<u32>]) {
        // The lock is held for arithmetic only, so it cannot be poisoned by a panic of ours.
        let mut random = self.random.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(next) = choose(queues, &mut random) {
            self.current.store(next, Ordering::Relaxed);
        }
        self.bytes.store(0, Ordering::Relaxed);
    }
}

/// A random partition, the likelier the shorter its queue; all of them alike if none has a leader.
fn choose(queues: &[Option<u32>], random: &mut fastrand::Rng) -> Option<u32> {
    let longest = queues.iter().flatten().max();
    let weight = |queue: &Option<u32>| match (longest, queue) {
        (Some(longest), Some(queue)) => u64::from(longest - queue) + 1,
        (Some(_), None) => 0,
        (None, _) => 1,
    };
    let total: u64 = queues.iter().map(weight).sum();
    if total == 0 {
        return None;
    }
    let mut left = random.u64(0..total);
    for (partition, queue) in (0..).zip(queues) {
        let weight = weight(queue);
        if left < weight {
            return Some(partition);
        }
        left -= weight;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sticky_stays_until_enough_bytes_went_there() {
        let sticky = Sticky::new(1, 7);
        sticky.batch_ended(0, STICKY_BYTES - 1, || panic!("switched too early"));
        let mut asked = false;
        sticky.batch_ended(0, 1, || {
            asked = true;
            vec![None, Some(0), None]
        });
        assert!(asked);
        assert_eq!(sticky.current(), 1, "partitions without a leader are left out");
        sticky.batch_ended(0, STICKY_BYTES, || panic!("a batch of another partition does not count"));
    }

    #[test]
    fn rk_066_full_batches_spread_evenly_and_short_queues_are_preferred() {
        let sticky = Sticky::new(3, 42);
        let mut batches = [0; 3];
        for _ in 0..3000 {
            let partition = sticky.current();
            batches[partition as usize] += 1;
            sticky.batch_ended(partition, 256 * 1024, || vec![Some(0); 3]);
        }
        assert!(batches.iter().all(|count| (850..=1150).contains(count)), "{batches:?}");

        let mut random = fastrand::Rng::with_seed(1);
        let mut chosen = [0; 2];
        for _ in 0..1000 {
            chosen[choose(&[Some(9), Some(0)], &mut random).unwrap() as usize] += 1;
        }
        assert!(chosen[1] > 5 * chosen[0], "{chosen:?}");
        assert_eq!(choose(&[], &mut random), None);
    }
}
