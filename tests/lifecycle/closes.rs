//! Closing ends within its deadline, whatever the brokers do (`close(d)` takes at most `d` + 100 ms), and leaves nothing.

use std::time::Duration;

use klamm::consumer::Consumer;
use klamm::producer::{AsyncProducer, DeliveryFailed, Overflow, Producer};
use klamm::{Client, ErrorKind};
use klamm_broker::{Intercept, Reachability};
use tokio::time::{Instant, timeout};

use super::world::proxy::{Direction, Fault, How};
use super::world::watchdog::watchdog;
use super::world::{FAREWELL, SECOND, Security, World, broker, close_producer, panics, producer, record};

/// What the brokers do from some moment on.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Brokers {
    Refuse,
    TakeNoConnection,
    /// Requests are read and never answered.
    Silent,
    /// The network is gone: connections stay open, and nothing passes.
    Unplugged,
}

const DEAD: [Brokers; 4] = [Brokers::Refuse, Brokers::TakeNoConnection, Brokers::Silent, Brokers::Unplugged];

impl Brokers {
    fn set(self, world: &World) {
        match self {
            Self::Refuse | Self::TakeNoConnection => {
                let how = if self == Self::Refuse { Reachability::Refusing } else { Reachability::BlackHole };
                world.broker.set_reachability(1, how);
                world.broker.close_connections(1);
            }
            Self::Silent => drop(world.broker.intercept(|_| Intercept::Swallow)),
            Self::Unplugged => {
                let fault = |direction| Fault { connection: None, direction, after: 0, how: How::BlackHole };
                world.proxy.plan(Some(fault(Direction::Up)));
            }
        }
    }
}

/// The call ends within `limit`, and not before anybody could know.
async fn within<T>(what: &str, limit: Duration, call: impl Future<Output = T>) -> T {
    let start = Instant::now();
    let longest = limit + Duration::from_millis(100);
    let result = timeout(longest, call).await;
    result.unwrap_or_else(|_| panic!("{what} took longer than {limit:?}: {:?}", start.elapsed()))
}

/// In partition 0, to begin with.
const RECORDS: usize = 10;

async fn start() -> World {
    let world = World::start(Security::Plaintext, broker(2)).await;
    world.append("t", 0, 0..RECORDS);
    world
}

/// Runs `check` with brokers that are dead from the beginning, and with those that died while everything ran.
async fn each_death(check: impl AsyncFn(&World, Client, Brokers, bool)) {
    let _watchdog = watchdog("closing", Duration::from_secs(120));
    for brokers in DEAD {
        for connected in [false, true] {
            let world = start().await;
            let client = world.client();
            if connected {
                client.partition_count("t").await.unwrap();
            } else {
                brokers.set(&world);
            }
            check(&world, client, brokers, connected).await;
            let longest = if brokers == Brokers::TakeNoConnection { 31 * SECOND } else { FAREWELL };
            world.wait_until_empty(longest).await;
            panics::assert_none();
        }
    }
}

async fn lingering(client: &Client) -> Producer {
    producer(client).linger(2 * SECOND).delivery_timeout(32 * SECOND).build().unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_producer_is_closed_within_the_time_it_is_given() {
    each_death(async |world, client, brokers, connected| {
        let producer = lingering(&client).await;
        let delivery = if connected {
            let sent = producer.send(record(0, "a")).await.unwrap();
            assert_eq!(sent.offset, Some(10));
            brokers.set(world);
            Some(producer.enqueue(record(0, "b")).await.unwrap())
        } else {
            // Waits for metadata, and is told.
            None
        };
        let waiting = tokio::spawn({
            let producer = producer.clone();
            async move { producer.enqueue(record(1, "c")).await.map(drop) }
        });
        tokio::task::yield_now().await;
        let result = within("close", 3 * SECOND, close_producer(&producer, 3 * SECOND)).await;
        assert_eq!(result.is_err(), delivery.is_some(), "{brokers:?}: {result:?}");
        if let Some(delivery) = delivery {
            assert_eq!(delivery.try_result().unwrap().unwrap_err().kind(), ErrorKind::Closed);
        }
        // Bytes that were being written are held until their connection is closed, which is at once.
        tokio::time::sleep(Duration::from_millis(1)).await;
        assert_eq!(producer.buffered_bytes(), 0);
        assert_eq!(producer.try_enqueue(record(0, "d")).unwrap_err().error().kind(), ErrorKind::Closed);
        let waited = within("a waiting enqueue", 61 * SECOND, waiting).await.unwrap();
        assert!(connected || waited.is_err());
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_producer_without_a_deadline_is_closed_when_its_records_are_out_of_time() {
    each_death(async |world, client, brokers, connected| {
        let producer = lingering(&client).await;
        if connected {
            producer.send(record(0, "a")).await.unwrap();
            brokers.set(world);
            let _delivery = producer.enqueue(record(0, "b")).await.unwrap();
        }
        let result = within("close", 33 * SECOND, producer.close(Duration::MAX)).await;
        assert_eq!(result.is_err(), connected, "{brokers:?}: {result:?}");
        assert_eq!(producer.buffered_bytes(), 0);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_client_is_closed_within_a_second() {
    each_death(async |world, client, brokers, connected| {
        let other = client.clone();
        let delivering = tokio::spawn(async move { other.deliver(record(0, "a")).await });
        let asking = tokio::spawn({
            let other = client.clone();
            async move { other.topics().await }
        });
        tokio::time::sleep(Duration::from_millis(20)).await;
        if connected {
            brokers.set(world);
        }
        within("close", SECOND, client.close()).await;
        assert_eq!(client.topics().await.unwrap_err().kind(), ErrorKind::Closed);
        assert_eq!(client.deliver(record(0, "b")).await.unwrap_err().kind(), ErrorKind::Closed);
        drop(client);
        let _ = within("deliver", 31 * SECOND, delivering).await.unwrap();
        let _ = within("topics", 61 * SECOND, asking).await.unwrap();
    })
    .await;
}

/// Reads one record, so that there is something to commit.
async fn in_the_middle(client: &Client) -> Consumer {
    let mut consumer = client.consumer("g").topics(["t"]).build().unwrap();
    let message = consumer.next().await.unwrap().unwrap();
    consumer.mark_as_processed(&message);
    consumer
}

#[tokio::test(start_paused = true)]
async fn a_consumer_is_closed_within_its_deadline() {
    for deadline in [Duration::ZERO, Duration::from_millis(700), 3 * SECOND, 20 * SECOND] {
        each_death(async |world, client, brokers, connected| {
            let mut consumer = if connected {
                in_the_middle(&client).await
            } else {
                let mut consumer = client.consumer("g").topics(["t"]).build().unwrap();
                assert!(timeout(SECOND, consumer.next()).await.is_err());
                consumer
            };
            if connected {
                brokers.set(world);
                // Reads on, so that it meets the dead broker in a fetch as well.
                while let Ok(next) = timeout(SECOND, consumer.next()).await {
                    next.unwrap();
                }
            }
            let result = within("close", deadline, consumer.close(deadline)).await;
            if connected {
                assert_eq!(result.unwrap_err().kind(), ErrorKind::Timeout, "{brokers:?}");
                assert_eq!(world.broker.committed("g", "t", 0), None);
            }
        })
        .await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_consumer_that_is_stopped_ends_when_a_call_is_out_of_time() {
    each_death(async |world, client, brokers, connected| {
        if !connected {
            return;
        }
        let mut consumer = in_the_middle(&client).await;
        brokers.set(world);
        consumer.stop();
        // `default.api.timeout.ms`; that it could not commit is in the log.
        assert!(within("next", 60 * SECOND, consumer.next()).await.unwrap().is_none(), "{brokers:?}");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn closing_what_never_began_takes_no_time_and_no_broker() {
    each_death(async |_, client, _, _| {
        let start = Instant::now();
        client.consumer("g").topics(["t"]).build().unwrap().close(3 * SECOND).await.unwrap();
        close_producer(&client.producer().build().unwrap(), 3 * SECOND).await.unwrap();
        let mut buffered = client.buffered_producer().build().unwrap();
        buffered.produce(record(0, "a")).unwrap();
        assert_eq!(buffered.close(3 * SECOND).await.unwrap_err().failed.len(), 1);
        drop(client.reader("t").build().unwrap());
        client.close().await;
        assert_eq!(start.elapsed(), Duration::ZERO);
    })
    .await;
}

/// The buffered producer's `deliver` gives up by itself, and what it had begun ends with the producer.
#[tokio::test(start_paused = true)]
async fn a_buffered_producer_is_closed_at_once_also_after_a_failed_delivery() {
    each_death(async |world, client, brokers, connected| {
        let mut buffered = client.buffered_producer().request_timeout(2 * SECOND).build().unwrap();
        if connected {
            buffered.produce(record(0, "a")).unwrap();
            buffered.deliver().await.unwrap();
            brokers.set(world);
        }
        buffered.produce(record(0, "b")).unwrap();
        // Three attempts to connect, allowed 10, 20 and 30 s with a fifth of jitter, and the pauses between.
        let failed = within("deliver", 75 * SECOND, buffered.deliver()).await.unwrap_err();
        assert_eq!(failed.failed.len(), 1, "{brokers:?}");
        let failed = within("close", 3 * SECOND, buffered.close(3 * SECOND)).await.unwrap_err();
        assert_eq!(failed.failed.len(), 1, "{brokers:?}");
    })
    .await;
}

fn values(failed: &DeliveryFailed) -> Vec<String> {
    failed.failed.iter().map(|failed| String::from_utf8(failed.record.value.clone().unwrap().to_vec()).unwrap()).collect()
}

/// The same, where a `deliver` was dropped: what that began is waited for, as long as there is time, and then given back.
#[tokio::test(start_paused = true)]
async fn a_buffered_producer_is_closed_within_its_time_also_in_the_middle_of_a_delivery() {
    for limit in [Duration::ZERO, 3 * SECOND] {
        each_death(async |world, client, brokers, connected| {
            let mut buffered = client.buffered_producer().build().unwrap();
            if connected {
                buffered.produce(record(0, "a")).unwrap();
                buffered.deliver().await.unwrap();
                brokers.set(world);
            }
            buffered.produce(record(0, "b")).unwrap();
            assert!(timeout(Duration::from_millis(10), buffered.deliver()).await.is_err(), "{brokers:?}");
            let left = within("close", limit, buffered.close(limit)).await.unwrap_err();
            assert_eq!(values(&left), ["b"], "{brokers:?}");
            assert!(!left.failed[0].kept);
        })
        .await;
    }
}

/// An asynchronous producer that has all it can hold, and the values, in order; one more waits for room.
async fn full(client: &Client, number: usize) -> (AsyncProducer, Vec<String>) {
    let builder = client.async_producer().max_buffer_size(2).max_queue_size(3).delivery_threshold(1).request_timeout(2 * SECOND);
    let producer = builder.max_retries(1).overflow(Overflow::Wait(600 * SECOND)).build().unwrap();
    let mut taken = Vec::new();
    for number in 0..number {
        taken.push(number.to_string());
        producer.produce(record(0, number.to_string())).await.unwrap();
    }
    (producer, taken)
}

/// Puts records in until none fits; brokers take none.
async fn fill(producer: &AsyncProducer, taken: &mut Vec<String>) {
    for _ in 0..3 {
        while producer.try_produce(record(0, taken.len().to_string())).is_ok() {
            taken.push(taken.len().to_string());
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(producer.queue_size() == 3 && taken.len() >= 4, "{taken:?}");
}

#[tokio::test(start_paused = true)]
async fn an_asynchronous_producer_is_closed_within_its_time_and_gives_back_what_it_could_not_deliver() {
    for limit in [Duration::ZERO, Duration::from_millis(700), 3 * SECOND, Duration::MAX] {
        each_death(async |world, client, brokers, connected| {
            let (producer, mut taken) = full(&client, if connected { 2 } else { 0 }).await;
            if connected {
                tokio::time::sleep(SECOND).await;
                brokers.set(world);
            }
            let delivered = taken.len();
            fill(&producer, &mut taken).await;
            let waiting = tokio::spawn({
                let producer = producer.clone();
                async move { producer.produce(record(0, "waits")).await }
            });
            tokio::task::yield_now().await;
            // Two rounds, that under way and the rest's, of two attempts, each as long as a request or connecting may take.
            let longest = limit.min(2 * 2 * 30 * SECOND);
            let closing = within("close", longest, producer.close(limit));
            let waited = async {
                let rejected = within("a waiting produce", Duration::ZERO, waiting).await.unwrap().unwrap_err();
                assert_eq!(rejected.error().kind(), ErrorKind::Closed);
            };
            let (left, ()) = tokio::join!(closing, waited);
            let left = left.unwrap_err();
            assert_eq!(values(&left), taken[delivered..], "{brokers:?}, {limit:?}: all that was taken, in order");
            assert!(left.failed.iter().all(|failed| !failed.kept));
            let log = world.values("t", 0);
            assert_eq!(log.len(), RECORDS + delivered, "{brokers:?}: {log:?}");
            assert_eq!(producer.try_produce(record(0, "late")).unwrap_err().error().kind(), ErrorKind::Closed);
            within("closing again", Duration::ZERO, producer.close(limit)).await.unwrap();
        })
        .await;
    }
}

/// Everything at once, twice, in any order: closing again is no error and takes no time.
#[tokio::test(start_paused = true)]
async fn with_brokers_that_answer_closing_is_orderly_and_can_be_repeated() {
    let world = start().await;
    let client = world.client();
    let producer = lingering(&client).await;
    let delivery = producer.enqueue(record(1, "a")).await.unwrap();
    let consumer = in_the_middle(&client).await;
    within("client", SECOND, client.close()).await;
    within("client", Duration::ZERO, client.close()).await;
    within("producer", SECOND, close_producer(&producer, 3 * SECOND)).await.unwrap();
    within("producer", Duration::ZERO, close_producer(&producer, 3 * SECOND)).await.unwrap();
    assert!(delivery.await.is_ok());
    within("consumer", SECOND, consumer.close(3 * SECOND)).await.unwrap();
    assert_eq!(world.broker.committed("g", "t", 0), Some(1));
    assert!(world.broker.group_members("g").is_empty());
    drop((client, producer));
    world.wait_until_empty(Duration::from_millis(20)).await;
    panics::assert_none();
}
