//! Which partition records go to, for each kind of producer.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use klamm::config::Properties;
use klamm::producer::{Partitioner, Partitioning};
use klamm::{Client, ErrorKind, Record};
use klamm_broker::Broker;

use crate::harness::{client, millis, one_node, values};

const MINUTE: Duration = Duration::from_secs(60);

/// Sends each record with each kind of producer, made with `partitioning`; returns where they went, kind by kind.
async fn places(client: &Client, broker: &Broker, partitioning: &Partitioning, records: &[Record]) -> [Vec<i32>; 3] {
    let place = |broker: &Broker, value: &[u8]| {
        let partitions = 0..broker.partition_count("t").unwrap() as i32;
        let mut found = partitions.filter(|partition| {
            broker.records("t", *partition).unwrap().iter().any(|record| record.value.as_deref() == Some(value))
        });
        found.next().expect("it was written")
    };
    let named = |kind: &str| -> Vec<Record> {
        records.iter().enumerate().map(|(number, record)| record.clone().value(format!("{kind} {number}"))).collect()
    };
    let of = |records: Vec<Record>| records.iter().map(|record| place(broker, record.value.as_ref().unwrap())).collect();
    let producer = client.producer().partitioner(partitioning.clone()).build().unwrap();
    let background = named("background");
    for record in background.clone() {
        producer.send(record).await.unwrap();
    }
    let mut buffer = client.buffered_producer().partitioner(partitioning.clone()).build().unwrap();
    let buffered = named("buffered");
    for record in buffered.clone() {
        buffer.produce(record).unwrap();
    }
    buffer.deliver().await.unwrap();
    let producer = client.async_producer().partitioner(partitioning.clone()).build().unwrap();
    let asynchronous = named("asynchronous");
    for record in asynchronous.clone() {
        producer.produce(record).await.unwrap();
    }
    producer.close(MINUTE).await.unwrap();
    [of(background), of(buffered), of(asynchronous)]
}

#[tokio::test(start_paused = true)]
async fn rk_062_each_producer_finds_partitions_by_crc32_when_told_to() {
    let (broker, client) = one_node(10);
    // From ruby-kafka's table: the remainders by 10.
    let keys = [("yolo", 5), ("hey", 6), ("hello", 0), ("", 0), ("21", 2), ("foobar", 9), ("a-little-bit-long-string", 4)];
    let records: Vec<_> = keys.iter().map(|(key, _)| Record::new("t").key(*key)).collect();
    let expected: Vec<_> = keys.iter().map(|(_, partition)| *partition).collect();
    for places in places(&client, &broker, &Partitioning::Crc32, &records).await {
        assert_eq!(places, expected);
    }
    // Without a word it is murmur2.
    let producer = client.producer().build().unwrap();
    assert_eq!(producer.send(records[1].clone().value("x")).await.unwrap().partition, 7);
}

#[tokio::test(start_paused = true)]
async fn rk_067_a_partitioner_of_the_users_own_sees_count_and_record_and_is_obeyed() {
    let (broker, client) = one_node(4);
    let seen = Arc::new(Mutex::new(Vec::new()));
    let partitioning = Partitioning::from({
        let seen = seen.clone();
        move |count: u32, record: &Record| {
            seen.lock().unwrap().push((count, record.topic.to_string(), record.key.clone(), record.partition_key.clone()));
            Some(2)
        }
    });
    let record = Record::new("t").key("k").partition_key("p");
    assert_eq!(places(&client, &broker, &partitioning, &[record]).await, [[2], [2], [2]]);
    let expected = (4, "t".to_owned(), Some("k".into()), Some("p".into()));
    assert_eq!(*seen.lock().unwrap(), [expected.clone(), expected.clone(), expected]);
    // It is not asked about a record that names its partition.
    assert_eq!(places(&client, &broker, &partitioning, &[Record::new("t").partition(1)]).await, [[1], [1], [1]]);
    assert_eq!(seen.lock().unwrap().len(), 3);
}

/// A partitioner that does as a record's key says.
struct AsTold;

impl Partitioner for AsTold {
    fn partition(&self, partition_count: u32, record: &Record) -> Option<u32> {
        match record.key.as_deref() {
            Some(b"beyond") => Some(partition_count),
            Some(b"panics") => panic!("as told"),
            Some(_) => Some(0),
            None => None,
        }
    }
}

#[tokio::test(start_paused = true)]
async fn rk_068_a_number_that_is_no_partition_fails_that_record_and_no_other() {
    let (broker, client) = one_node(3);
    let mut buffer = client.buffered_producer().partitioner(AsTold).build().unwrap();
    for (key, value) in [("fine", "a"), ("beyond", "b"), ("fine", "c"), ("panics", "d"), ("fine", "e")] {
        buffer.produce(Record::new("t").key(key).value(value)).unwrap();
    }
    let failed = buffer.deliver().await.unwrap_err();
    assert_eq!(values(&broker, "t", 0), ["a", "c", "e"]);
    let [beyond, panicked] = &failed.failed[..] else { panic!("{failed}") };
    assert_eq!(beyond.record.value.as_deref(), Some(&b"b"[..]));
    assert_eq!(
        (beyond.error.kind(), beyond.error.topic(), beyond.error.partition()),
        (ErrorKind::InvalidRequest, Some("t"), Some(3))
    );
    let text = beyond.error.to_string();
    assert!(text.contains("chose partition 3") && text.contains("has 3") && text.contains("t/3"), "{text}");
    assert_eq!((panicked.error.kind(), panicked.error.topic()), (ErrorKind::Processing, Some("t")));
    assert!(panicked.error.to_string().contains("as told"), "{}", panicked.error);

    let producer = client.producer().partitioner(AsTold).build().unwrap();
    let error = producer.send(Record::new("t").key("beyond").value("x")).await.unwrap_err();
    assert_eq!((error.kind(), error.partition()), (ErrorKind::InvalidRequest, Some(3)));
    let error = producer.send(Record::new("t").key("panics").value("x")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Processing);
    assert_eq!(producer.send(Record::new("t").key("fine").value("x")).await.unwrap().partition, 0);
    producer.send(Record::new("t").value("the sticky choice")).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn rk_069_records_of_an_unknown_topic_wait_in_order_and_others_go_on() {
    let broker = Broker::builder().topic("b", 1).topic("c", 1).start_in_memory().unwrap();
    let client = client(&broker);
    let mut buffer = client.buffered_producer().max_retries(5).build().unwrap();
    for (topic, value) in [("a", "a1"), ("b", "b1"), ("a", "a2"), ("c", "c1")] {
        buffer.produce(Record::new(topic).value(value)).unwrap();
    }
    let delivering = tokio::spawn(async move { buffer.deliver().await });
    tokio::time::sleep(millis(500)).await;
    assert_eq!(values(&broker, "b", 0), ["b1"], "it does not wait for a");
    assert_eq!(values(&broker, "c", 0), ["c1"]);
    tokio::time::sleep(Duration::from_secs(8)).await;
    broker.create_topic("a", 1);
    delivering.await.unwrap().unwrap();
    assert_eq!(values(&broker, "a", 0), ["a1", "a2"]);
    assert_eq!((values(&broker, "b", 0).len(), values(&broker, "c", 0).len()), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_partitioner_may_use_the_producer_that_asks_it() {
    let (_broker, client) = one_node(2);
    let (own, asked) = (Arc::new(Mutex::new(None::<klamm::producer::Producer>)), Arc::new(Mutex::new(0)));
    let partitioner = {
        let (own, asked) = (own.clone(), asked.clone());
        move |_: u32, record: &Record| {
            *asked.lock().unwrap() += 1;
            if record.key.is_some() {
                let producer = own.lock().unwrap().clone();
                drop(producer.unwrap().try_enqueue(Record::new("t").value("from within")).unwrap());
            }
            Some(1)
        }
    };
    let producer = client.producer().partitioner(partitioner).build().unwrap();
    *own.lock().unwrap() = Some(producer.clone());
    producer.send(Record::new("t").value("known")).await.unwrap();
    producer.send(Record::new("t").key("k").value("v")).await.unwrap();
    producer.flush().await.unwrap();
    assert_eq!(*asked.lock().unwrap(), 3);
    own.lock().unwrap().take();
}

#[tokio::test(start_paused = true)]
async fn partitioners_are_chosen_by_the_names_of_properties() {
    let (broker, _) = one_node(100);
    let made = |pairs: &[(&str, &str)]| {
        let servers = broker.bootstrap().join(",");
        let pairs = pairs.iter().copied().chain([("bootstrap.servers", &*servers)]);
        Client::from_properties(Properties::from_pairs(pairs)?)?.connector(broker.connector()).build()
    };
    // The remainders by 100 of "hey" and of the empty key.
    for (pairs, hey, null) in [
        (&[("partitioner", "consistent")][..], 96, Some(0)),
        (&[("partitioner.class", "crc32")], 96, None),
        (&[("partitioner", "consistent_random")], 96, None),
        (&[("partitioner", "murmur2_random")], 67, None),
        (&[("partitioner", "murmur2")], 67, Some(81)),
        (&[("partitioner.ignore.keys", "false")], 67, None),
    ] {
        let client = made(pairs).unwrap();
        assert_eq!(client.deliver(Record::new("t").key("hey").value("v")).await.unwrap().partition, hey, "{pairs:?}");
        let producer = client.producer().build().unwrap();
        assert_eq!(producer.send(Record::new("t").key("hey").value("v")).await.unwrap().partition, hey, "{pairs:?}");
        if let Some(null) = null {
            assert_eq!(producer.send(Record::new("t").value("v")).await.unwrap().partition, null, "{pairs:?}");
        }
    }
    for pairs in [&[("partitioner.ignore.keys", "true")][..], &[("partitioner", "random"), ("partitioner.ignore.keys", "true")]] {
        let producer = made(pairs).unwrap().async_producer().build().unwrap();
        for key in 0..20 {
            producer.produce(Record::new("t").key(key.to_string()).value(format!("{pairs:?}"))).await.unwrap();
        }
        producer.close(MINUTE).await.unwrap();
        let of = |partition| values(&broker, "t", partition).iter().filter(|value| **value == format!("{pairs:?}")).count();
        assert_eq!((0..100).map(of).filter(|count| *count > 0).collect::<Vec<_>>(), [20], "all stick to one");
    }
    for (pairs, words) in [
        (&[("partitioner", "fnv1a")][..], &["partitioner", "fnv1a", "not built in"][..]),
        (&[("partitioner.class", "com.example.Mine")], &["partitioner.class", "Java class"]),
        (&[("partitioner", "consistent"), ("partitioner.ignore.keys", "true")], &["partitioner.ignore.keys", "consistent"]),
    ] {
        let error = made(pairs).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidConfig);
        assert!(words.iter().all(|word| error.to_string().contains(word)), "{error}");
    }
}
