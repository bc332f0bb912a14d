//! What a run does, drawn from its seed: producers, members of a group, how long, with which settings.

use std::time::Duration;

use klamm::protocol::records::Compression;

use crate::history::{Acks, Bounds};
use crate::random::Random;
use crate::transactional::WriterPlan;

/// Which kind of work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Producers send numbered records.
    Produce,
    /// One producer, and a group that consumes topic 0 and commits what it was handed, with members that come and go.
    Group,
    /// One producer, and a group that copies topic 0 to topic 1 and commits what it has copied.
    Copy,
    /// Scripted writers whose transactions interleave in topic 0, one producer beside them, and a group that reads what is committed.
    Transactions,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Produce, Self::Group, Self::Copy, Self::Transactions];

    /// Its name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Produce => "produce",
            Self::Group => "group",
            Self::Copy => "copy",
            Self::Transactions => "transactions",
        }
    }

    /// The kind of a name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

/// A producer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProducerPlan {
    /// Its number, which its records carry.
    pub number: u32,
    /// Are its records written once?
    pub idempotent: bool,
    /// When records count as delivered.
    pub acks: Acks,
    /// Tasks that send through it side by side; each sends so many records.
    pub tasks: u32,
    /// Records of each task.
    pub records: u64,
    /// A task pauses after so many records.
    pub burst: u64,
    /// The longest pause.
    pub longest_pause: Duration,
    /// How long a batch waits for more.
    pub linger: Duration,
    /// Most bytes of a batch.
    pub batch_size: usize,
    /// The codec of batches.
    pub compression: Compression,
    /// How long a broker may take.
    pub request_timeout: Duration,
    /// How long a record may take.
    pub delivery_timeout: Duration,
    /// Most bytes without a result.
    pub buffer_memory: usize,
    /// How long a record may wait to be accepted.
    pub max_block: Duration,
    /// Bytes of a value behind its number, at most.
    pub padding: u64,
}

impl ProducerPlan {
    fn draw(random: &mut Random, number: u32, records: u64, duration: Duration) -> Self {
        let idempotent = !random.once_in(4);
        let acks = if idempotent { Acks::All } else { random.pick(&[Acks::All, Acks::Leader, Acks::All, Acks::None]) };
        let request_timeout = random.pick(&[2, 5, 30]) * SECOND;
        let padding = random.pick(&[0, 20, 200, 2000]);
        let batch_size = random.pick(&[200, 1_000, 16_384, 262_144]);
        let tasks = random.within(1..=3) as u32;
        let records = records / u64::from(tasks);
        // Spread over the time in which faults come, or all of it at once.
        let burst = random.pick(&[1, 5, 20, 1_000]);
        let pauses = u32::try_from(records / burst).unwrap_or(0).max(1);
        Self {
            number,
            idempotent,
            acks,
            tasks,
            records,
            burst,
            longest_pause: 2 * duration / pauses,
            linger: random.pick(&[0, 0, 5, 50]) * MILLISECOND,
            batch_size,
            compression: random.pick(&[
                Compression::None,
                Compression::None,
                Compression::Gzip,
                Compression::Snappy,
                Compression::Lz4,
                Compression::Zstd,
            ]),
            request_timeout,
            // Some are so short that records run out of time, and some so long that none does.
            delivery_timeout: request_timeout + random.pick(&[1, 4, 90]) * SECOND,
            // Room for a few batches in every partition, or for everything.
            buffer_memory: random.pick(&[64 << 10, 32 << 20]).max(8 * batch_size + 16 * padding as usize),
            max_block: random.pick(&[1, 10, 60]) * SECOND,
            padding,
        }
    }
}

/// How a member goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leave {
    /// It is closed.
    Close,
    /// It is dropped: it leaves without a last commit.
    Drop,
    /// Its machine dies: nobody is told.
    Crash,
}

/// A member of the group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberPlan {
    /// Its number.
    pub number: u32,
    /// When it comes.
    pub joins: Duration,
    /// When it goes, if before the end of the run.
    pub leaves: Option<(Duration, Leave)>,
    /// How long a record takes at most; many take no time.
    pub longest_work: Duration,
    /// How long it may be silent.
    pub session_timeout: Duration,
    /// How often it is not.
    pub heartbeat_interval: Duration,
    /// How often it commits by itself.
    pub auto_commit_interval: Duration,
    /// It commits itself after about so many records, too; never with 0.
    pub commit_every: u64,
    /// Does it take whole batches?
    pub by_batch: bool,
    /// Bytes fetched ahead.
    pub prefetch_bytes: usize,
}

impl MemberPlan {
    fn draw(random: &mut Random, number: u32, duration: Duration) -> Self {
        let millis = duration.as_millis() as u64;
        let joins = if number == 0 { Duration::ZERO } else { random.millis(0..=millis * 2 / 3) };
        let leaves = random.once_in(2).then(|| {
            let at = joins + random.millis(500..=millis / 2);
            (at, random.pick(&[Leave::Close, Leave::Drop, Leave::Crash]))
        });
        Self {
            number,
            joins,
            // Somebody stays.
            leaves: leaves.filter(|_| number > 0),
            longest_work: random.pick(&[0, 0, 20, 500]) * MILLISECOND,
            session_timeout: random.pick(&[6, 10, 20]) * SECOND,
            heartbeat_interval: random.pick(&[500, 1_000, 3_000]) * MILLISECOND,
            auto_commit_interval: random.pick(&[0, 200, 1_000, 5_000]) * MILLISECOND,
            commit_every: random.pick(&[0, 1, 10, 100]),
            by_batch: random.once_in(3),
            prefetch_bytes: random.pick(&[4 << 10, 1 << 20, 64 << 20]),
        }
    }
}

/// What is done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Workload {
    /// Which kind.
    pub kind: Kind,
    /// Brokers.
    pub nodes: i32,
    /// Partitions of every topic.
    pub partitions: i32,
    /// How long faults may come.
    pub duration: Duration,
    /// Who sends.
    pub producers: Vec<ProducerPlan>,
    /// Who sends in transactions.
    pub writers: Vec<WriterPlan>,
    /// Who consumes topic 0.
    pub members: Vec<MemberPlan>,
}

impl Workload {
    /// That of a seed.
    pub fn draw(kind: Kind, seed: u64) -> Self {
        let mut random = Random::of(seed, "workload");
        let nodes = random.pick(&[1, 3, 3]);
        let partitions = random.within(1..=4) as i32;
        let duration = random.within(5..=30) as u32 * SECOND;
        let producers = match kind {
            Kind::Produce => random.within(1..=2) as u32,
            Kind::Group | Kind::Copy | Kind::Transactions => 1,
        };
        let producer = |number| {
            let mut random = Random::of(seed, &format!("producer {number}"));
            let records = random.pick(&[20, 100, 400]);
            ProducerPlan::draw(&mut random, number, records, duration)
        };
        let members = if kind == Kind::Produce { 0 } else { random.within(1..=4) as u32 };
        let writers = if kind == Kind::Transactions { random.within(1..=4) as u32 } else { 0 };
        let writer = |number| WriterPlan::draw(&mut Random::of(seed, &format!("writer {number}")), number, duration);
        let member = |number| MemberPlan::draw(&mut Random::of(seed, &format!("member {number}")), number, duration);
        Self {
            kind,
            nodes,
            partitions,
            duration,
            producers: (0..producers).map(producer).collect(),
            writers: (0..writers).map(writer).collect(),
            members: (0..members).map(member).collect(),
        }
    }

    /// Less of the same, if there is less: for finding out what a failure needs.
    pub fn halved(&self) -> Option<Self> {
        let mut half = self.clone();
        if half.members.len() > 1 {
            half.members.truncate(half.members.len().div_ceil(2));
        }
        if half.producers.len() > 1 {
            half.producers.truncate(half.producers.len().div_ceil(2));
        }
        if half.writers.len() > 1 {
            half.writers.truncate(half.writers.len().div_ceil(2));
        }
        half.writers.iter_mut().for_each(WriterPlan::halve);
        for producer in &mut half.producers {
            producer.records = producer.records.div_ceil(2);
            producer.tasks = producer.tasks.div_ceil(2);
        }
        (half != *self).then_some(half)
    }

    /// How many records are sent, at most.
    pub fn records(&self) -> u64 {
        let plain: u64 = self.producers.iter().map(|producer| producer.records * u64::from(producer.tasks)).sum();
        plain + self.writers.iter().map(WriterPlan::most_records).sum::<u64>()
    }

    /// What its runs are measured against.
    pub fn bounds(&self) -> Bounds {
        let sessions = self.members.iter().map(|member| member.session_timeout).max().unwrap_or_default();
        let deliveries = self.producers.iter().map(|producer| producer.delivery_timeout + producer.max_block).max();
        let work: Duration = self.members.iter().map(|member| member.longest_work).max().unwrap_or_default();
        let records = self.records();
        let transactions = self.writers.iter().map(WriterPlan::recovery).max().unwrap_or_default();
        Bounds {
            // What a producer still has in hand; a JoinGroup that is lost without a word, perhaps twice; a dead member's session and the join of those who are left; the work itself, which
            // one member may have to do alone, and may have to do again.
            recovery: deliveries.unwrap_or_default()
                + transactions
                + 4 * sessions
                + 130 * SECOND
                + 2 * (MAX_POLL_INTERVAL + 5 * SECOND)
                + work * u32::try_from(2 * records).unwrap_or(u32::MAX),
            // An error may be explained, for which brokers are asked for two seconds.
            grace: 3 * SECOND,
            overlap: 45 * SECOND,
            requests_per_second: 3_000,
            wakes_per_second: 100_000,
            reads_all: self.kind != Kind::Produce,
            destroys: false,
            garbles: false,
        }
    }
}

/// How long members may work without asking for more (`max.poll.interval.ms`); a JoinGroup waits as long, and five seconds, for its answer.
pub const MAX_POLL_INTERVAL: Duration = Duration::from_secs(60);
/// A unit of time.
pub const SECOND: Duration = Duration::from_secs(1);
/// A unit of time.
pub const MILLISECOND: Duration = Duration::from_millis(1);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_has_one_workload_and_halves_of_it_end() {
        for seed in 0..200 {
            for kind in Kind::ALL {
                let workload = Workload::draw(kind, seed);
                assert_eq!(workload, Workload::draw(kind, seed));
                assert!(workload.producers.iter().all(|plan| plan.records > 0 && plan.delivery_timeout > plan.linger));
                assert_eq!(workload.members.is_empty(), kind == Kind::Produce);
                assert_eq!(workload.writers.is_empty(), kind != Kind::Transactions);
                let mut smaller = Some(workload);
                let mut steps = 0;
                while let Some(workload) = smaller {
                    smaller = workload.halved();
                    steps += 1;
                    assert!(steps < 20, "seed {seed}: halves without end");
                }
            }
        }
    }
}
