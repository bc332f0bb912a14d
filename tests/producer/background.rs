//! The background producer: results, partitions, batching, limits, closing.

use std::collections::BTreeSet;
use std::time::Duration;

use klamm::producer::Acks;
use klamm::protocol::records::Compression;
use klamm::protocol::{ApiKey, ErrorCode};
use klamm::{Client, ErrorKind, Record};
use klamm_broker::{Broker, Intercept, Reachability};
use tokio::time::Instant;

use crate::harness::{Refusing, client, millis, one_node, record, sent, values};

#[tokio::test(start_paused = true)]
async fn a_record_is_acknowledged_with_its_place() {
    let (broker, client) = one_node(3);
    let producer = client.producer().build().unwrap();
    let first = producer.send(record(1, "a").timestamp(77)).await.unwrap();
    assert_eq!((first.topic.as_str(), first.partition, first.offset, first.timestamp), ("t", 1, Some(0), 77));
    let second = producer.send(record(1, "b")).await.unwrap();
    assert_eq!(second.offset, Some(1));
    assert_eq!(values(&broker, "t", 1), ["a", "b"]);
    producer.close(Duration::from_secs(60)).await.unwrap();
    let error = producer.send(record(1, "c")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Closed);
}

#[tokio::test(start_paused = true)]
async fn the_brokers_time_is_reported_for_topics_that_want_it() {
    let (broker, client) = one_node(1);
    broker.set_topic_config("t", "message.timestamp.type", Some("LogAppendTime"));
    let place = client.deliver(record(0, "a").timestamp(77)).await.unwrap();
    assert_eq!(place.timestamp, broker.records("t", 0).unwrap()[0].timestamp);
    assert_ne!(place.timestamp, 77);
}

#[tokio::test(start_paused = true)]
async fn records_within_the_linger_share_a_batch_and_a_full_one_goes_at_once() {
    let (broker, client) = one_node(1);
    let producer = client.producer().linger(millis(100)).batch_size(1000).build().unwrap();
    producer.send(record(0, "first")).await.unwrap();
    broker.clear_requests();
    let start = Instant::now();
    let delivery = producer.enqueue(record(0, "a")).await.unwrap();
    drop(producer.enqueue(record(0, "b")).await.unwrap());
    delivery.await.unwrap();
    assert_eq!(start.elapsed(), millis(100));
    assert_eq!(sent(&broker)[0].batch.record_count(), 2);

    let start = Instant::now();
    let delivery = producer.enqueue(record(0, vec![b'x'; 600])).await.unwrap();
    drop(producer.enqueue(record(0, vec![b'y'; 600])).await.unwrap());
    delivery.await.unwrap();
    assert!(start.elapsed() < millis(10), "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn flush_does_not_wait_for_the_linger() {
    let (broker, client) = one_node(2);
    let producer = client.producer().linger(Duration::from_secs(30)).build().unwrap();
    for number in 0..10 {
        drop(producer.enqueue(record(number % 2, format!("{number}"))).await.unwrap());
    }
    let start = Instant::now();
    producer.flush().await.unwrap();
    assert!(start.elapsed() < Duration::from_secs(1), "{:?}", start.elapsed());
    assert_eq!(values(&broker, "t", 0), ["0", "2", "4", "6", "8"]);
}

#[tokio::test(start_paused = true)]
async fn records_of_one_turn_share_a_request_across_partitions() {
    let (broker, client) = one_node(6);
    let producer = client.producer().build().unwrap();
    for partition in 0..6 {
        producer.send(record(partition, "first")).await.unwrap();
    }
    broker.clear_requests();
    for number in 0..600 {
        drop(producer.enqueue(record(number % 6, format!("{number}"))).await.unwrap());
    }
    producer.flush().await.unwrap();
    assert_eq!(broker.requests_of(ApiKey::PRODUCE).len(), 1);
    assert_eq!(sent(&broker).len(), 6);
}

#[tokio::test(start_paused = true)]
async fn rk_064_065_a_partition_key_beats_the_key_and_a_partition_beats_both() {
    let (broker, client) = one_node(10);
    let producer = client.producer().build().unwrap();
    // From the table of murmur2 values: yolo is 5, hey is 7 of 10.
    let place = producer.send(Record::new("t").key("hey").value("v")).await.unwrap();
    assert_eq!(place.partition, 7);
    let place = producer.send(Record::new("t").key("hey").partition_key("yolo").value("v")).await.unwrap();
    assert_eq!(place.partition, 5);
    assert_eq!(broker.records("t", 5).unwrap()[0].key.as_deref(), Some(&b"hey"[..]), "the key is kept");
    let place = producer.send(Record::new("t").key("hey").partition_key("yolo").partition(2).value("v")).await.unwrap();
    assert_eq!(place.partition, 2);
}

#[tokio::test(start_paused = true)]
async fn rk_066_full_batches_without_keys_spread_over_the_partitions() {
    let broker = Broker::builder().topic("t", 3).validate_records(false).request_log_bytes(0).start_in_memory().unwrap();
    let client = client(&broker);
    let producer = client.producer().batch_size(64 * 1024).linger(Duration::from_secs(1)).seed(11).build().unwrap();
    let value = bytes::Bytes::from(vec![0; 16_000]);
    // Four records fill a batch.
    for _ in 0..3000 * 4 {
        drop(producer.enqueue(Record::new("t").value(value.clone())).await.unwrap());
    }
    producer.flush().await.unwrap();
    let batches: Vec<_> = (0..3).map(|partition| broker.log("t", partition).len()).collect();
    assert!((2950..=3050).contains(&batches.iter().sum::<usize>()), "{batches:?}");
    assert!(batches.iter().all(|count| (850..=1150).contains(count)), "{batches:?}");
}

#[tokio::test(start_paused = true)]
async fn records_without_keys_avoid_a_partition_without_leader() {
    let (broker, client) = one_node(2);
    broker.remove_leader("t", 0);
    let producer = client.producer().batch_size(70_000).linger(millis(1)).build().unwrap();
    producer.send(record(1, "known")).await.unwrap();
    // The first choice may have fallen on the partition without leader; every later one does not.
    for _ in 0..20 {
        drop(producer.enqueue(Record::new("t").value(vec![b'x'; 60_000])).await.unwrap());
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(values(&broker, "t", 1).len() >= 19);
}

#[tokio::test(start_paused = true)]
async fn new_partitions_are_found_and_used() {
    let (broker, client) = one_node(1);
    let producer = client.producer().build().unwrap();
    producer.send(record(0, "a")).await.unwrap();
    let error = producer.send(record(1, "b")).await.unwrap_err();
    assert_eq!((error.kind(), error.partition()), (ErrorKind::InvalidRequest, Some(1)));
    assert!(error.to_string().contains("it has 1"), "{error}");
    broker.add_partitions("t", 2);
    drop(producer.enqueue(record(1, "b")).await);
    tokio::time::sleep(Duration::from_secs(1)).await;
    producer.send(record(1, "b")).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn rk_076_081_codec_bits_times_and_deltas_stand_in_the_batch() {
    for (compression, id) in
        [(Compression::None, 0), (Compression::Gzip, 1), (Compression::Snappy, 2), (Compression::Lz4, 3), (Compression::Zstd, 4)]
    {
        let (broker, client) = one_node(1);
        let producer = client.producer().compression(compression).build().unwrap();
        let time = 1_700_000_000_000;
        for offset in [5, 0, 9] {
            drop(producer.enqueue(record(0, "x".repeat(3000)).timestamp(time + offset)).await.unwrap());
        }
        producer.flush().await.unwrap();
        let batch = &sent(&broker)[0].batch;
        assert_eq!(batch.attributes() & 7, id);
        assert_eq!((batch.base_timestamp(), batch.max_timestamp()), (time, time + 9));
        let records = batch.records(Default::default()).unwrap();
        let times: Vec<_> = records.iter().map(|record| record.unwrap()).map(|it| (it.offset, it.timestamp - time)).collect();
        assert_eq!(times, [(0, 5), (1, 0), (2, 9)]);
    }
}

#[tokio::test(start_paused = true)]
async fn large_compressed_batches_keep_their_order_also_on_the_pool() {
    let (broker, client) = one_node(1);
    for inline in [false, true] {
        let builder = client.producer().compression(Compression::Zstd).linger(Duration::ZERO).batch_size(50_000);
        let producer = if inline { builder.compress_inline() } else { builder }.build().unwrap();
        for number in 0..3000 {
            drop(producer.enqueue(record(0, format!("{number:0100}"))).await.unwrap());
        }
        producer.close(Duration::from_secs(60)).await.unwrap();
        let log: Vec<usize> = values(&broker, "t", 0).iter().map(|value| value.parse().unwrap()).collect();
        assert_eq!(log[log.len() - 3000..], (0..3000).collect::<Vec<_>>());
    }
}

#[tokio::test(start_paused = true)]
async fn rk_078_zstd_goes_out_in_version_7_or_later_or_not_at_all() {
    let (broker, client) = one_node(1);
    client.producer().compression(Compression::Zstd).build().unwrap().send(record(0, "a")).await.unwrap();
    assert!(sent(&broker)[0].request.version >= 7);

    broker.set_versions(ApiKey::PRODUCE, Some(3..=6));
    broker.close_connections(1);
    let producer = client.producer().compression(Compression::Zstd).build().unwrap();
    let start = Instant::now();
    for value in ["a", "b"] {
        let error = producer.send(record(0, value)).await.unwrap_err();
        assert_eq!((error.kind(), error.topic(), error.partition()), (ErrorKind::UnsupportedVersion, Some("t"), Some(0)));
        let told = error.to_string();
        assert!(["zstd", "Kafka 2.1", "Produce", "3 to 6", "7 to"].iter().all(|part| told.contains(part)), "{told}");
        assert!(!error.is_possibly_written() && !error.is_retriable());
    }
    assert!(start.elapsed() < Duration::from_secs(1), "at once: no broker learns it by being asked again");
    assert_eq!(sent(&broker).len(), 1, "nothing went out");
}

#[test]
fn rk_077_an_unknown_codec_is_an_error_that_names_it() {
    let error = "brotli".parse::<Compression>().unwrap_err();
    assert!(error.to_string().contains("brotli"), "{error}");
}

/// Regression row 58: brokers that know Produce by topic id, but whose metadata tells none.
#[tokio::test(start_paused = true)]
async fn brokers_that_tell_no_topic_ids_are_sent_names() {
    for (metadata, expected) in [(0..=9, 12), (0..=13, 13)] {
        let broker = Broker::builder().topic("t", 1).versions(ApiKey::METADATA, metadata).start_in_memory().unwrap();
        let producer = client(&broker).producer().build().unwrap();
        producer.send(record(0, "a")).await.unwrap();
        assert_eq!(broker.requests_of(ApiKey::PRODUCE).iter().map(|seen| seen.version).collect::<Vec<_>>(), [expected]);
        assert_eq!(values(&broker, "t", 0), ["a"]);
    }
}

#[tokio::test(start_paused = true)]
async fn an_unknown_topic_is_named_when_max_block_is_over() {
    let (_broker, client) = one_node(1);
    let producer = client.producer().max_block(Duration::from_secs(7)).build().unwrap();
    let start = Instant::now();
    let error = producer.send(Record::new("nope").value("x")).await.unwrap_err();
    assert_eq!((error.kind(), error.topic()), (ErrorKind::UnknownTopic, Some("nope")));
    assert!(start.elapsed() >= Duration::from_secs(7) && start.elapsed() < Duration::from_secs(8), "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn what_can_never_be_sent_is_refused_at_once() {
    let (broker, client) = one_node(1);
    let producer = client.producer().build().unwrap();
    let large = producer.send(record(0, vec![0; 2_000_000])).await;
    drop(large); // Its topic was not known before; now it is.
    let start = Instant::now();
    let error = producer.send(record(0, vec![0; 2_000_000])).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::MessageTooLarge);
    assert!(error.to_string().contains("max.request.size is 1048576"), "{error}");
    for name in ["", "..", "a b", "ä"] {
        let error = producer.send(Record::new(name).value("x")).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidRequest, "{name:?}");
    }
    let error = producer.send(record(-1, "x")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidRequest);
    let error = producer.send(record(0, "x").timestamp(-5)).await.unwrap_err();
    assert!(error.to_string().contains("-5"), "{error}");
    assert_eq!(start.elapsed(), Duration::ZERO);
    assert!(broker.requests_of(ApiKey::PRODUCE).is_empty());
    let rejected = producer.try_enqueue(record(7, "back")).unwrap_err();
    assert_eq!(rejected.into_inner(), record(7, "back"));
}

#[tokio::test(start_paused = true)]
async fn a_full_buffer_gives_the_record_back_or_waits_its_turn() {
    let (broker, client) = one_node(1);
    let builder = client.producer().buffer_memory(100_000).max_request_size(50_000).batch_size(20_000).linger(Duration::ZERO);
    let producer = builder.max_block(Duration::from_secs(5)).build().unwrap();
    producer.send(record(0, "known")).await.unwrap();
    let held = broker.intercept_all(ApiKey::PRODUCE, |_| Intercept::Hold);
    let mut taken = 0;
    let rejected = loop {
        match producer.try_enqueue(record(0, vec![b'x'; 10_000])) {
            Ok(_) => taken += 1,
            Err(rejected) => break rejected,
        }
    };
    assert_eq!(rejected.error().kind(), ErrorKind::BufferFull);
    assert!(rejected.to_string().contains("buffer.memory (100000)"), "{rejected}");
    assert_eq!(rejected.into_inner().value.unwrap().len(), 10_000);
    assert!((4..=10).contains(&taken), "{taken}");
    assert!(producer.buffered_bytes() <= 100_000);

    let start = Instant::now();
    let error = producer.enqueue(record(0, vec![b'y'; 10_000])).await.unwrap_err();
    assert_eq!((error.kind(), start.elapsed()), (ErrorKind::BufferFull, Duration::from_secs(5)));

    let waiting = tokio::spawn({
        let producer = producer.clone();
        async move { producer.send(record(0, vec![b'z'; 10_000])).await }
    });
    tokio::time::sleep(millis(10)).await;
    broker.remove_intercept(held);
    broker.release();
    waiting.await.unwrap().unwrap();
    producer.flush().await.unwrap();
    assert_eq!(producer.buffered_bytes(), 0);
    assert_eq!(values(&broker, "t", 0).len(), 1 + taken + 1);
}

/// Regression row 21: waiters that are cancelled, in all orders, leave the buffer whole.
#[tokio::test(start_paused = true)]
async fn cancelled_waiters_leave_the_buffer_whole() {
    for cancelled in 0..8u8 {
        let (broker, client) = one_node(1);
        let builder = client.producer().buffer_memory(30_000).max_request_size(30_000).batch_size(30_000).linger(Duration::ZERO);
        let producer = builder.build().unwrap();
        producer.send(record(0, "known")).await.unwrap();
        let held = broker.intercept_all(ApiKey::PRODUCE, |_| Intercept::Hold);
        while producer.try_enqueue(record(0, vec![b'x'; 5_000])).is_ok() {}
        let waiting: Vec<_> = (0..3)
            .map(|_| {
                let producer = producer.clone();
                tokio::spawn(async move { producer.send(record(0, vec![b'w'; 5_000])).await })
            })
            .collect();
        tokio::time::sleep(millis(1)).await;
        for (number, task) in waiting.iter().enumerate() {
            if cancelled & (1 << number) != 0 {
                task.abort();
            }
        }
        broker.remove_intercept(held);
        broker.release();
        for task in waiting {
            if let Ok(result) = task.await {
                result.unwrap();
            }
        }
        producer.close(Duration::from_secs(60)).await.unwrap();
        assert_eq!(producer.buffered_bytes(), 0);
        let waited = values(&broker, "t", 0).iter().filter(|value| value.starts_with('w')).count();
        assert_eq!(waited, 3 - cancelled.count_ones() as usize);
    }
}

#[tokio::test(start_paused = true)]
async fn a_broker_that_stops_answering_ends_in_a_time_out_with_its_cause() {
    let (broker, client) = one_node(1);
    let builder = client.producer().request_timeout(Duration::from_secs(2)).delivery_timeout(Duration::from_secs(5));
    let producer = builder.build().unwrap();
    producer.send(record(0, "known")).await.unwrap();
    broker.intercept_all(ApiKey::PRODUCE, |_| Intercept::Swallow);
    let start = Instant::now();
    let error = producer.send(record(0, "x")).await.unwrap_err();
    assert_eq!(start.elapsed(), Duration::from_secs(5));
    assert_eq!((error.kind(), error.topic(), error.partition()), (ErrorKind::Timeout, Some("t"), Some(0)));
    assert!(error.is_possibly_written() && error.attempts().unwrap() >= 2, "{error}");
    assert!(std::error::Error::source(&error).is_some(), "{error:?}");
}

#[tokio::test(start_paused = true)]
async fn no_broker_at_the_address_is_an_error_within_max_block() {
    let client = Client::builder("nowhere:9092").connector(Refusing::default()).build().unwrap();
    let producer = client.producer().max_block(Duration::from_secs(10)).build().unwrap();
    let start = Instant::now();
    let error = producer.send(record(0, "x")).await.unwrap_err();
    assert!(start.elapsed() <= Duration::from_secs(11), "{:?}", start.elapsed());
    assert!(format!("{error:?}").contains("nowhere:9092"), "{error:?}");
}

/// Regression row 24: with every connection reset, the time to the error is the delivery time-out, not a product of retries.
#[tokio::test(start_paused = true)]
async fn a_leader_that_refuses_connections_fails_at_the_delivery_time_out() {
    let broker = Broker::builder().nodes(2).topic("t", 2).start_in_memory().unwrap();
    let client = client(&broker);
    let builder = client.producer().request_timeout(Duration::from_secs(5)).delivery_timeout(Duration::from_secs(20));
    let producer = builder.build().unwrap();
    producer.send(record(1, "known")).await.unwrap();
    let leader = broker.leader("t", 0).unwrap();
    broker.set_reachability(leader, Reachability::Refusing);
    let start = Instant::now();
    let error = producer.send(record(0, "x")).await.unwrap_err();
    assert_eq!(start.elapsed(), Duration::from_secs(20));
    assert!(!error.is_possibly_written());
    assert!(format!("{error:?}").contains("refuses connections"), "{error:?}");
    producer.send(record(1, "other leaders are not concerned")).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_refused_batch_names_the_records_that_the_broker_named() {
    let (broker, client) = one_node(1);
    broker.intercept_next(ApiKey::PRODUCE, 1, |_| {
        Intercept::edit::<klamm::protocol::messages::produce::ProduceRequest>(|response| {
            let partition = &mut response.responses[0].partition_responses[0];
            partition.error_code = ErrorCode::INVALID_RECORD;
            let named = klamm::protocol::messages::produce::BatchIndexAndErrorMessage {
                batch_index: 1,
                batch_index_error_message: Some("no key".try_into().unwrap()),
            };
            partition.record_errors = vec![named];
        })
    });
    let producer = client.producer().build().unwrap();
    let mut deliveries = Vec::new();
    for number in 0..3 {
        deliveries.push(producer.enqueue(record(0, format!("{number}"))).await.unwrap());
    }
    for (number, delivery) in deliveries.into_iter().enumerate() {
        let error = delivery.await.unwrap_err();
        assert_eq!(error.code(), Some(ErrorCode::INVALID_RECORD));
        assert_eq!(error.to_string().contains("no key"), number == 1, "{error}");
    }
}

#[tokio::test(start_paused = true)]
async fn without_acks_a_record_is_delivered_once_it_is_written() {
    let (broker, client) = one_node(1);
    let producer = client.producer().acks(Acks::None).build().unwrap();
    let place = producer.send(record(0, "a")).await.unwrap();
    assert_eq!((place.partition, place.offset), (0, None));
    producer.close(Duration::from_secs(60)).await.unwrap();
    tokio::time::sleep(millis(100)).await;
    assert_eq!(values(&broker, "t", 0), ["a"]);
}

#[tokio::test(start_paused = true)]
async fn retries_end_where_they_are_told_to() {
    let (broker, client) = one_node(1);
    broker.intercept_all(ApiKey::PRODUCE, |_| Intercept::Error(ErrorCode::NOT_ENOUGH_REPLICAS));
    let producer = client.producer().retries(2).build().unwrap();
    let error = producer.send(record(0, "a")).await.unwrap_err();
    assert_eq!((error.code(), error.attempts()), (Some(ErrorCode::NOT_ENOUGH_REPLICAS), Some(3)));
    assert_eq!(broker.requests_of(ApiKey::PRODUCE).len(), 3);
}

#[tokio::test(start_paused = true)]
async fn close_sends_what_lingers_and_gives_up_in_time() {
    let (broker, client) = one_node(1);
    let producer = client.producer().linger(Duration::from_secs(30)).build().unwrap();
    let delivery = producer.enqueue(record(0, "a")).await.unwrap();
    producer.close(Duration::from_secs(60)).await.unwrap();
    assert_eq!(delivery.try_result().unwrap().unwrap().offset, Some(0));

    broker.intercept_all(ApiKey::PRODUCE, |_| Intercept::Swallow);
    let producer = client.producer().build().unwrap();
    let delivery = producer.enqueue(record(0, "b")).await.unwrap();
    let start = Instant::now();
    let error = producer.close(Duration::from_secs(3)).await.unwrap_err();
    assert_eq!((error.kind(), start.elapsed()), (ErrorKind::Closed, Duration::from_secs(3)));
    assert!(delivery.await.unwrap_err().is_possibly_written());
}

#[tokio::test(start_paused = true)]
async fn a_dropped_producer_still_sends_and_then_leaves() {
    let (broker, client) = one_node(1);
    let producer = client.producer().linger(Duration::from_secs(30)).build().unwrap();
    let delivery = producer.enqueue(record(0, "a")).await.unwrap();
    drop(producer);
    delivery.await.unwrap();
    assert_eq!(values(&broker, "t", 0), ["a"]);
    client.close().await;
    drop(client);
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(broker.connections(1), 0);
}

/// Regression row 23: every accepted record gets a result, also if the runtime goes away.
#[test]
fn records_get_their_result_when_the_runtime_goes_away() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    let (delivery, producer, _broker) = runtime.block_on(async {
        let (broker, client) = one_node(1);
        broker.intercept_all(ApiKey::PRODUCE, |_| Intercept::Hold);
        let producer = client.producer().build().unwrap();
        let delivery = producer.enqueue(record(0, "a")).await.unwrap();
        tokio::time::sleep(Duration::from_secs(1)).await;
        (delivery, producer, broker)
    });
    drop(runtime);
    assert_eq!(delivery.try_result().unwrap().unwrap_err().kind(), ErrorKind::Closed);
    assert_eq!(producer.try_enqueue(record(0, "b")).unwrap_err().error().kind(), ErrorKind::Closed);
}

#[test]
fn without_a_runtime_building_is_an_error() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (_broker, client) = runtime.block_on(async { one_node(1) });
    let error = client.producer().build().unwrap_err();
    assert!(error.to_string().contains("runtime"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn tasks_that_share_a_producer_each_keep_their_order() {
    let (broker, client) = one_node(2);
    let producer = client.producer().linger(Duration::ZERO).build().unwrap();
    let tasks: Vec<_> = (0..8)
        .map(|task| {
            let producer = producer.clone();
            tokio::spawn(async move {
                for number in 0..200 {
                    drop(producer.enqueue(record(task % 2, format!("{task} {number}"))).await.unwrap());
                    if number % 7 == 0 {
                        tokio::task::yield_now().await;
                    }
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    producer.close(Duration::from_secs(60)).await.unwrap();
    for task in 0..8 {
        let prefix = format!("{task} ");
        let log = values(&broker, "t", task % 2);
        let own: Vec<_> =
            log.iter().filter_map(|value| value.strip_prefix(&prefix)).map(|it| it.parse::<i32>().unwrap()).collect();
        assert_eq!(own, (0..200).collect::<Vec<_>>(), "task {task}");
    }
    let stamps: BTreeSet<_> = sent(&broker).iter().map(|sent| (sent.batch.producer_id(), sent.batch.producer_epoch())).collect();
    assert_eq!(stamps.len(), 1, "{stamps:?}");
    assert!(stamps.iter().all(|(id, _)| *id >= 0), "no batch without a producer id");
}

#[tokio::test(start_paused = true)]
async fn an_idle_producer_does_nothing() {
    let (broker, client) = one_node(1);
    let producer = client.producer().build().unwrap();
    producer.send(record(0, "a")).await.unwrap();
    let before = broker.requests().len();
    // Spinning tasks would keep the paused clock from moving at all.
    tokio::time::sleep(Duration::from_secs(200)).await;
    assert_eq!(broker.requests().len(), before);
    assert_eq!(producer.buffered_bytes(), 0);
}
