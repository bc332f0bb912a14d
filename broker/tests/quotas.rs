//! Quotas: clients that use more are told to be quiet, and are not heard for as long.

use std::time::Duration;

use klamm::protocol::messages::alter_client_quotas::{
    AlterClientQuotasRequest, EntityData as AlteredPart, EntryData as Altered, OpData,
};
use klamm::protocol::messages::create_topics::{CreatableTopic, CreateTopicsRequest};
use klamm::protocol::messages::delete_topics::DeleteTopicsRequest;
use klamm::protocol::messages::describe_client_quotas::{ComponentData, DescribeClientQuotasRequest};
use klamm::protocol::messages::fetch::{FetchPartition, FetchRequest, FetchTopic};
use klamm::protocol::messages::heartbeat::HeartbeatRequest;
use klamm::protocol::messages::produce::{PartitionProduceData, ProduceRequest, TopicProduceData};
use klamm::protocol::records::{BatchBuilder, Compression, NO_HEADERS};
use klamm::protocol::{ErrorCode, GroupId, Records, Str, TopicName};
use klamm_broker::{Broker, Quota, QuotaEntity};
use tokio::time::Instant;

fn text(text: &str) -> Str {
    Str::try_from(text).expect("short text")
}

fn produce(bytes: usize) -> ProduceRequest {
    let mut batch = BatchBuilder::new(bytes + 1024);
    batch.append(0, None, Some(&vec![b'x'; bytes]), NO_HEADERS).expect("fits");
    let mut batch = batch.close(Compression::None).expect("closed");
    let records = Some(Records(batch.stamp(-1, -1, -1, false)));
    let data = TopicProduceData {
        name: TopicName(text("orders")),
        partition_data: vec![PartitionProduceData { index: 0, records }],
        ..Default::default()
    };
    ProduceRequest { acks: -1, topic_data: vec![data], ..Default::default() }
}

fn fetch(offset: i64) -> FetchRequest {
    let partition = FetchPartition { fetch_offset: offset, partition_max_bytes: i32::MAX, ..Default::default() };
    let topic = FetchTopic { topic: TopicName(text("orders")), partitions: vec![partition], ..Default::default() };
    FetchRequest { max_bytes: i32::MAX, topics: vec![topic], ..Default::default() }
}

/// Quotas are kept for what raw clients call themselves.
fn raw() -> QuotaEntity {
    QuotaEntity::client_id("raw")
}

#[tokio::test(start_paused = true)]
async fn a_producer_above_its_rate_is_answered_and_then_not_heard() {
    let broker = Broker::builder().topic("orders", 1).quota(raw(), Quota::ProducerByteRate, 1000.0);
    let broker = broker.start_in_memory().expect("a broker");
    let mut client = broker.raw_client(1);
    let start = Instant::now();
    let free = client.request(9, &produce(5000)).await.expect("an answer");
    assert_eq!(free.throttle_time_ms, 0, "ten seconds' worth is free");
    let throttled = client.request(9, &produce(10_000)).await.expect("an answer");
    assert_eq!(throttled.responses[0].partition_responses[0].error_code, ErrorCode::NONE);
    assert_eq!(start.elapsed(), Duration::ZERO, "answered at once");
    let wait = Duration::from_millis(throttled.throttle_time_ms.try_into().expect("a time"));
    // 15,000 bytes and what is around them, at 1,000 bytes a second, less the ten seconds that are free.
    assert!((5.0..5.6).contains(&wait.as_secs_f64()), "{wait:?}");
    client.request(9, &produce(1)).await.expect("an answer");
    assert!(start.elapsed() >= wait, "not heard before");
    // Another connection of the same client shares the quota.
    let other = broker.raw_request(1, 9, &produce(5000)).await.expect("an answer");
    assert!(other.throttle_time_ms > 3000, "{}", other.throttle_time_ms);
}

#[tokio::test(start_paused = true)]
async fn a_produce_without_answer_is_throttled_too() {
    let broker = Broker::builder().topic("orders", 1).quota(raw(), Quota::ProducerByteRate, 1000.0);
    let broker = broker.start_in_memory().expect("a broker");
    let mut client = broker.raw_client(1);
    let start = Instant::now();
    client.send(9, &ProduceRequest { acks: 0, ..produce(20_000) }).await.expect("sent");
    client.request(4, &HeartbeatRequest { group_id: GroupId(text("g")), ..Default::default() }).await.expect("an answer");
    assert!((10..12).contains(&start.elapsed().as_secs()), "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_consumer_above_its_rate_gets_nothing_until_its_time_has_come() {
    let broker = Broker::builder().topic("orders", 1).quota(QuotaEntity::default_client_id(), Quota::ConsumerByteRate, 1000.0);
    let broker = broker.start_in_memory().expect("a broker");
    let mut producer = broker.raw_client(1);
    for _ in 0..4 {
        producer.request(9, &produce(4000)).await.expect("an answer");
    }
    let mut client = broker.raw_client(1);
    let (start, mut offset, mut throttles) = (Instant::now(), 0, 0);
    while offset < 4 {
        let response = client.request(12, &fetch(offset)).await.expect("an answer");
        if response.throttle_time_ms > 0 {
            throttles += 1;
            assert!(response.responses.is_empty(), "an answer that is too much is not sent");
            continue;
        }
        let records = response.responses[0].partitions[0].records.as_ref().expect("records").0.clone();
        assert!(records.len() <= 10_000, "no more than the quota has in its windows: {}", records.len());
        offset += i64::try_from(records.len() / 4000).expect("a few");
    }
    assert!((6..20).contains(&start.elapsed().as_secs()) && throttles > 0, "{:?}, {throttles}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn requests_are_throttled_by_the_time_they_are_taken_to_need() {
    let broker = Broker::builder().quota(QuotaEntity::user("ANONYMOUS"), Quota::RequestPercentage, 1.0);
    let broker = broker.start_in_memory().expect("a broker");
    let mut client = broker.raw_client(1);
    let request = HeartbeatRequest { group_id: GroupId(text("g")), ..Default::default() };
    let start = Instant::now();
    let mut throttled = 0;
    for _ in 0..1100 {
        throttled += client.request(4, &request).await.expect("an answer").throttle_time_ms.min(1);
    }
    // 1,000 requests are ten seconds' worth.
    assert!(throttled > 0 && (900..3000).contains(&start.elapsed().as_millis()), "{throttled}, {:?}", start.elapsed());
}

fn creation(name: &str, partitions: i32) -> CreateTopicsRequest {
    let topic = CreatableTopic {
        name: TopicName(text(name)),
        num_partitions: partitions,
        replication_factor: 1,
        ..CreatableTopic::default()
    };
    CreateTopicsRequest { topics: vec![topic], ..CreateTopicsRequest::default() }
}

#[tokio::test(start_paused = true)]
async fn who_creates_too_many_partitions_is_refused_or_has_to_wait() {
    let broker = Broker::builder().quota(raw(), Quota::ControllerMutationRate, 1.0).start_in_memory().expect("a broker");
    let mut client = broker.raw_client(1);
    let created = client.request(7, &creation("a", 15)).await.expect("an answer");
    assert_eq!((created.topics[0].error_code, created.throttle_time_ms), (ErrorCode::NONE, 0), "overdrawn once");
    let refused = client.request(7, &creation("b", 1)).await.expect("an answer");
    assert_eq!((refused.topics[0].error_code, refused.throttle_time_ms), (ErrorCode::THROTTLING_QUOTA_EXCEEDED, 4000));
    assert_eq!(broker.topics(), ["a"]);
    let start = Instant::now();
    let created = client.request(7, &creation("b", 1)).await.expect("an answer");
    assert_eq!((created.topics[0].error_code, start.elapsed().as_secs()), (ErrorCode::NONE, 4));
    // An old client does not know the code: it is served, and waits after.
    let deletion = DeleteTopicsRequest { topic_names: vec![TopicName(text("a"))], ..Default::default() };
    let deleted = client.request(4, &deletion).await.expect("an answer");
    assert_eq!((deleted.responses[0].error_code, deleted.throttle_time_ms), (ErrorCode::NONE, 16_000));
}

/// An entity of requests; `None` is the default.
type Parts<'a> = &'a [(&'a str, Option<&'a str>)];

async fn alter(broker: &Broker, parts: Parts<'_>, key: &str, value: Option<f64>) -> (ErrorCode, String) {
    let part = |(kind, name): &(&str, Option<&str>)| AlteredPart { entity_type: text(kind), entity_name: name.map(text) };
    let change = OpData { key: text(key), value: value.unwrap_or(0.0), remove: value.is_none() };
    let entry = Altered { entity: parts.iter().map(part).collect(), ops: vec![change] };
    let request = AlterClientQuotasRequest { entries: vec![entry], validate_only: false };
    let result = broker.raw_request(1, 1, &request).await.expect("an answer").entries.remove(0);
    (result.error_code, result.error_message.map(|message| message.to_string()).unwrap_or_default())
}

#[tokio::test(start_paused = true)]
async fn quotas_are_altered_and_described() {
    let broker = Broker::builder().start_in_memory().expect("a broker");
    let fine = (ErrorCode::NONE, String::new());
    assert_eq!(alter(&broker, &[("client-id", Some("raw"))], "producer_byte_rate", Some(1000.0)).await, fine);
    assert_eq!(alter(&broker, &[("user", None)], "request_percentage", Some(12.5)).await, fine);
    let both = [("user", Some("alice")), ("client-id", None)];
    assert_eq!(alter(&broker, &both, "consumer_byte_rate", Some(5.0)).await, fine);
    assert_eq!(alter(&broker, &[("ip", Some("127.0.0.1"))], "connection_creation_rate", Some(5.0)).await, fine);
    assert_eq!(broker.quota(&raw(), Quota::ProducerByteRate), Some(1000.0));
    let alice = QuotaEntity::user("alice").and_default_client_id();
    assert_eq!(broker.quota(&alice, Quota::ConsumerByteRate), Some(5.0));
    for (parts, key, value, expected) in [
        (&[][..], "producer_byte_rate", 1.0, "Invalid empty client quota entity"),
        (&[("group", Some("g"))], "producer_byte_rate", 1.0, "Unhandled client quota entity type: group"),
        (&[("user", Some(""))], "producer_byte_rate", 1.0, "Empty user not supported"),
        (&[("user", Some("a")), ("ip", None)], "producer_byte_rate", 1.0, "Invalid quota entity combination"),
        (&[("user", Some("a"))], "speed", 1.0, "Invalid configuration key speed"),
        (&[("user", Some("a"))], "connection_creation_rate", 1.0, "Invalid configuration key connection_creation_rate"),
        (&[("user", Some("a"))], "producer_byte_rate", 0.0, "Quota producer_byte_rate must be greater than 0"),
        (&[("user", Some("a"))], "producer_byte_rate", 1.5, "producer_byte_rate cannot be a fractional value."),
    ] {
        assert_eq!(alter(&broker, parts, key, Some(value)).await, (ErrorCode::INVALID_REQUEST, expected.to_owned()));
    }
    let component = |kind: &str, match_type, name: Option<&str>| ComponentData {
        entity_type: text(kind),
        match_type,
        r#match: name.map(text),
    };
    let described = async |components: Vec<ComponentData>, strict| {
        let request = DescribeClientQuotasRequest { components, strict };
        let response = broker.raw_request(1, 1, &request).await.expect("an answer");
        response.entries.map(|entries| entries.len()).ok_or(response.error_code)
    };
    assert_eq!(described(vec![], false).await, Ok(4));
    assert_eq!(described(vec![component("user", 2, None)], false).await, Ok(2));
    assert_eq!(described(vec![component("user", 2, None)], true).await, Ok(1));
    assert_eq!(described(vec![component("user", 1, None)], false).await, Ok(1));
    assert_eq!(described(vec![component("user", 0, Some("alice")), component("client-id", 1, None)], true).await, Ok(1));
    assert_eq!(described(vec![component("user", 0, None)], false).await, Err(ErrorCode::INVALID_REQUEST));
    assert_eq!(described(vec![component("group", 2, None)], false).await, Err(ErrorCode::UNSUPPORTED_VERSION));
    let mixed = vec![component("user", 2, None), component("ip", 2, None)];
    assert_eq!(described(mixed, false).await, Err(ErrorCode::INVALID_REQUEST));
    assert_eq!(alter(&broker, &[("client-id", Some("raw"))], "producer_byte_rate", None).await, fine);
    assert_eq!(broker.quota(&raw(), Quota::ProducerByteRate), None);
}
