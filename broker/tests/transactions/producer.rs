//! A transactional producer, and a reader of committed records, out of single requests.

use std::collections::BTreeMap;

use bytes::Bytes;
use klamm::protocol::messages::add_offsets_to_txn::AddOffsetsToTxnRequest;
use klamm::protocol::messages::add_partitions_to_txn::{AddPartitionsToTxnRequest, AddPartitionsToTxnTopic};
use klamm::protocol::messages::end_txn::EndTxnRequest;
use klamm::protocol::messages::fetch::{FetchPartition, FetchRequest, FetchTopic};
use klamm::protocol::messages::init_producer_id::{InitProducerIdRequest, InitProducerIdResponse};
use klamm::protocol::messages::list_offsets::{ListOffsetsPartition, ListOffsetsRequest, ListOffsetsTopic};
use klamm::protocol::messages::offset_fetch::{
    OffsetFetchRequest, OffsetFetchRequestGroup, OffsetFetchRequestTopics, OffsetFetchResponsePartitions,
};
use klamm::protocol::messages::produce::{PartitionProduceData, PartitionProduceResponse, ProduceRequest, TopicProduceData};
use klamm::protocol::messages::txn_offset_commit::{
    TxnOffsetCommitRequest, TxnOffsetCommitRequestPartition, TxnOffsetCommitRequestTopic,
};
use klamm::protocol::records::{BatchBuilder, Compression, ControlType, Limits, NO_HEADERS, RecordBatches};
use klamm::protocol::{BrokerId, ErrorCode, GroupId, ProducerId, Records, Str, TopicName, TransactionalId};
use klamm_broker::Broker;

pub(crate) fn text(text: &str) -> Str {
    Str::try_from(text).expect("short text")
}

pub(crate) fn name(name: &str) -> TopicName {
    TopicName(text(name))
}

pub(crate) fn group(name: &str) -> GroupId {
    GroupId(text(name))
}

pub(crate) fn transactional(id: &str) -> TransactionalId {
    TransactionalId(text(id))
}

/// The newest versions that a client of each protocol uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Versions {
    pub(crate) produce: i16,
    pub(crate) offsets: i16,
    pub(crate) end: i16,
}

pub(crate) const V1: Versions = Versions { produce: 11, offsets: 4, end: 4 };
pub(crate) const V2: Versions = Versions { produce: 12, offsets: 5, end: 5 };

/// One instance of a producer.
#[derive(Clone, Debug)]
pub(crate) struct Producer {
    pub(crate) broker: Broker,
    pub(crate) transactional_id: String,
    pub(crate) versions: Versions,
    pub(crate) id: i64,
    pub(crate) epoch: i16,
    /// The next sequence in each partition.
    pub(crate) sequences: BTreeMap<(String, i32), i32>,
}

impl Producer {
    /// One that has not introduced itself yet.
    pub(crate) fn new(broker: &Broker, transactional_id: &str, versions: Versions) -> Self {
        let (broker, transactional_id) = (broker.clone(), transactional_id.to_owned());
        Self { broker, transactional_id, versions, id: -1, epoch: -1, sequences: BTreeMap::new() }
    }

    /// One that has, and may begin.
    pub(crate) async fn started(broker: &Broker, transactional_id: &str, versions: Versions) -> Self {
        let mut producer = Self::new(broker, transactional_id, versions);
        assert_eq!(producer.init().await, ErrorCode::NONE);
        producer
    }

    fn coordinator(&self) -> i32 {
        self.broker.coordinator(&self.transactional_id).expect("a node runs")
    }

    /// Takes up what it is given.
    fn take_up(&mut self, id: i64, epoch: i16) {
        if (self.id, self.epoch) != (id, epoch) {
            self.sequences.clear();
        }
        (self.id, self.epoch) = (id, epoch);
    }

    pub(crate) async fn init_as(&self, version: i16, id: i64, epoch: i16) -> InitProducerIdResponse {
        let request = InitProducerIdRequest {
            transactional_id: Some(transactional(&self.transactional_id)),
            transaction_timeout_ms: 60_000,
            producer_id: ProducerId(id),
            producer_epoch: epoch,
            ..Default::default()
        };
        self.broker.raw_request(self.coordinator(), version, &request).await.expect("an answer")
    }

    /// As a new instance.
    pub(crate) async fn init(&mut self) -> ErrorCode {
        let response = self.init_as(5, -1, -1).await;
        if response.error_code == ErrorCode::NONE {
            self.take_up(response.producer_id.0, response.producer_epoch);
        }
        response.error_code
    }

    /// AddPartitionsToTxn, as clients of the first protocol send it.
    pub(crate) async fn add(&self, topic: &str, partition: i32) -> ErrorCode {
        let request = AddPartitionsToTxnRequest {
            v3_and_below_transactional_id: transactional(&self.transactional_id),
            v3_and_below_producer_id: ProducerId(self.id),
            v3_and_below_producer_epoch: self.epoch,
            v3_and_below_topics: vec![AddPartitionsToTxnTopic { name: name(topic), partitions: vec![partition] }],
            ..Default::default()
        };
        let response = self.broker.raw_request(self.coordinator(), 3, &request).await.expect("an answer");
        response.results_by_topic_v3_and_below[0].results_by_partition[0].partition_error_code
    }

    pub(crate) async fn add_offsets(&self, of: &str) -> ErrorCode {
        let request = AddOffsetsToTxnRequest {
            transactional_id: transactional(&self.transactional_id),
            producer_id: ProducerId(self.id),
            producer_epoch: self.epoch,
            group_id: group(of),
        };
        self.broker.raw_request(self.coordinator(), 4, &request).await.expect("an answer").error_code
    }

    fn batch(&self, sequence: i32, values: &[&str], is_transactional: bool) -> Bytes {
        let mut builder = BatchBuilder::new(1024);
        for value in values {
            builder.append(1_700_000_000_000, None, Some(value.as_bytes()), NO_HEADERS).expect("room");
        }
        let mut closed = builder.close(Compression::None).expect("no codec");
        closed.stamp(self.id, self.epoch, sequence, is_transactional)
    }

    /// Writes without a word to the coordinator.
    pub(crate) async fn write(&mut self, topic: &str, partition: i32, values: &[&str]) -> PartitionProduceResponse {
        self.write_as(self.versions.produce, topic, partition, values, true).await
    }

    pub(crate) async fn write_as(
        &mut self,
        version: i16,
        topic: &str,
        partition: i32,
        values: &[&str],
        is_transactional: bool,
    ) -> PartitionProduceResponse {
        let sequence = self.sequences.entry((topic.to_owned(), partition)).or_default();
        let sequence = *sequence;
        let batch = self.batch(sequence, values, is_transactional);
        let transactional_id = Some(transactional(&self.transactional_id));
        let response = produce(&self.broker, version, transactional_id, topic, partition, batch).await;
        if response.error_code == ErrorCode::NONE {
            let written = i32::try_from(values.len()).expect("few");
            self.sequences.insert((topic.to_owned(), partition), sequence + written);
        }
        response
    }

    /// Writes as its protocol wants.
    pub(crate) async fn send(&mut self, topic: &str, partition: i32, values: &[&str]) -> Result<i64, ErrorCode> {
        if self.versions == V1 {
            let added = self.add(topic, partition).await;
            if added != ErrorCode::NONE {
                return Err(added);
            }
        }
        let response = self.write(topic, partition, values).await;
        if response.error_code == ErrorCode::NONE { Ok(response.base_offset) } else { Err(response.error_code) }
    }

    /// TxnOffsetCommit.
    pub(crate) async fn commit_offset(&self, of: &str, topic: &str, partition: i32, offset: i64) -> ErrorCode {
        self.commit_offset_with(of, topic, partition, offset, |_| {}).await
    }

    pub(crate) async fn commit_offset_with(
        &self,
        of: &str,
        topic: &str,
        partition: i32,
        offset: i64,
        change: impl FnOnce(&mut TxnOffsetCommitRequest),
    ) -> ErrorCode {
        let partition = TxnOffsetCommitRequestPartition {
            partition_index: partition,
            committed_offset: offset,
            committed_metadata: Some(text("by a transaction")),
            ..Default::default()
        };
        let topics = vec![TxnOffsetCommitRequestTopic { name: name(topic), partitions: vec![partition], ..Default::default() }];
        let mut request = TxnOffsetCommitRequest {
            transactional_id: transactional(&self.transactional_id),
            group_id: group(of),
            producer_id: ProducerId(self.id),
            producer_epoch: self.epoch,
            topics,
            ..Default::default()
        };
        change(&mut request);
        let node = self.broker.coordinator(of).expect("a node runs");
        let response = self.broker.raw_request(node, self.versions.offsets, &request).await.expect("an answer");
        response.topics[0].partitions[0].error_code
    }

    /// Commits a group's offset as its protocol wants.
    pub(crate) async fn send_offset(&self, of: &str, topic: &str, partition: i32, offset: i64) -> ErrorCode {
        if self.versions == V1 {
            let added = self.add_offsets(of).await;
            if added != ErrorCode::NONE {
                return added;
            }
        }
        self.commit_offset(of, topic, partition, offset).await
    }

    pub(crate) async fn end(&mut self, committed: bool) -> ErrorCode {
        let request = EndTxnRequest {
            transactional_id: transactional(&self.transactional_id),
            producer_id: ProducerId(self.id),
            producer_epoch: self.epoch,
            committed,
        };
        let response = self.broker.raw_request(self.coordinator(), self.versions.end, &request).await.expect("an answer");
        if response.error_code == ErrorCode::NONE && self.versions == V2 {
            self.take_up(response.producer_id.0, response.producer_epoch);
        }
        response.error_code
    }

    /// What the coordinator says of its transactional id.
    pub(crate) fn state(&self) -> &'static str {
        self.broker.transaction(&self.transactional_id).map_or("unknown", |transaction| transaction.state)
    }
}

pub(crate) async fn produce(
    broker: &Broker,
    version: i16,
    transactional_id: Option<TransactionalId>,
    topic: &str,
    partition: i32,
    batch: Bytes,
) -> PartitionProduceResponse {
    let data = PartitionProduceData { index: partition, records: Some(Records(batch)) };
    let topic_data = vec![TopicProduceData { name: name(topic), partition_data: vec![data], ..Default::default() }];
    let request = ProduceRequest { transactional_id, acks: -1, timeout_ms: 1000, topic_data };
    let node = broker.leader(topic, partition).unwrap_or(1);
    let mut response = broker.raw_request(node, version, &request).await.expect("an answer");
    response.responses.remove(0).partition_responses.remove(0)
}

/// What a reader finds in a partition.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) values: Vec<String>,
    pub(crate) high_watermark: i64,
    pub(crate) last_stable_offset: i64,
}

/// Reads a partition from its start as clients do: what is of an aborted transaction is passed over, from its first offset to its marker.
pub(crate) async fn read(broker: &Broker, topic: &str, partition: i32, committed_only: bool) -> Seen {
    let wanted = FetchPartition { partition, partition_max_bytes: 1 << 20, ..Default::default() };
    let topics = vec![FetchTopic { topic: name(topic), partitions: vec![wanted], ..Default::default() }];
    let isolation_level = i8::from(committed_only);
    let request = FetchRequest { max_bytes: 1 << 20, isolation_level, session_epoch: -1, topics, ..Default::default() };
    let node = broker.leader(topic, partition).expect("a leader");
    let mut response = broker.raw_request(node, 12, &request).await.expect("an answer");
    let data = response.responses.remove(0).partitions.remove(0);
    assert_eq!(data.error_code, ErrorCode::NONE);
    let mut aborted = data.aborted_transactions.unwrap_or_default();
    aborted.sort_by_key(|aborted| aborted.first_offset);
    let mut skipped = std::collections::BTreeSet::new();
    let mut values = Vec::new();
    for batch in RecordBatches::new(data.records.expect("records").0) {
        let batch = batch.expect("a batch");
        aborted.retain(|aborted| {
            let begins = aborted.first_offset <= batch.last_offset();
            begins.then(|| skipped.insert(aborted.producer_id.0));
            !begins
        });
        if batch.is_control() {
            if batch.control_type().expect("a marker") == Some(ControlType::Abort) {
                skipped.remove(&batch.producer_id());
            }
            continue;
        }
        if committed_only && batch.is_transactional() && skipped.contains(&batch.producer_id()) {
            continue;
        }
        for record in &batch.records(Limits::default()).expect("records") {
            let value = record.expect("a record").value.expect("a value").to_vec();
            values.push(String::from_utf8(value).expect("text"));
        }
    }
    Seen { values, high_watermark: data.high_watermark, last_stable_offset: data.last_stable_offset }
}

/// The end of a partition for readers of this isolation.
pub(crate) async fn end_offset(broker: &Broker, topic: &str, partition: i32, committed_only: bool) -> i64 {
    let wanted = ListOffsetsPartition { partition_index: partition, timestamp: -1, ..Default::default() };
    let topics = vec![ListOffsetsTopic { name: name(topic), partitions: vec![wanted] }];
    // As a consumer: a replica sees everything.
    let replica_id = BrokerId(-1);
    let request = ListOffsetsRequest { replica_id, isolation_level: i8::from(committed_only), topics, ..Default::default() };
    let node = broker.leader(topic, partition).expect("a leader");
    let response = broker.raw_request(node, 8, &request).await.expect("an answer");
    assert_eq!(response.topics[0].partitions[0].error_code, ErrorCode::NONE);
    response.topics[0].partitions[0].offset
}

/// A group's offset, as a consumer asks for it that wants to know it for certain, or does not.
pub(crate) async fn fetch_offset(
    broker: &Broker,
    of: &str,
    topic: &str,
    partition: i32,
    require_stable: bool,
) -> OffsetFetchResponsePartitions {
    let topics = vec![OffsetFetchRequestTopics { name: name(topic), partition_indexes: vec![partition], ..Default::default() }];
    let groups = vec![OffsetFetchRequestGroup { group_id: group(of), topics: Some(topics), ..Default::default() }];
    let request = OffsetFetchRequest { groups, require_stable, ..Default::default() };
    let node = broker.coordinator(of).expect("a node runs");
    let mut response = broker.raw_request(node, 9, &request).await.expect("an answer");
    response.groups.remove(0).topics.remove(0).partitions.remove(0)
}
