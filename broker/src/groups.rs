//! The part of the handle that looks at groups and meddles with them.

use klamm::protocol::Str;

use crate::Broker;
use crate::core::{Classic, Committed, Group, Member};

/// A member of a group, as [`Broker::group_members`] shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct GroupMember {
    /// The id the coordinator gave it.
    pub member_id: String,
    /// Its name, if it is a static member.
    pub instance_id: Option<String>,
    /// Its client's name for itself.
    pub client_id: String,
    /// What the leader gave it: a `ConsumerProtocolAssignment` behind its version, for consumers.
    pub assignment: bytes::Bytes,
    /// Does it lead the group?
    pub leads: bool,
}

/// What a group has committed for a partition.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CommittedOffset {
    /// The next offset to read.
    pub offset: i64,
    /// Epoch of the last record read; -1 if the client did not say.
    pub leader_epoch: i32,
    /// The client's own words.
    pub metadata: String,
}

impl Broker {
    fn group<T>(&self, group: &str, look: impl FnOnce(&Group) -> T) -> Option<T> {
        self.shared().look(|core| core.group(group).map(look))
    }

    fn classic_group<T>(&self, group: &str, look: impl FnOnce(&Classic) -> T) -> Option<T> {
        self.group(group, |group| group.classic().map(look)).flatten()
    }

    /// The state of a group as Kafka's tools name it: `Empty`, `PreparingRebalance`, `CompletingRebalance`, `Stable`; `None` if
    /// there is no such group.
    pub fn group_state(&self, group: &str) -> Option<&'static str> {
        self.group(group, Group::state_name)
    }

    /// A group's generation, which grows by one with each rebalance; 0 if there was none.
    pub fn group_generation(&self, group: &str) -> i32 {
        self.classic_group(group, |group| group.generation).unwrap_or(0)
    }

    /// The assignor that a group's members agreed on.
    pub fn group_protocol(&self, group: &str) -> Option<String> {
        self.classic_group(group, |group| group.protocol.as_ref().map(Str::to_string)).flatten()
    }

    /// The members of a group, sorted by id.
    pub fn group_members(&self, group: &str) -> Vec<GroupMember> {
        let members = |group: &Classic| {
            let member = |(id, member): (&Str, &Member)| GroupMember {
                member_id: id.to_string(),
                instance_id: member.instance_id.as_ref().map(Str::to_string),
                client_id: member.client_id.to_string(),
                assignment: member.assignment.clone(),
                leads: group.leader.as_ref() == Some(id),
            };
            group.members.iter().map(member).collect()
        };
        self.classic_group(group, members).unwrap_or_default()
    }

    /// The offset that a group has committed for a partition.
    pub fn committed(&self, group: &str, topic: &str, partition: i32) -> Option<i64> {
        self.committed_offset(group, topic, partition).map(|committed| committed.offset)
    }

    /// The same, with what was committed along with it.
    pub fn committed_offset(&self, group: &str, topic: &str, partition: i32) -> Option<CommittedOffset> {
        let committed = self.group(group, |group| group.offsets.get(&(topic.to_owned(), partition)).cloned()).flatten()?;
        let Committed { offset, leader_epoch, metadata, .. } = committed;
        Some(CommittedOffset { offset, leader_epoch, metadata: metadata.to_string() })
    }

    /// Sets what a group has committed for a partition, or with `None` forgets it.
    pub fn set_committed(&self, group: &str, topic: &str, partition: i32, offset: Option<i64>) {
        self.shared().with(|core, now| {
            let committed = offset.map(|offset| Committed::new(now, offset, -1, Str::default()));
            core.set_committed(now, group, topic, partition, committed);
        });
    }

    /// Takes a member out of its group as if its session had timed out.
    pub fn expire_member(&self, group: &str, member_id: &str) {
        self.shared().with(|core, now| core.expire_member(now, group, member_id));
    }

    /// Has all members of a group join again.
    pub fn rebalance_group(&self, group: &str) {
        self.shared().with(|core, now| core.rebalance_group(now, group));
    }

    /// Removes a group with its offsets; its members are told that they are unknown.
    pub fn delete_group(&self, group: &str) {
        self.shared().with(|core, now| core.delete_group(now, group));
    }
}
