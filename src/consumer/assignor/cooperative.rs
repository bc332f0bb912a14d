//! Cooperative sticky (Kafka's `CooperativeStickyAssignor`, KIP-429): the sticky assignment, carried out without stopping the group.
//!
//! Members keep reading what they own while they join. A partition that moves is therefore given to nobody at first: its owner
//! sees it gone from its assignment, commits, gives it away and joins again; in that second rebalance the new owner gets it. The
//! leader withholds whatever another member still claims, in whichever generation: it may still be reading it (KAFKA-14639). Only a
//! member that claims it in a newer generation than the others keeps it all the same.
//!
//! Which claims are believed follows from generations (KIP-792): version 2 of the subscription carries it as a field, older
//! members as user data, four bytes, which this one writes too.

use std::collections::BTreeMap;

use bytes::Bytes;

use crate::consumer::assignor::{Assignor, MemberId, RebalanceProtocol, Subscription, sticky};
use crate::{Result, Topic, TopicPartition};

/// The assignor `cooperative-sticky`.
#[derive(Clone, Copy, Debug, Default)]
pub struct CooperativeStickyAssignor;

impl Assignor for CooperativeStickyAssignor {
    fn name(&self) -> &str {
        "cooperative-sticky"
    }

    fn protocol(&self) -> RebalanceProtocol {
        RebalanceProtocol::Cooperative
    }

    fn user_data(&self, _: &[Topic], _: &[TopicPartition], generation: Option<i32>) -> Option<Bytes> {
        Some(Bytes::copy_from_slice(&generation.unwrap_or(-1).to_be_bytes()))
    }

    fn assign(
        &self,
        topics: &BTreeMap<Topic, i32>,
        members: &BTreeMap<MemberId, Subscription>,
    ) -> Result<BTreeMap<MemberId, Vec<TopicPartition>>> {
        let mut assignment = sticky::assign(topics, members, generation_of);
        let mut claims: BTreeMap<&TopicPartition, BTreeMap<&MemberId, Option<i32>>> = BTreeMap::new();
        for (member, subscription) in members {
            for partition in &subscription.owned_partitions {
                claims.entry(partition).or_default().insert(member, generation_of(subscription));
            }
        }
        for (member, partitions) in &mut assignment {
            partitions.retain(|partition| {
                let Some(claims) = claims.get(partition) else { return true };
                let own = claims.get(member);
                // Whoever owns it in a newer generation than all others claim reads it already; it goes on.
                claims.iter().all(|(other, generation)| *other == member || own.is_some_and(|own| own > generation))
            });
        }
        Ok(assignment)
    }
}

/// The generation that a member's claims are of.
fn generation_of(subscription: &Subscription) -> Option<i32> {
    let from_user_data = || {
        let bytes: [u8; 4] = subscription.user_data.as_deref()?.get(..4)?.try_into().ok()?;
        Some(i32::from_be_bytes(bytes))
    };
    subscription.generation.or_else(from_user_data)
}
