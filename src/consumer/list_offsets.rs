//! Offsets at the ends of logs, or at a time, for callers that wait for them.

use std::collections::BTreeMap;

use tokio::time::{Instant, sleep_until};

use crate::cluster::{Cluster, Route};
use crate::consumer::settings::IsolationLevel;
use crate::protocol::messages::list_offsets::{ListOffsetsPartition, ListOffsetsRequest, ListOffsetsTopic};
use crate::protocol::{BrokerId, ErrorCode, TopicName};
use crate::{Error, ErrorKind, Result, TopicPartition};

/// The offset at `timestamp` (or `LATEST`, `EARLIEST`) in each partition; -1 where no record is that young. Leaders that moved are
/// looked for again until `deadline`.
pub(crate) async fn list_offsets(
    cluster: &Cluster,
    partitions: Vec<TopicPartition>,
    timestamp: i64,
    isolation: IsolationLevel,
    deadline: Instant,
) -> Result<BTreeMap<TopicPartition, i64>> {
    let mut found = BTreeMap::new();
    let mut left = partitions;
    let mut backoff = cluster.new_backoff();
    while let Some(topic) = left.first().map(|partition| partition.topic.clone()) {
        let last = match ask(cluster, &left, timestamp, isolation, deadline, &mut found).await {
            Ok(last) => last,
            Err(error) if error.is_retriable() => Some(error),
            Err(error) => return Err(error),
        };
        left.retain(|partition| !found.contains_key(partition));
        if left.is_empty() {
            break;
        }
        cluster.request_refresh();
        let again = Instant::now() + backoff.next_pause();
        if again >= deadline {
            let error =
                Error::new(ErrorKind::Timeout, "no leader told the offset in time").with_api("ListOffsets").with_topic(&topic);
            return Err(match last {
                // It was missing all the time: that says more than how long it was looked for.
                Some(last) if last.kind() == ErrorKind::UnknownTopic => last,
                Some(last) => error.with_source(last),
                None => error,
            });
        }
        sleep_until(again).await;
    }
    Ok(found)
}

/// Asks each leader once; what may succeed later is the last error.
async fn ask(
    cluster: &Cluster,
    partitions: &[TopicPartition],
    timestamp: i64,
    isolation: IsolationLevel,
    deadline: Instant,
    found: &mut BTreeMap<TopicPartition, i64>,
) -> Result<Option<Error>> {
    let mut by_leader: BTreeMap<BrokerId, BTreeMap<TopicName, Vec<ListOffsetsPartition>>> = BTreeMap::new();
    let mut last = None;
    for partition in partitions {
        let metadata = cluster.topic(&partition.topic, deadline).await?;
        let Some(known) = metadata.partition(partition.partition) else {
            let error =
                Error::from_code(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION, "the topic has no such partition").with_retriable(false);
            return Err(error.with_topic(&partition.topic).with_partition(partition.partition));
        };
        let (Some(leader), Ok(topic)) = (known.leader, TopicName::try_from(partition.topic.as_str())) else {
            let error = Error::from_code(ErrorCode::LEADER_NOT_AVAILABLE, "the partition has no leader now");
            last = Some(error.with_topic(&partition.topic).with_partition(partition.partition));
            continue;
        };
        let asked =
            ListOffsetsPartition { partition_index: partition.partition, current_leader_epoch: known.leader_epoch, timestamp };
        by_leader.entry(leader).or_default().entry(topic).or_default().push(asked);
    }
    for (leader, topics) in by_leader {
        let request = ListOffsetsRequest {
            replica_id: BrokerId(-1),
            isolation_level: i8::from(isolation == IsolationLevel::ReadCommitted),
            topics: topics.into_iter().map(|(name, partitions)| ListOffsetsTopic { name, partitions }).collect(),
            ..Default::default()
        };
        let patience = (Instant::now() + cluster.config().request_timeout).min(deadline);
        let response = match cluster.request_until(request, Route::Broker(leader), patience).await {
            Ok(response) => response,
            Err(error) if error.is_refusal() => return Err(error),
            Err(error) => {
                last = Some(error);
                continue;
            }
        };
        for topic in response.topics {
            for answer in topic.partitions {
                let partition = TopicPartition::new(topic.name.0.as_str(), answer.partition_index);
                match answer.error_code {
                    ErrorCode::NONE => {
                        found.insert(partition, answer.offset);
                    }
                    // The answer of a format without timestamps: no record is known to be that young.
                    ErrorCode::UNSUPPORTED_FOR_MESSAGE_FORMAT => {
                        found.insert(partition, -1);
                    }
                    code => {
                        let error = Error::from_code(code, "the leader did not tell the offset").with_api("ListOffsets");
                        let error = error.with_topic(&partition.topic).with_partition(partition.partition);
                        if code == ErrorCode::TOPIC_AUTHORIZATION_FAILED {
                            return Err(error);
                        }
                        last = Some(error);
                    }
                }
            }
        }
    }
    Ok(last)
}
