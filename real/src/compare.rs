//! Records as klamm has them beside records as other clients see them, compared to the last byte.

use bytes::Bytes;
use klamm::protocol::TopicName;
use klamm::protocol::messages::fetch::{FetchPartition, FetchRequest, FetchTopic};
use klamm::protocol::records::{Compression, RecordBatches};
use klamm::{Client, Message, Record, Route, TopicPartition};

use crate::peer::PeerRecord;
use crate::topic::as_record;

/// Every codec, with the name that all clients have for it.
pub const CODECS: [(&str, Compression); 5] = [
    ("none", Compression::None),
    ("gzip", Compression::Gzip),
    ("snappy", Compression::Snappy),
    ("lz4", Compression::Lz4),
    ("zstd", Compression::Zstd),
];

/// Bytes that compress somewhat: words, and noise from a generator.
pub fn value(number: usize, size: usize) -> Bytes {
    let mut state = number as u64 ^ 0x9e37_79b9_7f4a_7c15;
    let mut noise = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as u8
    };
    (0..size).map(|at| if at % 64 < 8 { noise() } else { b"klamm wrote this "[at % 17] }).collect()
}

/// `record` at `offset`, as another client would tell it.
pub fn as_peer_record(record: &Record, offset: i64) -> PeerRecord {
    let text = |bytes: &Bytes| String::from_utf8(bytes.to_vec()).expect("text");
    PeerRecord {
        topic: record.topic.to_string(),
        partition: record.partition,
        offset,
        timestamp: record.timestamp,
        key: record.key.clone(),
        value: record.value.clone(),
        headers: record.headers.iter().map(|header| (text(&header.key), header.value.clone())).collect(),
    }
}

/// What klamm consumed, as another client would tell it; sorted.
pub fn from_messages(messages: &[Message]) -> Vec<PeerRecord> {
    sorted(messages.iter().map(|message| as_peer_record(&as_record(message), message.offset)).collect())
}

/// By topic, partition and offset.
pub fn sorted(mut records: Vec<PeerRecord>) -> Vec<PeerRecord> {
    records.sort_by(|a, b| (&a.topic, a.partition, a.offset).cmp(&(&b.topic, b.partition, b.offset)));
    records
}

/// Compares without printing megabytes.
///
/// # Panics
/// If there is a difference; `who` found it.
pub fn assert_same(found: &[PeerRecord], wanted: &[PeerRecord], who: &str) {
    for (found, wanted) in found.iter().zip(wanted) {
        assert!(found == wanted, "{who}: offset {}: found {found:.300?}, wanted {wanted:.300?}", wanted.offset);
    }
    assert_eq!(found.len(), wanted.len(), "{who}: number of records");
}

/// The codecs of the batches at the beginning of the partition's log.
pub async fn stored_codecs(client: &Client, topic: &str, partition: i32) -> Vec<Compression> {
    let described = client.admin().describe_topics([topic]).await.expect("an answer").remove(0).1.expect("described");
    let asked = FetchPartition { partition, fetch_offset: 0, partition_max_bytes: 1 << 20, ..FetchPartition::default() };
    let name = TopicName::try_from(topic).expect("a name");
    // Brokers before Kafka 2.8 have no ids, and are asked in a version without.
    let topics = vec![FetchTopic { topic: name, topic_id: described.topic_id.unwrap_or_default(), partitions: vec![asked] }];
    let request = FetchRequest { max_wait_ms: 1000, min_bytes: 1, max_bytes: 1 << 20, topics, ..FetchRequest::default() };
    let route = Route::Leader(TopicPartition::new(topic, partition));
    let response = client.request(request, route).await.expect("an answer");
    let records = response.responses[0].partitions[0].records.clone().expect("records");
    let codecs: Vec<_> =
        RecordBatches::new(records.0).map(|batch| batch.expect("a batch").compression().expect("a codec")).collect();
    assert!(!codecs.is_empty(), "{topic}/{partition} has no batch");
    codecs
}
