//! What a client says of a cluster, and what it refuses, on Apache Kafka (acceptance checks A, and bad input).
#![forbid(unsafe_code)]

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use klamm::admin::NewTopic;
use klamm::consumer::SeekTo;
use klamm::protocol::{ApiKey, ErrorCode};
use klamm::{Client, Error, ErrorKind, Record};
use klamm_real::{bootstrap, cluster_bootstrap, connect, create, new_topic, read_all, seeds, unique};

/// The error of a call that must fail, within ten times the time it is given.
async fn refused<T: std::fmt::Debug>(within: Duration, call: impl Future<Output = Result<T, Error>>) -> Error {
    let start = Instant::now();
    let result = tokio::time::timeout(within * 10, call).await.unwrap_or_else(|_| panic!("no answer within {:?}", within * 10));
    let error = result.expect_err("must be refused");
    println!("after {:?}: {error:?}", start.elapsed());
    error
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rk_008_brokers_and_controller_are_listed_with_id_host_and_port() {
    for (addresses, count) in [(bootstrap(), 1), (cluster_bootstrap(), 3)] {
        let client = connect(&addresses).await;
        let brokers = client.brokers().await.expect("brokers");
        let found: BTreeSet<String> = brokers.iter().map(|node| format!("{}:{}", node.host, node.port)).collect();
        let wanted: BTreeSet<String> = seeds(&addresses).into_iter().map(|seed| seed.replace("localhost", "127.0.0.1")).collect();
        assert_eq!(found.iter().map(|at| at.replace("localhost", "127.0.0.1")).collect::<BTreeSet<_>>(), wanted);
        let ids: Vec<i32> = brokers.iter().map(|node| node.id.0).collect();
        assert_eq!(ids, (1..=count).collect::<Vec<_>>(), "ascending, each once");
        let controller = client.controller().await.expect("a controller");
        assert!(brokers.contains(&controller), "{controller:?} is one of {brokers:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rk_009_partitions_and_replicas_are_counted() {
    let client = connect(&bootstrap()).await;
    let topic = new_topic(&client, "counted", 3).await;
    assert_eq!(client.partition_count(topic.as_str()).await.expect("a count"), 3);
    assert_eq!(client.replica_count(topic.as_str()).await.expect("a count"), 1);

    let cluster = connect(&cluster_bootstrap()).await;
    let topic = unique("counted");
    create(&cluster, NewTopic::new(topic.as_str()).partitions(2).replicas(3)).await;
    assert_eq!(cluster.partition_count(topic.as_str()).await.expect("a count"), 2);
    assert_eq!(cluster.replica_count(topic.as_str()).await.expect("a count"), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rk_010_the_last_offset_is_that_of_the_last_record_and_minus_one_where_there_is_none() {
    let client = connect(&bootstrap()).await;
    let topic = new_topic(&client, "last", 3).await;
    for partition in [0, 1] {
        client.deliver(Record::new(topic.as_str()).value("x").partition(partition)).await.expect("delivered");
    }
    for (partition, wanted) in [(0, 0), (1, 0), (2, -1)] {
        assert_eq!(client.last_offset(topic.as_str(), partition).await.expect("an offset"), wanted, "partition {partition}");
    }
    let mut all = client.last_offsets([topic.as_str()]).await.expect("offsets");
    all.sort();
    let all: Vec<_> = all.iter().map(|(at, offset)| (at.topic.as_str(), at.partition, *offset)).collect();
    assert_eq!(all, [(&*topic, 0, 0), (&*topic, 1, 0), (&*topic, 2, -1)]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rk_011_the_client_knows_which_apis_and_versions_the_broker_serves() {
    let client = connect(&bootstrap()).await;
    let supports = async |api, version| client.supports_api(api, version).await.expect("an answer");
    assert!(supports(ApiKey::PRODUCE, None).await);
    assert!(!supports(ApiKey::PRODUCE, Some(100)).await);
    assert!(!supports(ApiKey(100), None).await);
    assert!(supports(ApiKey::PRODUCE, Some(9)).await);
}

/// One client, a producer and a consumer of it in different tasks at once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rk_013_a_producer_and_a_consumer_of_one_client_work_at_once_and_lose_nothing() {
    const RECORDS: usize = 10_000;
    let client = connect(&bootstrap()).await;
    let topic = new_topic(&client, "at-once", 3).await;
    let producer = client.producer().build().expect("a producer");
    let mut consumer = client.consumer(unique("at-once")).topics([topic.as_str()]).build().expect("a consumer");
    let consumed = tokio::spawn(async move {
        let mut seen = BTreeSet::new();
        while seen.len() < RECORDS {
            let message = consumer.next().await.expect("no error").expect("it was not stopped");
            let value = message.value.expect("a value");
            let number: usize = std::str::from_utf8(&value).expect("text").parse().expect("a number");
            assert!(seen.insert(number), "{number} came twice");
        }
        consumer.close(Duration::from_secs(20)).await.expect("it ends in order");
        seen.len()
    });
    let mut deliveries = Vec::with_capacity(RECORDS);
    for number in 0..RECORDS {
        let record = Record::new(topic.as_str()).key(format!("{}", number % 100)).value(number.to_string());
        deliveries.push(producer.enqueue(record).await.expect("there is room"));
    }
    for delivery in deliveries {
        delivery.await.expect("acknowledged");
    }
    let consumed = tokio::time::timeout(Duration::from_secs(60), consumed).await.expect("all is consumed within a minute");
    assert_eq!(consumed.expect("the consumer's task"), RECORDS);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_topic_that_does_not_exist_is_an_error_that_names_it_and_is_not_created() {
    let limit = Duration::from_secs(1);
    let client = Client::builder(bootstrap()).default_api_timeout(limit).connect().await.expect("a broker");
    let topic = unique("missing");

    let producer = client.producer().max_block(limit).delivery_timeout(Duration::from_secs(31)).build().expect("a producer");
    let mut errors = vec![refused(limit, producer.send(Record::new(topic.as_str()).value("x"))).await];
    let mut buffer = client.buffered_producer().max_retries(0).ack_timeout(limit).build().expect("a producer");
    buffer.produce(Record::new(topic.as_str()).value("x")).expect("buffered");
    errors.push(refused(limit, async { buffer.deliver().await.map_err(Error::from) }).await);
    errors.push(refused(limit, client.fetch_messages(topic.as_str(), 0).from(SeekTo::Beginning).send()).await);
    let mut reader = client.reader(topic.as_str()).build().expect("a reader");
    errors.push(refused(limit, reader.next()).await);
    errors.push(refused(limit, client.partition_count(topic.as_str())).await);
    errors.push(refused(limit, client.last_offset(topic.as_str(), 0)).await);
    for error in errors {
        assert_eq!(error.kind(), ErrorKind::UnknownTopic, "{error:?}");
        assert!(format!("{error:?}").contains(&topic), "{error:?} names the topic");
    }
    assert!(!client.has_topic(topic.as_str()).await.expect("an answer"), "asking created it");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_partition_that_does_not_exist_is_an_error_that_names_it() {
    let limit = Duration::from_secs(3);
    let client = Client::builder(bootstrap()).default_api_timeout(limit).connect().await.expect("a broker");
    let topic = new_topic(&client, "two", 2).await;
    let producer = client.producer().max_block(limit).build().expect("a producer");
    let errors = [
        refused(limit, producer.send(Record::new(topic.as_str()).value("x").partition(2))).await,
        refused(limit, client.fetch_messages(topic.as_str(), 2).from(SeekTo::Beginning).send()).await,
        refused(limit, client.last_offset(topic.as_str(), 2)).await,
    ];
    for error in errors {
        assert!(matches!(error.kind(), ErrorKind::UnknownTopic | ErrorKind::InvalidRequest), "{error:?}");
        assert_eq!((error.topic(), error.partition()), (Some(&*topic), Some(2)), "{error:?}");
    }
    producer.send(Record::new(topic.as_str()).value("x").partition(1)).await.expect("the others are not disturbed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn names_that_kafka_refuses_are_refused_with_what_is_wrong_with_them() {
    let limit = Duration::from_secs(3);
    let client = connect(&bootstrap()).await;
    let producer = client.producer().build().expect("a producer");
    let long = "x".repeat(250);
    for name in ["", ".", "..", "a b", "a/b", "späße", &long] {
        let mut buffer = client.buffered_producer().build().expect("a producer");
        let errors = [
            refused(limit, producer.send(Record::new(name).value("x"))).await,
            buffer.produce(Record::new(name).value("x")).expect_err("refused").into(),
            refused(limit, client.admin().create_topic(NewTopic::new(name).partitions(1).replicas(1))).await,
            refused(limit, client.fetch_messages(name, 0).send()).await,
            client.reader(name).build().map(|_| ()).expect_err("refused"),
            client.consumer("group").topics([name]).build().map(|_| ()).expect_err("refused"),
        ];
        for error in errors {
            assert!(matches!(error.kind(), ErrorKind::InvalidRequest | ErrorKind::InvalidConfig), "{name:?}: {error:?}");
            assert!(error.to_string().contains("name"), "{name:?}: {error}");
        }
        assert_eq!(buffer.buffer_size(), 0);
    }
    let error = client.consumer("").topics(["orders"]).build().map(|_| ()).expect_err("refused");
    assert!(error.to_string().contains("group"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_over_the_brokers_limit_fails_alone_and_at_once() {
    let client = connect(&bootstrap()).await;
    let topic = unique("small-records");
    create(&client, NewTopic::new(topic.as_str()).partitions(1).replicas(1).config("max.message.bytes", "10000")).await;

    // The topic's own limit, which the client can't know.
    let producer = client.producer().build().expect("a producer");
    let error = refused(Duration::from_secs(5), producer.send(Record::new(topic.as_str()).value(vec![b'x'; 20_000]))).await;
    assert_eq!((error.kind(), error.code()), (ErrorKind::MessageTooLarge, Some(ErrorCode::MESSAGE_TOO_LARGE)), "{error:?}");
    assert_eq!((error.topic(), error.partition()), (Some(&*topic), Some(0)), "{error:?}");
    assert!(!error.is_possibly_written(), "{error:?}");

    // In one batch with others: those are delivered (RK-041).
    let mut buffer = client.buffered_producer().build().expect("a producer");
    for number in 0..10 {
        let value = if number == 4 { vec![b'y'; 20_000] } else { format!("{number}").into_bytes() };
        buffer.produce(Record::new(topic.as_str()).value(value)).expect("buffered");
    }
    let start = Instant::now();
    let failed = buffer.deliver().await.expect_err("one is too large");
    assert!(start.elapsed() < Duration::from_secs(10), "it was retried");
    assert_eq!(failed.failed.len(), 1, "{failed:?}");
    assert_eq!(failed.failed[0].error.code(), Some(ErrorCode::MESSAGE_TOO_LARGE), "{failed:?}");
    assert_eq!(failed.failed[0].record.value.as_ref().map(|value| value.len()), Some(20_000));
    assert_eq!(buffer.buffer_size(), 1);
    assert_eq!(buffer.take_refused().len(), 1);
    buffer.deliver().await.expect("nothing is left");
    producer.send(Record::new(topic.as_str()).value("after")).await.expect("the producer goes on");
    let values: Vec<_> = read_all(&client, &topic).await.into_iter().filter_map(|message| message.value).collect();
    assert_eq!(values, ["0", "1", "2", "3", "5", "6", "7", "8", "9", "after"]);

    // The broker's limit for all topics, 1 MiB, which the client was told to exceed.
    let other = new_topic(&client, "large-records", 1).await;
    let producer = client.producer().max_request_size(4 << 20).build().expect("a producer");
    let error = refused(Duration::from_secs(5), producer.send(Record::new(other.as_str()).value(vec![b'z'; 2 << 20]))).await;
    assert_eq!((error.kind(), error.code()), (ErrorKind::MessageTooLarge, Some(ErrorCode::MESSAGE_TOO_LARGE)), "{error:?}");
    producer.send(Record::new(other.as_str()).value("after")).await.expect("the producer goes on");
    assert_eq!(read_all(&client, &other).await.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn topics_that_cannot_be_created_are_refused_with_the_brokers_own_words() {
    let limit = Duration::from_secs(5);
    let client = connect(&bootstrap()).await;
    let admin = client.admin();
    let topic = new_topic(&client, "there", 1).await;
    let fresh = unique("not-there");
    let new = |name: &str| NewTopic::new(name).partitions(1).replicas(1);
    let cases = [
        (new(&topic), ErrorCode::TOPIC_ALREADY_EXISTS),
        (new(&fresh).replicas(5), ErrorCode::INVALID_REPLICATION_FACTOR),
        (new(&fresh).partitions(0), ErrorCode::INVALID_PARTITIONS),
        (new(&fresh).config("cleanup.policy", "never"), ErrorCode::INVALID_CONFIG),
    ];
    for (new, code) in cases {
        let name = new.name().clone();
        let error = refused(limit, admin.create_topic(new)).await;
        assert_eq!(error.code(), Some(code), "{error:?}");
        assert_eq!(error.topic(), Some(name.as_str()), "{error:?}");
    }
    assert!(!client.has_topic(fresh.as_str()).await.expect("an answer"));
}
