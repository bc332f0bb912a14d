//! The buffered producer: ruby-kafka's contract.

use std::sync::atomic::Ordering;
use std::time::Duration;

use klamm::config::Properties;
use klamm::producer::{Acks, BufferedProducer, DeliveryFailed};
use klamm::protocol::messages::init_producer_id::{InitProducerIdRequest, InitProducerIdResponse};
use klamm::protocol::messages::metadata::MetadataRequest;
use klamm::protocol::messages::produce::ProduceRequest;
use klamm::protocol::{ApiKey, ErrorCode};
use klamm::{Client, ErrorKind, Header, Record};
use klamm_broker::{Broker, Intercept, Reachability};
use tokio::time::Instant;

use crate::harness::{Refusing, client, millis, one_node, record, sent, values};

/// A buffered producer with the defaults.
fn buffered(client: &Client) -> BufferedProducer {
    client.buffered_producer().build().unwrap()
}

fn codes(failed: &DeliveryFailed) -> Vec<Option<ErrorCode>> {
    failed.failed.iter().map(|failed| failed.error.code()).collect()
}

fn failed_values(failed: &DeliveryFailed) -> Vec<String> {
    let value = |record: &Record| String::from_utf8(record.value.clone().unwrap().to_vec()).unwrap();
    failed.failed.iter().map(|failed| value(&failed.record)).collect()
}

/// Is an error of this kind, or one that caused it?
fn caused_by(error: &klamm::Error, kind: ErrorKind) -> bool {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if error.downcast_ref::<klamm::Error>().is_some_and(|error| error.kind() == kind) {
            return true;
        }
        cause = error.source();
    }
    false
}

#[tokio::test(start_paused = true)]
async fn rk_014_producing_needs_no_broker_and_makes_no_connection() {
    let refusing = Refusing::default();
    let client = Client::builder("nowhere:9092").connector(refusing.clone()).build().unwrap();
    let mut producer = buffered(&client);
    for number in 0..10 {
        producer.produce(record(0, format!("{number}"))).unwrap();
    }
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(producer.buffer_size(), 10);
    assert_eq!(refusing.0.load(Ordering::Relaxed), 0);
}

#[tokio::test(start_paused = true)]
async fn rk_015_018_a_full_buffer_names_topic_and_limit_and_stays_as_it_was() {
    let (_broker, client) = one_node(1);
    let mut producer = client.buffered_producer().max_buffer_size(2).build().unwrap();
    producer.produce(record(0, "a")).unwrap();
    producer.produce(record(0, "b")).unwrap();
    let rejected = producer.produce(record(0, "c")).unwrap_err();
    assert_eq!(rejected.error().kind(), ErrorKind::BufferFull);
    let text = rejected.error().to_string();
    assert!(text.contains("topic t") && text.contains("max_buffer_size is 2"), "{text}");
    assert_eq!(rejected.into_inner().value.unwrap(), "c");
    assert_eq!(producer.buffer_size(), 2);

    let mut producer = client.buffered_producer().max_buffer_bytesize(10).build().unwrap();
    let text = producer.produce(record(0, "0123456789")).unwrap_err().error().to_string();
    assert!(text.contains("topic t") && text.contains("max_buffer_bytesize is 10"), "{text}");
    assert_eq!((producer.buffer_size(), producer.buffer_bytesize()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn rk_016_bytes_of_key_and_value_count() {
    let (_broker, client) = one_node(1);
    let mut producer = client.buffered_producer().max_buffer_bytesize(10).build().unwrap();
    producer.produce(record(0, "1234567").key("ab")).unwrap();
    assert_eq!(producer.buffer_bytesize(), 9);
}

#[tokio::test(start_paused = true)]
async fn rk_017_a_thousand_records_fit_by_default() {
    let (_broker, client) = one_node(1);
    let mut producer = buffered(&client);
    for _ in 0..1000 {
        producer.produce(record(0, "x")).unwrap();
    }
    assert_eq!(producer.produce(record(0, "x")).unwrap_err().error().kind(), ErrorKind::BufferFull);
}

#[tokio::test(start_paused = true)]
async fn rk_019_records_with_and_without_partition_are_counted() {
    let (_broker, client) = one_node(2);
    let mut producer = buffered(&client);
    producer.produce(record(1, "abc")).unwrap();
    producer.produce(Record::new("t").key("k").value("de")).unwrap();
    assert_eq!((producer.buffer_size(), producer.buffer_bytesize()), (2, 6));
}

#[tokio::test(start_paused = true)]
async fn rk_020_a_cleared_buffer_sends_nothing() {
    let (broker, client) = one_node(1);
    let mut producer = buffered(&client);
    producer.produce(record(0, "a")).unwrap();
    producer.clear_buffer();
    assert_eq!((producer.buffer_size(), producer.buffer_bytesize()), (0, 0));
    producer.deliver().await.unwrap();
    assert!(broker.requests().is_empty());
}

#[tokio::test(start_paused = true)]
async fn rk_021_022_023_024_null_and_empty_headers_and_time_arrive_as_they_were() {
    let (broker, client) = one_node(1);
    let mut producer = buffered(&client);
    let time = 1_577_836_800_123; // 2020-01-01T00:00:00.123Z
    producer.produce(Record::new("t").partition(0).header("a", "1").header("b", "2").timestamp(time)).unwrap();
    producer.produce(record(0, "").key("")).unwrap();
    let mut null_header = record(0, "x");
    null_header.headers = vec![Header { key: "n".into(), value: None }, Header::new("e", "")];
    producer.produce(null_header).unwrap();
    producer.deliver().await.unwrap();
    let log = broker.records("t", 0).unwrap();
    assert_eq!((log[0].key.clone(), log[0].value.clone(), log[0].timestamp), (None, None, time));
    let headers: Vec<_> = log[0].headers.iter().map(|(key, value)| (key.as_bytes(), value.as_deref())).collect();
    assert_eq!(headers, [(&b"a"[..], Some(&b"1"[..])), (b"b", Some(&b"2"[..]))]);
    assert_eq!((log[1].key.as_deref(), log[1].value.as_deref()), (Some(&b""[..]), Some(&b""[..])));
    let headers: Vec<_> = log[2].headers.iter().map(|(key, value)| (key.as_bytes(), value.as_deref())).collect();
    assert_eq!(headers, [(&b"n"[..], None), (b"e", Some(&b""[..]))]);
}

#[tokio::test(start_paused = true)]
async fn rk_025_the_time_is_that_of_produce_not_of_deliver() {
    let (broker, client) = one_node(1);
    let mut producer = buffered(&client);
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis() as i64;
    producer.produce(record(0, "early")).unwrap();
    tokio::time::sleep(Duration::from_secs(2)).await;
    producer.produce(record(0, "late")).unwrap();
    producer.deliver().await.unwrap();
    let log = broker.records("t", 0).unwrap();
    // The machine's clock goes on beside the paused one: a guard only.
    assert!((log[0].timestamp - now).abs() < 60_000, "{} at {now}", log[0].timestamp);
    let gap = log[1].timestamp - log[0].timestamp;
    assert!((1950..=2050).contains(&gap), "{gap}");
}

#[tokio::test(start_paused = true)]
async fn rk_028_an_empty_topic_name_is_refused_and_nothing_else_affected() {
    let (broker, client) = one_node(1);
    let mut producer = buffered(&client);
    producer.produce(record(0, "a")).unwrap();
    let rejected = producer.produce(Record::new("").value("x")).unwrap_err();
    assert_eq!(rejected.error().kind(), ErrorKind::InvalidRequest);
    assert!(rejected.to_string().contains("topic name must not be empty"), "{rejected}");
    assert_eq!((producer.buffer_size(), producer.buffer_bytesize()), (1, 1));
    let error = client.deliver(Record::new("").value("x")).await.unwrap_err();
    assert_eq!((error.kind(), error.is_retriable()), (ErrorKind::InvalidRequest, false));
    assert!(error.to_string().contains("topic name must not be empty"), "{error}");
    producer.deliver().await.unwrap();
    assert_eq!(values(&broker, "t", 0), ["a"]);
}

#[tokio::test(start_paused = true)]
async fn rk_029_delivering_nothing_asks_nothing() {
    let (broker, client) = one_node(1);
    buffered(&client).deliver().await.unwrap();
    assert!(broker.requests().is_empty());
}

#[tokio::test(start_paused = true)]
async fn rk_030_a_hundred_records_over_three_partitions_arrive_in_order() {
    let broker = Broker::builder().nodes(3).topic("t", 3).start_in_memory().unwrap();
    let client = client(&broker);
    let mut producer = buffered(&client);
    for number in 0..100 {
        producer.produce(record(number % 3, format!("{number}"))).unwrap();
    }
    producer.deliver().await.unwrap();
    assert_eq!(producer.buffer_size(), 0);
    for partition in 0..3 {
        let expected: Vec<_> = (0..100).filter(|number| number % 3 == partition).map(|number| number.to_string()).collect();
        assert_eq!(values(&broker, "t", partition), expected);
    }
}

#[tokio::test(start_paused = true)]
async fn rk_031_a_moved_leader_is_tried_again_after_a_pause_and_fresh_metadata() {
    let (broker, client) = one_node(1);
    broker.intercept_next(ApiKey::PRODUCE, 2, |_| Intercept::Error(ErrorCode::NOT_LEADER_OR_FOLLOWER));
    let mut producer = buffered(&client);
    producer.produce(record(0, "a")).unwrap();
    producer.deliver().await.unwrap();
    let requests = broker.requests();
    let times: Vec<_> = requests.iter().filter(|seen| seen.api_key == ApiKey::PRODUCE).map(|seen| seen.at).collect();
    assert_eq!(times.len(), 3);
    for pair in times.windows(2) {
        assert!(pair[1] - pair[0] >= Duration::from_secs(1), "{:?}", pair[1] - pair[0]);
    }
    // By order, not by time: on the paused clock the first metadata comes in the same instant as the first attempt.
    let apis: Vec<_> =
        requests.iter().map(|seen| seen.api_key).filter(|api| [ApiKey::PRODUCE, ApiKey::METADATA].contains(api)).collect();
    let attempts: Vec<_> = (0..apis.len()).filter(|at| apis[*at] == ApiKey::PRODUCE).collect();
    assert!(attempts.windows(2).all(|pair| pair[1] > pair[0] + 1), "no metadata asked between two attempts: {apis:?}");
    assert_eq!(values(&broker, "t", 0), ["a"]);
}

#[tokio::test(start_paused = true)]
async fn rk_032_after_the_last_retry_the_record_is_still_buffered() {
    let (broker, client) = one_node(1);
    broker.intercept_all(ApiKey::PRODUCE, |_| Intercept::Error(ErrorCode::REQUEST_TIMED_OUT));
    let mut producer = client.buffered_producer().max_retries(2).build().unwrap();
    producer.produce(record(0, "a")).unwrap();
    let failed = producer.deliver().await.unwrap_err();
    assert_eq!(broker.requests_of(ApiKey::PRODUCE).len(), 3);
    assert_eq!((failed.attempts, codes(&failed)), (3, vec![Some(ErrorCode::REQUEST_TIMED_OUT)]));
    assert_eq!(producer.buffer_size(), 1);
    let stamps: Vec<_> = sent(&broker).iter().map(|sent| sent.batch.bytes().clone()).collect();
    assert!(stamps.windows(2).all(|pair| pair[0] == pair[1]), "each attempt sends the same bytes");
}

#[tokio::test(start_paused = true)]
async fn rk_033_failed_records_equal_the_produced_ones() {
    let (broker, client) = one_node(2);
    broker.intercept_all(ApiKey::PRODUCE, |_| Intercept::Error(ErrorCode::NOT_ENOUGH_REPLICAS));
    let mut producer = client.buffered_producer().max_retries(0).build().unwrap();
    let produced = record(1, "v").key("k").header("h", "1").timestamp(123_456);
    producer.produce(produced.clone()).unwrap();
    let failed = producer.deliver().await.unwrap_err();
    assert_eq!(failed.failed[0].record, produced);
    let error = klamm::Error::from(failed);
    assert!(error.to_string().contains("partition t/1"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn rk_034_a_later_deliver_sends_the_same_batch_and_new_records_after_it() {
    let (broker, client) = one_node(1);
    // Written, but the answer never comes: the connection breaks.
    broker.intercept_next(ApiKey::PRODUCE, 1, |_| Intercept::ProcessThenClose);
    let mut producer = client.buffered_producer().max_retries(0).build().unwrap();
    producer.produce(record(0, "a")).unwrap();
    let failed = producer.deliver().await.unwrap_err();
    assert!(failed.failed[0].error.is_possibly_written());
    producer.produce(record(0, "b")).unwrap();
    producer.deliver().await.unwrap();
    assert_eq!(producer.buffer_size(), 0);
    assert_eq!(values(&broker, "t", 0), ["a", "b"], "each once, in order");
    let sent = sent(&broker);
    assert_eq!(sent[0].batch.bytes(), sent[1].batch.bytes());
    assert_eq!(sent.last().unwrap().batch.base_sequence(), 1);
}

#[tokio::test(start_paused = true)]
async fn clearing_a_possibly_written_batch_costs_an_epoch() {
    let (broker, client) = one_node(1);
    broker.intercept_next(ApiKey::PRODUCE, 1, |_| Intercept::ProcessThenClose);
    let mut producer = client.buffered_producer().max_retries(0).build().unwrap();
    producer.produce(record(0, "a")).unwrap();
    producer.deliver().await.unwrap_err();
    producer.clear_buffer();
    producer.produce(record(0, "b")).unwrap();
    producer.deliver().await.unwrap();
    assert_eq!(values(&broker, "t", 0), ["a", "b"]);
    let stamps: Vec<_> = sent(&broker).iter().map(|sent| (sent.batch.producer_epoch(), sent.batch.base_sequence())).collect();
    assert_eq!(stamps, [(0, 0), (1, 0)]);
}

#[tokio::test(start_paused = true)]
async fn rk_035_an_unreachable_leader_holds_back_only_its_own_records() {
    let broker = Broker::builder().nodes(2).topic("t", 2).start_in_memory().unwrap();
    let client = client(&broker);
    let mut producer = client.buffered_producer().max_retries(1).retry_backoff(millis(100)).build().unwrap();
    let (first, second) = (broker.leader("t", 0).unwrap(), broker.leader("t", 1).unwrap());
    assert_ne!(first, second);
    broker.set_reachability(first, Reachability::Refusing);
    for number in 0..10 {
        producer.produce(record(number % 2, format!("{number}"))).unwrap();
    }
    let failed = producer.deliver().await.unwrap_err();
    assert_eq!(values(&broker, "t", 1), ["1", "3", "5", "7", "9"]);
    assert_eq!(failed_values(&failed), ["0", "2", "4", "6", "8"]);
    assert_eq!(failed.failed[0].error.kind(), ErrorKind::Disconnected, "{failed}");
    assert_eq!(producer.buffer_size(), 5);
}

#[tokio::test(start_paused = true)]
async fn rk_036_a_partition_that_fails_keeps_exactly_its_records_in_order() {
    let (broker, client) = one_node(2);
    broker.intercept_all(ApiKey::PRODUCE, |_| Intercept::partition_error("t", 0, ErrorCode::NOT_ENOUGH_REPLICAS));
    let mut producer = client.buffered_producer().max_retries(0).build().unwrap();
    for number in 0..6 {
        producer.produce(record(number % 2, format!("{number}"))).unwrap();
    }
    let failed = producer.deliver().await.unwrap_err();
    assert_eq!(failed_values(&failed), ["0", "2", "4"]);
    assert_eq!(producer.buffer_size(), 3);
    broker.clear_intercepts();
    producer.deliver().await.unwrap();
    assert_eq!(values(&broker, "t", 0), ["0", "2", "4"]);
    assert_eq!(values(&broker, "t", 1), ["1", "3", "5"]);
}

#[tokio::test(start_paused = true)]
async fn rk_037_acks_and_the_time_out_stand_in_the_request() {
    let (broker, client) = one_node(1);
    for (acks, number) in [(Acks::All, -1), (Acks::Leader, 1), (Acks::None, 0)] {
        broker.clear_requests();
        let mut producer = client.buffered_producer().acks(acks).build().unwrap();
        producer.produce(record(0, "a")).unwrap();
        producer.deliver().await.unwrap();
        tokio::time::sleep(millis(10)).await;
        let sent = sent(&broker);
        assert_eq!((sent[0].acks, sent[0].timeout_ms), (number, 5000));
        assert_eq!(sent[0].batch.producer_id() >= 0, acks == Acks::All, "only with acks=all it is idempotent unasked");
    }
}

#[tokio::test(start_paused = true)]
async fn rk_038_without_acks_nothing_is_waited_for() {
    let (broker, client) = one_node(1);
    broker.intercept_all(ApiKey::PRODUCE, |_| Intercept::Swallow);
    let mut producer = client.buffered_producer().acks(Acks::None).build().unwrap();
    producer.produce(record(0, "a")).unwrap();
    let start = Instant::now();
    producer.deliver().await.unwrap();
    assert!(start.elapsed() < millis(100), "{:?}", start.elapsed());
    assert_eq!(producer.buffer_size(), 0);
    broker.wait_for(ApiKey::PRODUCE, 1).await;
}

#[tokio::test(start_paused = true)]
async fn rk_039_no_broker_at_all_fails_after_the_attempts_with_its_cause() {
    let refusing = Refusing::default();
    let client = Client::builder("nowhere:9092").connector(refusing.clone()).build().unwrap();
    let mut producer = client.buffered_producer().max_retries(1).retry_backoff(millis(100)).build().unwrap();
    producer.produce(record(0, "a")).unwrap();
    let start = Instant::now();
    let failed = producer.deliver().await.unwrap_err();
    assert_eq!((failed.attempts, producer.buffer_size()), (2, 1));
    let error = &failed.failed[0].error;
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        text += &format!(" <- {cause}");
        source = cause.source();
    }
    assert!(text.contains("nowhere") && text.contains("refused"), "{text}");
    assert!(caused_by(error, ErrorKind::Disconnected), "{error:?}");
    assert!(caused_by(&klamm::Error::from(failed.clone()), ErrorKind::Disconnected), "{failed:?}");
    assert!(refusing.0.load(Ordering::Relaxed) >= 2 && start.elapsed() < Duration::from_secs(15), "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn rk_040_a_forbidden_topic_fails_alone_and_at_once() {
    let broker = Broker::builder().topic("a", 1).topic("b", 1).start_in_memory().unwrap();
    let client = client(&broker);
    broker.intercept_all(ApiKey::PRODUCE, |_| Intercept::partition_error("a", 0, ErrorCode::TOPIC_AUTHORIZATION_FAILED));
    let mut producer = buffered(&client);
    for number in 0..3 {
        producer.produce(Record::new("a").partition(0).value(format!("a{number}"))).unwrap();
        producer.produce(Record::new("b").partition(0).value(format!("b{number}"))).unwrap();
    }
    let failed = producer.deliver().await.unwrap_err();
    assert_eq!(failed_values(&failed), ["a0", "a1", "a2"]);
    assert_eq!(codes(&failed), [Some(ErrorCode::TOPIC_AUTHORIZATION_FAILED); 3]);
    assert_eq!(failed.failed[0].error.kind(), ErrorKind::Authorization);
    assert_eq!(broker.requests_of(ApiKey::PRODUCE).len(), 1, "not tried again");
    assert_eq!(values(&broker, "b", 0), ["b0", "b1", "b2"]);
    assert_eq!(producer.buffer_size(), 3);
    // Once allowed, the next call delivers them.
    broker.clear_intercepts();
    producer.deliver().await.unwrap();
    assert_eq!(values(&broker, "a", 0), ["a0", "a1", "a2"]);
}

#[tokio::test(start_paused = true)]
async fn rk_041_a_record_over_the_brokers_limit_fails_alone() {
    let broker = Broker::builder().topic("t", 1).message_max_bytes(1_000_000).start_in_memory().unwrap();
    let client = client(&broker);
    let mut producer = client.buffered_producer().max_request_size(4_000_000).batch_size(4_000_000).build().unwrap();
    for number in 0..5 {
        producer.produce(record(0, vec![b'0' + number; 1000])).unwrap();
    }
    producer.produce(record(0, vec![b'X'; 2_000_000])).unwrap();
    for number in 5..10 {
        producer.produce(record(0, vec![b'0' + number; 1000])).unwrap();
    }
    let failed = producer.deliver().await.unwrap_err();
    assert_eq!(codes(&failed), [Some(ErrorCode::MESSAGE_TOO_LARGE)]);
    assert_eq!(failed.failed[0].error.kind(), ErrorKind::MessageTooLarge);
    let log = values(&broker, "t", 0);
    assert_eq!(log.iter().map(|value| &value[..1]).collect::<String>(), "0123456789", "the others, in order");
    assert_eq!(producer.buffer_size(), 1);
    let alone =
        sent(&broker).iter().filter(|sent| sent.batch.record_count() == 1 && sent.batch.bytes().len() > 2_000_000).count();
    assert_eq!((failed.attempts, alone), (1, 1), "by itself it was sent once");
    assert_eq!(producer.take_refused().len(), 1);
    producer.deliver().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn rk_042_a_topic_that_comes_to_be_is_delivered_to() {
    let broker = Broker::builder().auto_create_topics(true).start_in_memory().unwrap();
    let client =
        Client::builder(broker.bootstrap()).connector(broker.connector()).allow_auto_create_topics(true).build().unwrap();
    let mut producer = client.buffered_producer().max_retries(5).build().unwrap();
    producer.produce(Record::new("new").value("a")).unwrap();
    producer.deliver().await.unwrap();
    assert_eq!(values(&broker, "new", 0), ["a"]);
}

#[tokio::test(start_paused = true)]
async fn rk_043_the_leader_stops_during_a_thousand_deliveries() {
    let broker = Broker::builder().nodes(3).topic("t", 1).start_in_memory().unwrap();
    let client = client(&broker);
    let mut producer = client.buffered_producer().max_retries(10).build().unwrap();
    for number in 0..1000 {
        if number == 500 {
            broker.stop_node(broker.leader("t", 0).unwrap());
        }
        producer.produce(record(0, format!("{number}"))).unwrap();
        producer.deliver().await.unwrap();
    }
    let expected: Vec<_> = (0..1000).map(|number| number.to_string()).collect();
    assert_eq!(values(&broker, "t", 0), expected);
}

#[tokio::test(start_paused = true)]
async fn rk_044_one_record_is_readable_once_delivered() {
    let (broker, client) = one_node(1);
    let place = client.deliver(Record::new("t").key("k").value("hello")).await.unwrap();
    assert_eq!(place.offset, Some(0));
    let log = broker.records("t", 0).unwrap();
    assert_eq!((log[0].key.as_deref(), log[0].value.as_deref()), (Some(&b"k"[..]), Some(&b"hello"[..])));
}

#[tokio::test(start_paused = true)]
async fn rk_045_one_record_is_tried_again_and_gives_up_after_its_retries() {
    let (broker, client) = one_node(1);
    broker.intercept_next(ApiKey::PRODUCE, 1, |_| Intercept::Error(ErrorCode::NOT_LEADER_OR_FOLLOWER));
    client.deliver(record(0, "a")).await.unwrap();
    let requests = broker.requests();
    let at = |api: ApiKey| requests.iter().enumerate().filter(move |(_, seen)| seen.api_key == api).map(|(at, _)| at);
    let produced: Vec<_> = at(ApiKey::PRODUCE).collect();
    assert_eq!(produced.len(), 2);
    assert!(at(ApiKey::METADATA).any(|at| produced[0] < at && at < produced[1]), "metadata between the attempts");

    broker.intercept_all(ApiKey::PRODUCE, |_| Intercept::Error(ErrorCode::NOT_LEADER_OR_FOLLOWER));
    broker.clear_requests();
    let servers = broker.bootstrap().join(",");
    let pairs = [("bootstrap.servers", &*servers), ("retries", "1"), ("compression.type", "gzip"), ("acks", "0")];
    let builder = Client::from_properties(Properties::from_pairs(pairs).unwrap()).unwrap();
    let set = builder.connector(broker.connector()).build().unwrap();
    let error = set.deliver(record(0, "b".repeat(200))).await.unwrap_err();
    assert_eq!(error.code(), Some(ErrorCode::NOT_LEADER_OR_FOLLOWER), "{error:?}");
    assert_eq!((error.topic(), error.partition()), (Some("t"), Some(0)));
    let attempts: Vec<_> = sent(&broker).iter().map(|sent| (sent.acks, sent.batch.attributes() & 7)).collect();
    assert_eq!(attempts, [(-1, 1), (-1, 1)], "as the properties say, but always with all acks");

    broker.clear_requests();
    let mut producer = client.buffered_producer().max_retries(1).build().unwrap();
    producer.produce(record(0, "b")).unwrap();
    let failed = producer.deliver().await.unwrap_err();
    assert_eq!(failed_values(&failed), ["b"]);
    assert_eq!(broker.requests_of(ApiKey::PRODUCE).len(), 2);
}

#[tokio::test(start_paused = true)]
async fn rk_046_leaders_are_asked_in_parallel() {
    let broker = Broker::builder().nodes(3).topic("t", 3).start_in_memory().unwrap();
    let client = client(&broker);
    let mut producer = client.buffered_producer().max_buffer_size(2000).build().unwrap();
    // Nothing but the answers takes time.
    broker.intercept_all(ApiKey::PRODUCE, |_| Intercept::DelayResponse(millis(200)));
    for number in 0..1500 {
        producer.produce(record(number % 3, format!("{number}"))).unwrap();
    }
    let start = Instant::now();
    producer.deliver().await.unwrap();
    assert!(start.elapsed() < millis(450), "{:?}", start.elapsed());
    assert_eq!((0..3).map(|partition| values(&broker, "t", partition).len()).sum::<usize>(), 1500);
}

#[tokio::test(start_paused = true)]
async fn rk_089_a_coordinator_that_loads_is_waited_for() {
    let (broker, client) = one_node(1);
    broker.intercept_next(ApiKey::INIT_PRODUCER_ID, 2, |request| {
        let error_code = ErrorCode::COORDINATOR_LOAD_IN_PROGRESS;
        Intercept::respond(request, &InitProducerIdResponse { error_code, ..Default::default() })
    });
    let mut producer = buffered(&client);
    producer.produce(record(0, "a")).unwrap();
    producer.deliver().await.unwrap();
    assert_eq!(broker.decoded::<InitProducerIdRequest>().len(), 3);
    assert_eq!(values(&broker, "t", 0), ["a"]);
}

#[tokio::test(start_paused = true)]
async fn rk_066_the_partition_is_chosen_anew_at_each_deliver() {
    let (broker, client) = one_node(4);
    let mut producer = client.buffered_producer().seed(3).build().unwrap();
    for _ in 0..40 {
        producer.produce(Record::new("t").value("a")).unwrap();
        producer.produce(Record::new("t").value("b")).unwrap();
        producer.deliver().await.unwrap();
    }
    let counts: Vec<_> = (0..4).map(|partition| values(&broker, "t", partition).len()).collect();
    assert!(counts.iter().all(|count| *count > 0 && count % 2 == 0), "{counts:?}");
}

#[tokio::test(start_paused = true)]
async fn a_dropped_deliver_goes_on_and_the_next_takes_up_its_results() {
    let (broker, client) = one_node(1);
    broker.intercept_next(ApiKey::PRODUCE, 1, |_| Intercept::DelayResponse(millis(500)));
    let mut producer = buffered(&client);
    producer.produce(record(0, "a")).unwrap();
    assert!(tokio::time::timeout(millis(100), producer.deliver()).await.is_err());
    producer.produce(record(0, "b")).unwrap();
    producer.deliver().await.unwrap();
    assert_eq!(values(&broker, "t", 0), ["a", "b"]);
    assert_eq!(broker.decoded::<ProduceRequest>().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn rk_190_a_partition_without_leader_and_a_topic_with_an_error_are_named_by_their_codes() {
    let (broker, client) = one_node(2);
    broker.remove_leader("t", 0);
    let mut producer = client.buffered_producer().max_retries(1).build().unwrap();
    producer.produce(record(0, "x")).unwrap();
    producer.produce(record(1, "a")).unwrap();
    let failed = producer.deliver().await.unwrap_err();
    let error = &failed.failed[0].error;
    assert_eq!((failed_values(&failed), error.code()), (vec!["x".to_owned()], Some(ErrorCode::LEADER_NOT_AVAILABLE)));
    assert!(error.is_retriable() && !error.is_possibly_written(), "{error:?}");
    assert_eq!((error.topic(), error.partition()), (Some("t"), Some(0)));
    producer.clear_buffer();
    // What waits in the background until its time is over says what it waited for.
    let error = client.deliver(record(0, "y")).await.unwrap_err();
    assert_eq!((error.kind(), error.code()), (ErrorKind::Timeout, Some(ErrorCode::LEADER_NOT_AVAILABLE)), "{error:?}");
    assert!(error.to_string().contains("the partition has no leader now"), "{error}");

    broker.intercept_all(ApiKey::METADATA, |_| {
        Intercept::edit::<MetadataRequest>(|answer| {
            for topic in answer.topics.iter_mut().filter(|topic| topic.name.as_ref().is_some_and(|name| name.0 == "u")) {
                topic.error_code = ErrorCode::INVALID_TOPIC_EXCEPTION;
            }
        })
    });
    producer.produce(Record::new("u").value("x")).unwrap();
    let failed = producer.deliver().await.unwrap_err();
    assert_eq!((failed.attempts, codes(&failed)), (1, vec![Some(ErrorCode::INVALID_TOPIC_EXCEPTION)]));
}

#[tokio::test(start_paused = true)]
async fn a_partition_out_of_range_fails_alone() {
    let (broker, client) = one_node(2);
    let mut producer = buffered(&client);
    producer.produce(record(2, "x")).unwrap();
    producer.produce(record(1, "a")).unwrap();
    let failed = producer.deliver().await.unwrap_err();
    assert_eq!(failed_values(&failed), ["x"]);
    let error = &failed.failed[0].error;
    assert_eq!((error.kind(), error.topic(), error.partition()), (ErrorKind::InvalidRequest, Some("t"), Some(2)));
    assert_eq!((error.code(), error.is_retriable()), (Some(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION), false));
    assert!(error.to_string().contains("it has 2"), "{error}");
    assert_eq!(values(&broker, "t", 1), ["a"]);
}
