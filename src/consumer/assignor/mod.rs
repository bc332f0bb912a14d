//! Who in a group gets which partitions: the strategies that the leader of a classic group chooses from.
//!
//! A member offers its assignors with the JoinGroup request, most wanted first; the coordinator picks one that all members know,
//! and names a leader, who runs it over everybody's subscriptions and sends each member its part with SyncGroup. Members may be
//! other clients: names, subscription bytes and results are therefore those of Kafka's Java client, whichever side leads.
//!
//! An assignor sees what other members say about themselves, so nothing in it may be trusted: duplicate or unknown partitions,
//! claims to what others own, and user data of any content must end in a total assignment, never in a panic or a long loop.
//! Everything here is deterministic: maps are ordered.

use std::collections::BTreeMap;
use std::fmt;

use bytes::Bytes;

use crate::{Result, Topic, TopicPartition};

mod cooperative;
mod range;
mod round_robin;
mod sticky;
#[cfg(test)]
mod tests;

pub use cooperative::CooperativeStickyAssignor;
pub use range::RangeAssignor;
pub use round_robin::RoundRobinAssignor;

/// How members give partitions away during a rebalance (KIP-429).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RebalanceProtocol {
    /// Everything is given away before the join; what was assigned comes back with the new assignment.
    Eager,
    /// Partitions are kept and read during the join; only those that move are given away after it, with a second join.
    Cooperative,
}

/// What one member says about itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Subscription {
    /// The topics it wants.
    pub topics: Vec<Topic>,
    /// What its assignor added.
    pub user_data: Option<Bytes>,
    /// The partitions it owns; empty for eager assignors.
    pub owned_partitions: Vec<TopicPartition>,
    /// The generation in which it got them; `None` if it did not say.
    pub generation: Option<i32>,
    /// The rack it runs in.
    pub rack: Option<String>,
    /// Its name across restarts, of a static member (KIP-345).
    pub instance_id: Option<String>,
}

/// A member's id, given by the coordinator.
pub type MemberId = String;

/// A strategy to spread the partitions of a group's topics over its members; [`ConsumerBuilder::assignors`] takes one's own.
///
/// All members of a group must offer it under the same name. Each adds what it knows of itself as [`user_data`](Self::user_data); the
/// one that leads sees that of all in [`assign`](Self::assign). An assignor that fails, panics, or gives out what cannot be (a
/// partition to two members, or to one that does not subscribe to its topic) makes that member fail with
/// [`ErrorKind::Processing`](crate::ErrorKind::Processing); nothing else is harmed.
///
/// ```
/// use std::collections::BTreeMap;
/// use std::sync::Arc;
///
/// use bytes::Bytes;
/// use klamm::consumer::assignor::{Assignor, MemberId, Subscription};
/// use klamm::{Client, Result, Topic, TopicPartition};
///
/// /// Everything to the member on the largest machine; the others stand by.
/// #[derive(Debug)]
/// struct Largest {
///     cores: u32,
/// }
///
/// impl Assignor for Largest {
///     fn name(&self) -> &str {
///         "largest"
///     }
///
///     fn user_data(&self, _: &[Topic], _: &[TopicPartition], _: Option<i32>) -> Option<Bytes> {
///         Some(self.cores.to_string().into())
///     }
///
///     fn assign(
///         &self,
///         topics: &BTreeMap<Topic, i32>,
///         members: &BTreeMap<MemberId, Subscription>,
///     ) -> Result<BTreeMap<MemberId, Vec<TopicPartition>>> {
///         // Written by others: anything may stand there, or nothing.
///         let cores = |member: &Subscription| {
///             let text = std::str::from_utf8(member.user_data.as_deref()?).ok()?;
///             text.parse::<u32>().ok()
///         };
///         let mut assignment: BTreeMap<MemberId, Vec<TopicPartition>> = BTreeMap::new();
///         for (topic, partitions) in topics {
///             let subscribed = members.iter().filter(|(_, member)| member.topics.contains(topic));
///             let Some((largest, _)) = subscribed.max_by_key(|(_, member)| cores(member)) else { continue };
///             let all = (0..*partitions).map(|partition| TopicPartition::new(topic, partition));
///             assignment.entry(largest.clone()).or_default().extend(all);
///         }
///         Ok(assignment)
///     }
/// }
///
/// fn consumer(client: &Client) -> Result<klamm::consumer::Consumer> {
///     client.consumer("billing").topics(["orders"]).assignors([Arc::new(Largest { cores: 16 }) as _]).build()
/// }
/// ```
///
/// [`ConsumerBuilder::assignors`]: crate::consumer::ConsumerBuilder::assignors
pub trait Assignor: Send + Sync + fmt::Debug + 'static {
    /// The name members agree on.
    fn name(&self) -> &str;

    /// How its members give partitions away.
    fn protocol(&self) -> RebalanceProtocol {
        RebalanceProtocol::Eager
    }

    /// What this member adds to its subscription. `owned` are the partitions it holds, got in `generation`. Called each time it joins,
    /// by the task that sends its heartbeats: it must not take long.
    fn user_data(&self, topics: &[Topic], owned: &[TopicPartition], generation: Option<i32>) -> Option<Bytes> {
        let _ = (topics, owned, generation);
        None
    }

    /// Spreads the partitions: `topics` has the number of partitions of each topic that exists, `members` what each member said.
    /// A member without an entry in the answer gets nothing; entries for others are ignored. Called in the member that leads, on a
    /// thread of the runtime's blocking pool; the whole group waits for it.
    ///
    /// A [cooperative](RebalanceProtocol::Cooperative) one must give a partition to nobody as long as a member that is not to have it any
    /// more says that it owns it: that member gives it away and joins again, and then it is free.
    ///
    /// # Errors
    /// If it cannot be done; the member that leads then fails with an error that has this one as its source.
    fn assign(
        &self,
        topics: &BTreeMap<Topic, i32>,
        members: &BTreeMap<MemberId, Subscription>,
    ) -> Result<BTreeMap<MemberId, Vec<TopicPartition>>>;
}

/// Members in the order in which Kafka's assignors count them: static ones by instance id, then the others by member id.
fn in_order(members: &BTreeMap<MemberId, Subscription>) -> Vec<(&MemberId, &Subscription)> {
    let mut order: Vec<_> = members.iter().collect();
    order.sort_by_key(|(_, subscription)| (subscription.instance_id.is_none(), subscription.instance_id.as_deref()));
    order
}
