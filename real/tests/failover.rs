//! Nodes that die and connections that break while records are written and read: nothing is lost, nothing comes twice (acceptance
//! checks C, G, O). The tests of this file share three nodes and one proxy, so one runs at a time, and each leaves all nodes running.
#![forbid(unsafe_code)]

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use klamm::admin::NewTopic;
use klamm::{Client, Record};
use klamm_real::{Node, Proxy, cluster_bootstrap, connect, create, java_read, new_replicated_topic, read_all, unique};
use tokio::sync::{Mutex, MutexGuard};
use tokio::task::{JoinHandle, spawn_blocking};

/// The nodes and the proxy's ports.
async fn alone() -> MutexGuard<'static, ()> {
    static NODES: Mutex<()> = Mutex::const_new(());
    NODES.lock().await
}

/// Starts the node again after a while, on a thread of its own.
fn start_after(node: Node, pause: Duration) -> JoinHandle<()> {
    spawn_blocking(move || {
        std::thread::sleep(pause);
        node.start();
    })
}

/// Waits until every partition of the topic has all its replicas in sync again, so that the next test finds a healthy cluster.
async fn in_sync(client: &Client, topic: &str) {
    let limit = Instant::now() + Duration::from_secs(60);
    loop {
        let described = client.admin().describe_topics([topic]).await.expect("an answer").remove(0).1.expect("described");
        if described.partitions.iter().all(|partition| partition.in_sync_replicas.len() == partition.replicas.len()) {
            return;
        }
        assert!(Instant::now() < limit, "replicas are not in sync: {described:?}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// The leader of a partition.
async fn leader(client: &Client, topic: &str, partition: usize) -> Node {
    let described = client.admin().describe_topics([topic]).await.expect("an answer").remove(0).1.expect("described");
    Node(described.partitions[partition].leader.expect("a leader").0.try_into().expect("a small number"))
}

/// How often each value is in the topic, as Kafka's own consumer reads it.
async fn counts(topic: &str) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for record in java_read(&cluster_bootstrap(), topic, "read_committed").await {
        let value = record.value.expect("a value");
        *counts.entry(std::str::from_utf8(&value).expect("text").to_owned()).or_default() += 1;
    }
    counts
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rk_043_a_leader_that_stops_costs_no_delivery_and_doubles_none() {
    let _alone = alone().await;
    let client = connect(&cluster_bootstrap()).await;
    let topic = new_replicated_topic(&client, "leader-stops", 1).await;
    let node = leader(&client, &topic, 0).await;
    let mut buffer = client.buffered_producer().max_retries(10).build().expect("a producer");
    let mut restarted = None;
    let mut longest = Duration::ZERO;
    for number in 0..1000 {
        if number == 300 {
            node.kill();
            restarted = Some(start_after(node, Duration::from_secs(5)));
        }
        let start = Instant::now();
        buffer.produce(Record::new(topic.as_str()).value(number.to_string())).expect("buffered");
        buffer.deliver().await.unwrap_or_else(|failed| panic!("delivery {number}: {failed:?}"));
        longest = longest.max(start.elapsed());
    }
    println!("the longest delivery took {longest:?}");
    restarted.expect("it was killed").await.expect("it is back");
    let wanted: BTreeMap<String, usize> = (0..1000).map(|number| (number.to_string(), 1)).collect();
    assert_eq!(counts(&topic).await, wanted);
    let offsets: Vec<_> = read_all(&client, &topic).await.iter().map(|message| message.offset).collect();
    assert_eq!(offsets.len(), 1000);
    in_sync(&client, &topic).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rk_086_a_connection_lost_before_the_answer_doubles_nothing() {
    let _alone = alone().await;
    let client = connect(&cluster_bootstrap()).await;
    let topic = new_replicated_topic(&client, "answer-lost", 3).await;
    let proxy = Proxy::start().await.expect("the proxy's ports are free");
    let through = connect(&proxy.bootstrap()).await;

    // The buffered producer, cut in each of its deliveries.
    let mut buffer =
        through.buffered_producer().max_retries(10).retry_backoff(Duration::from_millis(100)).build().expect("a producer");
    let mut wanted = BTreeMap::new();
    for round in 0..4 {
        proxy.cut_next(2);
        for number in 0..30 {
            let value = format!("buffered {round} {number}");
            wanted.insert(value.clone(), 1);
            buffer.produce(Record::new(topic.as_str()).value(value).partition(number % 3)).expect("buffered");
        }
        buffer.deliver().await.unwrap_or_else(|failed| panic!("round {round}: {failed:?}"));
        assert_eq!(buffer.buffer_size(), 0);
    }
    assert_eq!(proxy.cuts(), 8, "every cut happened");

    // The background one, with several requests in flight.
    let producer = through.producer().linger(Duration::ZERO).batch_size(1000).build().expect("a producer");
    let mut sent = Vec::new();
    for number in 0..3000 {
        if number % 500 == 100 {
            proxy.cut_next(1);
        }
        let value = format!("background {number:05}");
        wanted.insert(value.clone(), 1);
        sent.push(producer.enqueue(Record::new(topic.as_str()).value(value).partition(number % 3)).await.expect("there is room"));
        if number % 100 == 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    for delivery in sent {
        delivery.await.expect("acknowledged");
    }
    println!("{} cuts, {} of them after the broker had answered", proxy.cuts(), proxy.done_by_then());
    assert!(proxy.cuts() > 10 && proxy.done_by_then() >= 8, "{} cuts, {} answered", proxy.cuts(), proxy.done_by_then());
    assert_eq!(counts(&topic).await, wanted);
    let mut last = BTreeMap::new();
    for message in read_all(&client, &topic).await {
        let value = message.value.expect("a value");
        if value.starts_with(b"background") {
            let before = last.insert(message.partition, value.clone());
            assert!(before.as_ref().is_none_or(|before| *before < value), "{value:?} after {before:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rk_088_a_hundred_partitions_get_each_message_once_though_a_broker_dies() {
    let _alone = alone().await;
    let client = connect(&cluster_bootstrap()).await;
    let topic = new_replicated_topic(&client, "hundred", 100).await;
    let mut buffer = client.buffered_producer().retry_backoff(Duration::from_millis(200)).build().expect("a producer");
    let node = Node(2);
    let mut restarted = None;
    for half in 0..2 {
        for partition in 0..100 {
            buffer
                .produce(Record::new(topic.as_str()).value(format!("{partition} {half}")).partition(partition))
                .expect("buffered");
        }
        if half == 0 {
            // While it is written to.
            let kill = spawn_blocking(move || {
                std::thread::sleep(Duration::from_millis(2));
                node.kill();
            });
            restarted = Some(kill);
        }
        let mut calls = 1;
        while let Err(failed) = buffer.deliver().await {
            println!("call {calls}: {failed}");
            calls += 1;
            assert!(calls < 100, "{failed:?}");
        }
        assert_eq!(buffer.buffer_size(), 0);
    }
    restarted.expect("it was killed").await.expect("it was killed");
    start_after(node, Duration::ZERO).await.expect("it is back");
    let mut seen: BTreeMap<i32, Vec<String>> = BTreeMap::new();
    for record in java_read(&cluster_bootstrap(), &topic, "read_committed").await {
        let value = record.value.expect("a value");
        let partition = seen.entry(record.partition.expect("a partition")).or_default();
        partition.push(std::str::from_utf8(&value).expect("text").to_owned());
    }
    let wanted = (0..100).map(|partition| (partition, vec![format!("{partition} 0"), format!("{partition} 1")])).collect();
    assert_eq!(seen, wanted);
    in_sync(&client, &topic).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rk_185_producer_and_consumer_go_on_when_their_broker_was_restarted() {
    let _alone = alone().await;
    let client = connect(&cluster_bootstrap()).await;
    let topic = unique("restarted");
    // One replica: nobody else can lead while the node is away.
    create(&client, NewTopic::new(topic.as_str()).partitions(1).replicas(1).config("min.insync.replicas", "1")).await;
    let node = leader(&client, &topic, 0).await;
    let producer = client.producer().build().expect("a producer");
    let mut buffer = client.buffered_producer().build().expect("a producer");
    let mut consumer = client
        .consumer(unique("restarted"))
        .topics([topic.as_str()])
        .session_timeout(Duration::from_secs(20))
        .build()
        .expect("a consumer");
    let mut next = async || {
        let message = tokio::time::timeout(Duration::from_secs(60), consumer.next()).await.expect("within a minute");
        let message = message.expect("no error").expect("it was not stopped");
        (message.offset, String::from_utf8(message.value.expect("a value").to_vec()).expect("text"))
    };
    producer.send(Record::new(topic.as_str()).value("before")).await.expect("delivered");
    buffer.produce(Record::new(topic.as_str()).value("before, too")).expect("buffered");
    buffer.deliver().await.expect("delivered");
    assert_eq!(next().await, (0, "before".to_owned()));
    assert_eq!(next().await, (1, "before, too".to_owned()));

    spawn_blocking(move || {
        node.stop_and_wait();
        node.start();
    })
    .await
    .expect("it was restarted");
    producer.send(Record::new(topic.as_str()).value("after")).await.expect("delivered");
    assert_eq!(next().await, (2, "after".to_owned()));
    buffer.produce(Record::new(topic.as_str()).value("after, too")).expect("buffered");
    buffer.deliver().await.expect("delivered");
    assert_eq!(next().await, (3, "after, too".to_owned()));

    // Also what is sent while it is away.
    node.kill();
    let waiting = producer.enqueue(Record::new(topic.as_str()).value("meanwhile")).await.expect("there is room");
    start_after(node, Duration::from_secs(2)).await.expect("it is back");
    waiting.await.expect("delivered");
    assert_eq!(next().await, (4, "meanwhile".to_owned()));
    consumer.close(Duration::from_secs(20)).await.expect("it ends in order");
}

/// A node that is frozen answers nothing, yet its connections stay: time-outs must find out.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_that_freezes_in_the_middle_loses_and_doubles_nothing() {
    let _alone = alone().await;
    let settled = connect(&cluster_bootstrap()).await;
    let topic = new_replicated_topic(&settled, "frozen", 3).await;
    // A broker that answers nothing is found out by the time-out of a request.
    let client = Client::builder(cluster_bootstrap()).request_timeout(Duration::from_secs(3)).connect().await.expect("a broker");
    let producer = client.producer().build().expect("a producer");
    let mut reader = client.reader(topic.as_str()).build().expect("a reader");
    let read = tokio::spawn(async move {
        let mut seen = BTreeMap::<String, usize>::new();
        while seen.len() < 2000 {
            let message = reader.next().await.expect("no error").expect("it has no end");
            *seen.entry(String::from_utf8(message.value.expect("a value").to_vec()).expect("text")).or_default() += 1;
        }
        seen
    });
    let node = leader(&settled, &topic, 1).await;
    let mut sent = Vec::new();
    let mut thawed = None;
    for number in 0..2000 {
        if number == 500 {
            node.pause();
            thawed = Some(spawn_blocking(move || {
                std::thread::sleep(Duration::from_secs(9));
                node.resume();
            }));
        }
        let record = Record::new(topic.as_str()).value(number.to_string()).partition(number % 3);
        sent.push(producer.enqueue(record).await.expect("there is room"));
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    for (number, delivery) in sent.into_iter().enumerate() {
        delivery.await.unwrap_or_else(|error| panic!("record {number}: {error:?}"));
    }
    let wanted: BTreeMap<String, usize> = (0..2000).map(|number| (number.to_string(), 1)).collect();
    let seen = tokio::time::timeout(Duration::from_secs(60), read).await.expect("it is read in a minute").expect("the reader");
    assert_eq!(seen, wanted, "what the reader saw");
    thawed.expect("it was frozen").await.expect("it was thawed");
    assert_eq!(counts(&topic).await, wanted, "what is in the log");
    in_sync(&settled, &topic).await;
}

/// Every node once, one after the other, as an upgrade does it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rolling_restart_is_not_noticed_by_producers_and_groups() {
    let _alone = alone().await;
    let client = connect(&cluster_bootstrap()).await;
    let topic = new_replicated_topic(&client, "rolling", 6).await;
    let producer = client.producer().build().expect("a producer");
    let mut consumer = client.consumer(unique("rolling")).topics([topic.as_str()]).build().expect("a consumer");
    let handle = consumer.handle();
    let consume = tokio::spawn(async move {
        let mut last = BTreeMap::<i32, i64>::new();
        let mut count = 0;
        while let Some(message) = consumer.next().await.expect("no error") {
            let before = last.insert(message.partition, message.offset);
            assert!(before.is_none_or(|before| before < message.offset), "{} after {before:?}", message.offset);
            count += 1;
        }
        count
    });
    let restarts = spawn_blocking(|| {
        for node in [Node(1), Node(2), Node(3)] {
            node.stop_and_wait();
            node.start();
            std::thread::sleep(Duration::from_millis(500));
        }
    });
    let mut sent = Vec::new();
    while !restarts.is_finished() {
        let record = Record::new(topic.as_str()).value(sent.len().to_string()).partition(sent.len() as i32 % 6);
        sent.push(producer.enqueue(record).await.expect("there is room"));
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    restarts.await.expect("every node was restarted");
    let count = sent.len();
    for (number, delivery) in sent.into_iter().enumerate() {
        delivery.await.unwrap_or_else(|error| panic!("record {number}: {error:?}"));
    }
    let found = counts(&topic).await;
    assert_eq!(found.len(), count);
    assert!(found.values().all(|count| *count == 1), "something came twice");
    let limit = Instant::now() + Duration::from_secs(60);
    while (0..6).map(|partition| handle.position(topic.as_str(), partition).unwrap_or(0)).sum::<i64>() < count as i64 {
        assert!(Instant::now() < limit, "the group did not catch up");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    handle.stop();
    let consumed = tokio::time::timeout(Duration::from_secs(60), consume).await.expect("it ends").expect("the consumer");
    assert_eq!(consumed, count, "the group saw each record once: nobody took anything over");
    in_sync(&client, &topic).await;
}
