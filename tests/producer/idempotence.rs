//! Sequence numbers as brokers see them, and what becomes of batches whose answer is lost or bad.

use std::collections::BTreeMap;
use std::time::Duration;

use klamm::ErrorKind;
use klamm::protocol::messages::init_producer_id::InitProducerIdRequest;
use klamm::protocol::messages::produce::ProduceRequest;
use klamm::protocol::{ApiKey, ErrorCode};
use klamm_broker::{Broker, Intercept};

use crate::harness::{SentBatch, client, millis, one_node, record, sent, values};

fn stamp(sent: &SentBatch) -> (i64, i16, i32) {
    (sent.batch.producer_id(), sent.batch.producer_epoch(), sent.batch.base_sequence())
}

/// Each stamp carried one content, in all requests of `broker`.
fn assert_no_range_reused(broker: &Broker) {
    let mut contents = BTreeMap::new();
    for sent in sent(broker) {
        let content = contents.entry((sent.topic.clone(), sent.partition, stamp(&sent))).or_insert(sent.batch.bytes().clone());
        assert_eq!(content, sent.batch.bytes(), "{:?} carried two contents", stamp(&sent));
    }
}

#[tokio::test(start_paused = true)]
async fn rk_083_one_producer_id_and_sequences_that_count_records() {
    let (broker, client) = one_node(1);
    let producer = client.producer().build().unwrap();
    let first: Vec<_> = [0, 1, 2].map(|number| producer.try_enqueue(record(0, format!("{number}")))).into_iter().collect();
    assert!(first[0].is_err(), "nothing is known of the topic yet");
    for number in 0..3 {
        drop(producer.enqueue(record(0, format!("{number}"))).await.unwrap());
    }
    producer.flush().await.unwrap();
    producer.send(record(0, "3")).await.unwrap();
    assert_eq!(broker.decoded::<InitProducerIdRequest>().len(), 1);
    let sent = sent(&broker);
    let (producer_id, ..) = stamp(&sent[0]);
    assert!(producer_id >= 0);
    assert_eq!(sent.iter().map(stamp).collect::<Vec<_>>(), [(producer_id, 0, 0), (producer_id, 0, 3)]);
}

#[tokio::test(start_paused = true)]
async fn rk_084_partitions_count_on_their_own() {
    let (broker, client) = one_node(2);
    let producer = client.producer().build().unwrap();
    for number in 0..4 {
        producer.send(record(number % 2, "x")).await.unwrap();
    }
    let stamps = |partition| sent(&broker).iter().filter(|sent| sent.partition == partition).map(|sent| stamp(sent).2).collect();
    let (first, second): (Vec<_>, Vec<_>) = (stamps(0), stamps(1));
    assert_eq!((first, second), (vec![0, 1], vec![0, 1]));
}

#[tokio::test(start_paused = true)]
async fn rk_085_idempotence_without_all_acks_is_an_error_when_built() {
    let (_broker, client) = one_node(1);
    for acks in [klamm::producer::Acks::Leader, klamm::producer::Acks::None] {
        let error = client.producer().acks(acks).idempotent(true).build().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidConfig);
        let error = client.buffered_producer().acks(acks).idempotent(true).build().unwrap_err();
        assert!(error.to_string().contains("enable.idempotence") && error.to_string().contains("acks"), "{error}");
    }
}

#[tokio::test(start_paused = true)]
async fn rk_086_an_answer_lost_after_the_write_leaves_each_record_once() {
    let (broker, client) = one_node(1);
    let producer = client.producer().build().unwrap();
    for number in 0..50 {
        if number % 5 == 0 {
            broker.intercept_next(ApiKey::PRODUCE, 1, |_| Intercept::ProcessThenClose);
        }
        producer.send(record(0, format!("{number}"))).await.unwrap();
    }
    assert_eq!(values(&broker, "t", 0), (0..50).map(|number| number.to_string()).collect::<Vec<_>>());
    assert_no_range_reused(&broker);
}

#[tokio::test(start_paused = true)]
async fn rk_087_a_retried_batch_is_the_same_bytes() {
    for verdict in [
        || Intercept::CloseBefore,
        || Intercept::ProcessThenClose,
        || Intercept::CutResponse(9),
        || Intercept::Error(ErrorCode::NOT_LEADER_OR_FOLLOWER),
        || Intercept::Error(ErrorCode::NOT_ENOUGH_REPLICAS_AFTER_APPEND),
        || Intercept::Error(ErrorCode::CORRUPT_MESSAGE),
        || Intercept::Error(ErrorCode::KAFKA_STORAGE_ERROR),
    ] {
        let (broker, client) = one_node(1);
        broker.intercept_next(ApiKey::PRODUCE, 1, move |_| verdict());
        let producer = client.producer().build().unwrap();
        producer.send(record(0, "a").key("k")).await.unwrap();
        let sent = sent(&broker);
        assert_eq!(sent.len(), 2);
        assert_eq!(sent[0].batch.bytes(), sent[1].batch.bytes());
        assert_eq!(values(&broker, "t", 0), ["a"]);
    }
}

#[tokio::test(start_paused = true)]
async fn rk_088_every_record_is_there_once_though_a_broker_dies() {
    let broker = Broker::builder().nodes(3).topic("t", 100).start_in_memory().unwrap();
    let client = client(&broker);
    let producer = client.producer().linger(Duration::ZERO).build().unwrap();
    for round in 0..2 {
        for partition in 0..100 {
            drop(producer.enqueue(record(partition, format!("{round}"))).await.unwrap());
            if (round, partition) == (0, 50) {
                broker.stop_node(2);
            }
        }
    }
    producer.flush().await.unwrap();
    for partition in 0..100 {
        assert_eq!(values(&broker, "t", partition), ["0", "1"], "partition {partition}");
    }
    assert_no_range_reused(&broker);
}

/// Regression row 17: what passes is asked for again; what does not fails the records that wait, and not the producer.
#[tokio::test(start_paused = true)]
async fn a_producer_id_that_cannot_be_had_now_is_asked_for_again() {
    for verdict in [
        || Intercept::Error(ErrorCode::COORDINATOR_LOAD_IN_PROGRESS),
        || Intercept::Error(ErrorCode::COORDINATOR_NOT_AVAILABLE),
        || Intercept::Error(ErrorCode::NOT_COORDINATOR),
        || Intercept::Error(ErrorCode::CONCURRENT_TRANSACTIONS),
        || Intercept::Error(ErrorCode::REQUEST_TIMED_OUT),
        || Intercept::CloseBefore,
        || Intercept::ProcessThenClose,
        || Intercept::CutResponse(9),
    ] {
        let (broker, client) = one_node(1);
        broker.intercept_next(ApiKey::INIT_PRODUCER_ID, 2, move |_| verdict());
        let producer = client.producer().build().unwrap();
        producer.send(record(0, "a")).await.unwrap_or_else(|error| panic!("{:?}: {error}", verdict()));
        assert_eq!(broker.decoded::<InitProducerIdRequest>().len(), 3, "{:?}", verdict());
        assert_eq!(values(&broker, "t", 0), ["a"]);
    }
    for code in [ErrorCode::CLUSTER_AUTHORIZATION_FAILED, ErrorCode::TRANSACTIONAL_ID_AUTHORIZATION_FAILED] {
        let (broker, client) = one_node(1);
        broker.intercept_next(ApiKey::INIT_PRODUCER_ID, 1, move |_| Intercept::Error(code));
        let producer = client.producer().build().unwrap();
        let error = producer.send(record(0, "refused")).await.unwrap_err();
        assert_eq!((error.code(), error.is_possibly_written()), (Some(code), false));
        assert_eq!(broker.decoded::<InitProducerIdRequest>().len(), 1);
        // Once it is allowed, the next record finds out.
        producer.send(record(0, "a")).await.unwrap();
        assert_eq!(values(&broker, "t", 0), ["a"]);
    }
}

#[tokio::test(start_paused = true)]
async fn rk_090_a_duplicate_sequence_counts_as_delivered() {
    let (broker, client) = one_node(1);
    broker.intercept_next(ApiKey::PRODUCE, 1, |_| Intercept::Error(ErrorCode::DUPLICATE_SEQUENCE_NUMBER));
    let producer = client.producer().build().unwrap();
    let place = producer.send(record(0, "a")).await.unwrap();
    assert_eq!(place.offset, None, "the broker did not say");
}

#[tokio::test(start_paused = true)]
async fn five_requests_of_one_partition_are_outstanding_and_resent_byte_identical() {
    let (broker, client) = one_node(1);
    let producer = client.producer().linger(Duration::ZERO).build().unwrap();
    producer.send(record(0, "first")).await.unwrap();
    broker.clear_requests();
    let held = broker.intercept_all(ApiKey::PRODUCE, |_| Intercept::Hold);
    for number in 0..10 {
        drop(producer.enqueue(record(0, format!("{number}"))).await.unwrap());
        tokio::time::sleep(millis(1)).await;
    }
    let outstanding = broker.wait_for(ApiKey::PRODUCE, 5).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(broker.requests_of(ApiKey::PRODUCE).len(), 5, "and no sixth");
    assert_eq!(outstanding.len(), 5);
    // The connection breaks before any was handled: all go again, as they were.
    broker.remove_intercept(held);
    broker.close_connections(1);
    producer.flush().await.unwrap();
    let sent = sent(&broker);
    for (first, again) in sent[..5].iter().zip(&sent[5..10]) {
        assert_eq!(first.batch.bytes(), again.batch.bytes());
    }
    let expected = ["first".to_owned()].into_iter().chain((0..10).map(|number| number.to_string())).collect::<Vec<_>>();
    assert_eq!(values(&broker, "t", 0), expected);
    assert_no_range_reused(&broker);
}

/// Regression row 5: five in flight, number `n` fails with each retriable code; the log's order is the sending order.
#[tokio::test(start_paused = true)]
async fn a_failure_in_the_middle_of_the_pipeline_keeps_the_order() {
    for code in [
        ErrorCode::NOT_LEADER_OR_FOLLOWER,
        ErrorCode::NOT_ENOUGH_REPLICAS,
        ErrorCode::REQUEST_TIMED_OUT,
        ErrorCode::CORRUPT_MESSAGE,
        ErrorCode::KAFKA_STORAGE_ERROR,
        ErrorCode::UNKNOWN_TOPIC_OR_PARTITION,
        ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER,
        ErrorCode::UNKNOWN_PRODUCER_ID,
        ErrorCode::INVALID_PRODUCER_EPOCH,
    ] {
        for failing in 0..5 {
            let (broker, client) = one_node(1);
            let producer = client.producer().linger(Duration::ZERO).build().unwrap();
            producer.send(record(0, "first")).await.unwrap();
            let mut number = 0;
            broker.intercept_all(ApiKey::PRODUCE, move |_| {
                number += 1;
                if number == failing + 1 { Intercept::Error(code).after(millis(10)) } else { Intercept::Delay(millis(10)) }
            });
            for number in 0..8 {
                drop(producer.enqueue(record(0, format!("{number}"))).await.unwrap());
                tokio::time::sleep(millis(1)).await;
            }
            producer.flush().await.unwrap();
            let expected = ["first".to_owned()].into_iter().chain((0..8).map(|number| number.to_string())).collect::<Vec<_>>();
            assert_eq!(values(&broker, "t", 0), expected, "{code}, number {failing}");
            assert_no_range_reused(&broker);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_possibly_written_batch_that_expires_costs_an_epoch_and_says_so() {
    let (broker, client) = one_node(1);
    let producer = client
        .producer()
        .linger(Duration::ZERO)
        .request_timeout(Duration::from_secs(5))
        .delivery_timeout(Duration::from_secs(6))
        .build()
        .unwrap();
    producer.send(record(0, "first")).await.unwrap();
    // Written each time, but nobody hears of it.
    let lost = broker.intercept_all(ApiKey::PRODUCE, |_| Intercept::ProcessThenSwallow);
    let error = producer.send(record(0, "lost")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout, "{error}");
    assert!(error.is_possibly_written(), "{error}");
    assert!(error.to_string().contains("delivery.timeout.ms"), "{error}");
    broker.remove_intercept(lost);
    producer.send(record(0, "next")).await.unwrap();
    assert_eq!(values(&broker, "t", 0), ["first", "lost", "next"]);
    let last = sent(&broker).pop().unwrap();
    assert_eq!((last.batch.producer_epoch(), last.batch.base_sequence()), (1, 0));
    assert_no_range_reused(&broker);
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_cannot_be_decoded_is_no_reason_to_send_other_bytes() {
    let (broker, client) = one_node(1);
    broker.intercept_next(ApiKey::PRODUCE, 1, |_| Intercept::Respond(bytes::Bytes::from_static(&[0xff; 7])));
    let producer = client.producer().build().unwrap();
    let (a, b) = (producer.enqueue(record(0, "a")).await.unwrap(), producer.enqueue(record(0, "b")).await.unwrap());
    a.await.unwrap();
    b.await.unwrap();
    let sent = sent(&broker);
    assert_eq!(sent.len(), 2);
    assert_eq!(sent[0].batch.bytes(), sent[1].batch.bytes());
}

#[tokio::test(start_paused = true)]
async fn a_batch_too_large_for_the_broker_is_split_and_keeps_its_order() {
    let broker = Broker::builder().topic("t", 1).message_max_bytes(5_000).start_in_memory().unwrap();
    let client = client(&broker);
    let producer = client.producer().build().unwrap();
    let mut deliveries = Vec::new();
    for number in 0..40 {
        let size = if number == 20 { 9_000 } else { 500 };
        deliveries.push(producer.enqueue(record(0, format!("{number:0size$}"))).await.unwrap());
    }
    let flushed = producer.flush().await.unwrap_err();
    assert_eq!(flushed.code(), Some(ErrorCode::MESSAGE_TOO_LARGE));
    let mut offset = 0;
    for (number, delivery) in deliveries.into_iter().enumerate() {
        let result = delivery.try_result().expect("flush waits for all parts");
        if number == 20 {
            let error = result.unwrap_err();
            assert_eq!((error.kind(), error.is_possibly_written()), (ErrorKind::MessageTooLarge, false));
        } else {
            assert_eq!(result.unwrap().offset, Some(offset));
            offset += 1;
        }
    }
    let log: Vec<usize> = values(&broker, "t", 0).iter().map(|value| value.parse().unwrap()).collect();
    assert_eq!(log, (0..40).filter(|number| *number != 20).collect::<Vec<_>>());
    assert_eq!(producer.buffered_bytes(), 0);
    assert_no_range_reused(&broker);
}

/// Regression row 6: a batch that was split has its result when its last part has, and what fails there is heard of.
#[tokio::test(start_paused = true)]
async fn flushing_waits_for_the_last_part_of_the_only_batch() {
    for last in [500, 9_000] {
        let broker = Broker::builder().topic("t", 1).message_max_bytes(3_000).start_in_memory().unwrap();
        let client = client(&broker);
        // So that who waits is heard between two answers.
        broker.intercept_all(ApiKey::PRODUCE, |_| Intercept::Delay(millis(10)));
        let producer = client.producer().build().unwrap();
        let mut deliveries = Vec::new();
        for number in 0..20 {
            let size = if number == 19 { last } else { 500 };
            deliveries.push(producer.enqueue(record(0, format!("{number:0size$}"))).await.unwrap());
        }
        let flushed = producer.flush().await;
        let results: Vec<_> = deliveries.iter().map(|delivery| delivery.try_result().map(|result| result.is_ok())).collect();
        let expected: Vec<_> = (0..20).map(|number| Some(number < 19 || last == 500)).collect();
        assert_eq!(results, expected);
        assert_eq!(flushed.err().and_then(|error| error.code()), (last > 500).then_some(ErrorCode::MESSAGE_TOO_LARGE));
        assert!(sent(&broker).len() > 5, "one batch became many");
    }
}

#[tokio::test(start_paused = true)]
async fn after_a_leader_hint_the_batch_goes_there_at_once() {
    let broker = Broker::builder().nodes(2).topic("t", 1).start_in_memory().unwrap();
    let client = client(&broker);
    let producer = client.producer().linger(Duration::ZERO).build().unwrap();
    producer.send(record(0, "a")).await.unwrap();
    let old = broker.leader("t", 0).unwrap();
    broker.move_leader("t", 0, 3 - old);
    let start = tokio::time::Instant::now();
    producer.send(record(0, "b")).await.unwrap();
    assert!(start.elapsed() < millis(50), "no pause: {:?}", start.elapsed());
    let nodes: Vec<_> = broker.requests_of(ApiKey::PRODUCE).iter().map(|seen| seen.node).collect();
    assert_eq!(nodes, [old, old, 3 - old]);
}

/// Regression row 2: a topic missing in one metadata answer keeps its sequences.
#[tokio::test(start_paused = true)]
async fn a_topic_missing_in_one_metadata_answer_keeps_its_sequences() {
    let (broker, client) = one_node(1);
    let producer = client.producer().linger(Duration::ZERO).build().unwrap();
    producer.send(record(0, "a")).await.unwrap();
    broker.intercept_next(ApiKey::METADATA, 1, |_| {
        Intercept::edit::<klamm::protocol::messages::metadata::MetadataRequest>(|response| response.topics.clear())
    });
    broker.intercept_next(ApiKey::PRODUCE, 1, |_| Intercept::Error(ErrorCode::NOT_LEADER_OR_FOLLOWER));
    producer.send(record(0, "b")).await.unwrap();
    producer.send(record(0, "c")).await.unwrap();
    assert_eq!(values(&broker, "t", 0), ["a", "b", "c"]);
    assert_no_range_reused(&broker);
}

#[tokio::test(start_paused = true)]
async fn without_idempotence_one_request_per_partition_is_outstanding() {
    let (broker, client) = one_node(1);
    let producer = client.producer().idempotent(false).linger(Duration::ZERO).build().unwrap();
    let held = broker.intercept_all(ApiKey::PRODUCE, |_| Intercept::Hold);
    for number in 0..5 {
        drop(producer.enqueue(record(0, format!("{number}"))).await.unwrap());
        tokio::time::sleep(millis(1)).await;
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(broker.decoded::<ProduceRequest>().len(), 1);
    broker.remove_intercept(held);
    broker.release();
    producer.flush().await.unwrap();
    assert_eq!(values(&broker, "t", 0), ["0", "1", "2", "3", "4"]);
    assert!(sent(&broker).iter().all(|sent| stamp(sent) == (-1, -1, -1)));
    assert!(broker.decoded::<InitProducerIdRequest>().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_broker_that_finds_every_sequence_wrong_is_not_asked_without_end() {
    for code in [ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER, ErrorCode::UNKNOWN_PRODUCER_ID, ErrorCode::INVALID_PRODUCER_EPOCH] {
        let (broker, client) = one_node(1);
        broker.intercept_all(ApiKey::PRODUCE, move |_| Intercept::Error(code));
        let builder = client.producer().request_timeout(Duration::from_secs(5)).delivery_timeout(Duration::from_secs(10));
        let error = builder.build().unwrap().send(record(0, "a")).await.unwrap_err();
        assert_eq!((error.kind(), error.code(), error.is_possibly_written()), (ErrorKind::Timeout, Some(code), false));
        assert!(broker.requests_of(ApiKey::PRODUCE).len() < 30);
        assert_no_range_reused(&broker);

        let mut producer = client.buffered_producer().build().unwrap();
        producer.produce(record(0, "b")).unwrap();
        assert_eq!(producer.deliver().await.unwrap_err().failed[0].error.code(), Some(code));
    }
}

/// Regression row 7: split, then expired; memory comes back and everything has its result.
#[tokio::test(start_paused = true)]
async fn a_split_batch_that_expires_gives_its_memory_back() {
    let broker = Broker::builder().topic("t", 1).message_max_bytes(3_000).start_in_memory().unwrap();
    let client = client(&broker);
    let builder = client.producer().request_timeout(Duration::from_secs(2)).delivery_timeout(Duration::from_secs(5));
    let producer = builder.build().unwrap();
    let mut requests = 0;
    broker.intercept_all(ApiKey::PRODUCE, move |_| {
        requests += 1;
        if requests > 2 { Intercept::Swallow } else { Intercept::Pass }
    });
    let mut deliveries = Vec::new();
    for number in 0..20 {
        deliveries.push(producer.enqueue(record(0, format!("{number:0500}"))).await.unwrap());
    }
    producer.flush().await.unwrap_err();
    assert!(deliveries.iter().all(|delivery| delivery.try_result().is_some()));
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(producer.buffered_bytes(), 0);
}

/// Regression row 19: tasks on several threads, connections that break, a leader that moves; each record is there once, in order.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn threads_share_a_producer_while_connections_break() {
    let broker = Broker::builder().nodes(3).topic("t", 3).start_in_memory().unwrap();
    let client = client(&broker);
    let builder = client.producer().linger(millis(1)).batch_size(2_000).buffer_memory(300_000).max_request_size(100_000);
    let producer = builder.build().unwrap();
    let mut produced = 0;
    broker.intercept_all(ApiKey::PRODUCE, move |_| {
        produced += 1;
        match produced % 40 {
            7 => Intercept::ProcessThenClose,
            19 => Intercept::CloseBefore,
            31 => Intercept::Error(ErrorCode::NOT_ENOUGH_REPLICAS),
            _ => Intercept::Pass,
        }
    });
    let tasks: Vec<_> = (0..6)
        .map(|task: i32| {
            let producer = producer.clone();
            tokio::spawn(async move {
                for number in 0..3_000 {
                    let delivery = producer.enqueue(record(task % 3, format!("{task} {number}"))).await.unwrap();
                    if number % 500 == 0 {
                        delivery.await.unwrap();
                    }
                }
            })
        })
        .collect();
    let mover = tokio::spawn({
        let broker = broker.clone();
        async move {
            for turn in 0..6 {
                tokio::time::sleep(millis(50)).await;
                broker.move_leader("t", turn % 3, 1 + (turn + 1) % 3);
            }
        }
    });
    for task in tasks {
        task.await.unwrap();
    }
    mover.await.unwrap();
    producer.close(Duration::from_secs(60)).await.unwrap();
    for task in 0..6 {
        let prefix = format!("{task} ");
        let log = values(&broker, "t", task % 3);
        let own = log.iter().filter_map(|value| value.strip_prefix(&prefix)).map(|it| it.parse::<i32>().unwrap());
        assert!(own.eq(0..3_000), "task {task}: lost, twice, or out of order");
    }
    assert_eq!(producer.buffered_bytes(), 0);
    assert_no_range_reused(&broker);
}
