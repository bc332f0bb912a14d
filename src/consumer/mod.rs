//! Consumers: groups, positions, fetched records.
//!
//! A [`Consumer`] is a member of a group. Two tasks work for it: the group's (`group_driver`: membership, heartbeats, commits on the
//! wire) and the fetch task (`fetch_driver`: what to read from whom, ahead of the user). The user's own calls take what is there
//! (`intake`): nothing is handed out, marked or given away behind the user's back, and neither task runs the user's code.
//!
//! ```text
//!  group cores ── group_driver ──events──> fetch_driver ── fetch● ──> brokers
//!                      ^                        │  chunks (chunk)
//!                      │ commits                v
//!                 offsets● <──────────  state: positions●, pause●, queue  <── intake ── next / each_message / each_batch
//! ```
//!
//! Decisions are in the cores ●; `state` is the one lock between the two sides. A [`Reader`] is the same without a group.
//!
//! A group's topics are named, or found by patterns (`pattern`●, and `pattern_driver`, which lists the cluster's topics for it). User
//! code runs in two places only: hooks, interceptors (`interceptor`) and handlers inside the calls that read; an assignor of the user's on
//! the runtime's blocking pool (but for what it adds to a subscription, which must be at hand).
//!
//! # Heartbeats
//!
//! The group's task sends them, whatever the user does: a handler may take as long as it likes without losing its membership, and needs
//! no call to keep it, as it did with ruby-kafka. What ends the membership of a busy consumer is
//! [`max_poll_interval`](ConsumerBuilder::max_poll_interval), which exists to notice handlers that hang; raise it for work that takes
//! longer. A rebalance waits for a handler for as long as that, too. One that wants to be a good neighbour looks at
//! [`ConsumerHandle::membership`] now and then and returns early; one that wants to know for certain that its partition is still its own
//! calls [`ConsumerHandle::heartbeat`].
//!
//! # Life cycle
//!
//! `build` checks settings and sends nothing; the first call for a record joins the group; [`ConsumerHandle::stop`] ends the
//! call that reads after the record in hand, commits, leaves; [`Consumer::close`] does the same with a deadline; dropping the consumer
//! leaves the group without committing.

pub mod assignor;
mod batch;
mod builder;
mod chunk;
mod fetch;
mod fetch_driver;
mod fetch_messages;
pub(crate) mod group;
mod group_driver;
mod group_handle;
mod group_link;
mod handle;
mod intake;
mod interceptor;
mod log_range;
mod offsets;
mod pattern;
mod pattern_driver;
mod pause;
mod positions;
mod processing;
mod reader;
mod refusal;
mod settings;
mod state;
#[cfg(feature = "unstable-cores")]
pub(crate) mod unstable;

use std::future::poll_fn;
use std::ops::Deref;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_core::Stream;

pub use batch::{Batch, BatchRecords};
pub use builder::ConsumerBuilder;
pub use fetch_messages::FetchMessages;
pub use group::Membership;
pub use handle::{ConsumerHandle, SeekTo};
pub use interceptor::{ConsumerInterceptor, Intercepted};
pub use offsets::OffsetAndMetadata;
pub use pattern::TopicPattern;
pub use pause::PauseOptions;
pub use reader::{Reader, ReaderBuilder};
pub use settings::{IsolationLevel, OffsetReset};

use crate::cluster::Cluster;
use crate::consumer::builder::Hooks;
use crate::consumer::fetch_driver::Assignment;
use crate::consumer::group_driver::GroupConfig;
use crate::consumer::group_handle::GroupHandle;
use crate::consumer::intake::Intake;
pub(crate) use crate::consumer::settings::ConsumerSettings;
use crate::consumer::state::Shared;
use crate::{Message, Result, Topic, TopicPartition};

/// A member of a consumer group.
///
/// It hands out the records of the partitions that the group gives it, in order within each partition, and keeps the group's place:
/// what was *marked* as processed is committed now and then, before partitions are given away, and at the end. Records are marked
/// automatically (see [`next`](Self::next), [`each_message`](Self::each_message), [`each_batch`](Self::each_batch)) unless
/// [`ConsumerBuilder::automatically_mark_as_processed`] says otherwise. After a crash the group goes on behind the last commit, so a
/// record may be seen again, but none is skipped.
///
/// Everything of [`ConsumerHandle`] can be called on a consumer.
///
/// ```no_run
/// # async fn example(client: klamm::Client) -> klamm::Result<()> {
/// let mut consumer = client.consumer("billing").topics(["orders"]).build()?;
/// let handle = consumer.handle();
/// tokio::spawn(async move {
///     tokio::time::sleep(std::time::Duration::from_secs(60)).await;
///     handle.stop();
/// });
/// while let Some(message) = consumer.next().await? {
///     println!("{} at offset {} of partition {}", message.topic, message.offset, message.partition);
/// }
/// # Ok(())
/// # }
/// ```
///
/// Many records for the cost of one call, read in place:
///
/// ```no_run
/// # async fn example(mut consumer: klamm::consumer::Consumer) -> klamm::Result<()> {
/// let mut bytes = 0;
/// while let Some(batch) = consumer.next_batch().await? {
///     for record in &batch {
///         bytes += record?.value.map_or(0, <[u8]>::len);
///     }
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Consumer {
    cluster: Cluster,
    settings: ConsumerSettings,
    handle: ConsumerHandle,
    intake: Intake,
    group: Option<GroupHandle>,
    /// A stream ends after an error that will not go away.
    stream_ended: bool,
}

impl Consumer {
    pub(crate) fn new(cluster: Cluster, settings: ConsumerSettings, hooks: Hooks) -> Result<Self> {
        // Without a runtime neither task could run: better said here than with the first record.
        fetch_driver::runtime()?;
        let api_timeout = cluster.config().default_api_timeout;
        let shared = Shared::new(&settings, cluster.backoff(), cluster.config().seed);
        let (mark, batch_bytes) = (settings.automatically_mark, settings.max_partition_fetch_bytes);
        let intake = Intake::new(cluster.clone(), shared.clone(), hooks, mark, batch_bytes, api_timeout);
        let handle = ConsumerHandle { shared, api_timeout };
        Ok(Self { cluster, settings, handle, intake, group: None, stream_ended: false })
    }

    /// Joins the group, the first time.
    fn begin(&mut self) -> Result<()> {
        if self.group.is_some() || self.intake.is_ended() {
            return Ok(());
        }
        let settings = &self.settings;
        let assignors = match settings.assignors.as_slice() {
            [] => vec![Arc::new(assignor::CooperativeStickyAssignor) as Arc<dyn assignor::Assignor>],
            named => named.to_vec(),
        };
        let config = GroupConfig {
            group_id: settings.group_id.clone(),
            session_timeout: settings.session_timeout,
            heartbeat_interval: settings.heartbeat_interval,
            max_poll_interval: settings.max_poll_interval,
            assignors,
            instance_id: settings.instance_id.clone(),
            rack: settings.rack.clone(),
            request_timeout: self.cluster.config().request_timeout,
            offset_retention: settings.offset_retention,
        };
        let to = settings.subscribed(self.cluster.config().metadata_max_age)?;
        let (handle, events) = group_driver::join(self.cluster.clone(), config, to, settings.assigning)?;
        self.handle.shared.lock().group = Some(handle.clone());
        let assignment = Assignment::Group { handle: handle.clone(), events, topics: settings.topics.clone() };
        fetch_driver::spawn(self.cluster.clone(), self.handle.shared.clone(), settings.fetch_max_wait, assignment)?;
        self.group = Some(handle);
        Ok(())
    }

    /// Consumes these topics from now on, and no others, nor those that match a pattern. Partitions of topics that are kept stay where they are; those of others are
    /// given away as in any rebalance, so [`ConsumerBuilder::on_revoked`] hears of them inside the next call that reads.
    ///
    /// # Errors
    /// No topic, or a name that Kafka would refuse; nothing is changed. [`ErrorKind::Closed`](crate::ErrorKind::Closed) after the end.
    ///
    /// # Cancel safety
    /// Dropped before it returns, the subscription may have changed or not.
    pub async fn subscribe<T: Into<Topic>>(&mut self, topics: impl IntoIterator<Item = T>) -> Result<()> {
        let topics = topics.into_iter().map(Into::into).collect();
        self.change_subscription(ConsumerSettings { topics, patterns: Vec::new(), ..self.settings.clone() }).await
    }

    /// Consumes the topics whose names match a pattern from now on, and no others; see
    /// [`ConsumerBuilder::topics_matching`] for what a pattern is. Else as [`subscribe`](Self::subscribe); what was subscribed to before
    /// is consumed until it is known which topics match.
    ///
    /// # Errors
    /// A pattern that is none; nothing is changed. [`ErrorKind::Closed`](crate::ErrorKind::Closed) after the end.
    ///
    /// # Cancel safety
    /// As [`subscribe`](Self::subscribe).
    pub async fn subscribe_matching(&mut self, pattern: impl Into<String>) -> Result<()> {
        let patterns = vec![pattern.into()];
        self.change_subscription(ConsumerSettings { topics: Vec::new(), patterns, ..self.settings.clone() }).await
    }

    async fn change_subscription(&mut self, settings: ConsumerSettings) -> Result<()> {
        settings.check()?;
        let to = settings.subscribed(self.cluster.config().metadata_max_age)?;
        if let Some(group) = &self.group {
            group.subscribe(to).await?;
        }
        self.settings = settings;
        Ok(())
    }

    /// The next record; waits for one. `None` after [`stop`](ConsumerHandle::stop), once everything marked was committed and the group
    /// was left.
    ///
    /// Asking for the next record marks the one before it as processed, unless automatic marking is off.
    ///
    /// # Errors
    /// Of one partition, with topic, partition and offset: a batch that cannot be read, an offset out of range where
    /// `auto_offset_reset` is an error, missing authorization. The others go on with the next call, and it is tried again. Of brokers that
    /// refuse this client ([`Authentication`](crate::ErrorKind::Authentication), [`Tls`](crate::ErrorKind::Tls)): the consumer goes on
    /// trying, and so may you. Of the group, if it cannot go on; these come again with each call, as does
    /// [`ErrorKind::Closed`](crate::ErrorKind::Closed) once the runtime in which it began to read has ended.
    ///
    /// # Cancel safety
    /// A record is taken only in the moment it is returned: dropping the future loses nothing.
    pub async fn next(&mut self) -> Result<Option<Message>> {
        self.begin()?;
        let _polling = Polling::begin(self.group.as_ref());
        let intake = &mut self.intake;
        poll_fn(|cx| intake.poll_message(cx)).await
    }

    /// The next records of one partition, to be read in place: as [`next`](Self::next), with the cost of one call for many records.
    /// The batch before it is marked as processed, unless automatic marking is off.
    ///
    /// # Errors
    /// As [`next`](Self::next).
    ///
    /// # Cancel safety
    /// As [`next`](Self::next).
    pub async fn next_batch(&mut self) -> Result<Option<Batch>> {
        self.begin()?;
        let _polling = Polling::begin(self.group.as_ref());
        let intake = &mut self.intake;
        poll_fn(|cx| intake.poll_batch(cx)).await
    }

    /// Calls `handler` with each record and marks it when the handler returned without error. Returns after
    /// [`stop`](ConsumerHandle::stop).
    ///
    /// ```no_run
    /// # use std::time::Duration;
    /// # use klamm::{ErrorKind, Message, consumer::{Consumer, PauseOptions}};
    /// # async fn example(mut consumer: Consumer) -> klamm::Result<()> {
    /// # async fn book(_: &Message) -> std::io::Result<()> { Ok(()) }
    /// let options = PauseOptions::new().timeout(Duration::from_secs(10)).exponential_backoff(true);
    /// // A record that fails is tried again after 10, 20, 40 ... seconds; other partitions go on.
    /// while let Err(error) = consumer.each_message(|message| async move { book(&message).await }).await {
    ///     match (error.kind(), error.topic(), error.partition()) {
    ///         (ErrorKind::Processing, Some(topic), Some(partition)) => consumer.pause_with(topic, partition, options)?,
    ///         _ => return Err(error),
    ///     }
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`ErrorKind::Processing`](crate::ErrorKind::Processing) if the handler fails or panics, with topic, partition, offset and the
    /// cause. What was processed before is committed; the record that failed is not marked, and is the next one of its partition when
    /// `each_message` is called again: at once, or after a [`pause`](ConsumerHandle::pause_with). Else as [`next`](Self::next).
    ///
    /// # Cancel safety
    /// A record whose handler was running when the future was dropped is not marked, but is not handed out again by this consumer.
    pub async fn each_message<F, R, E>(&mut self, mut handler: F) -> Result<()>
    where
        F: FnMut(Message) -> R,
        R: Future<Output = Result<(), E>>,
        E: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        while let Some(message) = self.next().await? {
            let handed_out = self.intake.take_previous();
            let (offset, marked_by_user) = (message.offset, handed_out.is_none().then(|| message.topic.clone()));
            let partition = message.partition;
            let processed = processing::contain(async { handler(message).await }).await;
            if let Err(failed) = processed {
                let error = self.intake.failed_on(failed, offset);
                commit_what_was_before(self.handle.clone()).await;
                return Err(error);
            }
            if let Some(handed_out) = handed_out {
                self.intake.processed(handed_out);
            } else if let Some(topic) = marked_by_user {
                self.intake.succeeded(&TopicPartition::new(topic, partition));
            }
        }
        Ok(())
    }

    /// Calls `handler` with batches of records and marks each batch when the handler returned without error. Returns after
    /// [`stop`](ConsumerHandle::stop).
    ///
    /// # Errors
    /// As [`each_message`](Self::each_message); of a batch that failed nothing is marked. The error's offset is the batch's first, its
    /// text has both ends.
    ///
    /// # Cancel safety
    /// As [`each_message`](Self::each_message).
    pub async fn each_batch<F, R, E>(&mut self, mut handler: F) -> Result<()>
    where
        F: FnMut(Arc<Batch>) -> R,
        R: Future<Output = Result<(), E>>,
        E: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        while let Some(batch) = self.next_batch().await? {
            let handed_out = self.intake.take_previous();
            let batch = Arc::new(batch);
            let processed = processing::contain(async { handler(batch.clone()).await }).await;
            if let Err(failed) = processed {
                self.intake.failed(batch.place, batch.first_offset());
                let error = failed.on_batch(&batch);
                commit_what_was_before(self.handle.clone()).await;
                return Err(error);
            }
            match handed_out {
                Some(handed_out) => self.intake.processed(handed_out),
                None => self.intake.succeeded(batch.topic_partition()),
            }
        }
        Ok(())
    }

    /// A handle to steer this consumer from elsewhere.
    pub fn handle(&self) -> ConsumerHandle {
        self.handle.clone()
    }

    /// Commits what was marked, leaves the group and ends, all within `deadline`. What [`next`](Self::next) gave out last counts as
    /// processed only if it was marked.
    ///
    /// # Errors
    /// If the last commit failed or was not answered in time; the consumer has ended all the same.
    ///
    /// # Cancel safety
    /// The consumer has ended, as if it had been dropped: it leaves the group, and what was marked may have been committed or not.
    pub async fn close(mut self, deadline: Duration) -> Result<()> {
        self.intake.close(deadline).await
    }

    /// Everything the user does with the membership in hand.
    fn poll_stream(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Message>>> {
        if self.stream_ended {
            return Poll::Ready(None);
        }
        if let Err(error) = self.begin() {
            self.stream_ended = true;
            return Poll::Ready(Some(Err(error)));
        }
        if let Some(group) = &self.group {
            group.begin_poll();
        }
        let polled = self.intake.poll_message(cx);
        if let (Poll::Ready(result), Some(group)) = (&polled, &self.group) {
            group.end_poll();
            self.stream_ended = result.is_err() && self.handle.shared.lock().failed.is_some();
        }
        polled.map(Result::transpose)
    }
}

/// What was processed before a failure counts, whatever happens next.
async fn commit_what_was_before(handle: ConsumerHandle) {
    if let Err(error) = handle.commit().await {
        tracing::warn!(%error, "committing what was processed before a failure failed");
    }
}

/// The records as [`next`](Consumer::next) gives them; ends after [`stop`](ConsumerHandle::stop), or an error of the group.
impl Stream for Consumer {
    type Item = Result<Message>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.get_mut().poll_stream(cx)
    }
}

impl Deref for Consumer {
    type Target = ConsumerHandle;

    fn deref(&self) -> &ConsumerHandle {
        &self.handle
    }
}

/// Ends both tasks; the group is left without a commit. Never blocks.
impl Drop for Consumer {
    fn drop(&mut self) {
        let mut state = self.handle.shared.lock();
        state.group = None;
        drop(state);
        self.handle.shared.close();
    }
}

/// The user is inside a call that reads: `max.poll.interval.ms` does not run.
struct Polling<'a>(Option<&'a GroupHandle>);

impl<'a> Polling<'a> {
    fn begin(group: Option<&'a GroupHandle>) -> Self {
        if let Some(group) = group {
            group.begin_poll();
        }
        Self(group)
    }
}

impl Drop for Polling<'_> {
    fn drop(&mut self) {
        if let Some(group) = self.0 {
            group.end_poll();
        }
    }
}
