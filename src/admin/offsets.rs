//! Offsets of partitions: first, next, by time; asked of each partition's leader.

use super::topics::topic_name;
use super::{Admin, Outcomes};
use crate::cluster::{ListedOffset, LogEnd};
use crate::error::Result;
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

impl Admin {
    /// An offset of each of these partitions.
    ///
    /// # Errors
    /// As a whole only for a wrong name; for one partition: unknown, not allowed, not known to a broker as old, or no answer in time.
    ///
    /// # Cancel safety
    /// Nothing is changed by it.
    pub async fn list_offsets(
        &self,
        partitions: impl IntoIterator<Item = TopicPartition>,
        spec: OffsetSpec,
    ) -> Result<Outcomes<TopicPartition, ListedOffset>> {
        self.list_offsets_to(LogEnd::HighWatermark, partitions, spec).await
    }

    /// The last stable offset of each partition: what a lag is measured against.
    ///
    /// # Errors
    /// As [`list_offsets`](Self::list_offsets).
    ///
    /// # Cancel safety
    /// Nothing is changed by it.
    pub async fn last_stable_offsets(
        &self,
        partitions: impl IntoIterator<Item = TopicPartition>,
    ) -> Result<Outcomes<TopicPartition, i64>> {
        let ends = self.list_offsets_to(LogEnd::LastStable, partitions, OffsetSpec::End).await?;
        let end = |(partition, result): (TopicPartition, Result<ListedOffset>)| {
            (partition, result.map(|listed| listed.offset.unwrap_or(0)))
        };
        Ok(ends.into_iter().map(end).collect())
    }

    async fn list_offsets_to(
        &self,
        end: LogEnd,
        partitions: impl IntoIterator<Item = TopicPartition>,
        spec: OffsetSpec,
    ) -> Result<Outcomes<TopicPartition, ListedOffset>> {
        let partitions: Vec<TopicPartition> = partitions.into_iter().collect();
        partitions.iter().try_for_each(|partition| topic_name(&partition.topic).map(drop))?;
        Ok(self.cluster.list_offsets(partitions, spec.timestamp(), end, self.deadline()).await)
    }
}
