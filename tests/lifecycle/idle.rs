//! Nothing spins: with no event and no timer due, no task is polled (reliability.md, row 36).
//!
//! The runtime says how often it had nothing more to do and went to sleep. On the paused clock that is once for each timer that fired
//! and for each exchange of bytes, so it counts wake-ups. A task that is always ready would keep the clock from moving: the watchdog
//! would bark.

use std::time::Duration;

use klamm::consumer::{Consumer, Reader};
use klamm::protocol::{ApiKey, ErrorCode};
use klamm_broker::{Intercept, Reachability};
use tokio::time::{sleep, timeout};

use super::world::watchdog::watchdog;
use super::world::{SECOND, Security, World, broker, panics, producer, record};

const MINUTE: Duration = Duration::from_secs(60);

/// What a virtual minute costs.
#[derive(Debug)]
struct Cost {
    /// Wake-ups of the runtime's thread, the broker's among them.
    wakes: u64,
    requests: usize,
    attempts: usize,
    /// Looks at transports.
    polls: u64,
}

/// Lets things settle for a minute, and counts the next three.
async fn idle(world: &World, what: &str) -> Cost {
    let _watchdog = watchdog(what, Duration::from_secs(120));
    sleep(MINUTE).await;
    let metrics = tokio::runtime::Handle::current().metrics();
    let (wakes, attempts, polls) = (metrics.worker_park_count(0), world.proxy.attempts(), world.proxy.polls());
    world.broker.clear_requests();
    sleep(3 * MINUTE).await;
    let cost = Cost {
        wakes: (metrics.worker_park_count(0) - wakes) / 3,
        requests: world.broker.requests().len() / 3,
        attempts: (world.proxy.attempts() - attempts) / 3,
        polls: (world.proxy.polls() - polls) / 3,
    };
    println!("{what}: {cost:?} a minute");
    panics::assert_none();
    cost
}

/// Reads in a task of its own until there is nothing more, and then waits for more.
fn read_on(mut consumer: Consumer) -> tokio::task::JoinHandle<()> {
    tokio::spawn(async move { while consumer.next().await.unwrap().is_some() {} })
}

fn read_on_without_group(mut reader: Reader) -> tokio::task::JoinHandle<()> {
    tokio::spawn(async move { while reader.next().await.unwrap().is_some() {} })
}

async fn start() -> World {
    World::start(Security::Plaintext, broker(2)).await
}

#[tokio::test(start_paused = true)]
async fn a_client_and_a_producer_without_work_sleep() {
    let world = start().await;
    let client = world.client();
    let producer = producer(&client).build().unwrap();
    producer.send(record(0, "a")).await.unwrap();
    // One that delivers at intervals, and has nothing to deliver.
    let asynchronous = client.async_producer().delivery_interval(SECOND).build().unwrap();
    asynchronous.produce(record(0, "b")).await.unwrap();
    sleep(2 * SECOND).await;
    assert_eq!(world.values("t", 0), ["a", "b"]);
    let cost = idle(&world, "an idle producer").await;
    assert!(cost.wakes <= 10 && cost.requests <= 1 && cost.attempts == 0 && cost.polls <= 10, "{cost:?}");
}

#[tokio::test(start_paused = true)]
async fn a_parked_fetch_and_a_member_cost_their_heartbeats_and_long_polls() {
    let world = start().await;
    world.append("t", 0, 0..3);
    let client = world.client();
    let _reading = [
        read_on(client.consumer("g").topics(["t"]).build().unwrap()),
        read_on(client.consumer("g").topics(["t"]).build().unwrap()),
    ];
    let _reader = read_on_without_group(client.reader("t").build().unwrap());
    let cost = idle(&world, "two members and a reader with parked fetches").await;
    // Three fetches each 500 ms; two heartbeats each 3 s.
    assert!((360..=460).contains(&cost.requests), "{cost:?}");
    assert!(cost.wakes <= 2 * cost.requests as u64 && cost.polls <= 8 * cost.requests as u64 && cost.attempts == 0, "{cost:?}");
}

#[tokio::test(start_paused = true)]
async fn with_all_partitions_paused_only_heartbeats_are_left() {
    let world = start().await;
    world.append("t", 0, 0..3);
    let client = world.client();
    let mut consumer = client.consumer("g").topics(["t"]).build().unwrap();
    consumer.next().await.unwrap();
    consumer.pause("t", 0);
    consumer.pause("t", 1);
    let _reading = read_on(consumer);
    let cost = idle(&world, "a member whose partitions are paused").await;
    assert!(cost.requests <= 25 && cost.wakes <= 200 && cost.attempts == 0, "{cost:?}");
}

#[tokio::test(start_paused = true)]
async fn paused_partitions_without_leaders_ask_for_metadata_now_and_then() {
    let world = start().await;
    world.append("t", 0, 0..3);
    let client = world.client();
    let mut consumer = client.consumer("g").topics(["t"]).build().unwrap();
    consumer.next().await.unwrap();
    consumer.pause("t", 0);
    consumer.pause("t", 1);
    for partition in 0..2 {
        world.broker.remove_leader("t", partition);
    }
    let _reading = read_on(consumer);
    let cost = idle(&world, "paused partitions without leaders").await;
    assert!(cost.requests <= 150 && cost.wakes <= 800 && cost.attempts <= 2, "{cost:?}");
}

/// What stands still with a full buffer is one partition; that another one failed a while ago must not keep its task awake.
#[tokio::test(start_paused = true)]
async fn a_failed_partition_beside_a_full_buffer_does_not_spin() {
    let world = start().await;
    let large = "x".repeat(600);
    for _ in 0..20 {
        world.append("t", 0, (0..10).map(|_| large.clone()));
    }
    world.append("t", 1, 0..3);
    // The first answers: records of one partition, and an error of the other that passes.
    world.broker.intercept_next(ApiKey::FETCH, 2, |_| Intercept::partition_error("t", 1, ErrorCode::UNKNOWN_SERVER_ERROR));
    let client = world.client();
    let mut reader = client.reader("t").prefetch_bytes(8_000).max_partition_fetch_bytes(8_000).build().unwrap();
    assert!(timeout(SECOND, reader.next()).await.unwrap().unwrap().is_some());
    let cost = idle(&world, "a full buffer beside a partition that failed").await;
    assert!(cost.requests <= 130 && cost.wakes <= 700, "{cost:?}");
    let mut seen = [0, 0];
    while seen != [199, 3] {
        let message = timeout(MINUTE, reader.next()).await.expect("all records come").unwrap().unwrap();
        seen[message.partition as usize] += 1;
    }
}

async fn gone(reachability: Reachability) -> Cost {
    let world = start().await;
    world.append("t", 0, 0..3);
    let client = world.client();
    let producer = producer(&client).delivery_timeout(3600 * SECOND).build().unwrap();
    producer.send(record(0, "a")).await.unwrap();
    let mut consumer = client.consumer("g").topics(["t"]).build().unwrap();
    consumer.next().await.unwrap();
    let _reader = read_on_without_group(client.reader("t").build().unwrap());
    let _reading = read_on(consumer);
    sleep(SECOND).await;
    world.broker.set_reachability(1, reachability);
    world.broker.close_connections(1);
    let _delivery = producer.enqueue(record(0, "b")).await.unwrap();
    idle(&world, &format!("a broker that is {reachability:?}")).await
}

#[tokio::test(start_paused = true)]
async fn brokers_that_refuse_are_tried_at_a_steady_pace() {
    let cost = gone(Reachability::Refusing).await;
    // Control, seed, produce, group and two connections for fetches: each at most once in 0.8 s.
    assert!(cost.attempts <= 6 * 75 && cost.requests == 0 && cost.wakes <= 1500, "{cost:?}");
}

#[tokio::test(start_paused = true)]
async fn brokers_that_take_no_connection_are_tried_at_a_steady_pace() {
    let cost = gone(Reachability::BlackHole).await;
    // Each attempt takes 30 s.
    assert!(cost.attempts <= 30 && cost.requests == 0 && cost.wakes <= 600, "{cost:?}");
}

#[tokio::test(start_paused = true)]
async fn a_broker_that_answers_nothing_is_not_asked_without_end() {
    let world = start().await;
    world.append("t", 0, 0..3);
    let client = world.client();
    let producer = producer(&client).delivery_timeout(3600 * SECOND).build().unwrap();
    producer.send(record(0, "a")).await.unwrap();
    let mut consumer = client.consumer("g").topics(["t"]).build().unwrap();
    consumer.next().await.unwrap();
    let _reading = read_on(consumer);
    world.broker.intercept(|_| Intercept::Swallow);
    let _delivery = producer.enqueue(record(0, "b")).await.unwrap();
    let cost = idle(&world, "a broker that swallows everything").await;
    assert!(cost.attempts <= 60 && cost.requests <= 60 && cost.wakes <= 400, "{cost:?}");
}

#[tokio::test(start_paused = true)]
async fn a_topic_that_does_not_exist_is_asked_for_less_and_less() {
    let world = start().await;
    let client = world.client();
    let consumer = client.consumer("g").topics(["t", "missing"]).build().unwrap();
    let _reading = tokio::spawn(async move {
        let mut consumer = consumer;
        while let Ok(Some(_)) | Err(_) = consumer.next().await {}
    });
    let cost = idle(&world, "a subscription to a missing topic").await;
    // Fetches each 500 ms, heartbeats each 3 s, metadata each 10 s.
    assert!(cost.requests <= 155 && cost.wakes <= 900 && cost.attempts == 0, "{cost:?}");
}
