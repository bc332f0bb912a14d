//! What answers mean: records, the place to begin at, and the table of error codes.
//!
//! The table (Fetch, by partition): 5, 6, 9, 56, 74, 78 and 3, 100, 103: metadata is stale; 75: the broker is behind us, ask again; 1:
//! out of range, since only leaders are asked; 2, 29, 76: the user must know, and it is tried on. What is not known is tried again.
//! ListOffsets takes the same roads, but no code of it ever means "out of range".

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::cluster::Node;
use crate::consumer::chunk::{Aborted, parse};
use crate::consumer::fetch::{Action, Fetch, Item, Kind, LATEST, Outstanding, Partition, Start, Ticket};
use crate::protocol::messages::fetch::{FetchResponse, NodeEndpoint, PartitionData};
use crate::protocol::messages::list_offsets::{ListOffsetsPartitionResponse, ListOffsetsResponse};
use crate::protocol::records::BatchError;
use crate::protocol::{BrokerId, ErrorCode, TopicName, Uuid};
use crate::{Error, ErrorKind, TopicPartition};

/// No partition is asked for more than this in one piece.
const LARGEST_ASK: i32 = 1 << 30;

/// An answer that came without data and too soon is not asked for again before this: no broker may make a consumer spin.
const SOON: Duration = Duration::from_millis(50);

/// What an error code asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Refresh,
    Again,
    OutOfRange,
    Tell,
}

fn verdict(code: ErrorCode) -> Verdict {
    match code {
        ErrorCode::OFFSET_OUT_OF_RANGE => Verdict::OutOfRange,
        ErrorCode::CORRUPT_MESSAGE
        | ErrorCode::TOPIC_AUTHORIZATION_FAILED
        | ErrorCode::UNSUPPORTED_COMPRESSION_TYPE
        | ErrorCode::UNSUPPORTED_VERSION
        | ErrorCode::INVALID_REQUEST => Verdict::Tell,
        ErrorCode::LEADER_NOT_AVAILABLE
        | ErrorCode::NOT_LEADER_OR_FOLLOWER
        | ErrorCode::REPLICA_NOT_AVAILABLE
        | ErrorCode::KAFKA_STORAGE_ERROR
        | ErrorCode::FENCED_LEADER_EPOCH
        | ErrorCode::OFFSET_NOT_AVAILABLE
        | ErrorCode::UNKNOWN_TOPIC_OR_PARTITION
        | ErrorCode::UNKNOWN_TOPIC_ID
        | ErrorCode::INCONSISTENT_TOPIC_ID => Verdict::Refresh,
        _ => Verdict::Again,
    }
}

impl Fetch {
    /// A Fetch was answered; `None`: it failed on the way, and the answer may never come.
    pub(crate) fn handle_fetched(&mut self, now: Instant, ticket: Ticket, response: Option<FetchResponse>) {
        let Some(request) = self.settle(ticket) else { return };
        let Some(response) = response else { return self.disconnected(now, &request, ticket) };
        if !response.error_code.is_ok() {
            return self.disconnected(now, &request, ticket);
        }
        if let Some(broker) = self.brokers.get_mut(&request.broker) {
            (broker.failures, broker.not_before) = (0, None);
        }
        // Names up to version 12, ids from 13 on; whichever the answer has is not at its default.
        let mut by_name: BTreeMap<(TopicName, Uuid, i32), usize> = BTreeMap::new();
        for slot in &request.slots {
            let Some(partition) = self.partitions.get(slot).filter(|partition| partition.waits_for == Some(ticket)) else {
                continue;
            };
            by_name.insert((partition.topic.clone(), Uuid::default(), partition.name.partition), *slot);
            if let Some(leader) = partition.leader.filter(|leader| !leader.topic_id.is_zero()) {
                by_name.insert((TopicName::default(), leader.topic_id, partition.name.partition), *slot);
            }
        }
        let mut quiet = true;
        for topic in response.responses {
            for data in topic.partitions {
                let name = if topic.topic_id.is_zero() { topic.topic.clone() } else { TopicName::default() };
                quiet &= data.error_code.is_ok() && data.records.as_ref().is_none_or(|records| records.0.is_empty());
                // What was not asked for, or is not waited for any more, is passed over.
                let Some(slot) = by_name.remove(&(name, topic.topic_id, data.partition_index)) else { continue };
                self.partition_fetched(now, slot, data, &response.node_endpoints);
            }
        }
        // A partition that was left out of the answer is asked for again.
        self.forget(&request, ticket);
        let wait = self.settings.max_wait;
        if quiet && response.throttle_time_ms == 0 && now.saturating_duration_since(request.sent) < wait / 2 {
            let broker = self.brokers.entry(request.broker).or_default();
            broker.not_before = Some(now + wait.min(SOON));
        }
    }

    fn partition_fetched(&mut self, now: Instant, slot: usize, data: PartitionData, endpoints: &[NodeEndpoint]) {
        let Some(partition) = self.partitions.get_mut(&slot) else { return };
        partition.waits_for = None;
        let Start::At(offset) = partition.next else { return };
        if !data.error_code.is_ok() {
            let hint = hint(&data, endpoints, partition);
            return self.refused(now, slot, data.error_code, offset, hint, "Fetch");
        }
        (partition.failures, partition.not_before) = (0, None);
        partition.high_watermark = Some(data.high_watermark);
        let records = data.records.map(|records| records.0).unwrap_or_default();
        if records.is_empty() {
            return;
        }
        let aborted = self.settings.read_committed.then(|| {
            let aborted = data.aborted_transactions.unwrap_or_default().into_iter();
            aborted.map(|one| Aborted { first_offset: one.first_offset, producer_id: one.producer_id.0 }).collect()
        });
        let place = partition.place;
        let parsed = parse(place, offset, records, aborted, data.high_watermark);
        partition.next = Start::At(parsed.next.offset);
        self.served += 1;
        partition.served = self.served;
        let got_further = parsed.chunk.is_some();
        if let Some(chunk) = parsed.chunk {
            partition.ask = self.settings.max_bytes_of(&partition.name);
            partition.buffered += chunk.size();
            self.buffered += chunk.size();
            self.queue.push_back(Item::Chunk(Box::new(chunk)));
        }
        if let Some(fault) = parsed.fault {
            partition.blocked = true;
            let error = unreadable(&partition.name, parsed.next.offset, fault);
            self.queue.push_back(Item::Fault { place, error });
        } else if let Some(size) = parsed.cut.filter(|_| !got_further) {
            // Brokers since 0.10.1 send the first batch whole (KIP-74); for one that does not, ask for more.
            let grown = size.and_then(|size| i32::try_from(size).ok()).unwrap_or(0).max(partition.ask.saturating_mul(2));
            if partition.ask >= LARGEST_ASK {
                partition.blocked = true;
                let error = Error::new(ErrorKind::Decode, "the record batch does not fit any answer");
                let error = error.with_api("Fetch").with_topic(&partition.name.topic).with_partition(partition.name.partition);
                self.queue.push_back(Item::Fault { place, error: error.with_offset(offset) });
            }
            partition.ask = grown.min(LARGEST_ASK);
        }
    }

    /// A ListOffsets was answered; `None`: it failed on the way.
    pub(crate) fn handle_offsets_listed(&mut self, now: Instant, ticket: Ticket, response: Option<ListOffsetsResponse>) {
        let Some(request) = self.settle(ticket) else { return };
        let Some(response) = response else { return self.disconnected(now, &request, ticket) };
        if let Some(broker) = self.brokers.get_mut(&request.broker) {
            (broker.failures, broker.not_before) = (0, None);
        }
        let mut answers: BTreeMap<(TopicName, i32), ListOffsetsPartitionResponse> = BTreeMap::new();
        for topic in response.topics {
            for partition in topic.partitions {
                answers.insert((topic.name.clone(), partition.partition_index), partition);
            }
        }
        for slot in &request.slots {
            let Some(partition) = self.partitions.get_mut(slot).filter(|partition| partition.waits_for == Some(ticket)) else {
                continue;
            };
            partition.waits_for = None;
            let Start::Timestamp(timestamp) = partition.next else { continue };
            let place = partition.place;
            match answers.remove(&(partition.topic.clone(), partition.name.partition)) {
                Some(answer) if answer.error_code.is_ok() && answer.offset >= 0 => {
                    // Failures stay counted until records can be fetched from there: a log that is said to begin where the leader
                    // then finds nothing must not be asked in a circle without growing pauses.
                    (partition.next, partition.not_before) = (Start::At(answer.offset), None);
                    let leader_epoch = (answer.leader_epoch >= 0).then_some(answer.leader_epoch);
                    self.actions.push_back(Action::Begin { place, offset: answer.offset, leader_epoch });
                }
                // No record is that young: begin behind the last one.
                Some(answer)
                    if timestamp >= 0
                        && (answer.error_code.is_ok() || answer.error_code == ErrorCode::UNSUPPORTED_FOR_MESSAGE_FORMAT) =>
                {
                    partition.next = Start::Timestamp(LATEST);
                }
                Some(answer) => {
                    // The place to begin is being asked for: there is no offset yet that could be out of range.
                    let code =
                        if answer.error_code == ErrorCode::OFFSET_OUT_OF_RANGE { ErrorCode::NONE } else { answer.error_code };
                    self.refused(now, *slot, code, -1, None, "ListOffsets");
                }
                None => self.fail(now, *slot),
            }
        }
    }

    fn refused(&mut self, now: Instant, slot: usize, code: ErrorCode, offset: i64, hint: Option<Action>, api: &'static str) {
        let Some(partition) = self.partitions.get_mut(&slot) else { return };
        let place = partition.place;
        match verdict(code) {
            Verdict::OutOfRange => {
                partition.blocked = true;
                self.queue.push_back(Item::OutOfRange { place, offset });
            }
            Verdict::Tell => {
                partition.blocked = true;
                let error = Error::from_code(code, "the broker does not give the partition's records out");
                let error = error.with_api(api).with_topic(&partition.name.topic).with_partition(partition.name.partition);
                let error = if offset >= 0 { error.with_offset(offset) } else { error };
                // Once more is asked for, it is tried again.
                let again = error.kind() != ErrorKind::Authorization;
                self.queue.push_back(Item::Fault { place, error: error.with_retriable(again) });
            }
            Verdict::Refresh => {
                // A new leader that is named is asked at once.
                if hint.is_none() {
                    self.fail(now, slot);
                }
                self.actions.extend(hint);
                self.actions.push_back(Action::Refresh);
            }
            Verdict::Again => self.fail(now, slot),
        }
    }

    /// Takes a request off the list of those outstanding.
    fn settle(&mut self, ticket: Ticket) -> Option<Outstanding> {
        let request = self.requests.remove(&ticket);
        debug_assert!(request.is_some(), "an answer to {ticket:?}, which is not outstanding");
        let request = request?;
        let broker = self.brokers.entry(request.broker).or_default();
        match request.kind {
            Kind::Fetch => broker.fetching = false,
            Kind::ListOffsets => broker.listing = false,
        }
        Some(request)
    }

    /// The broker could not be asked: perhaps it is not the leader any more, perhaps it is gone.
    fn disconnected(&mut self, now: Instant, request: &Outstanding, ticket: Ticket) {
        self.forget(request, ticket);
        let broker = self.brokers.entry(request.broker).or_default();
        broker.failures = broker.failures.saturating_add(1);
        broker.not_before = Some(now + self.spread.apply(self.settings.backoff.pause(broker.failures)));
        self.actions.push_back(Action::Refresh);
    }

    fn forget(&mut self, request: &Outstanding, ticket: Ticket) {
        for slot in &request.slots {
            self.update(*slot, |partition| {
                if partition.waits_for == Some(ticket) {
                    partition.waits_for = None;
                }
            });
        }
    }
}

/// The new leader, where the answer names one that is newer than what is known.
fn hint(data: &PartitionData, endpoints: &[NodeEndpoint], partition: &Partition) -> Option<Action> {
    let named = data.current_leader.clone();
    let known = partition.leader.map_or(-1, |leader| leader.epoch);
    if named.leader_id.0 < 0 || named.leader_epoch <= known {
        return None;
    }
    let endpoint = endpoints.iter().find(|endpoint| endpoint.node_id == named.leader_id).and_then(node);
    let (leader, epoch) = (named.leader_id, named.leader_epoch);
    Some(Action::LeaderHint { partition: partition.name.clone(), leader, epoch, endpoint })
}

fn node(endpoint: &NodeEndpoint) -> Option<Node> {
    let port = u16::try_from(endpoint.port).ok().filter(|port| *port > 0)?;
    Some(Node::new(BrokerId(endpoint.node_id.0), endpoint.host.as_str(), port))
}

/// A batch that cannot be read, as the user hears of it.
pub(crate) fn unreadable(partition: &TopicPartition, offset: i64, fault: BatchError) -> Error {
    let message = "fetched records cannot be read; seek past them to go on without";
    let error = Error::new(ErrorKind::Decode, message).with_topic(&partition.topic).with_partition(partition.partition);
    error.with_offset(offset).with_source(fault)
}
