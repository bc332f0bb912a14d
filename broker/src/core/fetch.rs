//! Fetch: reads partitions, and waits until there is enough to read.
//!
//! A fetch waits while there is less than `min_bytes` and nothing else to say, at most `max_wait`. Every change to a log or a leader
//! has the waiting ones looked at again. Sizes follow Kafka: no more than `max_bytes` in all and `partition_max_bytes` from each, but
//! the first batch comes whole even if it is larger, so that a reader is never stuck (KIP-74).
//!
//! Fetch sessions (KIP-227) are declined: the answer to a full fetch has session 0, which tells the client to go on without one.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use klamm::protocol::messages::fetch::{
    AbortedTransaction, EpochEndOffset, FetchPartition, FetchRequest, FetchResponse, FetchTopic, FetchableTopicResponse,
    LeaderIdAndEpoch, NodeEndpoint, PartitionData,
};
use klamm::protocol::{BrokerId, ErrorCode, ProducerId, Records, TopicName};

use crate::core::replication::Partition;
use crate::core::topics::text;
use crate::core::{Call, Core, Outcome};
use crate::script::ConnectionId;

/// First version with topic ids in place of names.
const TOPIC_IDS: i16 = 13;

/// First version that tells who the leader is (KIP-951).
const LEADER_HINTS: i16 = 16;

/// A fetch that waits for data.
#[derive(Debug)]
pub(crate) struct ParkedFetch {
    pub(crate) deadline: Instant,
    call: Call,
    request: FetchRequest,
}

impl Core {
    pub(super) fn fetch(&mut self, now: Instant, call: &Call, mut request: FetchRequest) -> Outcome<FetchResponse> {
        request.max_bytes = self.fetch_limit(call, request.max_bytes);
        // 0 opens a session, -1 closes it or is without one; more goes on in one, and we have none.
        if request.session_epoch > 0 {
            let error_code = ErrorCode::FETCH_SESSION_ID_NOT_FOUND;
            return Outcome::Reply(FetchResponse { error_code, ..Default::default() });
        }
        let wait = Duration::from_millis(u64::try_from(request.max_wait_ms).unwrap_or(0));
        if wait.is_zero() || self.is_enough(call, &request) {
            return Outcome::Reply(self.read(call, &request));
        }
        let parked = ParkedFetch { deadline: now + wait, call: call.clone(), request };
        self.fetches.insert(call.connection, parked);
        Outcome::Parked
    }

    /// Answers those waiting fetches that now have enough.
    pub(super) fn retry_fetches(&mut self, now: Instant) {
        let enough = |fetch: &ParkedFetch| self.is_enough(&fetch.call, &fetch.request);
        let due: Vec<_> = self.fetches.iter().filter(|(_, fetch)| enough(fetch)).map(|(id, _)| *id).collect();
        for id in due {
            self.finish_fetch(now, id);
        }
    }

    /// Answers a waiting fetch with what there is.
    pub(super) fn finish_fetch(&mut self, now: Instant, id: ConnectionId) {
        let Some(ParkedFetch { call, request, .. }) = self.fetches.remove(&id) else { return };
        let response = self.read(&call, &request);
        self.respond(now, call, response);
    }

    /// Is there something that the client should hear of now?
    fn is_enough(&self, call: &Call, request: &FetchRequest) -> bool {
        if request.topics.iter().all(|topic| topic.partitions.is_empty()) {
            return true;
        }
        let min_bytes = u64::try_from(request.min_bytes).unwrap_or(0);
        let mut bytes = 0;
        for topic in &request.topics {
            let name = self.topic_name(&topic.topic, topic.topic_id, call.version >= TOPIC_IDS);
            for asked in &topic.partitions {
                let Ok(partition) = self.fetched_partition(call, name.as_ref().map_err(|code| *code), asked) else {
                    return true;
                };
                if !matches!(diverging_epoch(partition, asked), Ok(None)) {
                    return true;
                }
                let end = partition.log.readable(request.isolation_level == 1);
                let available = partition.log.available(asked.fetch_offset, end);
                bytes += available.min(u64::try_from(asked.partition_max_bytes).unwrap_or(0).max(1));
            }
        }
        bytes >= min_bytes
    }

    fn fetched_partition(
        &self,
        call: &Call,
        topic: Result<&TopicName, ErrorCode>,
        asked: &FetchPartition,
    ) -> Result<&Partition, ErrorCode> {
        let topic = topic?;
        if let Some(code) = call.refusal(topic.as_str(), asked.partition) {
            return Err(code);
        }
        let partition = self.topics.partition(topic.as_str(), asked.partition).ok_or(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION)?;
        partition.check_leader(call.node, asked.current_leader_epoch)?;
        let log = &partition.log;
        // Beyond the high watermark there is nothing to read yet, but it is not out of range.
        let in_range = (log.start_offset()..=log.end_offset()).contains(&asked.fetch_offset);
        // A reader whose last record is of another history is told so before anything else.
        if diverging_epoch(partition, asked)?.is_some() || in_range { Ok(partition) } else { Err(ErrorCode::OFFSET_OUT_OF_RANGE) }
    }

    fn read(&self, call: &Call, request: &FetchRequest) -> FetchResponse {
        let mut leaders = BTreeSet::new();
        let mut left = usize::try_from(request.max_bytes).unwrap_or(0);
        let mut whole_first = true;
        let mut topic_response = |topic: &FetchTopic| {
            let name = self.topic_name(&topic.topic, topic.topic_id, call.version >= TOPIC_IDS);
            let mut partition_response = |asked: &FetchPartition| {
                let name = name.as_ref().map_err(|code| *code);
                let mut data = PartitionData {
                    partition_index: asked.partition,
                    high_watermark: -1,
                    // An empty set, not null: older clients of Java stumble over null.
                    records: Some(Records::default()),
                    aborted_transactions: None,
                    ..Default::default()
                };
                let partition = match self.fetched_partition(call, name, asked) {
                    Ok(partition) => partition,
                    Err(code) => {
                        data.error_code = code;
                        // Where no log was asked, Kafka's answer has its field's default.
                        let is_unknown = matches!(code, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION | ErrorCode::UNKNOWN_TOPIC_ID);
                        data.aborted_transactions = is_unknown.then(Vec::new);
                        let partition = name.ok().and_then(|name| self.topics.partition(name.as_str(), asked.partition));
                        let leader = partition.and_then(|partition| Some((partition.leader?, partition.leader_epoch)));
                        if let Some((leader, leader_epoch)) = leader
                            && call.version >= LEADER_HINTS
                            && matches!(code, ErrorCode::NOT_LEADER_OR_FOLLOWER | ErrorCode::FENCED_LEADER_EPOCH)
                        {
                            data.current_leader = LeaderIdAndEpoch { leader_id: BrokerId(leader), leader_epoch };
                            leaders.insert(leader);
                        }
                        return data;
                    }
                };
                let log = &partition.log;
                (data.high_watermark, data.last_stable_offset) = (log.high_watermark(), log.last_stable_offset());
                data.log_start_offset = log.start_offset();
                if let Ok(Some(diverging_epoch)) = diverging_epoch(partition, asked) {
                    data.diverging_epoch = diverging_epoch;
                    return data;
                }
                let committed_only = request.isolation_level == 1;
                let max_bytes = left.min(usize::try_from(asked.partition_max_bytes).unwrap_or(0));
                let end = log.readable(committed_only);
                let read = log.read(asked.fetch_offset, end, max_bytes, whole_first, committed_only);
                left = left.saturating_sub(read.bytes.len());
                whole_first &= read.bytes.is_empty();
                if committed_only {
                    let aborted = read.aborted.iter().map(|aborted| AbortedTransaction {
                        producer_id: ProducerId(aborted.producer_id),
                        first_offset: aborted.first_offset,
                    });
                    data.aborted_transactions = Some(aborted.collect());
                }
                data.records = Some(Records(read.bytes));
                data
            };
            let partitions = topic.partitions.iter().map(&mut partition_response).collect();
            FetchableTopicResponse { topic: topic.topic.clone(), topic_id: topic.topic_id, partitions }
        };
        let responses = request.topics.iter().map(&mut topic_response).collect();
        let endpoint = |id: i32| {
            let node = self.nodes.get(&id)?;
            let rack = self.settings.racks.get(&id).map(|rack| text(rack));
            Some(NodeEndpoint { node_id: BrokerId(id), host: text(&node.host), port: i32::from(node.port), rack })
        };
        FetchResponse { responses, node_endpoints: leaders.into_iter().filter_map(endpoint).collect(), ..Default::default() }
    }
}

/// Where the reader's history parts from the log's, if it says what it read last and it does (KIP-320).
///
/// # Errors
/// An epoch that the log does not know yet, as Kafka puts it.
fn diverging_epoch(partition: &Partition, asked: &FetchPartition) -> Result<Option<EpochEndOffset>, ErrorCode> {
    if asked.last_fetched_epoch < 0 {
        return Ok(None);
    }
    let known = partition.log.end_of_epoch(asked.last_fetched_epoch);
    let (epoch, end_offset) = known.ok_or(ErrorCode::OFFSET_OUT_OF_RANGE)?;
    let diverges = epoch < asked.last_fetched_epoch || end_offset < asked.fetch_offset;
    Ok(diverges.then_some(EpochEndOffset { epoch, end_offset }))
}
