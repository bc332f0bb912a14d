//! Produce and Fetch on the level of the protocol.

use std::time::Duration;

use bytes::Bytes;
use klamm::protocol::messages::api_versions::{ApiVersionsRequest, ApiVersionsResponse};
use klamm::protocol::messages::fetch::{FetchPartition, FetchRequest, FetchResponse, FetchTopic, PartitionData};
use klamm::protocol::messages::metadata::{MetadataRequest, MetadataRequestTopic};
use klamm::protocol::messages::produce::{
    PartitionProduceData, PartitionProduceResponse, ProduceRequest, ProduceResponse, TopicProduceData,
};
use klamm::protocol::records::{BatchBuilder, Compression, NO_HEADERS, RecordBatches};
use klamm::protocol::{ApiKey, ErrorCode, Records, TopicName};
use klamm_broker::{Broker, Intercept};
use tokio::time::Instant;

fn name(name: &str) -> TopicName {
    TopicName::try_from(name).expect("a short name")
}

/// A batch of these values, at the time of now.
fn batch(values: &[&str], (producer_id, epoch, sequence): (i64, i16, i32)) -> Bytes {
    let mut builder = BatchBuilder::new(1024);
    for value in values {
        builder.append(1_700_000_000_000, None, Some(value.as_bytes()), NO_HEADERS).expect("room");
    }
    builder.close(Compression::None).expect("no codec").stamp(producer_id, epoch, sequence, false)
}

const NO_PRODUCER: (i64, i16, i32) = (-1, -1, -1);

fn produce(broker: &Broker, version: i16, topic: &str, partition: i32, records: Bytes) -> ProduceRequest {
    let data = PartitionProduceData { index: partition, records: Some(Records(records)) };
    let mut topic_data = TopicProduceData { partition_data: vec![data], ..Default::default() };
    match version {
        13.. => topic_data.topic_id = broker.topic_id(topic).unwrap_or_default(),
        _ => topic_data.name = name(topic),
    }
    ProduceRequest { acks: -1, timeout_ms: 5000, topic_data: vec![topic_data], ..Default::default() }
}

fn only_produced(response: ProduceResponse) -> PartitionProduceResponse {
    response.responses.into_iter().flat_map(|topic| topic.partition_responses).next().expect("one partition")
}

fn fetch(broker: &Broker, version: i16, topic: &str, offset: i64) -> FetchRequest {
    let partition = FetchPartition { fetch_offset: offset, partition_max_bytes: 1 << 20, ..Default::default() };
    let mut fetched = FetchTopic { partitions: vec![partition], ..Default::default() };
    match version {
        13.. => fetched.topic_id = broker.topic_id(topic).unwrap_or_default(),
        _ => fetched.topic = name(topic),
    }
    FetchRequest { max_wait_ms: 500, min_bytes: 1, max_bytes: 50 << 20, topics: vec![fetched], ..Default::default() }
}

fn only_fetched(response: FetchResponse) -> PartitionData {
    response.responses.into_iter().flat_map(|topic| topic.partitions).next().expect("one partition")
}

fn values(data: &PartitionData) -> Vec<String> {
    let records = data.records.clone().unwrap_or_default().0;
    let mut all = Vec::new();
    for batch in RecordBatches::new(records) {
        let records = batch.expect("a good batch").records(Default::default()).expect("good records");
        let text = |value: Option<&[u8]>| String::from_utf8_lossy(value.unwrap_or_default()).into_owned();
        all.extend(records.iter().map(|record| text(record.expect("a good record").value)));
    }
    all
}

#[tokio::test(start_paused = true)]
async fn what_is_produced_can_be_fetched_in_every_version() {
    let broker = Broker::builder().topic("orders", 1).start_in_memory().expect("a broker");
    let mut expected = Vec::new();
    for version in 3..=13 {
        let value = format!("v{version}");
        let records = batch(&[&value], NO_PRODUCER);
        let response = broker.raw_request(1, version, &produce(&broker, version, "orders", 0, records)).await;
        let produced = only_produced(response.expect("an answer"));
        assert_eq!((produced.error_code, produced.base_offset), (ErrorCode::NONE, i64::from(version) - 3));
        expected.push(value);
    }
    for version in 4..=18 {
        let response = broker.raw_request(1, version, &fetch(&broker, version, "orders", 0)).await;
        let fetched = only_fetched(response.expect("an answer"));
        assert_eq!(fetched.error_code, ErrorCode::NONE);
        assert_eq!(values(&fetched), expected, "version {version}");
        assert_eq!(fetched.high_watermark, 11);
    }
    assert_eq!(broker.values("orders", 0).expect("good batches"), expected);
}

#[tokio::test(start_paused = true)]
async fn a_fetch_waits_until_data_comes() {
    let broker = Broker::builder().topic("orders", 1).start_in_memory().expect("a broker");
    let start = Instant::now();
    let (fetched, ()) = tokio::join!(
        async { only_fetched(broker.raw_request(1, 12, &fetch(&broker, 12, "orders", 0)).await.expect("an answer")) },
        async {
            tokio::time::sleep(Duration::from_millis(200)).await;
            broker.append_records("orders", 0, [(None, Some(&b"late"[..]))]).expect("a partition");
        }
    );
    assert_eq!(values(&fetched), ["late"]);
    assert_eq!(start.elapsed().as_millis(), 200);
}

#[tokio::test(start_paused = true)]
async fn a_fetch_ends_empty_after_its_longest_wait() {
    let broker = Broker::builder().topic("orders", 1).start_in_memory().expect("a broker");
    let start = Instant::now();
    let response = broker.raw_request(1, 12, &fetch(&broker, 12, "orders", 0)).await;
    let fetched = only_fetched(response.expect("an answer"));
    assert_eq!((fetched.error_code, values(&fetched).len()), (ErrorCode::NONE, 0));
    assert!((500..=502).contains(&start.elapsed().as_millis()), "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn metadata_names_nodes_and_leaders() {
    let broker = Broker::builder().nodes(3).topic("orders", 6).start_in_memory().expect("a broker");
    let topics = Some(vec![MetadataRequestTopic { name: Some(name("orders")), ..Default::default() }]);
    for version in 0..=13 {
        let request = MetadataRequest { topics: topics.clone(), ..Default::default() };
        let response = broker.raw_request(2, version, &request).await.expect("an answer");
        let brokers: Vec<_> = response.brokers.iter().map(|node| (node.node_id.0, node.host.as_str(), node.port)).collect();
        assert_eq!(brokers, [(1, "node-1", 9092), (2, "node-2", 9092), (3, "node-3", 9092)]);
        let leaders: Vec<_> = response.topics[0].partitions.iter().map(|partition| partition.leader_id.0).collect();
        assert_eq!(leaders, [1, 2, 3, 1, 2, 3]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_version_of_api_versions_from_the_future_is_answered_in_version_0() {
    let broker = Broker::builder().start_in_memory().expect("a broker");
    let mut client = broker.raw_client(1);
    // Key 18, version 77, correlation id 5, no client id, no tags.
    client.send_bytes(&[0, 0, 0, 11, 0, 18, 0, 77, 0, 0, 0, 5, 0xff, 0xff, 0]).await.expect("sent");
    let (correlation_id, response) = client.receive::<ApiVersionsRequest>(0).await.expect("an answer");
    let ApiVersionsResponse { error_code, api_keys, .. } = response;
    assert_eq!((correlation_id, error_code), (5, ErrorCode::UNSUPPORTED_VERSION));
    assert_eq!(api_keys.len(), 1);
    assert_eq!((api_keys[0].api_key, api_keys[0].max_version), (18, 5));
}

#[tokio::test(start_paused = true)]
async fn errors_are_given_as_often_as_scripted() {
    let broker = Broker::builder().topic("orders", 1).start_in_memory().expect("a broker");
    broker.intercept_next(ApiKey::PRODUCE, 2, |_| Intercept::Error(ErrorCode::NOT_LEADER_OR_FOLLOWER));
    let mut codes = Vec::new();
    for _ in 0..3 {
        let request = produce(&broker, 12, "orders", 0, batch(&["x"], NO_PRODUCER));
        codes.push(only_produced(broker.raw_request(1, 12, &request).await.expect("an answer")).error_code.0);
    }
    assert_eq!(codes, [6, 6, 0]);
    assert_eq!(broker.values("orders", 0).expect("good batches"), ["x"]);
    assert_eq!(broker.requests_of(ApiKey::PRODUCE).len(), 3);
}
