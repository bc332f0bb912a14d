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

/// What a minute of refusals may cost, as [`refused`] gives it. With nothing refused it is 370 wake-ups, 500 requests and no attempts to
/// connect: most requests are the fetches of a reader that gets a record each second.
const MOST: (u64, usize, usize) = (900, 600, 70);

/// Every `stride`th of all pairs of API and code, or all of them with `KLAMM_STORMS=full`.
fn sweep(apis: &[ApiKey], stride: usize) {
    let stride = match std::env::var("KLAMM_STORMS") {
        Ok(all) if all == "full" => 1,
        Ok(other) => panic!("KLAMM_STORMS is {other:?}; it can be \"full\", or not set"),
        Err(_) => stride,
    };
    let _watchdog = watchdog("refusing", Duration::from_secs(600));
    let codes = codes();
    let pairs = apis.iter().flat_map(|api| codes.iter().map(move |code| (*api, *code)));
    let (mut runs, mut most) = (0, (0, 0, 0));
    for (number, (api, code)) in pairs.enumerate().step_by(stride) {
        // Also when it is met from the beginning, where a set-up does not end.
        for from_the_beginning in [true, false] {
            let cost = paused_runtime().block_on(refused(api, code, from_the_beginning));
            let is_little = cost.0 <= MOST.0 && cost.1 <= MOST.1 && cost.2 <= MOST.2;
            assert!(is_little, "{api} answered with {code} (pair {number}, {from_the_beginning}): {cost:?}");
            most = (most.0.max(cost.0), most.1.max(cost.1), most.2.max(cost.2));
            runs += 1;
        }
    }
    println!("{runs} runs; at most {most:?} wake-ups, requests and attempts to connect a minute");
    assert!(most.1 > 0, "nobody asked for anything");
}

#[test]
fn refusals_of_the_cluster_and_of_producing_are_met_with_growing_pauses() {
    let (cluster, _) = APIS.split_at(5);
    sweep(cluster, 29);
}

#[test]
fn refusals_of_reading_and_of_the_group_are_met_with_growing_pauses() {
    let (_, consuming) = APIS.split_at(5);
    sweep(consuming, 29);
}
