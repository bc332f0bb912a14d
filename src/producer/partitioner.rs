//! Which partition a record goes to.
//!
//! In this order: the partition the record names; else what its partition key, or else its key, says; else the topic's sticky choice
//! (`sticky.rs`). A key's place must not depend on which broker is up: keys are spread over all partitions, also over those without a
//! leader. Unless told otherwise keys are hashed by murmur2 exactly as Kafka's Java client does it, so that both put equal keys into
//! the same partition; there a null key is no key, and an empty one is.
//!
//! The built-in ways are an enum, so that the path of every record has no call it can't see through. A [`Partitioner`] of the user's
//! own is asked before any lock is taken, and contained: what it gets wrong is that record's error.

use std::fmt;
use std::str::FromStr;
use std::sync::{Arc, PoisonError};

use super::contained::contained;
use super::engine::{Engine, Refusal};
use crate::error::{Error, ErrorKind, Result};
use crate::record::Record;

/// How records that name no partition find one; [`Murmur2`](Self::Murmur2) unless set.
///
/// By name, as in properties, they are librdkafka's `murmur2_random`, `murmur2`, `consistent`, `consistent_random` and `random`, and
/// `crc32`.
#[derive(Clone, Default)]
#[non_exhaustive]
pub enum Partitioning {
    /// Keys by [`murmur2`], as Java's client and franz-go do it; records without a key stick to a partition for a while. librdkafka's
    /// `murmur2_random`. The default.
    #[default]
    #[doc(alias = "murmur2_random")]
    Murmur2,
    /// As [`Murmur2`](Self::Murmur2), but records without a key all go where the empty key goes. librdkafka's `murmur2`.
    Murmur2NullAsEmpty,
    /// Keys by [`crc32`], as ruby-kafka does it; records without a key stick to a partition for a while.
    Crc32,
    /// As [`Crc32`](Self::Crc32), but records without a key all go where the empty key goes, partition 0. librdkafka's `consistent`.
    #[doc(alias = "consistent")]
    Crc32NullAsEmpty,
    /// As [`Crc32`](Self::Crc32), but an empty key counts as none. librdkafka's default, `consistent_random`.
    #[doc(alias = "consistent_random")]
    Crc32EmptyAsNull,
    /// Keys say nothing: all records stick to a partition for a while, except that a partition key, which has no other use, is still
    /// hashed by [`murmur2`]. librdkafka's `random`, Java's `partitioner.ignore.keys`.
    #[doc(alias = "partitioner.ignore.keys")]
    IgnoreKeys,
    /// As this says.
    Custom(Arc<dyn Partitioner>),
}

/// Chooses partitions in the user's own way; a closure of the same signature is one, too.
///
/// It is called on the task that hands a record over, with no lock held, for each record that names no partition; once more if the
/// record has to wait for room. It must not block. A panic in it, and a number that is no partition, fail the record.
///
/// ```no_run
/// # fn example(client: klamm::Client) -> klamm::Result<()> {
/// use klamm::Record;
///
/// // Records without a value to the last partition, the others as usual without a key.
/// let last_for_null = |partition_count: u32, record: &Record| record.value.is_none().then(|| partition_count - 1);
/// let producer = client.producer().partitioner(last_for_null).build()?;
/// # drop(producer);
/// # Ok(())
/// # }
/// ```
pub trait Partitioner: Send + Sync + 'static {
    /// The partition for `record`, below `partition_count`, which counts those without a leader, too. `None`: the sticky choice.
    fn partition(&self, partition_count: u32, record: &Record) -> Option<u32>;
}

impl<F> Partitioner for F
where
    F: Fn(u32, &Record) -> Option<u32> + Send + Sync + 'static,
{
    fn partition(&self, partition_count: u32, record: &Record) -> Option<u32> {
        self(partition_count, record)
    }
}

impl<P: Partitioner> From<P> for Partitioning {
    fn from(partitioner: P) -> Self {
        Self::Custom(Arc::new(partitioner))
    }
}

impl fmt::Debug for Partitioning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Murmur2 => "Murmur2",
            Self::Murmur2NullAsEmpty => "Murmur2NullAsEmpty",
            Self::Crc32 => "Crc32",
            Self::Crc32NullAsEmpty => "Crc32NullAsEmpty",
            Self::Crc32EmptyAsNull => "Crc32EmptyAsNull",
            Self::IgnoreKeys => "IgnoreKeys",
            Self::Custom(_) => "Custom(..)",
        })
    }
}

/// Its name in properties.
impl fmt::Display for Partitioning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Murmur2 => "murmur2_random",
            Self::Murmur2NullAsEmpty => "murmur2",
            Self::Crc32 => "crc32",
            Self::Crc32NullAsEmpty => "consistent",
            Self::Crc32EmptyAsNull => "consistent_random",
            Self::IgnoreKeys => "random",
            Self::Custom(_) => "a partitioner of the user's own",
        })
    }
}

/// librdkafka's names, `crc32`, and the classes of Java's client that mean the same.
impl FromStr for Partitioning {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        let invalid = |why: &'static str| Err(Error::new(ErrorKind::InvalidConfig, why));
        match name.strip_prefix("org.apache.kafka.clients.producer.").unwrap_or(name) {
            "murmur2_random" | "internals.DefaultPartitioner" => Ok(Self::Murmur2),
            "murmur2" => Ok(Self::Murmur2NullAsEmpty),
            "crc32" => Ok(Self::Crc32),
            "consistent" => Ok(Self::Crc32NullAsEmpty),
            "consistent_random" => Ok(Self::Crc32EmptyAsNull),
            "random" | "UniformStickyPartitioner" => Ok(Self::IgnoreKeys),
            "fnv1a" | "fnv1a_random" => {
                invalid("this hash is not built in; give the producer's builder a partitioner of your own")
            }
            class if class.contains('.') || class.ends_with("Partitioner") => {
                invalid("it names a Java class; give the producer's builder a partitioner of your own")
            }
            _ => invalid("it must be one of murmur2_random, murmur2, consistent, consistent_random, crc32 and random"),
        }
    }
}

impl Partitioning {
    /// The partition of a record by its keys, if they say one; `count` must not be 0.
    #[inline]
    pub(super) fn by_key(&self, record: &Record, count: u32) -> Option<u32> {
        let key = record.partition_key.as_deref().or(record.key.as_deref());
        let hash = match self {
            Self::Murmur2 => murmur2(key?),
            Self::Murmur2NullAsEmpty => murmur2(key.unwrap_or_default()),
            Self::Crc32 => crc32(key?),
            Self::Crc32NullAsEmpty => crc32(key.unwrap_or_default()),
            Self::Crc32EmptyAsNull => crc32(key.filter(|key| !key.is_empty())?),
            Self::IgnoreKeys => murmur2(record.partition_key.as_deref()?),
            Self::Custom(_) => return None,
        };
        Some(hash % count)
    }
}

impl Engine {
    /// What the user's own partitioner says about a record of a known topic.
    #[inline(never)]
    pub(super) fn ask_partitioner(&self, partitioner: &dyn Partitioner, record: &Record) -> Result<Option<u32>, Refusal> {
        let count = {
            let topics = self.topics.read().unwrap_or_else(PoisonError::into_inner);
            topics.get(&record.topic).map(|topic| topic.partitions.len() as u32).ok_or(Refusal::Metadata)?
        };
        // Without the lock: it is the user's code.
        let error = match contained(|| partitioner.partition(count, record)) {
            Ok(None) => return Ok(None),
            Ok(Some(partition)) if partition < count => return Ok(Some(partition)),
            Ok(Some(partition)) => {
                let message = format!("the partitioner chose partition {partition}, and the topic has {count}, from 0");
                Error::new(ErrorKind::InvalidRequest, message).with_partition(i32::try_from(partition).unwrap_or(i32::MAX))
            }
            Err(panic) => {
                Error::new(ErrorKind::Processing, format!("the partitioner panicked, and the record was not sent: {panic}"))
            }
        };
        Err(Refusal::Error(error.with_topic(&record.topic)))
    }
}

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

/// The number that ruby-kafka and librdkafka derive a key's partition from: CRC-32 as in zlib.
///
/// With [`Partitioning::Crc32`] a record with this key goes to partition `crc32(key) % partition_count`.
#[must_use]
pub fn crc32(key: &[u8]) -> u32 {
    crc32fast::hash(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// ruby-kafka's keys: CRC-32 and its remainders by 3, 10 and 100, then murmur2 and its.
    type Row = (&'static [u8], u32, [u32; 3], u32, [u32; 3]);

    const TABLE: [Row; 10] = [
        (b"yolo", 1_623_057_525, [0, 5, 25], 1_633_766_415, [0, 5, 15]),
        (b"hey", 2_295_731_696, [2, 6, 96], 462_918_067, [1, 7, 67]),
        (b"hello", 907_060_870, [1, 0, 70], 2_132_663_229, [0, 9, 29]),
        (b"", 0, [0, 0, 0], 275_646_681, [0, 1, 81]),
        (b"21", 4_252_452_532, [1, 2, 32], 1_173_551_340, [0, 0, 40]),
        (b"foobar", 2_666_930_069, [2, 9, 69], 1_357_151_166, [0, 6, 66]),
        (b"a-little-bit-long-string", 4_000_435_554, [0, 4, 54], 1_161_502_112, [2, 2, 12]),
        (b"a-little-bit-longer-string", 2_277_486_890, [2, 0, 90], 661_178_819, [2, 9, 19]),
        (b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", 3_769_350_433, [1, 3, 33], 2_088_585_677, [2, 7, 77]),
        (b"\xff\xfe\x00", 3_420_856_780, [1, 0, 80], 1_514_669_764, [1, 4, 64]),
    ];

    fn check(partitioning: Partitioning, hash: fn(&[u8]) -> u32, row: fn(&Row) -> (u32, [u32; 3])) {
        for line in &TABLE {
            let (key, (expected, remainders)) = (line.0, row(line));
            assert_eq!(hash(key), expected, "{key:?}");
            for (count, remainder) in [3, 10, 100].into_iter().zip(remainders) {
                let found = partitioning.by_key(&Record::new("t").key(key.to_vec()), count);
                assert_eq!(found, Some(remainder), "{key:?} % {count}");
            }
        }
    }

    #[test]
    fn rk_062_crc32_gives_the_values_of_ruby_kafka_and_librdkafka() {
        check(Partitioning::Crc32, crc32, |line| (line.1, line.2));
    }

    #[test]
    fn rk_063_murmur2_gives_the_values_of_the_java_client() {
        check(Partitioning::Murmur2, murmur2, |line| (line.3, line.4));
    }

    #[test]
    fn a_partition_key_comes_before_the_key_and_null_is_no_key() {
        let by_key = |record: &Record| Partitioning::Murmur2.by_key(record, 100);
        assert_eq!(by_key(&Record::new("t").key("hey").partition_key("yolo")), Some(15));
        assert_eq!(by_key(&Record::new("t").key("")), Some(81));
        assert_eq!(by_key(&Record::new("t").value("hey")), None);
        let ignored = |record: &Record| Partitioning::IgnoreKeys.by_key(record, 100);
        assert_eq!(ignored(&Record::new("t").key("hey")), None);
        assert_eq!(ignored(&Record::new("t").key("hey").partition_key("yolo")), Some(15));
    }

    #[test]
    fn librdkafkas_names_say_what_becomes_of_null_and_empty_keys() {
        let table = [
            ("murmur2_random", None, Some(81), 67),
            ("murmur2", Some(81), Some(81), 67),
            ("crc32", None, Some(0), 96),
            ("consistent", Some(0), Some(0), 96),
            ("consistent_random", None, None, 96),
        ];
        for (name, null, empty, key) in table {
            let partitioning: Partitioning = name.parse().unwrap();
            assert_eq!(partitioning.by_key(&Record::new("t"), 100), null, "{name}");
            assert_eq!(partitioning.by_key(&Record::new("t").key(""), 100), empty, "{name}");
            assert_eq!(partitioning.by_key(&Record::new("t").key("hey"), 100), Some(key), "{name}");
            assert_eq!(partitioning.to_string(), name);
        }
        assert!(matches!("random".parse(), Ok(Partitioning::IgnoreKeys)));
    }

    #[test]
    fn names_of_what_is_not_here_are_answered_with_a_reason() {
        let why = |name: &str| name.parse::<Partitioning>().unwrap_err().to_string();
        assert!(why("fnv1a_random").contains("not built in"));
        assert!(why("org.apache.kafka.clients.producer.RoundRobinPartitioner").contains("Java class"));
        assert!(why("com.example.Mine").contains("Java class"));
        assert!(why("sticky").contains("one of murmur2_random"));
    }
}
