//! The requests of a writer, and what it reads in their answers.

use bytes::Bytes;
use klamm::protocol::header::{decode_response, encode_request};
use klamm::protocol::messages::add_partitions_to_txn::{AddPartitionsToTxnRequest, AddPartitionsToTxnTopic};
use klamm::protocol::messages::end_txn::EndTxnRequest;
use klamm::protocol::messages::find_coordinator::FindCoordinatorRequest;
use klamm::protocol::messages::init_producer_id::InitProducerIdRequest;
use klamm::protocol::messages::metadata::{MetadataRequest, MetadataRequestTopic};
use klamm::protocol::messages::produce::{PartitionProduceData, ProduceRequest, TopicProduceData};
use klamm::protocol::records::{BatchBuilder, Compression, NO_HEADERS};
use klamm::protocol::{ApiKey, ApiMessage as _, ErrorCode, ProducerId, Records, Request, Str, TopicName, TransactionalId};

use crate::history::{RecordId, topic_name};

/// A request: to which node, and the whole frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ask {
    /// The node.
    pub node: i32,
    /// The frame, its length included.
    pub frame: Bytes,
}

/// A producer and which life of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Identity {
    pub(super) id: i64,
    pub(super) epoch: i16,
}

/// Versions that do not depend on the protocol of transactions.
const METADATA: i16 = 9;
const FIND_COORDINATOR: i16 = 3;
const INIT_PRODUCER_ID: i16 = 5;
const ADD_PARTITIONS: i16 = 3;
/// With which a client says that it knows transaction V2, and with which that it does not.
const PRODUCE: (i16, i16) = (12, 11);
const END_TXN: (i16, i16) = (5, 4);

/// Makes the requests of one transactional id.
#[derive(Clone, Debug)]
pub(super) struct Requests {
    transactional_id: String,
    /// The first protocol of transactions.
    adds_partitions: bool,
    correlation: i32,
}

/// Short text of the writer's own.
fn text(text: &str) -> Str {
    Str::try_from(text).unwrap_or_default()
}

fn topic() -> TopicName {
    TopicName(text(&topic_name(0)))
}

impl Requests {
    pub(super) fn new(transactional_id: String, adds_partitions: bool) -> Self {
        Self { transactional_id, adds_partitions, correlation: 0 }
    }

    fn id(&self) -> TransactionalId {
        TransactionalId(text(&self.transactional_id))
    }

    fn frame<R: Request>(&mut self, version: i16, request: &R) -> Bytes {
        self.correlation += 1;
        let client = text(&self.transactional_id);
        let frame = encode_request(self.correlation, Some(&client), version, request);
        frame.unwrap_or_else(|error| panic!("a writer's request fits its version: {error}")).concat().into()
    }

    pub(super) fn metadata(&mut self) -> Bytes {
        let topics = Some(vec![MetadataRequestTopic { name: Some(topic()), ..Default::default() }]);
        self.frame(METADATA, &MetadataRequest { topics, allow_auto_topic_creation: false, ..Default::default() })
    }

    pub(super) fn find_coordinator(&mut self) -> Bytes {
        let key = text(&self.transactional_id);
        self.frame(FIND_COORDINATOR, &FindCoordinatorRequest { key, key_type: 1, ..Default::default() })
    }

    pub(super) fn init(&mut self, timeout_ms: i32) -> Bytes {
        let request =
            InitProducerIdRequest { transactional_id: Some(self.id()), transaction_timeout_ms: timeout_ms, ..Default::default() };
        self.frame(INIT_PRODUCER_ID, &request)
    }

    pub(super) fn add(&mut self, producer: Identity, partition: i32) -> Bytes {
        let request = AddPartitionsToTxnRequest {
            v3_and_below_transactional_id: self.id(),
            v3_and_below_producer_id: ProducerId(producer.id),
            v3_and_below_producer_epoch: producer.epoch,
            v3_and_below_topics: vec![AddPartitionsToTxnTopic { name: topic(), partitions: vec![partition] }],
            ..Default::default()
        };
        self.frame(ADD_PARTITIONS, &request)
    }

    pub(super) fn produce(&mut self, partition: i32, batch: &Bytes, timeout_ms: i32) -> Bytes {
        let data = PartitionProduceData { index: partition, records: Some(Records(batch.clone())) };
        let topic_data = vec![TopicProduceData { name: topic(), partition_data: vec![data], ..Default::default() }];
        let request = ProduceRequest { transactional_id: Some(self.id()), acks: -1, timeout_ms, topic_data };
        self.frame(self.version(PRODUCE), &request)
    }

    pub(super) fn end(&mut self, producer: Identity, committed: bool) -> Bytes {
        let request = EndTxnRequest {
            transactional_id: self.id(),
            producer_id: ProducerId(producer.id),
            producer_epoch: producer.epoch,
            committed,
        };
        self.frame(self.version(END_TXN), &request)
    }

    fn version(&self, (second, first): (i16, i16)) -> i16 {
        if self.adds_partitions { first } else { second }
    }

    /// The answer to the last request, an `R`; none if it is another.
    fn read<R: Request>(&self, version: i16, frame: &Bytes) -> Option<R::Response> {
        let (correlation, body) = decode_response(frame, ApiKey(R::API_KEY), R::is_flexible(version)).ok()?;
        R::Response::decode(&body, version).ok().filter(|_| correlation == self.correlation)
    }

    /// Who leads each partition that has a leader.
    pub(super) fn leaders(&self, frame: &Bytes) -> Option<Vec<(i32, i32)>> {
        let answer = self.read::<MetadataRequest>(METADATA, frame)?;
        let partitions = answer.topics.into_iter().filter(|topic| topic.error_code.is_ok()).flat_map(|topic| topic.partitions);
        let led = partitions.filter(|partition| partition.leader_id.0 >= 0);
        Some(led.map(|partition| (partition.partition_index, partition.leader_id.0)).collect())
    }

    pub(super) fn coordinator(&self, frame: &Bytes) -> Option<Result<i32, ErrorCode>> {
        let answer = self.read::<FindCoordinatorRequest>(FIND_COORDINATOR, frame)?;
        Some(if answer.error_code.is_ok() { Ok(answer.node_id.0) } else { Err(answer.error_code) })
    }

    pub(super) fn identity(&self, frame: &Bytes) -> Option<Result<Identity, ErrorCode>> {
        let answer = self.read::<InitProducerIdRequest>(INIT_PRODUCER_ID, frame)?;
        let given = Identity { id: answer.producer_id.0, epoch: answer.producer_epoch };
        Some(if answer.error_code.is_ok() { Ok(given) } else { Err(answer.error_code) })
    }

    pub(super) fn added(&self, frame: &Bytes) -> Option<ErrorCode> {
        let answer = self.read::<AddPartitionsToTxnRequest>(ADD_PARTITIONS, frame)?;
        let topic = answer.results_by_topic_v3_and_below.first()?;
        Some(topic.results_by_partition.first()?.partition_error_code)
    }

    /// The offset of the first record.
    pub(super) fn produced(&self, frame: &Bytes) -> Option<Result<i64, ErrorCode>> {
        let answer = self.read::<ProduceRequest>(self.version(PRODUCE), frame)?;
        let partition = answer.responses.first()?.partition_responses.first()?;
        Some(if partition.error_code.is_ok() { Ok(partition.base_offset) } else { Err(partition.error_code) })
    }

    /// What the producer goes on with, if that is another.
    pub(super) fn ended(&self, frame: &Bytes) -> Option<Result<Option<Identity>, ErrorCode>> {
        let answer = self.read::<EndTxnRequest>(self.version(END_TXN), frame)?;
        let next = Identity { id: answer.producer_id.0, epoch: answer.producer_epoch };
        let next = (!self.adds_partitions && next.id >= 0).then_some(next);
        Some(if answer.error_code.is_ok() { Ok(next) } else { Err(answer.error_code) })
    }
}

/// A transactional batch of these records.
pub(super) fn batch(records: &[RecordId], timestamp: i64, compression: Compression, producer: Identity, sequence: i32) -> Bytes {
    let mut builder = BatchBuilder::new(256);
    for record in records {
        let appended = builder.append(timestamp, None, Some(&record.value(0)), NO_HEADERS);
        assert!(appended.is_ok(), "a few short records fit");
    }
    let closed = builder.close(compression);
    closed.unwrap_or_else(|error| panic!("codecs are compiled in: {error}")).stamp(producer.id, producer.epoch, sequence, true)
}
