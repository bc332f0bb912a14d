//! Which partition a record goes to.
//!
//! In this order: the partition the record names; else murmur2 of its partition key, or else of its key, exactly as Kafka's Java
//! client computes it, so that both put equal keys into the same partition; else the topic's sticky choice. A null key is no key, an
//! empty one is. Keys are spread over all partitions, also over those without a leader, because a key's place must not depend on
//! which broker is up.
//!
//! The sticky choice (KIP-480, KIP-794) changes only at a batch's end, and only once [`STICKY_BYTES`] went to the partition: so
//! batches are full under load, and a slow producer still spreads its records. It prefers partitions with short queues and leaves
//! out those without a leader.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

use crate::record::Record;

/// Bytes of batches that went to a partition before the sticky choice changes.
pub(super) const STICKY_BYTES: usize = 64 * 1024;

/// The number that Kafka's Java client derives a key's partition from: 32-bit MurmurHash2 with the sign bit cleared.
///
/// A record with this key and neither a partition nor a partition key goes to partition `murmur2(key) % partition_count`.
#[must_use]
pub fn murmur2(key: &[u8]) -> u32 {
    const SEED: u32 = 0x9747_b28c;
    const M: u32 = 0x5bd1_e995;
    // The length goes in as Java's 32-bit int; no record can have a key that is longer.
    let mut hash = SEED ^ key.len() as u32;
    let (words, rest) = key.as_chunks::<4>();
    for word in words {
        let mut k = u32::from_le_bytes(*word).wrapping_mul(M);
        k ^= k >> 24;
        hash = hash.wrapping_mul(M) ^ k.wrapping_mul(M);
    }
    if !rest.is_empty() {
        for (shift, byte) in rest.iter().enumerate() {
            hash ^= u32::from(*byte) << (8 * shift);
        }
        hash = hash.wrapping_mul(M);
    }
    hash ^= hash >> 13;
    hash = hash.wrapping_mul(M);
    (hash ^ (hash >> 15)) & 0x7fff_ffff
}

/// The partition of a record by its keys, if it has one of them; `count` must not be 0.
pub(super) fn by_key(record: &Record, count: u32) -> Option<u32> {
    let key = record.partition_key.as_ref().or(record.key.as_ref())?;
    Some(murmur2(key) % count)
}

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
    fn rk_063_murmur2_gives_the_values_of_the_java_client() {
        let long = "lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8";
        let table: [(&[u8], u32, [u32; 3]); 10] = [
            (b"yolo", 1_633_766_415, [0, 5, 15]),
            (b"hey", 462_918_067, [1, 7, 67]),
            (b"hello", 2_132_663_229, [0, 9, 29]),
            (b"", 275_646_681, [0, 1, 81]),
            (b"21", 1_173_551_340, [0, 0, 40]),
            (b"foobar", 1_357_151_166, [0, 6, 66]),
            (b"a-little-bit-long-string", 1_161_502_112, [2, 2, 12]),
            (b"a-little-bit-longer-string", 661_178_819, [2, 9, 19]),
            (long.as_bytes(), 2_088_585_677, [2, 7, 77]),
            (b"\xff\xfe\x00", 1_514_669_764, [1, 4, 64]),
        ];
        for (key, hash, modulos) in table {
            assert_eq!(murmur2(key), hash, "{key:?}");
            for (count, expected) in [3, 10, 100].into_iter().zip(modulos) {
                assert_eq!(by_key(&Record::new("t").key(key.to_vec()), count), Some(expected), "{key:?} % {count}");
            }
        }
    }

    #[test]
    fn a_partition_key_comes_before_the_key_and_null_is_no_key() {
        let record = Record::new("t").key("hey").partition_key("yolo");
        assert_eq!(by_key(&record, 100), Some(15));
        assert_eq!(by_key(&Record::new("t").key(""), 100), Some(81));
        assert_eq!(by_key(&Record::new("t").value("hey"), 100), None);
    }

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
