//! The runtime ends in the middle of everything: no panic, no call that never returns.
//!
//! What was built in it is of no use any more, and says so: whoever still waits, and whoever asks later from another runtime, is told
//! at once. A runtime that somebody used a client from for a while takes nothing along that others need.

use std::time::Duration;

use klamm::producer::Overflow;
use klamm::{Client, ErrorKind};
use klamm_broker::Broker;
use tokio::time::{Instant, timeout};

use super::work::{RECORDS, Work};
use super::world::watchdog::watchdog;
use super::world::{SECOND, Security, World, broker, panics, paused_runtime, record};

async fn begin(time: Duration) -> (World, Work) {
    let world = World::start(Security::Plaintext, broker(2)).await;
    for partition in 0..2 {
        world.append("t", partition, 0..RECORDS / 2);
    }
    world.broker.intercept(|_| klamm_broker::Intercept::DelayResponse(Duration::from_millis(3)));
    let mut work = Work::begin(world.builder());
    work.go_on(time).await;
    (world, work)
}

/// It is told at once that its runtime has ended.
async fn told<T: std::fmt::Debug>(what: &str, call: impl Future<Output = klamm::Result<T>>) {
    let start = Instant::now();
    let result = timeout(60 * SECOND, call).await.unwrap_or_else(|_| panic!("{what} waits without end"));
    let error = result.expect_err(what);
    assert_eq!(error.kind(), ErrorKind::Closed, "{what}: {error:?}");
    assert!(start.elapsed() < SECOND, "{what} took {:?}", start.elapsed());
}

#[test]
fn whatever_a_client_was_doing_it_says_that_its_runtime_has_ended() {
    let _watchdog = watchdog("after the runtime", Duration::from_secs(120));
    for millis in (0..60).map(|step| step * 4).chain([1_000, 7_000]) {
        let ended = paused_runtime();
        let (_world, mut work) = ended.block_on(begin(Duration::from_millis(millis)));
        drop(ended);
        paused_runtime().block_on(async {
            work.calls.clear();
            for delivery in work.deliveries.drain(..) {
                // Sent before, or told that it is over.
                let _ = timeout(SECOND, delivery).await.expect("every record has its result");
            }
            let client = work.client.take().unwrap();
            told("topics", client.topics()).await;
            told("partition_count", client.partition_count("t")).await;
            told("last_offset", client.last_offset("t", 0)).await;
            told("fetch_messages", client.fetch_messages("t", 0).send()).await;
            told("list_groups", client.admin().list_groups()).await;
            told("describe_groups", async {
                let outcomes = client.admin().describe_groups(["g"]).await?;
                outcomes.into_iter().try_for_each(|(_, outcome)| outcome.map(drop))
            })
            .await;
            told("deliver", client.deliver(record(0, "a"))).await;
            for producer in [work.lingering.take().unwrap(), work.full.take().unwrap()] {
                told("send", producer.send(record(0, "a"))).await;
                assert_eq!(producer.try_enqueue(record(0, "a")).unwrap_err().error().kind(), ErrorKind::Closed);
                timeout(SECOND, producer.flush()).await.expect("nothing is left to flush").unwrap();
                timeout(SECOND, producer.close(Duration::MAX)).await.expect("closed").unwrap();
                assert_eq!(producer.buffered_bytes(), 0);
            }
            let mut buffered = work.buffered.take().unwrap();
            if buffered.buffer_size() > 0 {
                let failed = timeout(10 * SECOND, buffered.deliver()).await.expect("deliver ends").unwrap_err();
                assert!(failed.failed.iter().all(|failed| failed.error.kind() == ErrorKind::Closed), "{failed:?}");
            }
            let asynchronous = work.asynchronous.take().unwrap();
            told("produce", async { Ok(asynchronous.produce(record(0, "a")).await?) }).await;
            assert_eq!(asynchronous.deliver().unwrap_err().kind(), ErrorKind::Closed);
            let left = timeout(SECOND, asynchronous.close(Duration::MAX)).await.expect("closed");
            if let Err(left) = left {
                assert!(left.failed.iter().all(|failed| failed.error.kind() == ErrorKind::Closed && !failed.kept), "{left:?}");
            }
            timeout(SECOND, asynchronous.close(SECOND)).await.expect("closed").expect("given before");
            assert_eq!(asynchronous.queue_size(), 0);
            for mut consumer in [work.member.take().unwrap(), work.joiner.take().unwrap()] {
                // One that had not begun joins in the runtime that is around, and finds no cluster.
                let first = timeout(60 * SECOND, async { while let Ok(Some(_)) = consumer.next().await {} }).await;
                first.expect("next waits without end");
                told("next", consumer.next()).await;
                // Fine if nothing was marked.
                let _ = timeout(SECOND, consumer.commit()).await.expect("commit ends");
                let _ = timeout(SECOND, consumer.close(10 * SECOND)).await.expect("closed");
            }
            let mut reader = work.reader.take().unwrap();
            let rest = timeout(60 * SECOND, async { while let Ok(Some(_)) = reader.next().await {} }).await;
            rest.expect("next waits without end");
            told("next", reader.next()).await;
            timeout(SECOND, client.close()).await.expect("closed");
        });
        panics::assert_none();
    }
}

/// Calls that wait while their runtime ends, from another that goes on.
#[test]
fn whoever_waits_in_another_runtime_is_woken() {
    let _watchdog = watchdog("waiting in another runtime", Duration::from_secs(60));
    let ending = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let (broker, client, mut consumer, mut reader, producer) = ending.block_on(async {
        let broker = broker(1).start_in_memory().unwrap();
        let client = Client::builder(broker.bootstrap()).connector(broker.connector()).connect().await.unwrap();
        let mut consumer = client.consumer("g").topics(["t"]).build().unwrap();
        assert!(timeout(SECOND / 2, consumer.next()).await.is_err());
        let mut reader = client.reader("t").build().unwrap();
        assert!(timeout(SECOND / 2, reader.next()).await.is_err());
        let producer = client.producer().build().unwrap();
        producer.send(record(0, "a")).await.unwrap();
        // The next is parked.
        assert!(consumer.next().await.unwrap().is_some() && reader.next().await.unwrap().is_some());
        broker.intercept(|_| klamm_broker::Intercept::Swallow);
        (broker, client, consumer, reader, producer)
    });
    let delivery = ending.block_on(producer.enqueue(record(0, "b"))).unwrap();
    let asynchronous = ending.block_on(async {
        let builder = client.async_producer().max_queue_size(1).max_buffer_size(1).delivery_threshold(1);
        let asynchronous = builder.overflow(Overflow::Wait(3600 * SECOND)).build().unwrap();
        // One is on its way, one queued.
        asynchronous.produce(record(0, "c")).await.unwrap();
        asynchronous.produce(record(0, "d")).await.unwrap();
        asynchronous
    });
    let waiting = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            tokio::join!(
                async { assert_eq!(consumer.next().await.unwrap_err().kind(), ErrorKind::Closed) },
                async { assert_eq!(reader.next().await.unwrap_err().kind(), ErrorKind::Closed) },
                async { assert_eq!(client.topics().await.unwrap_err().kind(), ErrorKind::Closed) },
                async { assert_eq!(delivery.await.unwrap_err().kind(), ErrorKind::Closed) },
                async {
                    let rejected = asynchronous.produce(record(0, "e")).await.unwrap_err();
                    assert_eq!(rejected.error().kind(), ErrorKind::Closed);
                    let left = asynchronous.close(3600 * SECOND).await.unwrap_err();
                    let values: Vec<_> = left.failed.iter().map(|failed| failed.record.value.clone().unwrap()).collect();
                    assert_eq!(values, ["c", "d"], "what it had is given back");
                },
            );
        });
    });
    std::thread::sleep(Duration::from_millis(200));
    ending.shutdown_timeout(SECOND);
    waiting.join().unwrap();
    drop(broker);
}

/// Somebody uses a client from a runtime of their own for a while, as a thread with a `block_on` does.
#[test]
fn a_runtime_that_only_used_a_client_takes_nothing_along() {
    let _watchdog = watchdog("a guest", Duration::from_secs(60));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let (_broker, client, producer): (Broker, _, _) = runtime.block_on(async {
        // Two nodes: nothing but the guest's call leads to one of them.
        let broker = broker(1).nodes(2).start_in_memory().unwrap();
        let client = Client::builder(broker.bootstrap()).connector(broker.connector()).build().unwrap();
        let producer = client.producer().build().unwrap();
        (broker, client, producer)
    });
    std::thread::scope(|scope| {
        scope.spawn(|| {
            // The first calls of all: what they open must not live in this runtime.
            let guest = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            guest.block_on(async {
                client.admin().list_groups().await.unwrap();
                assert_eq!(client.partition_count("t").await.unwrap(), 1);
                client.deliver(record(0, "a")).await.unwrap();
                producer.send(record(0, "b")).await.unwrap();
            });
        });
    });
    runtime.block_on(async {
        let all = async {
            assert_eq!(client.partition_count("t").await.unwrap(), 1);
            assert_eq!(client.deliver(record(0, "c")).await.unwrap().offset, Some(2));
            assert_eq!(producer.send(record(0, "d")).await.unwrap().offset, Some(3));
            client.admin().list_groups().await.unwrap();
        };
        timeout(10 * SECOND, all).await.expect("the client still works");
    });
}

/// Dropped from inside the runtime that ends: its own tasks drop what they hold while it shuts down.
#[test]
fn tasks_that_own_everything_are_torn_down_with_their_runtime() {
    for millis in [0, 5, 20, 60, 200, 3_000] {
        let runtime = paused_runtime();
        runtime.block_on(async {
            let (world, mut work) = begin(Duration::ZERO).await;
            tokio::spawn(async move {
                work.go_on(3600 * SECOND).await;
                drop(world);
            });
            tokio::time::sleep(Duration::from_millis(millis)).await;
        });
        drop(runtime);
        panics::assert_none();
    }
    // Threads of a larger runtime, in the middle of a poll.
    for micros in (0..20).map(|step| step * 500) {
        let threads = "torn-down";
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        let runtime = builder.worker_threads(2).thread_name(threads).enable_all().build().unwrap();
        runtime.block_on(async {
            let (world, mut work) = begin(Duration::ZERO).await;
            tokio::spawn(async move {
                work.go_on(3600 * SECOND).await;
                drop(world);
            });
        });
        std::thread::sleep(Duration::from_micros(micros));
        runtime.shutdown_timeout(SECOND);
        panics::assert_none_of(threads);
    }
}
