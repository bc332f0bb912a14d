//! What leaves a log from its start and from its middle: DeleteRecords, retention, compaction.

use std::time::Duration;

use bytes::Bytes;
use klamm::protocol::messages::delete_records::{DeleteRecordsPartition, DeleteRecordsRequest, DeleteRecordsTopic};
use klamm::protocol::messages::fetch::{FetchPartition, FetchRequest, FetchTopic};
use klamm::protocol::messages::list_offsets::{ListOffsetsPartition, ListOffsetsRequest, ListOffsetsTopic};
use klamm::protocol::records::RecordBatches;
use klamm::protocol::{ErrorCode, TopicName};
use klamm_broker::Broker;

fn name(name: &str) -> TopicName {
    TopicName::try_from(name).expect("a short name")
}

fn broker() -> Broker {
    Broker::builder().nodes(2).topic("orders", 1).start_in_memory().expect("a broker")
}

fn append(broker: &Broker, key: &str, value: Option<&str>) {
    broker.append_records("orders", 0, [(Some(key.as_bytes()), value.map(str::as_bytes))]).expect("a partition");
}

async fn delete(broker: &Broker, node: i32, topic: &str, partition_index: i32, offset: i64) -> (ErrorCode, i64) {
    let partitions = vec![DeleteRecordsPartition { partition_index, offset }];
    let request = DeleteRecordsRequest { topics: vec![DeleteRecordsTopic { name: name(topic), partitions }], timeout_ms: 1000 };
    let mut response = broker.raw_request(node, 2, &request).await.expect("an answer");
    let result = response.topics.remove(0).partitions.remove(0);
    (result.error_code, result.low_watermark)
}

#[tokio::test(start_paused = true)]
async fn records_are_deleted_by_request() {
    let broker = broker();
    for value in ["a", "b", "c", "d"] {
        append(&broker, "k", Some(value));
    }
    assert_eq!(delete(&broker, 1, "orders", 0, 2).await, (ErrorCode::NONE, 2));
    assert_eq!(broker.offsets("orders", 0), Some((2, 4)));
    assert_eq!(delete(&broker, 1, "orders", 0, 1).await, (ErrorCode::NONE, 2), "the start never goes back");
    assert_eq!(delete(&broker, 1, "orders", 0, 5).await.0, ErrorCode::OFFSET_OUT_OF_RANGE);
    assert_eq!(delete(&broker, 1, "orders", 0, -2).await.0, ErrorCode::OFFSET_OUT_OF_RANGE);
    assert_eq!(delete(&broker, 2, "orders", 0, 3).await.0, ErrorCode::NOT_LEADER_OR_FOLLOWER);
    assert_eq!(delete(&broker, 1, "orders", 1, 3).await.0, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);
    assert_eq!(delete(&broker, 1, "none", 0, 3).await.0, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);
    // What is not replicated is not deleted.
    broker.hold_replication(2);
    append(&broker, "k", Some("e"));
    assert_eq!(delete(&broker, 1, "orders", 0, 5).await.0, ErrorCode::OFFSET_OUT_OF_RANGE);
    assert_eq!(delete(&broker, 1, "orders", 0, -1).await, (ErrorCode::NONE, 4));
    broker.set_topic_config("orders", "cleanup.policy", Some("compact"));
    assert_eq!(delete(&broker, 1, "orders", 0, -1).await.0, ErrorCode::POLICY_VIOLATION);
}

#[tokio::test(start_paused = true)]
async fn old_records_go_when_it_is_looked() {
    let builder = Broker::builder().topic("orders", 1).retention_check_interval(Duration::from_secs(10));
    let broker = builder.start_in_memory().expect("a broker");
    append(&broker, "k", Some("old"));
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(broker.offsets("orders", 0), Some((0, 1)), "nobody has asked for it");
    broker.set_topic_config("orders", "segment.bytes", Some("1"));
    broker.set_topic_config("orders", "retention.ms", Some("60000"));
    append(&broker, "k", Some("new"));
    tokio::time::sleep(Duration::from_secs(9)).await;
    assert_eq!(broker.offsets("orders", 0), Some((0, 2)));
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(broker.offsets("orders", 0), Some((1, 2)));
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(broker.offsets("orders", 0), Some((2, 2)));
    broker.set_topic_config("orders", "retention.ms", None);
    append(&broker, "k", Some("stays"));
    tokio::time::sleep(Duration::from_secs(600)).await;
    assert_eq!(broker.offsets("orders", 0), Some((2, 3)));
}

#[tokio::test(start_paused = true)]
async fn what_is_too_much_goes_at_once_where_a_test_asks() {
    let broker = broker();
    for value in ["a", "b", "c", "d"] {
        append(&broker, "k", Some(value));
    }
    let size = broker.log("orders", 0)[0].len();
    broker.set_topic_config("orders", "segment.bytes", Some(&size.to_string()));
    broker.set_topic_config("orders", "retention.bytes", Some(&(2 * size).to_string()));
    broker.apply_retention();
    assert_eq!(broker.offsets("orders", 0), Some((2, 4)));
    broker.set_topic_config("orders", "cleanup.policy", Some("compact"));
    broker.set_topic_config("orders", "retention.bytes", Some("0"));
    broker.apply_retention();
    assert_eq!(broker.offsets("orders", 0), Some((2, 4)), "what is compacted is not deleted");
}

async fn fetched(broker: &Broker, fetch_offset: i64) -> (ErrorCode, Vec<(i64, String)>) {
    let partition = FetchPartition { fetch_offset, partition_max_bytes: 1 << 20, ..Default::default() };
    let topics = vec![FetchTopic { topic: name("orders"), partitions: vec![partition], ..Default::default() }];
    let request = FetchRequest { max_wait_ms: 0, min_bytes: 1, max_bytes: 1 << 20, topics, ..Default::default() };
    let data = broker.raw_request(1, 12, &request).await.expect("an answer").responses.remove(0).partitions.remove(0);
    let mut all = Vec::new();
    for batch in RecordBatches::new(data.records.map_or(Bytes::new(), |records| records.0)) {
        let records = batch.expect("a good batch").records(Default::default()).expect("good records");
        let text = |bytes: Option<&[u8]>| String::from_utf8_lossy(bytes.unwrap_or_default()).into_owned();
        all.extend(records.iter().map(|record| record.map(|record| (record.offset, text(record.value))).expect("a record")));
    }
    (data.error_code, all)
}

#[tokio::test(start_paused = true)]
async fn a_compacted_log_is_read_over_its_gaps() {
    let broker = broker();
    for (key, value) in [("a", "1"), ("b", "1"), ("a", "2"), ("b", "2"), ("a", "3")] {
        append(&broker, key, Some(value));
    }
    append(&broker, "c", Some("deleted"));
    append(&broker, "c", None);
    assert!(broker.compact("orders", 0));
    assert!(!broker.compact("orders", 1));
    let left = |offset, value: &str| (offset, value.to_owned());
    let all = vec![left(3, "2"), left(4, "3"), left(6, "")];
    for offset in 0..=3 {
        assert_eq!(fetched(&broker, offset).await, (ErrorCode::NONE, all.clone()), "from {offset}");
    }
    assert_eq!(broker.offsets("orders", 0), Some((0, 7)));
    let partitions = vec![ListOffsetsPartition { timestamp: 0, ..Default::default() }];
    let topics = vec![ListOffsetsTopic { name: name("orders"), partitions }];
    let response = broker.raw_request(1, 7, &ListOffsetsRequest { topics, ..Default::default() }).await.expect("an answer");
    assert_eq!(response.topics[0].partitions[0].offset, 3);
    // A day later the tombstone may go.
    tokio::time::sleep(Duration::from_secs(86_401)).await;
    broker.compact("orders", 0);
    assert_eq!(fetched(&broker, 0).await.1, all[..2]);
    append(&broker, "d", Some("next"));
    assert_eq!(fetched(&broker, 5).await.1, [left(7, "next")]);
}
