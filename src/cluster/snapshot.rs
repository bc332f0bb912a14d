//! What is known of the cluster at one moment: brokers, controller, and of each topic in use its partitions and their leaders.
//!
//! A snapshot never changes; a newer one takes its place. `merged` makes the newer one from a Metadata answer, keeping what the
//! answer is not to be trusted about (KIP-320, KIP-516):
//!
//! - A partition's leader epoch never goes back, unless the topic's id changed: then it is another topic of the same name.
//! - A partition that comes with an error keeps the leader it had; so does one that an answer leaves out.
//! - A topic that is missing from an answer, or unknown to the broker that answered, keeps its state until that was said
//!   [`MISSING_BEFORE_UNKNOWN`] times in a row: brokers learn of topics at different times, and forgetting partitions would make
//!   producers forget their sequence numbers.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::sync::Arc;

use crate::error::{Error, ErrorKind, Untrusted};
use crate::protocol::messages::metadata::{
    MetadataResponse, MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
};
use crate::protocol::{BrokerId, ErrorCode, Uuid};
use crate::record::Topic;

/// How often in a row a known topic must be reported unknown before it counts as gone.
pub(crate) const MISSING_BEFORE_UNKNOWN: u32 = 3;

/// More partitions than this in one topic are taken for a broken answer: Kafka's controllers stop far below it.
const MAX_PARTITIONS: usize = 1_000_000;

/// What to do about a topic that is not there.
pub(super) const CREATE_IT: &str = "create it first, or let it be created with allow_auto_create_topics";

/// A broker of the cluster and where it listens.
#[derive(Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Node {
    /// Its number; negative for a bootstrap server whose number is not known yet.
    pub id: BrokerId,
    /// Its host name or address.
    pub host: Arc<str>,
    /// Its port.
    pub port: u16,
    /// The rack it says it is in.
    pub rack: Option<Arc<str>>,
}

impl Node {
    /// A broker without a rack.
    pub fn new(id: BrokerId, host: impl Into<Arc<str>>, port: u16) -> Self {
        Self { id, host: host.into(), port, rack: None }
    }

    pub(crate) fn from_wire(broker: &MetadataResponseBroker) -> Option<Self> {
        let port = u16::try_from(broker.port).ok().filter(|port| *port > 0)?;
        let rack = broker.rack.as_ref().map(|rack| Arc::from(rack.as_str()));
        Some(Self { id: broker.node_id, host: broker.host.as_str().into(), port, rack })
    }

    /// Does it listen elsewhere than `other`?
    pub(crate) fn moved_from(&self, other: &Self) -> bool {
        self.host != other.host || self.port != other.port
    }
}

impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ipv6 = self.host.contains(':');
        let (open, close) = if ipv6 { ("[", "]") } else { ("", "") };
        let host = Untrusted(&self.host);
        if self.id.0 < 0 {
            write!(f, "{open}{host}{close}:{}", self.port)
        } else {
            write!(f, "{} ({open}{host}{close}:{})", self.id.0, self.port)
        }
    }
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The cluster at one moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Snapshot {
    /// The cluster's id, from brokers that say it.
    pub cluster_id: Option<Arc<str>>,
    /// Where requests for the controller go.
    pub controller: Option<BrokerId>,
    /// The brokers by number.
    pub brokers: BTreeMap<BrokerId, Node>,
    /// The topics in use by name.
    pub topics: HashMap<Topic, Arc<TopicMetadata>>,
    /// Grows with every snapshot; 0 before the first answer.
    pub version: u64,
}

/// A topic and its partitions.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct TopicMetadata {
    /// Its name.
    pub name: Topic,
    /// Its id; zero from brokers that give none.
    pub id: Uuid,
    /// Does Kafka keep it for itself, as the topic of committed offsets?
    pub internal: bool,
    /// What is wrong with the topic as a whole. Partitions known from before are kept beside it.
    pub error: Option<ErrorCode>,
    /// The partitions; the index is the partition's number.
    pub partitions: Vec<PartitionMetadata>,
    /// Answers in a row that did not know it.
    pub(crate) missing: u32,
}

/// A partition and who leads it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct PartitionMetadata {
    /// Its number.
    pub partition: i32,
    /// Its leader; `None` if none was ever seen.
    pub leader: Option<BrokerId>,
    /// The leader's epoch; -1 if the broker did not say.
    pub leader_epoch: i32,
    /// The brokers that have a replica, the preferred leader first.
    pub replicas: Vec<BrokerId>,
    /// Those of them that are in sync.
    pub isr: Vec<BrokerId>,
    /// Those of them that are offline.
    pub offline: Vec<BrokerId>,
    /// What the last answer said is wrong with it; the leader is then the one known from before.
    pub error: Option<ErrorCode>,
}

impl PartitionMetadata {
    /// A partition that no answer has described.
    fn unknown(partition: i32) -> Self {
        Self {
            partition,
            leader: None,
            leader_epoch: -1,
            replicas: Vec::new(),
            isr: Vec::new(),
            offline: Vec::new(),
            error: Some(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION),
        }
    }

    /// Does the answer say that it has a leader one can ask?
    pub(crate) fn is_ready(&self) -> bool {
        self.leader.is_some() && self.error.is_none()
    }
}

impl TopicMetadata {
    /// The partition of that number.
    pub(crate) fn partition(&self, partition: i32) -> Option<&PartitionMetadata> {
        self.partitions.get(usize::try_from(partition).ok()?)
    }

    /// How many partitions it has.
    pub(crate) fn partition_count(&self) -> i32 {
        // At most `MAX_PARTITIONS`.
        i32::try_from(self.partitions.len()).unwrap_or(i32::MAX)
    }

    /// What to say of a partition that it does not have.
    pub(crate) fn no_such_partition(&self) -> String {
        match self.partition_count() {
            0 => "the topic has no such partition".to_owned(),
            count => format!("the topic has no such partition: it has {count}, from 0"),
        }
    }

    /// The topic as an answer has it, with what was known before where the answer says nothing better.
    fn merged(name: Topic, answer: &MetadataResponseTopic, before: Option<&TopicMetadata>) -> Self {
        let other_topic =
            |known: &&TopicMetadata| !known.id.is_zero() && !answer.topic_id.is_zero() && known.id != answer.topic_id;
        let before = before.filter(|known| !other_topic(known));
        let count = answer.partitions.iter().map(|partition| partition.partition_index).max().map_or(0, |max| i64::from(max) + 1);
        let mut count = usize::try_from(count).unwrap_or(0).min(MAX_PARTITIONS);
        // A topic cannot lose partitions while it keeps its id. Without ids fewer partitions may be a topic made anew.
        if let Some(known) = before.filter(|_| !answer.topic_id.is_zero()) {
            count = count.max(known.partitions.len());
        }
        let kept = |index: usize| before.and_then(|known| known.partitions.get(index));
        let mut partitions: Vec<_> = (0..count)
            .map(|index| {
                let unknown = || PartitionMetadata::unknown(i32::try_from(index).unwrap_or(i32::MAX));
                kept(index).cloned().unwrap_or_else(unknown)
            })
            .collect();
        for partition in &answer.partitions {
            let Ok(index) = usize::try_from(partition.partition_index) else { continue };
            if let Some(slot) = partitions.get_mut(index) {
                *slot = merge_partition(partition, kept(index));
            }
        }
        Self { name, id: answer.topic_id, internal: answer.is_internal, error: None, partitions, missing: 0 }
    }

    /// The topic after an answer that has nothing good to say of it; `error` is what it said.
    fn failed(name: Topic, error: ErrorCode, before: Option<&TopicMetadata>) -> Self {
        let unknown = matches!(error, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION | ErrorCode::UNKNOWN_TOPIC_ID);
        let Some(known) = before.filter(|known| !known.partitions.is_empty()) else {
            return Self { name, id: Uuid::default(), internal: false, error: Some(error), partitions: Vec::new(), missing: 1 };
        };
        let missing = if unknown { (known.missing + 1).min(MISSING_BEFORE_UNKNOWN) } else { known.missing };
        let hidden = (unknown && missing < MISSING_BEFORE_UNKNOWN) || (error.is_retriable() && !unknown);
        Self { missing, error: (!hidden).then_some(error), ..known.clone() }
    }
}

/// One partition of an answer over what was known.
fn merge_partition(answer: &MetadataResponsePartition, before: Option<&PartitionMetadata>) -> PartitionMetadata {
    // "Replica not available" is about the replica list only; the leader can be used (as Kafka's own client does).
    let error = answer.error_code.ok().err().filter(|code| *code != ErrorCode::REPLICA_NOT_AVAILABLE);
    let leader = (answer.leader_id.0 >= 0).then_some(answer.leader_id);
    let error = error.or(leader.is_none().then_some(ErrorCode::LEADER_NOT_AVAILABLE));
    let mut merged = PartitionMetadata {
        partition: answer.partition_index,
        leader,
        leader_epoch: answer.leader_epoch,
        replicas: answer.replica_nodes.clone(),
        isr: answer.isr_nodes.clone(),
        offline: answer.offline_replicas.clone(),
        error,
    };
    let Some(before) = before else { return merged };
    // An answer older than what is known: a broker that lags behind. Epoch -1 is a broker that does not know epochs.
    if answer.leader_epoch >= 0 && answer.leader_epoch < before.leader_epoch {
        return before.clone();
    }
    if error.is_some() {
        merged.leader = before.leader.or(leader);
        merged.leader_epoch = before.leader_epoch.max(merged.leader_epoch);
        if before.leader.is_some() && before.leader != leader {
            // The epoch belongs to the leader that is kept, else the hint for the next leader would look old.
            merged.leader_epoch = before.leader_epoch;
        }
    }
    merged
}

impl Snapshot {
    /// The topic of that name.
    pub(crate) fn topic(&self, topic: &Topic) -> Option<&Arc<TopicMetadata>> {
        self.topics.get(topic)
    }

    /// The broker of that number.
    pub(crate) fn node(&self, id: BrokerId) -> Option<&Node> {
        self.brokers.get(&id)
    }

    /// The broker that leads a partition.
    ///
    /// # Errors
    /// The topic's or the partition's error code; unknown topic or partition where the snapshot has none; leader not available where
    /// the leader is not known, or is not among the brokers.
    pub(crate) fn leader(&self, topic: &Topic, partition: i32) -> Result<&Node, Error> {
        let error = |code: ErrorCode, message: &'static str| {
            Err(Error::from_code(code, message).with_topic(topic).with_partition(partition))
        };
        let Some(known) = self.topics.get(topic) else {
            return error(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION, "the cluster did not name this topic");
        };
        match (known.partition(partition), known.error) {
            (None, Some(code)) => error(code, "the topic cannot be used"),
            (None, None) => {
                let error = Error::from_code(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION, known.no_such_partition());
                Err(error.with_topic(topic).with_partition(partition))
            }
            (Some(found), _) => match found.leader.and_then(|leader| self.brokers.get(&leader)) {
                Some(node) => Ok(node),
                None => error(found.error.unwrap_or(ErrorCode::LEADER_NOT_AVAILABLE), "the partition has no leader now"),
            },
        }
    }

    /// The snapshot after `answer`, which was asked about `topics`; what is not among them is dropped. Its version is one higher.
    pub(crate) fn merged(&self, answer: &MetadataResponse, topics: &BTreeSet<Topic>) -> Self {
        let brokers = answer.brokers.iter().filter_map(Node::from_wire).map(|node| (node.id, node)).collect();
        let mut next = Self {
            cluster_id: answer.cluster_id.as_ref().map(|id| Arc::from(id.as_str())).or_else(|| self.cluster_id.clone()),
            controller: (answer.controller_id.0 >= 0).then_some(answer.controller_id),
            brokers,
            topics: HashMap::with_capacity(topics.len()),
            version: self.version + 1,
        };
        let answers: BTreeMap<&str, &MetadataResponseTopic> =
            answer.topics.iter().filter_map(|topic| Some((topic.name.as_ref()?.0.as_str(), topic))).collect();
        for topic in topics {
            let before = self.topics.get(topic);
            let merged = match answers.get(topic.as_str()) {
                Some(found) if found.error_code.is_ok() => {
                    TopicMetadata::merged(topic.clone(), found, before.map(|known| &**known))
                }
                found => {
                    let code = found.map_or(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION, |found| found.error_code);
                    TopicMetadata::failed(topic.clone(), code, before.map(|known| &**known))
                }
            };
            // The same allocation where nothing changed, so that a reader can compare pointers.
            let merged = before.filter(|known| ***known == merged).cloned().unwrap_or_else(|| Arc::new(merged));
            next.topics.insert(topic.clone(), merged);
        }
        next
    }

    /// The snapshot after a broker named a partition's new leader (KIP-951); `None` where that is no news: an epoch not newer, or a
    /// topic or partition that is not known.
    pub(crate) fn with_leader(
        &self,
        topic: &Topic,
        partition: i32,
        leader: BrokerId,
        leader_epoch: i32,
        endpoint: Option<Node>,
    ) -> Option<Self> {
        let known = self.topics.get(topic)?;
        let found = known.partition(partition)?;
        if leader.0 < 0 || leader_epoch <= found.leader_epoch {
            return None;
        }
        let endpoint = endpoint.filter(|node| node.id == leader);
        if endpoint.is_none() && !self.brokers.contains_key(&leader) {
            return None;
        }
        let mut topic_metadata = TopicMetadata::clone(known);
        let slot = topic_metadata.partitions.get_mut(usize::try_from(partition).ok()?)?;
        (slot.leader, slot.leader_epoch, slot.error) = (Some(leader), leader_epoch, None);
        let mut next = self.clone();
        next.version += 1;
        next.topics.insert(topic.clone(), Arc::new(topic_metadata));
        if let Some(node) = endpoint {
            // The broker that answered knows it from a newer state of the cluster than ours; no other broker is touched.
            next.brokers.insert(leader, node);
        }
        Some(next)
    }

    /// Is it the same cluster, whatever the version?
    pub(crate) fn same_as(&self, other: &Self) -> bool {
        self.cluster_id == other.cluster_id
            && self.controller == other.controller
            && self.brokers == other.brokers
            && self.topics == other.topics
    }

    /// An error for a topic that cannot be used; `None` if it can.
    pub(crate) fn topic_error(&self, topic: &Topic) -> Option<Error> {
        let code = match self.topics.get(topic) {
            Some(known) => known.error?,
            None => ErrorCode::UNKNOWN_TOPIC_OR_PARTITION,
        };
        let message = match code {
            ErrorCode::UNKNOWN_TOPIC_OR_PARTITION | ErrorCode::UNKNOWN_TOPIC_ID => "the cluster has no such topic",
            ErrorCode::INVALID_TOPIC_EXCEPTION => "the broker refuses the topic's name",
            _ => "the topic cannot be used",
        };
        let error = Error::from_code(code, message).with_api("Metadata").with_topic(topic);
        Some(if error.kind() == ErrorKind::UnknownTopic { error.with_advice(CREATE_IT) } else { error })
    }
}

#[cfg(test)]
mod tests;
