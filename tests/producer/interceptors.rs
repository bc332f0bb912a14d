//! Interceptors: what they make of records, what they hear, and that they harm nobody.

use std::fmt::Write as _;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use klamm::producer::{Acks, Interceptor, Overflow};
use klamm::protocol::{ApiKey, ErrorCode};
use klamm::{Error, ErrorKind, Record, RecordMetadata};
use klamm_broker::{Broker, Intercept};

use crate::harness::{millis, one_node, record, values};

const MINUTE: Duration = Duration::from_secs(60);

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Appends `letter` to values.
fn appending(letter: &'static str) -> impl Interceptor {
    move |record: Record| {
        let value = [record.value.as_deref().unwrap_or_default(), letter.as_bytes()].concat();
        Ok::<_, BoxError>(record.value(value))
    }
}

/// Hears what became of records.
#[derive(Clone, Default)]
struct Hearing(Arc<Mutex<Vec<String>>>);

impl Hearing {
    fn heard(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }
}

impl Interceptor for Hearing {
    fn on_acknowledgement(&self, result: Result<&RecordMetadata, &Error>) {
        self.0.lock().unwrap().push(match result {
            Ok(at) => format!("{}/{}@{} {}", at.topic, at.partition, at.offset.unwrap_or(-1), at.timestamp),
            Err(error) => format!("{:?} {}", error.kind(), error.topic().unwrap_or_default()),
        });
    }
}

/// Keeps what is logged on this thread.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<String>>);

impl tracing::Subscriber for Log {
    fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
        metadata.target().starts_with("klamm::producer")
    }

    fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        tracing::span::Id::from_u64(1)
    }

    fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}

    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}

    fn event(&self, event: &tracing::Event<'_>) {
        struct Line<'a>(&'a mut String);
        impl tracing::field::Visit for Line<'_> {
            fn record_debug(&mut self, field: &tracing::field::Field, value: &dyn std::fmt::Debug) {
                let _ = write!(self.0, "{field}={value:?} ");
            }
        }
        let mut log = self.0.lock().unwrap();
        let _ = write!(log, "{} ", event.metadata().level());
        event.record(&mut Line(&mut log));
        log.push('\n');
    }

    fn enter(&self, _: &tracing::span::Id) {}

    fn exit(&self, _: &tracing::span::Id) {}
}

#[tokio::test(start_paused = true)]
async fn rk_026_interceptors_are_called_in_order_each_with_what_the_one_before_returned() {
    let (broker, client) = one_node(3);
    let producer = client.producer().interceptor(appending("x")).interceptor(appending("y")).build().unwrap();
    producer.send(record(0, "a")).await.unwrap();
    drop(producer.try_enqueue(record(0, "b")).unwrap());
    producer.close(MINUTE).await.unwrap();
    assert_eq!(values(&broker, "t", 0), ["axy", "bxy"]);

    let mut buffer = client.buffered_producer().interceptor(appending("x")).interceptor(appending("y")).build().unwrap();
    buffer.produce(record(1, "a")).unwrap();
    assert_eq!(buffer.buffer_bytesize(), 3, "what is buffered is axy");
    buffer.deliver().await.unwrap();
    assert_eq!(values(&broker, "t", 1), ["axy"]);

    let producer = client.async_producer().interceptor(appending("x")).interceptor(appending("y")).build().unwrap();
    producer.produce(record(2, "a")).await.unwrap();
    producer.close(MINUTE).await.unwrap();
    assert_eq!(values(&broker, "t", 2), ["axy"]);
}

#[tokio::test(start_paused = true)]
async fn rk_027_one_that_fails_or_panics_is_logged_and_skipped_and_the_chain_goes_on() {
    let log = Log::default();
    let _logged = tracing::subscriber::set_default(log.clone());
    let (broker, client) = one_node(1);
    let failing = |record: Record| {
        drop(record.value("changed"));
        Err::<Record, BoxError>("it failed on purpose".into())
    };
    let panicking = |_: Record| -> Result<Record, BoxError> { panic!("it panicked on purpose") };
    let mut buffer = client.buffered_producer().interceptor(failing).interceptor(appending("y")).build().unwrap();
    buffer.produce(record(0, "a")).unwrap();
    buffer.deliver().await.unwrap();
    let producer = client.async_producer().interceptor(panicking).interceptor(appending("y")).build().unwrap();
    producer.produce(record(0, "b")).await.unwrap();
    producer.close(MINUTE).await.unwrap();
    let producer = client.producer().interceptor(panicking).interceptor(failing).interceptor(appending("y")).build().unwrap();
    producer.send(record(0, "c")).await.unwrap();
    producer.close(MINUTE).await.unwrap();
    assert_eq!(values(&broker, "t", 0), ["ay", "by", "cy"]);
    let log = log.0.lock().unwrap().clone();
    let lines: Vec<_> = log.lines().filter(|line| line.contains("an interceptor failed")).collect();
    assert_eq!(lines.len(), 4, "{log}");
    assert!(lines.iter().all(|line| line.starts_with("WARN") && line.contains("topic=t")), "{lines:?}");
    assert!(lines[0].contains("interceptor=0") && lines[0].contains("it failed on purpose"), "{}", lines[0]);
    assert!(lines[1].contains("it panicked on purpose"), "{}", lines[1]);
}

#[tokio::test(start_paused = true)]
async fn a_record_that_an_interceptor_spoils_is_refused_and_given_back_as_it_came() {
    let (_broker, client) = one_node(1);
    let spoiling = |mut record: Record| {
        record.topic = "not a topic".into();
        Ok::<_, BoxError>(record)
    };
    let mut buffer = client.buffered_producer().interceptor(spoiling).build().unwrap();
    let rejected = buffer.produce(record(0, "a")).unwrap_err();
    assert_eq!((rejected.error().kind(), rejected.into_inner()), (ErrorKind::InvalidRequest, record(0, "a")));
    let producer = client.async_producer().interceptor(spoiling).build().unwrap();
    let rejected = producer.produce(record(0, "a")).await.unwrap_err();
    assert_eq!((rejected.error().kind(), rejected.into_inner()), (ErrorKind::InvalidRequest, record(0, "a")));
    let producer = client.producer().interceptor(spoiling).build().unwrap();
    let rejected = producer.try_enqueue(record(0, "a")).unwrap_err();
    assert_eq!((rejected.error().kind(), rejected.into_inner()), (ErrorKind::InvalidRequest, record(0, "a")));
    assert_eq!(producer.send(record(0, "a")).await.unwrap_err().kind(), ErrorKind::InvalidRequest);
}

#[tokio::test(start_paused = true)]
async fn a_background_producer_tells_them_of_each_result_in_order() {
    let (broker, client) = one_node(2);
    let hearing = Hearing::default();
    let producer = client.producer().interceptor(hearing.clone()).build().unwrap();
    for number in 0..3 {
        drop(producer.enqueue(record(number % 2, "v").timestamp(100 + i64::from(number))).await.unwrap());
    }
    producer.send(record(7, "x")).await.unwrap_err();
    broker.intercept_next(ApiKey::PRODUCE, 2, |_| Intercept::partition_error("t", 1, ErrorCode::TOPIC_AUTHORIZATION_FAILED));
    producer.flush().await.unwrap_err();
    drop(producer.enqueue(record(0, "w").timestamp(200)).await.unwrap());
    producer.close(MINUTE).await.unwrap();
    // The one that was never accepted was told at once.
    let expected = ["InvalidRequest t", "t/0@0 100", "Authorization t", "t/0@1 102", "t/0@2 200"];
    assert_eq!(hearing.heard(), expected, "all were told when close returned");
    assert!(producer.try_enqueue(record(0, "late")).is_err());
    assert_eq!(hearing.heard().len(), 5, "what is given back is not given up");
}

#[tokio::test(start_paused = true)]
async fn buffered_and_asynchronous_producers_tell_them_once_for_each_record() {
    let (broker, client) = one_node(2);
    let hearing = Hearing::default();
    let mut buffer = client.buffered_producer().max_retries(0).interceptor(hearing.clone()).build().unwrap();
    broker.intercept_next(ApiKey::PRODUCE, 1, |_| Intercept::partition_error("t", 1, ErrorCode::NOT_ENOUGH_REPLICAS));
    buffer.produce(record(0, "a").timestamp(1)).unwrap();
    buffer.produce(record(1, "b").timestamp(2)).unwrap();
    buffer.produce(record(7, "c").timestamp(3)).unwrap();
    buffer.deliver().await.unwrap_err();
    assert_eq!(hearing.heard(), ["t/0@0 1"], "the others are not given up");
    assert_eq!(buffer.take_refused().len(), 1);
    buffer.deliver().await.unwrap();
    buffer.produce(record(0, "d")).unwrap();
    buffer.clear_buffer();
    buffer.produce(record(0, "e")).unwrap();
    buffer.close(MINUTE).await.unwrap_err();
    assert_eq!(hearing.heard(), ["t/0@0 1", "InvalidRequest t", "t/1@0 2", "Closed t", "Closed t"]);

    let hearing = Hearing::default();
    let producer = client.async_producer().max_retries(0).interceptor(hearing.clone()).build().unwrap();
    producer.produce(record(0, "f").timestamp(6)).await.unwrap();
    producer.produce(record(7, "g")).await.unwrap();
    producer.close(MINUTE).await.unwrap_err();
    assert_eq!(hearing.heard(), ["t/0@1 6", "InvalidRequest t"]);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_dropped_before_its_record_was_accepted_is_told() {
    let (broker, client) = one_node(1);
    let hearing = Hearing::default();
    let producer = client.producer().interceptor(hearing.clone()).build().unwrap();
    assert!(tokio::time::timeout(millis(10), producer.enqueue(Record::new("unknown").value("x"))).await.is_err());
    assert_eq!(hearing.heard(), ["Closed unknown"]);

    let hearing = Hearing::default();
    let builder = client.async_producer().max_queue_size(1).overflow(Overflow::Wait(MINUTE));
    let producer = builder.interceptor(hearing.clone()).build().unwrap();
    let held = broker.intercept_all(ApiKey::PRODUCE, |_| Intercept::Hold);
    producer.produce(record(0, "a").timestamp(1)).await.unwrap();
    producer.deliver().unwrap();
    broker.wait_for(ApiKey::PRODUCE, 1).await;
    producer.produce(record(0, "b").timestamp(2)).await.unwrap();
    assert!(tokio::time::timeout(millis(10), producer.produce(record(0, "c"))).await.is_err());
    assert_eq!(hearing.heard(), ["Closed t"]);
    broker.remove_intercept(held);
    broker.release();
    producer.close(MINUTE).await.unwrap();
    assert_eq!(hearing.heard(), ["Closed t", "t/0@0 1", "t/0@1 2"]);
}

#[tokio::test(start_paused = true)]
async fn one_that_panics_when_told_harms_nobody() {
    struct Panicking;
    impl Interceptor for Panicking {
        fn on_acknowledgement(&self, _: Result<&RecordMetadata, &Error>) {
            panic!("on purpose");
        }
    }
    let (broker, client) = one_node(1);
    let hearing = Hearing::default();
    let producer = client.producer().acks(Acks::Leader).interceptor(Panicking).interceptor(hearing.clone()).build().unwrap();
    for number in 0..3 {
        producer.send(record(0, number.to_string())).await.unwrap();
    }
    producer.close(MINUTE).await.unwrap();
    assert_eq!(hearing.heard().len(), 3);
    let producer = client.async_producer().interceptor(Panicking).interceptor(hearing.clone()).build().unwrap();
    producer.produce(record(0, "3")).await.unwrap();
    producer.close(MINUTE).await.unwrap();
    assert_eq!((hearing.heard().len(), values(&broker, "t", 0).len()), (4, 4));
}

#[tokio::test(start_paused = true)]
async fn a_dropped_producer_still_tells_them_and_its_task_leaves() {
    let (broker, client) = one_node(1);
    let hearing = Hearing::default();
    let producer = client.producer().interceptor(hearing.clone()).build().unwrap();
    broker.intercept_all(ApiKey::PRODUCE, |_| Intercept::Delay(millis(500)));
    drop(producer.enqueue(record(0, "a")).await.unwrap());
    drop(producer);
    tokio::time::sleep(MINUTE).await;
    assert_eq!(hearing.heard().len(), 1);
    // Nobody holds the interceptor any more but the test.
    drop(client);
    tokio::time::sleep(MINUTE).await;
    assert_eq!(Arc::strong_count(&hearing.0), 1);
}

/// A runtime that goes away leaves nobody waiting.
#[test]
fn without_a_runtime_a_producer_with_interceptors_is_closed() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    let (producer, _broker): (_, Broker) = runtime.block_on(async {
        let (broker, client) = one_node(1);
        let producer = client.producer().interceptor(Hearing::default()).build().unwrap();
        producer.send(record(0, "a")).await.unwrap();
        (producer, broker)
    });
    drop(runtime);
    assert_eq!(producer.try_enqueue(record(0, "b")).unwrap_err().error().kind(), ErrorKind::Closed);
}
