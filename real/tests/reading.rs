//! Reading Apache Kafka without a group (acceptance checks I).
#![forbid(unsafe_code)]

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use klamm::consumer::SeekTo;
use klamm::{Client, ErrorKind, Record};
use klamm_real::{bootstrap, connect, new_topic};

/// A topic with `count` records in its only partition.
async fn filled(client: &Client, name: &str, count: usize) -> String {
    let topic = new_topic(client, name, 1).await;
    let mut buffer = client.buffered_producer().build().expect("a producer");
    for number in 0..count {
        buffer.produce(Record::new(topic.as_str()).value(number.to_string())).expect("buffered");
    }
    buffer.deliver().await.expect("delivered");
    topic
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rk_105_reading_begins_at_the_earliest_offset_or_at_the_one_given() {
    let client = connect(&bootstrap()).await;
    let topic = filled(&client, "ten", 10).await;
    for (from, wanted) in [(SeekTo::Beginning, 0..10), (SeekTo::Offset(4), 4..10)] {
        let messages = client.fetch_messages(topic.as_str(), 0).from(from).send().await.expect("messages");
        let seen: Vec<_> = messages.iter().map(|message| (message.offset, message.value.clone().expect("a value"))).collect();
        let wanted: Vec<_> = wanted.map(|offset| (offset, offset.to_string().into())).collect();
        assert_eq!(seen, wanted, "from {from:?}, by one fetch");

        let mut reader = client.reader(topic.as_str()).partition(0).from(from).to_end().build().expect("a reader");
        let mut seen = Vec::new();
        while let Some(message) = reader.next().await.expect("a message") {
            seen.push((message.offset, message.value.expect("a value")));
        }
        assert_eq!(seen, wanted, "from {from:?}, by a reader");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rk_106_the_end_without_new_records_is_an_empty_answer_after_the_longest_wait() {
    let client = connect(&bootstrap()).await;
    let topic = filled(&client, "silent", 1).await;
    // The first fetch also connects.
    let fetch = || client.fetch_messages(topic.as_str(), 0).from(SeekTo::End).max_wait(Duration::from_millis(500)).send();
    for round in 0..2 {
        let start = Instant::now();
        let messages = fetch().await.expect("an answer");
        let took = start.elapsed();
        assert!(messages.is_empty(), "{messages:?}");
        assert!(took >= Duration::from_millis(400) && took < Duration::from_secs(15), "round {round}: {took:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rk_107_a_record_that_comes_while_the_end_is_watched_is_returned_soon() {
    let client = connect(&bootstrap()).await;
    let topic = filled(&client, "watched", 1).await;
    let (late, at) = (client.clone(), topic.clone());
    // So that the second delivery has a connection.
    client.deliver(Record::new(topic.as_str()).value("before")).await.expect("delivered");
    let start = Instant::now();
    let produced = tokio::spawn(async move {
        tokio::time::sleep(Duration::from_millis(200)).await;
        late.deliver(Record::new(at.as_str()).value("late")).await.expect("delivered")
    });
    let messages = client.fetch_messages(topic.as_str(), 0).max_wait(Duration::from_secs(5)).send().await.expect("an answer");
    let took = start.elapsed();
    let metadata = produced.await.expect("the producing task");
    assert_eq!(messages.len(), 1, "{messages:?}");
    assert_eq!((messages[0].value.as_deref(), Some(messages[0].offset)), (Some(&b"late"[..]), metadata.offset));
    // Well before the longest wait, within ten times what is wanted.
    println!("returned after {took:?}");
    assert!(took < Duration::from_millis(4500), "{took:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rk_109_an_offset_beyond_the_end_is_an_error_with_its_place() {
    let client = connect(&bootstrap()).await;
    let topic = filled(&client, "short", 3).await;
    let fetched = client.fetch_messages(topic.as_str(), 0).from(17).send().await.expect_err("out of range");
    let mut reader = client.reader(topic.as_str()).partition(0).from(17).build().expect("a reader");
    let read = reader.next().await.expect_err("out of range");
    for error in [fetched, read] {
        println!("{error:?}");
        assert_eq!(error.kind(), ErrorKind::OffsetOutOfRange, "{error:?}");
        assert_eq!((error.topic(), error.partition(), error.offset()), (Some(&*topic), Some(0), Some(17)), "{error:?}");
        for part in [&*topic, "17"] {
            assert!(error.to_string().contains(part), "{error}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rk_112_a_whole_topic_is_read_in_order_and_nothing_is_committed() {
    let client = connect(&bootstrap()).await;
    let topic = new_topic(&client, "whole", 3).await;
    let producer = client.producer().build().expect("a producer");
    let mut sent = Vec::new();
    for number in 0..300 {
        let record = Record::new(topic.as_str()).value(number.to_string()).partition(number % 3);
        sent.push(producer.enqueue(record).await.expect("there is room"));
    }
    for delivery in sent {
        delivery.await.expect("acknowledged");
    }
    let mut seen: BTreeMap<i32, Vec<i32>> = BTreeMap::new();
    let mut count = 0;
    let read = client.each_message(topic.as_str(), SeekTo::Beginning, |message| {
        let place = seen.entry(message.partition).or_default();
        assert_eq!(message.offset, place.len() as i64);
        place.push(std::str::from_utf8(&message.value.expect("a value")).expect("text").parse().expect("a number"));
        count += 1;
        std::future::ready(if count == 300 { Err("that was the last") } else { Ok(()) })
    });
    let end = tokio::time::timeout(Duration::from_secs(30), read).await.expect("it is read").expect_err("the last ends it");
    assert_eq!(end.kind(), ErrorKind::Processing, "{end:?}");
    let wanted: BTreeMap<i32, Vec<i32>> = (0..3).map(|partition| (partition, (partition..300).step_by(3).collect())).collect();
    assert_eq!(seen, wanted);
    for group in client.admin().list_groups().await.expect("groups") {
        let offsets = client.admin().group_offsets(&group.group_id).await.expect("offsets");
        assert!(offsets.iter().all(|offset| offset.partition.topic != *topic.as_str()), "{} has {offsets:?}", group.group_id);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rk_113_a_record_larger_than_the_most_bytes_is_returned_whole() {
    let client = connect(&bootstrap()).await;
    let topic = new_topic(&client, "large", 1).await;
    let value: Vec<u8> = (0..500_000_u32).map(|at| (at % 251) as u8).collect();
    for _ in 0..2 {
        client.deliver(Record::new(topic.as_str()).value(value.clone())).await.expect("delivered");
    }
    for offset in [0, 1] {
        let messages = client.fetch_messages(topic.as_str(), 0).from(offset).max_bytes(1000).send().await.expect("messages");
        assert_eq!(messages.iter().map(|message| message.offset).collect::<Vec<_>>(), [offset]);
        assert_eq!(messages[0].value.as_deref(), Some(&*value));
    }
    let reader =
        client.reader(topic.as_str()).fetch_max_bytes(1000).max_partition_fetch_bytes(1000).prefetch_bytes(1000).to_end();
    let mut reader = reader.build().expect("a reader");
    let mut sizes = Vec::new();
    while let Some(message) = reader.next().await.expect("a message") {
        sizes.push(message.value.expect("a value").len());
    }
    assert_eq!(sizes, [value.len(), value.len()]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reading_from_a_time_begins_at_the_first_record_of_that_time() {
    let client = connect(&bootstrap()).await;
    let topic = new_topic(&client, "times", 1).await;
    let now = client.deliver(Record::new(topic.as_str()).value("now")).await.expect("delivered").timestamp;
    for second in 1..10 {
        let record = Record::new(topic.as_str()).value(second.to_string()).timestamp(now + second * 1000);
        client.deliver(record).await.expect("delivered");
    }
    let messages = client.fetch_messages(topic.as_str(), 0).from(SeekTo::Timestamp(now + 4500)).send().await.expect("messages");
    assert_eq!(messages.first().map(|message| message.offset), Some(5));
    let later = client.fetch_messages(topic.as_str(), 0).from(SeekTo::Timestamp(now + 60_000));
    let messages = later.max_wait(Duration::from_millis(100)).send().await.expect("an answer");
    assert!(messages.is_empty(), "no record is that late: {messages:?}");
}
