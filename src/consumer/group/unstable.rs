//! What a group's leader reads and decides, for fuzz targets.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;

use crate::consumer::assignor::{Assignor, Subscription};
use crate::consumer::group::leading;
use crate::protocol::messages::join_group::JoinGroupResponseMember;
use crate::{Result, Topic, TopicPartition};

/// A member's subscription as far as it can be read.
pub fn read_subscription(bytes: &Bytes) -> Subscription {
    leading::read_subscription(bytes)
}

/// The bytes of a member's own subscription.
pub fn write_subscription(subscription: &Subscription) -> Bytes {
    leading::write_subscription(subscription)
}

/// What the leader assigned.
///
/// # Errors
/// If it cannot be read.
pub fn read_assignment(bytes: &Bytes) -> Result<BTreeSet<TopicPartition>> {
    leading::read_assignment(bytes)
}

/// The bytes of one member's part.
pub fn write_assignment(partitions: &[TopicPartition]) -> Bytes {
    leading::write_assignment(partitions)
}

/// Leads a generation: reads what members said, runs the assignor, writes what each gets.
///
/// # Errors
/// If the assignor fails, or gives out what no member could take.
pub fn lead(
    assignor: &dyn Assignor,
    topics: &BTreeMap<Topic, i32>,
    members: &[JoinGroupResponseMember],
) -> Result<BTreeMap<String, Bytes>> {
    let parts = leading::assign(assignor, topics, &leading::read_members(members))?;
    Ok(parts.into_iter().map(|part| (part.member_id.as_str().to_owned(), part.assignment)).collect())
}
