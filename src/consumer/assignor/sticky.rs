//! The sticky assignment: as balanced as the subscriptions allow, and of those, one that moves little.
//!
//! 1. Members keep what they own. Of several claims to one partition that of the highest generation counts, and none if two members
//!    make it; nor do claims to what is not there or not subscribed to.
//! 2. What nobody keeps goes, topic by topic, to the subscriber with the least. Topics with few subscribers come first.
//! 3. While a member has at least two more than another one that could relieve it, one partition moves; if they share no topic,
//!    along a chain of members each of whom hands one on. First only what nobody kept moves: so the second rebalance of a cooperative
//!    group, in which nothing else has to, is the last.
//!
//! Step 3 makes the loads as even as they can be: a chain exists as long as they are not. With equal subscriptions chains are one
//! step long and no more partitions move than must. Subscriptions come from strangers, so step 3 counts its steps and stops at a
//! limit; the assignment is total and valid at any moment from step 2 on.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::consumer::assignor::{MemberId, Subscription};
use crate::{Topic, TopicPartition};

/// Edges looked at in step 3, at most: a fraction of a second.
const STEP_LIMIT: usize = 20_000_000;

/// Spreads `topics` over `members`; `generation_of` says in which generation a member got what it owns.
pub(super) fn assign(
    topics: &BTreeMap<Topic, i32>,
    members: &BTreeMap<MemberId, Subscription>,
    generation_of: impl Fn(&Subscription) -> Option<i32>,
) -> BTreeMap<MemberId, Vec<TopicPartition>> {
    let mut spread = Spread::new(topics, members);
    spread.keep_owned(members, generation_of);
    spread.fill();
    spread.balance(STEP_LIMIT);
    spread.finish(members)
}

/// Members and topics by number, in the order of their names.
struct Spread<'a> {
    topics: Vec<(&'a Topic, i32)>,
    /// Per topic: who subscribes.
    subscribers: Vec<Vec<usize>>,
    /// Per member: topics it subscribes to.
    wants: Vec<BTreeSet<usize>>,
    /// Per member and topic: its partitions, and whether it owned them before.
    given: Vec<BTreeMap<usize, BTreeMap<i32, Held>>>,
    load: Vec<usize>,
    /// Per topic: partitions nobody has yet.
    open: Vec<BTreeSet<i32>>,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Held {
    New,
    Before,
}

impl<'a> Spread<'a> {
    fn new(topics: &'a BTreeMap<Topic, i32>, members: &BTreeMap<MemberId, Subscription>) -> Self {
        let topics: Vec<_> = topics.iter().map(|(topic, &partitions)| (topic, partitions.max(0))).collect();
        let mut subscribers = vec![Vec::new(); topics.len()];
        let mut wants = Vec::with_capacity(members.len());
        for (member, subscription) in members.values().enumerate() {
            let numbers =
                subscription.topics.iter().filter_map(|name| topics.binary_search_by(|(topic, _)| topic.cmp(&name)).ok());
            let numbers: BTreeSet<usize> = numbers.collect();
            numbers.iter().for_each(|&topic| subscribers[topic].push(member));
            wants.push(numbers);
        }
        let open = topics.iter().map(|&(_, partitions)| (0..partitions).collect()).collect();
        Self { topics, subscribers, wants, given: vec![BTreeMap::new(); members.len()], load: vec![0; members.len()], open }
    }

    fn keep_owned(&mut self, members: &BTreeMap<MemberId, Subscription>, generation_of: impl Fn(&Subscription) -> Option<i32>) {
        let mut claims: BTreeMap<(usize, i32), (Option<i32>, Option<usize>)> = BTreeMap::new();
        for (member, subscription) in members.values().enumerate() {
            let generation = generation_of(subscription).filter(|&generation| generation >= 0);
            for claim in &subscription.owned_partitions {
                let Ok(topic) = self.topics.binary_search_by(|(topic, _)| (*topic).cmp(&claim.topic)) else { continue };
                if !self.wants[member].contains(&topic) || !self.open[topic].contains(&claim.partition) {
                    continue;
                }
                let best = claims.entry((topic, claim.partition)).or_insert((generation, Some(member)));
                if generation > best.0 {
                    *best = (generation, Some(member));
                } else if generation == best.0 && best.1 != Some(member) {
                    // Two members that claim it in the same generation: at least one is wrong, so neither is believed.
                    best.1 = None;
                }
            }
        }
        for ((topic, partition), (_, owner)) in claims {
            if let Some(member) = owner {
                self.give(member, topic, partition, Held::Before);
            }
        }
    }

    fn fill(&mut self) {
        let mut order: Vec<usize> = (0..self.topics.len()).collect();
        order.sort_by_key(|&topic| self.subscribers[topic].len());
        for topic in order {
            let mut by_load: BTreeSet<(usize, usize)> =
                self.subscribers[topic].iter().map(|&member| (self.load[member], member)).collect();
            for partition in self.open[topic].clone() {
                let Some((load, member)) = by_load.pop_first() else { break };
                self.give(member, topic, partition, Held::New);
                by_load.insert((load + 1, member));
            }
        }
    }

    fn balance(&mut self, limit: usize) {
        if self.wants.windows(2).all(|pair| pair[0] == pair[1]) {
            return self.balance_equals();
        }
        let mut steps = 0;
        self.balance_what(Held::New, &mut steps, limit);
        self.balance_what(Held::Before, &mut steps, limit);
    }

    /// With what is `held` so, or newer.
    fn balance_what(&mut self, held: Held, steps: &mut usize, limit: usize) {
        let mut by_load: BTreeSet<_> = self.load.iter().enumerate().map(|(member, &load)| (load, member)).collect();
        // From the fullest down: a member that nobody could relieve is settled until somebody it reaches gives something away, which
        // only a fuller one's chain could bring about; fuller ones are settled already.
        while let Some((load, fullest)) = by_load.pop_last() {
            let Some(chain) = self.chain_from(fullest, load, held, steps, limit) else { continue };
            for pair in chain.windows(2) {
                self.hand_over(pair[0].0, pair[1].0, pair[1].1);
            }
            let relieved = chain.last().map_or(fullest, |&(member, _)| member);
            if by_load.remove(&(self.load[relieved] - 1, relieved)) {
                by_load.insert((self.load[relieved], relieved));
            }
            by_load.insert((load - 1, fullest));
        }
    }

    /// The same with everybody subscribed to the same: from the fullest to the emptiest.
    fn balance_equals(&mut self) {
        let mut by_load: BTreeSet<(usize, usize)> = self.load.iter().enumerate().map(|(member, &load)| (load, member)).collect();
        while let (Some(&(least, emptiest)), Some(&(most, fullest))) = (by_load.first(), by_load.last()) {
            if most < least + 2 {
                break;
            }
            // What the fuller one has most of, compared with the emptier one, keeps topics spread as well.
            let count = |member: usize, topic: usize| self.given[member].get(&topic).map_or(0, BTreeMap::len);
            let surplus = |topic: usize| count(fullest, topic) as isize - count(emptiest, topic) as isize;
            let Some(&topic) = self.given[fullest].keys().max_by_key(|&&topic| (surplus(topic), topic)) else { break };
            self.hand_over(fullest, emptiest, topic);
            by_load.remove(&(most, fullest));
            by_load.remove(&(least, emptiest));
            by_load.insert((most - 1, fullest));
            by_load.insert((least + 1, emptiest));
        }
    }

    /// The shortest chain of members from `from` to the least loaded one within reach, if that has at least two less. Each link
    /// names the topic handed over to it; of it there is something that is `held` so, or newer.
    fn chain_from(&self, from: usize, load: usize, held: Held, steps: &mut usize, limit: usize) -> Option<Vec<(usize, usize)>> {
        let mut came: Vec<Option<(usize, usize)>> = vec![None; self.load.len()];
        let mut seen_topics = vec![false; self.topics.len()];
        let mut queue = VecDeque::from([from]);
        let mut best = None;
        while let Some(member) = queue.pop_front() {
            let movable = |partitions: &BTreeMap<i32, Held>| partitions.values().any(|its| *its <= held);
            for (&topic, _) in self.given[member].iter().filter(|(_, partitions)| movable(partitions)) {
                if std::mem::replace(&mut seen_topics[topic], true) {
                    continue;
                }
                for &next in &self.subscribers[topic] {
                    *steps += 1;
                    if *steps > limit {
                        return None;
                    }
                    if next == from || came[next].is_some() {
                        continue;
                    }
                    came[next] = Some((member, topic));
                    queue.push_back(next);
                    if self.load[next] + 2 <= load && best.is_none_or(|best: usize| self.load[next] < self.load[best]) {
                        best = Some(next);
                    }
                }
            }
        }
        let mut at = best?;
        let mut chain = Vec::new();
        while let Some((previous, topic)) = came[at] {
            chain.push((at, topic));
            at = previous;
        }
        // The topic of the first link is not used.
        chain.push((from, 0));
        chain.reverse();
        Some(chain)
    }

    /// Moves one partition of `topic`: one that did not belong to the giver before, if there is any; else the last.
    fn hand_over(&mut self, from: usize, to: usize, topic: usize) {
        let Some(held) = self.given[from].get_mut(&topic) else { return };
        let Some(partition) =
            held.iter().min_by_key(|&(&partition, &held)| (held, std::cmp::Reverse(partition))).map(|(&p, _)| p)
        else {
            return;
        };
        held.remove(&partition);
        if held.is_empty() {
            self.given[from].remove(&topic);
        }
        self.load[from] -= 1;
        self.load[to] += 1;
        self.given[to].entry(topic).or_default().insert(partition, Held::New);
    }

    fn give(&mut self, member: usize, topic: usize, partition: i32, held: Held) {
        if self.open[topic].remove(&partition) {
            self.given[member].entry(topic).or_default().insert(partition, held);
            self.load[member] += 1;
        }
    }

    fn finish(self, members: &BTreeMap<MemberId, Subscription>) -> BTreeMap<MemberId, Vec<TopicPartition>> {
        let topics = &self.topics;
        let named = |(topic, partitions): (usize, BTreeMap<i32, Held>)| {
            let topic = topics[topic].0;
            partitions.into_keys().map(move |partition| TopicPartition::new(topic, partition))
        };
        members.keys().cloned().zip(self.given.into_iter().map(|given| given.into_iter().flat_map(named).collect())).collect()
    }
}
