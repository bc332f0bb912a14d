//! What a test can do to the broker.

use std::time::Duration;

use bytes::Bytes;
use klamm::protocol::messages::fetch::{FetchPartition, FetchRequest, FetchResponse, FetchTopic};
use klamm::protocol::messages::list_groups::{ListGroupsRequest, ListGroupsResponse};
use klamm::protocol::messages::metadata::{MetadataRequest, MetadataRequestTopic};
use klamm::protocol::messages::produce::{
    PartitionProduceData, PartitionProduceResponse, ProduceRequest, ProduceResponse, TopicProduceData,
};
use klamm::protocol::records::{BatchBuilder, Compression, NO_HEADERS};
use klamm::protocol::{ApiKey, ErrorCode, Records, Str, TopicName};
use klamm_broker::{Broker, Intercept};
use tokio::time::Instant;

fn orders() -> TopicName {
    TopicName(Str::try_from("orders").expect("short"))
}

fn broker() -> Broker {
    Broker::builder().nodes(2).topic("orders", 2).start_in_memory().expect("a broker")
}

fn batch(value: &str) -> Bytes {
    let mut builder = BatchBuilder::new(256);
    builder.append(1_700_000_000_000, None, Some(value.as_bytes()), NO_HEADERS).expect("room");
    builder.close(Compression::None).expect("no codec").stamp(-1, -1, -1, false)
}

/// One record to each of these partitions.
fn produce(value: &str, partitions: &[i32]) -> ProduceRequest {
    let data = |index: &i32| PartitionProduceData { index: *index, records: Some(Records(batch(value))) };
    let partition_data = partitions.iter().map(data).collect();
    let topic_data = vec![TopicProduceData { name: orders(), partition_data, ..Default::default() }];
    ProduceRequest { acks: -1, topic_data, ..Default::default() }
}

fn partitions(response: ProduceResponse) -> Vec<PartitionProduceResponse> {
    response.responses.into_iter().flat_map(|topic| topic.partition_responses).collect()
}

fn codes(response: ProduceResponse) -> Vec<i16> {
    partitions(response).iter().map(|partition| partition.error_code.0).collect()
}

fn is_close(start: Instant, millis: u128) -> bool {
    // Tokio's timers end at whole milliseconds.
    (millis..=millis + 2).contains(&start.elapsed().as_millis())
}

#[tokio::test(start_paused = true)]
async fn delays_count_from_arrival_also_behind_one_another() {
    let broker = broker();
    broker.intercept_all(ApiKey::PRODUCE, |_| Intercept::Delay(Duration::from_millis(200)));
    let mut client = broker.raw_client(1);
    let start = Instant::now();
    for _ in 0..5 {
        client.send(9, &produce("x", &[0])).await.expect("sent");
    }
    broker.wait_for(ApiKey::PRODUCE, 5).await;
    assert!(is_close(start, 0), "all are seen before one is answered");
    for offset in 0..5 {
        let (_, response) = client.receive::<ProduceRequest>(9).await.expect("an answer");
        assert_eq!(partitions(response)[0].base_offset, offset);
    }
    assert!(is_close(start, 200), "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_delayed_response_leaves_what_was_done() {
    let broker = broker();
    broker.intercept_next(ApiKey::PRODUCE, 1, |_| Intercept::DelayResponse(Duration::from_millis(300)));
    let start = Instant::now();
    let request = produce("x", &[0]);
    let (response, ()) = tokio::join!(broker.raw_request(1, 9, &request), async {
        tokio::time::sleep(Duration::from_millis(10)).await;
        assert_eq!(broker.values("orders", 0).expect("a log"), ["x"]);
    });
    assert_eq!(codes(response.expect("an answer")), [0]);
    assert!(is_close(start, 300), "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn held_requests_go_on_when_released() {
    let broker = broker();
    broker.intercept_next(ApiKey::PRODUCE, 1, |_| Intercept::Hold);
    let mut client = broker.raw_client(1);
    client.send(9, &produce("first", &[0])).await.expect("sent");
    client.send(9, &produce("second", &[0])).await.expect("sent");
    broker.wait_for(ApiKey::PRODUCE, 2).await;
    tokio::time::sleep(Duration::from_secs(1000)).await;
    assert!(broker.log("orders", 0).is_empty());
    broker.release();
    assert_eq!(broker.values("orders", 0).expect("a log"), ["first", "second"]);
    assert_eq!(client.receive::<ProduceRequest>(9).await.expect("an answer").0, 1);
    assert_eq!(client.receive::<ProduceRequest>(9).await.expect("an answer").0, 2);
}

#[tokio::test(start_paused = true)]
async fn no_more_than_a_hundred_requests_wait_at_a_connection() {
    let broker = broker();
    broker.intercept_next(ApiKey::PRODUCE, 1, |_| Intercept::Hold);
    let mut client = broker.raw_client(1);
    for _ in 0..150 {
        client.send(9, &produce("x", &[0])).await.expect("sent");
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(broker.requests().len(), 100);
    broker.release();
    for _ in 0..150 {
        client.receive::<ProduceRequest>(9).await.expect("an answer");
    }
    assert_eq!(broker.requests().len(), 150);
}

#[tokio::test(start_paused = true)]
async fn connections_close_before_or_after_the_request_took_effect() {
    for (verdict, records) in [(Intercept::CloseBefore, 0), (Intercept::ProcessThenClose, 1)] {
        let broker = broker();
        let mut once = Some(verdict);
        broker.intercept(move |_| once.take().unwrap_or_default());
        let mut client = broker.raw_client(1);
        client.send(9, &produce("x", &[0])).await.expect("sent");
        assert_eq!(client.read_to_end().await.expect("closed"), "");
        assert_eq!(broker.log("orders", 0).len(), records);
        assert_eq!(broker.connections(1), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_broker_that_hangs_reads_but_never_answers() {
    for (verdict, records) in [(Intercept::Swallow, 0), (Intercept::ProcessThenSwallow, 1)] {
        let broker = broker();
        let mut once = Some(verdict);
        broker.intercept(move |_| once.take().unwrap_or_default());
        let mut client = broker.raw_client(1);
        client.send(9, &produce("x", &[0])).await.expect("sent");
        client.send(9, &produce("y", &[0])).await.expect("sent");
        broker.wait_for(ApiKey::PRODUCE, 2).await;
        let answer = tokio::time::timeout(Duration::from_secs(3600), client.receive::<ProduceRequest>(9)).await;
        assert!(answer.is_err(), "{answer:?}");
        assert_eq!(broker.log("orders", 0).len(), records);
        assert_eq!(broker.connections(1), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn answers_can_be_given_changed_and_cut() {
    let broker = broker();
    broker.intercept_next(ApiKey::PRODUCE, 1, |_| {
        Intercept::edit::<ProduceRequest>(|response| response.responses[0].partition_responses[0].base_offset = 77)
    });
    let response = broker.raw_request(1, 9, &produce("x", &[0])).await.expect("an answer");
    assert_eq!(partitions(response)[0].base_offset, 77);
    broker.intercept_next(ApiKey::LIST_GROUPS, 1, |request| {
        Intercept::respond(
            request,
            &ListGroupsResponse { error_code: ErrorCode::COORDINATOR_LOAD_IN_PROGRESS, ..Default::default() },
        )
    });
    let response = broker.raw_request(1, 5, &ListGroupsRequest::default()).await.expect("an answer");
    assert_eq!(response.error_code, ErrorCode::COORDINATOR_LOAD_IN_PROGRESS);
    broker.intercept_next(ApiKey::LIST_GROUPS, 1, |_| Intercept::CutResponse(6));
    let mut client = broker.raw_client(1);
    client.send(5, &ListGroupsRequest::default()).await.expect("sent");
    assert_eq!(client.read_to_end().await.expect("closed").len(), 6);
    broker.intercept_next(ApiKey::LIST_GROUPS, 1, |_| Intercept::Raw(Bytes::from_static(b"HTTP/1.1 400 Bad Request\r\n")));
    client = broker.raw_client(1);
    client.send(5, &ListGroupsRequest::default()).await.expect("sent");
    assert!(client.receive::<ListGroupsRequest>(5).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn one_partition_can_be_refused() {
    let broker = broker();
    broker.move_leader("orders", 1, 1);
    broker.intercept_next(ApiKey::PRODUCE, 1, |_| Intercept::partition_error("orders", 0, ErrorCode::NOT_ENOUGH_REPLICAS));
    let response = broker.raw_request(1, 9, &produce("x", &[0, 1])).await.expect("an answer");
    assert_eq!(codes(response), [19, 0]);
    assert_eq!((broker.log("orders", 0).len(), broker.log("orders", 1).len()), (0, 1));
}

#[tokio::test(start_paused = true)]
async fn the_latest_closure_is_asked_first_and_may_use_the_broker() {
    let broker = broker();
    let first = broker.intercept_all(ApiKey::PRODUCE, |_| Intercept::Error(ErrorCode::REQUEST_TIMED_OUT));
    let (handle, mut count) = (broker.clone(), 0);
    broker.intercept_all(ApiKey::PRODUCE, move |request| {
        count += 1;
        if count == 1 {
            handle.move_leader("orders", 0, 2);
            assert_eq!(request.decode::<ProduceRequest>().expect("a Produce").topic_data[0].name, orders());
            return Intercept::After(Duration::from_millis(5), Box::default());
        }
        Intercept::Pass
    });
    let response = broker.raw_request(1, 10, &produce("x", &[0])).await.expect("an answer");
    assert_eq!(response.node_endpoints[0].host, "node-2");
    let refused = partitions(response).remove(0);
    assert_eq!((refused.error_code, refused.current_leader.leader_id.0), (ErrorCode::NOT_LEADER_OR_FOLLOWER, 2));
    assert_eq!(refused.current_leader.leader_epoch, 1);
    assert_eq!(codes(broker.raw_request(2, 10, &produce("x", &[0])).await.expect("an answer")), [7]);
    broker.remove_intercept(first);
    assert_eq!(codes(broker.raw_request(2, 10, &produce("x", &[0])).await.expect("an answer")), [0]);
}

#[tokio::test(start_paused = true)]
async fn a_throttled_client_is_told_and_then_not_heard() {
    let broker = broker();
    broker.set_throttle(Duration::from_secs(2));
    let mut client = broker.raw_client(1);
    let start = Instant::now();
    for wait in [0, 2000] {
        let response = client.request(9, &produce("x", &[0])).await.expect("an answer");
        assert_eq!(response.throttle_time_ms, 2000);
        assert!(is_close(start, wait), "{:?}", start.elapsed());
    }
}

#[tokio::test(start_paused = true)]
async fn a_stopped_node_gives_its_partitions_away() {
    let broker = broker();
    let mut client = broker.raw_client(1);
    client.request(9, &produce("before", &[0])).await.expect("an answer");
    broker.stop_node(1);
    assert_eq!(client.read_to_end().await.expect("closed"), "");
    assert_eq!((broker.leader("orders", 0), broker.leader_epoch("orders", 0)), (Some(2), 1));
    let topics = Some(vec![MetadataRequestTopic { name: Some(orders()), ..Default::default() }]);
    let metadata = broker.raw_request(2, 12, &MetadataRequest { topics, ..Default::default() }).await.expect("an answer");
    assert_eq!(metadata.brokers.iter().map(|node| node.node_id.0).collect::<Vec<_>>(), [2]);
    assert_eq!(metadata.topics[0].partitions[0].offline_replicas[0].0, 1);
    assert!(broker.raw_request(1, 9, &produce("x", &[0])).await.is_err());
    assert_eq!(codes(broker.raw_request(2, 9, &produce("after", &[0])).await.expect("an answer")), [0]);
    assert_eq!(broker.values("orders", 0).expect("a log"), ["before", "after"]);
    broker.start_node(1).await.expect("started");
    assert_eq!(codes(broker.raw_request(1, 9, &produce("x", &[0])).await.expect("an answer")), [6]);
}

#[tokio::test(start_paused = true)]
async fn a_partition_of_one_replica_waits_for_its_node() {
    let broker = Broker::builder().nodes(2).replication_factor(1).topic("orders", 2).start_in_memory().expect("a broker");
    broker.stop_node(1);
    assert_eq!((broker.leader("orders", 0), broker.leader("orders", 1)), (None, Some(2)));
    broker.start_node(1).await.expect("started");
    assert_eq!((broker.leader("orders", 0), broker.leader_epoch("orders", 0)), (Some(1), 2));
}

fn fetch(isolation_level: i8, offset: i64) -> FetchRequest {
    let partition = FetchPartition { fetch_offset: offset, partition_max_bytes: 1 << 20, ..Default::default() };
    let topics = vec![FetchTopic { topic: orders(), partitions: vec![partition], ..Default::default() }];
    FetchRequest { max_wait_ms: 0, min_bytes: 1, max_bytes: 1 << 20, isolation_level, topics, ..Default::default() }
}

#[tokio::test(start_paused = true)]
async fn transactions_can_be_scripted() {
    let broker = broker();
    let value = |text: &'static str| [(None, Some(text.as_bytes()))];
    broker.append_transactional("orders", 0, (5, 0, 0), value("taken back"));
    broker.append_records("orders", 0, value("plain"));
    let fetched = async |isolation| {
        let mut response: FetchResponse = broker.raw_request(1, 12, &fetch(isolation, 0)).await.expect("an answer");
        response.responses.remove(0).partitions.remove(0)
    };
    let committed = fetched(1).await;
    assert_eq!((committed.last_stable_offset, committed.high_watermark), (0, 2));
    assert_eq!(committed.records.expect("records").0, "");
    assert!(!fetched(0).await.records.expect("records").0.is_empty());
    assert_eq!(broker.end_transaction("orders", 0, 5, 0, false), Some(2));
    let committed = fetched(1).await;
    assert_eq!((committed.last_stable_offset, committed.high_watermark), (3, 3));
    let aborted = committed.aborted_transactions.expect("a list");
    assert_eq!((aborted[0].producer_id.0, aborted[0].first_offset), (5, 0));
}

#[tokio::test(start_paused = true)]
async fn deleted_records_and_unknown_offsets_are_out_of_range() {
    let broker = broker();
    for value in ["a", "b", "c"] {
        broker.append_records("orders", 0, [(None, Some(value.as_bytes()))]);
    }
    broker.delete_records("orders", 0, 2);
    assert_eq!(broker.offsets("orders", 0), Some((2, 3)));
    for (offset, code) in [(1, ErrorCode::OFFSET_OUT_OF_RANGE), (2, ErrorCode::NONE), (4, ErrorCode::OFFSET_OUT_OF_RANGE)] {
        let response = broker.raw_request(1, 12, &fetch(0, offset)).await.expect("an answer");
        assert_eq!(response.responses[0].partitions[0].error_code, code, "offset {offset}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_api_can_be_offered_in_fewer_versions() {
    let broker = broker();
    broker.set_versions(ApiKey::PRODUCE, Some(3..=8));
    broker.set_versions(ApiKey::LIST_GROUPS, None);
    assert!(broker.raw_request(1, 9, &produce("x", &[0])).await.is_err());
    assert!(broker.raw_request(1, 8, &produce("x", &[0])).await.is_ok());
    assert!(broker.raw_request(1, 5, &ListGroupsRequest::default()).await.is_err());
    let versions = broker.raw_request(1, 0, &klamm::protocol::messages::api_versions::ApiVersionsRequest::default()).await;
    let offered = versions.expect("an answer").api_keys;
    assert!(offered.iter().any(|api| (api.api_key, api.max_version) == (0, 8)));
    assert!(offered.iter().all(|api| api.api_key != ApiKey::LIST_GROUPS.0));
}

#[tokio::test(start_paused = true)]
async fn the_log_of_requests_forgets_the_oldest() {
    let broker = Broker::builder().topic("orders", 1).request_log_bytes(500).start_in_memory().expect("a broker");
    for _ in 0..20 {
        broker.raw_request(1, 9, &produce("x", &[0])).await.expect("an answer");
    }
    let bytes: usize = broker.requests().iter().map(|request| request.body.len()).sum();
    assert!((300..=500).contains(&bytes), "{bytes}");
    broker.clear_requests();
    assert!(broker.requests().is_empty());
}

#[tokio::test(start_paused = true)]
async fn without_acks_there_is_no_answer_and_a_failure_closes() {
    let broker = broker();
    let mut client = broker.raw_client(1);
    client.send(9, &ProduceRequest { acks: 0, ..produce("x", &[0]) }).await.expect("sent");
    client.request(9, &produce("y", &[0])).await.expect("the next request is answered");
    assert_eq!(broker.values("orders", 0).expect("a log"), ["x", "y"]);
    client.send(9, &ProduceRequest { acks: 0, ..produce("x", &[1]) }).await.expect("sent");
    assert_eq!(client.read_to_end().await.expect("closed"), "");
}
