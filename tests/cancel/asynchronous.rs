//! Calls of the producers that deliver in rounds, dropped: the asynchronous producer's, and the end of a buffered one.

use std::time::Duration;

use klamm::ErrorKind;
use klamm::producer::{AsyncProducer, AsyncProducerBuilder, DeliveryFailed, Overflow};
use klamm::protocol::ApiKey;
use klamm_broker::Intercept;
use tokio::time::{sleep, timeout};

use super::cut::{Cut, Progress, cut};
use super::scene::{Scene, patient};
use super::world::{SECOND, broker, record};

/// How often a value that begins like this is in the log.
fn count(scene: &Scene, begins: &str) -> usize {
    (0..2).flat_map(|partition| scene.world.values("t", partition)).filter(|value| value.starts_with(begins)).count()
}

/// It delivers each record as soon as it can.
fn eager(builder: AsyncProducerBuilder) -> AsyncProducerBuilder {
    builder.seed(7).delivery_threshold(1).overflow(Overflow::Wait(60 * SECOND))
}

/// The worker is busy with a first record, and takes no others for a while.
async fn busy(producer: &AsyncProducer) {
    producer.try_produce(record(0, "the first")).unwrap();
    while producer.queue_size() > 0 {
        tokio::task::yield_now().await;
    }
}

fn values(failed: &DeliveryFailed) -> Vec<String> {
    failed.failed.iter().map(|failed| String::from_utf8(failed.record.value.clone().unwrap().to_vec()).unwrap()).collect()
}

/// `AsyncProducer::produce`, in the middle of those who wait for a place in the queue.
pub(crate) async fn produce(at: Cut) -> Progress {
    produce_into(at, |builder| builder.max_queue_size(2)).await
}

/// The same for room in bytes.
pub(crate) async fn produce_bytes(at: Cut) -> Progress {
    produce_into(at, |builder| builder.max_queue_bytesize(6 << 10)).await
}

async fn produce_into(at: Cut, limit: impl FnOnce(AsyncProducerBuilder) -> AsyncProducerBuilder) -> Progress {
    let scene = Scene::start(broker(2)).await;
    let client = scene.client();
    let producer = limit(eager(client.async_producer())).build().unwrap();
    let large = |name: &str| record(1, format!("{name}{}", "x".repeat(2_500)));
    busy(&producer).await;
    let mut fills = 0;
    while producer.try_produce(large("fills")).is_ok() {
        fills += 1;
    }
    let wait = |name: &'static str| {
        let (producer, record) = (producer.clone(), large(name));
        tokio::spawn(async move { producer.produce(record).await })
    };
    let before = wait("before");
    tokio::task::yield_now().await;
    let (result, progress) = cut(at, producer.produce(large("a"))).await;
    let was_accepted = result.is_some();
    assert!(result.is_none_or(|result| result.is_ok()));
    let after = wait("after");
    for bystander in [before, after] {
        patient("others in the queue", bystander).await.unwrap().unwrap();
    }
    patient("producing again", producer.produce(large("again"))).await.unwrap();
    // By now all is delivered; closing ends the connection.
    sleep(5 * SECOND).await;
    scene.assert_connections_whole().await;
    patient("close", producer.close(30 * SECOND)).await.unwrap();
    assert_eq!(count(&scene, "ax"), usize::from(was_accepted), "the record is there once if it was queued, else not at all");
    for (begins, times) in [("the first", 1), ("fills", fills), ("before", 1), ("after", 1), ("again", 1)] {
        assert_eq!(count(&scene, begins), times, "{begins}");
    }
    assert_eq!(producer.queue_size(), 0);
    drop((client, producer));
    scene.over().await;
    progress
}

/// `AsyncProducer::close`, with one record being delivered and others queued.
pub(crate) async fn close(at: Cut) -> Progress {
    let scene = Scene::start(broker(2)).await.may_end("produce");
    let client = scene.client();
    let producer = eager(client.async_producer()).build().unwrap();
    busy(&producer).await;
    for number in 0..4 {
        producer.try_produce(record(number % 2, "queued")).unwrap();
    }
    let (result, progress) = cut(at, producer.close(30 * SECOND)).await;
    assert!(result.is_none_or(|result| result.is_ok()));
    let late = producer.try_produce(record(0, "late"));
    let refused = late.err().map(|rejected| rejected.error().kind());
    assert_eq!(refused, (progress.polls > 0).then_some(ErrorKind::Closed));
    if progress.polls > 0 {
        sleep(5 * SECOND).await;
        assert_eq!((count(&scene, "the first"), count(&scene, "queued")), (1, 4), "closing goes on");
    }
    patient("closing again", producer.close(30 * SECOND)).await.unwrap();
    let late = usize::from(progress.polls == 0);
    assert_eq!((count(&scene, "the first"), count(&scene, "queued"), count(&scene, "late")), (1, 4, late));
    scene.assert_connections_whole().await;
    drop((client, producer));
    scene.over().await;
    progress
}

/// The same where nothing is acknowledged in time: what is left is given to one call, and to the next if that one was dropped.
pub(crate) async fn close_in_vain(at: Cut) -> Progress {
    let scene = Scene::start(broker(2)).await.may_end("produce");
    scene.world.broker.intercept_all(ApiKey::PRODUCE, |_| Intercept::Swallow);
    let client = scene.client();
    let producer = eager(client.async_producer()).build().unwrap();
    busy(&producer).await;
    for number in 0..4 {
        producer.try_produce(record(number % 2, "queued")).unwrap();
    }
    let (result, progress) = cut(at, producer.close(2 * SECOND)).await;
    let again = patient("closing again", producer.close(2 * SECOND)).await;
    let left = match (result, again) {
        (Some(left), again) => {
            assert!(again.is_ok(), "given twice: {again:?}");
            left
        }
        (None, again) => again,
    };
    let left = left.expect_err("nothing was acknowledged");
    assert_eq!(values(&left), ["the first", "queued", "queued", "queued", "queued"]);
    assert!(left.failed.iter().all(|failed| !failed.kept));
    let sent: Vec<_> = left.failed.iter().map(|failed| failed.error.is_possibly_written()).collect();
    assert_eq!(sent, [true, false, false, false, false], "only the first was on its way: {left:?}");
    patient("a third time", producer.close(Duration::ZERO)).await.unwrap();
    scene.assert_connections_whole().await;
    drop((client, producer));
    scene.over().await;
    progress
}

/// `BufferedProducer::close`, which owns the producer, after a `deliver` that was dropped: dropping it is dropping the producer.
pub(crate) async fn close_buffered(at: Cut) -> Progress {
    let scene = Scene::start(broker(2)).await.may_end("produce");
    let client = scene.client();
    let mut buffer = client.buffered_producer().seed(7).build().unwrap();
    buffer.produce(record(0, "known")).unwrap();
    patient("deliver", buffer.deliver()).await.unwrap();
    for number in 0..4 {
        buffer.produce(record(number % 2, "begun")).unwrap();
    }
    assert!(timeout(Duration::from_millis(1), buffer.deliver()).await.is_err(), "it is on its way");
    buffer.produce(record(0, "kept")).unwrap();
    let (result, progress) = cut(at, buffer.close(30 * SECOND)).await;
    sleep(5 * SECOND).await;
    let written = count(&scene, "begun");
    match result {
        Some(result) => {
            let left = result.expect_err("one was never sent");
            assert_eq!((values(&left), written), (vec!["kept".to_owned()], 4));
            assert!(!left.failed[0].kept && !left.failed[0].error.is_possibly_written(), "{left:?}");
        }
        // Each partition has its batch or not.
        None => assert!([0, 2, 4].contains(&written), "{written}"),
    }
    assert_eq!((count(&scene, "known"), count(&scene, "kept")), (1, 0));
    // Nobody else is disturbed, and what comes later stays behind it.
    let behind = patient("deliver", client.deliver(record(0, "later"))).await.unwrap();
    assert_eq!(behind.offset, Some(scene.world.values("t", 0).len() as i64 - 1));
    scene.assert_connections_whole().await;
    drop(client);
    scene.over().await;
    progress
}
