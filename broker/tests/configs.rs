//! Configurations, passwords for SCRAM and log directories by request.

use klamm::protocol::messages::alter_configs::{AlterConfigsRequest, AlterConfigsResource, AlterableConfig};
use klamm::protocol::messages::alter_user_scram_credentials::{
    AlterUserScramCredentialsRequest, ScramCredentialDeletion, ScramCredentialUpsertion,
};
use klamm::protocol::messages::describe_configs::{
    DescribeConfigsRequest, DescribeConfigsResource, DescribeConfigsResourceResult,
};
use klamm::protocol::messages::describe_log_dirs::{DescribableLogDirTopic, DescribeLogDirsRequest};
use klamm::protocol::messages::describe_user_scram_credentials::{DescribeUserScramCredentialsRequest, UserName};
use klamm::protocol::{ErrorCode, SecretBytes, Str, TopicName};
use klamm_broker::Broker;

const TOPIC: i8 = 2;
const BROKER: i8 = 4;

fn text(text: &str) -> Str {
    Str::try_from(text).expect("short text")
}

fn broker() -> Broker {
    Broker::builder().nodes(2).topic("orders", 3).replication_factor(1).start_in_memory().expect("a broker")
}

async fn alter(broker: &Broker, kind: i8, name: &str, configs: &[(&str, &str)]) -> (ErrorCode, String) {
    let config = |(name, value): &(&str, &str)| AlterableConfig { name: text(name), value: Some(text(value)) };
    let configs = configs.iter().map(config).collect();
    let resources = vec![AlterConfigsResource { resource_type: kind, resource_name: text(name), configs }];
    let request = AlterConfigsRequest { resources, validate_only: false };
    let result = broker.raw_request(1, 2, &request).await.expect("an answer").responses.remove(0);
    (result.error_code, result.error_message.map(|message| message.to_string()).unwrap_or_default())
}

async fn described(broker: &Broker, kind: i8, name: &str, key: &str) -> DescribeConfigsResourceResult {
    let configuration_keys = Some(vec![text(key)]);
    let resource = DescribeConfigsResource { resource_type: kind, resource_name: text(name), configuration_keys };
    let request = DescribeConfigsRequest { resources: vec![resource], include_synonyms: true, ..Default::default() };
    broker.raw_request(1, 4, &request).await.expect("an answer").results.remove(0).configs.remove(0)
}

/// Names, values and sources.
async fn synonyms(broker: &Broker, key: &str) -> Vec<(String, String, i8)> {
    let config = described(broker, TOPIC, "orders", key).await;
    let synonym = |synonym: &klamm::protocol::messages::describe_configs::DescribeConfigsSynonym| {
        (synonym.name.to_string(), synonym.value.clone().expect("a value").to_string(), synonym.source)
    };
    config.synonyms.iter().map(synonym).collect()
}

fn synonym(name: &str, value: &str, source: i8) -> (String, String, i8) {
    (name.to_owned(), value.to_owned(), source)
}

#[tokio::test(start_paused = true)]
async fn the_old_alter_configs_sets_all_anew() {
    let (broker, fine) = (broker(), (ErrorCode::NONE, String::new()));
    assert_eq!(alter(&broker, TOPIC, "orders", &[("retention.ms", "1000"), ("segment.ms", "500")]).await, fine);
    assert_eq!(alter(&broker, TOPIC, "orders", &[("retention.ms", "2000")]).await, fine);
    assert_eq!(broker.topic_config("orders", "retention.ms"), Some("2000".to_owned()));
    assert_eq!(broker.topic_config("orders", "segment.ms"), None);
    assert_eq!(alter(&broker, BROKER, "", &[("log.retention.ms", "5000")]).await, fine);
    assert_eq!(alter(&broker, BROKER, "", &[]).await, fine);
    assert_eq!(synonyms(&broker, "retention.ms").await, [synonym("retention.ms", "2000", 1)]);
}

#[tokio::test(start_paused = true)]
async fn values_are_refused_in_kafka_s_words() {
    let broker = broker();
    for (key, value, why) in [
        ("retention.ms", "soon", "Invalid value soon for configuration retention.ms: Not a number of type LONG"),
        ("retention.ms", "-2", "Invalid value -2 for configuration retention.ms: Value must be at least -1"),
        ("min.insync.replicas", "0", "Invalid value 0 for configuration min.insync.replicas: Value must be at least 1"),
        ("preallocate", "yes", "Invalid value yes for configuration preallocate: Expected value to be either true or false"),
        (
            "message.timestamp.type",
            "Now",
            "Invalid value Now for configuration message.timestamp.type: String must be one of: CreateTime, LogAppendTime",
        ),
        (
            "min.cleanable.dirty.ratio",
            "1.5",
            "Invalid value 1.5 for configuration min.cleanable.dirty.ratio: Value must be no more than 1",
        ),
        ("no.such", "1", "Unknown topic config name: no.such"),
    ] {
        assert_eq!(alter(&broker, TOPIC, "orders", &[(key, value)]).await, (ErrorCode::INVALID_CONFIG, why.to_owned()));
    }
}

#[tokio::test(start_paused = true)]
async fn synonyms_say_where_a_value_comes_from_and_what_is_behind_it() {
    let broker = broker();
    assert_eq!(synonyms(&broker, "retention.ms").await, []);
    assert_eq!(synonyms(&broker, "retention.bytes").await, [synonym("log.retention.bytes", "-1", 5)]);
    assert_eq!(described(&broker, TOPIC, "orders", "retention.ms").await.value.expect("a value"), "604800000");
    alter(&broker, BROKER, "", &[("log.retention.ms", "5000")]).await;
    alter(&broker, TOPIC, "orders", &[("retention.ms", "1000")]).await;
    let expected = [synonym("retention.ms", "1000", 1), synonym("log.retention.ms", "5000", 3)];
    assert_eq!(synonyms(&broker, "retention.ms").await, expected);
    alter(&broker, TOPIC, "orders", &[]).await;
    let config = described(&broker, TOPIC, "orders", "retention.ms").await;
    assert_eq!((config.value.expect("a value").as_str(), config.config_source), ("5000", 3));
    let largest = Broker::builder().topic("orders", 1).message_max_bytes(5000).start_in_memory().expect("a broker");
    let config = described(&largest, TOPIC, "orders", "max.message.bytes").await;
    assert_eq!((config.value.expect("a value").as_str(), config.config_source), ("5000", 4));
}

#[tokio::test(start_paused = true)]
async fn passwords_for_scram_are_set_described_and_removed() {
    let broker = Broker::builder().start_in_memory().expect("a broker");
    let set = |name: &str, mechanism, iterations| ScramCredentialUpsertion {
        name: text(name),
        mechanism,
        iterations,
        salt: SecretBytes("salt".into()),
        salted_password: SecretBytes(vec![1; 32].into()),
    };
    let alter = async |deletions, upsertions| {
        let request = AlterUserScramCredentialsRequest { deletions, upsertions };
        let response = broker.raw_request(1, 0, &request).await.expect("an answer");
        response.results.into_iter().map(|result| (result.user.to_string(), result.error_code)).collect::<Vec<_>>()
    };
    let upsertions = vec![
        set("alice", 1, 4096),
        set("bob", 1, 4095),
        set("carol", 1, 16_385),
        set("dora", 3, 4096),
        set("", 1, 4096),
        set("eve", 1, 4096),
        set("eve", 1, 8192),
    ];
    let unacceptable = ErrorCode::UNACCEPTABLE_CREDENTIAL;
    let expected = [
        ("", unacceptable),
        ("alice", ErrorCode::NONE),
        ("bob", unacceptable),
        ("carol", unacceptable),
        ("dora", ErrorCode::UNSUPPORTED_SASL_MECHANISM),
        ("eve", ErrorCode::DUPLICATE_RESOURCE),
    ];
    assert_eq!(alter(vec![], upsertions).await, expected.map(|(user, code)| (user.to_owned(), code)));
    let describe = async |users: &[&str]| {
        let users = users.iter().map(|name| UserName { name: text(name) }).collect();
        let request = DescribeUserScramCredentialsRequest { users: Some(users) };
        let response = broker.raw_request(1, 0, &request).await.expect("an answer");
        let shown = |result: klamm::protocol::messages::describe_user_scram_credentials::DescribeUserScramCredentialsResult| {
            let infos = result.credential_infos.iter().map(|info| (info.mechanism, info.iterations)).collect::<Vec<_>>();
            (result.user.to_string(), result.error_code, infos)
        };
        response.results.into_iter().map(shown).collect::<Vec<_>>()
    };
    assert_eq!(describe(&[]).await, [("alice".to_owned(), ErrorCode::NONE, vec![(1, 4096)])]);
    assert_eq!(describe(&["bob"]).await, [("bob".to_owned(), ErrorCode::RESOURCE_NOT_FOUND, vec![])]);
    assert_eq!(describe(&["alice", "alice"]).await[0].1, ErrorCode::DUPLICATE_RESOURCE);
    let deletion = |name: &str| ScramCredentialDeletion { name: text(name), mechanism: 1 };
    let deleted = alter(vec![deletion("alice"), deletion("bob")], vec![]).await;
    assert_eq!(deleted, [("alice".to_owned(), ErrorCode::NONE), ("bob".to_owned(), ErrorCode::RESOURCE_NOT_FOUND)]);
    assert_eq!(describe(&[]).await, []);
}

#[tokio::test(start_paused = true)]
async fn each_node_tells_of_its_replicas() {
    let broker = broker();
    let ask = async |node, topics| {
        let request = DescribeLogDirsRequest { topics };
        let mut results = broker.raw_request(node, 4, &request).await.expect("an answer").results;
        assert_eq!(results.len(), 1);
        let topics = results.remove(0).topics;
        topics.iter().flat_map(|topic| topic.partitions.iter().map(|partition| partition.partition_index)).collect::<Vec<_>>()
    };
    assert_eq!(ask(1, None).await, [0, 2]);
    assert_eq!(ask(2, None).await, [1]);
    let topic = |name: &str| DescribableLogDirTopic { topic: TopicName(text(name)), partitions: vec![0, 1] };
    assert_eq!(ask(1, Some(vec![topic("orders"), topic("none")])).await, [0]);
}
