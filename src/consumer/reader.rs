//! Reading without a group: a topic as it grows, or one partition, from a place on, perhaps only to the end.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_core::Stream;

use crate::cluster::Cluster;
use crate::consumer::batch::Batch;
use crate::consumer::builder::{Hooks, fetch_settings};
use crate::consumer::fetch::{LATEST, Start};
use crate::consumer::fetch_driver::{self, Assignment};
use crate::consumer::handle::SeekTo;
use crate::consumer::intake::Intake;
use crate::consumer::processing;
use crate::consumer::settings::{ConsumerSettings, IsolationLevel, OffsetReset};
use crate::consumer::state::Shared;
use crate::network::BoxFuture;
use crate::{Message, Result, Topic, TopicPartition};

/// Makes a [`Reader`]; from `Client::reader`.
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing until `build`"]
pub struct ReaderBuilder {
    cluster: Cluster,
    settings: ConsumerSettings,
    topic: Topic,
    partition: Option<i32>,
    from: SeekTo,
    to_end: bool,
}

impl ReaderBuilder {
    /// With `settings` of fetching; those of groups, and what to do about a lost offset, are not a reader's.
    pub(crate) fn new(cluster: Cluster, topic: impl Into<Topic>, mut settings: ConsumerSettings) -> Self {
        let topic = topic.into();
        settings.group_id.clear();
        settings.topics = vec![topic.clone()];
        settings.automatically_mark = false;
        settings.auto_offset_reset = OffsetReset::Error;
        Self { cluster, settings, topic, partition: None, from: SeekTo::Beginning, to_end: false }
    }

    /// Only this partition; all of the topic's unless set, also those that are added while it reads.
    pub fn partition(mut self, partition: i32) -> Self {
        self.partition = Some(partition);
        self
    }

    /// Where to begin, in each partition; at the beginning unless set.
    #[doc(alias = "start_from_beginning")]
    pub fn from(mut self, from: impl Into<SeekTo>) -> Self {
        self.from = from.into();
        self
    }

    /// Ends where the partitions end when reading begins, in place of waiting for more.
    pub fn to_end(mut self) -> Self {
        self.to_end = true;
        self
    }

    /// What to do where the log does not have an offset (any more); the error is returned unless set, for nothing is skipped in silence.
    pub fn auto_offset_reset(mut self, auto_offset_reset: OffsetReset) -> Self {
        self.settings.auto_offset_reset = auto_offset_reset;
        self
    }

    fetch_settings!();

    /// The reader; nothing is sent before its first record is asked for.
    ///
    /// # Errors
    /// Settings that are wrong or contradict each other, an impossible topic name or place, and if no tokio runtime is around.
    pub fn build(self) -> Result<Reader> {
        self.settings.check_reading()?;
        fetch_driver::runtime()?;
        let start = self.from.start()?;
        let shared = Shared::new(&self.settings, self.cluster.backoff(), self.cluster.config().seed);
        let timeout = self.cluster.config().default_api_timeout;
        let intake =
            Intake::new(self.cluster.clone(), shared, Hooks::default(), false, self.settings.max_partition_fetch_bytes, timeout);
        let assignment = match self.partition {
            Some(partition) => Assignment::Partition { partition: TopicPartition::new(&self.topic, partition), start },
            None => Assignment::Topic { topic: self.topic.clone(), start },
        };
        let ends = if self.to_end { Ends::Wanted } else { Ends::None };
        Ok(Reader {
            cluster: self.cluster,
            settings: self.settings,
            topic: self.topic,
            partition: self.partition,
            intake,
            assignment: Some(assignment),
            begin: if let Start::At(offset) = start { Some(offset) } else { None },
            ends,
        })
    }
}

/// Reads a topic or a partition without a group: nothing is committed anywhere.
#[derive(Debug)]
pub struct Reader {
    cluster: Cluster,
    settings: ConsumerSettings,
    topic: Topic,
    partition: Option<i32>,
    intake: Intake,
    /// Until reading begins.
    assignment: Option<Assignment>,
    /// The offset that reading begins at, if it was named.
    begin: Option<i64>,
    ends: Ends,
}

/// Where a reader ends.
enum Ends {
    /// Nowhere.
    None,
    /// Where the logs end at the first call; being asked for.
    Wanted,
    Asked(BoxFuture<'static, Result<BTreeMap<TopicPartition, i64>>>),
    /// There, by partition.
    At(BTreeMap<i32, i64>),
}

impl std::fmt::Debug for Ends {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::None => f.write_str("None"),
            Self::Wanted | Self::Asked(_) => f.write_str("Wanted"),
            Self::At(ends) => f.debug_tuple("At").field(ends).finish(),
        }
    }
}

impl Reader {
    /// The next record; waits for one, or gives `None` at the end if the reader is to end there.
    ///
    /// # Errors
    /// Of one partition, with topic, partition and offset: an offset out of range, a batch that cannot be read, missing authorization.
    /// The others go on with the next call. Unknown topics after `default.api.timeout.ms`, a partition that the topic does not have. Of brokers that refuse this client, at once; the
    /// reader goes on trying.
    ///
    /// # Cancel safety
    /// A record is taken only in the moment it is returned: dropping the future loses nothing.
    pub async fn next(&mut self) -> Result<Option<Message>> {
        poll_fn(|cx| self.poll_message(cx)).await
    }

    /// The next records of one partition, to be read in place. Where the reader ends at the end, the last batches may go beyond it.
    ///
    /// # Errors
    /// As [`next`](Self::next).
    ///
    /// # Cancel safety
    /// As [`next`](Self::next).
    pub async fn next_batch(&mut self) -> Result<Option<Batch>> {
        poll_fn(|cx| {
            ready!(self.poll_begin(cx))?;
            if self.at_end() {
                return Poll::Ready(Ok(None));
            }
            match self.intake.poll_batch(cx) {
                Poll::Pending if self.at_end() => Poll::Ready(Ok(None)),
                polled => polled,
            }
        })
        .await
    }

    /// Calls `handler` with each record, until the end or without end.
    ///
    /// # Errors
    /// [`ErrorKind::Processing`](crate::ErrorKind::Processing) if the handler fails or panics, with topic, partition, offset and the
    /// cause; else as [`next`](Self::next).
    ///
    /// # Cancel safety
    /// A record whose handler was running when the future was dropped is not handed out again by this reader.
    pub async fn each_message<F, R, E>(&mut self, mut handler: F) -> Result<()>
    where
        F: FnMut(Message) -> R,
        R: Future<Output = Result<(), E>>,
        E: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        while let Some(message) = self.next().await? {
            let offset = message.offset;
            let processed = processing::contain(async { handler(message).await }).await;
            processed.map_err(|failed| self.intake.failed_on(failed, offset))?;
        }
        Ok(())
    }

    /// Bytes of records that were fetched and wait for the user.
    pub fn buffered_bytes(&self) -> usize {
        self.intake.shared.lock().fetch.buffered()
    }

    /// The next offset to be handed out of a partition, once that is known.
    pub fn position(&self, partition: i32) -> Option<i64> {
        self.intake.shared.lock().positions.consumed(&TopicPartition::new(&self.topic, partition))
    }

    fn poll_message(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Message>>> {
        ready!(self.poll_begin(cx))?;
        loop {
            match self.intake.poll_message(cx) {
                // Written after reading began, in a partition that is at its end.
                Poll::Ready(Ok(Some(message))) if self.is_beyond_end(&message) => {
                    if self.at_end() {
                        return Poll::Ready(Ok(None));
                    }
                }
                Poll::Pending if self.at_end() => return Poll::Ready(Ok(None)),
                polled => return polled,
            }
        }
    }

    /// Finds out where to end, if anywhere, and starts the fetch task.
    fn poll_begin(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        loop {
            match &mut self.ends {
                Ends::Wanted => {
                    let (cluster, topic, partition) = (self.cluster.clone(), self.topic.clone(), self.partition);
                    let log_end = self.settings.isolation_level.log_end();
                    self.ends = Ends::Asked(Box::pin(async move {
                        let deadline = tokio::time::Instant::now() + cluster.config().default_api_timeout;
                        let partitions = match partition {
                            Some(partition) => vec![TopicPartition::new(&topic, partition)],
                            None => {
                                let count = cluster.topic(&topic, deadline).await?.partition_count();
                                (0..count).map(|partition| TopicPartition::new(&topic, partition)).collect()
                            }
                        };
                        let ends = cluster.list_offsets(partitions, LATEST, log_end, deadline).await.into_iter();
                        ends.map(|(partition, end)| Ok((partition, end?.offset.unwrap_or(0)))).collect()
                    }));
                }
                Ends::Asked(future) => match ready!(future.as_mut().poll(cx)) {
                    Ok(ends) => {
                        self.ends = Ends::At(ends.into_iter().map(|(partition, end)| (partition.partition, end)).collect())
                    }
                    Err(error) => {
                        self.ends = Ends::Wanted;
                        return Poll::Ready(Err(error));
                    }
                },
                Ends::None | Ends::At(_) => break,
            }
        }
        if let Some(assignment) = self.assignment.take() {
            fetch_driver::spawn(self.cluster.clone(), self.intake.shared.clone(), self.settings.fetch_max_wait, assignment)?;
        }
        Poll::Ready(Ok(()))
    }

    fn at_end(&self) -> bool {
        let Ends::At(ends) = &self.ends else { return false };
        let state = self.intake.shared.lock();
        // To begin beyond the end is a mistake, which the broker will tell; to come there, or a little further, is the end.
        let is_there = |consumed: i64, end: i64| consumed == end || (consumed > end && self.begin != Some(consumed));
        let consumed = |partition| state.positions.consumed(&TopicPartition::new(&self.topic, partition));
        ends.iter().all(|(partition, end)| consumed(*partition).is_some_and(|consumed| is_there(consumed, *end)))
    }

    fn is_beyond_end(&self, message: &Message) -> bool {
        let Ends::At(ends) = &self.ends else { return false };
        // A partition that was added meanwhile is all beyond the end.
        ends.get(&message.partition).is_none_or(|end| message.offset >= *end)
    }
}

/// The records as [`next`](Reader::next) gives them.
impl Stream for Reader {
    type Item = Result<Message>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.get_mut().poll_message(cx).map(Result::transpose)
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.intake.shared.close();
    }
}

impl Start {
    /// Only for what the user may name.
    pub(crate) fn timestamp(self) -> Option<i64> {
        match self {
            Self::At(_) => None,
            Self::Timestamp(timestamp) => Some(timestamp),
        }
    }
}
