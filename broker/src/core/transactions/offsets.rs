//! TxnOffsetCommit: offsets that count once their transaction is committed.
//!
//! Kafka writes them to the group's partition of `__consumer_offsets`, which is part of the transaction, and they come into force with
//! the marker there. Here they wait in [`StagedOffsets`] for the same marker. There is no such topic, but each group still has its
//! partition of it, so that what transactions say of themselves looks the same.

use std::collections::BTreeMap;
use std::time::Instant;

use klamm::protocol::messages::txn_offset_commit::{
    TxnOffsetCommitRequest, TxnOffsetCommitRequestPartition, TxnOffsetCommitResponse, TxnOffsetCommitResponsePartition,
    TxnOffsetCommitResponseTopic,
};
use klamm::protocol::{ErrorCode, Str, Uuid};

use crate::core::groups::{Commit, Committed};
use crate::core::transactions::{End, Identity, TopicPartition};
use crate::core::{Call, Core, Outcome};

/// Where Kafka keeps offsets.
pub(crate) const OFFSETS_TOPIC: &str = "__consumer_offsets";

/// Its partitions (`offsets.topic.num.partitions`).
const OFFSETS_PARTITIONS: i32 = 50;

/// First version that gets TRANSACTION_ABORTABLE.
const ABORTABLE: i16 = 4;

/// First version that needs no AddOffsetsToTxn before it (KIP-890).
const ADDS_OFFSETS: i16 = 5;

/// First version with topic ids in place of names.
const TOPIC_IDS: i16 = 6;

/// The partition of `__consumer_offsets` that belongs to a group: by Java's hash of its name.
pub(crate) fn offsets_partition(group: &str) -> TopicPartition {
    let hash = group.encode_utf16().fold(0i32, |hash, unit| hash.wrapping_mul(31).wrapping_add(i32::from(unit)));
    (OFFSETS_TOPIC.to_owned(), hash.checked_abs().unwrap_or(0) % OFFSETS_PARTITIONS)
}

/// Group, topic and partition.
type Place = (String, String, i32);

/// Offsets that wait for the outcome of their transactions.
#[derive(Debug, Default)]
pub(crate) struct StagedOffsets {
    by_producer: BTreeMap<i64, BTreeMap<Place, Staged>>,
    /// How many there have been.
    count: u64,
}

/// One of them.
#[derive(Debug)]
struct Staged {
    committed: Committed,
    epoch: i16,
    /// Its place in the order of all.
    number: u64,
    /// The topic as it was then: one of the same name that came later has other offsets.
    topic_id: Uuid,
    /// Does an offset count by now that came after this one? Then that stays, for what was written last counts, not what ended last.
    is_overtaken: bool,
}

impl StagedOffsets {
    /// Does an offset for this wait?
    pub(crate) fn has_pending(&self, group: &str, topic: &str, partition: i32) -> bool {
        let place = (group.to_owned(), topic.to_owned(), partition);
        self.by_producer.values().any(|staged| staged.contains_key(&place))
    }

    /// Does anything of a group wait?
    pub(crate) fn has_pending_of(&self, group: &str) -> bool {
        self.by_producer.values().flat_map(BTreeMap::keys).any(|place| place.0 == group)
    }

    /// The group has committed this without a transaction.
    pub(crate) fn overtake(&mut self, group: &str, topic: &str, partition: i32) {
        if !self.by_producer.is_empty() {
            self.overtake_before(self.count, &(group.to_owned(), topic.to_owned(), partition));
        }
    }

    fn overtake_before(&mut self, number: u64, place: &Place) {
        for staged in self.by_producer.values_mut().filter_map(|staged| staged.get_mut(place)) {
            staged.is_overtaken |= staged.number < number;
        }
    }

    /// The group's offset for this was deleted.
    pub(crate) fn forget(&mut self, group: &str, topic: &str, partition: i32) {
        self.retain(|place| (place.0.as_str(), place.1.as_str(), place.2) != (group, topic, partition));
    }

    /// The group was deleted.
    pub(crate) fn forget_group(&mut self, group: &str) {
        self.retain(|place| place.0 != group);
    }

    fn retain(&mut self, keep: impl Fn(&Place) -> bool) {
        for staged in self.by_producer.values_mut() {
            staged.retain(|place, _| keep(place));
        }
        self.by_producer.retain(|_, staged| !staged.is_empty());
    }

    fn insert(&mut self, producer: Identity, place: Place, committed: Committed, topic_id: Uuid) {
        let staged = Staged { committed, epoch: producer.epoch, number: self.count, topic_id, is_overtaken: false };
        self.count += 1;
        self.by_producer.entry(producer.id).or_default().insert(place, staged);
    }

    /// Has this producer staged something in a partition of `__consumer_offsets`?
    fn is_open(&self, producer: Identity, partition: &TopicPartition) -> bool {
        let is_there =
            |(place, staged): (&Place, &Staged)| staged.epoch == producer.epoch && offsets_partition(&place.0) == *partition;
        self.by_producer.get(&producer.id).is_some_and(|staged| staged.iter().any(is_there))
    }

    /// Takes out what a producer has staged in a partition of `__consumer_offsets`.
    fn take(&mut self, producer_id: i64, partition: &TopicPartition) -> Vec<(Place, Staged)> {
        let Some(staged) = self.by_producer.get_mut(&producer_id) else { return Vec::new() };
        let (taken, kept) = std::mem::take(staged).into_iter().partition(|(place, _)| offsets_partition(&place.0) == *partition);
        let taken: BTreeMap<_, _> = taken;
        *staged = kept;
        if staged.is_empty() {
            self.by_producer.remove(&producer_id);
        }
        taken.into_iter().collect()
    }
}

impl Core {
    pub(in crate::core) fn txn_offset_commit(
        &mut self,
        now: Instant,
        call: &Call,
        request: TxnOffsetCommitRequest,
    ) -> Outcome<TxnOffsetCommitResponse> {
        let allowed = self.check_transactional_commit(now, call, &request);
        let by_id = call.version >= TOPIC_IDS;
        let group = request.group_id.as_str();
        let producer = Identity { id: request.producer_id.0, epoch: request.producer_epoch };
        let topics = request.topics.into_iter().map(|topic| {
            let name = self.topic_name(&topic.name, topic.topic_id, by_id);
            let partition = |partition: TxnOffsetCommitRequestPartition| {
                let partition_index = partition.partition_index;
                let staged = name.clone().and_then(|name| {
                    allowed?;
                    self.stage_offset(now, call, producer, group, name.as_str(), &partition)
                });
                TxnOffsetCommitResponsePartition { partition_index, error_code: staged.err().unwrap_or(ErrorCode::NONE) }
            };
            let partitions = topic.partitions.into_iter().map(partition).collect();
            TxnOffsetCommitResponseTopic { name: topic.name, topic_id: topic.topic_id, partitions }
        });
        let topics = topics.collect();
        Outcome::Reply(TxnOffsetCommitResponse { topics, ..Default::default() })
    }

    fn check_transactional_commit(
        &mut self,
        now: Instant,
        call: &Call,
        request: &TxnOffsetCommitRequest,
    ) -> Result<(), ErrorCode> {
        let name = request.group_id.as_str();
        self.check_group(call, name)?;
        self.admit_offsets(now, call, request)?;
        let generation = request.generation_id_or_member_epoch;
        let (member, instance) = (&request.member_id, request.group_instance_id.as_ref());
        self.groups.check_commit(now, name, (member, instance, generation), Commit::Transactional)
    }

    /// Are the group's offsets in the producer's transaction? Newer clients leave it to us to add them.
    fn admit_offsets(&mut self, now: Instant, call: &Call, request: &TxnOffsetCommitRequest) -> Result<(), ErrorCode> {
        let producer = Identity { id: request.producer_id.0, epoch: request.producer_epoch };
        let (id, partition) = (request.transactional_id.as_str(), offsets_partition(request.group_id.as_str()));
        if self.transactions.staged.is_open(producer, &partition) {
            return Ok(());
        }
        let admitted = self.admit(now, id, producer, partition, call.version >= ADDS_OFFSETS);
        admitted.map_err(|code| match code {
            ErrorCode::TRANSACTION_ABORTABLE if call.version < ABORTABLE => ErrorCode::INVALID_TXN_STATE,
            code => code,
        })
    }

    fn stage_offset(
        &mut self,
        now: Instant,
        call: &Call,
        producer: Identity,
        group: &str,
        topic: &str,
        partition: &TxnOffsetCommitRequestPartition,
    ) -> Result<(), ErrorCode> {
        let index = partition.partition_index;
        if let Some(code) = call.refusal(topic, index) {
            return Err(code);
        }
        let known = self.topics.get(topic).filter(|_| self.topics.partition(topic, index).is_some());
        let topic_id = known.ok_or(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION)?.id;
        let metadata = partition.committed_metadata.as_ref().map(Str::detached).unwrap_or_default();
        if metadata.as_bytes().len() > self.settings.offset_metadata_max_bytes {
            return Err(ErrorCode::OFFSET_METADATA_TOO_LARGE);
        }
        let (offset, leader_epoch) = (partition.committed_offset, partition.committed_leader_epoch);
        let committed = Committed::new(now, offset, leader_epoch, metadata);
        self.groups.get_or_create(group);
        self.transactions.staged.insert(producer, (group.to_owned(), topic.to_owned(), index), committed, topic_id);
        Ok(())
    }

    /// A marker has come to a partition of `__consumer_offsets`: what its producer staged there comes into force, or goes.
    pub(super) fn end_offsets(&mut self, producer_id: i64, partition: &TopicPartition, end: End) {
        for (place, staged) in self.transactions.staged.take(producer_id, partition) {
            let is_there = self.topics.get(&place.1).is_some_and(|topic| topic.id == staged.topic_id);
            if end == End::Commit && is_there && !staged.is_overtaken {
                self.transactions.staged.overtake_before(staged.number, &place);
                let (group, topic, index) = place;
                self.groups.get_or_create(&group).offsets.insert((topic, index), staged.committed);
            }
        }
    }
}
