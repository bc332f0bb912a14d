//! Which batches are taken, and what is said of the others; what one may ask of a partition.

use bytes::Bytes;
use klamm::protocol::messages::fetch::{FetchPartition, FetchRequest, FetchTopic, PartitionData};
use klamm::protocol::messages::init_producer_id::InitProducerIdRequest;
use klamm::protocol::messages::list_offsets::{ListOffsetsPartition, ListOffsetsRequest, ListOffsetsTopic};
use klamm::protocol::messages::metadata::{MetadataRequest, MetadataRequestTopic};
use klamm::protocol::messages::produce::{PartitionProduceData, PartitionProduceResponse, ProduceRequest, TopicProduceData};
use klamm::protocol::records::{BatchBuilder, ClosedBatch, Compression, NO_HEADERS, RecordBatches, TimestampType};
use klamm::protocol::{ErrorCode, Records, Str, TopicName, TransactionalId, Uuid};
use klamm_broker::Broker;

fn name(name: &str) -> TopicName {
    TopicName(Str::try_from(name).expect("short"))
}

fn broker() -> Broker {
    Broker::builder().topic("orders", 1).start_in_memory().expect("a broker")
}

fn closed(records: &[(Option<&str>, &str)], timestamp: i64, compression: Compression) -> ClosedBatch {
    let mut builder = BatchBuilder::new(1024);
    for (key, value) in records {
        builder.append(timestamp, key.map(str::as_bytes), Some(value.as_bytes()), NO_HEADERS).expect("room");
    }
    builder.close(compression).expect("a codec")
}

fn plain(value: &str) -> Bytes {
    closed(&[(None, value)], 1_700_000_000_000, Compression::None).stamp(-1, -1, -1, false)
}

async fn produce_with(broker: &Broker, version: i16, acks: i16, records: Bytes) -> PartitionProduceResponse {
    let data = PartitionProduceData { index: 0, records: Some(Records(records)) };
    let topic_data = vec![TopicProduceData { name: name("orders"), partition_data: vec![data], ..Default::default() }];
    let request = ProduceRequest { acks, topic_data, ..Default::default() };
    let mut response = broker.raw_request(1, version, &request).await.expect("an answer");
    response.responses.remove(0).partition_responses.remove(0)
}

async fn produce(broker: &Broker, records: Bytes) -> PartitionProduceResponse {
    produce_with(broker, 12, -1, records).await
}

#[tokio::test(start_paused = true)]
async fn a_repeated_batch_is_answered_like_the_first_time_and_appended_once() {
    let broker = broker();
    let InitIds { id, epoch } = producer_id(&broker).await;
    let batch = |sequence| closed(&[(None, "x")], 1_700_000_000_000, Compression::None).stamp(id, epoch, sequence, false);
    for sequence in 0..3 {
        let produced = produce(&broker, batch(sequence)).await;
        assert_eq!((produced.error_code, produced.base_offset), (ErrorCode::NONE, i64::from(sequence)));
    }
    let again = produce(&broker, batch(1)).await;
    assert_eq!((again.error_code, again.base_offset), (ErrorCode::NONE, 1));
    assert_eq!(produce(&broker, batch(4)).await.error_code, ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER);
    assert_eq!(broker.log("orders", 0).len(), 3);
    broker.forget_producers("orders", 0);
    assert_eq!(produce(&broker, batch(4)).await.error_code, ErrorCode::NONE);
}

struct InitIds {
    id: i64,
    epoch: i16,
}

async fn producer_id(broker: &Broker) -> InitIds {
    let request = InitProducerIdRequest { transactional_id: None, ..Default::default() };
    let response = broker.raw_request(1, 5, &request).await.expect("an answer");
    assert_eq!(response.error_code, ErrorCode::NONE);
    InitIds { id: response.producer_id.0, epoch: response.producer_epoch }
}

#[tokio::test(start_paused = true)]
async fn each_producer_gets_another_id_and_a_transactional_one_the_next_epoch() {
    let broker = broker();
    assert_ne!(producer_id(&broker).await.id, producer_id(&broker).await.id);
    let transactional = async |timeout| {
        let transactional_id = Some(TransactionalId(Str::try_from("till").expect("short")));
        let request = InitProducerIdRequest { transactional_id, transaction_timeout_ms: timeout, ..Default::default() };
        broker.raw_request(1, 5, &request).await.expect("an answer")
    };
    let (first, second) = (transactional(60_000).await, transactional(60_000).await);
    assert_eq!((first.producer_id, first.producer_epoch + 1), (second.producer_id, second.producer_epoch));
    assert_eq!(transactional(i32::MAX).await.error_code, ErrorCode::INVALID_TRANSACTION_TIMEOUT);
}

#[tokio::test(start_paused = true)]
async fn batches_that_kafka_would_refuse_are_refused() {
    let broker = broker();
    let good = plain("x");
    let mut corrupt = good.to_vec();
    corrupt[65] ^= 1;
    let mut legacy = good.to_vec();
    legacy[16] = 1;
    let late = closed(&[(None, "x")], i64::MAX - 1, Compression::None).stamp(-1, -1, -1, false);
    let cases = [
        (Bytes::new(), ErrorCode::INVALID_RECORD),
        (good.slice(..good.len() - 1), ErrorCode::INVALID_RECORD),
        ([&good[..], &good[..]].concat().into(), ErrorCode::INVALID_RECORD),
        (corrupt.into(), ErrorCode::CORRUPT_MESSAGE),
        (legacy.into(), ErrorCode::INVALID_RECORD),
        (late, ErrorCode::INVALID_TIMESTAMP),
    ];
    for (records, code) in cases {
        assert_eq!(produce(&broker, records).await.error_code, code);
    }
    assert_eq!(produce_with(&broker, 12, 2, good.clone()).await.error_code, ErrorCode::INVALID_REQUIRED_ACKS);
    let zstd = closed(&[(None, "x")], 0, Compression::Zstd).stamp(-1, -1, -1, false);
    assert_eq!(produce_with(&broker, 6, -1, zstd.clone()).await.error_code, ErrorCode::UNSUPPORTED_COMPRESSION_TYPE);
    assert!(broker.log("orders", 0).is_empty());
    assert_eq!(produce_with(&broker, 7, -1, zstd).await.error_code, ErrorCode::NONE);
}

#[tokio::test(start_paused = true)]
async fn a_batch_over_the_limit_is_too_large() {
    let broker = Broker::builder().topic("orders", 1).message_max_bytes(200).start_in_memory().expect("a broker");
    assert_eq!(produce(&broker, plain(&"x".repeat(200))).await.error_code, ErrorCode::MESSAGE_TOO_LARGE);
    assert_eq!(produce(&broker, plain("x")).await.error_code, ErrorCode::NONE);
    broker.set_topic_config("orders", "max.message.bytes", Some("1000"));
    assert_eq!(produce(&broker, plain(&"x".repeat(200))).await.error_code, ErrorCode::NONE);
}

#[tokio::test(start_paused = true)]
async fn a_compacted_topic_wants_keys_and_says_which_records_have_none() {
    let broker = broker();
    broker.set_topic_config("orders", "cleanup.policy", Some("compact"));
    let records = [(Some("a"), "1"), (None, "2"), (Some("b"), "3"), (None, "4")];
    let batch = closed(&records, 1_700_000_000_000, Compression::None).stamp(-1, -1, -1, false);
    let refused = produce(&broker, batch).await;
    assert_eq!(refused.error_code, ErrorCode::INVALID_RECORD);
    let indexes: Vec<_> = refused.record_errors.iter().map(|error| error.batch_index).collect();
    assert_eq!((indexes, refused.log_start_offset), (vec![1, 3], 0));
    // Kafka's words.
    let message = refused.error_message.expect("a message");
    let start = "One or more records have been rejected due to 2 record errors in total, and only showing the first three errors at most: \
                 [RecordError(batchIndex=1, message='Compacted topic cannot accept message without key in topic partition orders-0'), ";
    assert!(message.as_str().starts_with(start), "{message}");
}

#[tokio::test(start_paused = true)]
async fn refusals_are_told_as_kafka_tells_them() {
    let broker = broker();
    let good = plain("x");
    let changed = |at: usize, value: u8| {
        let mut bytes = good.to_vec();
        bytes[at] = value;
        let sum = crc(&bytes[21..]);
        bytes[17..21].copy_from_slice(&sum.to_be_bytes());
        Bytes::from(bytes)
    };
    let late = closed(&[(None, "x")], i64::MAX - 1, Compression::None).stamp(-1, -1, -1, false);
    // Code, message, and whether the log's start is told.
    let cases = [
        ("cut", good.slice(..good.len() - 1), ErrorCode::INVALID_RECORD, None, false),
        ("a format to come", changed(16, 3), ErrorCode::CORRUPT_MESSAGE, Some("Invalid magic found in record: 3"), false),
        ("base offset 7", changed(7, 7), ErrorCode::INVALID_RECORD, None, true),
        ("a control batch", changed(22, 32), ErrorCode::INVALID_RECORD, None, true),
        ("no such codec", changed(22, 7), ErrorCode::UNKNOWN_SERVER_ERROR, None, true),
        ("not gzip", changed(22, 1), ErrorCode::UNKNOWN_SERVER_ERROR, None, true),
        (
            "no epoch",
            closed(&[(None, "x")], 0, Compression::None).stamp(7, -1, 0, false),
            ErrorCode::INVALID_PRODUCER_EPOCH,
            None,
            true,
        ),
        (
            "from the future",
            late,
            ErrorCode::INVALID_TIMESTAMP,
            Some("One or more records have been rejected due to invalid timestamp"),
            true,
        ),
    ];
    for (what, records, code, message, from_log) in cases {
        let refused = produce(&broker, records).await;
        let told = refused.error_message.as_ref().map(|message| message.as_str());
        assert_eq!(
            (refused.error_code, told, refused.log_start_offset),
            (code, message, if from_log { 0 } else { -1 }),
            "{what}"
        );
    }
    assert!(broker.log("orders", 0).is_empty());
    // A highest timestamp that is none of its records': they are believed.
    assert_eq!(produce(&broker, changed(42, 99)).await.error_code, ErrorCode::NONE);
    assert_eq!(broker.batches("orders", 0)[0].max_timestamp(), 1_700_000_000_000);
}

/// CRC-32C, bit by bit.
fn crc(bytes: &[u8]) -> u32 {
    let step = |sum: u32, _| (sum >> 1) ^ if sum & 1 == 1 { 0x82f6_3b78 } else { 0 };
    !bytes.iter().fold(!0, |sum, byte| (0..8).fold(sum ^ u32::from(*byte), step))
}

#[tokio::test(start_paused = true)]
async fn topics_and_partitions_that_come_twice_are_one() {
    let broker = Broker::builder().topic("orders", 2).start_in_memory().expect("a broker");
    let topic = |partitions: &[(i32, &str)]| {
        let data = |(index, value): &(i32, &str)| PartitionProduceData { index: *index, records: Some(Records(plain(value))) };
        TopicProduceData { name: name("orders"), partition_data: partitions.iter().map(data).collect(), ..Default::default() }
    };
    let topic_data = vec![topic(&[(0, "first"), (0, "last")]), topic(&[]), topic(&[(1, "other")])];
    let request = ProduceRequest { acks: -1, topic_data, ..Default::default() };
    let response = broker.raw_request(1, 12, &request).await.expect("an answer");
    assert_eq!(response.responses.len(), 1);
    let partitions: Vec<_> = response.responses[0].partition_responses.iter().map(|partition| partition.index).collect();
    assert_eq!(partitions, [0, 1]);
    assert_eq!(broker.values("orders", 0).expect("a log"), ["last"]);
}

#[tokio::test(start_paused = true)]
async fn the_broker_s_time_replaces_the_producer_s_if_the_topic_says_so() {
    let broker = broker();
    broker.set_topic_config("orders", "message.timestamp.type", Some("LogAppendTime"));
    let produced = produce(&broker, plain("x")).await;
    assert!(produced.log_append_time_ms > 1_700_000_000_000);
    let batch = &broker.batches("orders", 0)[0];
    assert_eq!(batch.timestamp_type(), TimestampType::LogAppendTime);
    assert_eq!(broker.records("orders", 0).expect("good")[0].timestamp, produced.log_append_time_ms);
}

#[tokio::test(start_paused = true)]
async fn what_does_not_exist_has_its_own_codes() {
    let broker = broker();
    let topic = |name: TopicName, topic_id, index| TopicProduceData {
        name,
        topic_id,
        partition_data: vec![PartitionProduceData { index, records: Some(Records(plain("x"))) }],
    };
    let code = async |version, topic_data| {
        let request = ProduceRequest { acks: -1, topic_data: vec![topic_data], ..Default::default() };
        let response = broker.raw_request(1, version, &request).await.expect("an answer");
        response.responses[0].partition_responses[0].error_code
    };
    let id = broker.topic_id("orders").expect("an id");
    assert_eq!(code(12, topic(name("none"), Uuid::ZERO, 0)).await, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);
    assert_eq!(code(12, topic(name("orders"), Uuid::ZERO, 1)).await, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);
    assert_eq!(code(12, topic(name("orders"), Uuid::ZERO, -1)).await, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);
    assert_eq!(code(13, topic(TopicName::default(), Uuid::ZERO, 0)).await, ErrorCode::UNKNOWN_TOPIC_ID);
    assert_eq!(code(13, topic(TopicName::default(), id, 0)).await, ErrorCode::NONE);
    broker.set_topic_id("orders", Uuid([9; 16]));
    assert_eq!(code(13, topic(TopicName::default(), id, 0)).await, ErrorCode::UNKNOWN_TOPIC_ID);
}

async fn metadata(broker: &Broker, topic: &str, create: bool) -> ErrorCode {
    let topics = Some(vec![MetadataRequestTopic { name: Some(name(topic)), ..Default::default() }]);
    let request = MetadataRequest { topics, allow_auto_topic_creation: create, ..Default::default() };
    broker.raw_request(1, 12, &request).await.expect("an answer").topics[0].error_code
}

#[tokio::test(start_paused = true)]
async fn asking_for_a_topic_creates_it_if_both_sides_want_that() {
    let broker = broker();
    assert_eq!(metadata(&broker, "new", true).await, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);
    assert_eq!(broker.topics(), ["orders"]);
    broker.set_auto_create_topics(true);
    assert_eq!(metadata(&broker, "new", false).await, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);
    assert_eq!(broker.topics(), ["orders"]);
    assert_eq!(metadata(&broker, "new", true).await, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);
    assert_eq!(metadata(&broker, "new", true).await, ErrorCode::NONE);
    for bad in ["", ".", "..", "a b", &"x".repeat(250)] {
        assert_eq!(metadata(&broker, bad, true).await, ErrorCode::INVALID_TOPIC_EXCEPTION, "{bad:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn offsets_are_listed_by_time() {
    let broker = broker();
    for (value, timestamp) in [("a", 1000), ("b", 3000), ("c", 2000)] {
        let batch = closed(&[(None, value)], timestamp, Compression::Lz4).stamp(-1, -1, -1, false);
        broker.append("orders", 0, batch).expect("a batch");
    }
    let list = async |version, timestamp| {
        let partitions = vec![ListOffsetsPartition { timestamp, ..Default::default() }];
        let topics = vec![ListOffsetsTopic { name: name("orders"), partitions }];
        let response = broker.raw_request(1, version, &ListOffsetsRequest { topics, ..Default::default() }).await;
        let found = response.expect("an answer").topics.remove(0).partitions.remove(0);
        (found.error_code.0, found.offset, found.timestamp)
    };
    for version in 1..=11 {
        assert_eq!(list(version, -1).await, (0, 3, -1), "version {version}");
        assert_eq!(list(version, -2).await, (0, 0, -1));
        assert_eq!(list(version, 1001).await, (0, 1, 3000));
        assert_eq!(list(version, 3001).await, (0, -1, -1));
        let highest = if version >= 7 { (0, 1, 3000) } else { (ErrorCode::UNSUPPORTED_VERSION.0, -1, -1) };
        assert_eq!(list(version, -3).await, highest);
    }
}

async fn fetch(broker: &Broker, max_bytes: i32, partition_max_bytes: i32, partitions: &[i32]) -> Vec<PartitionData> {
    let partition = |partition: &i32| FetchPartition { partition: *partition, partition_max_bytes, ..Default::default() };
    let partitions = partitions.iter().map(partition).collect();
    let topics = vec![FetchTopic { topic: name("orders"), partitions, ..Default::default() }];
    let request = FetchRequest { max_wait_ms: 0, min_bytes: 1, max_bytes, topics, ..Default::default() };
    broker.raw_request(1, 12, &request).await.expect("an answer").responses.remove(0).partitions
}

#[tokio::test(start_paused = true)]
async fn a_fetch_is_cut_at_its_limits_but_never_empty() {
    let broker = Broker::builder().topic("orders", 2).start_in_memory().expect("a broker");
    for partition in [0, 0, 0, 1] {
        broker.append("orders", partition, plain(&"x".repeat(1000))).expect("a batch");
    }
    let size = i32::try_from(plain(&"x".repeat(1000)).len()).expect("small");
    let sizes = async |max_bytes, partition_max_bytes| {
        let fetched = fetch(&broker, max_bytes, partition_max_bytes, &[0, 1]).await;
        fetched.iter().map(|data| data.records.as_ref().map_or(0, |records| records.0.len() as i32)).collect::<Vec<_>>()
    };
    assert_eq!(sizes(1 << 20, 1 << 20).await, [3 * size, size]);
    assert_eq!(sizes(1 << 20, 2 * size + 10).await, [2 * size + 10, size], "the last batch is cut");
    assert_eq!(sizes(1, 1).await, [size, 0], "the first batch is whole");
    assert_eq!(sizes(4 * size - 1, 1 << 20).await, [3 * size, 0], "of the second partition nothing whole fits");
    let cut = fetch(&broker, 1 << 20, 2 * size + 10, &[0]).await.remove(0).records.expect("records").0;
    let mut batches = RecordBatches::new(cut);
    assert_eq!(batches.by_ref().filter(Result::is_ok).count(), 2);
    assert!(batches.is_truncated());
}
