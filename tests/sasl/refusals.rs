//! A refusal for who the client is: every call tells it at once, nothing hammers the brokers, and nothing has to be built anew once the
//! credentials are right.

use klamm::admin::{ConfigResource, NewTopic, OffsetSpec, Validate};
use klamm::consumer::SeekTo;
use klamm::network::{BoxFuture, Connector, Target, Transport};
use klamm::protocol::messages::list_groups::ListGroupsRequest;
use klamm::protocol::{ApiKey, BrokerId};
use klamm::{ErrorKind, Record, Route, TopicPartition};
use klamm_broker::{Intercept, Reachability};

use super::*;

/// What it must say, and what it must not look like.
fn assert_refused(what: &str, error: &Error) {
    assert_eq!(error.kind(), ErrorKind::Authentication, "{what}: {error:?}");
    assert!(!error.is_retriable() && !error.is_possibly_written(), "{what}: {error:?}");
    let text = error.to_string();
    assert!(text.contains("Authentication failed: Invalid username or password"), "{what}: {text}");
    assert!(!text.contains("could be reached") && !text.contains("in time"), "{what}: {text}");
}

/// Every call of a client that asks a broker something, each with its name.
async fn assert_every_call_is_refused(client: &Client) {
    let admin = client.admin();
    let partition = || TopicPartition::new("t", 0);
    let record = || Record::new("t").value("v");
    macro_rules! refused {
        ($($call:expr),* $(,)?) => {$(
            let name = stringify!($call);
            assert_refused(name, &at_once(name, $call).await);
        )*};
    }
    refused!(
        client.request(ListGroupsRequest::default(), Route::Any),
        client.request(ListGroupsRequest::default(), Route::Controller),
        client.request(ListGroupsRequest::default(), Route::Broker(BrokerId(1))),
        client.request(ListGroupsRequest::default(), Route::Group("g".into())),
        client.request(ListGroupsRequest::default(), Route::Transaction("x".into())),
        client.request(ListGroupsRequest::default(), Route::Leader(partition())),
        client.brokers(),
        client.controller(),
        client.topics(),
        client.has_topic("t"),
        client.partition_count("t"),
        client.replica_count("t"),
        client.last_offset("t", 0),
        client.last_offsets(["t"]),
        client.supports_api(ApiKey::FETCH, None),
        admin.describe_cluster(),
        admin.api_versions(None),
        admin.api_versions(Some(BrokerId(1))),
        admin.list_topics(),
        admin.describe_topics(["t"]),
        admin.create_topic(NewTopic::new("new")),
        admin.create_topics([NewTopic::new("new")], Validate::AndApply),
        admin.delete_topics(["t"]),
        admin.create_partitions("t", 5, Validate::AndApply),
        admin.list_groups(),
        admin.group_offsets("g"),
        admin.describe_configs(&ConfigResource::Topic("t".into()), None),
        client.fetch_messages("t", 0).send(),
        client.fetch_messages("t", 0).from(0).send(),
        client.each_message("t", SeekTo::Beginning, async |_| Ok::<_, Error>(())),
        client.deliver(record()),
    );
    // Where a result is one of several.
    let described = at_once("describe_groups", async {
        let (_, described) = admin.describe_groups(["g"]).await?.remove(0);
        described
    });
    assert_refused("describe_groups", &described.await);
    let listed = at_once("list_offsets", async {
        let (_, listed) = admin.list_offsets([partition()], OffsetSpec::End).await?.remove(0);
        listed
    });
    assert_refused("list_offsets", &listed.await);
    let mut reader = client.reader("t").build().unwrap();
    assert_refused("Reader::next", &at_once("Reader::next", reader.next()).await);
    assert_refused("Reader::next again", &at_once("Reader::next again", reader.next_batch()).await);
    let mut reader = client.reader("t").to_end().build().unwrap();
    assert_refused("Reader::next to the end", &at_once("Reader::next to the end", reader.next()).await);
    let mut reader = client.reader("t").partition(1).from(0).build().unwrap();
    assert_refused("Reader::next of a partition", &at_once("Reader::next of a partition", reader.next()).await);
    let mut consumer = client.consumer("g").topics(["t"]).build().unwrap();
    assert_refused("Consumer::next", &at_once("Consumer::next", consumer.next()).await);
    assert_refused("Consumer::next_batch", &at_once("Consumer::next_batch", consumer.next_batch()).await);
    assert!(timeout(SECOND, consumer.close(10 * SECOND)).await.is_ok(), "closing waits for nothing");
}

/// Producers, which a test may have made before the client was refused.
async fn assert_producers_are_refused(client: &Client, producer: &klamm::producer::Producer) {
    let record = |value: &str| Record::new("t").partition(0).value(value.to_owned());
    // A topic that is known takes records without asking anybody, one that is not does not.
    for topic in ["t", "other"] {
        let sent = producer.send(Record::new(topic).value("sent"));
        assert_refused("Producer::send", &at_once("Producer::send", sent).await);
    }
    let enqueued = at_once("Producer::enqueue", async { producer.enqueue(record("enqueued")).await?.await });
    assert_refused("Producer::enqueue", &enqueued.await);
    let flushed = at_once("Producer::flush", async {
        let delivery = producer.enqueue(record("flushed")).await?;
        let flushed = producer.flush().await;
        assert_eq!(delivery.await.is_err(), flushed.is_err());
        flushed
    });
    assert_refused("Producer::flush", &flushed.await);
    let mut buffer = client.buffered_producer().build().unwrap();
    for value in ["a", "b", "c"] {
        buffer.produce(record(value)).unwrap();
    }
    let start = Instant::now();
    let failed = buffer.deliver().await.unwrap_err();
    assert!(start.elapsed() < 3 * SECOND, "{:?}", start.elapsed());
    assert_eq!((failed.failed.len(), failed.attempts, buffer.buffer_size()), (3, 1, 3), "{failed}");
    failed.failed.iter().for_each(|failed| assert_refused("BufferedProducer::deliver", &failed.error));
    assert!(buffer.take_refused().is_empty(), "there is nothing wrong with the records");
    assert_refused("BufferedProducer::deliver", &failed.into());
}

#[tokio::test(start_paused = true)]
async fn a_client_that_was_never_let_in_is_told_so_by_every_call_at_once() {
    let broker = secured().nodes(3).start_in_memory().unwrap();
    let client = client(&broker, Sasl::plain(USER, "wrong")).build().unwrap();
    assert_every_call_is_refused(&client).await;
    let producer = client.producer().build().unwrap();
    assert_producers_are_refused(&client, &producer).await;
    let rejected = producer.try_enqueue(Record::new("t").value("v")).unwrap_err();
    assert_refused("Producer::try_enqueue", rejected.error());
    assert!(broker.requests_of(ApiKey::METADATA).is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_client_that_is_no_longer_let_in_is_told_so_by_every_call_at_once() {
    let broker = secured().nodes(3).start_in_memory().unwrap();
    let client = plain(&broker).connect().await.unwrap();
    let producer = client.producer().build().unwrap();
    producer.send(Record::new("t").value("before")).await.unwrap();
    let mut consumer = client.consumer("earlier").topics(["t"]).build().unwrap();
    consumer.next().await.unwrap();
    let mut reader = client.reader("t").build().unwrap();
    reader.next().await.unwrap();
    set_password(&broker, "other");
    for node in 1..=3 {
        broker.close_connections(node);
    }
    for _ in 0..3 {
        assert_refused("Consumer::next", &at_once("Consumer::next", consumer.next()).await);
        assert_refused("Reader::next", &at_once("Reader::next", reader.next()).await);
        assert_refused("commit", &at_once("commit", consumer.commit()).await);
    }
    assert_every_call_is_refused(&client).await;
    assert_producers_are_refused(&client, &producer).await;
    let handshakes = broker.requests_of(ApiKey::SASL_HANDSHAKE).len();

    // Nothing of it is lost: the same client, producers and consumers go on.
    set_password(&broker, PASSWORD);
    tokio::time::sleep(2 * SECOND).await;
    assert_eq!(client.brokers().await.unwrap().len(), 3);
    producer.send(Record::new("t").partition(0).value("after")).await.unwrap();
    client.deliver(Record::new("t").partition(0).value("and after")).await.unwrap();
    for wanted in ["after", "and after"] {
        let read = async |consumer: &mut klamm::consumer::Consumer| loop {
            // Refusals of a moment ago may still be told.
            if let Ok(message) = consumer.next().await {
                break message.unwrap().value.unwrap();
            }
        };
        assert_eq!(timeout(60 * SECOND, read(&mut consumer)).await.unwrap(), wanted);
    }
    consumer.commit().await.unwrap();
    consumer.close(SECOND).await.unwrap();
    assert!(broker.requests_of(ApiKey::SASL_HANDSHAKE).len() > handshakes);
    assert_logged_in_everywhere(&broker);
}

#[tokio::test(start_paused = true)]
async fn connecting_tells_a_refusal_although_other_servers_are_only_down_and_lists_them() {
    for nodes in [1, 3] {
        let broker = secured().nodes(nodes).start_in_memory().unwrap();
        for node in 2..=i32::from(nodes) {
            broker.set_reachability(node, Reachability::Refusing);
        }
        let error = at_once("connecting", client(&broker, Sasl::plain(USER, "wrong")).connect()).await;
        assert_refused("connect", &error);
        let text = error.to_string();
        assert!(text.contains("node-1:9092"), "{text}");
        for node in 2..=nodes {
            assert!(text.contains("(besides: ") && text.contains(&format!("node-{node}:9092")), "{text}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_that_is_silent_does_not_hold_a_refusal_up() {
    let broker = secured().nodes(2).start_in_memory().unwrap();
    broker.set_reachability(2, Reachability::BlackHole);
    for seed in 0..4 {
        let connecting = client(&broker, Sasl::plain(USER, "wrong")).seed(seed).connect();
        let start = Instant::now();
        let error = connecting.await.unwrap_err();
        assert!(start.elapsed() < 5 * SECOND, "{:?}", start.elapsed());
        assert_refused("connect", &error);
        assert!(error.to_string().contains("node-2:9092"), "{error}");
    }
}

#[tokio::test(start_paused = true)]
async fn one_server_that_lets_the_client_in_is_enough() {
    let broker = secured().nodes(2).start_in_memory().unwrap();
    broker.intercept_all(ApiKey::SASL_AUTHENTICATE, |request| {
        if request.node == 1 { Intercept::Error(klamm::protocol::ErrorCode::SASL_AUTHENTICATION_FAILED) } else { Intercept::Pass }
    });
    for seed in 0..8 {
        plain(&broker).seed(seed).connect().await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn refused_clients_do_not_hammer_the_brokers_nor_look_elsewhere() {
    let broker = secured().nodes(3).start_in_memory().unwrap();
    let client = plain(&broker).reconnect_backoff(SECOND / 20, 10 * SECOND).connect().await.unwrap();
    let producer = client.producer().build().unwrap();
    producer.send(Record::new("t").value("before")).await.unwrap();
    let mut consumer = client.consumer("g").topics(["t"]).build().unwrap();
    consumer.next().await.unwrap();
    set_password(&broker, "other");
    for node in 1..=3 {
        broker.close_connections(node);
    }
    broker.clear_requests();
    // Somebody who calls again and again whatever the answer was.
    let end = Instant::now() + 300 * SECOND;
    let calls = tokio::join!(
        async {
            let mut calls = 0;
            while Instant::now() < end {
                drop(client.topics().await.unwrap_err());
                calls += 1;
            }
            calls
        },
        async {
            while Instant::now() < end {
                drop(producer.send(Record::new("t").value("x")).await.unwrap_err());
            }
        },
        async {
            while Instant::now() < end {
                drop(timeout(SECOND, consumer.next()).await);
            }
        },
    );
    // Ten seconds between attempts: 30 rounds that ask three brokers, and as many attempts by the producer's two and the consumer's four
    // connections at most.
    let attempts = broker.requests_of(ApiKey::SASL_HANDSHAKE).len();
    assert!((60..350).contains(&attempts), "{attempts} attempts in five minutes, {} calls", calls.0);
    assert!(calls.0 < 100, "{}", calls.0);
}

/// Counts connections to what only bootstrap servers are called.
#[derive(Clone, Debug)]
struct Alias {
    inner: klamm_broker::MemoryConnector,
    seeds: std::sync::Arc<std::sync::atomic::AtomicUsize>,
}

impl Connector for Alias {
    fn connect(&self, target: Target) -> BoxFuture<'static, std::io::Result<Box<dyn Transport>>> {
        let target = match target.host.as_str() {
            "bootstrap" => {
                self.seeds.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                Target::new("node-1", 9092)
            }
            _ => target,
        };
        self.inner.connect(target)
    }
}

#[tokio::test(start_paused = true)]
async fn a_refusal_is_no_reason_to_go_back_to_the_bootstrap_servers() {
    let broker = secured().nodes(2).start_in_memory().unwrap();
    let alias = Alias { inner: broker.connector(), seeds: std::sync::Arc::default() };
    let seeds = || alias.seeds.swap(0, std::sync::atomic::Ordering::Relaxed);
    let builder = Client::builder(["bootstrap:9092"]).connector(alias.clone()).sasl(Sasl::plain(USER, PASSWORD));
    let client = builder.allow_cleartext_sasl(true).rebootstrap_trigger(30 * SECOND).connect().await.unwrap();
    client.topics().await.unwrap();
    seeds();
    set_password(&broker, "other");
    for node in 1..=2 {
        broker.close_connections(node);
    }
    let end = Instant::now() + 120 * SECOND;
    while Instant::now() < end {
        assert_refused("topics", &at_once("topics", client.topics()).await);
    }
    assert_eq!(seeds(), 0);
    // Brokers that are down are another matter.
    for node in 1..=2 {
        broker.set_reachability(node, Reachability::Refusing);
    }
    drop(client.topics().await);
    assert!(seeds() > 0);
}

#[tokio::test(start_paused = true)]
async fn batches_that_wait_for_a_leader_fail_when_the_brokers_refuse_to_tell_who_it_is() {
    let broker = secured().nodes(2).start_in_memory().unwrap();
    let client = plain(&broker).connect().await.unwrap();
    let producer = client.producer().linger(Duration::ZERO).build().unwrap();
    producer.send(Record::new("t").partition(0).value("before")).await.unwrap();
    broker.remove_leader("t", 0);
    let waiting = tokio::spawn({
        let producer = producer.clone();
        async move { producer.send(Record::new("t").partition(0).value("waits")).await }
    });
    tokio::time::sleep(5 * SECOND).await;
    assert!(!waiting.is_finished(), "a leader may come");
    set_password(&broker, "other");
    for node in 1..=2 {
        broker.close_connections(node);
    }
    let error = at_once("waiting", async { waiting.await.unwrap() }).await;
    assert_eq!(error.kind(), ErrorKind::Authentication, "{error:?}");
}
