//! What writing and reading messages costs, beside the `kafka-protocol` crate: `cargo bench --bench messages`.
//!
//! Both crates get the same bytes: a message is built with klamm's structs, written, read by the other crate, and written again to
//! the same bytes. Encoding is what it takes to have a body ready to send when its length must be known first: check, size and bytes
//! for klamm, size and bytes for the other. Decoding is what it takes to have all fields, and to drop them again.
//!
//! `--instructions CASE ROUNDS` does one case so many times and nothing else: `cargo xtask bench` counts the instructions.

use std::hint::black_box;

use bytes::{Bytes, BytesMut};
use criterion::{Criterion, Throughput};
use kafka_protocol::messages as other;
use kafka_protocol::protocol::{Decodable, Encodable};
use klamm::protocol::messages::consumer_group_heartbeat::{ConsumerGroupHeartbeatRequest, TopicPartitions};
use klamm::protocol::messages::fetch::{AbortedTransaction, FetchResponse, FetchableTopicResponse, PartitionData};
use klamm::protocol::messages::join_group::{JoinGroupResponse, JoinGroupResponseMember};
use klamm::protocol::messages::metadata::{
    MetadataResponse, MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
};
use klamm::protocol::messages::offset_fetch::{
    OffsetFetchResponse, OffsetFetchResponseGroup, OffsetFetchResponsePartitions, OffsetFetchResponseTopics,
};
use klamm::protocol::messages::produce::{PartitionProduceData, ProduceRequest, TopicProduceData};
use klamm::protocol::{ApiMessage, BrokerId, GroupId, ProducerId, Records, Str, TopicName, Uuid};

/// One thing to do, again and again.
struct Case {
    /// Message, shape, direction, crate.
    name: String,
    /// What the cost is divided by: the partitions, members or messages in it.
    elements: u64,
    round: Box<dyn Fn()>,
}

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    if let [_, "--list", ..] = arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        return cases().iter().for_each(|case| println!("{}\t{}", case.name, case.elements));
    }
    if let [_, "--instructions", name, rounds, ..] = arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        let cases = cases();
        let case = cases.iter().find(|case| case.name == name).expect("a case of that name");
        let rounds: u64 = rounds.parse().expect("a number of rounds");
        return (0..rounds).for_each(|_| (case.round)());
    }
    let mut criterion = Criterion::default().configure_from_args();
    for case in cases() {
        let (group, id) = case.name.rsplit_once(' ').expect("a crate's name at the end");
        let mut group = criterion.benchmark_group(group);
        group.throughput(Throughput::Elements(case.elements));
        group.bench_function(id, |bencher| bencher.iter(&case.round));
        group.finish();
    }
    criterion.final_summary();
}

fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    both::<_, other::MetadataResponse>(&mut cases, "metadata-response-1000x12", 12, 12_000, metadata());
    both::<_, other::FetchResponse>(&mut cases, "fetch-response-1x1000", 17, 1_000, fetch(1, 1_000));
    both::<_, other::FetchResponse>(&mut cases, "fetch-response-1000x1", 17, 1_000, fetch(1_000, 1));
    both::<_, other::ProduceRequest>(&mut cases, "produce-request-100x10", 11, 1_000, produce());
    both::<_, other::ConsumerGroupHeartbeatRequest>(&mut cases, "consumer-group-heartbeat-10x12", 1, 1, heartbeat());
    both::<_, other::JoinGroupResponse>(&mut cases, "join-group-response-100", 9, 100, join());
    both::<_, other::OffsetFetchResponse>(&mut cases, "offset-fetch-response-100x12", 9, 1_200, offsets());
    cases
}

/// A message in both crates, in both directions.
fn both<M, O>(cases: &mut Vec<Case>, name: &str, version: i16, elements: u64, message: M)
where
    M: ApiMessage + std::fmt::Debug,
    O: Encodable + Decodable + 'static,
{
    let bytes = Bytes::from(encode(&message, version).concat());
    let theirs = O::decode(&mut bytes.clone(), version).expect("the other crate reads it");
    assert_eq!(encode_theirs(&theirs, version), bytes, "{name}");
    assert_eq!(M::decode(&bytes, version).as_ref(), Ok(&message), "{name}");
    let mut case = |what: &str, round: Box<dyn Fn()>| cases.push(Case { name: format!("{name} {what}"), elements, round });
    case("encode klamm", Box::new(move || _ = black_box(encode(black_box(&message), version))));
    case("encode kafka-protocol", Box::new(move || _ = black_box(encode_theirs(black_box(&theirs), version))));
    let body = bytes.clone();
    case("decode klamm", Box::new(move || _ = black_box(M::decode(black_box(&body), version).expect("klamm reads it"))));
    case(
        "decode kafka-protocol",
        Box::new(move || _ = black_box(O::decode(&mut black_box(&bytes).clone(), version).expect("the other crate reads it"))),
    );
}

fn encode<M: ApiMessage>(message: &M, version: i16) -> Vec<Bytes> {
    message.checked(version).expect("the version has all that is set").write(&[])
}

fn encode_theirs<O: Encodable>(message: &O, version: i16) -> Bytes {
    let mut out = BytesMut::with_capacity(message.compute_size(version).expect("a size"));
    message.encode(&mut out, version).expect("the version has all that is set");
    out.freeze()
}

fn text(text: String) -> Str {
    Str::try_from(text).expect("short")
}

fn topic(at: usize) -> TopicName {
    TopicName(text(format!("orders-of-region-{at:04}")))
}

fn id(at: usize) -> Uuid {
    let mut id = [0x5a; 16];
    id[8..].copy_from_slice(&(at as u64).to_be_bytes());
    Uuid(id)
}

/// Record bytes of one batch header and a short record.
fn records() -> Option<Records> {
    Some(Records(Bytes::from(vec![0x42; 100])))
}

fn metadata() -> MetadataResponse {
    let broker = |at: usize| MetadataResponseBroker {
        node_id: BrokerId(at as i32),
        host: text(format!("broker-{at}.kafka.example.com")),
        port: 9092,
        rack: Some(text(format!("zone-{at}"))),
    };
    let partition = |at: usize| MetadataResponsePartition {
        partition_index: at as i32,
        leader_id: BrokerId(at as i32 % 3),
        leader_epoch: 7,
        replica_nodes: (0..3).map(BrokerId).collect(),
        isr_nodes: (0..3).map(BrokerId).collect(),
        ..Default::default()
    };
    let of_topic = |at: usize| MetadataResponseTopic {
        name: Some(topic(at)),
        topic_id: id(at),
        partitions: (0..12).map(partition).collect(),
        ..Default::default()
    };
    MetadataResponse {
        brokers: (0..3).map(broker).collect(),
        cluster_id: Some(text("MkU3OEVBNTcwNTJENDM2Qg".to_owned())),
        controller_id: BrokerId(1),
        topics: (0..1_000).map(of_topic).collect(),
        ..Default::default()
    }
}

fn fetch(topics: usize, partitions: usize) -> FetchResponse {
    let partition = |at: usize| PartitionData {
        partition_index: at as i32,
        high_watermark: 1_000_000 + at as i64,
        last_stable_offset: 1_000_000,
        log_start_offset: 0,
        aborted_transactions: (at % 100 == 99).then(|| vec![AbortedTransaction { producer_id: ProducerId(7), first_offset: 5 }]),
        records: records(),
        ..Default::default()
    };
    let of_topic = |at: usize| FetchableTopicResponse {
        topic_id: id(at),
        partitions: (0..partitions).map(partition).collect(),
        ..Default::default()
    };
    FetchResponse { session_id: 77, responses: (0..topics).map(of_topic).collect(), ..Default::default() }
}

fn produce() -> ProduceRequest {
    let partition = |at: usize| PartitionProduceData { index: at as i32, records: records() };
    let of_topic =
        |at: usize| TopicProduceData { name: topic(at), partition_data: (0..10).map(partition).collect(), ..Default::default() };
    ProduceRequest { acks: -1, timeout_ms: 30_000, topic_data: (0..100).map(of_topic).collect(), ..Default::default() }
}

fn heartbeat() -> ConsumerGroupHeartbeatRequest {
    let of_topic = |at: usize| TopicPartitions { topic_id: id(at), partitions: (0..12).collect() };
    ConsumerGroupHeartbeatRequest {
        group_id: GroupId(text("billing".to_owned())),
        member_id: text("JZ3mVbYpSiG0tFq1kQwLxA".to_owned()),
        member_epoch: 12,
        rebalance_timeout_ms: 300_000,
        subscribed_topic_names: Some((0..10).map(topic).collect()),
        topic_partitions: Some((0..10).map(of_topic).collect()),
        ..Default::default()
    }
}

fn join() -> JoinGroupResponse {
    let member = |at: usize| JoinGroupResponseMember {
        member_id: text(format!("consumer-billing-{at}-6f0c8a54-9a3f-4b8e-8d68-1f6a8f4a1f6d")),
        metadata: Bytes::from(vec![at as u8; 120]),
        group_instance_id: None,
    };
    JoinGroupResponse {
        generation_id: 4,
        protocol_type: Some(text("consumer".to_owned())),
        protocol_name: Some(text("cooperative-sticky".to_owned())),
        leader: member(0).member_id,
        member_id: member(0).member_id,
        members: (0..100).map(member).collect(),
        ..Default::default()
    }
}

fn offsets() -> OffsetFetchResponse {
    let partition = |at: usize| OffsetFetchResponsePartitions {
        partition_index: at as i32,
        committed_offset: 1_000_000 + at as i64,
        committed_leader_epoch: 7,
        metadata: Some(Str::default()),
        ..Default::default()
    };
    let of_topic = |at: usize| OffsetFetchResponseTopics {
        name: topic(at),
        partitions: (0..12).map(partition).collect(),
        ..Default::default()
    };
    let group = OffsetFetchResponseGroup {
        group_id: GroupId(text("billing".to_owned())),
        topics: (0..100).map(of_topic).collect(),
        ..Default::default()
    };
    OffsetFetchResponse { groups: vec![group], ..Default::default() }
}
