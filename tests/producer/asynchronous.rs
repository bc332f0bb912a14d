//! The asynchronous producer: what it takes, when it delivers, what becomes of the rest.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use klamm::producer::{AsyncProducer, AsyncProducerBuilder, DeliveryFailed, Overflow};
use klamm::protocol::{ApiKey, ErrorCode};
use klamm::{Client, ErrorKind, Record};
use klamm_broker::{Broker, Intercept};
use tokio::time::Instant;

use crate::harness::{Refusing, client, millis, one_node, record, sent, values};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);

/// A client that reaches nobody.
fn nowhere() -> Client {
    Client::builder("nowhere:9092").connector(Refusing::default()).build().unwrap()
}

/// What the hook heard: the values of each failed delivery, those that were kept and those that were not.
type Heard = Arc<Mutex<Vec<(Vec<String>, Vec<String>)>>>;

fn hearing(builder: AsyncProducerBuilder) -> (AsyncProducerBuilder, Heard) {
    let heard = Heard::default();
    let hook = {
        let heard = heard.clone();
        move |failed: &DeliveryFailed| {
            let of = |kept| failed.failed.iter().filter(|it| it.kept == kept).map(|it| text(&it.record)).collect();
            heard.lock().unwrap().push((of(true), of(false)));
        }
    };
    (builder.on_failure(hook), heard)
}

fn text(record: &Record) -> String {
    String::from_utf8(record.value.clone().unwrap().to_vec()).unwrap()
}

fn texts(failed: &DeliveryFailed) -> Vec<String> {
    failed.failed.iter().map(|failed| text(&failed.record)).collect()
}

fn numbers(range: std::ops::Range<usize>) -> Vec<String> {
    range.map(|number| number.to_string()).collect()
}

async fn produce(producer: &AsyncProducer, range: std::ops::Range<usize>) {
    for number in range {
        producer.produce(record(0, number.to_string())).await.unwrap();
    }
}

/// Produces one record whose delivery hangs, so that the worker takes no others.
async fn stall(broker: &Broker, producer: &AsyncProducer) -> klamm_broker::InterceptId {
    let held = broker.intercept_all(ApiKey::PRODUCE, |_| Intercept::Hold);
    producer.produce(record(0, "stalls")).await.unwrap();
    producer.deliver().unwrap();
    broker.wait_for(ApiKey::PRODUCE, 1).await;
    held
}

#[tokio::test]
async fn rk_047_producing_takes_under_a_millisecond_whoever_is_unreachable() {
    let producer = nowhere().async_producer().delivery_threshold(10).build().unwrap();
    let mut times = Vec::new();
    for number in 0..1000 {
        let start = std::time::Instant::now();
        producer.produce(record(0, number.to_string())).await.unwrap();
        times.push(start.elapsed());
        if number % 100 == 0 {
            tokio::task::yield_now().await;
        }
    }
    times.sort();
    // Ten times what is asked for: this clock runs while other tests do.
    assert!(times[989] < millis(10), "p99: {:?}", times[989]);
}

#[tokio::test(start_paused = true)]
async fn rk_048_without_threshold_and_interval_nothing_is_sent_until_deliver() {
    let (broker, client) = one_node(1);
    let producer = client.async_producer().build().unwrap();
    produce(&producer, 0..10).await;
    tokio::time::sleep(10 * MINUTE).await;
    assert!(broker.requests_of(ApiKey::PRODUCE).is_empty());
    producer.deliver().unwrap();
    tokio::time::sleep(SECOND).await;
    assert_eq!(broker.requests_of(ApiKey::PRODUCE).len(), 1);
    assert_eq!(values(&broker, "t", 0), numbers(0..10));
    producer.deliver().unwrap();
    tokio::time::sleep(SECOND).await;
    assert_eq!(broker.requests_of(ApiKey::PRODUCE).len(), 1, "there was nothing to deliver");
    produce(&producer, 10..11).await;
    tokio::time::sleep(MINUTE).await;
    assert_eq!(broker.requests_of(ApiKey::PRODUCE).len(), 1, "the word was about what came before it");
}

#[tokio::test(start_paused = true)]
async fn rk_049_the_threshold_sends_all_that_is_there() {
    let (broker, client) = one_node(1);
    let producer = client.async_producer().delivery_threshold(5).build().unwrap();
    produce(&producer, 0..4).await;
    tokio::time::sleep(10 * MINUTE).await;
    assert!(broker.requests_of(ApiKey::PRODUCE).is_empty());
    produce(&producer, 4..5).await;
    tokio::time::sleep(millis(100)).await;
    assert_eq!(values(&broker, "t", 0), numbers(0..5));
    assert_eq!(sent(&broker).len(), 1);
}

#[tokio::test(start_paused = true)]
async fn rk_050_the_interval_counts_from_the_record_and_an_idle_one_sends_nothing() {
    let (broker, client) = one_node(1);
    let producer = client.async_producer().delivery_interval(SECOND).build().unwrap();
    tokio::time::sleep(10 * SECOND + millis(370)).await;
    assert!(broker.requests().is_empty(), "not even metadata is asked for");
    for number in 0..3 {
        let start = Instant::now();
        producer.produce(record(0, "a")).await.unwrap();
        broker.wait_for(ApiKey::PRODUCE, number + 1).await;
        let elapsed = start.elapsed();
        assert!((millis(900)..=millis(1300)).contains(&elapsed), "{elapsed:?}");
        tokio::time::sleep(millis(730)).await;
    }
    tokio::time::sleep(MINUTE).await;
    assert_eq!(broker.requests_of(ApiKey::PRODUCE).len(), 3);
}

#[tokio::test(start_paused = true)]
async fn rk_051_a_full_queue_names_its_limit_and_gives_the_record_back() {
    let (broker, client) = one_node(1);
    let producer = client.async_producer().max_queue_size(10).build().unwrap();
    let held = stall(&broker, &producer).await;
    produce(&producer, 0..10).await;
    assert_eq!(producer.queue_size(), 10);
    for rejected in [producer.produce(record(0, "over")).await.unwrap_err(), producer.try_produce(record(0, "over")).unwrap_err()]
    {
        assert_eq!((rejected.error().kind(), rejected.error().topic()), (ErrorKind::BufferFull, Some("t")));
        assert!(rejected.to_string().contains("max_queue_size is 10 records"), "{rejected}");
        assert_eq!(rejected.into_inner(), record(0, "over"), "as it came, without a time");
    }
    broker.remove_intercept(held);
    broker.release();
    producer.close(MINUTE).await.unwrap();
    assert_eq!(values(&broker, "t", 0)[1..], numbers(0..10));
}

#[tokio::test(start_paused = true)]
async fn rk_052_where_it_may_wait_it_goes_on_when_there_is_room_or_fails_in_time() {
    let (broker, client) = one_node(1);
    let producer = client.async_producer().max_queue_size(3).overflow(Overflow::Wait(2 * SECOND)).build().unwrap();
    let held = stall(&broker, &producer).await;
    produce(&producer, 0..3).await;
    let start = Instant::now();
    let rejected = producer.produce(record(0, "late")).await.unwrap_err();
    assert_eq!((rejected.error().kind(), start.elapsed()), (ErrorKind::Timeout, 2 * SECOND));
    assert!(rejected.to_string().contains("max_queue_size is 3 records"), "{rejected}");
    assert_eq!(rejected.into_inner(), record(0, "late"));
    assert_eq!(
        producer.try_produce(record(0, "late")).unwrap_err().error().kind(),
        ErrorKind::BufferFull,
        "this one never waits"
    );

    let waiting = tokio::spawn({
        let producer = producer.clone();
        async move { producer.produce(record(0, "3")).await }
    });
    // One that is dropped while it waits is not queued.
    assert!(tokio::time::timeout(millis(10), producer.produce(record(0, "dropped"))).await.is_err());
    tokio::time::sleep(SECOND).await;
    assert!(!waiting.is_finished());
    broker.remove_intercept(held);
    broker.release();
    waiting.await.unwrap().unwrap();
    producer.close(MINUTE).await.unwrap();
    assert_eq!(values(&broker, "t", 0), [&["stalls".to_owned()][..], &numbers(0..4)].concat());
}

#[tokio::test(start_paused = true)]
async fn rk_053_the_defaults_are_those_of_the_table() {
    let (_broker, client) = one_node(1);
    let settings = *client.async_producer().build().unwrap().settings();
    assert_eq!((settings.max_queue_size, settings.delivery_threshold, settings.delivery_interval), (1000, 0, Duration::ZERO));
    assert_eq!((settings.max_buffer_size, settings.max_buffer_bytesize), (1000, 10_000_000));
    assert_eq!((settings.max_retries, settings.retry_backoff, settings.overflow), (2, SECOND, Overflow::Fail));
}

/// A negative threshold or interval cannot be written: their types have no sign.
#[tokio::test(start_paused = true)]
async fn rk_054_limits_that_cannot_be_are_errors_that_name_them() {
    let (_broker, client) = one_node(1);
    let builder = || client.async_producer();
    for (builder, words) in [
        (builder().max_queue_size(0), &["max_queue_size is 0"][..]),
        (builder().max_queue_bytesize(0), &["max_queue_bytesize is 0"]),
        (builder().max_buffer_size(0), &["max_buffer_size is 0"]),
        (builder().max_buffer_bytesize(0), &["max_buffer_bytesize is 0"]),
        (builder().delivery_threshold(1001), &["delivery_threshold is 1001", "max_buffer_size 1000"]),
    ] {
        let error = builder.build().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidConfig);
        assert!(words.iter().all(|word| error.to_string().contains(word)), "{error}");
    }
}

#[tokio::test(start_paused = true)]
async fn rk_055_closing_delivers_all_that_is_queued() {
    let (broker, client) = one_node(1);
    broker.intercept_all(ApiKey::PRODUCE, |_| Intercept::Delay(millis(500)));
    // More than the buffer takes at once.
    let producer = client.async_producer().max_buffer_size(20).build().unwrap();
    produce(&producer, 0..50).await;
    producer.close(MINUTE).await.unwrap();
    assert_eq!(values(&broker, "t", 0), numbers(0..50));
}

#[tokio::test(start_paused = true)]
async fn rk_056_057_closing_without_a_broker_tries_once_and_gives_all_back() {
    let refusing = Refusing::default();
    let client = Client::builder("nowhere:9092").connector(refusing.clone()).build().unwrap();
    let (builder, heard) = hearing(client.async_producer());
    let producer = builder.build().unwrap();
    let records: Vec<_> =
        (0..50).map(|number| record(0, number.to_string()).key("k").header("h", "1").timestamp(number)).collect();
    for record in &records {
        producer.produce(record.clone()).await.unwrap();
    }
    let start = Instant::now();
    let left = producer.close(10 * MINUTE).await.unwrap_err();
    // Three attempts with pauses, each of which waits for metadata.
    assert!(start.elapsed() >= 2 * SECOND && start.elapsed() < MINUTE, "{:?}", start.elapsed());
    assert!(refusing.0.load(Ordering::Relaxed) >= 3);
    assert_eq!((left.failed.len(), left.attempts), (50, 3));
    for (failed, produced) in left.failed.iter().zip(&records) {
        assert_eq!(failed.record, *produced);
        assert!(!failed.kept && !failed.error.is_possibly_written(), "{:?}", failed.error);
        assert!(format!("{:?}", failed.error).contains("nowhere:9092"), "{:?}", failed.error);
    }
    let heard = heard.lock().unwrap().clone();
    let counts: Vec<_> = heard.iter().map(|(kept, dropped)| (kept.len(), dropped.len())).collect();
    assert_eq!(counts, [(50, 0), (0, 50)], "the delivery failed, then 50 were dropped");
    assert!(producer.close(MINUTE).await.is_ok(), "they are given back once");
}

#[tokio::test(start_paused = true)]
async fn rk_058_after_closing_everything_is_an_error_and_nothing_starts_again() {
    let (broker, client) = one_node(1);
    let producer = client.async_producer().build().unwrap();
    produce(&producer, 0..1).await;
    let clone = producer.clone();
    producer.close(MINUTE).await.unwrap();
    let before = broker.requests().len();
    let rejected = clone.produce(record(0, "late")).await.unwrap_err();
    assert_eq!((rejected.error().kind(), rejected.into_inner()), (ErrorKind::Closed, record(0, "late")));
    assert_eq!(clone.try_produce(record(0, "late")).unwrap_err().error().kind(), ErrorKind::Closed);
    assert_eq!(clone.deliver().unwrap_err().kind(), ErrorKind::Closed);
    tokio::time::sleep(MINUTE).await;
    assert_eq!(broker.requests().len(), before);
    assert_eq!(values(&broker, "t", 0), ["0"]);
}

#[tokio::test(start_paused = true)]
async fn rk_059_a_failure_is_heard_of_and_its_records_go_with_a_later_delivery() {
    let (broker, client) = one_node(1);
    // Written, but nobody hears of it: what is sent again must be the same bytes.
    broker.intercept_next(ApiKey::PRODUCE, 1, |_| Intercept::ProcessThenClose);
    broker.intercept_next(ApiKey::PRODUCE, 2, |_| Intercept::Error(ErrorCode::NOT_ENOUGH_REPLICAS));
    let (builder, heard) = hearing(client.async_producer());
    let producer = builder.build().unwrap();
    produce(&producer, 0..3).await;
    producer.deliver().unwrap();
    tokio::time::sleep(MINUTE).await;
    assert_eq!(*heard.lock().unwrap(), [(numbers(0..3), vec![])]);
    produce(&producer, 3..5).await;
    producer.deliver().unwrap();
    tokio::time::sleep(MINUTE).await;
    assert_eq!(values(&broker, "t", 0), numbers(0..5), "each once, in order");
    let sent = sent(&broker);
    assert!(sent[..4].iter().all(|again| again.batch.bytes() == sent[0].batch.bytes()), "the same bytes");
    assert_eq!(heard.lock().unwrap().len(), 1);
    producer.close(MINUTE).await.unwrap();
}

/// On Apache Kafka in `real/`; here threads try to pass the queue's limits while connections break.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn rk_060_tasks_that_share_it_lose_nothing_keep_their_order_and_pass_no_limit() {
    const TASKS: usize = 8;
    const EACH: usize = 2_000;
    let (broker, client) = one_node(3);
    let mut produced = 0;
    broker.intercept_all(ApiKey::PRODUCE, move |_| {
        produced += 1;
        match produced % 60 {
            7 => Intercept::ProcessThenClose,
            33 => Intercept::CloseBefore,
            _ => Intercept::Pass,
        }
    });
    let builder = client.async_producer().max_queue_size(50).overflow(Overflow::Wait(MINUTE)).delivery_threshold(100);
    let producer = builder.max_buffer_size(500).max_retries(10).retry_backoff(millis(1)).build().unwrap();
    let tasks: Vec<_> = (0..TASKS)
        .map(|task| {
            let producer = producer.clone();
            tokio::spawn(async move {
                for number in 0..EACH {
                    let record = Record::new("t").key(task.to_string()).value(format!("{task} {number}"));
                    producer.produce(record).await.unwrap();
                    assert!(producer.queue_size() <= 50);
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    producer.close(2 * MINUTE).await.unwrap();
    let log: Vec<_> = (0..3).flat_map(|partition| values(&broker, "t", partition)).collect();
    assert_eq!(log.len(), TASKS * EACH);
    for task in 0..TASKS {
        let prefix = format!("{task} ");
        let own: Vec<usize> = log.iter().filter_map(|it| it.strip_prefix(&prefix)).map(|it| it.parse().unwrap()).collect();
        assert_eq!(own, (0..EACH).collect::<Vec<_>>(), "task {task}");
    }
}

#[tokio::test(start_paused = true)]
async fn rk_061_retries_of_a_delivery_and_overflow_of_the_queue_are_set_apart() {
    let (broker, client) = one_node(1);
    let builder = client.async_producer().max_retries(7).retry_backoff(millis(100)).overflow(Overflow::Wait(SECOND));
    let producer = builder.max_queue_size(3).build().unwrap();
    let settings = *producer.settings();
    assert_eq!((settings.max_retries, settings.retry_backoff), (7, millis(100)));
    assert_eq!((settings.overflow, settings.max_queue_size), (Overflow::Wait(SECOND), 3));
    broker.intercept_all(ApiKey::PRODUCE, |_| Intercept::Error(ErrorCode::NOT_ENOUGH_REPLICAS));
    producer.produce(record(0, "a")).await.unwrap();
    producer.deliver().unwrap();
    tokio::time::sleep(MINUTE).await;
    assert_eq!(broker.requests_of(ApiKey::PRODUCE).len(), 8);
}

#[tokio::test(start_paused = true)]
async fn rk_069_a_topic_that_is_unknown_waits_and_others_go_on() {
    let broker = Broker::builder().topic("b", 1).start_in_memory().unwrap();
    let producer = client(&broker).async_producer().delivery_threshold(1).max_retries(20).build().unwrap();
    for (topic, value) in [("a", "a1"), ("b", "b1"), ("a", "a2")] {
        producer.produce(Record::new(topic).partition(0).value(value)).await.unwrap();
    }
    tokio::time::sleep(millis(100)).await;
    assert_eq!(values(&broker, "b", 0), ["b1"], "at once");
    tokio::time::sleep(7 * SECOND).await;
    broker.create_topic("a", 1);
    producer.close(MINUTE).await.unwrap();
    assert_eq!(values(&broker, "a", 0), ["a1", "a2"]);
    assert_eq!(values(&broker, "b", 0), ["b1"]);
}

#[tokio::test(start_paused = true)]
async fn the_queue_is_bounded_in_bytes_headers_included() {
    let (broker, client) = one_node(1);
    let builder = client.async_producer().max_queue_bytesize(10_000).max_buffer_bytesize(50_000);
    let producer = builder.build().unwrap();
    stall(&broker, &producer).await;
    let headers = || record(0, "v").header("h", vec![b'x'; 4_000]);
    producer.produce(headers()).await.unwrap();
    producer.produce(headers()).await.unwrap();
    let rejected = producer.produce(headers()).await.unwrap_err();
    assert_eq!(rejected.error().kind(), ErrorKind::BufferFull);
    assert!(rejected.to_string().contains("max_queue_bytesize is 10000 bytes"), "{rejected}");
    let rejected = producer.produce(record(0, vec![0; 20_000])).await.unwrap_err();
    assert_eq!(rejected.error().kind(), ErrorKind::MessageTooLarge, "it would never fit");
    assert!(rejected.to_string().contains("max_queue_bytesize is 10000"), "{rejected}");
    let small = client.async_producer().max_buffer_bytesize(1000).build().unwrap();
    let rejected = small.produce(record(0, vec![0; 1000])).await.unwrap_err();
    assert!(rejected.to_string().contains("max_buffer_bytesize is 1000"), "{rejected}");
}

#[tokio::test(start_paused = true)]
async fn what_can_never_be_sent_is_refused_where_it_is_produced() {
    let (_broker, client) = one_node(1);
    let producer = client.async_producer().build().unwrap();
    for (record, kind) in [
        (Record::new("").value("x"), ErrorKind::InvalidRequest),
        (Record::new("a b").value("x"), ErrorKind::InvalidRequest),
        (record(0, vec![0; 2_000_000]), ErrorKind::MessageTooLarge),
    ] {
        let rejected = producer.produce(record.clone()).await.unwrap_err();
        assert_eq!((rejected.error().kind(), rejected.get() == &record), (kind, true));
    }
    assert_eq!(producer.queue_size(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_full_buffer_is_delivered_by_itself() {
    let (broker, client) = one_node(1);
    let producer = client.async_producer().max_buffer_size(10).max_queue_size(100).build().unwrap();
    produce(&producer, 0..10).await;
    tokio::time::sleep(MINUTE).await;
    assert!(broker.requests_of(ApiKey::PRODUCE).is_empty(), "just full");
    produce(&producer, 10..35).await;
    tokio::time::sleep(SECOND).await;
    assert_eq!(values(&broker, "t", 0), numbers(0..30), "three times full; five wait in the buffer");
    producer.close(MINUTE).await.unwrap();
    assert_eq!(values(&broker, "t", 0), numbers(0..35));
}

#[tokio::test(start_paused = true)]
async fn a_word_is_about_all_that_was_produced_before_however_small_the_buffer() {
    let (broker, client) = one_node(1);
    let producer = client.async_producer().max_buffer_size(10).build().unwrap();
    let held = stall(&broker, &producer).await;
    produce(&producer, 0..35).await;
    producer.deliver().unwrap();
    broker.remove_intercept(held);
    broker.release();
    tokio::time::sleep(SECOND).await;
    assert_eq!(values(&broker, "t", 0)[1..], numbers(0..35));
}

/// ruby-kafka's worker loops for ever on such a record.
#[tokio::test(start_paused = true)]
async fn a_record_refused_for_good_leaves_and_holds_up_nobody() {
    let (broker, client) = one_node(1);
    broker.set_message_max_bytes(5_000);
    let (builder, heard) = hearing(client.async_producer().delivery_threshold(1));
    let producer = builder.build().unwrap();
    let large = "X".repeat(9_000);
    producer.produce(record(0, "a")).await.unwrap();
    producer.produce(record(0, large.clone())).await.unwrap();
    producer.produce(record(7, "nowhere")).await.unwrap();
    producer.produce(record(0, "b")).await.unwrap();
    tokio::time::sleep(MINUTE).await;
    assert_eq!(values(&broker, "t", 0), ["a", "b"]);
    assert_eq!(*heard.lock().unwrap(), [(vec![], vec![large.clone(), "nowhere".to_owned()])]);
    // After closing began it belongs to what is given back.
    producer.produce(record(0, large.clone())).await.unwrap();
    producer.produce(record(0, "c")).await.unwrap();
    let left = producer.close(MINUTE).await.unwrap_err();
    assert_eq!(texts(&left), [large]);
    assert_eq!((left.failed[0].error.code(), left.failed[0].kept), (Some(ErrorCode::MESSAGE_TOO_LARGE), false));
    assert_eq!(values(&broker, "t", 0), ["a", "b", "c"]);
}

#[tokio::test(start_paused = true)]
async fn a_cluster_that_refuses_at_once_is_not_asked_without_end() {
    let (broker, client) = one_node(1);
    broker.intercept_all(ApiKey::PRODUCE, |_| Intercept::Error(ErrorCode::NOT_ENOUGH_REPLICAS));
    let builder = client.async_producer().delivery_threshold(1).max_retries(0).retry_backoff(Duration::ZERO);
    let producer = builder.build().unwrap();
    for number in 0..100 {
        producer.produce(record(0, number.to_string())).await.unwrap();
        tokio::time::sleep(millis(10)).await;
    }
    let count = broker.requests_of(ApiKey::PRODUCE).len();
    assert!((8..=12).contains(&count), "{count} in a second");
    broker.clear_intercepts();
    tokio::time::sleep(SECOND).await;
    assert_eq!(values(&broker, "t", 0), numbers(0..100), "it goes on by itself");
}

#[tokio::test(start_paused = true)]
async fn closing_ends_in_time_and_says_exactly_what_may_have_been_written() {
    let (broker, client) = one_node(2);
    broker.intercept_all(ApiKey::PRODUCE, |_| Intercept::partition_error("t", 1, ErrorCode::NOT_ENOUGH_REPLICAS));
    let producer = client.async_producer().max_retries(0).max_buffer_size(2).build().unwrap();
    producer.produce(record(0, "acknowledged")).await.unwrap();
    producer.produce(record(1, "refused")).await.unwrap();
    producer.deliver().unwrap();
    tokio::time::sleep(SECOND).await;
    broker.clear_intercepts();
    broker.intercept_all(ApiKey::PRODUCE, |_| Intercept::ProcessThenSwallow);
    producer.produce(record(0, "unheard")).await.unwrap();
    producer.produce(record(0, "queued")).await.unwrap();
    tokio::time::sleep(SECOND).await;
    let start = Instant::now();
    let left = producer.close(5 * SECOND).await.unwrap_err();
    assert!(start.elapsed() <= 5 * SECOND + millis(100), "{:?}", start.elapsed());
    let written: Vec<_> = left.failed.iter().map(|it| (text(&it.record), it.error.is_possibly_written())).collect();
    // "refused" was on its way, too, when the time was over.
    let expected = [("refused", true), ("unheard", true), ("queued", false)];
    assert_eq!(written, expected.map(|(value, possibly)| (value.to_owned(), possibly)));
    assert_eq!(left.failed[0].error.code(), Some(ErrorCode::NOT_ENOUGH_REPLICAS), "the last that was heard: {left}");
    assert_eq!(left.failed[2].error.kind(), ErrorKind::Closed);
    assert_eq!(values(&broker, "t", 0), ["acknowledged", "unheard"]);
}

#[tokio::test(start_paused = true)]
async fn a_dropped_close_goes_on_and_another_takes_up_its_result() {
    let client = nowhere();
    let producer = client.async_producer().max_retries(0).build().unwrap();
    produce(&producer, 0..3).await;
    assert!(tokio::time::timeout(millis(10), producer.close(MINUTE)).await.is_err());
    assert_eq!(producer.produce(record(0, "late")).await.unwrap_err().error().kind(), ErrorKind::Closed);
    // Of two deadlines the earlier counts.
    let start = Instant::now();
    let left = producer.close(millis(500)).await.unwrap_err();
    assert!(start.elapsed() <= millis(600), "{:?}", start.elapsed());
    assert_eq!(texts(&left), numbers(0..3));
}

#[tokio::test(start_paused = true)]
async fn those_who_wait_for_room_are_told_of_the_closing() {
    let (broker, client) = one_node(1);
    let producer = client.async_producer().max_queue_size(1).overflow(Overflow::Wait(MINUTE)).build().unwrap();
    stall(&broker, &producer).await;
    produce(&producer, 0..1).await;
    let waiting = tokio::spawn({
        let producer = producer.clone();
        async move { producer.produce(record(0, "waits")).await }
    });
    tokio::time::sleep(millis(10)).await;
    let left = producer.close(SECOND).await.unwrap_err();
    assert_eq!(waiting.await.unwrap().unwrap_err().error().kind(), ErrorKind::Closed);
    assert_eq!(texts(&left), ["stalls", "0"]);
}

#[tokio::test(start_paused = true)]
async fn a_dropped_producer_delivers_in_the_background_and_leaves() {
    let (broker, client) = one_node(1);
    let producer = client.async_producer().build().unwrap();
    produce(&producer, 0..5).await;
    let clone = producer.clone();
    drop(producer);
    tokio::time::sleep(MINUTE).await;
    assert!(values(&broker, "t", 0).is_empty(), "one is left");
    drop(clone);
    tokio::time::sleep(SECOND).await;
    assert_eq!(values(&broker, "t", 0), numbers(0..5));
    client.close().await;
    drop(client);
    tokio::time::sleep(2 * SECOND).await;
    assert_eq!(broker.connections(1), 0);
}

#[tokio::test(start_paused = true)]
async fn a_hook_that_panics_ends_nothing() {
    let (broker, client) = one_node(1);
    broker.intercept_next(ApiKey::PRODUCE, 1, |_| Intercept::Error(ErrorCode::NOT_ENOUGH_REPLICAS));
    let producer =
        client.async_producer().max_retries(0).delivery_threshold(1).on_failure(|_| panic!("of the hook")).build().unwrap();
    produce(&producer, 0..1).await;
    tokio::time::sleep(MINUTE).await;
    produce(&producer, 1..2).await;
    producer.close(MINUTE).await.unwrap();
    assert_eq!(values(&broker, "t", 0), ["0", "1"]);
}

/// What a panic drops may panic again, which nothing contains: the worker dies of it.
#[tokio::test(start_paused = true)]
async fn a_worker_that_dies_is_an_error_everywhere_and_gives_its_records_back() {
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            if !std::thread::panicking() {
                panic!("dropped");
            }
        }
    }
    let (broker, client) = one_node(1);
    broker.intercept_all(ApiKey::PRODUCE, |_| Intercept::Error(ErrorCode::NOT_ENOUGH_REPLICAS));
    let builder = client.async_producer().max_retries(0).max_queue_size(2).overflow(Overflow::Wait(MINUTE));
    let producer = builder.on_failure(|_| std::panic::panic_any(Bomb)).build().unwrap();
    produce(&producer, 0..1).await;
    producer.deliver().unwrap();
    tokio::time::sleep(SECOND).await;
    let rejected = producer.produce(record(0, "late")).await.unwrap_err();
    assert_eq!((rejected.error().kind(), rejected.error().is_fatal()), (ErrorKind::Bug, true));
    assert!(rejected.to_string().contains("worker panicked"), "{rejected}");
    assert_eq!(producer.deliver().unwrap_err().kind(), ErrorKind::Bug);
    let left = producer.close(MINUTE).await.unwrap_err();
    assert_eq!(texts(&left), ["0"]);
}

#[test]
fn when_the_runtime_goes_away_records_are_given_back_and_calls_fail() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    let (producer, idle, _broker) = runtime.block_on(async {
        let (broker, client) = one_node(1);
        let producer = client.async_producer().build().unwrap();
        stall(&broker, &producer).await;
        produce(&producer, 0..3).await;
        (producer, client.async_producer().build().unwrap(), broker)
    });
    drop(runtime);
    let rejected = producer.try_produce(record(0, "late")).unwrap_err();
    assert!(rejected.to_string().contains("runtime"), "{rejected}");
    // Neither needs a runtime.
    drop(idle);
    let other = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let left = other.block_on(producer.close(MINUTE)).unwrap_err();
    let written: Vec<_> = left.failed.iter().map(|it| (text(&it.record), it.error.is_possibly_written())).collect();
    let expected = [("stalls", true), ("0", false), ("1", false), ("2", false)];
    assert_eq!(written, expected.map(|(value, possibly)| (value.to_owned(), possibly)));
    drop(producer);
}

#[tokio::test(start_paused = true)]
async fn an_idle_one_does_nothing() {
    let (broker, client) = one_node(1);
    let producer = client.async_producer().delivery_threshold(10).delivery_interval(SECOND).build().unwrap();
    produce(&producer, 0..1).await;
    tokio::time::sleep(2 * SECOND).await;
    let before = broker.requests().len();
    // Spinning tasks would keep the paused clock from moving at all.
    tokio::time::sleep(Duration::from_secs(200)).await;
    assert_eq!(broker.requests().len(), before);
}

#[test]
fn it_can_be_shared_and_sent() {
    fn shared<T: Clone + Send + Sync + 'static>() {}
    shared::<AsyncProducer>();
}
