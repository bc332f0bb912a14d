//! One fetch from one partition, answered with what is there: ruby-kafka's `fetch_messages`.

use std::time::Duration;

use tokio::time::Instant;

use crate::cluster::Cluster;
use crate::consumer::batch::Batch;
use crate::consumer::chunk::{Aborted, parse};
use crate::consumer::fetch::{LATEST, Start, unreadable};
use crate::consumer::fetch_driver::LAST_FETCH_BY_NAME;
use crate::consumer::handle::SeekTo;
use crate::consumer::log_range::with_log_range;
use crate::consumer::positions::Positions;
use crate::consumer::settings::{IsolationLevel, invalid};
use crate::protocol::messages::fetch::{FetchPartition, FetchRequest, FetchTopic, PartitionData};
use crate::protocol::records::Limits;
use crate::protocol::{ErrorCode, TopicName};
use crate::{Error, ErrorKind, Message, Result, TopicPartition};

/// Fetches records of one partition once; from `Client::fetch_messages`.
#[derive(Clone, Debug)]
#[must_use = "nothing is fetched until `send`"]
pub struct FetchMessages {
    cluster: Cluster,
    partition: TopicPartition,
    from: SeekTo,
    max_wait: Duration,
    min_bytes: usize,
    max_bytes: usize,
    retries: u32,
    isolation_level: IsolationLevel,
}

impl FetchMessages {
    pub(crate) fn new(cluster: Cluster, partition: TopicPartition) -> Self {
        Self {
            cluster,
            partition,
            from: SeekTo::End,
            max_wait: Duration::from_secs(5),
            min_bytes: 1,
            max_bytes: 1024 * 1024,
            retries: 1,
            isolation_level: IsolationLevel::default(),
        }
    }

    /// Where to begin; behind the last record unless set, so that the answer is what comes within [`max_wait`](Self::max_wait).
    #[doc(alias = "offset")]
    pub fn from(mut self, from: impl Into<SeekTo>) -> Self {
        self.from = from.into();
        self
    }

    /// The longest that the broker waits for [`min_bytes`](Self::min_bytes); 5 s unless set.
    #[doc(alias = "max_wait_time")]
    pub fn max_wait(mut self, max_wait: Duration) -> Self {
        self.max_wait = max_wait;
        self
    }

    /// The broker answers once it has so many bytes; 1 unless set.
    pub fn min_bytes(mut self, bytes: usize) -> Self {
        self.min_bytes = bytes;
        self
    }

    /// The most bytes of the answer, but for a first batch that is larger; 1 MiB unless set.
    pub fn max_bytes(mut self, bytes: usize) -> Self {
        self.max_bytes = bytes;
        self
    }

    /// How often it is tried again after an error; 1 unless set.
    pub fn retries(mut self, retries: u32) -> Self {
        self.retries = retries;
        self
    }

    /// Which records of transactions to hand out; [`IsolationLevel::ReadCommitted`] unless set.
    pub fn isolation_level(mut self, isolation_level: IsolationLevel) -> Self {
        self.isolation_level = isolation_level;
        self
    }

    /// Fetches. The answer is empty if nothing came in time.
    ///
    /// # Errors
    /// [`ErrorKind::OffsetOutOfRange`] for an offset that the log does not have; whatever the last try met.
    ///
    /// # Cancel safety
    /// Nothing is changed by it.
    pub async fn send(self) -> Result<Vec<Message>> {
        for (name, bytes) in [("min_bytes", self.min_bytes), ("max_bytes", self.max_bytes)] {
            if i32::try_from(bytes).is_err() {
                return Err(invalid(format!("{name} is {bytes}; at most {} is possible", i32::MAX)));
            }
        }
        if let Some(reason) = self.partition.topic.invalid() {
            return Err(Error::new(ErrorKind::InvalidRequest, reason).with_topic(&self.partition.topic));
        }
        let offset = self.begin().await?;
        let mut tries = 0;
        let started = Instant::now();
        loop {
            tries += 1;
            match self.fetch(offset).await {
                Err(error) if !is_final(&error) && tries <= self.retries => {
                    tracing::debug!(%error, "a fetch failed; it is tried again");
                    self.refreshed().await;
                }
                result => return result.map_err(|error| error.with_attempts(tries, started.elapsed())),
            }
        }
    }

    /// Waits for newer metadata, but not for long: the leader may be the same.
    async fn refreshed(&self) {
        let mut snapshots = self.cluster.subscribe();
        snapshots.mark_unchanged();
        self.cluster.request_refresh();
        let pause = self.cluster.backoff().max;
        let _ = tokio::time::timeout(pause, snapshots.changed()).await;
    }

    async fn begin(&self) -> Result<i64> {
        let start = self.from.start()?;
        let Some(timestamp) = start.timestamp() else {
            let Start::At(offset) = start else { return Ok(0) };
            return Ok(offset);
        };
        let deadline = Instant::now() + self.cluster.config().default_api_timeout;
        let at = async |timestamp| {
            let (partitions, end) = (vec![self.partition.clone()], self.isolation_level.log_end());
            let found = self.cluster.list_offsets(partitions, timestamp, end, deadline).await.into_iter().next();
            found.map_or(Ok(None), |(_, listed)| listed.map(|listed| listed.offset))
        };
        match at(timestamp).await? {
            Some(offset) => Ok(offset),
            // No record is that young.
            None => Ok(at(LATEST).await?.unwrap_or(0)),
        }
    }

    async fn fetch(&self, offset: i64) -> Result<Vec<Message>> {
        let name = &self.partition;
        let named =
            |error: Error| error.with_api("Fetch").with_topic(&name.topic).with_partition(name.partition).with_offset(offset);
        let deadline = Instant::now() + self.cluster.config().default_api_timeout;
        let topic = self.cluster.topic(&name.topic, deadline).await?;
        let snapshot = self.cluster.snapshot();
        let (Some(known), Ok(topic_name)) = (topic.partition(name.partition), TopicName::try_from(name.topic.as_str())) else {
            return Err(named(Error::from_code(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION, topic.no_such_partition())));
        };
        let leader = snapshot.leader(&name.topic, name.partition)?;
        let max_bytes = i32::try_from(self.max_bytes).unwrap_or(i32::MAX);
        let asked = FetchPartition {
            partition: name.partition,
            current_leader_epoch: known.leader_epoch,
            fetch_offset: offset,
            partition_max_bytes: max_bytes,
            ..Default::default()
        };
        let request = FetchRequest {
            max_wait_ms: i32::try_from(self.max_wait.as_millis()).unwrap_or(i32::MAX),
            min_bytes: i32::try_from(self.min_bytes).unwrap_or(i32::MAX),
            max_bytes,
            isolation_level: i8::from(self.isolation_level == IsolationLevel::ReadCommitted),
            topics: vec![FetchTopic { topic: topic_name, topic_id: topic.id, partitions: vec![asked] }],
            ..Default::default()
        };
        // A connection of its own: a long poll would hold up whatever else goes to this broker.
        let connection = self.cluster.connection(leader)?;
        let versions = if topic.id.is_zero() { 0..=LAST_FETCH_BY_NAME } else { 0..=i16::MAX };
        let timeout = self.max_wait.saturating_add(self.cluster.config().request_timeout);
        let response =
            connection.request_with(versions, request, timeout).await.map_err(|failure| named(failure.into_error("Fetch")))?;
        let refused = |code| {
            named(Error::from_code(code, "the broker does not give the partition's records out").with_broker(leader.to_string()))
        };
        response.error_code.ok().map_err(refused)?;
        let mut answers = response.responses.into_iter().flat_map(|topic| topic.partitions);
        let Some(data) = answers.find(|data| data.partition_index == name.partition) else {
            return Err(named(Error::new(ErrorKind::Decode, "the partition is not in the answer")));
        };
        if data.error_code == ErrorCode::OFFSET_OUT_OF_RANGE {
            let error = Error::from_code(data.error_code, "the offset is not in the partition's log");
            return Err(with_log_range(&self.cluster, name, named(error)).await);
        }
        data.error_code.ok().map_err(|code| self.cluster.with_principal(refused(code)))?;
        self.messages(offset, data)
    }

    fn messages(&self, offset: i64, data: PartitionData) -> Result<Vec<Message>> {
        let aborted = (self.isolation_level == IsolationLevel::ReadCommitted).then(|| {
            let aborted = data.aborted_transactions.unwrap_or_default().into_iter();
            aborted.map(|one| Aborted { first_offset: one.first_offset, producer_id: one.producer_id.0 }).collect()
        });
        let place = Positions::default().assign(self.partition.clone());
        let records = data.records.map(|records| records.0).unwrap_or_default();
        let parsed = parse(place, offset, records, aborted, data.high_watermark);
        let unreadable = |(offset, fault)| unreadable(&self.partition, offset, fault);
        let mut messages = Vec::new();
        if let Some(mut chunk) = parsed.chunk {
            while let Some((parts, next)) = chunk.take(Limits::default(), 1).map_err(unreadable)? {
                let batch = Batch::new(self.partition.clone(), place, parts, next.offset, data.high_watermark);
                for message in batch.messages() {
                    messages.push(message?);
                }
            }
        }
        match parsed.fault {
            Some(fault) if messages.is_empty() => Err(unreadable((parsed.next.offset, fault))),
            // It is met by the next fetch, from there.
            _ => Ok(messages),
        }
    }
}

/// Would another try end in the same way?
fn is_final(error: &Error) -> bool {
    error.is_refusal() || matches!(error.kind(), ErrorKind::OffsetOutOfRange | ErrorKind::Authorization | ErrorKind::Closed)
}
