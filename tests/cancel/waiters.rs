//! Those who wait for the same: none is disturbed when another is dropped, in whatever order.

use std::pin::Pin;
use std::time::Duration;

use klamm::ErrorKind;
use klamm::producer::{Delivery, Producer};
use tokio::time::{sleep, timeout};

use super::scene::{Scene, patient};
use super::world::{SECOND, Security, World, broker, close_producer, panics, paused_runtime, poll_once, producer, record};

type Enqueue = Pin<Box<dyn Future<Output = klamm::Result<Delivery>>>>;

/// All orders of these numbers.
fn orders(numbers: &[usize]) -> Vec<Vec<usize>> {
    if numbers.is_empty() {
        return vec![Vec::new()];
    }
    let mut all = Vec::new();
    for (at, first) in numbers.iter().enumerate() {
        let mut rest = numbers.to_vec();
        rest.remove(at);
        all.extend(orders(&rest).into_iter().map(|mut order| {
            order.insert(0, *first);
            order
        }));
    }
    all
}

/// A producer whose buffer is full, and four that wait for memory, the first of them for most of it.
async fn waiting_for_memory(world: &World) -> (Producer, Vec<Enqueue>) {
    let client = world.client();
    let producer = producer(&client).buffer_memory(8 << 10).max_request_size(8 << 10).batch_size(2 << 10);
    let producer = producer.linger(30 * SECOND).build().unwrap();
    drop(producer.enqueue(record(0, "known")).await.unwrap());
    while producer.try_enqueue(record(0, "x".repeat(1_900))).is_ok() {}
    let mut waiting: Vec<Enqueue> = Vec::new();
    for size in [7_000, 100, 1_500, 3_000] {
        let producer = producer.clone();
        waiting.push(Box::pin(async move { producer.enqueue(record(1, "y".repeat(size))).await }));
        assert!(poll_once(waiting.last_mut().unwrap().as_mut()).is_none(), "there is no room");
    }
    (producer, waiting)
}

/// Row 21: a deadlock at the limit when a waiter is dropped.
#[test]
fn waiters_for_memory_can_be_dropped_in_every_order() {
    for order in orders(&[0, 1, 2, 3]) {
        for (dropped, late) in (1..=4).flat_map(|dropped| [(dropped, false), (dropped, true)]) {
            paused_runtime().block_on(async {
                let world = World::start(Security::Plaintext, broker(2)).await;
                let (producer, mut waiting) = waiting_for_memory(&world).await;
                if late {
                    // By then some were given their memory, and have not taken it.
                    sleep(SECOND).await;
                }
                let mut left: Vec<_> = waiting.drain(..).map(Some).collect();
                for at in &order[..dropped] {
                    left[*at] = None;
                }
                let mut expected = 0;
                for waits in left.into_iter().flatten() {
                    expected += 1;
                    drop(patient("those that are left", waits).await.unwrap());
                }
                patient("another", producer.send(record(0, "z".repeat(7_000)))).await.unwrap();
                patient("flush", producer.flush()).await.unwrap();
                let sent = world.values("t", 1).iter().filter(|value| value.starts_with('y')).count();
                assert_eq!(sent, expected, "dropped {:?}", &order[..dropped]);
                assert_eq!(producer.buffered_bytes(), 0);
                panics::assert_none();
            });
        }
    }
}

/// Row 23: a record that was accepted has a result, wherever in its `send` the producer is closed.
#[test]
fn a_producer_closed_at_every_moment_of_a_send_tells_each_accepted_record_its_result() {
    let mut results = [0, 0];
    for millis in 0..60 {
        paused_runtime().block_on(async {
            let scene = Scene::start(broker(2)).await;
            let client = scene.client();
            let producer = producer(&client).linger(Duration::from_millis(10)).build().unwrap();
            let sending = tokio::spawn({
                let producer = producer.clone();
                async move { producer.send(record(0, "a")).await }
            });
            sleep(Duration::from_millis(millis)).await;
            patient("close", close_producer(&producer, 30 * SECOND)).await.unwrap();
            let result = patient("send", sending).await.unwrap();
            let written = scene.world.values("t", 0).len();
            results[usize::from(result.is_ok())] += 1;
            match result {
                Ok(at) => assert_eq!((at.offset, written), (Some(0), 1)),
                Err(error) => assert_eq!((error.kind(), written), (ErrorKind::Closed, 0), "{error:?}"),
            }
            drop((client, producer));
            scene.over().await;
        });
    }
    assert!(results.iter().all(|count| *count > 10), "accepted or not, and both occur: {results:?}");
}

/// Row 32: what a lost coordinator ends must not call itself for each of those who wait.
#[test]
fn a_hundred_thousand_commits_whose_coordinator_dies_all_end() {
    paused_runtime().block_on(async {
        let world = World::start(Security::Plaintext, broker(1)).await;
        world.append("t", 0, ["a"]);
        let client = world.client();
        let mut consumer = client.consumer("g").topics(["t"]).build().unwrap();
        let message = consumer.next().await.unwrap().unwrap();
        consumer.mark_as_processed(&message);
        let commits = (0..100_000).map(|_| {
            let handle = consumer.handle();
            let mut commit = Box::pin(async move { handle.commit().await });
            assert!(poll_once(commit.as_mut()).is_none());
            commit
        });
        let commits: Vec<_> = commits.collect();
        world.broker.stop_node(1);
        for commit in commits {
            let error = timeout(70 * SECOND, commit).await.expect("default.api.timeout.ms is over").unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Timeout, "{error:?}");
        }
        panics::assert_none();
    });
}

/// Row 30: who began a lookup is dropped, and who joined it finds the coordinator, at every moment of it.
#[test]
fn a_lookup_goes_on_for_those_who_joined_it() {
    for millis in 0..40 {
        paused_runtime().block_on(async {
            let scene = Scene::start(broker(1).nodes(2)).await;
            scene.world.append("t", 0, ["a"]);
            let client = scene.client();
            let first = tokio::spawn({
                let client = client.clone();
                async move { client.admin().group_offsets("g").await }
            });
            tokio::task::yield_now().await;
            let mut second = client.consumer("g").topics(["t"]).build().unwrap();
            let aborts = async {
                sleep(Duration::from_millis(millis)).await;
                first.abort();
            };
            let (message, ()) = tokio::join!(patient("next", second.next()), aborts);
            assert_eq!(message.unwrap().unwrap().offset, 0);
            let asked = scene.world.broker.requests_of(klamm::protocol::ApiKey::FIND_COORDINATOR).len();
            assert_eq!(asked, 1, "one lookup for both");
            scene.assert_connections_whole().await;
            drop((second, client));
            scene.over().await;
        });
    }
}
