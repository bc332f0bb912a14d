//! Random histories against a model: each transaction is seen entirely or not at all, offsets with it, and the last stable offset is where
//! the model has it.
//!
//! `SEED=n` runs one history alone, `HISTORIES=n` so many.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use klamm::protocol::ErrorCode;
use klamm_broker::Broker;
use tokio::time::{Instant, sleep};

use crate::commit_alone;
use crate::producer::{Producer, V1, V2, end_offset, fetch_offset, read};

const HISTORIES: u64 = 60;
const STEPS: usize = 100;
const TIMEOUT: Duration = Duration::from_secs(60);
const GROUPS: [&str; 2] = ["g", "h"];
const PARTITIONS: [i32; 3] = [0, 1, 2];

/// SplitMix64.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % bound as u64) as usize
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }
}

/// How the model sees a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Open,
    Committed,
    Aborted,
}

/// A record, and the transaction it is of.
#[derive(Debug)]
struct Written {
    offset: i64,
    value: String,
    transaction: Option<usize>,
}

/// A group's offset that waits; those of a place stand in the order in which they were staged.
#[derive(Clone, Copy, Debug)]
struct Waiting {
    offset: i64,
    transaction: usize,
    overtaken: bool,
}

#[derive(Default)]
struct Model {
    fates: Vec<Fate>,
    /// Partitions whose marker of a transaction is missing; without an entry the transaction is complete.
    unmarked: BTreeMap<usize, BTreeSet<i32>>,
    written: BTreeMap<i32, Vec<Written>>,
    offsets: BTreeMap<(&'static str, i32), i64>,
    waiting: BTreeMap<(&'static str, i32), Vec<Waiting>>,
    held: bool,
    leaderless: BTreeSet<i32>,
}

impl Model {
    fn end(&mut self, transaction: usize, fate: Fate) {
        self.fates[transaction] = fate;
        self.flush();
    }

    /// Writes the markers that can be.
    fn flush(&mut self) {
        if self.held {
            return;
        }
        self.unmarked.retain(|transaction, partitions| {
            if self.fates[*transaction] == Fate::Open {
                return true;
            }
            partitions.retain(|partition| self.leaderless.contains(partition));
            !partitions.is_empty()
        });
        for (place, waiting) in &mut self.waiting {
            // What was staged last counts, also if it ended first.
            for index in 0..waiting.len() {
                let Waiting { offset, transaction, overtaken } = waiting[index];
                if self.fates[transaction] == Fate::Committed && !overtaken {
                    self.offsets.insert(*place, offset);
                    waiting[..index].iter_mut().for_each(|waiting| waiting.overtaken = true);
                }
            }
            waiting.retain(|waiting| self.fates[waiting.transaction] == Fate::Open);
        }
    }

    fn is_unmarked(&self, transaction: usize) -> bool {
        self.fates[transaction] != Fate::Open && self.unmarked.contains_key(&transaction)
    }

    /// The first offset of a transaction that has no marker here.
    fn stable(&self, partition: i32) -> Option<i64> {
        let open = |transaction: usize| self.unmarked.get(&transaction).is_some_and(|left| left.contains(&partition));
        let written = self.written.get(&partition)?;
        written.iter().find(|written| written.transaction.is_some_and(open)).map(|written| written.offset)
    }
}

/// A transactional id with its present instance.
struct Till {
    producer: Producer,
    open: Option<usize>,
    /// Its last transaction, whose markers may be missing.
    last: Option<usize>,
    began: Instant,
    /// Was it shut out without knowing it?
    fenced: bool,
    old: Vec<Producer>,
}

struct History {
    broker: Broker,
    numbers: Numbers,
    model: Model,
    tills: Vec<Till>,
    count: usize,
}

impl History {
    async fn new(seed: u64) -> Self {
        let mut numbers = Numbers(seed);
        let broker = Broker::builder().nodes(2).topic("t", 3).feature("transaction.version", 1 + (seed % 2) as i16);
        let broker = broker.start_in_memory().expect("a broker");
        let mut tills = Vec::new();
        for name in ["till-0", "till-1", "till-2"] {
            // Old clients go on with their protocol in a new cluster, but not the other way round.
            let versions = if seed.is_multiple_of(2) || numbers.below(3) == 0 { V1 } else { V2 };
            let producer = Producer::started(&broker, name, versions).await;
            tills.push(Till { producer, open: None, last: None, began: Instant::now(), fenced: false, old: Vec::new() });
        }
        Self { broker, numbers, model: Model::default(), tills, count: 0 }
    }

    fn value(&mut self) -> String {
        self.count += 1;
        format!("v{}", self.count)
    }

    async fn step(&mut self) {
        let till = self.numbers.below(self.tills.len());
        match self.numbers.below(20) {
            0..=6 => self.write(till).await,
            7..=8 => self.stage(till).await,
            9..=11 => self.end(till, true).await,
            12..=13 => self.end(till, false).await,
            14 => self.restart(till).await,
            15 => self.write_of_the_dead(till).await,
            16 => self.write_alone().await,
            17 => {
                let (group, partition, offset) =
                    (self.numbers.pick(&GROUPS), self.numbers.pick(&PARTITIONS), self.numbers.below(100));
                let offset = i64::try_from(offset).expect("small");
                commit_alone(&self.broker, group, "t", partition, offset).await;
                self.model.offsets.insert((group, partition), offset);
                for waiting in self.model.waiting.entry((group, partition)).or_default() {
                    waiting.overtaken = true;
                }
            }
            18 => self.trouble().await,
            _ => self.pass().await,
        }
    }

    /// Is the transaction before still ending? Then nothing can begin.
    fn is_busy(&self, till: usize) -> bool {
        let till = &self.tills[till];
        till.open.is_none() && till.last.is_some_and(|last| self.model.is_unmarked(last))
    }

    /// The transaction that the next write is of.
    fn begin(&mut self, till: usize) -> usize {
        let till = &mut self.tills[till];
        if let Some(open) = till.open {
            return open;
        }
        self.model.fates.push(Fate::Open);
        let transaction = self.model.fates.len() - 1;
        self.model.unmarked.entry(transaction).or_default();
        (till.open, till.last, till.began) = (Some(transaction), Some(transaction), Instant::now());
        transaction
    }

    /// A write was taken: if its producer is shut out without knowing it, then it is of the transaction that was aborted, and came before
    /// the marker.
    fn late(&self, index: usize, busy: bool) -> Option<usize> {
        let till = &self.tills[index];
        assert_eq!(busy, till.fenced, "a write that must not be");
        till.last.filter(|_| busy)
    }

    async fn write(&mut self, index: usize) {
        let partition = self.numbers.pick(&PARTITIONS);
        let values: Vec<_> = (0..1 + self.numbers.below(3)).map(|_| self.value()).collect();
        let shown: Vec<_> = values.iter().map(String::as_str).collect();
        let busy = self.is_busy(index);
        let leaderless = self.model.leaderless.contains(&partition);
        let sent = self.tills[index].producer.send("t", partition, &shown).await;
        let till = &self.tills[index];
        let v1 = till.producer.versions == V1;
        match sent {
            Ok(first) => {
                assert!(!leaderless);
                let late = self.late(index, busy);
                let transaction = late.unwrap_or_else(|| self.begin(index));
                self.model.unmarked.entry(transaction).or_default().insert(partition);
                let written = self.model.written.entry(partition).or_default();
                let records = values.into_iter().zip(first..);
                written.extend(records.map(|(value, offset)| Written { offset, value, transaction: Some(transaction) }));
            }
            Err(code) if till.fenced => {
                let expected = [
                    ErrorCode::PRODUCER_FENCED,
                    ErrorCode::INVALID_PRODUCER_EPOCH,
                    ErrorCode::CONCURRENT_TRANSACTIONS,
                    ErrorCode::NOT_LEADER_OR_FOLLOWER,
                ];
                assert!(expected.contains(&code), "{code}");
            }
            Err(code) if busy && (v1 || !leaderless) => assert_eq!(code, ErrorCode::CONCURRENT_TRANSACTIONS),
            Err(code) => {
                assert!(leaderless, "{code}");
                assert_eq!(code, ErrorCode::NOT_LEADER_OR_FOLLOWER);
                // A client of the first protocol has added the partition by then, and it gets a marker.
                if v1 {
                    let transaction = self.begin(index);
                    self.model.unmarked.entry(transaction).or_default().insert(partition);
                }
            }
        }
    }

    async fn stage(&mut self, index: usize) {
        let (group, partition) = (self.numbers.pick(&GROUPS), self.numbers.pick(&PARTITIONS));
        let offset = i64::try_from(self.numbers.below(100)).expect("small");
        let busy = self.is_busy(index);
        let code = self.tills[index].producer.send_offset(group, "t", partition, offset).await;
        if code != ErrorCode::NONE {
            let expected = [ErrorCode::PRODUCER_FENCED, ErrorCode::INVALID_PRODUCER_EPOCH];
            let till = &self.tills[index];
            assert!(busy && code == ErrorCode::CONCURRENT_TRANSACTIONS || till.fenced && expected.contains(&code), "{code}");
            return;
        }
        let late = self.late(index, busy);
        let transaction = late.unwrap_or_else(|| self.begin(index));
        let waiting = self.model.waiting.entry((group, partition)).or_default();
        waiting.retain(|waiting| waiting.transaction != transaction);
        waiting.push(Waiting { offset, transaction, overtaken: false });
    }

    async fn end(&mut self, index: usize, committed: bool) {
        let busy = self.is_busy(index);
        let code = self.tills[index].producer.end(committed).await;
        let till = &mut self.tills[index];
        if till.fenced {
            // By the second protocol the abort looks like its own, and it goes on with the epoch that fenced it.
            let expected =
                [ErrorCode::PRODUCER_FENCED, ErrorCode::CONCURRENT_TRANSACTIONS, ErrorCode::INVALID_TXN_STATE, ErrorCode::NONE];
            assert!(expected.contains(&code), "{code}");
            assert!(code != ErrorCode::NONE || !committed, "a commit of what was aborted");
            till.fenced &= code != ErrorCode::NONE;
            return;
        }
        let fate = if committed { Fate::Committed } else { Fate::Aborted };
        if let Some(open) = till.open.take() {
            assert_eq!(code, ErrorCode::NONE);
            self.model.end(open, fate);
            return;
        }
        let v2 = till.producer.versions == V2;
        let last = till.last.map(|last| self.model.fates[last]);
        let expected: &[_] = match last {
            // By the first protocol that is taken for a repetition; by the second it is fenced until the end.
            _ if busy && v2 => &[ErrorCode::PRODUCER_FENCED],
            Some(ended) if busy && ended == fate => &[ErrorCode::CONCURRENT_TRANSACTIONS],
            _ if busy => &[ErrorCode::INVALID_TXN_STATE],
            _ if v2 && !committed => &[ErrorCode::NONE],
            Some(ended) if ended == fate && !v2 => &[ErrorCode::NONE, ErrorCode::INVALID_TXN_STATE],
            _ => &[ErrorCode::INVALID_TXN_STATE],
        };
        assert!(expected.contains(&code), "{code} in place of {expected:?}");
        if v2 && code == ErrorCode::NONE {
            // An abort of nothing, which ends like any other.
            self.model.fates.push(Fate::Open);
            let transaction = self.model.fates.len() - 1;
            self.model.unmarked.entry(transaction).or_default();
            till.last = Some(transaction);
            self.model.end(transaction, Fate::Aborted);
        }
    }

    /// A new instance.
    async fn restart(&mut self, index: usize) {
        let busy = self.is_busy(index);
        let old = self.tills[index].producer.clone();
        let code = self.tills[index].producer.init().await;
        let till = &mut self.tills[index];
        if let Some(open) = till.open.take() {
            assert_eq!(code, ErrorCode::CONCURRENT_TRANSACTIONS);
            till.fenced = true;
            self.model.end(open, Fate::Aborted);
            return;
        }
        if busy {
            assert_eq!(code, ErrorCode::CONCURRENT_TRANSACTIONS);
            return;
        }
        assert_eq!(code, ErrorCode::NONE);
        (till.fenced, till.last) = (false, None);
        till.old.push(old);
    }

    /// An instance whose successor has started tries again: nothing of it may get in.
    async fn write_of_the_dead(&mut self, index: usize) {
        let old = &self.tills[index].old;
        if old.is_empty() {
            return;
        }
        let mut dead = old[self.numbers.below(old.len())].clone();
        let partition = self.numbers.pick(&PARTITIONS);
        let refused = [
            dead.end(true).await,
            dead.add("t", partition).await,
            dead.commit_offset("g", "t", partition, 1000).await,
            dead.write("t", partition, &["of the dead"]).await.error_code,
        ];
        assert!(refused.iter().all(|code| *code != ErrorCode::NONE), "{refused:?}");
    }

    async fn write_alone(&mut self) {
        let partition = self.numbers.pick(&PARTITIONS);
        let value = self.value();
        let offset = self.broker.append_records("t", partition, [(None, Some(value.as_bytes()))]).expect("it is there");
        self.model.written.entry(partition).or_default().push(Written { offset, value, transaction: None });
    }

    async fn trouble(&mut self) {
        match self.numbers.below(4) {
            0 => {
                self.broker.hold_markers();
                self.model.held = true;
            }
            1 => {
                let partition = self.numbers.pick(&PARTITIONS);
                self.broker.remove_leader("t", partition);
                self.model.leaderless.insert(partition);
            }
            _ => {
                self.broker.release_markers();
                self.model.held = false;
                for partition in PARTITIONS {
                    let node = i32::try_from(1 + self.numbers.below(2)).expect("small");
                    self.broker.move_leader("t", partition, node);
                    self.broker.set_coordinator(&format!("till-{partition}"), node);
                }
                self.model.leaderless.clear();
                self.model.flush();
            }
        }
    }

    /// Time goes by; what was open for too long is over.
    async fn pass(&mut self) {
        sleep(Duration::from_millis(3_700 * self.numbers.below(12) as u64 + 1)).await;
        for till in &mut self.tills {
            if till.began.elapsed() < TIMEOUT {
                continue;
            }
            if let Some(open) = till.open.take() {
                till.fenced = true;
                self.model.end(open, Fate::Aborted);
            }
        }
    }

    async fn compare(&self) {
        for partition in PARTITIONS {
            if self.model.leaderless.contains(&partition) {
                continue;
            }
            let seen = read(&self.broker, "t", partition, true).await;
            let stable = self.model.stable(partition).unwrap_or(seen.high_watermark);
            assert_eq!(seen.last_stable_offset, stable, "partition {partition}");
            assert_eq!(end_offset(&self.broker, "t", partition, true).await, stable, "partition {partition}");
            let is_seen = |written: &&Written| {
                let fate = written.transaction.map_or(Fate::Committed, |transaction| self.model.fates[transaction]);
                fate == Fate::Committed && written.offset < stable
            };
            let written = self.model.written.get(&partition).into_iter().flatten();
            let expected: Vec<_> = written.clone().filter(is_seen).map(|written| written.value.clone()).collect();
            assert_eq!(seen.values, expected, "partition {partition}");
            let all: Vec<_> = written.map(|written| written.value.clone()).collect();
            assert_eq!(read(&self.broker, "t", partition, false).await.values, all, "partition {partition}");
        }
        for (group, partition) in GROUPS.iter().flat_map(|group| PARTITIONS.map(|partition| (*group, partition))) {
            let place = (group, partition);
            let committed = self.model.offsets.get(&place).copied().unwrap_or(-1);
            assert_eq!(fetch_offset(&self.broker, group, "t", partition, false).await.committed_offset, committed, "{place:?}");
            let waits = self.model.waiting.get(&place).is_some_and(|waiting| !waiting.is_empty());
            let expected = if waits { ErrorCode::UNSTABLE_OFFSET_COMMIT } else { ErrorCode::NONE };
            assert_eq!(fetch_offset(&self.broker, group, "t", partition, true).await.error_code, expected, "{place:?}");
        }
    }
}

#[test]
fn each_transaction_is_seen_entirely_or_not_at_all() {
    let set = |name| std::env::var(name).ok().and_then(|number| number.parse::<u64>().ok());
    let one = set("SEED");
    let seeds = one.map_or(0..set("HISTORIES").unwrap_or(HISTORIES), |seed| seed..seed + 1);
    let count = seeds.end - seeds.start;
    let mut ended = 0;
    for seed in seeds {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().expect("a runtime");
        // Said where it fails, so that it can be run again.
        let said = Said(seed);
        ended += runtime.block_on(async {
            let mut history = History::new(seed).await;
            for step in 1..=STEPS {
                history.step().await;
                if step.is_multiple_of(4) || one.is_some() {
                    history.compare().await;
                }
            }
            history.model.fates.iter().filter(|fate| **fate != Fate::Open).count()
        });
        drop(said);
    }
    assert!(one.is_some() || ended as u64 > 8 * count, "only {ended} transactions came to an end");
}

/// Prints the seed of a history that fails.
struct Said(u64);

impl Drop for Said {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("SEED={}", self.0);
        }
    }
}
