//! The topics that records were handed over for: their partitions, and who leads them.
//!
//! A topic is learned with its first record and stays: what counts batches and sequence numbers must not be forgotten because one
//! metadata answer lacks it. Partitions are only ever added.

use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, PoisonError};

use super::engine::Engine;
use super::open_batch::OpenBatch;
use super::partitioner;
use super::sticky::Sticky;
use crate::cluster::{PartitionMetadata, Snapshot, TopicInterest, TopicMetadata};
use crate::error::{Error, ErrorKind, Result};
use crate::protocol::TopicName;
use crate::record::Topic;

/// A topic that records were handed over for.
pub(super) struct TopicState {
    /// Keeps it in metadata refreshes.
    _interest: TopicInterest,
    pub(super) sticky: Sticky,
    pub(super) partitions: Vec<Arc<PartitionState>>,
}

/// One of its partitions.
#[derive(Debug)]
pub(super) struct PartitionState {
    pub(super) topic: Topic,
    pub(super) partition: i32,
    /// Its index in the accumulator.
    pub(super) index: usize,
    /// The topic's name as it goes into requests.
    pub(super) wire_name: TopicName,
    pub(super) open: OpenBatch,
    /// How large its last batch became: what the next one's buffer is made for.
    pub(super) last_size: AtomicUsize,
}

impl Engine {
    /// Waits until the topic is known.
    pub(super) async fn learn(&self, topic: &Topic, deadline: tokio::time::Instant) -> Result<()> {
        if let Some(reason) = topic.invalid() {
            return Err(Error::new(ErrorKind::InvalidRequest, reason).with_topic(topic));
        }
        let interest = self.cluster.interest(topic);
        let metadata = self.cluster.topic(topic, deadline).await?;
        self.know(topic, interest, &metadata);
        Ok(())
    }

    /// Takes the topic from what is known already, without waiting.
    pub(super) fn learn_now(&self, topic: &Topic) -> Result<()> {
        if let Some(reason) = topic.invalid() {
            return Err(Error::new(ErrorKind::InvalidRequest, reason).with_topic(topic));
        }
        let interest = self.cluster.interest(topic);
        let snapshot = self.cluster.snapshot();
        match snapshot.topic(topic).filter(|metadata| metadata.error.is_none() && !metadata.partitions.is_empty()) {
            Some(metadata) => {
                self.know(topic, interest, metadata);
                Ok(())
            }
            None => {
                self.cluster.request_refresh();
                if let Some(refusal) = self.cluster.refusal() {
                    return Err(refusal.with_topic(topic));
                }
                let message = "nothing is known about the topic yet; try again, or use a call that waits";
                Err(Error::new(ErrorKind::UnknownTopic, message).with_topic(topic).with_retriable(true))
            }
        }
    }

    fn know(&self, topic: &Topic, interest: TopicInterest, metadata: &TopicMetadata) {
        let mut topics = self.topics.write().unwrap_or_else(PoisonError::into_inner);
        let count = u32::try_from(metadata.partitions.len()).unwrap_or(u32::MAX);
        // Topics start at different partitions, and so do producers.
        let seed = self.settings.seed.wrapping_add(partitioner::murmur2(topic.as_str().as_bytes()).into());
        let state = topics.entry(topic.clone()).or_insert_with(|| TopicState {
            _interest: interest,
            sticky: Sticky::new(count, seed),
            partitions: Vec::new(),
        });
        self.update(topic, state, metadata);
    }

    /// Leaders, and partitions that are new; a partition that is missing in the metadata keeps its place and its batches.
    fn update(&self, topic: &Topic, state: &mut TopicState, metadata: &TopicMetadata) {
        let snapshot = self.cluster.snapshot();
        let mut ledger = self.ledger();
        for (number, found) in (0..).zip(&metadata.partitions) {
            let leader = leader(&snapshot, found);
            match state.partitions.get(number as usize) {
                Some(partition) => ledger.accumulator.set_leader(partition.index, leader),
                None => {
                    let index = ledger.accumulator.add_partition(leader);
                    let partition = Arc::new(PartitionState {
                        topic: topic.clone(),
                        partition: number,
                        index,
                        // A name that Kafka takes is short enough for the protocol's text.
                        wire_name: TopicName::try_from(topic.as_str()).unwrap_or_default(),
                        open: OpenBatch::default(),
                        last_size: AtomicUsize::new(0),
                    });
                    ledger.partitions.push(partition.clone());
                    state.partitions.push(partition);
                }
            }
        }
    }

    /// The cluster's metadata changed.
    pub(super) fn handle_metadata(&self) {
        let snapshot = self.cluster.snapshot();
        let changed = |(topic, state): (&Topic, &TopicState)| {
            snapshot.topic(topic).is_some_and(|metadata| metadata.partitions.len() > state.partitions.len())
        };
        let grown = self.topics.read().unwrap_or_else(PoisonError::into_inner).iter().any(changed);
        if grown {
            let mut topics = self.topics.write().unwrap_or_else(PoisonError::into_inner);
            for (topic, state) in topics.iter_mut() {
                if let Some(metadata) = snapshot.topic(topic) {
                    self.update(topic, state, metadata);
                }
            }
            return;
        }
        let topics = self.topics.read().unwrap_or_else(PoisonError::into_inner);
        let mut ledger = self.ledger();
        for (topic, state) in topics.iter() {
            let Some(metadata) = snapshot.topic(topic) else { continue };
            for (partition, found) in state.partitions.iter().zip(&metadata.partitions) {
                ledger.accumulator.set_leader(partition.index, leader(&snapshot, found));
            }
        }
    }

    /// Is the topic known?
    pub(super) fn knows(&self, topic: &Topic) -> bool {
        self.topics.read().unwrap_or_else(PoisonError::into_inner).contains_key(topic)
    }

    /// Chooses the sticky partition of every topic anew.
    pub(super) fn switch_sticky(&self) {
        let topics = self.topics.read().unwrap_or_else(PoisonError::into_inner);
        for topic in topics.values() {
            topic.sticky.switch(&self.queues(topic));
        }
    }

    /// Batches queued for each partition, `None` without a leader.
    pub(super) fn queues(&self, topic: &TopicState) -> Vec<Option<u32>> {
        self.look(|ledger| {
            let queue = |partition: &Arc<PartitionState>| {
                ledger.accumulator.leader(partition.index)?;
                u32::try_from(ledger.accumulator.queued(partition.index)).ok()
            };
            topic.partitions.iter().map(queue).collect()
        })
    }
}

/// The partition's leader, if it can be reached.
fn leader(snapshot: &Snapshot, found: &PartitionMetadata) -> Option<i32> {
    let leader = found.leader?;
    snapshot.node(leader).map(|_| leader.0)
}
