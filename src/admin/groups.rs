//! Groups: listed over all brokers, described with their members' assignments, their committed offsets and lag.

use std::collections::BTreeMap;

use tokio::time::Instant;

use super::topics::{text, topic_name};
use super::{Admin, Outcomes};
use crate::cluster::Route;
use crate::error::{Error, ErrorKind, Result, Untrusted};
use crate::protocol::messages::consumer_protocol_assignment::ConsumerProtocolAssignment;
use crate::protocol::messages::delete_groups::DeleteGroupsRequest;
use crate::protocol::messages::describe_groups::{DescribeGroupsRequest, DescribedGroup, DescribedGroupMember};
use crate::protocol::messages::list_groups::ListGroupsRequest;
use crate::protocol::messages::offset_delete::{OffsetDeleteRequest, OffsetDeleteRequestPartition, OffsetDeleteRequestTopic};
use crate::protocol::messages::offset_fetch::{OffsetFetchRequest, OffsetFetchRequestGroup};
use crate::protocol::{ApiMessage as _, Cx, ErrorCode, GroupId, Reader, Wire as _};
use crate::record::{Topic, TopicPartition};

/// A group in a list.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct GroupListing {
    /// Its name.
    pub group_id: String,
    /// `consumer`, or what else its members agreed on; empty for a group that only has offsets.
    pub protocol_type: String,
    /// `Stable`, `Empty`, …; `None` from brokers before Kafka 2.6.
    pub state: Option<String>,
    /// `classic`, `consumer`, …; `None` from brokers before Kafka 3.8.
    pub group_type: Option<String>,
}

/// A group as described.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct GroupDescription {
    /// Its name.
    pub group_id: String,
    /// `Stable`, `PreparingRebalance`, `CompletingRebalance`, `Empty` or `Dead`.
    pub state: String,
    /// `consumer`, or what else its members agreed on.
    pub protocol_type: String,
    /// The assignor in use.
    pub protocol: String,
    /// The broker that coordinates it.
    pub coordinator: Option<i32>,
    /// Its members.
    pub members: Vec<GroupMember>,
}

/// A member of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct GroupMember {
    /// The id that the coordinator knows it by.
    pub member_id: String,
    /// `group.instance.id`, for a static member.
    pub instance_id: Option<String>,
    /// `client.id`.
    pub client_id: String,
    /// Where it connected from.
    pub host: String,
    /// The partitions it was given.
    pub assignment: Vec<TopicPartition>,
}

/// What a group has committed for a partition.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct GroupOffset {
    /// The partition.
    pub partition: TopicPartition,
    /// The offset of the next record that the group handles.
    pub committed: i64,
    /// The leader epoch that was committed with it.
    pub leader_epoch: Option<i32>,
    /// What the member said beside it.
    pub metadata: String,
}

impl Admin {
    /// All groups of all brokers, by name. A group that moves between brokers meanwhile is listed once.
    ///
    /// # Errors
    /// If a broker did not answer in time.
    ///
    /// # Cancel safety
    /// Nothing is changed by it.
    #[doc(alias = "groups")]
    pub async fn list_groups(&self) -> Result<Vec<GroupListing>> {
        let mut groups: BTreeMap<String, GroupListing> = BTreeMap::new();
        for broker in self.describe_cluster().await?.brokers {
            let response =
                self.cluster.request_until(ListGroupsRequest::default(), Route::Broker(broker.id), self.deadline()).await?;
            self.verdict(response.error_code, None, "groups can't be listed".to_owned())
                .map_err(|error| error.with_api("ListGroups").with_broker(broker.to_string()))?;
            for group in &response.groups {
                let given = |text: &str| (!text.is_empty()).then(|| printable(text));
                let listing = GroupListing {
                    group_id: group.group_id.0.as_str().to_owned(),
                    protocol_type: printable(group.protocol_type.as_str()),
                    state: given(group.group_state.as_str()),
                    group_type: given(group.group_type.as_str()),
                };
                groups.insert(listing.group_id.clone(), listing);
            }
        }
        Ok(groups.into_values().collect())
    }

    /// Describes groups; a result for each. A group that does not exist is described as `Dead`, as brokers before Kafka 4.0 do.
    ///
    /// # Errors
    /// As a whole only for a wrong name.
    ///
    /// # Cancel safety
    /// Nothing is changed by it.
    #[doc(alias = "describe_group")]
    pub async fn describe_groups(
        &self,
        groups: impl IntoIterator<Item = impl Into<String>>,
    ) -> Result<Outcomes<String, GroupDescription>> {
        let mut outcomes = Vec::new();
        for group in groups {
            let group: String = group.into();
            let result = self.describe_group(&group).await;
            outcomes.push((group, result));
        }
        Ok(outcomes)
    }

    async fn describe_group(&self, group: &str) -> Result<GroupDescription> {
        let deadline = self.deadline();
        let coordinator = self.cluster.coordinator(crate::cluster::CoordinatorType::Group, group, deadline).await?;
        let request = DescribeGroupsRequest { groups: vec![group_id(group)?], ..DescribeGroupsRequest::default() };
        let response = self.cluster.request_until(request, Route::Group(group.to_owned()), deadline).await?;
        let missing = || Error::new(ErrorKind::Decode, "the broker's answer leaves out the group").with_api("DescribeGroups");
        let answer = response.groups.into_iter().next().ok_or_else(missing)?;
        if answer.error_code == ErrorCode::GROUP_ID_NOT_FOUND {
            return Ok(describe(&DescribedGroup { group_state: crate::protocol::Str::truncated("Dead"), ..answer }, None));
        }
        self.verdict(answer.error_code, answer.error_message.as_ref(), format!("group {group} can't be described"))
            .map_err(|error| error.with_api("DescribeGroups").with_group(group))?;
        Ok(describe(&answer, Some(coordinator.id.0)))
    }

    /// Deletes groups and all that they have committed; a result for each.
    ///
    /// # Errors
    /// As a whole only for a wrong name. Of a group: `NON_EMPTY_GROUP` if it has members (stop them first), `GROUP_ID_NOT_FOUND` if
    /// there is none.
    ///
    /// # Cancel safety
    /// What was sent is not taken back: each group may be deleted or not.
    #[doc(alias = "delete_consumer_groups")]
    pub async fn delete_groups(&self, groups: impl IntoIterator<Item = impl Into<String>>) -> Result<Outcomes<String>> {
        let groups: Vec<String> = groups.into_iter().map(Into::into).collect();
        let ids = groups.iter().map(|group| group_id(group)).collect::<Result<Vec<_>>>()?;
        let deadline = self.deadline();
        let mut outcomes = Vec::new();
        // Each group may have a coordinator of its own.
        for (group, id) in groups.into_iter().zip(ids) {
            let result = self.delete_group(&group, id, deadline).await;
            outcomes.push((group, result));
        }
        Ok(outcomes)
    }

    async fn delete_group(&self, group: &str, id: GroupId, deadline: Instant) -> Result<()> {
        let request = DeleteGroupsRequest { groups_names: vec![id] };
        let response = self.cluster.request_until(request, Route::Group(group.to_owned()), deadline).await?;
        let missing = || Error::new(ErrorKind::Decode, "the broker's answer leaves out the group").with_api("DeleteGroups");
        let answer = response.results.into_iter().next().ok_or_else(missing)?;
        let what = match answer.error_code {
            ErrorCode::NON_EMPTY_GROUP => format!("group {group} was not deleted, for it has members: stop them first"),
            ErrorCode::GROUP_ID_NOT_FOUND => format!("group {group} was not deleted, for there is none of that name"),
            _ => format!("group {group} was not deleted"),
        };
        self.verdict(answer.error_code, answer.error_message.as_ref(), what)
            .map_err(|error| error.with_api("DeleteGroups").with_group(group))
    }

    /// Deletes what a group has committed for some partitions (Kafka 2.4 and later); a result for each.
    ///
    /// # Errors
    /// As a whole if the group does not exist, or is not one of consumers and has members. Of a partition:
    /// `GROUP_SUBSCRIBED_TO_TOPIC` if a member subscribes to its topic.
    ///
    /// # Cancel safety
    /// What was sent is not taken back: the offsets may be deleted.
    #[doc(alias = "delete_consumer_group_offsets")]
    pub async fn delete_group_offsets(
        &self,
        group: &str,
        partitions: impl IntoIterator<Item = TopicPartition>,
    ) -> Result<Outcomes<TopicPartition>> {
        let partitions: Vec<TopicPartition> = partitions.into_iter().collect();
        let mut topics: BTreeMap<&Topic, Vec<OffsetDeleteRequestPartition>> = BTreeMap::new();
        for partition in &partitions {
            let asked = OffsetDeleteRequestPartition { partition_index: partition.partition };
            topics.entry(&partition.topic).or_default().push(asked);
        }
        let topic = |(topic, partitions): (&Topic, _)| Ok(OffsetDeleteRequestTopic { name: topic_name(topic)?, partitions });
        let request =
            OffsetDeleteRequest { group_id: group_id(group)?, topics: topics.into_iter().map(topic).collect::<Result<_>>()? };
        let response = self.cluster.request_until(request, Route::Group(group.to_owned()), self.deadline()).await?;
        self.verdict(response.error_code, None, format!("offsets of group {group} were not deleted"))
            .map_err(|error| error.with_api("OffsetDelete").with_group(group))?;
        let outcome = |partition: TopicPartition| {
            let topic = response.topics.iter().find(|topic| topic.name.0.as_str() == partition.topic.as_str());
            let answer = topic.and_then(|topic| topic.partitions.iter().find(|one| one.partition_index == partition.partition));
            let result = match answer {
                Some(answer) => {
                    self.verdict(answer.error_code, None, format!("the offset of group {group} for {partition} was not deleted"))
                }
                None => Err(Error::new(ErrorKind::Decode, "the broker's answer leaves out the partition")),
            };
            let named =
                |error: Error| error.with_api("OffsetDelete").with_topic(&partition.topic).with_partition(partition.partition);
            let result = result.map_err(named);
            (partition, result)
        };
        Ok(partitions.into_iter().map(outcome).collect())
    }

    /// Everything that a group has committed, by partition; nothing for a group that does not exist.
    ///
    /// # Errors
    /// If the coordinator refused or did not answer in time.
    ///
    /// # Cancel safety
    /// Nothing is changed by it.
    #[doc(alias = "fetch_group_offsets")]
    pub async fn group_offsets(&self, group: &str) -> Result<Vec<GroupOffset>> {
        let id = group_id(group)?;
        // Version 10 names topics by id alone; names are what is wanted here.
        let request = move |version: i16| {
            if version >= 8 {
                let wanted = OffsetFetchRequestGroup { group_id: id.clone(), topics: None, ..OffsetFetchRequestGroup::default() };
                OffsetFetchRequest { groups: vec![wanted], topics: Some(Vec::new()), ..OffsetFetchRequest::default() }
            } else {
                OffsetFetchRequest { group_id: id.clone(), topics: None, ..OffsetFetchRequest::default() }
            }
        };
        let route = Route::Group(group.to_owned());
        let response = self.cluster.request_built_within(2..=9, request, route, self.deadline()).await?;
        let mut offsets = Vec::new();
        let mut take = |topic: &str, partition: i32, committed: i64, leader_epoch: i32, metadata: Option<&str>| {
            if committed >= 0 {
                offsets.push(GroupOffset {
                    partition: TopicPartition::new(topic, partition),
                    committed,
                    leader_epoch: (leader_epoch >= 0).then_some(leader_epoch),
                    metadata: metadata.unwrap_or_default().to_owned(),
                });
            }
        };
        let refused = |code: ErrorCode| {
            self.verdict(code, None, format!("offsets of group {group} can't be fetched"))
                .map_err(|error| error.with_api("OffsetFetch").with_group(group))
        };
        refused(response.error_code)?;
        for topic in &response.topics {
            for answer in &topic.partitions {
                refused(answer.error_code)?;
                let metadata = answer.metadata.as_ref().map(crate::protocol::Str::as_str);
                take(
                    topic.name.0.as_str(),
                    answer.partition_index,
                    answer.committed_offset,
                    answer.committed_leader_epoch,
                    metadata,
                );
            }
        }
        for answer in response.groups {
            refused(answer.error_code)?;
            for topic in &answer.topics {
                for answer in &topic.partitions {
                    refused(answer.error_code)?;
                    let metadata = answer.metadata.as_ref().map(crate::protocol::Str::as_str);
                    take(
                        topic.name.0.as_str(),
                        answer.partition_index,
                        answer.committed_offset,
                        answer.committed_leader_epoch,
                        metadata,
                    );
                }
            }
        }
        offsets.sort_by(|a, b| a.partition.cmp(&b.partition));
        Ok(offsets)
    }
}

fn group_id(group: &str) -> Result<GroupId> {
    if group.is_empty() {
        return Err(Error::from_code(ErrorCode::INVALID_GROUP_ID, "a group's name must not be empty"));
    }
    Ok(GroupId(text(group, "a group's name")?))
}

fn describe(group: &DescribedGroup, coordinator: Option<i32>) -> GroupDescription {
    let consumers = group.protocol_type.as_str() == "consumer";
    GroupDescription {
        group_id: group.group_id.0.as_str().to_owned(),
        state: printable(group.group_state.as_str()),
        protocol_type: printable(group.protocol_type.as_str()),
        protocol: printable(group.protocol_data.as_str()),
        coordinator,
        members: group.members.iter().map(|member| describe_member(member, consumers)).collect(),
    }
}

/// A member's assignment is written by another member: what can't be read counts as none.
fn describe_member(member: &DescribedGroupMember, consumers: bool) -> GroupMember {
    let mut assignment = Vec::new();
    if consumers {
        for topic in decode_assignment(&member.member_assignment).unwrap_or_default().assigned_partitions {
            assignment.extend(topic.partitions.iter().map(|partition| TopicPartition::new(topic.topic.0.as_str(), *partition)));
        }
    }
    assignment.sort();
    GroupMember {
        member_id: printable(member.member_id.as_str()),
        instance_id: member.group_instance_id.as_ref().map(|id| printable(id.as_str())),
        client_id: printable(member.client_id.as_str()),
        host: printable(member.client_host.as_str()),
        assignment,
    }
}

/// Text that brokers or other members gave, as it may be shown.
fn printable(text: &str) -> String {
    Untrusted(text).to_string()
}

/// The version comes first; a newer one is read as the newest known, as Kafka's own clients do.
fn decode_assignment(bytes: &bytes::Bytes) -> Option<ConsumerProtocolAssignment> {
    let head: [u8; 2] = *bytes.first_chunk()?;
    let version = i16::from_be_bytes(head).clamp(0, *ConsumerProtocolAssignment::VERSIONS.end());
    let body = bytes.slice(2..);
    let mut reader = Reader::new(&body);
    ConsumerProtocolAssignment::take(&mut reader, Cx { version, flexible: false, nullable: false }).ok()
}
