//! Transactions on the level of the protocol: who may write what, when it can be read, and what becomes of what was left open.

mod histories;
mod lost_markers;
mod producer;

use std::time::Duration;

use klamm::protocol::messages::add_partitions_to_txn::{
    AddPartitionsToTxnRequest, AddPartitionsToTxnTopic, AddPartitionsToTxnTransaction,
};
use klamm::protocol::messages::api_versions::ApiVersionsRequest;
use klamm::protocol::messages::describe_producers::{DescribeProducersRequest, TopicRequest};
use klamm::protocol::messages::describe_transactions::DescribeTransactionsRequest;
use klamm::protocol::messages::init_producer_id::InitProducerIdRequest;
use klamm::protocol::messages::list_transactions::{ListTransactionsRequest, ListTransactionsResponse};
use klamm::protocol::messages::offset_commit::{OffsetCommitRequest, OffsetCommitRequestPartition, OffsetCommitRequestTopic};
use klamm::protocol::messages::offset_fetch::{OffsetFetchRequest, OffsetFetchRequestGroup};
use klamm::protocol::messages::write_txn_markers::{WritableTxnMarker, WritableTxnMarkerTopic, WriteTxnMarkersRequest};
use klamm::protocol::{ErrorCode, ProducerId};
use klamm_broker::{Broker, BrokerBuilder};
use tokio::time::sleep;

use crate::producer::{Producer, V1, V2, end_offset, fetch_offset, group, name, read, text, transactional};

const NONE: ErrorCode = ErrorCode::NONE;
const ALL: bool = false;
const COMMITTED: bool = true;

fn builder() -> BrokerBuilder {
    Broker::builder().topic("t", 2)
}

fn broker() -> Broker {
    builder().start_in_memory().expect("a broker")
}

#[tokio::test(start_paused = true)]
async fn what_is_written_can_be_read_once_it_is_committed() {
    for versions in [V1, V2] {
        let broker = broker();
        let mut till = Producer::started(&broker, "till", versions).await;
        assert_eq!(till.send("t", 0, &["a", "b"]).await, Ok(0));
        assert_eq!(till.send("t", 1, &["c"]).await, Ok(0));
        assert_eq!(till.state(), "Ongoing");
        let open = read(&broker, "t", 0, COMMITTED).await;
        assert_eq!((open.values.len(), open.last_stable_offset, open.high_watermark), (0, 0, 2));
        assert_eq!(read(&broker, "t", 0, ALL).await.values, ["a", "b"]);
        assert_eq!(end_offset(&broker, "t", 0, COMMITTED).await, 0);
        assert_eq!(end_offset(&broker, "t", 0, ALL).await, 2);

        assert_eq!(till.end(true).await, NONE);
        assert_eq!(till.state(), "CompleteCommit");
        let ended = read(&broker, "t", 0, COMMITTED).await;
        assert_eq!((ended.values.join(""), ended.last_stable_offset, ended.high_watermark), ("ab".to_owned(), 3, 3));
        assert_eq!(read(&broker, "t", 1, COMMITTED).await.values, ["c"]);

        assert_eq!(till.send("t", 0, &["taken back"]).await, Ok(3));
        assert_eq!(till.end(false).await, NONE);
        assert_eq!(till.state(), "CompleteAbort");
        assert_eq!(read(&broker, "t", 0, COMMITTED).await.values, ["a", "b"]);
        assert_eq!(read(&broker, "t", 0, ALL).await.values, ["a", "b", "taken back"]);
        // The epochs: one for all transactions, or each its own.
        assert_eq!(till.epoch, if versions == V2 { 2 } else { 0 });
    }
}

#[tokio::test(start_paused = true)]
async fn a_partition_outside_of_the_transaction_is_refused_or_added() {
    let broker = broker();
    for (version, code) in [(10, ErrorCode::INVALID_TXN_STATE), (11, ErrorCode::TRANSACTION_ABORTABLE)] {
        let mut till = Producer::started(&broker, "till", V1).await;
        assert_eq!(till.write_as(version, "t", 0, &["lost"], true).await.error_code, code);
        assert_eq!(till.add("t", 0).await, NONE);
        assert_eq!(till.write_as(version, "t", 1, &["lost"], true).await.error_code, code);
        assert_eq!(till.write_as(version, "t", 0, &["a"], true).await.error_code, NONE);
        // It is open there, and only so may be written to.
        let alone = till.write_as(version, "t", 0, &["not part of it"], false).await;
        assert_eq!(alone.error_code, ErrorCode::INVALID_TXN_STATE);
        assert_eq!(till.end(true).await, NONE);
        assert_eq!(till.write_as(version, "t", 0, &["late"], true).await.error_code, code);
        assert_eq!(till.write_as(version, "t", 0, &["now it may"], false).await.error_code, NONE);
    }
    let mut till = Producer::started(&broker, "till", V2).await;
    assert_eq!(till.write("t", 0, &["b"]).await.error_code, NONE);
    assert_eq!(till.end(true).await, NONE);
    assert_eq!(read(&broker, "t", 0, COMMITTED).await.values, ["a", "now it may", "a", "now it may", "b"]);
    // The word that is missing.
    let (id, batch) = (None, broker.log("t", 0)[0].clone());
    let refused = producer::produce(&broker, 12, id, "t", 0, batch).await;
    assert_eq!(refused.error_code, ErrorCode::TRANSACTIONAL_ID_AUTHORIZATION_FAILED);
}

#[tokio::test(start_paused = true)]
async fn a_new_instance_shuts_the_old_one_out() {
    for (versions, level) in [(V1, 1), (V2, 2)] {
        let broker = builder().feature("transaction.version", level).start_in_memory().expect("a broker");
        let mut old = Producer::started(&broker, "till", versions).await;
        assert_eq!(old.send("t", 0, &["lost"]).await, Ok(0));
        assert_eq!(old.send_offset("g", "t", 0, 7).await, NONE);
        let mut new = Producer::new(&broker, "till", versions);
        assert_eq!(new.init().await, ErrorCode::CONCURRENT_TRANSACTIONS, "it aborts the open transaction first");
        assert_eq!(new.init().await, NONE);
        assert_eq!((new.id, new.epoch), (old.id, 2));
        assert_eq!(read(&broker, "t", 0, COMMITTED).await.values.len(), 0);
        assert_eq!(fetch_offset(&broker, "g", "t", 0, true).await.committed_offset, -1);

        assert_eq!(old.add("t", 1).await, ErrorCode::PRODUCER_FENCED);
        assert_eq!(old.add_offsets("g").await, ErrorCode::PRODUCER_FENCED);
        assert_eq!(old.end(true).await, ErrorCode::PRODUCER_FENCED);
        for partition in [0, 1] {
            assert_eq!(old.write("t", partition, &["late"]).await.error_code, ErrorCode::INVALID_PRODUCER_EPOCH);
        }
        assert_eq!(old.commit_offset("g", "t", 0, 8).await, ErrorCode::INVALID_PRODUCER_EPOCH);
        assert_eq!(new.send("t", 0, &["a"]).await, Ok(2));
        assert_eq!(new.end(true).await, NONE);
        assert_eq!(read(&broker, "t", 0, ALL).await.values, ["lost", "a"]);
        assert_eq!(read(&broker, "t", 0, COMMITTED).await.values, ["a"]);
    }
}

#[tokio::test(start_paused = true)]
async fn older_clients_hear_of_fencing_by_the_code_they_know() {
    let broker = broker();
    let old = Producer::started(&broker, "till", V1).await;
    assert_eq!(Producer::started(&broker, "till", V1).await.epoch, 1);
    for (version, code) in [(3, ErrorCode::INVALID_PRODUCER_EPOCH), (4, ErrorCode::PRODUCER_FENCED)] {
        let twice_removed = Producer::started(&broker, "till", V1).await;
        assert_eq!(old.init_as(version, old.id, old.epoch).await.error_code, code);
        assert_eq!(old.init_as(version, twice_removed.id, twice_removed.epoch).await.error_code, NONE);
    }
    for (version, code) in [(1, ErrorCode::INVALID_PRODUCER_EPOCH), (2, ErrorCode::PRODUCER_FENCED)] {
        let mut request = AddPartitionsToTxnRequest {
            v3_and_below_transactional_id: transactional("till"),
            v3_and_below_producer_id: ProducerId(old.id),
            v3_and_below_producer_epoch: old.epoch,
            v3_and_below_topics: vec![AddPartitionsToTxnTopic { name: name("t"), partitions: vec![0] }],
            ..Default::default()
        };
        let added = broker.raw_request(1, version, &request).await.expect("an answer");
        assert_eq!(added.results_by_topic_v3_and_below[0].results_by_partition[0].partition_error_code, code);
        // One that is not there, and nobody is asked.
        request.v3_and_below_topics[0].partitions.push(9);
        let added = broker.raw_request(1, version, &request).await.expect("an answer");
        let results = &added.results_by_topic_v3_and_below[0].results_by_partition;
        let codes: Vec<_> = results.iter().map(|result| result.partition_error_code).collect();
        assert_eq!(codes, [ErrorCode::OPERATION_NOT_ATTEMPTED, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_transaction_that_takes_too_long_is_aborted() {
    for versions in [V1, V2] {
        let level = if versions == V2 { 2 } else { 1 };
        let broker = builder().feature("transaction.version", level).start_in_memory().expect("a broker");
        let mut till = Producer::started(&broker, "till", versions).await;
        assert_eq!(till.send("t", 0, &["lost"]).await, Ok(0));
        sleep(Duration::from_secs(59)).await;
        assert_eq!(till.state(), "Ongoing");
        sleep(Duration::from_millis(1001)).await;
        assert_eq!(till.state(), "CompleteAbort");
        assert_eq!(end_offset(&broker, "t", 0, COMMITTED).await, 2);
        let v2 = versions == V2;
        assert_eq!(till.end(true).await, if v2 { ErrorCode::INVALID_TXN_STATE } else { ErrorCode::PRODUCER_FENCED });
        assert_eq!(till.write("t", 0, &["late"]).await.error_code, ErrorCode::INVALID_PRODUCER_EPOCH);
        // By the second protocol it may go on if it says who it was; before, the fence was for good.
        let again = till.init_as(5, till.id, till.epoch).await;
        assert_eq!((again.error_code, again.producer_epoch), if v2 { (NONE, 1) } else { (ErrorCode::PRODUCER_FENCED, -1) });
        assert_eq!(till.init().await, NONE);
        assert_eq!(till.epoch, 2);
        assert_eq!(till.send("t", 0, &["a"]).await, Ok(2));
        assert_eq!(till.end(true).await, NONE);
        assert_eq!(read(&broker, "t", 0, COMMITTED).await.values, ["a"]);
    }
}

#[tokio::test(start_paused = true)]
async fn while_markers_are_missing_the_next_transaction_has_to_wait() {
    for versions in [V1, V2] {
        let broker = broker();
        let mut till = Producer::started(&broker, "till", versions).await;
        assert_eq!(till.send("t", 0, &["a"]).await, Ok(0));
        broker.hold_markers();
        assert_eq!(till.end(true).await, NONE, "the outcome is certain");
        assert_eq!(till.state(), "PrepareCommit");
        assert_eq!(read(&broker, "t", 0, COMMITTED).await.values.len(), 0);
        assert_eq!(till.add("t", 1).await, ErrorCode::CONCURRENT_TRANSACTIONS);
        assert_eq!(till.init_as(5, -1, -1).await.error_code, ErrorCode::CONCURRENT_TRANSACTIONS);
        let code = if versions == V2 { ErrorCode::CONCURRENT_TRANSACTIONS } else { ErrorCode::NOT_ENOUGH_REPLICAS };
        assert_eq!(till.write("t", 1, &["b"]).await.error_code, code);
        broker.release_markers();
        assert_eq!(till.state(), "CompleteCommit");
        assert_eq!(read(&broker, "t", 0, COMMITTED).await.values, ["a"]);
        assert_eq!(till.send("t", 1, &["b"]).await, Ok(0));
    }
}

#[tokio::test(start_paused = true)]
async fn a_marker_waits_for_its_partition_s_leader_and_not_for_a_deleted_topic() {
    let broker = Broker::builder().topic("t", 2).topic("gone", 1).start_in_memory().expect("a broker");
    let mut till = Producer::started(&broker, "till", V2).await;
    for (topic, partition) in [("t", 0), ("t", 1), ("gone", 0)] {
        assert_eq!(till.send(topic, partition, &["a"]).await, Ok(0));
    }
    broker.remove_leader("t", 1);
    broker.delete_topic("gone");
    assert_eq!(till.end(true).await, NONE);
    assert_eq!(broker.transaction("till").expect("it is known").partitions, [("t".to_owned(), 1)]);
    assert_eq!(read(&broker, "t", 0, COMMITTED).await.values, ["a"]);
    broker.move_leader("t", 1, 1);
    assert_eq!(till.state(), "CompleteCommit");
    assert_eq!(read(&broker, "t", 1, COMMITTED).await.values, ["a"]);
}

#[tokio::test(start_paused = true)]
async fn offsets_count_once_their_transaction_is_committed() {
    for versions in [V1, V2] {
        let broker = broker();
        let mut till = Producer::started(&broker, "till", versions).await;
        assert_eq!(till.send_offset("g", "t", 0, 5).await, NONE);
        let unstable = fetch_offset(&broker, "g", "t", 0, true).await;
        assert_eq!((unstable.error_code, unstable.committed_offset), (ErrorCode::UNSTABLE_OFFSET_COMMIT, -1));
        assert_eq!(fetch_offset(&broker, "g", "t", 0, false).await.error_code, NONE);
        assert_eq!(fetch_offset(&broker, "g", "t", 1, true).await.error_code, NONE, "another partition");
        assert_eq!(fetch_offset(&broker, "other", "t", 0, true).await.error_code, NONE, "another group");
        assert_eq!(till.end(true).await, NONE);
        let stable = fetch_offset(&broker, "g", "t", 0, true).await;
        assert_eq!((stable.error_code, stable.committed_offset), (NONE, 5));
        assert_eq!(stable.metadata.expect("some").as_str(), "by a transaction");

        assert_eq!(till.send_offset("g", "t", 0, 9).await, NONE);
        // All that there is, by a consumer that wants to know it for certain.
        let groups = vec![OffsetFetchRequestGroup { group_id: group("g"), topics: None, ..Default::default() }];
        let request = OffsetFetchRequest { groups, require_stable: true, ..Default::default() };
        let all = broker.raw_request(1, 9, &request).await.expect("an answer");
        assert_eq!(all.groups[0].topics[0].partitions[0].error_code, ErrorCode::UNSTABLE_OFFSET_COMMIT);
        assert_eq!(till.end(false).await, NONE);
        assert_eq!(fetch_offset(&broker, "g", "t", 0, true).await.committed_offset, 5);
    }
}

async fn commit_alone(broker: &Broker, of: &str, topic: &str, partition: i32, offset: i64) {
    let partition = OffsetCommitRequestPartition { partition_index: partition, committed_offset: offset, ..Default::default() };
    let topics = vec![OffsetCommitRequestTopic { name: name(topic), partitions: vec![partition], ..Default::default() }];
    let request = OffsetCommitRequest { group_id: group(of), topics, ..Default::default() };
    let node = broker.coordinator(of).expect("a node runs");
    let response = broker.raw_request(node, 8, &request).await.expect("an answer");
    assert_eq!(response.topics[0].partitions[0].error_code, NONE);
}

#[tokio::test(start_paused = true)]
async fn an_offset_that_was_committed_later_stays() {
    let broker = broker();
    let mut till = Producer::started(&broker, "till", V2).await;
    assert_eq!(till.send_offset("g", "t", 0, 5).await, NONE);
    assert_eq!(till.send_offset("g", "t", 1, 5).await, NONE);
    commit_alone(&broker, "g", "t", 0, 3).await;
    assert_eq!(fetch_offset(&broker, "g", "t", 0, true).await.error_code, ErrorCode::UNSTABLE_OFFSET_COMMIT);
    assert_eq!(till.end(true).await, NONE);
    assert_eq!(fetch_offset(&broker, "g", "t", 0, true).await.committed_offset, 3);
    assert_eq!(fetch_offset(&broker, "g", "t", 1, true).await.committed_offset, 5);
    // What was staged last counts, also if it ended first.
    let mut other = Producer::started(&broker, "other", V2).await;
    assert_eq!(till.send_offset("g", "t", 0, 6).await, NONE);
    assert_eq!(other.send_offset("g", "t", 0, 7).await, NONE);
    assert_eq!(other.end(true).await, NONE);
    assert_eq!(till.end(true).await, NONE);
    assert_eq!(fetch_offset(&broker, "g", "t", 0, true).await.committed_offset, 7);
    // One of a topic that has come anew under the name does not.
    assert_eq!(till.send_offset("g", "t", 1, 8).await, NONE);
    broker.delete_topic("t");
    assert!(broker.create_topic("t", 2));
    assert_eq!(till.end(true).await, NONE);
    assert_eq!(fetch_offset(&broker, "g", "t", 1, true).await.committed_offset, -1);
    // Nor one of a group that was deleted.
    assert_eq!(till.send_offset("g", "t", 1, 8).await, NONE);
    broker.delete_group("g");
    assert_eq!(till.end(true).await, NONE);
    assert_eq!(broker.group_state("g"), None);
}

#[tokio::test(start_paused = true)]
async fn offsets_of_a_transaction_are_held_to_the_group_s_rules() {
    let broker = broker();
    for (version, code) in [(3, ErrorCode::INVALID_TXN_STATE), (4, ErrorCode::TRANSACTION_ABORTABLE), (5, NONE)] {
        let mut till = Producer::started(&broker, &format!("till-{version}"), V1).await;
        till.versions.offsets = version;
        assert_eq!(till.commit_offset("g", "t", 0, 1).await, code);
    }
    let till = Producer::started(&broker, "till", V2).await;
    let generation = till.commit_offset_with("new", "t", 0, 1, |request| request.generation_id_or_member_epoch = 3).await;
    assert_eq!(generation, ErrorCode::ILLEGAL_GENERATION);
    let member = till.commit_offset_with("g", "t", 0, 1, |request| {
        request.generation_id_or_member_epoch = 3;
        request.member_id = text("nobody");
    });
    assert_eq!(member.await, ErrorCode::UNKNOWN_MEMBER_ID);
    let long = text(&"x".repeat(5000));
    let metadata = till.commit_offset_with("g", "t", 0, 1, |request| {
        request.topics[0].partitions[0].committed_metadata = Some(long);
    });
    assert_eq!(metadata.await, ErrorCode::OFFSET_METADATA_TOO_LARGE);
    assert_eq!(till.commit_offset("g", "t", 7, 1).await, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);
    assert_eq!(till.commit_offset("", "t", 0, 1).await, ErrorCode::INVALID_GROUP_ID);
    let stranger = Producer::new(&broker, "stranger", V2);
    assert_eq!(stranger.commit_offset("g", "t", 0, 1).await, ErrorCode::INVALID_PRODUCER_ID_MAPPING);
}

#[tokio::test(start_paused = true)]
async fn init_producer_id_says_what_is_wrong_with_it() {
    let broker = Broker::builder().nodes(2).topic("t", 2).start_in_memory().expect("a broker");
    let node = broker.coordinator("till").expect("a node");
    let ask = async |node, change: fn(&mut InitProducerIdRequest)| {
        let mut request = InitProducerIdRequest {
            transactional_id: Some(transactional("till")),
            transaction_timeout_ms: 60_000,
            ..Default::default()
        };
        change(&mut request);
        broker.raw_request(node, 5, &request).await.expect("an answer").error_code
    };
    assert_eq!(ask(node, |request| request.transactional_id = Some(transactional(""))).await, ErrorCode::INVALID_REQUEST);
    assert_eq!(ask(node, |request| request.producer_epoch = 3).await, ErrorCode::INVALID_REQUEST);
    for timeout in [0, -1, 900_001] {
        let request = InitProducerIdRequest {
            transactional_id: Some(transactional("till")),
            transaction_timeout_ms: timeout,
            ..Default::default()
        };
        let response = broker.raw_request(node, 5, &request).await.expect("an answer");
        assert_eq!(response.error_code, ErrorCode::INVALID_TRANSACTION_TIMEOUT);
        assert_eq!((response.producer_id.0, response.producer_epoch), (-1, -1));
    }
    assert_eq!(ask(3 - node, |_| {}).await, ErrorCode::NOT_COORDINATOR);
    assert_eq!(ask(3 - node, |request| request.transactional_id = None).await, NONE, "any node gives a number");
    assert_eq!(ask(node, |request| request.transaction_timeout_ms = 900_000).await, NONE);
}

#[tokio::test(start_paused = true)]
async fn a_producer_that_lost_its_way_may_say_who_it_was() {
    let broker = broker();
    let till = Producer::started(&broker, "till", V1).await;
    let given = till.init_as(5, till.id, till.epoch).await;
    assert_eq!((given.error_code, given.producer_id.0, given.producer_epoch), (NONE, till.id, 1));
    let again = till.init_as(5, till.id, till.epoch).await;
    assert_eq!((again.error_code, again.producer_epoch), (NONE, 1), "the answer was lost");
    assert_eq!(till.init_as(5, till.id + 1, 0).await.error_code, ErrorCode::PRODUCER_FENCED);
}

#[tokio::test(start_paused = true)]
async fn ids_that_nobody_uses_are_forgotten() {
    let broker = builder().transactional_id_expiration(Duration::from_secs(3600)).start_in_memory().expect("a broker");
    let mut till = Producer::started(&broker, "till", V1).await;
    assert_eq!(till.send("t", 0, &["a"]).await, Ok(0));
    sleep(Duration::from_secs(30)).await;
    assert_eq!(till.end(true).await, NONE);
    sleep(Duration::from_secs(3599)).await;
    assert_eq!(till.state(), "CompleteCommit");
    sleep(Duration::from_millis(1001)).await;
    assert_eq!(till.state(), "unknown");
    assert_eq!(till.add("t", 0).await, ErrorCode::INVALID_PRODUCER_ID_MAPPING);
    assert_eq!(till.end(true).await, ErrorCode::INVALID_PRODUCER_ID_MAPPING);
    let (id, epoch) = (till.id, till.epoch);
    let given = till.init_as(5, id, epoch).await;
    assert_eq!((given.error_code, given.producer_epoch), (NONE, 0));
    assert_ne!(given.producer_id.0, id);
}

#[tokio::test(start_paused = true)]
async fn producers_that_do_not_write_are_forgotten_but_not_with_an_open_transaction() {
    let broker = builder()
        .producer_id_expiration(Duration::from_secs(1200))
        .transaction_max_timeout(Duration::from_secs(86_400))
        .start_in_memory()
        .expect("a broker");
    let known = async || {
        let topics = vec![TopicRequest { name: name("t"), partition_indexes: vec![0] }];
        let response = broker.raw_request(1, 0, &DescribeProducersRequest { topics }).await.expect("an answer");
        response.topics[0].partitions[0].active_producers.len()
    };
    let mut till = Producer::started(&broker, "till", V2).await;
    assert_eq!(till.send("t", 0, &["a"]).await, Ok(0));
    assert_eq!(till.end(true).await, NONE);
    assert_eq!(known().await, 1);
    sleep(Duration::from_secs(1199)).await;
    assert_eq!(known().await, 1);
    sleep(Duration::from_secs(700)).await;
    assert_eq!(known().await, 0);
    // The time of the record is long ago, and it is kept for the transaction.
    let id = InitProducerIdRequest {
        transactional_id: Some(transactional("till")),
        transaction_timeout_ms: 86_400_000,
        ..Default::default()
    };
    let given = broker.raw_request(1, 5, &id).await.expect("an answer");
    (till.id, till.epoch) = (given.producer_id.0, given.producer_epoch);
    till.sequences.clear();
    assert_eq!(till.send("t", 0, &["b"]).await, Ok(2));
    sleep(Duration::from_secs(7200)).await;
    assert_eq!(known().await, 1);
    // A retry without the state must not pass for new.
    assert_eq!(till.end(false).await, NONE);
    sleep(Duration::from_secs(7200)).await;
    assert_eq!(known().await, 0);
    till.sequences.insert(("t".to_owned(), 0), 4);
    assert_eq!(till.write("t", 0, &["c"]).await.error_code, ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER);
}

#[tokio::test(start_paused = true)]
async fn transactions_and_producers_are_described() {
    let broker = Broker::builder().nodes(2).topic("t", 2).start_in_memory().expect("a broker");
    let mut till = Producer::started(&broker, "till", V2).await;
    let node = broker.coordinator("till").expect("a node");
    let describe = async |node, id: &str| {
        let request = DescribeTransactionsRequest { transactional_ids: vec![transactional(id)] };
        broker.raw_request(node, 0, &request).await.expect("an answer").transaction_states.remove(0)
    };
    let empty = describe(node, "till").await;
    assert_eq!((empty.transaction_state.as_str(), empty.transaction_start_time_ms), ("Empty", -1));
    assert_eq!(till.send("t", 0, &["a", "b"]).await, Ok(0));
    assert_eq!(till.send_offset("g", "t", 0, 1).await, NONE);
    let open = describe(node, "till").await;
    assert_eq!((open.error_code, open.transaction_state.as_str(), open.transaction_timeout_ms), (NONE, "Ongoing", 60_000));
    assert_eq!((open.producer_id.0, open.producer_epoch), (till.id, till.epoch));
    let topics: Vec<_> = open.topics.iter().map(|topic| (topic.topic.as_str(), topic.partitions.clone())).collect();
    // Java: Math.abs("g".hashCode()) % 50.
    assert_eq!(topics, [("__consumer_offsets", vec![3]), ("t", vec![0])]);
    assert_eq!(describe(node, "nobody").await.error_code, ErrorCode::TRANSACTIONAL_ID_NOT_FOUND);
    assert_eq!(describe(3 - node, "till").await.error_code, ErrorCode::NOT_COORDINATOR);
    assert_eq!(describe(node, "").await.error_code, ErrorCode::INVALID_REQUEST);

    let leader = broker.leader("t", 0).expect("a leader");
    let producers = async |node, partition| {
        let topics = vec![TopicRequest { name: name("t"), partition_indexes: vec![partition] }];
        let mut response = broker.raw_request(node, 0, &DescribeProducersRequest { topics }).await.expect("an answer");
        response.topics.remove(0).partitions.remove(0)
    };
    let seen = &producers(leader, 0).await.active_producers[0];
    assert_eq!((seen.producer_id.0, seen.producer_epoch, seen.last_sequence), (till.id, 0, 1));
    assert_eq!((seen.current_txn_start_offset, seen.coordinator_epoch), (0, -1));
    assert_eq!(till.end(true).await, NONE);
    let seen = &producers(leader, 0).await.active_producers[0];
    assert_eq!((seen.producer_epoch, seen.last_sequence, seen.current_txn_start_offset, seen.coordinator_epoch), (1, -1, -1, 0));
    assert_eq!(producers(3 - leader, 0).await.error_code, ErrorCode::NOT_LEADER_OR_FOLLOWER);
    assert_eq!(producers(leader, 5).await.error_code, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);
}

#[tokio::test(start_paused = true)]
async fn transactions_are_listed_by_state_producer_age_and_name() {
    let broker = broker();
    let mut first = Producer::started(&broker, "first", V2).await;
    let _idle = Producer::started(&broker, "idle", V2).await;
    assert_eq!(first.send("t", 0, &["a"]).await, Ok(0));
    sleep(Duration::from_secs(10)).await;
    let list = async |change: &dyn Fn(&mut ListTransactionsRequest)| -> ListTransactionsResponse {
        let mut request = ListTransactionsRequest::default();
        change(&mut request);
        broker.raw_request(1, 2, &request).await.expect("an answer")
    };
    let names = |response: &ListTransactionsResponse| {
        let names = response.transaction_states.iter().map(|state| state.transactional_id.to_string());
        names.collect::<Vec<_>>()
    };
    assert_eq!(names(&list(&|_| {}).await), ["first", "idle"]);
    assert_eq!(names(&list(&|request| request.state_filters = vec![text("Ongoing")]).await), ["first"]);
    assert_eq!(names(&list(&|request| request.producer_id_filters = vec![ProducerId(first.id)]).await), ["first"]);
    assert_eq!(names(&list(&|request| request.transactional_id_pattern = Some(text("id.*"))).await), ["idle"]);
    assert!(names(&list(&|request| request.transactional_id_pattern = Some(text("d"))).await).is_empty());
    let old = |millis| {
        move |request: &mut ListTransactionsRequest| {
            (request.duration_filter, request.state_filters) = (millis, vec![text("Ongoing")]);
        }
    };
    assert_eq!(names(&list(&old(9_999)).await), ["first"]);
    assert!(names(&list(&old(10_001)).await).is_empty());
    let unknown = list(&|request| request.state_filters = vec![text("Sleeping")]).await;
    assert_eq!((unknown.unknown_state_filters, unknown.transaction_states.len()), (vec![text("Sleeping")], 0));
    for pattern in ["(", "a)|(b"] {
        let refused = list(&|request| request.transactional_id_pattern = Some(text(pattern))).await;
        assert_eq!(refused.error_code, ErrorCode::INVALID_REGULAR_EXPRESSION);
    }
}

#[tokio::test(start_paused = true)]
async fn an_administrator_may_end_a_transaction_in_one_partition() {
    let broker = broker();
    let mut till = Producer::started(&broker, "till", V1).await;
    assert_eq!(till.send("t", 0, &["lost"]).await, Ok(0));
    let end = async |change: &dyn Fn(&mut WritableTxnMarker)| {
        let mut marker = WritableTxnMarker {
            producer_id: ProducerId(till.id),
            producer_epoch: till.epoch,
            topics: vec![WritableTxnMarkerTopic { name: name("t"), partition_indexes: vec![0] }],
            ..Default::default()
        };
        change(&mut marker);
        let response = broker.raw_request(1, 1, &WriteTxnMarkersRequest { markers: vec![marker] }).await.expect("an answer");
        response.markers[0].topics[0].partitions[0].error_code
    };
    assert_eq!(end(&|marker| marker.producer_epoch = -1).await, ErrorCode::INVALID_PRODUCER_EPOCH);
    assert_eq!(end(&|marker| marker.topics[0].partition_indexes[0] = 7).await, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);
    assert_eq!(end(&|marker| marker.coordinator_epoch = 3).await, NONE);
    assert_eq!(end(&|_| {}).await, ErrorCode::TRANSACTION_COORDINATOR_FENCED);
    assert_eq!(end_offset(&broker, "t", 0, COMMITTED).await, 2);
}

#[tokio::test(start_paused = true)]
async fn brokers_ask_of_several_transactions_at_once() {
    let broker = broker();
    let till = Producer::started(&broker, "till", V1).await;
    let ask = async |verify_only, partitions| {
        let transaction = AddPartitionsToTxnTransaction {
            transactional_id: transactional("till"),
            producer_id: ProducerId(till.id),
            producer_epoch: till.epoch,
            verify_only,
            topics: vec![AddPartitionsToTxnTopic { name: name("t"), partitions }],
        };
        let request = AddPartitionsToTxnRequest { transactions: vec![transaction], ..Default::default() };
        let response = broker.raw_request(1, 5, &request).await.expect("an answer");
        let results = response.results_by_transaction[0].topic_results[0].results_by_partition.iter();
        results.map(|result| result.partition_error_code).collect::<Vec<_>>()
    };
    assert_eq!(ask(true, vec![0]).await, [ErrorCode::TRANSACTION_ABORTABLE]);
    assert_eq!(ask(false, vec![0]).await, [NONE]);
    assert_eq!(ask(true, vec![0, 1]).await, [NONE, ErrorCode::TRANSACTION_ABORTABLE]);
}

#[tokio::test(start_paused = true)]
async fn features_tell_clients_which_protocol_to_speak() {
    let broker = broker();
    let features = async |broker: &Broker, version| {
        let request =
            ApiVersionsRequest { client_software_name: text("test"), client_software_version: text("1"), ..Default::default() };
        let response = broker.raw_request(1, version, &request).await.expect("an answer");
        let supported = response.supported_features.iter().map(|feature| (feature.name.to_string(), feature.max_version));
        let finalized = response.finalized_features.iter().map(|feature| (feature.name.to_string(), feature.max_version_level));
        (supported.collect::<Vec<_>>(), finalized.collect::<Vec<_>>(), response.finalized_features_epoch)
    };
    let both = vec![("group.version".to_owned(), 1), ("transaction.version".to_owned(), 2)];
    assert_eq!(features(&broker, 4).await, (both.clone(), both.clone(), 1));
    assert_eq!(features(&broker, 3).await, (vec![], both, 1), "older readers stumble over a lowest level of 0");
    assert!(broker.set_feature("transaction.version", 1) && broker.set_feature("group.version", 0));
    assert!(!broker.set_feature("transaction.version", 3) && !broker.set_feature("no.such", 0));
    assert_eq!(features(&broker, 3).await, (vec![], vec![("transaction.version".to_owned(), 1)], 3));
    let old = builder().kafka_version("3.9").start_in_memory().expect("a broker");
    assert_eq!(features(&old, 3).await, (vec![], vec![], -1), "new clusters have them since 4.0");
}

#[tokio::test(start_paused = true)]
async fn a_test_may_fence_a_producer_or_forget_it() {
    let broker = broker();
    let mut till = Producer::started(&broker, "till", V2).await;
    assert_eq!(till.send("t", 0, &["lost"]).await, Ok(0));
    assert!(!broker.expire_transactional_id("till"), "it has a transaction open");
    assert!(broker.fence("till"));
    assert_eq!(till.end(true).await, ErrorCode::INVALID_TXN_STATE);
    assert_eq!(end_offset(&broker, "t", 0, COMMITTED).await, 2);
    assert_eq!(till.init().await, NONE);
    assert!(broker.fence("till"), "without a transaction, too");
    assert_eq!(till.add("t", 0).await, ErrorCode::PRODUCER_FENCED);
    assert!(broker.expire_transactional_id("till") && !broker.fence("till"));
    assert_eq!(till.add("t", 0).await, ErrorCode::INVALID_PRODUCER_ID_MAPPING);
}
