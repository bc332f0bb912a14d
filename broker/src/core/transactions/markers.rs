//! Markers: how a transaction has ended, written into every partition it wrote to; and WriteTxnMarkers, by which an administrator ends
//! one that hangs.

use std::time::Instant;

use klamm::protocol::ErrorCode;
use klamm::protocol::messages::write_txn_markers::{
    WritableTxnMarker, WritableTxnMarkerPartitionResult, WritableTxnMarkerResult, WritableTxnMarkerTopicResult,
    WriteTxnMarkersRequest, WriteTxnMarkersResponse,
};
use klamm::protocol::records::{Batch, ControlMarker};

use crate::core::transactions::offsets::OFFSETS_TOPIC;
use crate::core::transactions::{End, Identity, State, TopicPartition};
use crate::core::{Call, Core, Outcome};

/// The epoch of all coordinators here: none is ever deposed by another that it does not know of.
const COORDINATOR_EPOCH: i32 = 0;

impl Core {
    /// Writes the markers that are due and can be written. Those of partitions without a leader wait.
    pub(in crate::core) fn write_markers(&mut self, now: Instant) {
        if self.transactions.held || self.transactions.ending.is_empty() {
            return;
        }
        for id in std::mem::take(&mut self.transactions.ending) {
            let Some(transaction) = self.transactions.get(&id) else { continue };
            let State::Prepare(end) = transaction.state() else { continue };
            let (producer, partitions) = (transaction.producer(), transaction.partitions().clone());
            let written: Vec<_> =
                partitions.into_iter().filter(|partition| self.write_marker(now, &id, producer, partition, end)).collect();
            let moment = self.moment(now);
            // Which notes it again while something is missing.
            let changed = self.transactions.change(&id, |transaction, _| {
                written.iter().for_each(|partition| transaction.marked(partition));
                if transaction.is_marked() {
                    transaction.complete(moment);
                }
                Ok(())
            });
            debug_assert!(changed.is_ok());
        }
    }

    /// `false`: it has to wait, for a leader or for the marker to be replicated. One that a new leader does not have is written again.
    fn write_marker(&mut self, now: Instant, id: &str, producer: Identity, partition: &TopicPartition, end: End) -> bool {
        let (topic, index) = partition;
        if topic == OFFSETS_TOPIC {
            self.end_offsets(producer.id, partition, end);
            return true;
        }
        let key = (id.to_owned(), partition.clone());
        let unreplicated = self.transactions.unreplicated.remove(&key);
        // A deleted topic needs no marker.
        let Some(led) = self.topics.partition(topic, *index) else { return true };
        if led.leader.is_none() {
            self.transactions.unreplicated.extend(unreplicated.map(|place| (key, place)));
            return false;
        }
        let written = unreplicated.filter(|(offset, epoch)| led.log.has_batch(*offset, *epoch));
        let written = written.or_else(|| self.append_marker(now, producer, partition, end, COORDINATOR_EPOCH));
        let (Some((offset, epoch)), Some(log)) = (written, self.log(topic, *index)) else { return true };
        let is_replicated = log.high_watermark() > offset;
        if !is_replicated {
            self.transactions.unreplicated.insert(key, (offset, epoch));
        }
        is_replicated
    }

    /// Gives where it stands: offset and leader epoch.
    fn append_marker(
        &mut self,
        now: Instant,
        producer: Identity,
        (topic, index): &TopicPartition,
        end: End,
        coordinator_epoch: i32,
    ) -> Option<(i64, i32)> {
        let marker = ControlMarker::end_of_transaction(end == End::Commit, coordinator_epoch);
        let marker = Batch::new(marker.batch(self.wall_millis(now), producer.id, producer.epoch));
        let (Some(partition), Ok(marker)) = (self.topics.partition_mut(topic, *index), marker) else { return None };
        let place = (partition.append(&marker, None), partition.leader_epoch);
        self.note_producer(now);
        self.topics.touch();
        Some(place)
    }

    /// Holds markers back from now on: transactions that end stay in `PrepareCommit` or `PrepareAbort`.
    pub(crate) fn hold_markers(&mut self, now: Instant, held: bool) {
        self.transactions.held = held;
        self.write_markers(now);
        self.pump(now);
    }

    pub(in crate::core) fn write_txn_markers(
        &mut self,
        now: Instant,
        call: &Call,
        request: WriteTxnMarkersRequest,
    ) -> Outcome<WriteTxnMarkersResponse> {
        let markers = request.markers.iter().map(|marker| {
            let topics = marker.topics.iter().map(|topic| {
                let partition = |index: &i32| WritableTxnMarkerPartitionResult {
                    partition_index: *index,
                    error_code: self.write_asked_marker(now, call, marker, (topic.name.as_str().to_owned(), *index)),
                };
                let partitions = topic.partition_indexes.iter().map(partition).collect();
                WritableTxnMarkerTopicResult { name: topic.name.clone(), partitions }
            });
            WritableTxnMarkerResult { producer_id: marker.producer_id, topics: topics.collect() }
        });
        Outcome::Reply(WriteTxnMarkersResponse { markers: markers.collect() })
    }

    fn write_asked_marker(&mut self, now: Instant, call: &Call, marker: &WritableTxnMarker, at: TopicPartition) -> ErrorCode {
        if let Some(code) = call.refusal(&at.0, at.1) {
            return code;
        }
        let Some(partition) = self.topics.partition(&at.0, at.1) else { return ErrorCode::UNKNOWN_TOPIC_OR_PARTITION };
        if let Err(code) = partition.check_leader(call.node, -1) {
            return code;
        }
        let producer = Identity { id: marker.producer_id.0, epoch: marker.producer_epoch };
        if partition.producers.epoch(producer.id).is_some_and(|epoch| producer.epoch < epoch) {
            return ErrorCode::INVALID_PRODUCER_EPOCH;
        }
        if partition.producers.coordinator_epoch(producer.id).is_some_and(|epoch| marker.coordinator_epoch < epoch) {
            return ErrorCode::TRANSACTION_COORDINATOR_FENCED;
        }
        let end = if marker.transaction_result { End::Commit } else { End::Abort };
        _ = self.append_marker(now, producer, &at, end, marker.coordinator_epoch);
        ErrorCode::NONE
    }
}
