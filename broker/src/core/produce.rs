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
use klamm::protocol::records::{Batch, BatchErrorKind, Compression, Limits, RecordBatches};
use klamm::protocol::{BrokerId, ErrorCode, TopicName, TransactionalId, Uuid};

use crate::core::producers::Verdict;
use crate::core::replication::Partition;
use crate::core::topics::{Topic, Topics, text};
use crate::core::{Call, Core, Outcome, Settings};

/// How far in the future a record's time may be: `message.timestamp.after.max.ms`.
const TIMESTAMP_AFTER_MAX_MILLIS: i64 = 3_600_000;

/// First version whose clients know zstd (KIP-110).
const ZSTD: i16 = 7;

/// First version with topic ids in place of names.
const TOPIC_IDS: i16 = 13;

/// First version that tells who the leader is (KIP-951).
const LEADER_HINTS: i16 = 10;

/// Why a batch was not appended.
struct Refusal {
    code: ErrorCode,
    /// Kafka has words for few things only.
    message: Option<String>,
    /// Which records are to blame, by their place in the batch, and why.
    records: Vec<(i32, String)>,
    /// Did it get as far as the log? Then the answer says where that starts.
    by_log: bool,
}

impl Refusal {
    /// For what does not get as far as the log.
    fn new(code: ErrorCode) -> Self {
        Self { code, message: None, records: Vec::new(), by_log: false }
    }

    fn by_log(code: ErrorCode) -> Self {
        Self { by_log: true, ..Self::new(code) }
    }
}

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
        let topics = once_each(request.topic_data);
        let mut responses: Vec<TopicProduceResponse> = Vec::with_capacity(topics.len());
        for topic in topics {
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
                        if let Some((leader, led)) = partition.and_then(|partition| Some((partition.leader?, partition)))
                            && hint
                            && call.version >= LEADER_HINTS
                        {
                            let leader_id = BrokerId(leader);
                            response.current_leader = LeaderIdAndEpoch { leader_id, leader_epoch: led.leader_epoch };
                            leaders.insert(leader);
                        }
                        if refusal.by_log {
                            response.log_start_offset = partition.map_or(-1, |partition| partition.log.start_offset());
                        }
                        let blame = |(batch_index, message): (i32, String)| BatchIndexAndErrorMessage {
                            batch_index,
                            batch_index_error_message: Some(text(&message)),
                        };
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
        let rules = Rules::of(self.topics.get(topic.as_str()).ok_or_else(no_such)?, &self.settings, max_bytes, wall_millis);
        let led = self.topics.partition(topic.as_str(), partition).ok_or_else(no_such)?;
        led.check_leader(call.node, -1).map_err(Refusal::new)?;
        if acks == -1 && led.is_under_min_isr() {
            return Err(Refusal::by_log(ErrorCode::NOT_ENOUGH_REPLICAS));
        }
        let batch = rules.check(records, call.version, (topic.as_str(), partition))?;
        if batch.is_transactional() {
            let at = (topic.as_str().to_owned(), partition);
            self.admit_transactional(now, call, transactional_id, at, &batch).map_err(Refusal::new)?;
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

/// Appends `batch` unless it is there already.
fn append(partition: &mut Partition, batch: &Batch, log_append_time: Option<i64>) -> Result<Appended, Refusal> {
    let (base_offset, log_append_time) = match partition.producers.check(batch) {
        Verdict::Append if !batch.is_transactional() && partition.log.open_transaction(batch.producer_id()).is_some() => {
            return Err(Refusal::by_log(ErrorCode::INVALID_TXN_STATE));
        }
        Verdict::Append => (partition.append(batch, log_append_time), log_append_time.unwrap_or(-1)),
        Verdict::Duplicate { base_offset, log_append_time } => (base_offset, log_append_time),
        Verdict::Refuse(code) => return Err(Refusal::by_log(code)),
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

/// What a topic's batches are held to.
struct Rules {
    max_bytes: usize,
    needs_key: bool,
    log_append_time: Option<i64>,
    latest_timestamp: i64,
    look_at_records: bool,
}

impl Rules {
    fn of(topic: &Topic, settings: &Settings, max_bytes: i32, wall_millis: i64) -> Self {
        let config = |key: &str| topic.configs.get(key).map(String::as_str);
        let max_bytes = config("max.message.bytes").and_then(|value| value.parse().ok()).unwrap_or(max_bytes);
        Self {
            max_bytes: usize::try_from(max_bytes).unwrap_or(0),
            needs_key: config("cleanup.policy").is_some_and(|policy| policy.split(',').any(|policy| policy.trim() == "compact")),
            log_append_time: (config("message.timestamp.type") == Some("LogAppendTime")).then_some(wall_millis),
            latest_timestamp: wall_millis.saturating_add(TIMESTAMP_AFTER_MAX_MILLIS),
            look_at_records: settings.validate_records,
        }
    }

    /// The batch in `records`, if the topic takes it; `place` is for the words of a refusal.
    fn check(&self, records: Bytes, version: i16, place: (&str, i32)) -> Result<Batch, Refusal> {
        let mut batches = RecordBatches::new(records);
        let no_single_batch = || Refusal::new(ErrorCode::INVALID_RECORD);
        let batch = batches.next().ok_or_else(no_single_batch)?.map_err(|error| not_well_formed(&error.kind))?;
        if batches.next().is_some() || batches.is_truncated() || batch.magic() != 2 {
            return Err(no_single_batch());
        }
        if batch.size() > self.max_bytes {
            return Err(Refusal::new(ErrorCode::MESSAGE_TOO_LARGE));
        }
        let invalid = || Err(Refusal::by_log(ErrorCode::INVALID_RECORD));
        if batch.base_offset() != 0 || batch.is_control() {
            return invalid();
        }
        if batch.record_count() <= 0 || i64::from(batch.record_count()) != i64::from(batch.last_offset_delta()) + 1 {
            return invalid();
        }
        // A producer needs a sequence for what it numbers, and a transaction a producer.
        if (batch.producer_id() >= 0 && batch.base_sequence() < 0) || (batch.is_transactional() && batch.producer_id() < 0) {
            return invalid();
        }
        match batch.compression() {
            // Older versions look for zstd before the log is asked.
            Err(_) => {
                return Err(Refusal { by_log: version >= ZSTD, ..Refusal::new(ErrorCode::UNKNOWN_SERVER_ERROR) });
            }
            // Clients older than KIP-110 could not read it.
            Ok(Compression::Zstd) if version < ZSTD => {
                return Err(Refusal::new(ErrorCode::UNSUPPORTED_COMPRESSION_TYPE));
            }
            Ok(_) => {}
        }
        if self.look_at_records || self.needs_key {
            self.check_records(&batch, place)?;
        } else if self.log_append_time.is_none() && batch.max_timestamp() > self.latest_timestamp {
            return Err(self.refused_times(vec![(0, batch.max_timestamp())]));
        }
        Ok(batch)
    }

    fn check_records(&self, batch: &Batch, (topic, partition): (&str, i32)) -> Result<(), Refusal> {
        let malformed = || Refusal::by_log(ErrorCode::INVALID_RECORD);
        let records = batch.records(Limits::default()).map_err(|error| match error.kind {
            BatchErrorKind::BadCompression { .. } => Refusal::by_log(ErrorCode::UNKNOWN_SERVER_ERROR),
            _ => malformed(),
        })?;
        let (mut without_key, mut too_late) = (Vec::new(), Vec::new());
        let mut latest = i64::MIN;
        let mut count = 0;
        for (index, record) in (0..).zip(&records) {
            let record = record.map_err(|_| malformed())?;
            if record.offset != batch.base_offset() + i64::from(index) {
                return Err(malformed());
            }
            if self.needs_key && record.key.is_none() {
                let message = format!("Compacted topic cannot accept message without key in topic partition {topic}-{partition}");
                without_key.push((index, message));
            }
            if self.log_append_time.is_none() && record.timestamp > self.latest_timestamp {
                too_late.push((index, record.timestamp));
            }
            latest = latest.max(record.timestamp);
            count = index + 1;
        }
        if count != batch.record_count() || latest != batch.max_timestamp() {
            return Err(malformed());
        }
        if !too_late.is_empty() {
            return Err(self.refused_times(too_late));
        }
        if without_key.is_empty() {
            return Ok(());
        }
        let first = without_key.iter().take(3).map(|(index, why)| format!("RecordError(batchIndex={index}, message='{why}')"));
        let message = format!(
            "One or more records have been rejected due to {} record errors in total, and only showing the first three errors at most: [{}]",
            without_key.len(),
            first.collect::<Vec<_>>().join(", ")
        );
        Err(Refusal { message: Some(message), records: without_key, ..malformed() })
    }

    /// For records whose times are too far in the future.
    fn refused_times(&self, records: Vec<(i32, i64)>) -> Refusal {
        let latest = self.latest_timestamp;
        let blame = |(index, time)| {
            // As long ago as one likes, in Kafka's arithmetic.
            let earliest = latest.saturating_sub(TIMESTAMP_AFTER_MAX_MILLIS).saturating_sub(i64::MAX);
            let why = format!(
                "Timestamp {time} of message with offset {index} is out of range. The timestamp should be within [{earliest}, {latest}]"
            );
            (index, why)
        };
        Refusal {
            message: Some("One or more records have been rejected due to invalid timestamp".to_owned()),
            records: records.into_iter().map(blame).collect(),
            ..Refusal::by_log(ErrorCode::INVALID_TIMESTAMP)
        }
    }
}

/// Each topic and each partition once: of several the last counts, and a topic without partitions is not looked at.
fn once_each(topics: Vec<TopicProduceData>) -> Vec<TopicProduceData> {
    // What a producer sends to one partition needs no looking.
    if matches!(topics.as_slice(), [only] if only.partition_data.len() == 1) {
        return topics;
    }
    let mut once: Vec<TopicProduceData> = Vec::with_capacity(topics.len());
    let mut places = BTreeMap::new();
    for TopicProduceData { name, topic_id, partition_data } in topics {
        for data in partition_data {
            let topic_at = *places.entry((name.clone(), topic_id, None)).or_insert_with(|| {
                once.push(TopicProduceData { name: name.clone(), topic_id, partition_data: Vec::new() });
                once.len() - 1
            });
            let Some(topic) = once.get_mut(topic_at) else { continue };
            let next = topic.partition_data.len();
            let at = *places.entry((name.clone(), topic_id, Some(data.index))).or_insert(next);
            match topic.partition_data.get_mut(at) {
                Some(known) => *known = data,
                None => topic.partition_data.push(data),
            }
        }
    }
    once
}

/// A record set that is not even one batch.
fn not_well_formed(error: &BatchErrorKind) -> Refusal {
    match error {
        BatchErrorKind::BadChecksum { .. } => Refusal::new(ErrorCode::CORRUPT_MESSAGE),
        BatchErrorKind::UnsupportedFormat(magic) => {
            let message = Some(format!("Invalid magic found in record: {magic}"));
            Refusal { message, ..Refusal::new(ErrorCode::CORRUPT_MESSAGE) }
        }
        BatchErrorKind::BadCount(_) | BatchErrorKind::BadLastOffsetDelta(_) | BatchErrorKind::BadBaseSequence(_) => {
            Refusal::by_log(ErrorCode::INVALID_RECORD)
        }
        _ => Refusal::new(ErrorCode::INVALID_RECORD),
    }
}
