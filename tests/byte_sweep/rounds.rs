//! The producers that deliver in rounds, with connections that break after each byte: what a round could not deliver goes with the next
//! attempt as the same bytes, so each record is in the log once and in order, and none is given back.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use klamm::protocol::ApiKey;
use klamm_broker::Intercept;
use tokio::time::{Instant, sleep, timeout};

use super::stride;
use super::world::proxy::{Direction, Fault, How, Seen};
use super::world::watchdog::watchdog;
use super::world::{SECOND, Security, World, broker, panics, paused_runtime, record};

const PATIENCE: Duration = Duration::from_secs(60);
const REQUEST_TIMEOUT: Duration = Duration::from_secs(2);

struct Report {
    took: Duration,
    attempts: usize,
    connections: Vec<Seen>,
}

/// Three rounds of each producer, beside each other.
async fn session(world: &World, what: &str) -> Report {
    let start = Instant::now();
    world.broker.intercept_all(ApiKey::PRODUCE, |_| Intercept::DelayResponse(Duration::from_millis(5)));
    let client = world.builder().request_timeout(REQUEST_TIMEOUT).connection_setup_timeout(SECOND, SECOND).build().unwrap();
    let lost = Arc::new(AtomicUsize::new(0));
    let hears = lost.clone();
    let asynchronous = client.async_producer().seed(7).delivery_threshold(4).on_failure(move |failed| {
        _ = hears.fetch_add(failed.failed.iter().filter(|failed| !failed.kept).count(), Ordering::Relaxed);
    });
    let asynchronous = asynchronous.build().unwrap();
    let mut buffered = client.buffered_producer().seed(7).build().unwrap();
    let mut expected = [vec![], vec![]];
    for round in 0..3 {
        for number in 0..4 {
            let partition = number % 2;
            let value = format!("{round}/{number}");
            asynchronous.produce(record(partition, format!("asynchronous {value}"))).await.unwrap();
            buffered.produce(record(partition, format!("buffered {value}"))).unwrap();
            expected[partition as usize].push(value);
        }
        let delivered = timeout(PATIENCE, buffered.deliver()).await.unwrap_or_else(|_| panic!("{what}: deliver has no end"));
        delivered.unwrap_or_else(|error| panic!("{what}: {error:?}"));
        sleep(Duration::from_millis(10)).await;
    }
    let closed = timeout(PATIENCE, asynchronous.close(PATIENCE)).await.unwrap_or_else(|_| panic!("{what}: close has no end"));
    closed.unwrap_or_else(|error| panic!("{what}: {error:?}"));
    buffered.close(PATIENCE).await.unwrap();
    for (partition, expected) in (0..).zip(&expected) {
        let log = world.values("t", partition);
        for name in ["asynchronous ", "buffered "] {
            let of_one: Vec<_> = log.iter().filter_map(|value| value.strip_prefix(name)).collect();
            assert_eq!(of_one, *expected, "{what}: {name}: each once and in order");
        }
    }
    assert_eq!(lost.load(Ordering::Relaxed), 0, "{what}: records were given up");
    let took = start.elapsed();
    drop((client, asynchronous));
    world.wait_until_empty(SECOND).await;
    panics::assert_none();
    Report { took, attempts: world.proxy.attempts(), connections: world.proxy.seen() }
}

fn run(security: Security, fault: Option<Fault>) -> Report {
    let what = format!("{security:?}, {fault:?}");
    paused_runtime().block_on(async {
        let world = World::start(security, broker(2)).await;
        world.proxy.plan(fault);
        session(&world, &what).await
    })
}

#[test]
fn rounds_of_delivery_come_through_connections_that_break_after_each_byte() {
    let _watchdog = watchdog("rounds", 3600 * SECOND);
    for security in Security::ALL {
        let reference = run(*security, None);
        assert!(reference.connections.iter().filter(|seen| seen.purpose() == "produce").count() == 2, "each has its own");
        let step = stride(if *security == Security::Plaintext { 31 } else { 181 });
        let mut count = 0;
        for seen in &reference.connections {
            for how in [How::Reset, How::Close, How::BlackHole] {
                for (direction, total) in [(Direction::Up, seen.up), (Direction::Down, seen.down)] {
                    for after in (seen.number as u64..total).step_by(step as usize) {
                        let fault = Fault { connection: Some(seen.number), direction, after, how };
                        let report = run(*security, Some(fault));
                        // A second between the attempts of a delivery; twice a time-out where nobody is told: the one's, and that of
                        // who waits for what it has learnt.
                        let silence = if how == How::BlackHole { 2 * REQUEST_TIMEOUT + SECOND } else { Duration::ZERO };
                        let longest = reference.took + 2 * SECOND + silence;
                        assert!(report.took <= longest, "{security:?}, {fault:?}: {:?}", report.took);
                        assert!(report.attempts <= reference.attempts + 2, "{security:?}, {fault:?}: {}", report.attempts);
                        count += 1;
                    }
                }
            }
        }
        println!("{security:?}: {count} sessions of producers that deliver in rounds");
    }
}
