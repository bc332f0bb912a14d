//! Produce: checks a batch as Kafka does, appends it once, and says where.
//!
//! Who wants an acknowledgement by all replicas waits until the high watermark has passed what was appended, at most `timeout_ms`.
//! When that is over the records are still there, and may be replicated yet: the client is told that nobody knows.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use bytes::Bytes;
use klamm::protocol::messages::produce::{
    BatchIndexAndErrorMessage, LeaderIdAndEpoch, NodeEndpoint, PartitionProduceResponse, ProduceRequest, ProduceResponse,
    TopicProduceData, TopicProduceResponse,
};
use klamm::protocol::records::Batch;
use klamm::protocol::{BrokerId, ErrorCode, TopicName, TransactionalId, Uuid};

use crate::core::batch_rules::{BatchRules, Refusal};
use crate::core::producers::Verdict;
use crate::core::replication::Partition;
use crate::core::topics::{Topics, text};
use crate::core::{Call, Core, Outcome};

/// First version with topic ids in place of names.
const TOPIC_IDS: i16 = 13;

/// First version that tells who the leader is (KIP-951).
const LEADER_HINTS: i16 = 10;

/// A Produce whose records are not replicated yet.
#[derive(Debug)]
pub(crate) struct ParkedProduce {
    pub(crate) deadline: Instant,
    call: Call,
    response: ProduceResponse,
    waiting: Vec<Waiting>,
}

/// One partition of it.
#[derive(Debug)]
struct Waiting {
    /// Its place in the response.
    place: (usize, usize),
    topic: TopicName,
    topic_id: Uuid,
    partition: i32,
    leader_epoch: i32,
    /// The high watermark that is waited for.
    end_offset: i64,
}

/// Where a batch stands.
struct Appended {
    base_offset: i64,
    end_offset: i64,
    log_append_time: i64,
    log_start_offset: i64,
}

impl Core {
    pub(super) fn produce(&mut self, now: Instant, call: &Call, request: ProduceRequest) -> Outcome<ProduceResponse> {
        let acks = request.acks;
        let mut leaders = BTreeSet::new();
        let mut failed = false;
        let mut waiting = Vec::new();
        if self.topics.default_rules != self.replication_rules() {
            self.reconfigure(now);
        }
        let mut responses: Vec<TopicProduceResponse> = Vec::with_capacity(request.topic_data.len());
        for topic in each_once(request.topic_data) {
            let name = self.topic_name(&topic.name, topic.topic_id, call.version >= TOPIC_IDS);
            let mut partition_responses = Vec::with_capacity(topic.partition_data.len());
            for data in topic.partition_data {
                let records = data.records.map(|records| records.0).unwrap_or_default();
                let appended = match &name {
                    _ if !(-1..=1).contains(&acks) => Err(Refusal::new(ErrorCode::INVALID_REQUIRED_ACKS)),
                    Ok(name) => {
                        let place = (name, data.index);
                        self.produce_to(now, call, request.transactional_id.as_ref(), place, acks, records)
                    }
                    Err(code) => Err(Refusal::new(*code)),
                };
                failed |= appended.is_err();
                let mut response = PartitionProduceResponse { index: data.index, base_offset: -1, ..Default::default() };
                match appended {
                    Ok(Appended { base_offset, end_offset, log_append_time, log_start_offset }) => {
                        if acks == -1
                            && let Ok(name) = &name
                        {
                            let place = (responses.len(), partition_responses.len());
                            waiting.extend(self.waiting(place, name, data.index, end_offset));
                        }
                        (response.base_offset, response.log_append_time_ms) = (base_offset, log_append_time);
                        response.log_start_offset = log_start_offset;
                    }
                    Err(refusal) => {
                        let hint = matches!(refusal.code, ErrorCode::NOT_LEADER_OR_FOLLOWER | ErrorCode::FENCED_LEADER_EPOCH);
                        let partition = name.as_ref().ok().and_then(|name| self.topics.partition(name.as_str(), data.index));
                        if let Some((leader, partition)) = partition.and_then(|partition| Some((partition.leader?, partition)))
                            && hint
                            && call.version >= LEADER_HINTS
                        {
                            let leader_id = BrokerId(leader);
                            response.current_leader = LeaderIdAndEpoch { leader_id, leader_epoch: partition.leader_epoch };
                            leaders.insert(leader);
                        }
                        let blame = |(batch_index, message): (i32, String)| BatchIndexAndErrorMessage {
                            batch_index,
                            batch_index_error_message: Some(text(&message)),
                        };
                        if let Some(partition) = partition.filter(|_| refusal.from_log) {
                            response.log_start_offset = partition.log.start_offset();
                        }
                        response.error_code = refusal.code;
                        response.error_message = refusal.message.as_deref().map(text);
                        response.record_errors = refusal.records.into_iter().map(blame).collect();
                    }
                }
                partition_responses.push(response);
            }
            responses.push(TopicProduceResponse { name: topic.name, topic_id: topic.topic_id, partition_responses });
        }
        match acks {
            // Nobody waits for an answer; a client learns only so that something is wrong.
            0 if failed => Outcome::Close,
            0 => Outcome::Nothing,
            _ => {
                let response = ProduceResponse { responses, node_endpoints: self.endpoints(leaders), ..Default::default() };
                if waiting.is_empty() {
                    return Outcome::Reply(response);
                }
                let deadline = now + Duration::from_millis(u64::try_from(request.timeout_ms).unwrap_or(0));
                self.produces.insert(call.connection, ParkedProduce { deadline, call: call.clone(), response, waiting });
                if deadline <= now {
                    self.expire_produces(now);
                }
                Outcome::Parked
            }
        }
    }

    /// What has to be waited for until all replicas in sync have it.
    fn waiting(&self, place: (usize, usize), topic: &TopicName, partition: i32, end_offset: i64) -> Option<Waiting> {
        let topic = self.topics.get(topic.as_str())?;
        let state = topic.partitions.get(usize::try_from(partition).ok()?)?;
        (state.log.high_watermark() < end_offset).then(|| Waiting {
            place,
            topic: topic.name.clone(),
            topic_id: topic.id,
            partition,
            leader_epoch: state.leader_epoch,
            end_offset,
        })
    }

    /// Answers those that wait no longer.
    pub(super) fn retry_produces(&mut self, now: Instant) {
        let Self { produces, topics, .. } = self;
        let mut done = Vec::new();
        for (id, ParkedProduce { response, waiting, .. }) in produces {
            waiting.retain(|waiting| {
                let Some(error_code) = waiting.outcome(topics) else { return true };
                set_code(response, waiting.place, error_code);
                false
            });
            if waiting.is_empty() {
                done.push(*id);
            }
        }
        for id in done {
            let Some(ParkedProduce { call, response, .. }) = self.produces.remove(&id) else { continue };
            self.respond(now, call, response);
        }
    }

    /// Answers those whose time is over.
    pub(super) fn expire_produces(&mut self, now: Instant) {
        let due: Vec<_> = self.produces.iter().filter(|(_, produce)| produce.deadline <= now).map(|(id, _)| *id).collect();
        for id in due {
            let Some(ParkedProduce { call, mut response, waiting, .. }) = self.produces.remove(&id) else { continue };
            for Waiting { place, .. } in waiting {
                set_code(&mut response, place, ErrorCode::REQUEST_TIMED_OUT);
            }
            self.respond(now, call, response);
        }
    }

    fn endpoints(&self, leaders: BTreeSet<i32>) -> Vec<NodeEndpoint> {
        let nodes = leaders.into_iter().filter_map(|id| Some((id, self.nodes.get(&id)?)));
        let endpoint = |(id, node): (i32, &crate::core::Node)| NodeEndpoint {
            node_id: BrokerId(id),
            host: text(&node.host),
            port: i32::from(node.port),
            rack: self.settings.racks.get(&id).map(|rack| text(rack)),
        };
        nodes.map(endpoint).collect()
    }

    /// The topic that a request means, by name or by id.
    pub(super) fn topic_name(&self, name: &TopicName, id: Uuid, by_id: bool) -> Result<TopicName, ErrorCode> {
        if by_id {
            let known = self.topics.name_of(id).and_then(|name| self.topics.get(name));
            return known.map(|topic| topic.name.clone()).ok_or(ErrorCode::UNKNOWN_TOPIC_ID);
        }
        self.topics.get(name.as_str()).map(|topic| topic.name.clone()).ok_or(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION)
    }

    fn produce_to(
        &mut self,
        now: Instant,
        call: &Call,
        transactional_id: Option<&TransactionalId>,
        (topic, partition): (&TopicName, i32),
        acks: i16,
        records: Bytes,
    ) -> Result<Appended, Refusal> {
        if let Some(code) = call.refusal(topic.as_str(), partition) {
            return Err(Refusal::new(code));
        }
        let (wall_millis, max_bytes) = (self.wall_millis(now), self.message_max_bytes(call.node));
        let no_such = || Refusal::new(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);
        let known = self.topics.get(topic.as_str()).ok_or_else(no_such)?;
        let rules = BatchRules::of(known, partition, &self.settings, max_bytes, wall_millis);
        let led = self.topics.partition(topic.as_str(), partition).ok_or_else(no_such)?;
        led.check_leader(call.node, -1).map_err(Refusal::new)?;
        if acks == -1 && led.is_under_min_isr() {
            return Err(Refusal::from_log(ErrorCode::NOT_ENOUGH_REPLICAS));
        }
        let batch = rules.check(records, call.version)?;
        if batch.is_transactional() {
            let at = (topic.as_str().to_owned(), partition);
            let admitted = self.admit_transactional(now, call, transactional_id, at, &batch);
            admitted.map_err(|code| {
                let words = || "Partition was not added to the transaction".to_owned();
                Refusal { message: (code == ErrorCode::INVALID_TXN_STATE).then(words), ..Refusal::new(code) }
            })?;
        }
        let partition = self.topics.partition_mut(topic.as_str(), partition).ok_or_else(no_such)?;
        let appended = append(partition, &batch, rules.log_append_time)?;
        self.topics.touch();
        if batch.producer_id() >= 0 {
            self.note_producer(now);
        }
        Ok(appended)
    }

    /// Appends a batch that a test made, without asking whether a producer could have.
    pub(crate) fn append(&mut self, now: Instant, topic: &str, partition: i32, batch: &Batch) -> Option<i64> {
        let partition = self.topics.partition_mut(topic, partition)?;
        let base_offset = partition.append(batch, None);
        self.topics.touch();
        self.pump(now);
        Some(base_offset)
    }
}

/// As Kafka reads it: a topic that comes twice is one, of a partition that comes twice the last one counts, and a topic without
/// partitions is not there.
fn each_once(topics: Vec<TopicProduceData>) -> Vec<TopicProduceData> {
    let mut places = BTreeMap::new();
    let mut merged: Vec<TopicProduceData> = Vec::with_capacity(topics.len());
    for topic in topics.into_iter().filter(|topic| !topic.partition_data.is_empty()) {
        let place = *places.entry((topic.name.clone(), topic.topic_id)).or_insert(merged.len());
        match merged.get_mut(place) {
            Some(first) => first.partition_data.extend(topic.partition_data),
            None => merged.push(topic),
        }
    }
    for topic in &mut merged {
        let last: BTreeMap<_, _> = (0..).zip(&topic.partition_data).map(|(place, data)| (data.index, place)).collect();
        let mut place = 0..;
        topic.partition_data.retain(|data| last.get(&data.index).copied() == place.next());
    }
    merged
}

/// Appends `batch` unless it is there already.
fn append(partition: &mut Partition, batch: &Batch, log_append_time: Option<i64>) -> Result<Appended, Refusal> {
    let (base_offset, log_append_time) = match partition.producers.check(batch) {
        Verdict::Append if !batch.is_transactional() && partition.log.open_transaction(batch.producer_id()).is_some() => {
            return Err(Refusal::from_log(ErrorCode::INVALID_TXN_STATE));
        }
        Verdict::Append => (partition.append(batch, log_append_time), log_append_time.unwrap_or(-1)),
        Verdict::Duplicate { base_offset, log_append_time } => (base_offset, log_append_time),
        Verdict::Refuse(code) => return Err(Refusal::from_log(code)),
    };
    let end_offset = base_offset.saturating_add(i64::from(batch.last_offset_delta())).saturating_add(1);
    Ok(Appended { base_offset, end_offset, log_append_time, log_start_offset: partition.log.start_offset() })
}

impl Waiting {
    /// What to tell of it; `None` while it has to wait.
    fn outcome(&self, topics: &Topics) -> Option<ErrorCode> {
        let topic = topics.get(self.topic.as_str()).filter(|topic| topic.id == self.topic_id);
        let partition = topic.and_then(|topic| topic.partitions.get(usize::try_from(self.partition).ok()?));
        let Some(partition) = partition else { return Some(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION) };
        if partition.leader.is_none() || partition.leader_epoch != self.leader_epoch {
            return Some(ErrorCode::NOT_LEADER_OR_FOLLOWER);
        }
        let is_replicated = partition.log.high_watermark() >= self.end_offset;
        let code = if partition.is_under_min_isr() { ErrorCode::NOT_ENOUGH_REPLICAS_AFTER_APPEND } else { ErrorCode::NONE };
        is_replicated.then_some(code)
    }
}

/// Says in a response what became of one partition.
fn set_code(response: &mut ProduceResponse, (topic, partition): (usize, usize), error_code: ErrorCode) {
    let topic = response.responses.get_mut(topic);
    if let Some(partition) = topic.and_then(|topic| topic.partition_responses.get_mut(partition)) {
        partition.error_code = error_code;
    }
}
