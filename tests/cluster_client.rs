//! The client as a whole: settings, what it sends when, questions about the cluster, closing. (Acceptance group A.)

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use klamm::config::Properties;
use klamm::network::{BoxFuture, Connector, Target, Transport};
use klamm::protocol::ApiKey;
use klamm::protocol::messages::list_groups::ListGroupsRequest;
use klamm::protocol::messages::metadata::MetadataRequest;
use klamm::{Client, ErrorKind, Record, Route, TopicPartition};
use klamm_broker::{Broker, Intercept, Reachability};

/// A connector that counts and refuses.
#[derive(Clone, Debug, Default)]
struct Refusing(Arc<AtomicUsize>);

impl Connector for Refusing {
    fn connect(&self, target: Target) -> BoxFuture<'static, std::io::Result<Box<dyn Transport>>> {
        self.0.fetch_add(1, Ordering::Relaxed);
        Box::pin(async move { Err(std::io::Error::new(std::io::ErrorKind::ConnectionRefused, format!("no one at {target}"))) })
    }
}

#[tokio::test(start_paused = true)]
async fn rk_001_building_a_client_takes_the_defaults_and_sends_nothing() {
    let refusing = Refusing::default();
    let client = Client::builder(["a:1", "b:2"]).connector(refusing.clone()).build().unwrap();
    tokio::time::sleep(Duration::from_secs(3600)).await;
    assert_eq!(refusing.0.load(Ordering::Relaxed), 0, "network traffic although nothing was asked");
    let shown = format!("{client:?}");
    // defaults.md: client.id `klamm`, connection set-up 10 s (ruby-kafka's connect timeout).
    assert!(shown.contains("klamm"), "{shown}");
    let default = |name: &str| klamm::config::setting(name).unwrap().default;
    assert_eq!(default("client.id"), "klamm");
    assert_eq!(default("socket.connection.setup.timeout.ms"), "10000");
    assert_eq!(default("request.timeout.ms"), "30000");
    assert_eq!(default("ssl.endpoint.identification.algorithm"), "https");
    let shown = format!("{:?}", klamm::config::TlsConfig::new());
    assert!(shown.contains("verify_hostname: true"), "{shown}");
}

/// What the table of defaults says is what happens.
#[tokio::test(start_paused = true)]
async fn rk_001_without_a_setting_connecting_takes_10_seconds_and_a_request_30_at_most() {
    let broker = Broker::builder().start_in_memory().unwrap();
    let builder = || Client::builder(broker.bootstrap()).connector(broker.connector());
    broker.set_reachability(1, Reachability::BlackHole);
    let start = tokio::time::Instant::now();
    builder().connect().await.unwrap_err();
    let took = start.elapsed();
    // Times are spread by a fifth.
    assert!((Duration::from_secs(8)..=Duration::from_secs(12)).contains(&took), "{took:?}");
    broker.set_reachability(1, Reachability::Open);
    let client = builder().connect().await.unwrap();
    assert_eq!(broker.requests()[0].client_id.as_ref().map(|id| id.as_str()), Some("klamm"));
    broker.intercept_all(ApiKey::LIST_GROUPS, |_| Intercept::Swallow);
    let asking = tokio::spawn(async move { client.request(ListGroupsRequest::default(), Route::Any).await });
    let asked = broker.wait_for(ApiKey::LIST_GROUPS, 1).await.remove(0);
    let open = || broker.connection_ids(1).contains(&asked.connection);
    tokio::time::sleep(Duration::from_secs(29)).await;
    assert!(open() && broker.requests_of(ApiKey::LIST_GROUPS).len() == 1);
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert!(!open() && broker.requests_of(ApiKey::LIST_GROUPS).len() == 2, "after 30 s it is asked again, elsewhere");
    asking.abort();
}

#[tokio::test]
async fn rk_002_no_seeds_are_an_error() {
    let error = Client::builder(Vec::<String>::new()).build().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidConfig);
    assert!(Client::builder("").build().is_err());
}

#[test]
fn no_runtime_around_is_an_error_and_no_panic() {
    let error = Client::builder("a:1").build().unwrap_err();
    assert!(error.to_string().contains("tokio runtime"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn rk_007_every_request_carries_the_client_id() {
    let broker = Broker::builder().topic("t", 1).start_in_memory().unwrap();
    let client = Client::builder(broker.bootstrap()).connector(broker.connector()).client_id("my-app").connect().await.unwrap();
    client.partition_count("t").await.unwrap();
    let requests = broker.requests();
    assert!(requests.iter().any(|request| request.api_key == ApiKey::METADATA));
    for request in requests {
        assert_eq!(request.client_id.unwrap().as_str(), "my-app", "{}", request.api_key);
    }
}

#[tokio::test(start_paused = true)]
async fn rk_008_brokers_and_controller_are_told() {
    let broker = Broker::builder().nodes(3).start_in_memory().unwrap();
    let client = Client::builder(broker.bootstrap()).connector(broker.connector()).build().unwrap();
    let brokers = client.brokers().await.unwrap();
    let shown: Vec<_> = brokers.iter().map(ToString::to_string).collect();
    assert_eq!(shown, ["1 (node-1:9092)", "2 (node-2:9092)", "3 (node-3:9092)"]);
    assert!(brokers.contains(&client.controller().await.unwrap()));
}

#[tokio::test(start_paused = true)]
async fn rk_009_partitions_and_replicas_are_counted() {
    let broker = Broker::builder().topic("t", 3).start_in_memory().unwrap();
    let client = Client::builder(broker.bootstrap()).connector(broker.connector()).build().unwrap();
    assert_eq!(client.partition_count("t").await.unwrap(), 3);
    assert_eq!(client.replica_count("t").await.unwrap(), 1);
    let error = client.partition_count("missing").await.unwrap_err();
    assert_eq!((error.kind(), error.topic()), (ErrorKind::UnknownTopic, Some("missing")));
}

#[tokio::test(start_paused = true)]
async fn rk_010_the_last_offset_of_an_empty_partition_is_minus_one() {
    let broker = Broker::builder().topic("t", 2).start_in_memory().unwrap();
    broker.append_records("t", 0, [(Some(&b"k"[..]), Some(&b"v"[..]))]);
    let client = Client::builder(broker.bootstrap()).connector(broker.connector()).build().unwrap();
    let expected = vec![(TopicPartition::new("t", 0), 0), (TopicPartition::new("t", 1), -1)];
    assert_eq!(client.last_offsets(["t"]).await.unwrap(), expected);
    assert_eq!(client.last_offset("t", 1).await.unwrap(), -1);
    assert_eq!(client.last_offset("t", 2).await.unwrap_err().kind(), ErrorKind::UnknownTopic);
}

#[tokio::test(start_paused = true)]
async fn rk_011_support_of_apis_is_told() {
    let broker = Broker::builder().start_in_memory().unwrap();
    let client = Client::builder(broker.bootstrap()).connector(broker.connector()).build().unwrap();
    assert!(client.supports_api(ApiKey::PRODUCE, None).await.unwrap());
    assert!(!client.supports_api(ApiKey::PRODUCE, Some(100)).await.unwrap());
    assert!(!client.supports_api(ApiKey(100), None).await.unwrap());
}

#[tokio::test(start_paused = true)]
async fn a_closed_client_closes_its_connections_and_refuses_work_through_every_clone() {
    let broker = Broker::builder().nodes(2).topic("t", 2).start_in_memory().unwrap();
    let client = Client::builder(broker.bootstrap()).connector(broker.connector()).connect().await.unwrap();
    let (clone, admin) = (client.clone(), client.admin());
    clone.last_offsets(["t"]).await.unwrap();
    assert!(broker.connections(1) + broker.connections(2) > 0);
    client.close().await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(broker.connections(1) + broker.connections(2), 0);
    assert_eq!(clone.partition_count("t").await.unwrap_err().kind(), ErrorKind::Closed);
    assert_eq!(admin.list_topics().await.unwrap_err().kind(), ErrorKind::Closed);
    assert_eq!(clone.request(MetadataRequest::default(), Route::Any).await.unwrap_err().kind(), ErrorKind::Closed);
}

#[tokio::test]
async fn a_client_is_made_from_properties_and_wrong_ones_are_refused() {
    let properties = |pairs: &[(&str, &str)]| Properties::from_pairs(pairs.iter().copied());
    let good = properties(&[
        ("bootstrap.servers", "a:1,b:2"),
        ("client.id", "orders"),
        ("linger.ms", "7"),
        ("security.protocol", "plaintext"),
        ("retry.backoff.max.ms", "50"),
    ]);
    let client = Client::from_properties(good.unwrap()).unwrap().build().unwrap();
    assert!(format!("{client:?}").contains("orders"));
    for (pairs, part) in [
        (&[("bootstrap.servers", "a:1"), ("security.protocol", "SASL_SSL")][..], "sasl.mechanism is not set"),
        (&[("bootstrap.servers", "a:1"), ("security.protocol", "TLS")], "must be one of PLAINTEXT"),
        (&[("bootstrap.servers", "a:1"), ("request.timeout.ms", "soon")], "request.timeout.ms"),
        (&[("bootstrap.servers", "a:1"), ("request.timeout.ms", "0")], "request.timeout.ms"),
        (&[("bootstrap.servers", "a:1"), ("linger.ms", "-5")], "linger.ms"),
        (&[("bootstrap.servers", "a:1"), ("acks", "2")], "all, 1 or 0"),
        (&[("bootstrap.servers", "a:1"), ("retry.backoff.ms", "5000"), ("retry.backoff.max.ms", "10")], "longer than"),
        (&[("client.id", "x")], "bootstrap.servers"),
    ] {
        let result = properties(pairs).and_then(Client::from_properties).and_then(klamm::ClientBuilder::build);
        let error = result.map(|_| format!("{pairs:?} was accepted")).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidConfig, "{error}");
        assert!(error.to_string().contains(part), "{error}");
    }
}

#[tokio::test(start_paused = true)]
async fn rk_012_sockets_close_within_a_second_while_a_producer_made_before_still_delivers() {
    let broker = Broker::builder().topic("t", 1).start_in_memory().unwrap();
    let client = Client::builder(broker.bootstrap()).connector(broker.connector()).connect().await.unwrap();
    let producer = client.producer().build().unwrap();
    producer.send(Record::new("t").value("before")).await.unwrap();
    client.deliver(Record::new("t").value("hidden")).await.unwrap();
    let own = broker.connection_ids(1);
    client.close().await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    // What is left is the producer's own connection.
    assert!(own.len() >= 3 && broker.connections(1) == 1, "{own:?}, {:?}", broker.connection_ids(1));
    producer.send(Record::new("t").value("after")).await.unwrap();
    assert_eq!(broker.values("t", 0).unwrap(), ["before", "hidden", "after"]);
    assert_eq!(client.deliver(Record::new("t").value("x")).await.unwrap_err().kind(), ErrorKind::Closed);
    let refused = client.producer().build().unwrap().send(Record::new("t").value("x")).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Closed);
    producer.close(Duration::from_secs(60)).await.unwrap();
    assert_eq!(broker.values("t", 0).unwrap().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn rk_197_added_partitions_are_used_within_the_age_of_metadata_without_any_error() {
    let broker = Broker::builder().topic("t", 1).start_in_memory().unwrap();
    let age = Duration::from_secs(1);
    let client = Client::builder(broker.bootstrap()).connector(broker.connector()).metadata_max_age(age).build().unwrap();
    let producer = client.producer().linger(Duration::ZERO).build().unwrap();
    assert_eq!(producer.send(Record::new("t").partition(0).value("x")).await.unwrap().partition, 0);
    broker.add_partitions("t", 3);
    tokio::time::sleep(age + Duration::from_millis(100)).await;
    assert_eq!(producer.send(Record::new("t").partition(2).value("x")).await.unwrap().partition, 2);
}

#[tokio::test(start_paused = true)]
async fn connecting_tries_each_seed_once_and_a_client_that_was_built_tries_until_its_time_is_up() {
    let refusing = Refusing::default();
    let tried = || refusing.0.swap(0, Ordering::Relaxed);
    let builder = || Client::builder(["a:1", "b:2"]).connector(refusing.clone()).default_api_timeout(Duration::from_secs(10));
    let error = builder().connect().await.unwrap_err();
    assert!(error.to_string().contains("a:1: ") && error.to_string().contains("b:2: "), "{error}");
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(tried(), 2);

    let client = builder().build().unwrap();
    let start = tokio::time::Instant::now();
    let error = client.topics().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout);
    assert!(error.to_string().contains("no one at a:1") && error.to_string().contains("no one at b:2"), "{error}");
    assert_eq!(start.elapsed(), Duration::from_secs(10));
    let while_waiting = tried();
    assert!((10..60).contains(&while_waiting), "{while_waiting} attempts in 10 s");
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert!(tried() <= 2, "nobody waits any more");
}

#[tokio::test(start_paused = true)]
async fn a_dropped_client_closes_its_connections_and_stops() {
    let broker = Broker::builder().topic("t", 1).start_in_memory().unwrap();
    let client = Client::builder(broker.bootstrap()).connector(broker.connector()).connect().await.unwrap();
    client.partition_count("t").await.unwrap();
    assert!(broker.connections(1) > 0);
    drop(client);
    tokio::time::sleep(Duration::from_millis(10)).await;
    assert_eq!(broker.connections(1), 0);
}
