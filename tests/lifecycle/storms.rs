//! A broker that refuses for ever, with any code: nobody storms it (reliability.md, rows 24, 34 and 36).

use std::time::Duration;

use klamm::Client;
use klamm::protocol::{ApiKey, ErrorCode};
use klamm_broker::Intercept;
use tokio::time::{sleep, timeout};

use super::world::watchdog::watchdog;
use super::world::{SECOND, Security, World, broker, panics, paused_runtime, producer, record};

/// What each part of the client asks for.
const APIS: &[ApiKey] = &[
    ApiKey::API_VERSIONS,
    ApiKey::METADATA,
    ApiKey::FIND_COORDINATOR,
    ApiKey::INIT_PRODUCER_ID,
    ApiKey::PRODUCE,
    ApiKey::FETCH,
    ApiKey::LIST_OFFSETS,
    ApiKey::JOIN_GROUP,
    ApiKey::SYNC_GROUP,
    ApiKey::HEARTBEAT,
    ApiKey::OFFSET_FETCH,
    ApiKey::OFFSET_COMMIT,
];

/// Every code that has a name, and one that has none.
fn codes() -> Vec<ErrorCode> {
    (-1..2_000).map(ErrorCode).filter(|code| !code.is_ok() && (code.name().is_some() || code.0 == 1_999)).collect()
}

/// Everything at work: a producer that sends each second, a member that commits each second, a reader.
async fn work(world: &World, client: &Client) -> Vec<tokio::task::JoinHandle<()>> {
    let producer = producer(client).linger(Duration::ZERO).build().unwrap();
    let mut member = client.consumer("g").topics(["t"]).auto_commit_interval(SECOND).build().unwrap();
    let mut reader = client.reader("t").build().unwrap();
    let broker = world.broker.clone();
    vec![
        tokio::spawn(async move {
            for number in 0.. {
                drop(producer.enqueue(record(number % 2, "a")).await);
                sleep(SECOND).await;
            }
        }),
        tokio::spawn(async move {
            loop {
                // A user who goes on after each error, now and then.
                if timeout(SECOND, member.next()).await.is_ok_and(|next| next.is_err()) {
                    sleep(SECOND).await;
                }
            }
        }),
        tokio::spawn(async move {
            loop {
                if timeout(SECOND, reader.next()).await.is_ok_and(|next| next.is_err()) {
                    sleep(SECOND).await;
                }
            }
        }),
        tokio::spawn(async move {
            loop {
                broker.append_records("t", 0, [(None, Some(&b"b"[..]))]);
                sleep(SECOND).await;
            }
        }),
    ]
}

/// Wake-ups, requests and attempts to connect in a minute of refusals, after a minute of them.
async fn refused(api: ApiKey, code: ErrorCode, from_the_beginning: bool) -> (u64, usize, usize) {
    let world = World::start(Security::Plaintext, broker(2)).await;
    let client = world.client();
    let refuse = || world.broker.intercept_all(api, move |_| Intercept::Error(code));
    if from_the_beginning {
        refuse();
    }
    let tasks = work(&world, &client).await;
    if !from_the_beginning {
        sleep(10 * SECOND).await;
        refuse();
    }
    sleep(60 * SECOND).await;
    let metrics = tokio::runtime::Handle::current().metrics();
    let (wakes, attempts) = (metrics.worker_park_count(0), world.proxy.attempts());
    world.broker.clear_requests();
    sleep(60 * SECOND).await;
    let cost = (metrics.worker_park_count(0) - wakes, world.broker.requests().len(), world.proxy.attempts() - attempts);
    tasks.iter().for_each(tokio::task::JoinHandle::abort);
    panics::assert_none();
    cost
}

#[test]
fn explore() {
    let part = std::env::var("PART").unwrap();
    let mut all = Vec::new();
    for api in APIS.iter().filter(|api| part.split(',').any(|part| format!("{api}").starts_with(part))) {
        for code in codes() {
            for from_the_beginning in [true, false] {
                let what = format!("{api} {code} {from_the_beginning}");
                let _watchdog = watchdog(&what, Duration::from_secs(60));
                let start = std::time::Instant::now();
                let cost = paused_runtime().block_on(refused(*api, code, from_the_beginning));
                println!("{cost:?} {what} {:?}", start.elapsed());
                all.push((cost, what));
            }
        }
    }
    all.sort_by(|a, b| b.cmp(a));
    println!("{} runs", all.len());
    for (cost, what) in all.iter().take(60) {
        println!("wakes {cost:?} {what}");
    }
    all.sort_by_key(|(cost, _)| std::cmp::Reverse(cost.1));
    for (cost, what) in all.iter().take(60) {
        println!("requests {cost:?} {what}");
    }
    all.sort_by_key(|(cost, _)| std::cmp::Reverse(cost.2));
    for (cost, what) in all.iter().take(60) {
        println!("attempts {cost:?} {what}");
    }
}
