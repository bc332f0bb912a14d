//! Producers' calls, dropped.

use std::time::Duration;

use klamm::producer::{BufferedProducer, Producer};
use klamm::{Client, ErrorKind, Record};
use tokio::time::sleep;

use super::cut::{Cut, Progress, cut};
use super::scene::{Scene, patient};
use super::world::{SECOND, Security, broker, close_producer, panics, producer, record};

fn count(scene: &Scene, value: &str) -> usize {
    (0..2).map(|partition| scene.world.values("t", partition).iter().filter(|found| *found == value).count()).sum()
}

/// What a call that hands a record over promises: dropped before it was accepted, the record is not sent; dropped later, it is.
async fn assert_sent_if_accepted(scene: &Scene, was_accepted: bool, progress: Progress) {
    assert!(!was_accepted || progress.polls > 0);
    sleep(5 * SECOND).await;
    assert_eq!(count(scene, "a"), usize::from(was_accepted), "the record is there once if it was accepted, else not at all");
}

async fn over(scene: Scene, client: Client, producer: Producer) {
    scene.assert_connections_whole().await;
    patient("flush", producer.flush()).await.unwrap();
    assert_eq!(producer.buffered_bytes(), 0);
    drop((client, producer));
    scene.over().await;
}

/// `Producer::send`, from a producer that knows nothing yet: metadata, producer id, connection, the request.
pub(crate) async fn send(at: Cut) -> Progress {
    send_in(at, Scene::start(broker(2)).await).await
}

/// The same over connections that log in first.
pub(crate) async fn send_logging_in(at: Cut) -> Progress {
    send_in(at, Scene::start_with(Security::SaslScram, broker(2)).await).await
}

async fn send_in(at: Cut, scene: Scene) -> Progress {
    let client = scene.client();
    let producer = producer(&client).linger(Duration::ZERO).build().unwrap();
    let (result, progress) = cut(at, producer.send(record(0, "a"))).await;
    let was_accepted = producer.buffered_bytes() > 0 || count(&scene, "a") > 0;
    if let Some(result) = result {
        assert_eq!(result.unwrap().offset, Some(0));
    }
    assert_sent_if_accepted(&scene, was_accepted, progress).await;
    let again = patient("sending again", producer.send(record(0, "again"))).await.unwrap();
    assert_eq!(again.offset, Some(i64::from(was_accepted)));
    over(scene, client, producer).await;
    progress
}

/// `Producer::enqueue`, while the topic is not known.
pub(crate) async fn enqueue_unknown(at: Cut) -> Progress {
    let scene = Scene::start(broker(2)).await;
    let client = scene.client();
    let producer = producer(&client).build().unwrap();
    // Another that waits for the same.
    let bystander = tokio::spawn({
        let producer = producer.clone();
        async move { producer.send(record(1, "by")).await }
    });
    let (delivery, progress) = cut(at, producer.enqueue(record(0, "a"))).await;
    let was_accepted = delivery.is_some();
    drop(delivery.map(Result::unwrap));
    patient("another send", bystander).await.unwrap().unwrap();
    assert_sent_if_accepted(&scene, was_accepted, progress).await;
    assert_eq!(count(&scene, "by"), 1);
    patient("sending again", producer.send(record(0, "again"))).await.unwrap();
    over(scene, client, producer).await;
    progress
}

/// `Producer::enqueue`, in the middle of a queue for memory.
pub(crate) async fn enqueue_full(at: Cut) -> Progress {
    let scene = Scene::start(broker(2)).await;
    let client = scene.client();
    let producer = producer(&client).buffer_memory(8 << 10).max_request_size(8 << 10).batch_size(3 << 10);
    let producer = producer.linger(30 * SECOND).build().unwrap();
    let large = |name: &str| record(0, format!("{name}{}", "x".repeat(2_500)));
    patient("the first", producer.enqueue(record(0, "a small one"))).await.unwrap().try_result();
    while producer.try_enqueue(large("fills")).is_ok() {}
    let wait = |name: &'static str| {
        let producer = producer.clone();
        tokio::spawn(async move { producer.send(record(1, format!("{name}{}", "y".repeat(2_500)))).await })
    };
    let before = wait("before");
    tokio::task::yield_now().await;
    let (delivery, progress) = cut(at, producer.enqueue(record(0, format!("a{}", "x".repeat(2_500))))).await;
    let was_accepted = delivery.is_some();
    drop(delivery.map(Result::unwrap));
    let after = wait("after");
    for bystander in [before, after] {
        patient("others in the queue", bystander).await.unwrap().unwrap();
    }
    patient("flush", producer.flush()).await.unwrap();
    sleep(SECOND).await;
    let began = |name: &str| (0..2).flat_map(|p| scene.world.values("t", p)).filter(|value| value.starts_with(name)).count();
    assert_eq!((began("ax"), began("beforey"), began("aftery")), (usize::from(was_accepted), 1, 1));
    assert_eq!(producer.buffered_bytes(), 0);
    patient("sending again", producer.send(large("again"))).await.unwrap();
    over(scene, client, producer).await;
    progress
}

/// A `Delivery`: the record is sent all the same, only nobody hears of it.
pub(crate) async fn delivery(at: Cut) -> Progress {
    let scene = Scene::start(broker(2)).await;
    let client = scene.client();
    let producer = producer(&client).linger(Duration::from_millis(20)).build().unwrap();
    let dropped = producer.enqueue(record(0, "a")).await.unwrap();
    let kept = producer.enqueue(record(0, "kept")).await.unwrap();
    let (result, progress) = cut(at, dropped).await;
    if let Some(result) = result {
        assert_eq!(result.unwrap().offset, Some(0));
    }
    assert_eq!(patient("another record of the batch", kept).await.unwrap().offset, Some(1));
    assert_eq!(count(&scene, "a"), 1);
    assert_eq!(patient("sending again", producer.send(record(0, "again"))).await.unwrap().offset, Some(2));
    over(scene, client, producer).await;
    progress
}

/// `Producer::flush`: only the waiting stops.
pub(crate) async fn flush(at: Cut) -> Progress {
    let scene = Scene::start(broker(2)).await;
    let client = scene.client();
    let producer = producer(&client).linger(3600 * SECOND).delivery_timeout(7200 * SECOND).build().unwrap();
    let mut deliveries = Vec::new();
    for number in 0..3 {
        deliveries.push(producer.enqueue(record(number % 2, "a")).await.unwrap());
    }
    let (result, progress) = cut(at, producer.flush()).await;
    assert!(result.is_none_or(|result| result.is_ok()));
    sleep(5 * SECOND).await;
    for delivery in &deliveries {
        let result = delivery.try_result();
        assert_eq!(result.is_some(), progress.polls > 0, "a flush that was begun makes everything due: {result:?}");
    }
    patient("flushing again", producer.flush()).await.unwrap();
    assert_eq!(count(&scene, "a"), 3);
    over(scene, client, producer).await;
    progress
}

/// What closing promises: closed from the first poll on, and what was handed over is sent in the background.
async fn close_by(at: Cut, close: impl AsyncFnOnce(&Producer) -> klamm::Result<()>) -> Progress {
    let scene = Scene::start(broker(2)).await.may_end("produce");
    let client = scene.client();
    let producer = producer(&client).linger(3600 * SECOND).delivery_timeout(7200 * SECOND).build().unwrap();
    let mut deliveries = Vec::new();
    for number in 0..3 {
        deliveries.push(producer.enqueue(record(number % 2, "a")).await.unwrap());
    }
    let (result, progress) = cut(at, close(&producer)).await;
    assert!(result.is_none_or(|result| result.is_ok()));
    let refused = producer.try_enqueue(record(0, "late")).err().map(|rejected| rejected.error().kind());
    assert_eq!(refused, (progress.polls > 0).then_some(ErrorKind::Closed));
    sleep(5 * SECOND).await;
    for delivery in &deliveries {
        assert_eq!(delivery.try_result().is_some(), progress.polls > 0);
    }
    patient("closing again", close_producer(&producer, 30 * SECOND)).await.unwrap();
    for delivery in deliveries {
        delivery.await.unwrap();
    }
    assert_eq!(count(&scene, "a"), 3);
    over(scene, client, producer).await;
    progress
}

/// `Producer::close`.
pub(crate) async fn close(at: Cut) -> Progress {
    close_by(at, async |producer| producer.close(Duration::MAX).await).await
}

/// The same with an end.
pub(crate) async fn close_within(at: Cut) -> Progress {
    close_by(at, async |producer| producer.close(30 * SECOND).await).await
}

/// `Client::deliver`: as `send`.
pub(crate) async fn deliver(at: Cut) -> Progress {
    let scene = Scene::start(broker(2)).await;
    let client = scene.client();
    let (result, progress) = cut(at, client.deliver(record(0, "a"))).await;
    assert!(result.is_none_or(|result| result.is_ok()));
    let at_once = count(&scene, "a");
    sleep(5 * SECOND).await;
    let sent = count(&scene, "a");
    assert!(at_once <= sent && sent <= usize::from(progress.polls > 0), "{at_once}, then {sent}");
    let again = patient("delivering again", client.deliver(record(0, "again"))).await.unwrap();
    assert_eq!(again.offset, Some(sent as i64));
    scene.assert_connections_whole().await;
    drop(client);
    scene.over().await;
    progress
}

/// The values in both partitions, as the buffer had them.
fn assert_delivered(scene: &Scene, buffer: &BufferedProducer, numbers: std::ops::Range<usize>) {
    assert_eq!((buffer.buffer_size(), buffer.buffer_bytesize()), (0, 0));
    for partition in 0..2 {
        let expected: Vec<_> =
            numbers.clone().filter(|number| number % 2 == partition).map(|number| number.to_string()).collect();
        assert_eq!(scene.world.values("t", partition as i32), expected, "each once and in order");
    }
}

fn numbered(number: usize) -> Record {
    record(number as i32 % 2, number.to_string())
}

/// `BufferedProducer::deliver`: what was begun goes on, and the next call takes up its results.
pub(crate) async fn buffered(at: Cut) -> Progress {
    let scene = Scene::start(broker(2)).await;
    let client = scene.client();
    let mut buffer = client.buffered_producer().seed(7).build().unwrap();
    (0..6).for_each(|number| buffer.produce(numbered(number)).unwrap());
    let (result, progress) = cut(at, buffer.deliver()).await;
    assert!(result.is_none_or(|result| result.is_ok()));
    buffer.produce(numbered(6)).unwrap();
    patient("delivering again", buffer.deliver()).await.unwrap();
    assert_delivered(&scene, &buffer, 0..7);
    scene.assert_connections_whole().await;
    drop((buffer, client));
    scene.over().await;
    progress
}

/// The same, where the partition's leader refuses the first attempt, so that there is a pause and another one.
pub(crate) async fn buffered_refused(at: Cut) -> Progress {
    use klamm::protocol::{ApiKey, ErrorCode};
    use klamm_broker::Intercept;
    let scene = Scene::start(broker(2)).await;
    scene.world.broker.intercept_next(ApiKey::PRODUCE, 1, |_| Intercept::Error(ErrorCode::NOT_LEADER_OR_FOLLOWER));
    let client = scene.client();
    let mut buffer = client.buffered_producer().seed(7).build().unwrap();
    (0..4).for_each(|number| buffer.produce(numbered(number)).unwrap());
    let (result, progress) = cut(at, buffer.deliver()).await;
    assert!(result.is_none_or(|result| result.is_ok()));
    patient("delivering again", buffer.deliver()).await.unwrap();
    assert_delivered(&scene, &buffer, 0..4);
    drop((buffer, client));
    panics::assert_none();
    scene.over().await;
    progress
}
