//! Producing to Apache Kafka: what is read back is what was handed over (acceptance checks B, C, E).
#![forbid(unsafe_code)]

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use bytes::Bytes;
use klamm::admin::{NewTopic, Validate};
use klamm::producer::Overflow;
use klamm::{Client, ErrorKind, Header, Record};
use klamm_real::{PeerRecord, bootstrap, connect, create, java_read, java_write, new_topic, read_all, unique};

/// Delivers records of one partition and gives what this client and Java's read there.
async fn both_ways(name: &str, records: Vec<Record>) -> (Vec<klamm::Message>, Vec<PeerRecord>) {
    let client = connect(&bootstrap()).await;
    let topic = unique(name);
    // Without an end, for records of long ago.
    create(&client, NewTopic::new(topic.as_str()).partitions(1).replicas(1).config("retention.ms", "-1")).await;
    let mut buffer = client.buffered_producer().build().expect("a producer");
    for record in records {
        buffer.produce(Record { topic: topic.as_str().into(), ..record }).expect("buffered");
    }
    buffer.deliver().await.expect("delivered");
    (read_all(&client, &topic).await, java_read(&bootstrap(), &topic, "read_committed").await)
}

fn record() -> Record {
    Record::new("set-later")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rk_021_a_null_value_is_not_an_empty_one() {
    let (messages, java) = both_ways("null-value", vec![record().key("k"), record().key("k").value("")]).await;
    let wanted = [None, Some(Bytes::new())];
    assert_eq!(messages.iter().map(|message| message.value.clone()).collect::<Vec<_>>(), wanted);
    assert_eq!(java.iter().map(|record| record.value.clone()).collect::<Vec<_>>(), wanted);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rk_022_a_null_key_is_not_an_empty_one() {
    let (messages, java) = both_ways("null-key", vec![record().value("v"), record().key("").value("v")]).await;
    let wanted = [None, Some(Bytes::new())];
    assert_eq!(messages.iter().map(|message| message.key.clone()).collect::<Vec<_>>(), wanted);
    assert_eq!(java.iter().map(|record| record.key.clone()).collect::<Vec<_>>(), wanted);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rk_023_headers_keep_their_order() {
    let mut odd = record().value("v").header("b", "2").header("a", "1").header("a", "").header("", "no name");
    odd.headers.push(Header { key: Bytes::from_static(b"null"), value: None });
    let records = vec![record().value("v").header("a", "1").header("b", "2"), odd.clone()];
    let (messages, java) = both_ways("headers", records).await;
    assert_eq!(messages[0].headers, [Header::new("a", "1"), Header::new("b", "2")]);
    assert_eq!(messages[1].headers, odd.headers);
    let java: Vec<_> = java.into_iter().map(|record| record.headers).collect();
    let text = |text: &'static str| Some(Bytes::from_static(text.as_bytes()));
    assert_eq!(java[0], [("a".to_owned(), text("1")), ("b".to_owned(), text("2"))]);
    let wanted = [("b", text("2")), ("a", text("1")), ("a", text("")), ("", text("no name")), ("null", None)];
    assert_eq!(java[1], wanted.map(|(name, value)| (name.to_owned(), value)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rk_024_a_given_time_is_kept_to_the_millisecond() {
    // 2020-01-01T00:00:00.123Z
    let at = 1_577_836_800_123;
    let records =
        vec![record().value("a").timestamp(at), record().value("b").timestamp(at - 5), record().value("c").timestamp(at + 9)];
    let (messages, java) = both_ways("time", records).await;
    let wanted = [at, at - 5, at + 9];
    assert_eq!(messages.iter().map(|message| message.timestamp).collect::<Vec<_>>(), wanted);
    assert_eq!(java.iter().filter_map(|record| record.timestamp).collect::<Vec<_>>(), wanted);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rk_030_a_delivered_buffer_is_empty_and_all_can_be_read_in_order() {
    let client = connect(&bootstrap()).await;
    let topic = new_topic(&client, "hundred", 3).await;
    let mut buffer = client.buffered_producer().build().expect("a producer");
    for number in 0..100 {
        buffer.produce(Record::new(topic.as_str()).value(format!("{number}")).partition(number % 3)).expect("buffered");
    }
    assert_eq!(buffer.buffer_size(), 100);
    buffer.deliver().await.expect("delivered");
    assert_eq!((buffer.buffer_size(), buffer.buffer_bytesize()), (0, 0));
    let mut seen: BTreeMap<i32, Vec<i32>> = BTreeMap::new();
    for message in read_all(&client, &topic).await {
        let value = message.value.expect("a value");
        let place = seen.entry(message.partition).or_default();
        assert_eq!(message.offset, place.len() as i64);
        place.push(std::str::from_utf8(&value).expect("text").parse().expect("a number"));
    }
    let wanted = (0..3).map(|partition| (partition, (partition..100).step_by(3).collect())).collect();
    assert_eq!(seen, wanted);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rk_042_a_missing_topic_is_created_by_the_broker_if_the_client_allows_it() {
    let topic = unique("created-by-producing");
    let strict = connect(&bootstrap()).await;
    let refused = strict.buffered_producer().max_retries(1).retry_backoff(Duration::from_millis(100));
    let mut refused = refused.ack_timeout(Duration::from_secs(1)).build().expect("a producer");
    refused.produce(Record::new(topic.as_str()).value("x")).expect("buffered");
    let failed = refused.deliver().await.expect_err("klamm's default does not create topics");
    assert_eq!(failed.failed[0].error.kind(), ErrorKind::UnknownTopic, "{failed:?}");
    assert!(!strict.has_topic(topic.as_str()).await.expect("an answer"));

    let client = Client::builder(bootstrap()).allow_auto_create_topics(true).connect().await.expect("a broker");
    let mut buffer = client.buffered_producer().max_retries(5).build().expect("a producer");
    for number in 0..10 {
        buffer.produce(Record::new(topic.as_str()).value(format!("{number}"))).expect("buffered");
    }
    buffer.deliver().await.expect("the topic is created, and the records delivered");
    assert_eq!(buffer.buffer_size(), 0);
    assert_eq!(read_all(&client, &topic).await.len(), 10);

    let other = unique("created-by-sending");
    let producer = client.producer().build().expect("a producer");
    producer.send(Record::new(other.as_str()).value("x")).await.expect("the background producer waits for it, too");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rk_044_one_record_is_delivered_when_the_call_returns() {
    let client = connect(&bootstrap()).await;
    let topic = new_topic(&client, "one", 1).await;
    let metadata = client.deliver(Record::new(topic.as_str()).key("k").value("hello")).await.expect("acknowledged");
    assert_eq!((metadata.topic.as_str(), metadata.partition, metadata.offset), (&*topic, 0, Some(0)));
    let messages = read_all(&client, &topic).await;
    assert_eq!(messages.len(), 1);
    assert_eq!((messages[0].key.as_deref(), messages[0].value.as_deref()), (Some(&b"k"[..]), Some(&b"hello"[..])));
    assert_eq!(messages[0].timestamp, metadata.timestamp);
}

const TASKS: usize = 8;
const EACH: usize = 10_000;

/// Nothing is lost, and each task's records keep their order in each partition.
async fn assert_whole_and_in_order(client: &Client, topic: &str) {
    let messages = read_all(client, topic).await;
    assert_eq!(messages.len(), TASKS * EACH);
    let mut last: BTreeMap<(i32, usize), usize> = BTreeMap::new();
    for message in &messages {
        let text = std::str::from_utf8(message.value.as_ref().expect("a value")).expect("text").to_owned();
        let (task, number) = text.split_once(' ').expect("two numbers");
        let (task, number) = (task.parse().expect("a number"), number.parse().expect("a number"));
        let before = last.insert((message.partition, task), number);
        assert!(before.is_none_or(|before| before < number), "task {task}: {number} after {before:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rk_060_tasks_that_share_an_asynchronous_producer_lose_nothing_and_keep_their_order() {
    let client = connect(&bootstrap()).await;
    let topic = new_topic(&client, "shared-asynchronous", 3).await;
    let builder = client.async_producer().overflow(Overflow::Wait(Duration::from_secs(60)));
    let producer = builder.delivery_threshold(500).delivery_interval(Duration::from_secs(1)).build().expect("a producer");
    let tasks: Vec<_> = (0..TASKS)
        .map(|task| {
            let (producer, topic) = (producer.clone(), topic.clone());
            tokio::spawn(async move {
                for number in 0..EACH {
                    let record = Record::new(topic.as_str()).value(format!("{task} {number}"));
                    producer.produce(record).await.expect("there is room in time");
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.expect("the task");
    }
    producer.close(Duration::from_secs(120)).await.expect("all is acknowledged");
    assert_whole_and_in_order(&client, &topic).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rk_060_tasks_that_share_a_background_producer_lose_nothing_and_keep_their_order() {
    let client = connect(&bootstrap()).await;
    let topic = new_topic(&client, "shared", 3).await;
    let producer = client.producer().build().expect("a producer");
    let tasks: Vec<_> = (0..TASKS)
        .map(|task| {
            let (producer, topic) = (producer.clone(), topic.clone());
            tokio::spawn(async move {
                for number in 0..EACH {
                    let record = Record::new(topic.as_str()).value(format!("{task} {number}"));
                    // The result is asked for at the end, by closing.
                    drop(producer.enqueue(record).await.expect("there is room"));
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.expect("the task");
    }
    producer.close(Duration::from_secs(120)).await.expect("all is acknowledged");
    assert_whole_and_in_order(&client, &topic).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rk_070_keys_go_to_the_same_partitions_as_with_javas_producer() {
    let client = connect(&bootstrap()).await;
    let (ours, theirs) = (new_topic(&client, "keys", 17).await, new_topic(&client, "keys-java", 17).await);
    // Of all lengths modulo four, with bytes beyond text, and empty.
    let keys: Vec<Bytes> = (0..100_u32)
        .map(|number| (0..number % 23).map(|at| (number.wrapping_mul(2_654_435_761).rotate_left(at * 3) >> 7) as u8).collect())
        .collect();
    let records: Vec<_> = keys
        .iter()
        .map(|key| PeerRecord { key: Some(key.clone()), value: Some(Bytes::new()), ..PeerRecord::default() })
        .collect();
    let theirs: Vec<i32> =
        java_write(&bootstrap(), &theirs, "none", &records).await.into_iter().map(|(partition, _)| partition).collect();
    let producer = client.producer().build().expect("a producer");
    let mut sent = Vec::new();
    for key in &keys {
        sent.push(producer.enqueue(Record::new(ours.as_str()).key(key.clone()).value("")).await.expect("there is room"));
    }
    let mut found = Vec::new();
    for delivery in sent {
        found.push(delivery.await.expect("acknowledged").partition);
    }
    assert_eq!(found.len(), 100);
    assert_eq!(found, theirs);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rk_197_partitions_that_are_added_are_used_within_the_age_of_metadata() {
    let client = Client::builder(bootstrap()).metadata_max_age(Duration::from_secs(1)).connect().await.expect("a broker");
    let other = connect(&bootstrap()).await;
    let topic = new_topic(&client, "grows", 1).await;
    let producer = client.producer().build().expect("a producer");
    let mut reader = client.reader(topic.as_str()).build().expect("a reader");
    producer.send(Record::new(topic.as_str()).value("first")).await.expect("delivered");
    assert_eq!(reader.next().await.expect("a message").expect("it has no end").partition, 0);
    other.admin().create_partitions(topic.as_str(), 3, Validate::AndApply).await.expect("added");
    let mut used = BTreeMap::new();
    let limit = Instant::now() + Duration::from_secs(20);
    let mut number = 0;
    while used.len() < 3 {
        assert!(Instant::now() < limit, "only {used:?} were used");
        number += 1;
        let record = Record::new(topic.as_str()).key(number.to_string()).value("later");
        *used.entry(producer.send(record).await.expect("no error happened").partition).or_insert(0) += 1;
    }
    // The reader found them, too, and reads them from their beginning.
    let mut seen = BTreeMap::new();
    for _ in 0..number {
        let message = tokio::time::timeout(Duration::from_secs(30), reader.next()).await.expect("in time").expect("a message");
        *seen.entry(message.expect("it has no end").partition).or_insert(0) += 1;
    }
    assert_eq!(seen, used);
}

/// The new topic has the old one's name and another id; what is sent after belongs to it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_topic_that_is_deleted_and_made_anew_is_written_and_read_under_its_new_id() {
    let client = connect(&bootstrap()).await;
    let topic = new_topic(&client, "again", 2).await;
    let producer = client.producer().build().expect("a producer");
    let mut buffer = client.buffered_producer().max_retries(10).build().expect("a producer");
    for number in 0..10 {
        producer.send(Record::new(topic.as_str()).value(number.to_string()).partition(number % 2)).await.expect("delivered");
    }
    buffer.produce(Record::new(topic.as_str()).value("x").partition(0)).expect("buffered");
    buffer.deliver().await.expect("delivered");
    let other = connect(&bootstrap()).await;
    let id = |client: Client, topic: String| async move {
        let described = client.admin().describe_topics([topic.as_str()]).await.expect("an answer").remove(0).1;
        described.expect("described").topic_id.expect("an id")
    };
    let before = id(other.clone(), topic.clone()).await;
    other.admin().delete_topics([topic.as_str()]).await.expect("an answer").remove(0).1.expect("deleted");
    create(&other, NewTopic::new(topic.as_str()).partitions(2).replicas(1)).await;
    assert_ne!(id(other.clone(), topic.clone()).await, before);
    for number in 0..10 {
        let sent = producer.send(Record::new(topic.as_str()).value(format!("new {number}")).partition(number % 2)).await;
        let metadata = sent.unwrap_or_else(|error| panic!("{number}: {error:?}"));
        assert_eq!(metadata.offset, Some(i64::from(number / 2)), "in the new topic, from its beginning on");
    }
    buffer.produce(Record::new(topic.as_str()).value("new x").partition(0)).expect("buffered");
    buffer.deliver().await.expect("delivered");
    let values: Vec<_> = read_all(&client, &topic).await.into_iter().filter_map(|message| message.value).collect();
    assert_eq!(values.len(), 11);
    assert!(values.iter().all(|value| value.starts_with(b"new ")), "{values:?}");
}
