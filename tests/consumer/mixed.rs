//! Everything mixed: whatever is called in whatever order, records come in order, none twice, none left out.

use std::collections::BTreeMap;
use std::time::Duration;

use klamm::protocol::ApiKey;
use klamm_broker::Broker;
use tokio::time::{Instant, sleep, timeout};

use crate::processing::next;
use crate::{append, start};

/// Numbers from a seed (xorshift).
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}

async fn history(seed: u64) {
    const PARTITIONS: i32 = 3;
    let (broker, client) = start(Broker::builder().nodes(2).topic("t", PARTITIONS)).await;
    let mut random = Random(seed * 0x9e37_79b9 + 1);
    let mut ends = BTreeMap::new();
    let mut expected: BTreeMap<i32, i64> = (0..PARTITIONS).map(|partition| (partition, 0)).collect();
    let mut paused = Vec::new();
    let mut consumer = client.consumer("g").topics(["t"]).max_partition_fetch_bytes(300).build().unwrap();
    for step in 0..400 {
        let partition = i32::try_from(random.below(3)).unwrap();
        let at = || format!("seed {seed}, step {step}");
        match random.below(12) {
            0..=2 => {
                let end: &mut usize = ends.entry(partition).or_insert(0);
                let count = 1 + usize::try_from(random.below(20)).unwrap();
                append(&broker, "t", partition, *end..*end + count);
                *end += count;
            }
            3..=5 => {
                if let Ok(message) = timeout(Duration::from_millis(random.below(400)), consumer.next()).await {
                    let message = message.unwrap().unwrap();
                    assert!(!paused.contains(&message.partition), "{}: paused", at());
                    let expected = expected.get_mut(&message.partition).unwrap();
                    assert_eq!(message.offset, *expected, "{}: partition {}", at(), message.partition);
                    *expected += 1;
                }
            }
            6..=8 => {
                if let Ok(batch) = timeout(Duration::from_millis(random.below(400)), consumer.next_batch()).await {
                    let batch = batch.unwrap().unwrap();
                    assert!(!paused.contains(&batch.partition()), "{}: paused", at());
                    let expected = expected.get_mut(&batch.partition()).unwrap();
                    for record in &batch {
                        assert_eq!(record.unwrap().offset, *expected, "{}: partition {}", at(), batch.partition());
                        *expected += 1;
                    }
                }
            }
            9 => {
                consumer.pause("t", partition);
                paused.push(partition);
            }
            10 => {
                consumer.resume("t", partition);
                paused.retain(|known| *known != partition);
            }
            _ if random.below(3) == 0 => {
                broker.move_leader("t", partition, 1 + i32::try_from(random.below(2)).unwrap());
            }
            _ => {
                let offset = i64::try_from(random.below(1 + *ends.get(&partition).unwrap_or(&0) as u64)).unwrap();
                // Before it is assigned, a seek waits; so that positions are known, only seek afterwards.
                if consumer.position("t", partition).is_some() {
                    consumer.seek("t", partition, offset).unwrap();
                    expected.insert(partition, offset);
                }
            }
        }
    }
    for partition in 0..PARTITIONS {
        consumer.resume("t", partition);
    }
    let left: i64 = expected.iter().map(|(partition, at)| *ends.get(partition).unwrap_or(&0) as i64 - at).sum();
    for message in next(&mut consumer, usize::try_from(left).unwrap()).await {
        let expected = expected.get_mut(&message.partition).unwrap();
        assert_eq!(message.offset, *expected, "seed {seed}, at the end");
        *expected += 1;
    }
    assert!(timeout(Duration::from_secs(3), consumer.next()).await.is_err(), "seed {seed}: one too many");
    consumer.close(Duration::from_secs(5)).await.unwrap();
    for (partition, end) in ends {
        // Where the last act was a seek to where it stood, that is what is committed.
        assert_eq!(broker.committed("g", "t", partition), Some(end as i64), "seed {seed}: lag at the end");
    }
}

#[tokio::test(start_paused = true)]
async fn any_mix_of_calls_gives_each_record_once_and_in_order() {
    for seed in 1..=12 {
        history(seed).await;
    }
}

/// Regression row 40: quick leader changes neither stop reading nor make a storm of requests.
#[tokio::test(start_paused = true)]
async fn twenty_leader_changes_in_a_second_are_got_over_with_few_requests() {
    let (broker, client) = start(Broker::builder().nodes(3).topic("t", 1)).await;
    append(&broker, "t", 0, 0..1);
    let mut consumer = client.consumer("g").topics(["t"]).build().unwrap();
    next(&mut consumer, 1).await;
    broker.clear_requests();
    let begun = Instant::now();
    for change in 0..20 {
        broker.move_leader("t", 0, 1 + change % 3);
        sleep(Duration::from_millis(50)).await;
    }
    append(&broker, "t", 0, 1..11);
    let messages = next(&mut consumer, 10).await;
    assert_eq!(messages.iter().map(|message| message.offset).collect::<Vec<_>>(), (1..11).collect::<Vec<_>>());
    assert!(begun.elapsed() < Duration::from_secs(4), "{:?}", begun.elapsed());
    let (metadata, fetches) = (broker.requests_of(ApiKey::METADATA).len(), broker.requests_of(ApiKey::FETCH).len());
    assert!(metadata <= 25 && fetches <= 70, "{metadata} metadata requests and {fetches} fetches");
    assert!(broker.requests_of(ApiKey::LIST_OFFSETS).is_empty(), "nothing was reset");
}
