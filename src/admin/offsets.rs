//! Offsets of partitions: first, next, by time; asked of each partition's leader.

use std::collections::BTreeMap;

use tokio::time::Instant;

use super::{Admin, Outcomes};
use crate::cluster::{Cluster, Route};
use crate::error::{Error, ErrorKind, Result};
use crate::protocol::messages::list_offsets::{ListOffsetsPartition, ListOffsetsRequest, ListOffsetsTopic};
use crate::protocol::{BrokerId, ErrorCode};
use crate::record::TopicPartition;

/// Which offset of a partition is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum OffsetSpec {
    /// The first that is still there.
    Beginning,
    /// The one that the next record gets; for readers of committed records, the last stable offset.
    End,
    /// That of the first record with this time or a later one, in milliseconds since 1970-01-01 UTC.
    Timestamp(i64),
    /// That of the record with the highest time (Kafka 3.0 and later).
    MaxTimestamp,
}

impl OffsetSpec {
    /// Its number in the protocol.
    fn timestamp(self) -> i64 {
        match self {
            Self::Beginning => -2,
            Self::End => -1,
            Self::MaxTimestamp => -3,
            Self::Timestamp(timestamp) => timestamp,
        }
    }
}

/// An offset that was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ListedOffset {
    /// The offset; `None` if no record is as late as the time asked for, or the partition is empty.
    pub offset: Option<i64>,
    /// The record's time; `None` for the beginning and the end.
    pub timestamp: Option<i64>,
    /// The leader epoch at that offset, if the broker said.
    pub leader_epoch: Option<i32>,
}

/// Do the ends count records of open transactions?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ends {
    /// The high watermark.
    All,
    /// The last stable offset.
    Stable,
}

impl Admin {
    /// An offset of each of these partitions.
    ///
    /// # Errors
    /// As a whole only for a wrong name; for one partition: unknown, not allowed, or no answer in time.
    ///
    /// # Cancel safety
    /// Nothing is changed by it.
    pub async fn list_offsets(
        &self,
        partitions: impl IntoIterator<Item = TopicPartition>,
        spec: OffsetSpec,
    ) -> Result<Outcomes<TopicPartition, ListedOffset>> {
        list(&self.cluster, partitions.into_iter().collect(), spec, Ends::All, self.deadline()).await
    }
}

/// Asks leaders until every partition has an answer that stays, or `deadline` has come.
pub(super) async fn list(
    cluster: &Cluster,
    partitions: Vec<TopicPartition>,
    spec: OffsetSpec,
    ends: Ends,
    deadline: Instant,
) -> Result<Outcomes<TopicPartition, ListedOffset>> {
    let mut outcomes: BTreeMap<TopicPartition, Result<ListedOffset>> = BTreeMap::new();
    let mut missing = partitions.clone();
    let mut backoff = cluster.new_backoff();
    let start = Instant::now();
    let mut attempts = 0;
    loop {
        attempts += 1;
        let mut by_leader: BTreeMap<BrokerId, Vec<(TopicPartition, i32)>> = BTreeMap::new();
        for partition in std::mem::take(&mut missing) {
            let known = match cluster.topic(&partition.topic, deadline).await {
                Ok(known) => known,
                Err(error) => {
                    outcomes.insert(partition, Err(error));
                    continue;
                }
            };
            match known.partition(partition.partition) {
                None => {
                    let error = Error::from_code(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION, "the topic has no such partition");
                    outcomes
                        .insert(partition.clone(), Err(error.with_topic(&partition.topic).with_partition(partition.partition)));
                }
                Some(found) => match found.leader {
                    Some(leader) => by_leader.entry(leader).or_default().push((partition, found.leader_epoch)),
                    None => {
                        let error = Error::from_code(ErrorCode::LEADER_NOT_AVAILABLE, "the partition has no leader now");
                        outcomes.insert(
                            partition.clone(),
                            Err(error.with_topic(&partition.topic).with_partition(partition.partition)),
                        );
                        missing.push(partition);
                    }
                },
            }
        }
        for (leader, asked) in by_leader {
            let answers = ask(cluster, leader, &asked, spec, ends, deadline).await;
            for (partition, _) in asked {
                let result = match &answers {
                    Ok(answers) => answers.get(&partition).cloned().unwrap_or_else(|| {
                        let error =
                            Error::new(ErrorKind::Decode, "the broker's answer leaves out the partition").with_api("ListOffsets");
                        Err(error.with_topic(&partition.topic).with_partition(partition.partition))
                    }),
                    Err(error) => Err(error.clone()),
                };
                if result.as_ref().is_err_and(Error::is_retriable) {
                    missing.push(partition.clone());
                }
                outcomes.insert(partition, result);
            }
        }
        let pause = backoff.next_pause();
        if missing.is_empty() || Instant::now() + pause >= deadline {
            break;
        }
        cluster.request_refresh();
        tokio::time::sleep(pause).await;
    }
    let elapsed = start.elapsed();
    let outcome = |partition: TopicPartition| {
        let result = outcomes.get(&partition).cloned();
        let result = result.unwrap_or_else(|| Err(Error::new(ErrorKind::Timeout, "no answer in time").with_api("ListOffsets")));
        (partition, result.map_err(|error| error.with_attempts(attempts, elapsed)))
    };
    Ok(partitions.into_iter().map(outcome).collect())
}

/// One request to one leader.
async fn ask(
    cluster: &Cluster,
    leader: BrokerId,
    partitions: &[(TopicPartition, i32)],
    spec: OffsetSpec,
    ends: Ends,
    deadline: Instant,
) -> Result<BTreeMap<TopicPartition, Result<ListedOffset>>> {
    let mut topics: Vec<ListOffsetsTopic> = Vec::new();
    for (partition, leader_epoch) in partitions {
        let asked = ListOffsetsPartition {
            partition_index: partition.partition,
            current_leader_epoch: *leader_epoch,
            timestamp: spec.timestamp(),
        };
        match topics.iter_mut().find(|topic| topic.name.0.as_str() == partition.topic.as_str()) {
            Some(topic) => topic.partitions.push(asked),
            None => topics.push(ListOffsetsTopic { name: super::topics::topic_name(&partition.topic)?, partitions: vec![asked] }),
        }
    }
    let left = deadline.saturating_duration_since(Instant::now()).as_millis();
    let request = ListOffsetsRequest {
        replica_id: BrokerId(-1),
        isolation_level: i8::from(ends == Ends::Stable),
        topics,
        timeout_ms: i32::try_from(left).unwrap_or(i32::MAX),
    };
    let response = cluster.request_until(request, Route::Broker(leader), deadline).await?;
    let mut answers = BTreeMap::new();
    for topic in &response.topics {
        for answer in &topic.partitions {
            let partition = TopicPartition::new(topic.name.0.as_str(), answer.partition_index);
            let result = if answer.error_code.is_ok() {
                let some = |number: i64| (number >= 0).then_some(number);
                let leader_epoch = (answer.leader_epoch >= 0).then_some(answer.leader_epoch);
                Ok(ListedOffset { offset: some(answer.offset), timestamp: some(answer.timestamp), leader_epoch })
            } else {
                let error = Error::from_code(answer.error_code, "the offset can't be listed").with_api("ListOffsets");
                Err(error.with_topic(&partition.topic).with_partition(partition.partition))
            };
            answers.insert(partition, result);
        }
    }
    Ok(answers)
}
