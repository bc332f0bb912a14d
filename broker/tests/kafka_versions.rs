//! A broker that plays another release of Kafka.

use klamm::protocol::messages::api_versions::{ApiVersionsRequest, ApiVersionsResponse};
use klamm::protocol::messages::metadata::{MetadataRequest, MetadataRequestTopic};
use klamm::protocol::{ApiKey, ErrorCode, Str, TopicName};
use klamm_broker::Broker;

fn text(text: &str) -> Str {
    Str::try_from(text).expect("short text")
}

fn played(version: &str) -> Broker {
    Broker::builder().topic("orders", 1).kafka_version(version).start_in_memory().expect("a broker")
}

async fn asked(broker: &Broker, version: i16) -> ApiVersionsResponse {
    let request = ApiVersionsRequest {
        client_software_name: text("klamm"),
        client_software_version: text("0.1.0"),
        ..ApiVersionsRequest::default()
    };
    let mut client = broker.raw_client(1);
    client.send(version, &request).await.expect("sent");
    let known = broker_knows(broker, version);
    // What it does not know it answers in version 0.
    let (_, response) = client.receive::<ApiVersionsRequest>(if known { version } else { 0 }).await.expect("an answer");
    response
}

fn broker_knows(broker: &Broker, version: i16) -> bool {
    version <= if broker.kafka_version().as_deref() == Some("2.0") { 2 } else { 3 }
}

fn range(response: &ApiVersionsResponse, api: ApiKey) -> Option<(i16, i16)> {
    let found = response.api_keys.iter().find(|range| range.api_key == api.0);
    found.map(|range| (range.min_version, range.max_version))
}

#[tokio::test(start_paused = true)]
async fn an_old_broker_offers_what_it_had() {
    let broker = played("2.0.1");
    let offered = asked(&broker, 2).await;
    assert_eq!(range(&offered, ApiKey::FETCH), Some((0, 8)));
    assert_eq!(range(&offered, ApiKey::METADATA), Some((0, 6)));
    assert_eq!(range(&offered, ApiKey::OFFSET_DELETE), None);
    // A newer client's first request: no version that it could read is named, which came with 2.4.
    let refused = asked(&broker, 3).await;
    assert_eq!((refused.error_code, refused.api_keys.len()), (ErrorCode::UNSUPPORTED_VERSION, 0));
    let topic = MetadataRequestTopic { name: Some(TopicName(text("orders"))), ..Default::default() };
    let request = MetadataRequest { topics: Some(vec![topic]), ..Default::default() };
    assert_eq!(broker.raw_request(1, 6, &request).await.expect("an answer").topics.len(), 1);
    assert!(broker.raw_request(1, 7, &request).await.is_err(), "it closes the connection");
}

#[tokio::test(start_paused = true)]
async fn a_broker_since_2_4_helps_newer_clients() {
    let refused = asked(&played("3.8"), 4).await;
    assert_eq!(refused.error_code, ErrorCode::UNSUPPORTED_VERSION);
    assert_eq!((range(&refused, ApiKey::API_VERSIONS), refused.api_keys.len()), (Some((0, 3)), 1));
}

#[tokio::test(start_paused = true)]
async fn topic_ids_came_with_2_8_and_old_versions_went_with_4_0() {
    assert_eq!(range(&asked(&played("2.7"), 3).await, ApiKey::DELETE_TOPICS), Some((0, 5)));
    assert_eq!(range(&asked(&played("2.8"), 3).await, ApiKey::DELETE_TOPICS), Some((0, 6)));
    let newest = asked(&played("4.0"), 3).await;
    assert_eq!(range(&newest, ApiKey::FETCH), Some((4, 17)));
    assert_eq!(range(&newest, ApiKey::PRODUCE), Some((0, 12)), "listed for librdkafka's sake");
    assert!(asked(&played("3.9"), 3).await.finalized_features.is_empty());
    let finalized = newest.finalized_features.iter().map(|feature| (feature.name.as_str(), feature.max_version_level));
    assert_eq!(finalized.collect::<Vec<_>>(), [("group.version", 1), ("transaction.version", 2)]);
}

#[tokio::test(start_paused = true)]
async fn what_is_no_release_is_refused_with_those_there_are() {
    let refused = Broker::builder().kafka_version("5.0").start_in_memory().expect_err("no such Kafka");
    assert_eq!(refused.kind(), std::io::ErrorKind::InvalidInput);
    assert!(refused.to_string().contains("\"5.0\"; there are 2.0, 2.1,"), "{refused}");
    let broker = played("3.7");
    assert!(broker.set_kafka_version("0.11").is_err());
    broker.set_kafka_version("3.9").expect("a release");
    assert_eq!(range(&asked(&broker, 3).await, ApiKey::FETCH), Some((0, 17)), "it was upgraded");
}
