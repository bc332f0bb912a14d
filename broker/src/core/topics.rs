//! Topics and partitions, their leaders, and what becomes of leaders when nodes come and go.
//!
//! All nodes share the partitions' logs: a leader is the one node that answers for a partition. When it stops, the next replica
//! that runs takes over with a higher epoch and the whole log, so nothing acknowledged is ever lost; without one the partition has
//! no leader until a replica starts.

use std::collections::{BTreeMap, BTreeSet};

use klamm::protocol::{ErrorCode, Str, TopicName, Uuid};

use crate::core::log::Log;
use crate::core::producers::Producers;

/// All topics.
#[derive(Debug, Default)]
pub(crate) struct Topics {
    by_name: BTreeMap<String, Topic>,
    names: BTreeMap<Uuid, String>,
    created: u64,
    changed: bool,
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

/// One partition.
#[derive(Debug)]
pub(crate) struct Partition {
    pub(crate) leader: Option<i32>,
    pub(crate) leader_epoch: i32,
    pub(crate) replicas: Vec<i32>,
    pub(crate) log: Log,
    pub(crate) producers: Producers,
}

impl Partition {
    fn new(replicas: Vec<i32>, running: &BTreeSet<i32>) -> Self {
        let leader = replicas.iter().copied().find(|node| running.contains(node));
        Self { leader, leader_epoch: 0, replicas, log: Log::default(), producers: Producers::default() }
    }

    fn lead(&mut self, leader: Option<i32>) {
        self.leader = leader;
        self.leader_epoch += 1;
    }

    /// May `node` answer for it to a client that believes in `epoch` (-1: it does not say)?
    pub(crate) fn check_leader(&self, node: i32, epoch: i32) -> Result<(), ErrorCode> {
        if self.leader != Some(node) {
            return Err(ErrorCode::NOT_LEADER_OR_FOLLOWER);
        }
        match epoch {
            -1 => Ok(()),
            epoch if epoch < self.leader_epoch => Err(ErrorCode::FENCED_LEADER_EPOCH),
            epoch if epoch > self.leader_epoch => Err(ErrorCode::UNKNOWN_LEADER_EPOCH),
            _ => Ok(()),
        }
    }
}

impl Topics {
    pub(crate) fn get(&self, name: &str) -> Option<&Topic> {
        self.by_name.get(name)
    }

    pub(crate) fn get_mut(&mut self, name: &str) -> Option<&mut Topic> {
        self.by_name.get_mut(name)
    }

    pub(crate) fn name_of(&self, id: Uuid) -> Option<&str> {
        self.names.get(&id).map(String::as_str)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Topic> {
        self.by_name.values()
    }

    pub(crate) fn partition(&self, topic: &str, partition: i32) -> Option<&Partition> {
        self.get(topic)?.partitions.get(usize::try_from(partition).ok()?)
    }

    pub(crate) fn partition_mut(&mut self, topic: &str, partition: i32) -> Option<&mut Partition> {
        self.get_mut(topic)?.partitions.get_mut(usize::try_from(partition).ok()?)
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
        let partitions = assignment.into_iter().map(|replicas| Partition::new(replicas, running)).collect();
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
        topic.partitions.extend(assignment.into_iter().map(|replicas| Partition::new(replicas, running)));
    }

    pub(crate) fn delete(&mut self, name: &str) -> Option<Topic> {
        let topic = self.by_name.remove(name)?;
        self.names.remove(&topic.id);
        self.touch();
        Some(topic)
    }

    pub(crate) fn set_id(&mut self, name: &str, id: Uuid) {
        let Some(topic) = self.by_name.get_mut(name) else { return };
        self.names.remove(&topic.id);
        topic.id = id;
        self.names.insert(id, name.to_owned());
        self.touch();
    }

    /// Makes `leader` the leader, with the next epoch. It need not be a replica yet.
    pub(crate) fn move_leader(&mut self, topic: &str, partition: i32, leader: Option<i32>) -> bool {
        let Some(partition) = self.partition_mut(topic, partition) else { return false };
        if let Some(leader) = leader.filter(|leader| !partition.replicas.contains(leader)) {
            partition.replicas.push(leader);
        }
        partition.lead(leader);
        self.touch();
        true
    }

    /// Gives each partition without a running leader the first replica that runs.
    pub(crate) fn elect(&mut self, running: &BTreeSet<i32>) {
        for partition in self.by_name.values_mut().flat_map(|topic| &mut topic.partitions) {
            if partition.leader.is_some_and(|leader| running.contains(&leader)) {
                continue;
            }
            let next = partition.replicas.iter().copied().find(|replica| running.contains(replica));
            if next != partition.leader {
                partition.lead(next);
            }
        }
        self.touch();
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
