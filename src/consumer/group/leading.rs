//! What the leader of a generation does: read the members' subscriptions, run the assignor, write the assignments; and the same
//! bytes from a member's side. The layouts are ConsumerProtocolSubscription and ConsumerProtocolAssignment, behind a version.
//!
//! Subscriptions come from strangers. A claim that cannot be read costs its member the claim, a subscription that cannot be read
//! costs it its partitions; neither costs the group its leader. A version above ours is read as ours: later ones only append.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};

use bytes::{BufMut, Bytes, BytesMut};

use crate::consumer::assignor::{Assignor, MemberId, Subscription};
use crate::consumer::processing::panic_words;
use crate::protocol::messages::consumer_protocol_assignment::{ConsumerProtocolAssignment, TopicPartition as AssignedTopic};
use crate::protocol::messages::consumer_protocol_subscription::{ConsumerProtocolSubscription, TopicPartition as OwnedTopic};
use crate::protocol::messages::join_group::JoinGroupResponseMember;
use crate::protocol::messages::sync_group::SyncGroupRequestAssignment;
use crate::protocol::{ApiMessage, Cx, DecodeError, DecodeErrorKind, Reader, Str, TopicName, Wire, Writer};
use crate::{Error, ErrorKind, Result, Topic, TopicPartition};

/// The protocol's text for ours. Names were checked against their limits; of free text that is too long the start goes out.
pub(super) fn text(text: &str) -> Str {
    Str::truncated(text)
}

/// The bytes of a member's own subscription: topics and partitions in order, as Java writes them.
pub(super) fn write_subscription(subscription: &Subscription) -> Bytes {
    let topics: BTreeSet<&Topic> = subscription.topics.iter().collect();
    let owned = by_topic(subscription.owned_partitions.iter());
    let message = ConsumerProtocolSubscription {
        topics: topics.into_iter().map(|topic| text(topic.as_str())).collect(),
        user_data: subscription.user_data.clone(),
        owned_partitions: owned.into_iter().map(|(topic, partitions)| OwnedTopic { topic, partitions }).collect(),
        generation_id: subscription.generation.unwrap_or(-1),
        rack_id: subscription.rack.as_deref().map(text),
    };
    write(&message)
}

/// Reads a member's subscription as far as it can be read.
pub(super) fn read_subscription(bytes: &Bytes) -> Subscription {
    let whole = read::<ConsumerProtocolSubscription>(bytes, None);
    // Version 0 is the part before the claims.
    let Ok(message) = whole.or_else(|_| read::<ConsumerProtocolSubscription>(bytes, Some(0))) else {
        return Subscription::default();
    };
    let owned = message.owned_partitions.iter();
    let owned = owned.flat_map(|owned| {
        let topic = Topic::from(owned.topic.0.as_str());
        owned.partitions.iter().map(move |&partition| TopicPartition::new(&topic, partition))
    });
    Subscription {
        topics: message.topics.iter().map(|topic| Topic::from(topic.as_str())).collect(),
        user_data: message.user_data.clone(),
        owned_partitions: owned.collect(),
        generation: Some(message.generation_id).filter(|&generation| generation >= 0),
        rack: message.rack_id.as_ref().map(|rack| rack.as_str().to_owned()),
        instance_id: None,
    }
}

/// The bytes of one member's part.
pub(super) fn write_assignment(partitions: &[TopicPartition]) -> Bytes {
    let topics = by_topic(partitions.iter()).into_iter();
    let assigned_partitions = topics.map(|(topic, partitions)| AssignedTopic { topic, partitions }).collect();
    write(&ConsumerProtocolAssignment { assigned_partitions, user_data: None })
}

/// Reads what the leader assigned. No bytes at all mean nothing assigned.
pub(super) fn read_assignment(bytes: &Bytes) -> Result<BTreeSet<TopicPartition>> {
    if bytes.is_empty() {
        return Ok(BTreeSet::new());
    }
    let message = read::<ConsumerProtocolAssignment>(bytes, None).map_err(|error| {
        let message = "the group's leader sent an assignment that cannot be read; is it a client with an assignor of its own?";
        Error::new(ErrorKind::Decode, message).with_api("SyncGroup").with_source(error)
    })?;
    let topics = message.assigned_partitions.iter();
    let partitions = topics.flat_map(|assigned| {
        let topic = Topic::from(assigned.topic.0.as_str());
        assigned.partitions.iter().map(move |&partition| TopicPartition::new(&topic, partition))
    });
    Ok(partitions.filter(|partition| partition.partition >= 0).collect())
}

/// The members of a generation as an assignor sees them.
pub(super) fn read_members(members: &[JoinGroupResponseMember]) -> BTreeMap<MemberId, Subscription> {
    let read = |member: &JoinGroupResponseMember| {
        let instance_id = member.group_instance_id.as_ref().map(|id| id.as_str().to_owned());
        let subscription = Subscription { instance_id, ..read_subscription(&member.metadata) };
        (member.member_id.as_str().to_owned(), subscription)
    };
    members.iter().map(read).collect()
}

/// Runs the assignor and writes what each member gets; members it forgot get nothing, others are not heard of.
///
/// # Errors
/// If the assignor fails or panics, or gives out what no member could take: the group would rebalance for ever, or two members would
/// read the same partition.
pub(crate) fn assign(
    assignor: &dyn Assignor,
    topics: &BTreeMap<Topic, i32>,
    members: &BTreeMap<MemberId, Subscription>,
) -> Result<Vec<SyncGroupRequestAssignment>> {
    let wanted: BTreeSet<&Topic> = members.values().flat_map(|member| &member.topics).collect();
    let there = topics.iter().filter(|(topic, partitions)| **partitions > 0 && wanted.contains(topic));
    let there = there.map(|(topic, &partitions)| (topic.clone(), partitions)).collect();
    let mut assignment = contain(assignor, "assign the group's partitions", || assignor.assign(&there, members))?;
    if let Some(wrong) = wrong(&assignment, &there, members) {
        return Err(failed(assignor, "assign the group's partitions").with_source(wrong));
    }
    let part = |member: &MemberId| SyncGroupRequestAssignment {
        member_id: text(member),
        assignment: write_assignment(&assignment.remove(member).unwrap_or_default()),
    };
    Ok(members.keys().map(part).collect())
}

/// Calls an assignor, which may be the user's; its panic is an error as any other.
pub(super) fn contain<T>(assignor: &dyn Assignor, what: &str, call: impl FnOnce() -> Result<T>) -> Result<T> {
    match catch_unwind(AssertUnwindSafe(call)) {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(failed(assignor, what).with_source(error)),
        Err(panic) => Err(failed(assignor, what).with_source(format!("it panicked: {}", panic_words(&*panic)))),
    }
}

fn failed(assignor: &dyn Assignor, what: &str) -> Error {
    Error::new(ErrorKind::Processing, format!("the assignor {:?} failed to {what}", assignor.name())).with_fatal(true)
}

/// What of an assignment cannot be.
fn wrong(
    assignment: &BTreeMap<MemberId, Vec<TopicPartition>>,
    topics: &BTreeMap<Topic, i32>,
    members: &BTreeMap<MemberId, Subscription>,
) -> Option<String> {
    let mut owners: BTreeMap<&TopicPartition, &MemberId> = BTreeMap::new();
    for (member, partitions) in assignment {
        let Some(subscription) = members.get(member) else { continue };
        let wants: BTreeSet<&Topic> = subscription.topics.iter().collect();
        for partition in partitions {
            if !topics.get(&partition.topic).is_some_and(|count| (0..*count).contains(&partition.partition)) {
                return Some(format!("it gave {partition} to member {member}, and there is no such partition"));
            }
            if !wants.contains(&partition.topic) {
                return Some(format!("it gave {partition} to member {member}, which does not subscribe to the topic"));
            }
            if let Some(other) = owners.insert(partition, member).filter(|other| *other != member) {
                return Some(format!("it gave {partition} to two members, {other} and {member}"));
            }
        }
    }
    None
}

fn by_topic<'a>(partitions: impl Iterator<Item = &'a TopicPartition>) -> BTreeMap<TopicName, Vec<i32>> {
    let sorted: BTreeSet<&TopicPartition> = partitions.collect();
    let mut topics: BTreeMap<TopicName, Vec<i32>> = BTreeMap::new();
    for partition in sorted {
        topics.entry(TopicName(text(partition.topic.as_str()))).or_default().push(partition.partition);
    }
    topics
}

fn write<M: ApiMessage>(message: &M) -> Bytes {
    let version = *M::VERSIONS.end();
    let mut writer = Writer::with_capacity(message.encoded_len(version));
    message.encode(version, &mut writer);
    let mut bytes = BytesMut::new();
    bytes.put_i16(version);
    writer.finish().iter().for_each(|part| bytes.extend_from_slice(part));
    bytes.freeze()
}

fn read<M: ApiMessage>(bytes: &Bytes, version: Option<i16>) -> Result<M, DecodeError> {
    let mut reader = Reader::new(bytes);
    let written = i16::take(&mut reader, Cx { version: 0, flexible: false, nullable: false })?;
    if written < *M::VERSIONS.start() {
        return Err(reader.error(DecodeErrorKind::UnsupportedVersion(written)));
    }
    let version = version.unwrap_or(written).min(*M::VERSIONS.end());
    M::take(&mut reader, Cx { version, flexible: false, nullable: false })
}
