//! Random histories of a group: members come, go, die and dawdle, the coordinator moves, connections break; and each record is seen,
//! by the partition's only owner.
//!
//! A failing history names its seed: put it into `SEEDS` to replay it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use klamm::consumer::ConsumerHandle;
use tokio::task::JoinHandle;

use super::*;

const PARTITIONS: i32 = 5;
const SEEDS: std::ops::Range<u64> = 0..12;

/// SplitMix64.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }
}

/// What all members together did.
#[derive(Default)]
struct History {
    /// Partition to the member that has it, by the members' hooks.
    owners: BTreeMap<i32, u64>,
    /// How often each record was handed out.
    seen: BTreeMap<(i32, i64), u32>,
    /// Highest offset that each owner saw since it got the partition.
    last: BTreeMap<i32, i64>,
    /// Partitions that were lost, not given away: what was not committed there may come again.
    lost: u32,
}

struct Member {
    handle: ConsumerHandle,
    task: JoinHandle<()>,
}

fn spawn(id: u64, client: &Client, history: &Arc<Mutex<History>>, mut random: Random) -> Member {
    let (assigned, revoked, lost, seen) = (history.clone(), history.clone(), history.clone(), history.clone());
    let settings = member(client)
        .session_timeout(10 * SECOND)
        .heartbeat_interval(SECOND)
        .max_poll_interval(30 * SECOND)
        .on_assigned(move |partitions| {
            let mut history = assigned.lock().unwrap();
            for partition in partitions {
                let before = history.owners.insert(partition.partition, id);
                assert_eq!(before, None, "{partition} has two owners: {before:?} and {id}");
                history.last.remove(&partition.partition);
            }
        })
        .on_revoked(move |partitions| {
            let mut history = revoked.lock().unwrap();
            for partition in partitions {
                assert_eq!(history.owners.remove(&partition.partition), Some(id), "{partition}");
            }
        })
        .on_lost(move |partitions| {
            let mut history = lost.lock().unwrap();
            history.lost += 1;
            for partition in partitions {
                if history.owners.get(&partition.partition) == Some(&id) {
                    history.owners.remove(&partition.partition);
                }
            }
        });
    let mut consumer = settings.build().unwrap();
    let handle = consumer.handle();
    let task = tokio::spawn(async move {
        while let Some(message) = consumer.next().await.unwrap() {
            {
                let mut history = seen.lock().unwrap();
                let place = (message.partition, message.offset);
                assert_eq!(history.owners.get(&message.partition), Some(&id), "{place:?} was handed out by no owner");
                let last = history.last.insert(message.partition, message.offset);
                assert!(last.is_none_or(|last| message.offset == last + 1), "{place:?} after {last:?}");
                *history.seen.entry(place).or_default() += 1;
            }
            // Some records take long, but none longer than the limit.
            if random.below(20) == 0 {
                tokio::time::sleep(Duration::from_millis(random.below(8_000))).await;
            }
        }
        // It gave back what it had when it left.
        seen.lock().unwrap().owners.retain(|_, owner| *owner != id);
    });
    Member { handle, task }
}

async fn history(seed: u64) {
    let mut random = Random(seed);
    let (broker, client) = start(Broker::builder().nodes(3).topic("t", PARTITIONS)).await;
    let shared = Arc::new(Mutex::new(History::default()));
    let mut members: BTreeMap<u64, Member> = BTreeMap::new();
    let mut ids = 0;
    let mut count = [0usize; PARTITIONS as usize];
    for _ in 0..40 {
        match random.below(10) {
            0..=2 if members.len() < 4 => {
                ids += 1;
                members.insert(ids, spawn(ids, &client, &shared, Random(seed * 1000 + ids)));
            }
            3 if members.len() > 1 => {
                // It stops in order.
                let (_, member) = members.pop_first().expect("more than one");
                member.handle.stop();
                member.task.await.unwrap();
            }
            4 => broker.close_connections(1 + random.below(3) as i32),
            5 => broker.set_coordinator("g", 1 + random.below(3) as i32),
            6 => broker.rebalance_group("g"),
            7 => {
                let api =
                    [ApiKey::HEARTBEAT, ApiKey::JOIN_GROUP, ApiKey::SYNC_GROUP, ApiKey::OFFSET_COMMIT, ApiKey::OFFSET_FETCH];
                let codes =
                    [ErrorCode::REBALANCE_IN_PROGRESS, ErrorCode::NOT_COORDINATOR, ErrorCode::COORDINATOR_LOAD_IN_PROGRESS];
                let api = api[random.below(5) as usize];
                let code = codes[random.below(3) as usize];
                let what = random.below(4);
                broker.intercept_next(api, 1, move |_| match what {
                    0 => Intercept::Error(code),
                    1 => Intercept::CloseBefore,
                    2 => Intercept::ProcessThenClose,
                    _ => Intercept::Delay(2 * SECOND),
                });
            }
            _ => {}
        }
        let partition = random.below(PARTITIONS as u64) as usize;
        let more = 1 + random.below(20) as usize;
        append(&broker, partition as i32, count[partition]..count[partition] + more);
        count[partition] += more;
        tokio::time::sleep(Duration::from_millis(random.below(4_000))).await;
    }
    if members.is_empty() {
        ids += 1;
        members.insert(ids, spawn(ids, &client, &shared, Random(seed)));
    }
    // The faults are over: everything must be read and committed soon.
    broker.clear_intercepts();
    let expected: BTreeSet<(i32, i64)> = (0..PARTITIONS)
        .flat_map(|partition| (0..count[partition as usize] as i64).map(move |offset| (partition, offset)))
        .collect();
    let all_done = || {
        let read = shared.lock().unwrap().seen.keys().copied().collect::<BTreeSet<_>>() == expected;
        read && (0..PARTITIONS)
            .all(|partition| broker.committed("g", "t", partition).unwrap_or(0) == count[partition as usize] as i64)
    };
    let done = timeout(300 * SECOND, async {
        while !all_done() {
            assert!(members.values().all(|member| !member.task.is_finished()), "a member has ended by itself");
            tokio::time::sleep(SECOND).await;
        }
    });
    if done.await.is_err() {
        let seen = shared.lock().unwrap().seen.len();
        let committed: Vec<_> = (0..PARTITIONS).map(|partition| broker.committed("g", "t", partition)).collect();
        panic!("{seen} of {} records seen, committed {committed:?} of {count:?}, {:?}", expected.len(), broker.group_state("g"));
    }
    for member in members.values() {
        member.handle.stop();
    }
    for (_, member) in members {
        member.task.await.unwrap();
    }
    let history = shared.lock().unwrap();
    let repeats: u32 = history.seen.values().map(|times| times - 1).sum();
    assert!(repeats == 0 || history.lost > 0, "{repeats} records came twice though nothing was lost");
    assert!(broker.group_members("g").is_empty());
}

#[test]
fn a_partition_has_one_owner_and_every_record_is_seen_whatever_happens_to_the_group() {
    for seed in SEEDS {
        let result = std::panic::catch_unwind(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
            runtime.block_on(history(seed));
        });
        assert!(result.is_ok(), "seed {seed}");
    }
}
