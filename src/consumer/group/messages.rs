//! Requests whose shape depends on the version that the broker speaks, and their answers in one shape.
//!
//! OffsetFetch asks for several groups from version 8 on, LeaveGroup for several members from version 3 on. Versions that name
//! topics by id (OffsetCommit and OffsetFetch 10) are not used: one topic without an id would spoil the request, names never do.

use std::collections::BTreeMap;
use std::time::Duration;

use super::leading::text;
use super::{GroupConfig, Request, Response};
use crate::consumer::offsets::OffsetAndMetadata;
use crate::protocol::messages::leave_group::{LeaveGroupRequest, LeaveGroupResponse, MemberIdentity};
use crate::protocol::messages::offset_commit::{
    OffsetCommitRequest, OffsetCommitRequestPartition, OffsetCommitRequestTopic, OffsetCommitResponse,
};
use crate::protocol::messages::offset_fetch::{
    OffsetFetchRequest, OffsetFetchRequestGroup, OffsetFetchRequestTopic, OffsetFetchRequestTopics, OffsetFetchResponse,
};
use crate::protocol::{ErrorCode, GroupId, Str, TopicName};
use crate::{Topic, TopicPartition};

/// The last version of OffsetCommit and OffsetFetch that names topics by name.
pub(crate) const LAST_WITH_NAMES: i16 = 9;
/// The last version of OffsetCommit that carries a retention time.
pub(crate) const LAST_WITH_RETENTION: i16 = 4;

/// LeaveGroup for one member.
pub(crate) fn leave(config: &GroupConfig, member_id: &str, reason: &str, version: i16) -> LeaveGroupRequest {
    let group_id = GroupId(text(&config.group_id));
    if version < 3 {
        return LeaveGroupRequest { group_id, member_id: text(member_id), members: Vec::new() };
    }
    let member = MemberIdentity {
        member_id: text(member_id),
        group_instance_id: config.instance_id.as_deref().map(text),
        reason: Some(text(reason)),
    };
    LeaveGroupRequest { group_id, member_id: Str::default(), members: vec![member] }
}

/// LeaveGroup's verdict, on the request or on its one member.
pub(crate) fn read_leave(response: &LeaveGroupResponse) -> Response {
    let of_member = response.members.first().map_or(ErrorCode::NONE, |member| member.error_code);
    Response::Leave(if response.error_code.is_ok() { of_member } else { response.error_code })
}

/// OffsetFetch of `partitions`, whose transactions must be finished (KIP-447; brokers before version 7 do not know the wish).
pub(crate) fn offset_fetch(config: &GroupConfig, partitions: &[TopicPartition], version: i16) -> OffsetFetchRequest {
    let group_id = GroupId(text(&config.group_id));
    let mut topics: BTreeMap<&Topic, Vec<i32>> = BTreeMap::new();
    for partition in partitions {
        topics.entry(&partition.topic).or_default().push(partition.partition);
    }
    let name = |topic: &Topic| TopicName(text(topic.as_str()));
    let require_stable = version >= 7;
    if version < 8 {
        let topics = topics.into_iter();
        let topics = topics.map(|(topic, partition_indexes)| OffsetFetchRequestTopic { name: name(topic), partition_indexes });
        return OffsetFetchRequest { group_id, topics: Some(topics.collect()), groups: Vec::new(), require_stable };
    }
    let topics = topics.into_iter().map(|(topic, partition_indexes)| OffsetFetchRequestTopics {
        name: name(topic),
        partition_indexes,
        ..Default::default()
    });
    let group = OffsetFetchRequestGroup { group_id, topics: Some(topics.collect()), member_id: None, member_epoch: -1 };
    OffsetFetchRequest { topics: Some(Vec::new()), groups: vec![group], require_stable, ..Default::default() }
}

/// OffsetFetch's answer; the one group in it is ours.
pub(crate) fn read_offset_fetch(response: &OffsetFetchResponse) -> Response {
    let stored = |topic: &TopicName, partition, offset, epoch, metadata: &Option<Str>| {
        let found = (offset >= 0).then(|| OffsetAndMetadata {
            offset,
            leader_epoch: Some(epoch).filter(|&epoch| epoch >= 0),
            metadata: metadata.as_ref().map(|text| text.as_str().to_owned()).unwrap_or_default(),
        });
        (TopicPartition::new(topic.0.as_str(), partition), found)
    };
    let mut partitions = Vec::new();
    for topic in &response.topics {
        for found in &topic.partitions {
            let epoch = found.committed_leader_epoch;
            let (partition, at) = stored(&topic.name, found.partition_index, found.committed_offset, epoch, &found.metadata);
            partitions.push((partition, found.error_code, at));
        }
    }
    let mut code = response.error_code;
    for group in &response.groups {
        code = group.error_code;
        for topic in &group.topics {
            for found in &topic.partitions {
                let epoch = found.committed_leader_epoch;
                let (partition, at) = stored(&topic.name, found.partition_index, found.committed_offset, epoch, &found.metadata);
                partitions.push((partition, found.error_code, at));
            }
        }
    }
    Response::OffsetFetch((code, partitions))
}

/// OffsetCommit as a member of `generation`.
pub(crate) fn offset_commit(
    config: &GroupConfig,
    generation: i32,
    member_id: &str,
    offsets: &BTreeMap<TopicPartition, OffsetAndMetadata>,
    version: i16,
) -> OffsetCommitRequest {
    let mut topics: BTreeMap<&Topic, Vec<OffsetCommitRequestPartition>> = BTreeMap::new();
    for (partition, at) in offsets {
        topics.entry(&partition.topic).or_default().push(OffsetCommitRequestPartition {
            partition_index: partition.partition,
            committed_offset: at.offset,
            committed_leader_epoch: at.leader_epoch.unwrap_or(-1),
            committed_metadata: Some(text(&at.metadata)),
        });
    }
    let topic = |(topic, partitions): (&Topic, _)| OffsetCommitRequestTopic {
        name: TopicName(text(topic.as_str())),
        partitions,
        ..Default::default()
    };
    let retention = config.offset_retention.filter(|_| version <= LAST_WITH_RETENTION);
    OffsetCommitRequest {
        group_id: GroupId(text(&config.group_id)),
        generation_id_or_member_epoch: generation,
        member_id: text(member_id),
        group_instance_id: config.instance_id.as_deref().map(text),
        retention_time_ms: retention.map_or(-1, milliseconds),
        topics: topics.into_iter().map(topic).collect(),
    }
}

/// OffsetCommit's verdicts.
pub(crate) fn read_offset_commit(response: &OffsetCommitResponse) -> Response {
    let topics = response.topics.iter();
    let partitions = topics.flat_map(|topic| {
        let name = Topic::from(topic.name.0.as_str());
        let partitions = topic.partitions.iter();
        partitions.map(move |partition| (TopicPartition::new(&name, partition.partition_index), partition.error_code))
    });
    Response::OffsetCommit(partitions.collect())
}

fn milliseconds(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}

impl Request {
    /// The API's name, for errors.
    pub(crate) fn api(&self) -> &'static str {
        match self {
            Self::Join(_) => "JoinGroup",
            Self::Sync(_) => "SyncGroup",
            Self::Heartbeat(_) => "Heartbeat",
            Self::Leave { .. } => "LeaveGroup",
            Self::OffsetFetch { .. } => "OffsetFetch",
            Self::OffsetCommit { .. } => "OffsetCommit",
        }
    }
}
