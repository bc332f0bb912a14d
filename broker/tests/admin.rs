//! Topics and configurations by request.

use klamm::protocol::messages::create_partitions::{CreatePartitionsAssignment, CreatePartitionsRequest, CreatePartitionsTopic};
use klamm::protocol::messages::create_topics::{
    CreatableReplicaAssignment, CreatableTopic, CreatableTopicConfig, CreatableTopicResult, CreateTopicsRequest,
};
use klamm::protocol::messages::delete_topics::{DeleteTopicState, DeleteTopicsRequest};
use klamm::protocol::messages::describe_cluster::DescribeClusterRequest;
use klamm::protocol::messages::describe_configs::{DescribeConfigsRequest, DescribeConfigsResource};
use klamm::protocol::messages::find_coordinator::FindCoordinatorRequest;
use klamm::protocol::messages::incremental_alter_configs::{
    AlterConfigsResource, AlterableConfig, IncrementalAlterConfigsRequest,
};
use klamm::protocol::messages::produce::{PartitionProduceData, ProduceRequest, TopicProduceData};
use klamm::protocol::{BrokerId, ErrorCode, Str, TopicName};
use klamm_broker::Broker;

fn text(text: &str) -> Str {
    Str::try_from(text).expect("short")
}

fn broker() -> Broker {
    Broker::builder().nodes(3).topic("orders", 3).start_in_memory().expect("a broker")
}

fn topic(name: &str, num_partitions: i32, replication_factor: i16) -> CreatableTopic {
    CreatableTopic { name: TopicName(text(name)), num_partitions, replication_factor, ..Default::default() }
}

async fn create(broker: &Broker, topic: CreatableTopic) -> CreatableTopicResult {
    let request = CreateTopicsRequest { topics: vec![topic], ..Default::default() };
    broker.raw_request(2, 7, &request).await.expect("an answer").topics.remove(0)
}

#[tokio::test(start_paused = true)]
async fn a_topic_is_created_with_what_was_asked_or_the_defaults() {
    let broker = broker();
    let mut wanted = topic("t1", 2, 2);
    wanted.configs = vec![CreatableTopicConfig { name: text("cleanup.policy"), value: Some(text("compact")) }];
    let created = create(&broker, wanted).await;
    assert_eq!((created.error_code, created.num_partitions, created.replication_factor), (ErrorCode::NONE, 2, 2));
    assert_eq!(broker.topic_id("t1"), Some(created.topic_id));
    let configs = created.configs.expect("configurations");
    let policy = configs.iter().find(|config| config.name == "cleanup.policy").expect("a policy");
    assert_eq!((policy.value.clone().expect("a value").as_str(), policy.config_source), ("compact", 1));
    let created = create(&broker, topic("t2", -1, -1)).await;
    assert_eq!((created.error_code, created.num_partitions, created.replication_factor), (ErrorCode::NONE, 1, 3));
}

#[tokio::test(start_paused = true)]
async fn topics_that_kafka_would_refuse_are_refused() {
    let broker = broker();
    let with = |change: fn(&mut CreatableTopic)| {
        let mut topic = topic("new", 1, 1);
        change(&mut topic);
        topic
    };
    let by_hand = |partition_index, nodes: &[i32]| CreatableReplicaAssignment {
        partition_index,
        broker_ids: nodes.iter().map(|node| BrokerId(*node)).collect(),
    };
    let assigned = |assignments| CreatableTopic { assignments, ..topic("new", -1, -1) };
    let cases = [
        (topic("orders", 1, 1), ErrorCode::TOPIC_ALREADY_EXISTS),
        (topic("bad name", 1, 1), ErrorCode::INVALID_TOPIC_EXCEPTION),
        (topic("", 1, 1), ErrorCode::INVALID_TOPIC_EXCEPTION),
        (topic("new", 0, 1), ErrorCode::INVALID_PARTITIONS),
        (topic("new", -2, 1), ErrorCode::INVALID_PARTITIONS),
        (topic("new", 1, 0), ErrorCode::INVALID_REPLICATION_FACTOR),
        (topic("new", 1, 4), ErrorCode::INVALID_REPLICATION_FACTOR),
        (with(|topic| topic.configs = vec![config("no.such", "1")]), ErrorCode::INVALID_CONFIG),
        (with(|topic| topic.configs = vec![config("retention.ms", "soon")]), ErrorCode::INVALID_CONFIG),
        (assigned(vec![by_hand(0, &[1, 7])]), ErrorCode::INVALID_REPLICA_ASSIGNMENT),
        (assigned(vec![by_hand(0, &[1, 1])]), ErrorCode::INVALID_REPLICA_ASSIGNMENT),
        (assigned(vec![by_hand(1, &[1])]), ErrorCode::INVALID_REPLICA_ASSIGNMENT),
        (assigned(vec![by_hand(0, &[3, 1]), by_hand(1, &[2])]), ErrorCode::INVALID_REPLICA_ASSIGNMENT),
        (CreatableTopic { assignments: vec![by_hand(0, &[1])], ..topic("new", 1, 1) }, ErrorCode::INVALID_REQUEST),
    ];
    for (topic, code) in cases {
        let refused = create(&broker, topic).await;
        assert_eq!(refused.error_code, code, "{refused:?}");
        assert!(!refused.error_message.expect("words").as_str().is_empty());
    }
    let twice = CreateTopicsRequest { topics: vec![topic("new", 1, 1), topic("new", 1, 1)], ..Default::default() };
    let refused = broker.raw_request(1, 7, &twice).await.expect("an answer").topics;
    assert_eq!((refused.len(), refused[0].error_code), (1, ErrorCode::INVALID_REQUEST));
    let dry = CreateTopicsRequest { topics: vec![topic("new", 1, 1)], validate_only: true, ..Default::default() };
    assert_eq!(broker.raw_request(1, 7, &dry).await.expect("an answer").topics[0].error_code, ErrorCode::NONE);
    assert_eq!(broker.topics(), ["orders"]);
    let created = create(&broker, assigned(vec![by_hand(0, &[3, 1]), by_hand(1, &[2, 3])])).await;
    assert_eq!((created.error_code, broker.leader("new", 0), broker.leader("new", 1)), (ErrorCode::NONE, Some(3), Some(2)));
    create(&broker, topic("a.b", 1, 1)).await;
    assert_eq!(create(&broker, topic("a_b", 1, 1)).await.error_code, ErrorCode::INVALID_TOPIC_EXCEPTION);
}

fn config(name: &str, value: &str) -> CreatableTopicConfig {
    CreatableTopicConfig { name: text(name), value: Some(text(value)) }
}

#[tokio::test(start_paused = true)]
async fn topics_are_deleted_by_name_and_by_id() {
    let broker = broker();
    broker.create_topic("other", 1);
    broker.set_committed("billing", "other", 0, Some(5));
    let by_name = |name: &str| DeleteTopicState { name: Some(TopicName(text(name))), ..Default::default() };
    let by_id = |topic_id| DeleteTopicState { name: None, topic_id };
    let topics = vec![
        by_name("none"),
        by_id(klamm::protocol::Uuid([1; 16])),
        by_name("orders"),
        by_id(broker.topic_id("other").expect("an id")),
    ];
    let request = DeleteTopicsRequest { topics, ..Default::default() };
    let responses = broker.raw_request(1, 6, &request).await.expect("an answer").responses;
    let codes: Vec<_> = responses.iter().map(|response| response.error_code.0).collect();
    assert_eq!(codes, [3, 100, 0, 0]);
    assert_eq!(responses[3].name.as_ref().map(TopicName::as_str), Some("other"));
    assert!(broker.topics().is_empty());
    assert_eq!(broker.committed("billing", "other", 0), None);
}

#[tokio::test(start_paused = true)]
async fn partitions_only_become_more() {
    let broker = broker();
    let raise = async |name: &str, count, assignments: Option<&[i32]>| {
        let assignments = assignments
            .map(|nodes| vec![CreatePartitionsAssignment { broker_ids: nodes.iter().map(|node| BrokerId(*node)).collect() }]);
        let topics = vec![CreatePartitionsTopic { name: TopicName(text(name)), count, assignments }];
        let request = CreatePartitionsRequest { topics, ..Default::default() };
        broker.raw_request(1, 3, &request).await.expect("an answer").results[0].error_code
    };
    assert_eq!(raise("none", 5, None).await, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);
    assert_eq!(raise("orders", 3, None).await, ErrorCode::INVALID_PARTITIONS);
    assert_eq!(raise("orders", 2, None).await, ErrorCode::INVALID_PARTITIONS);
    assert_eq!(raise("orders", 5, Some(&[1])).await, ErrorCode::INVALID_REPLICA_ASSIGNMENT);
    assert_eq!(raise("orders", 4, Some(&[2])).await, ErrorCode::INVALID_REPLICA_ASSIGNMENT, "the others have three replicas");
    assert_eq!(raise("orders", 4, Some(&[2, 3, 1])).await, ErrorCode::NONE);
    assert_eq!((broker.partition_count("orders"), broker.leader("orders", 3)), (Some(4), Some(2)));
    assert_eq!(raise("orders", 10, None).await, ErrorCode::NONE);
    assert_eq!(broker.partition_count("orders"), Some(10));
}

#[tokio::test(start_paused = true)]
async fn the_cluster_and_its_configurations_are_described() {
    let broker = broker();
    broker.stop_node(1);
    let cluster = broker.raw_request(2, 2, &DescribeClusterRequest::default()).await.expect("an answer");
    assert_eq!((cluster.cluster_id.as_str(), cluster.controller_id.0), ("klamm-broker-cluster00", 2));
    assert_eq!(cluster.brokers.len(), 2);
    let of_controllers = DescribeClusterRequest { endpoint_type: 2, ..Default::default() };
    let refused = broker.raw_request(2, 1, &of_controllers).await.expect("an answer");
    assert_eq!(refused.error_code, ErrorCode::MISMATCHED_ENDPOINT_TYPE);
    broker.set_topic_config("orders", "retention.ms", Some("1000"));
    let resource = |resource_type, name: &str, key: &str| DescribeConfigsResource {
        resource_type,
        resource_name: text(name),
        configuration_keys: Some(vec![text(key)]),
    };
    let resources = vec![
        resource(2, "orders", "retention.ms"),
        resource(4, "2", "background.threads"),
        resource(4, "3", "background.threads"),
        resource(2, "none", "retention.ms"),
    ];
    let request = DescribeConfigsRequest { resources, ..Default::default() };
    let results = broker.raw_request(2, 4, &request).await.expect("an answer").results;
    let codes: Vec<_> = results.iter().map(|result| result.error_code.0).collect();
    assert_eq!(codes, [0, 0, 42, 3]);
    let value = |index: usize| results[index].configs[0].value.clone().expect("a value");
    assert_eq!((value(0).as_str(), value(1).as_str()), ("1000", "10"));
    assert!(!results[1].configs[0].read_only && !results[0].configs[0].read_only);
    let request = DescribeConfigsRequest { resources: vec![resource(4, "2", "node.id")], ..Default::default() };
    let results = broker.raw_request(2, 4, &request).await.expect("an answer").results;
    assert!(results[0].configs[0].read_only);
}

#[tokio::test(start_paused = true)]
async fn coordinators_are_found_in_every_version() {
    let broker = broker();
    let expected = broker.coordinator("billing").expect("a node");
    for version in 0..=6 {
        let request = match version {
            4.. => FindCoordinatorRequest { coordinator_keys: vec![text("billing"), text("b")], ..Default::default() },
            _ => FindCoordinatorRequest { key: text("billing"), ..Default::default() },
        };
        let found = broker.raw_request(1, version, &request).await.expect("an answer");
        let node = found.coordinators.first().map_or(found.node_id, |coordinator| coordinator.node_id);
        assert_eq!(node.0, expected, "version {version}");
    }
}

const TOPIC: i8 = 2;
const BROKER: i8 = 4;

/// A change to a setting; the operation as in the protocol: 0 set, 1 delete, 2 append, 3 subtract.
fn change(name: &str, config_operation: i8, value: Option<&str>) -> AlterableConfig {
    AlterableConfig { name: text(name), config_operation, value: value.map(text) }
}

async fn alter(broker: &Broker, resource: (i8, &str), configs: Vec<AlterableConfig>, validate_only: bool) -> ErrorCode {
    let resource = AlterConfigsResource { resource_type: resource.0, resource_name: text(resource.1), configs };
    let request = IncrementalAlterConfigsRequest { resources: vec![resource], validate_only };
    let response = broker.raw_request(2, 1, &request).await.expect("an answer").responses.remove(0);
    let has_words = !matches!(response.error_code, ErrorCode::NONE | ErrorCode::UNKNOWN_SERVER_ERROR);
    assert_eq!(has_words, response.error_message.is_some(), "{response:?}");
    response.error_code
}

/// Value and source of one setting, as node 2 tells it.
async fn described(broker: &Broker, resource: (i8, &str), key: &str) -> Option<(String, i8)> {
    let asked = DescribeConfigsResource {
        resource_type: resource.0,
        resource_name: text(resource.1),
        configuration_keys: Some(vec![text(key)]),
    };
    let request = DescribeConfigsRequest { resources: vec![asked], ..Default::default() };
    let configs = broker.raw_request(2, 4, &request).await.expect("an answer").results.remove(0).configs;
    configs.first().map(|config| (config.value.clone().expect("a value").to_string(), config.config_source))
}

#[tokio::test(start_paused = true)]
async fn a_topic_s_configurations_change_one_by_one_and_all_of_a_request_or_none() {
    let (broker, orders) = (broker(), (TOPIC, "orders"));
    let set = vec![change("retention.ms", 0, Some("1000")), change("cleanup.policy", 2, Some("compact"))];
    assert_eq!(alter(&broker, orders, set.clone(), true).await, ErrorCode::NONE);
    assert_eq!(described(&broker, orders, "retention.ms").await, Some(("604800000".into(), 5)), "validate only");
    assert_eq!(alter(&broker, orders, set, false).await, ErrorCode::NONE);
    assert_eq!(described(&broker, orders, "retention.ms").await, Some(("1000".into(), 1)));
    assert_eq!(described(&broker, orders, "cleanup.policy").await, Some(("delete,compact".into(), 1)));
    let taken = vec![change("cleanup.policy", 3, Some("delete")), change("retention.ms", 1, None)];
    assert_eq!(alter(&broker, orders, taken, false).await, ErrorCode::NONE);
    assert_eq!(described(&broker, orders, "cleanup.policy").await, Some(("compact".into(), 1)));
    assert_eq!(described(&broker, orders, "retention.ms").await, Some(("604800000".into(), 5)));
    let fine = || change("max.message.bytes", 0, Some("2000"));
    for (wrong, code) in [
        (change("no.such", 0, Some("1")), ErrorCode::INVALID_CONFIG),
        (change("retention.ms", 0, Some("soon")), ErrorCode::INVALID_CONFIG),
        (change("retention.ms", 2, Some("1")), ErrorCode::INVALID_CONFIG),
        (change("retention.ms", 0, None), ErrorCode::INVALID_REQUEST),
        (change("retention.ms", 9, Some("1")), ErrorCode::UNKNOWN_SERVER_ERROR),
        (fine(), ErrorCode::INVALID_REQUEST),
    ] {
        assert_eq!(alter(&broker, orders, vec![fine(), wrong], false).await, code);
    }
    assert_eq!(described(&broker, orders, "max.message.bytes").await, Some(("1048588".into(), 5)));
    assert_eq!(alter(&broker, (TOPIC, "none"), vec![fine()], false).await, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);
    assert_eq!(alter(&broker, (16, "metrics"), vec![fine()], false).await, ErrorCode::INVALID_REQUEST);
}

#[tokio::test(start_paused = true)]
async fn a_broker_changes_what_kafka_changes_while_it_runs_for_itself_or_for_all() {
    let broker = broker();
    let threads = |count| vec![change("background.threads", 0, Some(count))];
    assert_eq!(alter(&broker, (BROKER, ""), threads("12"), false).await, ErrorCode::NONE);
    assert_eq!(described(&broker, (BROKER, "2"), "background.threads").await, Some(("12".into(), 3)));
    assert_eq!(described(&broker, (BROKER, ""), "background.threads").await, Some(("12".into(), 3)));
    assert_eq!(described(&broker, (BROKER, ""), "num.io.threads").await, None, "only what was set");
    assert_eq!(alter(&broker, (BROKER, "2"), threads("14"), false).await, ErrorCode::NONE);
    assert_eq!(described(&broker, (BROKER, "2"), "background.threads").await, Some(("14".into(), 2)));
    let back = vec![change("background.threads", 1, None)];
    assert_eq!(alter(&broker, (BROKER, "2"), back, false).await, ErrorCode::NONE);
    assert_eq!(described(&broker, (BROKER, "2"), "background.threads").await, Some(("12".into(), 3)));
    assert_eq!(alter(&broker, (BROKER, "1"), threads("14"), false).await, ErrorCode::INVALID_REQUEST, "node 2 was asked");
    assert_eq!(alter(&broker, (BROKER, "2"), threads("many"), false).await, ErrorCode::INVALID_CONFIG);
    let fixed = vec![change("node.id", 0, Some("7"))];
    assert_eq!(alter(&broker, (BROKER, "2"), fixed, false).await, ErrorCode::INVALID_REQUEST);
}

#[tokio::test(start_paused = true)]
async fn limits_that_were_altered_are_kept_to() {
    let broker = broker();
    let value = [b'x'; 500];
    let append = || async {
        let mut client = broker.raw_client(broker.leader("orders", 0).expect("a leader"));
        let mut batch = klamm::protocol::records::BatchBuilder::new(1024);
        batch.append(0, None, Some(&value), klamm::protocol::records::NO_HEADERS).expect("fits");
        let mut batch = batch.close(klamm::protocol::records::Compression::None).expect("closed");
        let records = klamm::protocol::Records(batch.stamp(-1, -1, -1, false));
        let partition = PartitionProduceData { index: 0, records: Some(records) };
        let data = TopicProduceData { name: TopicName(text("orders")), partition_data: vec![partition], ..Default::default() };
        let request = ProduceRequest { acks: -1, topic_data: vec![data], ..Default::default() };
        client.request(9, &request).await.expect("an answer").responses[0].partition_responses[0].error_code
    };
    assert_eq!(append().await, ErrorCode::NONE);
    assert_eq!(alter(&broker, (BROKER, ""), vec![change("message.max.bytes", 0, Some("100"))], false).await, ErrorCode::NONE);
    assert_eq!(append().await, ErrorCode::MESSAGE_TOO_LARGE);
    let own = vec![change("max.message.bytes", 0, Some("2000"))];
    assert_eq!(alter(&broker, (TOPIC, "orders"), own, false).await, ErrorCode::NONE);
    assert_eq!(append().await, ErrorCode::NONE);
}
