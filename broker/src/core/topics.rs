//! Topics, their configurations, and their partitions as a whole; a single one is the matter of `replication.rs`.

use std::collections::{BTreeMap, BTreeSet};

use klamm::protocol::{Str, TopicName, Uuid};

use crate::core::replication::{Around, Rules};
pub(crate) use crate::core::replication::{Loss, Partition};

/// All topics.
#[derive(Debug, Default)]
pub(crate) struct Topics {
    by_name: BTreeMap<String, Topic>,
    names: BTreeMap<Uuid, String>,
    created: u64,
    changed: bool,
    /// Was a topic handed out to be changed, or made with configurations?
    reconfigured: bool,
    /// Nodes whose replicas do not follow their leaders.
    pub(crate) held: BTreeSet<i32>,
    /// For topics that do not say it.
    pub(crate) default_rules: Rules,
    /// What was lost with topics that were deleted.
    losses: Vec<(String, i32, Loss)>,
}

/// One topic.
#[derive(Debug)]
pub(crate) struct Topic {
    pub(crate) name: TopicName,
    pub(crate) id: Uuid,
    pub(crate) partitions: Vec<Partition>,
    /// Settings that differ from the defaults.
    pub(crate) configs: BTreeMap<String, String>,
}

impl Topic {
    /// What its configurations say about replication.
    pub(crate) fn rules(&self, default: Rules) -> Rules {
        rules(&self.configs, default)
    }

    /// Does its `cleanup.policy` name this one?
    pub(crate) fn has_policy(&self, wanted: &str) -> bool {
        let policy = self.configs.get("cleanup.policy").map_or("delete", String::as_str);
        policy.split(',').any(|policy| policy.trim() == wanted)
    }

    /// A configuration that is a number.
    pub(crate) fn number(&self, key: &str) -> Option<i64> {
        self.configs.get(key)?.parse().ok()
    }
}

fn rules(configs: &BTreeMap<String, String>, default: Rules) -> Rules {
    let min_isr = configs.get("min.insync.replicas").and_then(|value| value.parse().ok());
    let unclean = configs.get("unclean.leader.election.enable").map(|value| value == "true");
    Rules { min_isr: min_isr.unwrap_or(default.min_isr), unclean: unclean.unwrap_or(default.unclean), ..default }
}

impl Topics {
    pub(crate) fn get(&self, name: &str) -> Option<&Topic> {
        self.by_name.get(name)
    }

    /// A topic to change; its configurations are looked at again.
    pub(crate) fn get_mut(&mut self, name: &str) -> Option<&mut Topic> {
        self.reconfigured = true;
        self.by_name.get_mut(name)
    }

    /// Has a configuration perhaps changed since the last call?
    pub(crate) fn take_reconfigured(&mut self) -> bool {
        std::mem::take(&mut self.reconfigured)
    }

    pub(crate) fn name_of(&self, id: Uuid) -> Option<&str> {
        self.names.get(&id).map(String::as_str)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Topic> {
        self.by_name.values()
    }

    /// All topics, whose partitions change and nothing else.
    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Topic> {
        self.by_name.values_mut()
    }

    pub(crate) fn partition(&self, topic: &str, partition: i32) -> Option<&Partition> {
        self.get(topic)?.partitions.get(usize::try_from(partition).ok()?)
    }

    pub(crate) fn partition_mut(&mut self, topic: &str, partition: i32) -> Option<&mut Partition> {
        self.by_name.get_mut(topic)?.partitions.get_mut(usize::try_from(partition).ok()?)
    }

    pub(crate) fn partitions_mut(&mut self) -> impl Iterator<Item = &mut Partition> {
        self.by_name.values_mut().flat_map(|topic| &mut topic.partitions)
    }

    /// Says that a waiting fetch may have its answer now.
    pub(crate) fn touch(&mut self) {
        self.changed = true;
    }

    /// Has anything changed since the last call?
    pub(crate) fn take_changed(&mut self) -> bool {
        std::mem::take(&mut self.changed)
    }

    /// Adds a topic whose name was checked; `assignment` has each partition's replicas.
    pub(crate) fn create(
        &mut self,
        name: &TopicName,
        assignment: Vec<Vec<i32>>,
        configs: BTreeMap<String, String>,
        running: &BTreeSet<i32>,
        seed: u64,
    ) -> Uuid {
        self.created += 1;
        let id = topic_id(seed, self.created);
        let (around, rules) = (Around { running, held: &self.held }, rules(&configs, self.default_rules));
        let partitions = assignment.into_iter().map(|replicas| Partition::new(replicas, around, rules)).collect();
        self.reconfigured |= !configs.is_empty();
        let name = name.detached();
        self.names.insert(id, name.as_str().to_owned());
        self.by_name.insert(name.as_str().to_owned(), Topic { name, id, partitions, configs });
        self.touch();
        id
    }

    /// An id that no topic gets.
    pub(crate) fn unused_id(&self, seed: u64) -> Uuid {
        topic_id(!seed, self.created)
    }

    pub(crate) fn add_partitions(&mut self, name: &str, assignment: Vec<Vec<i32>>, running: &BTreeSet<i32>) {
        let Some(topic) = self.by_name.get_mut(name) else { return };
        let (around, rules) = (Around { running, held: &self.held }, topic.rules(self.default_rules));
        topic.partitions.extend(assignment.into_iter().map(|replicas| Partition::new(replicas, around, rules)));
    }

    /// Removes a topic; `false` if there is none.
    pub(crate) fn delete(&mut self, name: &str) -> bool {
        let Some(topic) = self.by_name.remove(name) else { return false };
        self.names.remove(&topic.id);
        for (index, partition) in (0..).zip(topic.partitions) {
            self.losses.extend(partition.end().into_iter().map(|loss| (name.to_owned(), index, loss)));
        }
        self.touch();
        true
    }

    /// What was lost since the last call, with topic and partition; nothing if the rules don't say that this is kept.
    #[cfg(feature = "unstable-cores")]
    pub(crate) fn take_losses(&mut self) -> Vec<(String, i32, Loss)> {
        let mut losses = std::mem::take(&mut self.losses);
        for (name, topic) in &mut self.by_name {
            for (index, partition) in (0..).zip(&mut topic.partitions) {
                losses.extend(partition.take_losses().into_iter().map(|loss| (name.clone(), index, loss)));
            }
        }
        losses
    }

    pub(crate) fn set_id(&mut self, name: &str, id: Uuid) {
        let Some(topic) = self.by_name.get_mut(name) else { return };
        self.names.remove(&topic.id);
        topic.id = id;
        self.names.insert(id, name.to_owned());
        self.touch();
    }

    /// Has every partition draw its conclusions from which nodes run and which are held.
    pub(crate) fn settle(&mut self, running: &BTreeSet<i32>) {
        let around = Around { running, held: &self.held };
        for topic in self.by_name.values_mut() {
            let rules = rules(&topic.configs, self.default_rules);
            topic.partitions.iter_mut().for_each(|partition| partition.settle(around, rules));
        }
        self.touch();
    }

    /// Tells every partition the rules of its topic.
    pub(crate) fn apply_rules(&mut self, running: &BTreeSet<i32>) {
        let around = Around { running, held: &self.held };
        for topic in self.by_name.values_mut() {
            let rules = rules(&topic.configs, self.default_rules);
            topic.partitions.iter_mut().for_each(|partition| partition.set_rules(around, rules));
        }
        self.touch();
    }

    /// Does something to a partition that has to know of the nodes around; `None` if there is no such partition.
    pub(crate) fn with_partition<T>(
        &mut self,
        topic: &str,
        partition: i32,
        running: &BTreeSet<i32>,
        change: impl FnOnce(&mut Partition, Around<'_>) -> T,
    ) -> Option<T> {
        let around = Around { running, held: &self.held };
        let partition = self.by_name.get_mut(topic)?.partitions.get_mut(usize::try_from(partition).ok()?)?;
        let result = change(partition, around);
        self.changed = true;
        Some(result)
    }
}

/// Spreads partitions over the nodes: leaders in turn, the other replicas behind them.
pub(crate) fn spread(first: usize, partitions: i32, replication_factor: i16, nodes: &[i32]) -> Vec<Vec<i32>> {
    let replicas = |partition: usize| {
        let wanted = usize::try_from(replication_factor).unwrap_or(1).min(nodes.len());
        nodes.iter().cycle().skip((first + partition) % nodes.len().max(1)).take(wanted).copied().collect()
    };
    (0..usize::try_from(partitions).unwrap_or(0)).map(replicas).collect()
}

/// What Kafka says about a name that it refuses.
pub(crate) fn invalid_name(name: &str) -> Option<&'static str> {
    match name {
        "" => Some("the empty string is not allowed"),
        "." | ".." => Some("'.' and '..' are not allowed"),
        name if name.len() > 249 => Some("the length is above 249"),
        name if !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-')) => {
            Some("only ASCII letters and digits, '.', '_' and '-' are allowed")
        }
        _ => None,
    }
}

/// Text for people, in the protocol's form.
pub(crate) fn text(text: &str) -> Str {
    Str::truncated(text)
}

/// The next of a sequence of numbers that look random and depend on the seed alone (SplitMix64).
pub(crate) fn scramble(seed: u64, count: u64) -> u64 {
    let mut z = seed.wrapping_add(count.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

fn topic_id(seed: u64, count: u64) -> Uuid {
    let high = scramble(seed, 2 * count);
    let low = scramble(seed, 2 * count + 1);
    // The bits of a random UUID; so it is never one of those that Kafka reserves.
    let bits = (u128::from(high) << 64 | u128::from(low)) & !(0xf << 76) | (4 << 76);
    Uuid(bits.to_be_bytes())
}
