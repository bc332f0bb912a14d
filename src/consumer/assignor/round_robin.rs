//! Round robin: all partitions in order, dealt to the members in order (Kafka's `RoundRobinAssignor`).
//!
//! Members that do not subscribe to a partition's topic are passed over. With equal subscriptions counts differ by one at most;
//! nothing is remembered, so one member more or less moves nearly everything.

use std::collections::BTreeMap;

use crate::consumer::assignor::{Assignor, MemberId, Subscription, in_order};
use crate::{Result, Topic, TopicPartition};

/// The assignor `roundrobin`.
#[derive(Clone, Copy, Debug, Default)]
pub struct RoundRobinAssignor;

impl Assignor for RoundRobinAssignor {
    fn name(&self) -> &str {
        "roundrobin"
    }

    fn assign(
        &self,
        topics: &BTreeMap<Topic, i32>,
        members: &BTreeMap<MemberId, Subscription>,
    ) -> Result<BTreeMap<MemberId, Vec<TopicPartition>>> {
        let mut assignment: BTreeMap<_, Vec<_>> = members.keys().map(|member| (member.clone(), Vec::new())).collect();
        let order = in_order(members);
        let mut turn = 0;
        for (topic, &partitions) in topics {
            let wants: Vec<bool> = order.iter().map(|(_, wants)| wants.topics.contains(topic)).collect();
            if !wants.contains(&true) {
                continue;
            }
            for partition in 0..partitions {
                // Ends: at least one member wants it.
                let next = (turn..turn + order.len()).map(|at| at % order.len()).find(|&at| wants.get(at) == Some(&true));
                let Some((at, (member, _))) = next.and_then(|at| Some((at, order.get(at)?))) else { break };
                assignment.entry((*member).clone()).or_default().push(TopicPartition::new(topic, partition));
                turn = (at + 1) % order.len();
            }
        }
        Ok(assignment)
    }
}
