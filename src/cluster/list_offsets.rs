//! Offsets at the ends of logs, or at a time: asked of each partition's leader, also when leaders move meanwhile.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use tokio::time::{Instant, sleep};

use crate::cluster::{Cluster, Route};
use crate::error::{Error, ErrorKind, Result};
use crate::protocol::messages::list_offsets::{
    ListOffsetsPartition, ListOffsetsPartitionResponse, ListOffsetsRequest, ListOffsetsTopic,
};
use crate::protocol::{BrokerId, ErrorCode, TopicName};
use crate::record::TopicPartition;

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

/// Which end of a log is meant by its end?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LogEnd {
    /// The high watermark: records of open transactions count.
    HighWatermark,
    /// The last stable offset.
    LastStable,
}

impl Cluster {
    /// The offset at `timestamp`, or at one of the protocol's special times (-1 the end, -2 the beginning, ...), of each partition, in
    /// their order. Asks again until every partition has an answer that stays, or `deadline` has come.
    pub(crate) async fn list_offsets(
        &self,
        partitions: Vec<TopicPartition>,
        timestamp: i64,
        end: LogEnd,
        deadline: Instant,
    ) -> Vec<(TopicPartition, Result<ListedOffset>)> {
        let mut backoff = self.new_backoff();
        let (start, mut attempts) = (Instant::now(), 0);
        let mut search = Search { cluster: self, timestamp, end, deadline, found: BTreeMap::new(), missing: partitions.clone() };
        loop {
            attempts += 1;
            search.ask().await;
            let pause = backoff.next_pause();
            if search.missing.is_empty() || Instant::now() + pause >= deadline {
                break;
            }
            self.request_refresh();
            sleep(pause).await;
        }
        let Search { found, missing, .. } = search;
        let outcome = |partition: TopicPartition| {
            let result = found.get(&partition).cloned().unwrap_or_else(|| Err(error(ErrorKind::Bug, "no answer", &partition)));
            let late = |last| if missing.contains(&partition) { too_late(last, &partition) } else { last };
            let named = |error: Error| self.with_principal(error.with_attempts(attempts, start.elapsed()));
            let result = result.map_err(|last| named(late(last)));
            (partition, result)
        };
        partitions.into_iter().map(outcome).collect()
    }
}

/// Partitions on the way to their answers.
struct Search<'a> {
    cluster: &'a Cluster,
    timestamp: i64,
    end: LogEnd,
    deadline: Instant,
    /// The last that was said of each.
    found: BTreeMap<TopicPartition, Result<ListedOffset>>,
    /// Those for which asking again may give a better answer.
    missing: Vec<TopicPartition>,
}

impl Search<'_> {
    /// Asks each leader of what is missing once.
    async fn ask(&mut self) {
        let mut by_leader: BTreeMap<BrokerId, Vec<(TopicPartition, i32)>> = BTreeMap::new();
        for partition in std::mem::take(&mut self.missing) {
            let known = match self.cluster.topic(&partition.topic, self.deadline).await {
                Ok(known) => known,
                // There was no time to ask again: what was said before stands.
                Err(_) if Instant::now() >= self.deadline && self.found.contains_key(&partition) => {
                    self.missing.push(partition);
                    continue;
                }
                // It was waited for until the deadline, or will never be there.
                Err(error) => {
                    self.found.insert(partition, Err(error));
                    continue;
                }
            };
            match known.partition(partition.partition).map(|known| (known.leader, known.leader_epoch)) {
                Some((Some(leader), epoch)) => by_leader.entry(leader).or_default().push((partition, epoch)),
                Some((None, _)) => {
                    let last = refused(ErrorCode::LEADER_NOT_AVAILABLE, "the partition has no leader now", &partition);
                    self.note(partition, Err(last));
                }
                None => {
                    let code = ErrorCode::UNKNOWN_TOPIC_OR_PARTITION;
                    let last = refused(code, known.no_such_partition(), &partition);
                    self.found.insert(partition, Err(last.with_retriable(false)));
                }
            }
        }
        for (leader, asked) in by_leader {
            self.ask_leader(leader, asked).await;
        }
    }

    /// One request to one leader.
    async fn ask_leader(&mut self, leader: BrokerId, partitions: Vec<(TopicPartition, i32)>) {
        let mut topics: BTreeMap<TopicName, Vec<ListOffsetsPartition>> = BTreeMap::new();
        for (partition, current_leader_epoch) in &partitions {
            // Metadata has told of the topic, so its name fits.
            let Ok(name) = TopicName::try_from(partition.topic.as_str()) else { continue };
            let (partition_index, timestamp) = (partition.partition, self.timestamp);
            let current_leader_epoch = *current_leader_epoch;
            topics.entry(name).or_default().push(ListOffsetsPartition { partition_index, current_leader_epoch, timestamp });
        }
        // One that has gone must not use up the time that the next leader could answer in.
        let patience = (Instant::now() + self.cluster.config().request_timeout).min(self.deadline);
        let left = patience.saturating_duration_since(Instant::now()).as_millis();
        let request = ListOffsetsRequest {
            replica_id: BrokerId(-1),
            isolation_level: i8::from(self.end == LogEnd::LastStable),
            topics: topics.into_iter().map(|(name, partitions)| ListOffsetsTopic { name, partitions }).collect(),
            timeout_ms: i32::try_from(left).unwrap_or(i32::MAX),
        };
        let route = Route::Broker(leader);
        let response = self.cluster.request_built_within(versions(self.timestamp), |_| request.clone(), route, patience).await;
        for (partition, _) in partitions {
            let answer = response.as_ref().map(|response| {
                let topic = response.topics.iter().find(|topic| topic.name.0.as_str() == partition.topic.as_str());
                topic.and_then(|topic| topic.partitions.iter().find(|answer| answer.partition_index == partition.partition))
            });
            let result = match answer {
                Ok(Some(answer)) => read(answer, &partition),
                Ok(None) => Err(error(ErrorKind::Decode, "the broker's answer leaves out the partition", &partition)),
                Err(error) => Err(error.clone()),
            };
            self.note(partition, result);
        }
    }

    fn note(&mut self, partition: TopicPartition, result: Result<ListedOffset>) {
        if result.as_ref().is_err_and(Error::is_retriable) {
            self.missing.push(partition.clone());
        }
        self.found.insert(partition, result);
    }
}

/// The versions of ListOffsets whose brokers know what this number means. Older ones take a special one for a time, and answer with what
/// it is not.
fn versions(timestamp: i64) -> RangeInclusive<i16> {
    match timestamp {
        // The record with the highest time (KIP-734).
        -3 => 7..=i16::MAX,
        _ => 0..=i16::MAX,
    }
}

fn read(answer: &ListOffsetsPartitionResponse, partition: &TopicPartition) -> Result<ListedOffset> {
    let some = |number: i64| (number >= 0).then_some(number);
    answer.error_code.ok().map_err(|code| refused(code, "the leader did not tell the offset", partition))?;
    let leader_epoch = (answer.leader_epoch >= 0).then_some(answer.leader_epoch);
    Ok(ListedOffset { offset: some(answer.offset), timestamp: some(answer.timestamp), leader_epoch })
}

/// The error of a partition for which there was no time left.
fn too_late(last: Error, partition: &TopicPartition) -> Error {
    error(ErrorKind::Timeout, "no leader told the offset in time", partition).after(last)
}

fn error(kind: ErrorKind, message: &'static str, partition: &TopicPartition) -> Error {
    Error::new(kind, message).with_api("ListOffsets").with_topic(&partition.topic).with_partition(partition.partition)
}

fn refused(code: ErrorCode, message: impl Into<Cow<'static, str>>, partition: &TopicPartition) -> Error {
    Error::from_code(code, message).with_api("ListOffsets").with_topic(&partition.topic).with_partition(partition.partition)
}
