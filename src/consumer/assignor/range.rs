//! Range: each topic's partitions in as many runs as it has subscribers, one run each (Kafka's `RangeAssignor`).
//!
//! Topics with the same subscribers and as many partitions are split alike, so that partition 3 of both goes to the same member:
//! what joins over two topics rely on. The price is that the first members get more when many topics do not divide evenly.

use std::collections::BTreeMap;

use crate::consumer::assignor::{Assignor, MemberId, Subscription, in_order};
use crate::{Result, Topic, TopicPartition};

/// The assignor `range`.
#[derive(Clone, Copy, Debug, Default)]
pub struct RangeAssignor;

impl Assignor for RangeAssignor {
    fn name(&self) -> &str {
        "range"
    }

    fn assign(
        &self,
        topics: &BTreeMap<Topic, i32>,
        members: &BTreeMap<MemberId, Subscription>,
    ) -> Result<BTreeMap<MemberId, Vec<TopicPartition>>> {
        let mut assignment: BTreeMap<_, Vec<_>> = members.keys().map(|member| (member.clone(), Vec::new())).collect();
        let order = in_order(members);
        for (topic, &partitions) in topics {
            let subscribers: Vec<_> = order.iter().filter(|(_, wants)| wants.topics.contains(topic)).collect();
            let Ok(count) = i32::try_from(subscribers.len()) else { continue };
            if count == 0 {
                continue;
            }
            let (each, extra) = (partitions / count, partitions % count);
            let mut next = 0;
            for (index, (member, _)) in (0..).zip(subscribers) {
                let end = next + each + i32::from(index < extra);
                let run = (next..end).map(|partition| TopicPartition::new(topic, partition));
                assignment.entry((*member).clone()).or_default().extend(run);
                next = end;
            }
        }
        Ok(assignment)
    }
}
