//! A group whose coordinator moves: what the coordinator's log keeps of it is what the next one has.
//!
//! Kafka writes a group to its log when the leader's assignment has come, when a static member takes its former place, and when the
//! last member is gone. So a rebalance that was under way is forgotten: the group comes back in the generation before, members that
//! were given an id but had not joined are unknown, and all sessions begin anew.

use std::collections::BTreeMap;
use std::time::Instant;

use klamm::protocol::{ErrorCode, Str};

use crate::core::groups::classic::{Classic, State, refuse_waiting};
use crate::core::groups::member::Member;
use crate::core::groups::{Groups, Kind, Outbox};

/// A group as it stands in the log.
#[derive(Clone, Debug)]
pub(crate) struct Saved {
    empty_since: Option<Instant>,
    generation: i32,
    protocol_type: Option<Str>,
    protocol: Option<Str>,
    leader: Option<Str>,
    members: BTreeMap<Str, Member>,
}

impl Classic {
    /// Writes the group to the log.
    pub(super) fn save(&mut self) {
        let saved = |(id, member): (&Str, &Member)| (id.clone(), member.saved(self.protocol.as_ref()));
        self.saved = Some(Saved {
            empty_since: self.empty_since,
            generation: self.generation,
            protocol_type: self.protocol_type.clone(),
            protocol: self.protocol.clone(),
            leader: self.leader.clone(),
            members: self.members.iter().map(saved).collect(),
        });
    }

    /// Tells all who wait to look for another coordinator.
    fn unload(&mut self, out: &mut Outbox) {
        for (id, member) in &mut self.members {
            refuse_waiting(member, id, ErrorCode::NOT_COORDINATOR, out);
        }
    }

    /// Reads the group from the log; `false` if it is not there.
    fn load(&mut self, now: Instant) -> bool {
        let Some(saved) = self.saved.clone() else {
            return false;
        };
        let Saved { empty_since, generation, protocol_type, protocol, leader, members } = saved;
        (self.empty_since, self.generation, self.leader) = (empty_since, generation, leader);
        (self.protocol_type, self.protocol, self.members) = (protocol_type, protocol, members);
        let instances = self.members.iter().filter_map(|(id, member)| Some((member.instance_id.clone()?, id.clone())));
        self.instances = instances.collect();
        self.pending.clear();
        self.sync_deadline = None;
        self.state = if self.members.is_empty() { State::Empty } else { State::Stable };
        self.members.values_mut().for_each(|member| member.heard(now));
        self.subscribed = self.subscribed_topics();
        true
    }
}

impl Groups {
    /// Another node coordinates the group from now on, or none for a while: it is read back from the log.
    pub(crate) fn reload(&mut self, now: Instant, name: &str) {
        let Some(group) = self.groups.get_mut(name) else { return };
        let Kind::Classic(classic) = &mut group.kind;
        classic.unload(&mut self.out);
        if !classic.load(now) {
            // Of a group of which only offsets are known, nothing else is.
            *classic = Classic::new(self.initial_rebalance_delay);
            if group.offsets.is_empty() {
                self.groups.remove(name);
            }
            return;
        }
        if classic.members.len() > self.max_size {
            classic.rebalance(now, &mut self.out);
        }
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &String> {
        self.groups.keys()
    }
}
