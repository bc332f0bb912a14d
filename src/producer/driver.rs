//! A broker's connection asks here what to send, and brings back the answers.
//!
//! At each turn: close the batches that are due, take the next batch of each partition that may send, stamp them (producer id, epoch,
//! sequence, checksum), and write one Produce request with all of them. The stamp is decided under the ledger's lock; the checksum is
//! computed outside of it. Bytes once stamped for an attempt that may have reached the broker are what every later attempt sends.
//!
//! An answer is taken apart per partition: what the error codes mean is [`Answer`]'s, what becomes of a batch the accumulator's.

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use super::accumulator::Turn;
use super::delivery::Ack;
use super::ledger::{Ledger, Payload};
use super::sequence::{BatchId, Stamp};
use super::settings::{Acks, Settings};
use super::split;
use super::topics::PartitionState;
use super::verdict::Answer;
use crate::cluster::{Node, Snapshot};
use crate::error::{Error, ErrorKind, Untrusted, said};
use crate::network::{ApiVersions, Cause, CauseKind, Failure, Feedback, Outgoing, RequestSource, ResponseBody, Written};
use crate::protocol::messages::produce::{
    PartitionProduceData, PartitionProduceResponse, ProduceRequest, ProduceResponse, TopicProduceData,
};
use crate::protocol::records::{Batch, ClosedBatch, Compression, NO_PRODUCER_EPOCH, NO_PRODUCER_ID, NO_SEQUENCE};
use crate::protocol::{ApiMessage, BrokerId, ErrorCode, Records, Uuid};
use crate::record::Topic;

/// The last version of Produce that names topics; later ones have ids (KIP-516).
const LAST_WITH_NAMES: i16 = 12;
/// The first version of Produce that may carry zstd (KIP-110).
const FIRST_WITH_ZSTD: i16 = 7;

/// What a broker's source needs of its producer: the engine, or what a simulator has in its place.
pub(super) trait Host: std::fmt::Debug + Send + Sync + 'static {
    /// A lock of the ledger.
    type Guard<'a>: std::ops::DerefMut<Target = Ledger>;
    /// What the producer works with.
    fn settings(&self) -> &Settings;
    /// The ledger, locked.
    fn ledger(&self) -> Self::Guard<'_>;
    /// Closes a batch, if it is still open.
    fn close_open(self: &Arc<Self>, partition: usize, batch: BatchId);
    /// The newest state of the cluster.
    fn snapshot(&self) -> Arc<Snapshot>;
    /// The state seems to be out of date.
    fn request_refresh(&self);
    /// A broker named a partition's new leader (KIP-951).
    fn leader_hint(&self, topic: &Topic, partition: i32, leader: BrokerId, leader_epoch: i32, endpoint: Option<Node>);
    /// The time, as the cores are told it.
    fn now(&self) -> Instant;
}

/// The requests of one producer to one broker.
#[derive(Debug)]
pub(super) struct BrokerSource<H: Host> {
    engine: Arc<H>,
    broker: i32,
    next_ticket: u64,
    in_flight: VecDeque<(u64, Vec<Sent>)>,
    timer: Option<Instant>,
    feedback: Feedback,
}

/// A batch in a request.
#[derive(Debug)]
struct Sent {
    partition: Arc<PartitionState>,
    topic_id: Uuid,
    batch: BatchId,
}

/// A batch taken for a request.
#[derive(Debug)]
struct Loaded {
    sent: Sent,
    stamp: Option<Stamp>,
    content: ClosedBatch,
}

impl<H: Host> BrokerSource<H> {
    pub(super) fn new(engine: Arc<H>, broker: i32) -> Self {
        Self { engine, broker, next_ticket: 0, in_flight: VecDeque::new(), timer: None, feedback: Feedback::default() }
    }

    /// What may go now; empty if nothing may.
    fn load(&mut self, now: Instant) -> Vec<Loaded> {
        let snapshot = self.engine.snapshot();
        let (mut ledger, taken) = loop {
            let mut ledger = self.engine.ledger();
            match ledger.accumulator.turn(now, self.broker) {
                // Each is closed once, by this or by who fills it: the loop ends.
                Turn::Close(due) => {
                    drop(ledger);
                    due.into_iter().for_each(|(partition, batch)| self.engine.close_open(partition, batch));
                }
                Turn::Send(taken) => break (ledger, taken),
                Turn::Park(until) => {
                    self.timer = until;
                    return Vec::new();
                }
            }
        };
        let ledger = &mut *ledger;
        let mut loaded: Vec<Loaded> = Vec::with_capacity(taken.len());
        for taken in taken {
            let content = ledger.accumulator.payload_mut(taken.partition, taken.batch).and_then(|payload| payload.content.take());
            let (Some(content), Some(partition)) = (content, ledger.partitions.get(taken.partition)) else {
                debug_assert!(false, "a batch is ready once it has its content");
                continue;
            };
            let topic_id = snapshot.topic(&partition.topic).map(|topic| topic.id).unwrap_or_default();
            let sent = Sent { partition: partition.clone(), topic_id, batch: taken.batch };
            loaded.push(Loaded { sent, stamp: taken.stamp, content });
        }
        loaded
    }

    /// Stamps what is new, and lets the ledger keep all of it for another attempt.
    fn stamp(&self, loaded: &mut [Loaded]) {
        let idempotent = self.engine.settings().idempotent;
        for batch in loaded.iter_mut() {
            match batch.stamp {
                Some(Stamp { identity, base_sequence }) => {
                    batch.content.stamp(identity.producer_id, identity.epoch, base_sequence, false);
                }
                None if !idempotent && !is_stamped(&batch.content) => {
                    batch.content.stamp(NO_PRODUCER_ID, NO_PRODUCER_EPOCH, NO_SEQUENCE, false);
                }
                None => {}
            }
        }
        let mut ledger = self.engine.ledger();
        for batch in loaded {
            if let Some(payload) = ledger.accumulator.payload_mut(batch.sent.partition.index, batch.sent.batch) {
                payload.content = Some(batch.content.clone());
            }
        }
    }

    /// The request for what is loaded, in the highest version that fits.
    fn request(&self, loaded: &mut [Loaded], versions: &ApiVersions) -> Result<Outgoing, Cause> {
        let named = loaded.iter().any(|batch| batch.sent.topic_id.is_zero());
        let last = if named { LAST_WITH_NAMES } else { i16::MAX };
        let zstd = loaded.iter().any(|batch| batch.content.compression() == Compression::Zstd);
        let first = if zstd { FIRST_WITH_ZSTD } else { 0 };
        let version = versions.select_for::<ProduceRequest>(first..=last).map_err(|cause| match zstd {
            true => Cause::new(
                cause.kind(),
                format!("zstd needs a broker of Kafka 2.1 or later; choose another compression.type ({cause})"),
            ),
            false => cause,
        })?;
        loaded.sort_by(|a, b| {
            let key = |batch: &Loaded| batch.sent.partition.partition;
            a.sent.partition.topic.cmp(&b.sent.partition.topic).then(key(a).cmp(&key(b)))
        });
        let mut topic_data: Vec<TopicProduceData> = Vec::new();
        for batch in loaded.chunk_by(|a, b| a.sent.partition.topic == b.sent.partition.topic) {
            let partition_data = batch.iter().map(|batch| PartitionProduceData {
                index: batch.sent.partition.partition,
                records: Some(Records(batch.content.bytes().clone())),
            });
            let partition_data = partition_data.collect();
            let Some(first) = batch.first() else { continue };
            topic_data.push(if version > LAST_WITH_NAMES {
                TopicProduceData { topic_id: first.sent.topic_id, partition_data, ..Default::default() }
            } else {
                TopicProduceData { name: first.sent.partition.wire_name.clone(), partition_data, ..Default::default() }
            });
        }
        let settings = self.engine.settings();
        let timeout_ms = i32::try_from(settings.ack_timeout.as_millis()).unwrap_or(i32::MAX);
        let request = ProduceRequest { transactional_id: None, acks: settings.acks.number(), timeout_ms, topic_data };
        let mut outgoing = Outgoing::new(self.next_ticket, version, &request, settings.request_timeout)
            .map_err(|error| Cause::new(CauseKind::Encode, format!("Produce cannot be encoded: {error}")))?;
        outgoing.expects_response = settings.acks != Acks::None;
        Ok(outgoing)
    }

    /// The same answer for all batches of a request.
    fn answer_all(&self, now: Instant, sent: Vec<Sent>, answer: Answer, error: &Error) {
        let mut ledger = self.engine.ledger();
        for sent in sent {
            ledger.answered(sent.batch);
            ledger.accumulator.handle_answer(now, sent.partition.index, sent.batch, answer, Some(error.clone()), true);
        }
    }

    fn handle_answers(&mut self, now: Instant, mut sent: Vec<Sent>, response: ProduceResponse) {
        let throttle = Duration::from_millis(u64::try_from(response.throttle_time_ms).unwrap_or(0));
        self.feedback.throttle = (!throttle.is_zero()).then_some(throttle);
        let mut stale = false;
        for topic in &response.responses {
            for found in &topic.partition_responses {
                // Brokers answer in the order of the request.
                let concerned = |sent: &Sent| {
                    let same = if topic.name.as_str().is_empty() {
                        sent.topic_id == topic.topic_id
                    } else {
                        sent.partition.topic.as_str() == topic.name.as_str()
                    };
                    same && sent.partition.partition == found.index
                };
                let Some(at) = sent.iter().position(concerned) else { continue };
                let sent = sent.remove(at);
                stale |= found.error_code.is_stale_metadata();
                self.handle_partition(now, &sent, found, &response);
            }
        }
        if !sent.is_empty() {
            let error = Error::new(ErrorKind::Decode, "the answer says nothing about the partition").with_api("Produce");
            self.answer_all(now, sent, Answer::Unknown, &error);
        }
        if stale {
            self.engine.request_refresh();
        }
    }

    /// What errors call the broker.
    fn label(&self) -> String {
        let snapshot = self.engine.snapshot();
        snapshot.node(BrokerId(self.broker)).map_or_else(|| self.broker.to_string(), ToString::to_string)
    }

    fn handle_partition(&self, now: Instant, sent: &Sent, found: &PartitionProduceResponse, response: &ProduceResponse) {
        let (engine, index) = (&*self.engine, sent.partition.index);
        let code = found.error_code;
        let answer = Answer::of(code, engine.settings().idempotent);
        if answer == Answer::Acked {
            let mut ledger = engine.ledger();
            ledger.answered(sent.batch);
            if let Some(payload) = ledger.accumulator.payload_mut(index, sent.batch) {
                let base_offset = (code.is_ok() && found.base_offset >= 0).then_some(found.base_offset);
                let log_append_time = (found.log_append_time_ms >= 0).then_some(found.log_append_time_ms);
                payload.ack = Ack { base_offset, log_append_time };
            }
            ledger.accumulator.handle_answer(now, index, sent.batch, answer, None, false);
            return;
        }
        let error = refusal(code, found, self.label());
        if matches!(code, ErrorCode::MESSAGE_TOO_LARGE | ErrorCode::RECORD_LIST_TOO_LARGE) && self.split(sent, &error) {
            return;
        }
        let hint = &found.current_leader;
        let hinted = hint.leader_id.0 >= 0 && {
            let mut endpoints = response.node_endpoints.iter().filter(|node| node.node_id == hint.leader_id);
            let endpoint = endpoints
                .next()
                .and_then(|node| Some(Node::new(node.node_id, node.host.as_str(), u16::try_from(node.port).ok()?)));
            let (topic, partition) = (&sent.partition.topic, sent.partition.partition);
            engine.leader_hint(topic, partition, hint.leader_id, hint.leader_epoch, endpoint);
            let snapshot = engine.snapshot();
            let leader = snapshot.topic(topic).and_then(|topic| topic.partition(partition)).and_then(|found| found.leader);
            // Our own metadata may know a later leader than the broker that answered.
            engine.ledger().accumulator.set_leader(index, leader.map(|leader| leader.0));
            leader.is_some_and(|leader| leader.0 != self.broker)
        };
        let mut ledger = engine.ledger();
        ledger.answered(sent.batch);
        if let Some(payload) = ledger.accumulator.payload_mut(index, sent.batch) {
            payload.record_errors = named_records(&error, found);
            if code == ErrorCode::CORRUPT_MESSAGE && payload.content.as_ref().is_some_and(is_damaged) {
                let error = Error::new(ErrorKind::Bug, "the batch's bytes changed after it was made").with_source(error);
                ledger.accumulator.handle_answer(now, index, sent.batch, Answer::Refused, Some(error), false);
                return;
            }
        }
        if code.is_stale_metadata() && !hinted {
            ledger.accumulator.handle_stale(index);
        }
        // A new leader that is known needs no pause (KIP-951).
        ledger.accumulator.handle_answer(now, index, sent.batch, answer, Some(error), !hinted);
    }

    /// Makes two batches of one that the broker finds too large. Returns false if it has one record only.
    fn split(&self, sent: &Sent, error: &Error) -> bool {
        let (engine, index) = (&*self.engine, sent.partition.index);
        let mut ledger = engine.ledger();
        let several = |payload: &mut Payload| payload.content.as_ref().is_some_and(|content| content.count() > 1);
        if !ledger.accumulator.payload_mut(index, sent.batch).is_some_and(several) {
            return false;
        }
        ledger.answered(sent.batch);
        let Some(payload) = ledger.accumulator.handle_too_large(index, sent.batch, error) else { return true };
        let (completion, range, mut charge) = (payload.completion.clone(), payload.range.clone(), payload.charge.take());
        let Some(content) = payload.content.take() else { return true };
        drop(ledger);
        let parts = match split::split(content, engine.settings().compression_level) {
            Ok(parts) => parts,
            Err(cause) => {
                let error = error.clone().with_source(cause);
                engine.ledger().accumulator.fail(index, sent.batch, error);
                return true;
            }
        };
        let mut start = range.start;
        let parts = parts.into_iter().map(|content| {
            let (size, count) = (content.size(), content.count() as u32);
            let range = start..start + count;
            start += count;
            let charge = charge.as_mut().map(|charge| charge.split(size));
            let payload = Payload::piece(completion.clone(), range, content, charge);
            (payload, size, count)
        });
        let parts = parts.collect::<Vec<_>>();
        completion.split(parts.len());
        let mut ledger = engine.ledger();
        if let Err(parts) = ledger.accumulator.handle_split(index, sent.batch, parts) {
            // It expired meanwhile: its records have their result, the parts will get none.
            drop(ledger);
            parts.iter().skip(1).for_each(|_| completion.complete_piece([]));
        }
        true
    }
}

impl<H: Host> RequestSource for BrokerSource<H> {
    fn poll_request(&mut self, _cx: &mut Context<'_>, now: Instant, versions: &ApiVersions) -> Poll<Option<Outgoing>> {
        // The engine wakes the connection through its handle.
        if self.in_flight.len() >= self.engine.settings().max_requests {
            self.timer = None;
            return Poll::Pending;
        }
        loop {
            let mut loaded = self.load(now);
            if loaded.is_empty() {
                return Poll::Pending;
            }
            self.stamp(&mut loaded);
            let request = self.request(&mut loaded, versions);
            let sent = loaded.into_iter().map(|batch| batch.sent).collect();
            match request {
                Ok(outgoing) => {
                    self.in_flight.push_back((self.next_ticket, sent));
                    self.next_ticket += 1;
                    return Poll::Ready(Some(outgoing));
                }
                Err(cause) => {
                    // The broker lacks a version that can carry this, and waiting won't teach it one.
                    let error = Failure::unwritten(cause).into_error(ProduceRequest::NAME).with_broker(self.broker.to_string());
                    self.answer_all(now, sent, Answer::Refused, &error);
                }
            }
        }
    }

    fn handle_written(&mut self, _now: Instant, _ticket: u64) {}

    fn handle_response(&mut self, now: Instant, ticket: u64, result: Result<ResponseBody, Failure>) {
        let Some(at) = self.in_flight.iter().position(|(number, _)| *number == ticket) else { return };
        let Some((_, sent)) = self.in_flight.remove(at) else { return };
        self.feedback = Feedback::default();
        match result {
            Ok(_) if self.engine.settings().acks == Acks::None => {
                let mut ledger = self.engine.ledger();
                for sent in sent {
                    ledger.answered(sent.batch);
                    ledger.accumulator.handle_answer(now, sent.partition.index, sent.batch, Answer::Acked, None, false);
                }
            }
            Ok(ResponseBody { version, body, .. }) => match ProduceResponse::decode(&body, version) {
                Ok(response) => self.handle_answers(now, sent, response),
                Err(error) => {
                    let cause = Cause::new(CauseKind::Decode, ProduceResponse::explain(&body, version, error));
                    let failure = Failure { written: Written::Maybe, cause: cause.clone() };
                    self.answer_all(now, sent, Answer::Unknown, &failure.into_error("Produce").with_retriable(true));
                    self.feedback.broken = Some(cause);
                }
            },
            Err(failure) => {
                let answer = if failure.written == Written::No { Answer::Unwritten } else { Answer::Unknown };
                self.answer_all(now, sent, answer, &failure.into_error("Produce"));
                self.engine.request_refresh();
            }
        }
    }

    fn feedback(&mut self) -> Feedback {
        std::mem::take(&mut self.feedback)
    }

    fn handle_unconnected(&mut self, _now: Instant, cause: &Cause) {
        let error = cause.to_error().with_api("Produce");
        self.engine.ledger().accumulator.handle_unconnected(self.broker, &error);
        self.engine.request_refresh();
    }

    fn next_timeout(&self) -> Option<Instant> {
        self.timer
    }

    fn wants_connection(&mut self) -> bool {
        self.timer = self.engine.ledger().accumulator.park(self.broker);
        self.timer.is_some()
    }
}

/// Its task is torn down, with its runtime for example: nobody will bring the answers that are still to come.
impl<H: Host> Drop for BrokerSource<H> {
    fn drop(&mut self) {
        for (_, sent) in std::mem::take(&mut self.in_flight) {
            let error = Error::new(ErrorKind::Closed, "the connection's task was torn down").with_api("Produce");
            self.answer_all(self.engine.now(), sent, Answer::Unknown, &error);
        }
    }
}

/// What a broker said about a batch that it did not take.
fn refusal(code: ErrorCode, found: &PartitionProduceResponse, broker: String) -> Error {
    let message = match said(found.error_message.as_ref()) {
        Some(reason) => format!("the broker did not take the batch ({reason})").into(),
        None => std::borrow::Cow::Borrowed("the broker did not take the batch"),
    };
    Error::from_code(code, message).with_api("Produce").with_broker(broker)
}

/// The records that the broker names as the reason of its refusal (KIP-467).
fn named_records(error: &Error, found: &PartitionProduceResponse) -> Vec<(u32, Error)> {
    let named = found.record_errors.iter().filter_map(|named| {
        let reason = said(named.batch_index_error_message.as_ref()).unwrap_or(Untrusted("without a reason"));
        let own = Error::from_code(found.error_code, format!("the broker refused this record of the batch: {reason}"));
        Some((u32::try_from(named.batch_index).ok()?, own.with_source(error.clone())))
    });
    named.collect()
}

/// Was it given a checksum?
fn is_stamped(content: &ClosedBatch) -> bool {
    content.bytes().get(16) == Some(&2)
}

/// Does its checksum not fit its bytes any more?
fn is_damaged(content: &ClosedBatch) -> bool {
    Batch::new(content.bytes().clone()).is_err()
}
