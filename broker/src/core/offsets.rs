//! OffsetCommit and OffsetFetch: what groups have read.
//!
//! Offsets are kept under topic names, also when they come with ids, and go when their topic is deleted.

use std::time::Instant;

use klamm::protocol::messages::offset_commit::{
    OffsetCommitRequest, OffsetCommitRequestPartition, OffsetCommitResponse, OffsetCommitResponsePartition,
    OffsetCommitResponseTopic,
};
use klamm::protocol::messages::offset_fetch::{
    OffsetFetchRequest, OffsetFetchRequestGroup, OffsetFetchRequestTopics, OffsetFetchResponse, OffsetFetchResponseGroup,
    OffsetFetchResponsePartition, OffsetFetchResponsePartitions, OffsetFetchResponseTopic, OffsetFetchResponseTopics,
};
use klamm::protocol::{ErrorCode, Str, Uuid};

use crate::core::groups::{Commit, Committed, Group};
use crate::core::{Call, Core, Outcome};

/// First version of OffsetCommit that says when there is no such group.
const GROUP_UNKNOWN: i16 = 9;

/// First version with topic ids in place of names.
const TOPIC_IDS: i16 = 10;

impl Core {
    pub(super) fn offset_commit(
        &mut self,
        now: Instant,
        call: &Call,
        request: OffsetCommitRequest,
    ) -> Outcome<OffsetCommitResponse> {
        let allowed = self.check_commit(now, call, &request);
        let by_id = call.version >= TOPIC_IDS;
        let (group, kept_for) = (request.group_id.as_str(), request.retention_time_ms);
        let topics = request.topics.into_iter().map(|topic| {
            let name = self.topic_name(&topic.name, topic.topic_id, by_id);
            let partition = |partition: OffsetCommitRequestPartition| {
                let index = partition.partition_index;
                let committed = name.clone().and_then(|name| {
                    let committed = self.committed(now, call, name.as_str(), &partition)?;
                    // What is not there is told first: in Kafka the coordinator is not asked about it.
                    allowed?;
                    self.commit(group, (name.as_str().to_owned(), index), committed.kept_for(kept_for))
                });
                let error_code = committed.err().unwrap_or(ErrorCode::NONE);
                OffsetCommitResponsePartition { partition_index: index, error_code }
            };
            let partitions = topic.partitions.into_iter().map(partition).collect();
            OffsetCommitResponseTopic { name: topic.name, topic_id: topic.topic_id, partitions }
        });
        let topics = topics.collect();
        Outcome::Reply(OffsetCommitResponse { topics, ..Default::default() })
    }

    /// May this client commit for the group? Old clients may leave out its name.
    fn check_commit(&mut self, now: Instant, call: &Call, request: &OffsetCommitRequest) -> Result<(), ErrorCode> {
        let name = request.group_id.as_str();
        self.check_coordinator(call, name)?;
        let is_unknown = self.groups.get(name).is_none();
        let member = (&request.member_id, request.group_instance_id.as_ref(), request.generation_id_or_member_epoch);
        let checked = self.groups.check_commit(now, name, member, Commit::Plain);
        match checked {
            // Since members may be told so (KIP-848).
            Err(_) if is_unknown && call.version >= GROUP_UNKNOWN => Err(ErrorCode::GROUP_ID_NOT_FOUND),
            checked => checked,
        }
    }

    /// What is to be committed, if that can be.
    fn committed(
        &self,
        now: Instant,
        call: &Call,
        topic: &str,
        partition: &OffsetCommitRequestPartition,
    ) -> Result<Committed, ErrorCode> {
        let index = partition.partition_index;
        if let Some(code) = call.refusal(topic, index) {
            return Err(code);
        }
        if self.topics.partition(topic, index).is_none() {
            return Err(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);
        }
        let metadata = partition.committed_metadata.as_ref().map(Str::detached).unwrap_or_default();
        Ok(Committed::new(now, partition.committed_offset, partition.committed_leader_epoch, metadata))
    }

    fn commit(&mut self, group: &str, partition: (String, i32), committed: Committed) -> Result<(), ErrorCode> {
        if committed.metadata.as_bytes().len() > self.settings.offset_metadata_max_bytes {
            return Err(ErrorCode::OFFSET_METADATA_TOO_LARGE);
        }
        self.transactions.staged.overtake(group, &partition.0, partition.1);
        self.groups.get_or_create(group).offsets.insert(partition, committed);
        Ok(())
    }

    pub(super) fn offset_fetch(&mut self, _: Instant, call: &Call, request: OffsetFetchRequest) -> Outcome<OffsetFetchResponse> {
        if call.version >= 8 {
            let groups = request.groups.iter().map(|asked| self.offsets_of_group(call, asked, request.require_stable)).collect();
            return Outcome::Reply(OffsetFetchResponse { groups, ..Default::default() });
        }
        // One group, and everything one level higher.
        let topics = request.topics.map(|topics| {
            topics.into_iter().map(|topic| OffsetFetchRequestTopics {
                name: topic.name,
                topic_id: Uuid::ZERO,
                partition_indexes: topic.partition_indexes,
            })
        });
        let asked =
            OffsetFetchRequestGroup { group_id: request.group_id, topics: topics.map(Iterator::collect), ..Default::default() };
        let OffsetFetchResponseGroup { topics, error_code, .. } = self.offsets_of_group(call, &asked, request.require_stable);
        if call.version < 2 && error_code != ErrorCode::NONE {
            // There is no place for an error but at the partitions.
            let topics = asked.topics.into_iter().flatten().map(|topic| OffsetFetchResponseTopic {
                name: topic.name,
                partitions: topic
                    .partition_indexes
                    .iter()
                    .map(|index| of_version_7(offset_of(*index, None, error_code)))
                    .collect(),
            });
            return Outcome::Reply(OffsetFetchResponse { topics: topics.collect(), ..Default::default() });
        }
        let topics = topics.into_iter().map(|topic| OffsetFetchResponseTopic {
            name: topic.name,
            partitions: topic.partitions.into_iter().map(of_version_7).collect(),
        });
        Outcome::Reply(OffsetFetchResponse { topics: topics.collect(), error_code, ..Default::default() })
    }

    /// `stable`: what a transaction may change soon is not told.
    fn offsets_of_group(&self, call: &Call, asked: &OffsetFetchRequestGroup, stable: bool) -> OffsetFetchResponseGroup {
        let group_id = asked.group_id.clone();
        // Old clients may leave out the group's name.
        if let Err(error_code) = self.check_coordinator(call, group_id.as_str()) {
            return OffsetFetchResponseGroup { group_id, error_code, topics: Vec::new() };
        }
        let group = self.groups.get(group_id.as_str());
        let is_unstable = |topic: &str, index| stable && self.transactions.staged.has_pending(group_id.as_str(), topic, index);
        let topics = match &asked.topics {
            None => self.all_offsets(group, is_unstable),
            Some(topics) => topics.iter().map(|topic| self.offsets_of_topic(call, group, topic, is_unstable)).collect(),
        };
        OffsetFetchResponseGroup { group_id, topics, error_code: ErrorCode::NONE }
    }

    fn offsets_of_topic(
        &self,
        call: &Call,
        group: Option<&Group>,
        asked: &OffsetFetchRequestTopics,
        is_unstable: impl Fn(&str, i32) -> bool,
    ) -> OffsetFetchResponseTopics {
        let by_id = call.version >= TOPIC_IDS;
        let name = match self.topic_name(&asked.name, asked.topic_id, by_id) {
            Ok(name) => Ok(name),
            Err(code) if by_id => Err(code),
            // What has no such name has no offset either.
            Err(_) => Ok(asked.name.clone()),
        };
        let partition = |index: &i32| match &name {
            Ok(name) => {
                let committed = group.and_then(|group| group.offsets.get(&(name.as_str().to_owned(), *index)));
                match call.refusal(name.as_str(), *index) {
                    Some(code) => offset_of(*index, None, code),
                    None if is_unstable(name.as_str(), *index) => offset_of(*index, None, ErrorCode::UNSTABLE_OFFSET_COMMIT),
                    None => offset_of(*index, committed, ErrorCode::NONE),
                }
            }
            Err(code) => offset_of(*index, None, *code),
        };
        let partitions = asked.partition_indexes.iter().map(partition).collect();
        OffsetFetchResponseTopics { name: asked.name.clone(), topic_id: asked.topic_id, partitions }
    }

    fn all_offsets(&self, group: Option<&Group>, is_unstable: impl Fn(&str, i32) -> bool) -> Vec<OffsetFetchResponseTopics> {
        let mut topics: Vec<OffsetFetchResponseTopics> = Vec::new();
        // Sorted by topic, so those of one stand together.
        for ((name, index), committed) in group.into_iter().flat_map(|group| &group.offsets) {
            let Some(topic) = self.topics.get(name) else { continue };
            if topics.last().is_none_or(|last| last.name != topic.name) {
                let (name, topic_id) = (topic.name.clone(), topic.id);
                topics.push(OffsetFetchResponseTopics { name, topic_id, partitions: Vec::new() });
            }
            if let Some(last) = topics.last_mut() {
                last.partitions.push(match is_unstable(name, *index) {
                    true => offset_of(*index, None, ErrorCode::UNSTABLE_OFFSET_COMMIT),
                    false => offset_of(*index, Some(committed), ErrorCode::NONE),
                });
            }
        }
        topics
    }
}

fn offset_of(partition_index: i32, committed: Option<&Committed>, error_code: ErrorCode) -> OffsetFetchResponsePartitions {
    OffsetFetchResponsePartitions {
        partition_index,
        committed_offset: committed.map_or(-1, |committed| committed.offset),
        committed_leader_epoch: committed.map_or(-1, |committed| committed.leader_epoch),
        metadata: Some(committed.map(|committed| committed.metadata.clone()).unwrap_or_default()),
        error_code,
    }
}

/// The same before groups were put together in one request.
fn of_version_7(partition: OffsetFetchResponsePartitions) -> OffsetFetchResponsePartition {
    let OffsetFetchResponsePartitions { partition_index, committed_offset, committed_leader_epoch, metadata, error_code } =
        partition;
    OffsetFetchResponsePartition { partition_index, committed_offset, committed_leader_epoch, metadata, error_code }
}
