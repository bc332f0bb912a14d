//! Reading without a group (acceptance group J).

use std::collections::BTreeMap;
use std::time::Duration;

use klamm::consumer::SeekTo;
use klamm::protocol::messages::fetch::FetchRequest;
use klamm::protocol::{ApiKey, ErrorCode};
use klamm::{ErrorKind, Message};
use klamm_broker::{Broker, Intercept};
use tokio::time::{Instant, sleep};

use crate::{append, offsets, start, value};

#[tokio::test(start_paused = true)]
async fn rk_105_reading_from_earliest_or_an_offset_gives_all_from_there() {
    let (broker, client) = start(Broker::builder().topic("t", 1)).await;
    append(&broker, "t", 0, 0..10);
    let messages = client.fetch_messages("t", 0).from(SeekTo::Beginning).send().await.unwrap();
    assert_eq!(offsets(&messages), (0..10).collect::<Vec<_>>());
    let messages = client.fetch_messages("t", 0).from(4).send().await.unwrap();
    assert_eq!(offsets(&messages), (4..10).collect::<Vec<_>>());
    assert_eq!(value(&messages[0]), "4");
}

#[tokio::test(start_paused = true)]
async fn rk_106_reading_at_the_end_of_a_quiet_partition_is_empty_after_max_wait() {
    let (broker, client) = start(Broker::builder().topic("t", 1)).await;
    append(&broker, "t", 0, 0..10);
    let begun = Instant::now();
    let messages = client.fetch_messages("t", 0).max_wait(Duration::from_millis(500)).send().await.unwrap();
    assert!(messages.is_empty());
    let took = begun.elapsed();
    assert!((Duration::from_millis(400)..=Duration::from_millis(1500)).contains(&took), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn rk_107_a_record_produced_while_the_fetch_waits_is_returned_at_once() {
    let (broker, client) = start(Broker::builder().topic("t", 1)).await;
    append(&broker, "t", 0, 0..10);
    let begun = Instant::now();
    let (messages, ()) = tokio::join!(client.fetch_messages("t", 0).max_wait(Duration::from_secs(5)).send(), async {
        sleep(Duration::from_millis(200)).await;
        append(&broker, "t", 0, 10..11);
    });
    assert_eq!(offsets(&messages.unwrap()), [10]);
    assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
}

#[tokio::test(start_paused = true)]
async fn rk_108_records_before_the_offset_asked_for_are_left_out() {
    let (broker, client) = start(Broker::builder().topic("t", 1)).await;
    append(&broker, "t", 0, 0..10);
    assert_eq!(broker.batches("t", 0).len(), 1);
    assert_eq!(offsets(&client.fetch_messages("t", 0).from(5).send().await.unwrap()), [5, 6, 7, 8, 9]);
    let mut reader = client.reader("t").from(5).to_end().build().unwrap();
    assert_eq!(reader.next().await.unwrap().unwrap().offset, 5);
}

#[tokio::test(start_paused = true)]
async fn rk_109_an_offset_beyond_the_end_is_out_of_range_with_its_place() {
    let (broker, client) = start(Broker::builder().topic("t", 1)).await;
    append(&broker, "t", 0, 0..10);
    let error = client.fetch_messages("t", 0).from(99).send().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::OffsetOutOfRange);
    assert_eq!((error.topic(), error.partition(), error.offset()), (Some("t"), Some(0), Some(99)));
    let error = client.reader("t").partition(0).from(99).build().unwrap().next().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::OffsetOutOfRange);
    assert_eq!((error.topic(), error.partition(), error.offset()), (Some("t"), Some(0), Some(99)));
}

#[tokio::test(start_paused = true)]
async fn rk_110_a_fetch_refused_by_what_is_not_the_leader_refreshes_and_succeeds() {
    let (broker, client) = start(Broker::builder().topic("t", 1)).await;
    append(&broker, "t", 0, 0..10);
    client.partition_count("t").await.unwrap();
    broker.intercept_next(ApiKey::FETCH, 1, |_| Intercept::partition_error("t", 0, ErrorCode::NOT_LEADER_OR_FOLLOWER));
    let before = broker.requests_of(ApiKey::METADATA).len();
    let messages = client.fetch_messages("t", 0).from(0).retries(1).send().await.unwrap();
    assert_eq!(messages.len(), 10);
    assert_eq!(broker.requests_of(ApiKey::FETCH).len(), 2);
    assert!(broker.requests_of(ApiKey::METADATA).len() > before, "metadata was not refreshed");
    // Without a retry the error is the caller's.
    broker.intercept_next(ApiKey::FETCH, 1, |_| Intercept::partition_error("t", 0, ErrorCode::NOT_LEADER_OR_FOLLOWER));
    let error = client.fetch_messages("t", 0).from(0).retries(0).send().await.unwrap_err();
    assert_eq!(error.code(), Some(ErrorCode::NOT_LEADER_OR_FOLLOWER));
}

#[tokio::test(start_paused = true)]
async fn rk_111_a_single_fetch_has_ruby_kafka_s_defaults() {
    let (broker, client) = start(Broker::builder().topic("t", 1)).await;
    append(&broker, "t", 0, 0..1);
    client.fetch_messages("t", 0).from(0).send().await.unwrap();
    let request = &broker.decoded::<FetchRequest>()[0];
    assert_eq!((request.max_wait_ms, request.min_bytes), (5000, 1));
    assert_eq!(request.topics[0].partitions[0].partition_max_bytes, 1_048_576);
}

#[tokio::test(start_paused = true)]
async fn rk_112_a_topic_is_read_endlessly_in_order_and_nothing_is_committed() {
    let (broker, client) = start(Broker::builder().nodes(2).topic("t", 3)).await;
    for start in (0..100).step_by(10) {
        for partition in 0..3 {
            append(&broker, "t", partition, start..start + 10);
        }
    }
    let mut seen: BTreeMap<i32, Vec<i64>> = BTreeMap::new();
    let mut count = 0;
    let error = client
        .each_message("t", SeekTo::Beginning, |message: Message| {
            seen.entry(message.partition).or_default().push(message.offset);
            count += 1;
            let enough = count == 300;
            async move { if enough { Err("enough") } else { Ok(()) } }
        })
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Processing);
    assert_eq!(seen.len(), 3);
    for offsets in seen.values() {
        assert_eq!(*offsets, (0..100).collect::<Vec<_>>());
    }
    assert!(broker.requests_of(ApiKey::OFFSET_COMMIT).is_empty());
    assert!(broker.requests_of(ApiKey::JOIN_GROUP).is_empty());
}

#[tokio::test(start_paused = true)]
async fn rk_113_a_record_larger_than_max_bytes_is_returned() {
    let (broker, client) = start(Broker::builder().topic("t", 1)).await;
    let large = vec![b'x'; 10_000];
    broker.append_records("t", 0, [(None, Some(large.as_slice()))]).unwrap();
    let messages = client.fetch_messages("t", 0).from(0).max_bytes(100).send().await.unwrap();
    assert_eq!(messages[0].value.as_ref().map(|value| value.len()), Some(10_000));
    let mut reader = client.reader("t").fetch_max_bytes(100).max_partition_fetch_bytes(100).to_end().build().unwrap();
    assert_eq!(reader.next().await.unwrap().unwrap().value.unwrap().len(), 10_000);
    assert!(reader.next().await.unwrap().is_none());
}

#[tokio::test(start_paused = true)]
async fn a_partition_is_read_from_an_offset_to_its_end() {
    let (broker, client) = start(Broker::builder().topic("t", 2)).await;
    append(&broker, "t", 1, 0..10);
    let mut reader = client.reader("t").partition(1).from(3).to_end().build().unwrap();
    assert_eq!(reader.next().await.unwrap().unwrap().offset, 3);
    append(&broker, "t", 1, 10..20);
    let mut rest = Vec::new();
    while let Some(message) = reader.next().await.unwrap() {
        rest.push(message.offset);
    }
    assert_eq!(rest, [4, 5, 6, 7, 8, 9], "what was written after reading began is beyond the end");
    let mut empty = client.reader("t").partition(0).to_end().build().unwrap();
    assert!(empty.next().await.unwrap().is_none());
}

#[tokio::test(start_paused = true)]
async fn an_offset_that_is_the_end_already_is_the_end_of_reading() {
    let (broker, client) = start(Broker::builder().topic("t", 1)).await;
    let limit = Duration::from_secs(60);
    let mut empty = client.reader("t").partition(0).from(0).to_end().build().unwrap();
    assert!(tokio::time::timeout(limit, empty.next()).await.expect("nothing comes").unwrap().is_none());
    append(&broker, "t", 0, 0..10);
    let mut read = client.reader("t").from(10).to_end().build().unwrap();
    assert!(tokio::time::timeout(limit, read.next()).await.expect("nothing comes").unwrap().is_none());
    let mut beyond = client.reader("t").from(11).to_end().build().unwrap();
    let error = tokio::time::timeout(limit, beyond.next()).await.expect("nothing comes").unwrap_err();
    assert_eq!((error.kind(), error.offset()), (ErrorKind::OffsetOutOfRange, Some(11)));
}

#[tokio::test(start_paused = true)]
async fn the_end_behind_a_transaction_s_marker_is_reached() {
    let (broker, client) = start(Broker::builder().topic("t", 1)).await;
    append(&broker, "t", 0, 0..2);
    broker.append_transactional("t", 0, (7, 0, 0), [(None, Some(&b"aborted"[..]))]).unwrap();
    broker.end_transaction("t", 0, 7, 0, false).unwrap();
    let mut reader = client.reader("t").to_end().build().unwrap();
    let mut seen = Vec::new();
    while let Some(message) = reader.next().await.unwrap() {
        seen.push(message.offset);
    }
    assert_eq!(seen, [0, 1]);
    assert_eq!(reader.position(0), Some(4));
}

#[tokio::test(start_paused = true)]
async fn partitions_added_while_a_topic_is_read_are_read_from_their_beginning() {
    let (broker, client) = start(Broker::builder().topic("t", 1)).await;
    append(&broker, "t", 0, 0..1);
    let mut reader = client.reader("t").from(SeekTo::End).build().unwrap();
    assert!(tokio::time::timeout(Duration::from_secs(2), reader.next()).await.is_err());
    broker.add_partitions("t", 2);
    append(&broker, "t", 1, 0..3);
    let message = reader.next().await.unwrap().unwrap();
    assert_eq!((message.partition, message.offset), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn rk_190_a_partition_that_is_missing_is_an_error_that_names_it_and_is_read_when_it_comes() {
    let (broker, client) = start(Broker::builder().topic("t", 2)).await;
    let mut reader = client.reader("t").partition(7).from(0).build().unwrap();
    let begun = Instant::now();
    let error = tokio::time::timeout(Duration::from_secs(90), reader.next()).await.expect("it is said").unwrap_err();
    assert_eq!((error.kind(), error.code()), (ErrorKind::UnknownTopic, Some(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION)));
    assert_eq!((error.topic(), error.partition()), (Some("t"), Some(7)));
    assert!(error.to_string().contains("it has 2, from 0"), "{error}");
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    let error = client.fetch_messages("t", 7).from(0).send().await.unwrap_err();
    assert_eq!((error.kind(), error.partition()), (ErrorKind::UnknownTopic, Some(7)));
    broker.add_partitions("t", 8);
    append(&broker, "t", 7, 0..1);
    let message = tokio::time::timeout(Duration::from_secs(90), reader.next()).await.expect("it comes").unwrap().unwrap();
    assert_eq!((message.partition, message.offset), (7, 0));
}

#[tokio::test(start_paused = true)]
async fn an_unknown_topic_is_an_error_that_names_it() {
    let (_broker, client) = start(Broker::builder()).await;
    let error = client.reader("nowhere").build().unwrap().next().await.unwrap_err();
    assert_eq!((error.kind(), error.topic()), (ErrorKind::UnknownTopic, Some("nowhere")));
    let error = client.fetch_messages("nowhere", 0).from(0).send().await.unwrap_err();
    assert_eq!((error.kind(), error.topic()), (ErrorKind::UnknownTopic, Some("nowhere")));
    let error = client.reader("no where").build().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidRequest);
}
