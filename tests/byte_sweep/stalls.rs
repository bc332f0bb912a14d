//! Bytes that cannot be written for a while, and connections that all break: what a single break does not show.

use std::time::Duration;

use klamm::protocol::ApiKey;
use klamm::{Client, ErrorKind};
use klamm_broker::Intercept;
use tokio::time::{Instant, sleep, timeout};

use super::stride;
use super::sweep::run;
use super::world::proxy::{Direction, End, Fault, How, Pace};
use super::world::watchdog::watchdog;
use super::world::{SECOND, Security, World, broker, panics, paused_runtime, producer, record};

const REQUEST_TIMEOUT: Duration = Duration::from_secs(2);

fn client(world: &World) -> Client {
    world.builder().request_timeout(REQUEST_TIMEOUT).connection_setup_timeout(SECOND, SECOND).build().unwrap()
}

/// Long enough to reach over several writes.
fn value(name: char) -> String {
    name.to_string().repeat(300)
}

/// Row 1: the producer's window is shut at byte `after` of its connection, its batches expire, others take their place.
async fn expire_while_stalled(security: Security, after: u64, released: bool) -> u64 {
    let world = World::start(security, broker(2)).await;
    let client = client(&world);
    client.partition_count("t").await.unwrap();
    // The batches' time begins before that of their request.
    world.broker.intercept_next(ApiKey::INIT_PRODUCER_ID, 1, |_| Intercept::DelayResponse(SECOND / 2));
    let producer = producer(&client).linger(Duration::ZERO).delivery_timeout(REQUEST_TIMEOUT).build().unwrap();
    let fault = Fault { connection: Some(1), direction: Direction::Up, after, how: How::Stall };
    world.proxy.plan(Some(fault));
    let mut old = Vec::new();
    for partition in 0..2 {
        old.push(producer.enqueue(record(partition, value('a'))).await.unwrap());
    }
    sleep(REQUEST_TIMEOUT + SECOND / 10).await;
    let results: Vec<_> = old.iter().map(|delivery| delivery.try_result().expect("its time is over")).collect();
    let mut new = Vec::new();
    for partition in 0..2 {
        // As large, so that it would fit into the same memory.
        new.push((producer.enqueue(record(partition, value('b'))).await.unwrap(), partition));
    }
    if released {
        world.proxy.release();
    } else {
        sleep(REQUEST_TIMEOUT - SECOND / 5).await;
        world.proxy.plan(None);
    }
    let mut failed = Vec::new();
    for (delivery, partition) in new {
        if let Err(error) = delivery.await {
            failed.push((partition, error));
        }
    }
    // Behind what was stalled for its whole time there was none left for them.
    assert!(failed.is_empty() || !released, "{failed:?}");
    sleep(SECOND).await;
    for partition in 0..2 {
        producer.send(record(partition, value('c'))).await.unwrap();
        let log = world.values("t", partition);
        let order: String = log.iter().map(|value| value.chars().next().unwrap()).collect();
        assert!(log.iter().zip(order.chars()).all(|(written, name)| *written == value(name)), "foreign bytes in {log:?}");
        let (a, b) = (order.contains('a'), order.contains('b'));
        let expected: String =
            [('a', a), ('b', b), ('c', true)].iter().filter(|(_, there)| *there).map(|(name, _)| *name).collect();
        assert_eq!(order, expected, "each once, in order");
        match &results[partition as usize] {
            Ok(_) => assert!(a, "acknowledged and not in the log"),
            Err(error) => assert!(!a || error.is_possibly_written(), "in the log, and {error:?}"),
        }
        if let Some((_, error)) = failed.iter().find(|(of, _)| *of == partition) {
            assert!(!b || error.is_possibly_written(), "in the log, and {error:?}");
        } else {
            assert!(b, "acknowledged and not in the log");
        }
    }
    let stalled = &world.proxy.seen()[1];
    // Row 27: the time-out covers the write.
    assert!(released || stalled.end == End::Fault, "{stalled:?}");
    assert_eq!(producer.buffered_bytes(), 0);
    panics::assert_none();
    stalled.up
}

#[test]
fn bytes_that_wait_to_be_written_are_those_of_their_batch_also_when_it_has_expired() {
    let _watchdog = watchdog("stalls", 300 * SECOND);
    let set_up = |security| run(security, Pace::AtOnce, None).connections[1].set_up(Direction::Up);
    for security in Security::ALL {
        // To the end of the first request with records, and a little further.
        let end = 900 - set_up(Security::Plaintext) + set_up(*security);
        let step = stride(if *security == Security::Plaintext { 11 } else { 59 });
        for released in [true, false] {
            let mut after = 0;
            let mut sessions = 0;
            while after < end {
                paused_runtime().block_on(expire_while_stalled(*security, after, released));
                sessions += 1;
                after += step;
            }
            println!("{security:?}: {sessions} stalls, released: {released}");
        }
    }
}

/// Row 24: no loop of retries inside another one.
#[test]
fn when_every_connection_breaks_a_record_fails_in_time_and_the_next_succeeds_soon_after() {
    let delivery_timeout = 10 * SECOND;
    let _watchdog = watchdog("connections that all break", 120 * SECOND);
    for security in Security::ALL {
        for how in [How::Reset, How::Close, How::BlackHole] {
            for direction in [Direction::Up, Direction::Down] {
                for after in [0, 1, 3, 4, 20, 39, 60, 100, 156, 157, 200, 260, 300, 400, 500] {
                    paused_runtime().block_on(async {
                        let what = format!("{security:?}, all {how:?} {direction:?} after {after}");
                        let world = World::start(*security, broker(1)).await;
                        let client = client(&world);
                        let producer =
                            producer(&client).linger(Duration::ZERO).delivery_timeout(delivery_timeout).build().unwrap();
                        producer.send(record(0, "first")).await.unwrap();
                        let before = world.proxy.attempts();
                        world.proxy.plan(Some(Fault { connection: None, direction, after, how }));
                        let start = Instant::now();
                        let result = producer.send(record(0, "second")).await;
                        // A backoff more.
                        assert!(start.elapsed() <= delivery_timeout + SECOND, "{what}: {:?}", start.elapsed());
                        if let Err(error) = &result {
                            assert_eq!(error.kind(), ErrorKind::Timeout, "{what}: {error:?}");
                        }
                        // The broker for metadata, the bootstrap server after it, and for the records: each after 50, 100, 200 and
                        // so on to 1000 ms, jitter included.
                        let attempts = world.proxy.attempts() - before;
                        assert!(attempts <= 3 * 18, "{what}: {attempts} attempts to connect");
                        world.proxy.plan(None);
                        let start = Instant::now();
                        let healed = if how == How::BlackHole { REQUEST_TIMEOUT } else { Duration::ZERO };
                        timeout(healed + 2 * SECOND + SECOND / 2, producer.send(record(0, "third")))
                            .await
                            .unwrap_or_else(|_| panic!("{what}: not healed after {:?}", start.elapsed()))
                            .unwrap();
                        let log = world.values("t", 0);
                        let second = log.iter().filter(|value| *value == "second").count();
                        assert!(second <= 1 && (second == 1 || result.is_err()), "{what}: {log:?}");
                        assert_eq!((log.first(), log.last()), (Some(&"first".to_owned()), Some(&"third".to_owned())), "{what}");
                        panics::assert_none();
                    });
                }
            }
        }
    }
}
