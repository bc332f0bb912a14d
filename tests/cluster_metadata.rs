//! Finding and following the cluster: bootstrap servers, refreshes, leaders, coordinators. (Acceptance group P.)

use std::collections::BTreeSet;
use std::time::Duration;

use klamm::protocol::messages::find_coordinator::FindCoordinatorRequest;
use klamm::protocol::messages::list_offsets::{ListOffsetsPartition, ListOffsetsRequest, ListOffsetsTopic};
use klamm::protocol::messages::metadata::MetadataRequest;
use klamm::protocol::{ApiKey, BrokerId, ErrorCode, Str, TopicName};
use klamm::{Client, ClientBuilder, ErrorKind, Record, Route, TopicPartition};
use klamm_broker::{Broker, Intercept, Reachability};

fn client(broker: &Broker) -> ClientBuilder {
    Client::builder(broker.bootstrap()).connector(broker.connector())
}

/// Asks the leader of a partition for its end offset.
async fn end(client: &Client, topic: &str, partition: i32) -> klamm::Result<i64> {
    let asked = ListOffsetsPartition { partition_index: partition, timestamp: -1, ..Default::default() };
    let name = TopicName(Str::truncated(topic));
    let topics = vec![ListOffsetsTopic { name, partitions: vec![asked] }];
    let request = ListOffsetsRequest { replica_id: BrokerId(-1), topics, ..Default::default() };
    let answer = client.request(request, Route::Leader(TopicPartition::new(topic, partition))).await?;
    let answer = &answer.topics[0].partitions[0];
    assert!(answer.error_code.is_ok(), "{}", answer.error_code);
    Ok(answer.offset)
}

fn metadata_requests(broker: &Broker) -> Vec<MetadataRequest> {
    broker.decoded::<MetadataRequest>()
}

#[tokio::test(start_paused = true)]
async fn rk_186_a_seed_that_fails_is_passed_over_and_the_first_is_random() {
    let broker = Broker::builder().nodes(3).start_in_memory().unwrap();
    let mut first = BTreeSet::new();
    for seed in 0..40 {
        broker.clear_requests();
        let seeds = ["bad:1".to_owned(), broker.bootstrap()[0].clone(), broker.bootstrap()[1].clone()];
        Client::builder(seeds).connector(broker.connector()).seed(seed).connect().await.unwrap();
        first.insert(broker.requests()[0].node);
    }
    assert_eq!(first, BTreeSet::from([1, 2]));
}

#[tokio::test(start_paused = true)]
async fn rk_187_when_all_seeds_fail_one_error_lists_each_with_its_reason() {
    let broker = Broker::builder().nodes(2).start_in_memory().unwrap();
    broker.stop_node(1);
    broker.set_reachability(2, Reachability::BlackHole);
    let error = client(&broker).connect().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Disconnected);
    assert!(error.is_retriable());
    let text = error.to_string();
    assert!(
        text.contains("node-1:9092: node 1 of the embedded broker refuses") && text.contains("node-2:9092 took longer"),
        "{text}"
    );
    assert!(text.contains("check bootstrap.servers"), "{text}");
}

#[tokio::test(start_paused = true)]
async fn rk_188_a_seed_that_knows_no_brokers_is_passed_over() {
    let broker = Broker::builder().nodes(2).start_in_memory().unwrap();
    broker.intercept_next(ApiKey::METADATA, 1, |_| Intercept::edit::<MetadataRequest>(|answer| answer.brokers.clear()));
    let client = client(&broker).connect().await.unwrap();
    let nodes: BTreeSet<_> = broker.requests_of(ApiKey::METADATA).iter().map(|request| request.node).collect();
    assert_eq!(nodes, BTreeSet::from([1, 2]));
    assert_eq!(client.brokers().await.unwrap().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn rk_189_a_refresh_names_exactly_the_topics_in_use() {
    let broker = Broker::builder().topic("a", 1).topic("b", 1).topic("other", 1).start_in_memory().unwrap();
    let client = client(&broker).connect().await.unwrap();
    broker.intercept_all(ApiKey::LIST_OFFSETS, |_| Intercept::Error(ErrorCode::NOT_LEADER_OR_FOLLOWER));
    let (one, two) = (client.clone(), client.clone());
    let tasks = [tokio::spawn(async move { end(&one, "a", 0).await }), tokio::spawn(async move { end(&two, "b", 0).await })];
    tokio::time::sleep(Duration::from_secs(3)).await;
    let last = metadata_requests(&broker).pop().unwrap();
    let names: BTreeSet<_> = last.topics.unwrap().into_iter().map(|topic| topic.name.unwrap().0.to_string()).collect();
    assert_eq!(names, BTreeSet::from(["a".to_owned(), "b".to_owned()]));
    broker.clear_intercepts();
    for task in tasks {
        assert_eq!(task.await.unwrap().unwrap(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn rk_190_what_is_wrong_with_a_partition_is_said() {
    let broker = Broker::builder().topic("t", 1).start_in_memory().unwrap();
    let client = client(&broker).default_api_timeout(Duration::from_secs(5)).connect().await.unwrap();
    broker.remove_leader("t", 0);
    assert_eq!(end(&client, "t", 0).await.unwrap_err().code(), Some(ErrorCode::LEADER_NOT_AVAILABLE));
    let error = end(&client, "t", 7).await.unwrap_err();
    assert_eq!((error.kind(), error.partition()), (ErrorKind::UnknownTopic, Some(7)));
    let error = end(&client, "no such name", 0).await.unwrap_err();
    assert_eq!(error.code(), Some(ErrorCode::INVALID_TOPIC_EXCEPTION));
}

#[tokio::test(start_paused = true)]
async fn rk_191_a_replica_that_is_not_available_does_not_keep_from_the_leader() {
    let broker = Broker::builder().topic("t", 1).start_in_memory().unwrap();
    broker.intercept_all(ApiKey::METADATA, |_| {
        Intercept::edit::<MetadataRequest>(|answer| {
            for partition in answer.topics.iter_mut().flat_map(|topic| &mut topic.partitions) {
                partition.error_code = ErrorCode::REPLICA_NOT_AVAILABLE;
            }
        })
    });
    let client = client(&broker).connect().await.unwrap();
    assert_eq!(end(&client, "t", 0).await.unwrap(), 0);
}

#[tokio::test(start_paused = true)]
async fn rk_192_a_node_that_moved_is_reached_at_its_new_address_and_the_old_connection_closed() {
    let broker = Broker::builder().topic("t", 1).topic("u", 1).start_in_memory().unwrap();
    let client = client(&broker).connect().await.unwrap();
    assert_eq!(end(&client, "t", 0).await.unwrap(), 0);
    let old = broker.connection_ids(1);
    assert_eq!(old.len(), 1);
    broker.set_address(1, "b", 2);
    // Another topic needs metadata, in which the node has its new address.
    assert_eq!(end(&client, "u", 0).await.unwrap(), 0);
    tokio::time::sleep(Duration::from_millis(10)).await;
    assert!(!broker.connection_ids(1).contains(&old[0]), "the old connection is still open");
    assert_eq!(client.brokers().await.unwrap()[0].to_string(), "1 (b:2)");
}

#[tokio::test(start_paused = true)]
async fn rk_192_producers_consumers_and_what_is_asked_of_coordinators_follow_a_node_that_moved() {
    let second = Duration::from_secs(1);
    let broker = Broker::builder().topic("t", 1).initial_rebalance_delay(Duration::ZERO).start_in_memory().unwrap();
    let client = client(&broker).metadata_max_age(second).connect().await.unwrap();
    let producer = client.producer().build().unwrap();
    let mut consumer = client.consumer("g").topics(["t"]).build().unwrap();
    let admin = client.admin();
    producer.send(Record::new("t").value("0")).await.unwrap();
    assert_eq!(consumer.next().await.unwrap().unwrap().offset, 0);
    admin.group_offsets("g").await.unwrap();
    // Control, producer, the group's and that for fetching.
    let old = broker.connection_ids(1);
    assert_eq!(old.len(), 4);
    broker.set_address(1, "b", 2);
    // Nothing fails: metadata is refreshed for its age.
    assert!(tokio::time::timeout(2 * second, consumer.next()).await.is_err());
    let left = broker.connection_ids(1);
    assert!(!old.iter().any(|id| left.contains(id)), "{left:?} of {old:?}");
    broker.clear_requests();
    producer.send(Record::new("t").value("1")).await.unwrap();
    assert_eq!(consumer.next().await.unwrap().unwrap().offset, 1);
    consumer.commit().await.unwrap();
    assert!(tokio::time::timeout(10 * second, consumer.next()).await.is_err());
    assert!(!broker.requests_of(ApiKey::HEARTBEAT).is_empty());
    assert!(broker.requests_of(ApiKey::JOIN_GROUP).is_empty(), "the member is the same");
    // What is known of the coordinator has moved along: no other connection is made, and none is closed.
    let before = broker.connection_ids(1);
    admin.group_offsets("g").await.unwrap();
    client.topics().await.unwrap();
    admin.group_offsets("g").await.unwrap();
    assert_eq!(broker.connection_ids(1), before);
    assert_eq!(before.len(), 4);
}

#[tokio::test(start_paused = true)]
async fn rk_193_a_coordinator_on_a_node_not_yet_known_is_used_and_metadata_refreshed() {
    let broker = Broker::builder().nodes(2).start_in_memory().unwrap();
    broker.set_coordinator("g", 2);
    broker.intercept_next(ApiKey::METADATA, 1, |_| {
        Intercept::edit::<MetadataRequest>(|answer| answer.brokers.retain(|node| node.node_id == BrokerId(1)))
    });
    let client = client(&broker).connect().await.unwrap();
    let before = broker.requests_of(ApiKey::METADATA).len();
    let (_, described) = client.admin().describe_groups(["g"]).await.unwrap().remove(0);
    assert_eq!(described.unwrap().coordinator.or(Some(2)), Some(2));
    assert_eq!(broker.requests_of(ApiKey::DESCRIBE_GROUPS)[0].node, 2);
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(broker.requests_of(ApiKey::METADATA).len() > before, "metadata was not refreshed");
}

#[tokio::test(start_paused = true)]
async fn rk_194_a_coordinator_that_is_not_available_is_asked_for_again_after_pauses() {
    let broker = Broker::builder().start_in_memory().unwrap();
    broker.intercept_next(ApiKey::FIND_COORDINATOR, 2, |_| Intercept::Error(ErrorCode::COORDINATOR_NOT_AVAILABLE));
    let client = client(&broker).connect().await.unwrap();
    client.admin().describe_groups(["g"]).await.unwrap().remove(0).1.unwrap();
    let asked = broker.requests_of(ApiKey::FIND_COORDINATOR);
    assert_eq!(asked.len(), 3);
    assert!(asked[1].at - asked[0].at >= Duration::from_millis(80));
    assert!(asked[2].at - asked[1].at >= Duration::from_millis(160));
}

#[tokio::test]
async fn rk_195_every_address_of_a_seed_is_tried_and_named() {
    // A port on which nothing listens: bound and given back.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let addresses: Vec<_> = std::net::ToSocketAddrs::to_socket_addrs(&("localhost", port)).unwrap().collect();
    let error = Client::builder(format!("localhost:{port}")).connect().await.unwrap_err();
    for address in addresses {
        assert!(error.to_string().contains(&address.to_string()), "{error}");
    }
}

#[tokio::test(start_paused = true)]
async fn rk_196_a_refresh_succeeds_through_known_brokers_when_the_seed_is_gone() {
    let broker = Broker::builder().nodes(3).topic("t", 1).start_in_memory().unwrap();
    let client = Client::builder(&broker.bootstrap()[..1]).connector(broker.connector()).connect().await.unwrap();
    broker.stop_node(1);
    assert_eq!(end(&client, "t", 0).await.unwrap(), 0);
    assert!(broker.requests_of(ApiKey::METADATA).iter().any(|request| request.node != 1));
}

#[tokio::test(start_paused = true)]
async fn rk_198_asking_for_a_missing_topic_does_not_create_it() {
    let broker = Broker::builder().auto_create_topics(true).start_in_memory().unwrap();
    let client = client(&broker).default_api_timeout(Duration::from_secs(2)).connect().await.unwrap();
    assert!(!client.has_topic("missing").await.unwrap());
    let error = end(&client, "missing", 0).await.unwrap_err();
    assert_eq!((error.kind(), error.topic()), (ErrorKind::UnknownTopic, Some("missing")));
    assert!(broker.topics().is_empty());
    assert!(metadata_requests(&broker).iter().all(|request| !request.allow_auto_topic_creation));
}

#[tokio::test(start_paused = true)]
async fn topics_are_created_by_asking_where_the_user_wants_that() {
    let broker = Broker::builder().auto_create_topics(true).start_in_memory().unwrap();
    let client = client(&broker).allow_auto_create_topics(true).connect().await.unwrap();
    assert_eq!(end(&client, "fresh", 0).await.unwrap(), 0);
    assert_eq!(broker.topics(), ["fresh"]);
}

#[tokio::test(start_paused = true)]
async fn a_request_follows_the_leader_when_it_moves() {
    let broker = Broker::builder().nodes(3).topic("t", 1).start_in_memory().unwrap();
    let client = client(&broker).connect().await.unwrap();
    for node in [2, 3, 1] {
        broker.move_leader("t", 0, node);
        assert_eq!(end(&client, "t", 0).await.unwrap(), 0);
        assert_eq!(broker.requests_of(ApiKey::LIST_OFFSETS).last().unwrap().node, node);
    }
}

#[tokio::test(start_paused = true)]
async fn a_lookup_survives_the_caller_that_began_it() {
    let broker = Broker::builder().start_in_memory().unwrap();
    broker.intercept_next(ApiKey::FIND_COORDINATOR, 1, |_| Intercept::Delay(Duration::from_secs(1)));
    let client = client(&broker).connect().await.unwrap();
    let (first, second) = (client.admin(), client.admin());
    let first = tokio::spawn(async move { first.group_offsets("g").await });
    let second = tokio::spawn(async move { second.group_offsets("g").await });
    tokio::time::sleep(Duration::from_millis(500)).await;
    first.abort();
    second.await.unwrap().unwrap();
    assert_eq!(broker.decoded::<FindCoordinatorRequest>().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_gets_no_answer_ends_at_its_limit_with_the_brokers_last_reason() {
    let broker = Broker::builder().start_in_memory().unwrap();
    let timeout = Duration::from_secs(5);
    let client = client(&broker).default_api_timeout(timeout).connect().await.unwrap();
    broker.stop_node(1);
    let start = tokio::time::Instant::now();
    let error = client.topics().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout);
    assert!(error.to_string().contains("node-1:9092"), "{error}");
    assert!(start.elapsed() <= timeout + Duration::from_secs(1), "{:?}", start.elapsed());
    broker.start_node(1).await.unwrap();
    assert!(client.topics().await.unwrap().is_empty(), "the client did not recover");
}

#[tokio::test(start_paused = true)]
async fn a_silent_node_does_not_hold_up_refresh_and_lookup() {
    let broker = Broker::builder().nodes(3).topic("t", 3).start_in_memory().unwrap();
    for frozen in 1..=3 {
        let client = client(&broker).connect().await.unwrap();
        let id = broker.intercept(move |request| if request.node == frozen { Intercept::Swallow } else { Intercept::Pass });
        broker.set_coordinator("g", frozen % 3 + 1);
        let partition = frozen % 3;
        let start = tokio::time::Instant::now();
        assert_eq!(end(&client, "t", partition).await.unwrap(), 0);
        client.admin().group_offsets("g").await.unwrap();
        assert!(start.elapsed() < Duration::from_secs(6), "{:?} with node {frozen} frozen", start.elapsed());
        broker.remove_intercept(id);
        broker.close_connections(frozen);
    }
}
