//! Replication on the level of the protocol: who waits, who sees what, what is lost, and how a client finds out.

use std::time::Duration;

use bytes::Bytes;
use klamm::protocol::messages::describe_topic_partitions::{
    Cursor, DescribeTopicPartitionsRequest, DescribeTopicPartitionsResponsePartition, TopicRequest,
};
use klamm::protocol::messages::elect_leaders::{ElectLeadersRequest, TopicPartitions};
use klamm::protocol::messages::fetch::{FetchPartition, FetchRequest, FetchTopic, PartitionData};
use klamm::protocol::messages::list_offsets::{ListOffsetsPartition, ListOffsetsRequest, ListOffsetsTopic};
use klamm::protocol::messages::metadata::{MetadataRequest, MetadataRequestTopic, MetadataResponsePartition};
use klamm::protocol::messages::offset_for_leader_epoch::{
    EpochEndOffset, OffsetForLeaderEpochRequest, OffsetForLeaderPartition, OffsetForLeaderTopic,
};
use klamm::protocol::messages::produce::{PartitionProduceData, PartitionProduceResponse, ProduceRequest, TopicProduceData};
use klamm::protocol::records::{BatchBuilder, Compression, NO_HEADERS};
use klamm::protocol::{BrokerId, ErrorCode, Records, TopicName};
use klamm_broker::{Broker, BrokerBuilder};
use tokio::time::Instant;

fn orders() -> TopicName {
    TopicName::try_from("orders").expect("a short name")
}

/// Three nodes; partition 0 is led by node 1.
fn three() -> BrokerBuilder {
    Broker::builder().nodes(3).topic("orders", 1)
}

fn batch(value: &str, (producer_id, epoch, sequence): (i64, i16, i32)) -> Bytes {
    let mut builder = BatchBuilder::new(256);
    builder.append(1_700_000_000_000, None, Some(value.as_bytes()), NO_HEADERS).expect("room");
    builder.close(Compression::None).expect("no codec").stamp(producer_id, epoch, sequence, false)
}

fn request(value: &str, acks: i16, producer: (i64, i16, i32)) -> ProduceRequest {
    let data = PartitionProduceData { index: 0, records: Some(Records(batch(value, producer))) };
    let topic = TopicProduceData { name: orders(), partition_data: vec![data], ..Default::default() };
    ProduceRequest { acks, timeout_ms: 5000, topic_data: vec![topic], ..Default::default() }
}

async fn produce(broker: &Broker, node: i32, request: &ProduceRequest) -> PartitionProduceResponse {
    let mut response = broker.raw_request(node, 12, request).await.expect("an answer");
    response.responses.remove(0).partition_responses.remove(0)
}

const NO_PRODUCER: (i64, i16, i32) = (-1, -1, -1);

async fn say(broker: &Broker, node: i32, value: &str, acks: i16) -> ErrorCode {
    produce(broker, node, &request(value, acks, NO_PRODUCER)).await.error_code
}

async fn fetch(broker: &Broker, node: i32, partition: FetchPartition) -> PartitionData {
    let partition = FetchPartition { partition_max_bytes: 1 << 20, ..partition };
    let topics = vec![FetchTopic { topic: orders(), partitions: vec![partition], ..Default::default() }];
    let request = FetchRequest { max_wait_ms: 0, min_bytes: 1, max_bytes: 1 << 20, topics, ..Default::default() };
    broker.raw_request(node, 12, &request).await.expect("an answer").responses.remove(0).partitions.remove(0)
}

/// Code, end and its epoch.
async fn end_of_epoch(broker: &Broker, node: i32, leader_epoch: i32, current_leader_epoch: i32) -> (ErrorCode, i32, i64) {
    let partition = OffsetForLeaderPartition { leader_epoch, current_leader_epoch, ..Default::default() };
    let topics = vec![OffsetForLeaderTopic { topic: orders(), partitions: vec![partition] }];
    let request = OffsetForLeaderEpochRequest { replica_id: BrokerId(-1), topics };
    let mut response = broker.raw_request(node, 4, &request).await.expect("an answer");
    let EpochEndOffset { error_code, leader_epoch, end_offset, .. } = response.topics.remove(0).partitions.remove(0);
    (error_code, leader_epoch, end_offset)
}

async fn list_offsets(broker: &Broker, node: i32, version: i16, replica_id: i32, timestamp: i64) -> (ErrorCode, i64, i32) {
    let partitions = vec![ListOffsetsPartition { timestamp, ..Default::default() }];
    let topics = vec![ListOffsetsTopic { name: orders(), partitions }];
    let request = ListOffsetsRequest { replica_id: BrokerId(replica_id), topics, ..Default::default() };
    let found = broker.raw_request(node, version, &request).await.expect("an answer").topics.remove(0).partitions.remove(0);
    (found.error_code, found.offset, found.leader_epoch)
}

async fn metadata(broker: &Broker, node: i32) -> MetadataResponsePartition {
    let topics = Some(vec![MetadataRequestTopic { name: Some(orders()), ..Default::default() }]);
    let response = broker.raw_request(node, 12, &MetadataRequest { topics, ..Default::default() }).await;
    response.expect("an answer").topics.remove(0).partitions.remove(0)
}

async fn described(broker: &Broker, node: i32) -> DescribeTopicPartitionsResponsePartition {
    let request = DescribeTopicPartitionsRequest { topics: vec![TopicRequest { name: orders() }], ..Default::default() };
    broker.raw_request(node, 0, &request).await.expect("an answer").topics.remove(0).partitions.remove(0)
}

fn ids(nodes: &[BrokerId]) -> Vec<i32> {
    nodes.iter().map(|node| node.0).collect()
}

#[tokio::test(start_paused = true)]
async fn who_wants_all_replicas_waits_for_them_and_who_wants_one_does_not() {
    let broker = three().start_in_memory().expect("a broker");
    broker.hold_replication(3);
    let start = Instant::now();
    assert_eq!(say(&broker, 1, "one", 1).await, ErrorCode::NONE);
    assert_eq!(start.elapsed(), Duration::ZERO);
    assert_eq!((broker.high_watermark("orders", 0), broker.log_end("orders", 0, 1)), (Some(0), Some(1)));
    let (code, ()) = tokio::join!(say(&broker, 1, "all", -1), async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        broker.release_replication(3);
    });
    assert_eq!((code, start.elapsed().as_secs()), (ErrorCode::NONE, 1));
    assert_eq!(broker.high_watermark("orders", 0), Some(2));
}

#[tokio::test(start_paused = true)]
async fn a_wait_that_is_over_leaves_the_record_in_the_log() {
    let broker = three().start_in_memory().expect("a broker");
    broker.hold_replication(2);
    let start = Instant::now();
    let refused = produce(&broker, 1, &request("x", -1, (7, 0, 0))).await;
    assert_eq!((refused.error_code, start.elapsed().as_secs()), (ErrorCode::REQUEST_TIMED_OUT, 5));
    assert_eq!(
        (broker.log_end("orders", 0, 1), broker.log_end("orders", 0, 2), broker.log_end("orders", 0, 3)),
        (Some(1), Some(0), Some(1))
    );
    // Sent again, it is known, and waits as the first one did.
    let again = request("x", -1, (7, 0, 0));
    let (again, ()) = tokio::join!(produce(&broker, 1, &again), async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert!(broker.replicate_up_to("orders", 0, 2, 1));
    });
    assert_eq!((again.error_code, again.base_offset), (ErrorCode::NONE, 0));
    assert_eq!(broker.values("orders", 0).expect("a log"), ["x"]);
    let at_once = ProduceRequest { timeout_ms: 0, ..request("y", -1, NO_PRODUCER) };
    assert_eq!(produce(&broker, 1, &at_once).await.error_code, ErrorCode::REQUEST_TIMED_OUT);
}

#[tokio::test(start_paused = true)]
async fn readers_see_up_to_the_high_watermark() {
    let broker = three().start_in_memory().expect("a broker");
    say(&broker, 1, "seen", -1).await;
    broker.hold_replication(2);
    say(&broker, 1, "not yet", 1).await;
    for offset in [0, 1, 2] {
        let data = fetch(&broker, 1, FetchPartition { fetch_offset: offset, ..Default::default() }).await;
        assert_eq!((data.error_code, data.high_watermark, data.last_stable_offset), (ErrorCode::NONE, 1, 1));
        assert_eq!(data.records.expect("records").0.is_empty(), offset > 0, "offset {offset}");
    }
    let beyond = fetch(&broker, 1, FetchPartition { fetch_offset: 3, ..Default::default() }).await;
    assert_eq!(beyond.error_code, ErrorCode::OFFSET_OUT_OF_RANGE);
    // A consumer and a tool that looks at a replica.
    assert_eq!(list_offsets(&broker, 1, 7, -1, -1).await, (ErrorCode::NONE, 1, 0));
    assert_eq!(list_offsets(&broker, 1, 7, -2, -1).await, (ErrorCode::NONE, 2, 0));
    assert_eq!(list_offsets(&broker, 2, 7, -1, -1).await.0, ErrorCode::NOT_LEADER_OR_FOLLOWER);
    // One that waits hears of the record when it is replicated.
    let start = Instant::now();
    let partition = FetchPartition { fetch_offset: 1, partition_max_bytes: 1 << 20, ..Default::default() };
    let topics = vec![FetchTopic { topic: orders(), partitions: vec![partition], ..Default::default() }];
    let waits = FetchRequest { max_wait_ms: 9000, min_bytes: 1, max_bytes: 1 << 20, topics, ..Default::default() };
    let (fetched, ()) = tokio::join!(broker.raw_request(1, 12, &waits), async {
        tokio::time::sleep(Duration::from_secs(2)).await;
        broker.release_replication(2);
    });
    let data = fetched.expect("an answer").responses.remove(0).partitions.remove(0);
    assert_eq!((start.elapsed().as_secs(), data.high_watermark), (2, 2));
    assert!(!data.records.expect("records").0.is_empty());
}

#[tokio::test(start_paused = true)]
async fn who_lags_too_long_is_no_longer_in_sync() {
    let broker = three().replica_lag_time_max(Duration::from_secs(3)).start_in_memory().expect("a broker");
    broker.hold_replication(2);
    let start = Instant::now();
    let waited = produce(&broker, 1, &request("x", -1, NO_PRODUCER)).await;
    assert_eq!((waited.error_code, start.elapsed().as_secs()), (ErrorCode::NONE, 3));
    assert_eq!(broker.isr("orders", 0), [1, 3]);
    assert_eq!(ids(&metadata(&broker, 3).await.isr_nodes), [1, 3]);
    assert_eq!(ids(&described(&broker, 3).await.isr_nodes), [1, 3]);
    broker.release_replication(2);
    assert_eq!(broker.isr("orders", 0), [1, 2, 3]);
    // Who has everything may be quiet for as long as it likes.
    broker.hold_replication(3);
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(broker.isr("orders", 0), [1, 2, 3]);
}

#[tokio::test(start_paused = true)]
async fn too_few_in_sync_refuse_before_the_append_and_after_it() {
    for moves in [false, true] {
        let builder = three().min_insync_replicas(3).replica_lag_time_max(Duration::from_secs(3));
        let broker = builder.high_watermark_moves_below_min_isr(moves).start_in_memory().expect("a broker");
        broker.hold_replication(2);
        let start = Instant::now();
        let refused = say(&broker, 1, "x", -1).await;
        let (code, seconds) = match moves {
            true => (ErrorCode::NOT_ENOUGH_REPLICAS_AFTER_APPEND, 3),
            false => (ErrorCode::REQUEST_TIMED_OUT, 5),
        };
        assert_eq!((refused, start.elapsed().as_secs()), (code, seconds));
        assert_eq!(broker.high_watermark("orders", 0), Some(i64::from(moves)));
        assert_eq!(say(&broker, 1, "y", -1).await, ErrorCode::NOT_ENOUGH_REPLICAS);
        assert_eq!(say(&broker, 1, "z", 1).await, ErrorCode::NONE);
        assert_eq!(broker.values("orders", 0).expect("a log"), ["x", "z"]);
        broker.set_topic_config("orders", "min.insync.replicas", Some("2"));
        assert_eq!(say(&broker, 1, "enough", -1).await, ErrorCode::NONE);
        assert_eq!(broker.high_watermark("orders", 0), Some(3));
    }
}

#[tokio::test(start_paused = true)]
async fn a_killed_leader_takes_with_it_what_only_it_had() {
    let broker = three().start_in_memory().expect("a broker");
    assert_eq!(produce(&broker, 1, &request("kept", -1, (7, 0, 0))).await.error_code, ErrorCode::NONE);
    broker.hold_replication(2);
    broker.hold_replication(3);
    assert_eq!(produce(&broker, 1, &request("lost", 1, (7, 0, 1))).await.error_code, ErrorCode::NONE);
    let unanswered = request("not acknowledged", -1, (7, 0, 2));
    let ((), waiting) = tokio::join!(
        async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            broker.stop_node(1);
        },
        broker.raw_request(1, 12, &unanswered)
    );
    assert!(waiting.is_err(), "its connection is closed");
    assert_eq!((broker.leader("orders", 0), broker.leader_epoch("orders", 0)), (Some(2), 1));
    assert_eq!(broker.values("orders", 0).expect("a log"), ["kept"]);
    let offline = metadata(&broker, 2).await;
    assert_eq!((ids(&offline.isr_nodes), ids(&offline.offline_replicas), offline.leader_epoch), (vec![2, 3], vec![1], 1));
    broker.release_replication(3);
    broker.release_replication(2);
    // What is lost is no repetition.
    let again = produce(&broker, 2, &request("again", -1, (7, 0, 1))).await;
    assert_eq!((again.error_code, again.base_offset), (ErrorCode::NONE, 1));
    assert_eq!(broker.log_end("orders", 0, 1), Some(3), "a history of its own, on its disk");
    broker.start_node(1).await.expect("started");
    assert_eq!((broker.isr("orders", 0), broker.log_end("orders", 0, 1)), (vec![1, 2, 3], Some(2)));
    // A reader that had read of the lost ones is told where its history ends.
    assert_eq!(end_of_epoch(&broker, 2, 0, 1).await, (ErrorCode::NONE, 0, 1));
    let lost = FetchPartition { fetch_offset: 3, last_fetched_epoch: 0, current_leader_epoch: 1, ..Default::default() };
    let told = fetch(&broker, 2, lost).await;
    assert_eq!((told.error_code, told.diverging_epoch.epoch, told.diverging_epoch.end_offset), (ErrorCode::NONE, 0, 1));
}

#[tokio::test(start_paused = true)]
async fn epochs_are_told_as_kafka_tells_them() {
    let broker = three().start_in_memory().expect("a broker");
    say(&broker, 1, "a", -1).await;
    broker.move_leader("orders", 0, 2);
    broker.move_leader("orders", 0, 3);
    say(&broker, 3, "b", -1).await;
    assert_eq!(end_of_epoch(&broker, 3, 0, 2).await, (ErrorCode::NONE, 0, 1));
    assert_eq!(end_of_epoch(&broker, 3, 1, 2).await, (ErrorCode::NONE, 0, 1), "epoch 1 has appended nothing");
    assert_eq!(end_of_epoch(&broker, 3, 2, -1).await, (ErrorCode::NONE, 2, 2));
    assert_eq!(end_of_epoch(&broker, 3, 3, -1).await, (ErrorCode::NONE, -1, -1));
    assert_eq!(end_of_epoch(&broker, 3, -1, -1).await, (ErrorCode::NONE, -1, -1));
    assert_eq!(end_of_epoch(&broker, 3, 0, 1).await.0, ErrorCode::FENCED_LEADER_EPOCH);
    assert_eq!(end_of_epoch(&broker, 3, 0, 3).await.0, ErrorCode::UNKNOWN_LEADER_EPOCH);
    assert_eq!(end_of_epoch(&broker, 1, 0, -1).await.0, ErrorCode::NOT_LEADER_OR_FOLLOWER);
    let unknown = FetchPartition { fetch_offset: 2, last_fetched_epoch: 9, ..Default::default() };
    assert_eq!(fetch(&broker, 3, unknown).await.error_code, ErrorCode::OFFSET_OUT_OF_RANGE);
}

#[tokio::test(start_paused = true)]
async fn a_new_leader_does_not_say_where_the_log_ends_before_it_knows() {
    let broker = three().start_in_memory().expect("a broker");
    broker.hold_replication(3);
    say(&broker, 1, "a", 1).await;
    broker.stop_node(1);
    assert_eq!((broker.leader("orders", 0), broker.high_watermark("orders", 0)), (Some(2), Some(0)));
    assert_eq!(list_offsets(&broker, 2, 5, -1, -1).await.0, ErrorCode::OFFSET_NOT_AVAILABLE);
    assert_eq!(list_offsets(&broker, 2, 4, -1, -1).await.0, ErrorCode::LEADER_NOT_AVAILABLE);
    assert_eq!(list_offsets(&broker, 2, 5, -1, -2).await, (ErrorCode::NONE, 0, 0));
    assert_eq!(list_offsets(&broker, 2, 5, -1, 1_700_000_000_001).await.0, ErrorCode::OFFSET_NOT_AVAILABLE);
    broker.release_replication(3);
    assert_eq!(list_offsets(&broker, 2, 5, -1, -1).await, (ErrorCode::NONE, 1, 1));
    for special in [-5, -6] {
        assert_eq!(list_offsets(&broker, 2, 11, -1, special).await, (ErrorCode::NONE, -1, -1));
    }
    assert_eq!(list_offsets(&broker, 2, 11, -1, -4).await, (ErrorCode::NONE, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_partition_asked_for_twice_is_refused() {
    let broker = three().start_in_memory().expect("a broker");
    let partition = || ListOffsetsPartition { timestamp: -1, ..Default::default() };
    let other = ListOffsetsPartition { timestamp: -1, partition_index: 1, ..Default::default() };
    let topics = vec![ListOffsetsTopic { name: orders(), partitions: vec![partition(), other, partition()] }];
    let response = broker.raw_request(1, 7, &ListOffsetsRequest { topics, ..Default::default() }).await.expect("an answer");
    let codes: Vec<_> = response.topics[0].partitions.iter().map(|partition| partition.error_code).collect();
    assert_eq!(codes, [ErrorCode::INVALID_REQUEST, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION], "and answered once");
}

async fn elect(broker: &Broker, node: i32, election_type: i8, partitions: Option<&[i32]>) -> Vec<(i32, ErrorCode)> {
    let topic = |partitions: &[i32]| TopicPartitions { topic: orders(), partitions: partitions.to_vec() };
    let topic_partitions = partitions.map(|partitions| vec![topic(partitions)]);
    let request = ElectLeadersRequest { election_type, topic_partitions, ..Default::default() };
    let response = broker.raw_request(node, 2, &request).await.expect("an answer");
    let results = response.replica_election_results.into_iter().flat_map(|topic| topic.partition_result);
    results.map(|result| (result.partition_id, result.error_code)).collect()
}

#[tokio::test(start_paused = true)]
async fn leaders_are_elected_by_request() {
    let broker = Broker::builder().nodes(3).topic("orders", 2).start_in_memory().expect("a broker");
    assert_eq!(
        elect(&broker, 3, 0, Some(&[0, 7])).await,
        [(0, ErrorCode::ELECTION_NOT_NEEDED), (7, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION)]
    );
    assert_eq!(elect(&broker, 3, 0, None).await, []);
    broker.stop_node(1);
    assert_eq!(elect(&broker, 3, 0, None).await, [(0, ErrorCode::PREFERRED_LEADER_NOT_AVAILABLE)]);
    broker.start_node(1).await.expect("started");
    assert_eq!(elect(&broker, 3, 0, None).await, [(0, ErrorCode::NONE)]);
    assert_eq!((broker.leader("orders", 0), broker.leader_epoch("orders", 0)), (Some(1), 2));
    assert_eq!(elect(&broker, 3, 1, Some(&[0])).await, [(0, ErrorCode::ELECTION_NOT_NEEDED)]);
    // Nobody in sync runs: only unclean there is a leader, and a record is lost.
    broker.stop_node(3);
    broker.hold_replication(2);
    say(&broker, 1, "acknowledged by the one that is left", 1).await;
    tokio::time::sleep(Duration::from_secs(31)).await;
    broker.stop_node(1);
    assert_eq!((broker.leader("orders", 0), broker.isr("orders", 0)), (None, vec![1]));
    assert_eq!(metadata(&broker, 2).await.error_code, ErrorCode::LEADER_NOT_AVAILABLE);
    assert_eq!(elect(&broker, 2, 0, Some(&[0])).await, [(0, ErrorCode::PREFERRED_LEADER_NOT_AVAILABLE)]);
    assert_eq!(elect(&broker, 2, 1, Some(&[0])).await, [(0, ErrorCode::NONE)]);
    assert_eq!((broker.leader("orders", 0), broker.isr("orders", 0)), (Some(2), vec![2]));
    assert_eq!(broker.values("orders", 0).expect("a log"), [""; 0]);
    let request = ElectLeadersRequest { election_type: 5, topic_partitions: None, ..Default::default() };
    assert_eq!(broker.raw_request(2, 2, &request).await.expect("an answer").error_code, ErrorCode::INVALID_REQUEST);
}

#[tokio::test(start_paused = true)]
async fn partitions_are_described_page_by_page() {
    let broker = Broker::builder().nodes(3).topic("a", 2).topic("b", 3).topic("c", 1).start_in_memory().expect("a broker");
    let mut cursor = None;
    let mut pages = Vec::new();
    loop {
        let request = DescribeTopicPartitionsRequest { response_partition_limit: 2, cursor, ..Default::default() };
        let response = broker.raw_request(1, 0, &request).await.expect("an answer");
        let name = |name: &Option<TopicName>| name.as_ref().map_or("", |name| name.as_str()).to_owned();
        let page = response.topics.iter().map(|topic| {
            let partitions: Vec<_> = topic.partitions.iter().map(|partition| partition.partition_index).collect();
            (name(&topic.name), partitions)
        });
        pages.push(page.collect::<Vec<_>>());
        let Some(Cursor { topic_name, partition_index }) = response.next_cursor else { break };
        cursor = Some(Cursor { topic_name, partition_index });
    }
    let topic = |name: &str, partitions: &[i32]| (name.to_owned(), partitions.to_vec());
    assert_eq!(pages, [vec![topic("a", &[0, 1])], vec![topic("b", &[0, 1])], vec![topic("b", &[2]), topic("c", &[0])]]);
    let unknown = DescribeTopicPartitionsRequest { topics: vec![TopicRequest { name: orders() }], ..Default::default() };
    let response = broker.raw_request(1, 0, &unknown).await.expect("an answer");
    assert_eq!(response.topics[0].error_code, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);
}
