//! Scripted transactional producers, for klamm has none of its own yet: what they do is drawn from the seed, and each is a plain state
//! machine ([`Writer`]) that makes requests and is told of answers. Whoever runs it has the connections and the time.
//!
//! A writer never guesses. What it was not answered it asks again, with the same bytes; what it gives up, it does not say the outcome
//! of. Oracles find that in the log.

mod requests;
mod writer;

use std::time::Duration;

use klamm::protocol::records::Compression;
use klamm::protocol::{ApiKey, ErrorCode};

pub use requests::Ask;
pub use writer::Writer;

use crate::random::Random;
use crate::workload::{MILLISECOND, SECOND};

/// Writers are numbered from here on among the producers.
pub const WRITERS: u32 = 200;

/// A writer: one transactional id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WriterPlan {
    /// Its number.
    pub number: u32,
    /// Does it tell the coordinator of partitions, as clients did before transaction V2 (KIP-890)?
    pub adds_partitions: bool,
    /// How many transactions it makes, unless the time is over before.
    pub transactions: u64,
    /// Most batches of one.
    pub batches: u64,
    /// Most records of a batch.
    pub records: u64,
    /// The longest pause between two steps.
    pub longest_pause: Duration,
    /// After so long the coordinator aborts what is open.
    pub timeout: Duration,
    /// How long a broker may take to answer.
    pub request_timeout: Duration,
    /// The codec of batches.
    pub compression: Compression,
}

impl WriterPlan {
    /// The plan of a number.
    pub fn draw(random: &mut Random, number: u32, duration: Duration) -> Self {
        let transactions = random.pick(&[4, 10, 20]);
        let batches = random.within(1..=5);
        let steps = u32::try_from(transactions * (batches + 1)).unwrap_or(u32::MAX);
        Self {
            number,
            adds_partitions: random.once_in(2),
            transactions,
            batches,
            records: random.pick(&[1, 3, 10]),
            // Spread over the time in which faults come, or all of it at once.
            longest_pause: random.pick(&[Duration::ZERO, 20 * MILLISECOND, 2 * duration / steps]),
            timeout: random.pick(&[2, 5, 15]) * SECOND,
            request_timeout: random.pick(&[1, 3]) * SECOND,
            compression: random.pick(&[Compression::None, Compression::None, Compression::Lz4, Compression::Gzip]),
        }
    }

    /// Its transactional id.
    pub fn transactional_id(&self) -> String {
        format!("txn-{}", self.number)
    }

    /// About half of its work.
    pub fn halve(&mut self) {
        self.transactions = self.transactions.div_ceil(2);
        self.batches = self.batches.div_ceil(2);
    }

    /// The most records that it writes.
    pub fn most_records(&self) -> u64 {
        self.transactions * self.batches * self.records
    }

    /// How long it may go on after the last fault: the transaction at hand and one that is left open, and the answers that it waits for.
    pub fn recovery(&self) -> Duration {
        3 * self.timeout + 10 * self.request_timeout + 10 * self.longest_pause + 10 * SECOND
    }
}

/// Which APIs the workload of transactions uses, and which codes they answer with now and then.
pub const CODES: &[(ApiKey, &[ErrorCode])] = {
    use ErrorCode as E;
    &[
        (
            ApiKey::INIT_PRODUCER_ID,
            &[E::COORDINATOR_LOAD_IN_PROGRESS, E::COORDINATOR_NOT_AVAILABLE, E::NOT_COORDINATOR, E::CONCURRENT_TRANSACTIONS],
        ),
        (
            ApiKey::ADD_PARTITIONS_TO_TXN,
            &[E::COORDINATOR_LOAD_IN_PROGRESS, E::NOT_COORDINATOR, E::CONCURRENT_TRANSACTIONS, E::INVALID_PRODUCER_EPOCH],
        ),
        (
            ApiKey::END_TXN,
            &[
                E::COORDINATOR_LOAD_IN_PROGRESS,
                E::COORDINATOR_NOT_AVAILABLE,
                E::NOT_COORDINATOR,
                E::CONCURRENT_TRANSACTIONS,
                E::PRODUCER_FENCED,
            ],
        ),
        (
            ApiKey::PRODUCE,
            &[
                E::NOT_LEADER_OR_FOLLOWER,
                E::NOT_ENOUGH_REPLICAS,
                E::NOT_ENOUGH_REPLICAS_AFTER_APPEND,
                E::REQUEST_TIMED_OUT,
                E::OUT_OF_ORDER_SEQUENCE_NUMBER,
                E::INVALID_PRODUCER_EPOCH,
            ],
        ),
        (
            ApiKey::FETCH,
            &[
                E::NOT_LEADER_OR_FOLLOWER,
                E::FENCED_LEADER_EPOCH,
                E::UNKNOWN_LEADER_EPOCH,
                E::KAFKA_STORAGE_ERROR,
                E::OFFSET_NOT_AVAILABLE,
            ],
        ),
        (ApiKey::LIST_OFFSETS, &[E::NOT_LEADER_OR_FOLLOWER, E::OFFSET_NOT_AVAILABLE]),
        (ApiKey::FIND_COORDINATOR, &[E::COORDINATOR_NOT_AVAILABLE, E::COORDINATOR_LOAD_IN_PROGRESS]),
        (ApiKey::JOIN_GROUP, &[E::COORDINATOR_LOAD_IN_PROGRESS, E::NOT_COORDINATOR, E::UNKNOWN_MEMBER_ID]),
        (ApiKey::HEARTBEAT, &[E::REBALANCE_IN_PROGRESS, E::NOT_COORDINATOR, E::UNKNOWN_MEMBER_ID]),
        (ApiKey::OFFSET_COMMIT, &[E::NOT_COORDINATOR, E::REBALANCE_IN_PROGRESS, E::REQUEST_TIMED_OUT]),
        (ApiKey::OFFSET_FETCH, &[E::COORDINATOR_LOAD_IN_PROGRESS, E::NOT_COORDINATOR, E::UNSTABLE_OFFSET_COMMIT]),
        (ApiKey::METADATA, &[E::LEADER_NOT_AVAILABLE, E::UNKNOWN_TOPIC_OR_PARTITION]),
    ]
};
