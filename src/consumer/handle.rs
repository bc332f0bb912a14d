//! What can be done to a consumer from outside its loop, and from inside its handlers.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::consumer::batch::Batch;
use crate::consumer::fetch::{EARLIEST, LATEST, Start};
use crate::consumer::group::{Heartbeat, Membership};
use crate::consumer::group_handle::{GroupHandle, closed};
use crate::consumer::offsets::Checkpoint;
use crate::consumer::pause::PauseOptions;
use crate::consumer::state::{Shared, State, now};
use crate::{Error, ErrorKind, Message, Result, Topic, TopicPartition};

/// Steers a [`Consumer`](super::Consumer) from elsewhere: from another task, a signal handler's, or from inside a handler of
/// [`each_message`](super::Consumer::each_message). Cheap to clone; it does not keep the consumer alive.
#[derive(Clone, Debug)]
pub struct ConsumerHandle {
    pub(crate) shared: Arc<Shared>,
    /// How long a heartbeat that was asked for may take.
    pub(crate) api_timeout: Duration,
}

/// A place in a partition's log to go to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SeekTo {
    /// The record with this offset, or the next one if there is none.
    Offset(i64),
    /// The first record that the log has.
    Beginning,
    /// Behind the last record.
    End,
    /// The first record of this time or later, in milliseconds since 1970-01-01 UTC; behind the last if there is none.
    Timestamp(i64),
}

impl From<i64> for SeekTo {
    fn from(offset: i64) -> Self {
        Self::Offset(offset)
    }
}

impl SeekTo {
    pub(crate) fn start(self) -> Result<Start> {
        let refuse = |message| Err(Error::new(ErrorKind::InvalidRequest, message));
        match self {
            Self::Offset(offset) if offset < 0 => refuse(format!("offset {offset} cannot exist: offsets begin at 0")),
            Self::Offset(offset) => Ok(Start::At(offset)),
            Self::Beginning => Ok(Start::Timestamp(EARLIEST)),
            Self::End => Ok(Start::Timestamp(LATEST)),
            Self::Timestamp(timestamp) if timestamp < 0 => refuse(format!("timestamp {timestamp} is before 1970")),
            Self::Timestamp(timestamp) => Ok(Start::Timestamp(timestamp)),
        }
    }
}

impl ConsumerHandle {
    /// Ends the consumer in order: what is being processed is finished, marked and committed, the group is left, and the call that
    /// reads returns. Safe to call from anywhere, as often as one likes.
    pub fn stop(&self) {
        self.shared.lock().stop();
    }

    /// Holds a partition back until [`resume`](Self::resume): nothing more of it is handed out, not even of what was fetched already.
    /// It stays assigned. One that is not assigned begins paused if it comes.
    pub fn pause(&self, topic: impl Into<Topic>, partition: i32) {
        // Without options nothing can contradict.
        let _ = self.pause_with(topic, partition, PauseOptions::new());
    }

    /// As [`pause`](Self::pause), for a time.
    ///
    /// # Errors
    /// Options that contradict each other; nothing is changed.
    pub fn pause_with(&self, topic: impl Into<Topic>, partition: i32, options: PauseOptions) -> Result<()> {
        let result = self.shared.lock().pause(now(), &TopicPartition::new(topic, partition), options);
        self.shared.wake.notify_one();
        result
    }

    /// Ends a pause: the partition goes on with the record after the last one handed out. Does nothing for a partition that is not
    /// paused, or not assigned.
    pub fn resume(&self, topic: impl Into<Topic>, partition: i32) {
        self.shared.lock().resume(now(), &TopicPartition::new(topic, partition));
        self.shared.wake.notify_one();
    }

    /// The partitions that are paused now, in order.
    pub fn paused(&self) -> Vec<TopicPartition> {
        self.shared.lock().pauses.paused(now())
    }

    /// Goes to another place in a partition: the next record of it is from there, and that place is committed. What was fetched or
    /// handed out before does not count any more. For a partition that is not assigned it holds once it is, in place of what the group
    /// committed; so it can be called before the first record is asked for.
    ///
    /// # Errors
    /// A negative offset or timestamp.
    pub fn seek(&self, topic: impl Into<Topic>, partition: i32, to: impl Into<SeekTo>) -> Result<()> {
        let start = to.into().start()?;
        self.shared.lock().seek(now(), &TopicPartition::new(topic, partition), start);
        self.shared.wake.notify_one();
        Ok(())
    }

    /// Says that this record and all before it in its partition were processed. Without effect if the partition is not assigned any
    /// more, or was sought since.
    #[doc(alias = "mark_message_as_processed")]
    pub fn mark_as_processed(&self, message: &Message) {
        let partition = TopicPartition { topic: message.topic.clone(), partition: message.partition };
        self.mark(&partition, message.offset, message.leader_epoch);
    }

    /// Says that this batch and all before it in its partition were processed; see [`mark_as_processed`](Self::mark_as_processed).
    pub fn mark_batch_as_processed(&self, batch: &Batch) {
        self.mark(batch.topic_partition(), batch.last_offset(), batch.leader_epoch());
    }

    fn mark(&self, partition: &TopicPartition, offset: i64, leader_epoch: Option<i32>) {
        let due = self.shared.lock().mark_by_name(partition, offset, leader_epoch);
        if due {
            self.shared.wake.notify_one();
        }
    }

    /// Commits what was marked, now.
    ///
    /// # Errors
    /// What the coordinator says, or [`ErrorKind::Timeout`] after `default.api.timeout.ms`; the same is committed again with the next.
    /// [`ErrorKind::Closed`] if the consumer ends meanwhile.
    ///
    /// # Cancel safety
    /// The commit goes on when the future is dropped.
    #[doc(alias = "commit_offsets")]
    pub async fn commit(&self) -> Result<()> {
        let answer = {
            let mut state = self.shared.lock();
            if state.group.is_none() {
                return Err(in_no_group(&state));
            }
            state.want_commit()
        };
        self.shared.wake.notify_one();
        answer.await.unwrap_or_else(|_| Err(closed()))
    }

    /// Where the consumer stands in its group, as the last heartbeat found it. Costs next to nothing and sends nothing, so a handler with
    /// much to do for one record may look at it now and then.
    pub fn membership(&self) -> Membership {
        self.shared.lock().group.as_ref().map_or(Membership::NotMember, GroupHandle::membership)
    }

    /// Sends a heartbeat now, and gives where the consumer stands in its group then. Heartbeats are sent in the background all the
    /// time: nobody has to call this to stay in the group, however long a handler takes
    /// ([`max_poll_interval`](crate::consumer::ConsumerBuilder::max_poll_interval) is another matter). It is for handlers that want to
    /// know for certain that nobody else has their partition by now.
    ///
    /// A rebalance is no error: return from the handler, and the call that reads goes through it and goes on.
    ///
    /// ```no_run
    /// # use klamm::consumer::{Consumer, Membership};
    /// # async fn example(mut consumer: Consumer) -> klamm::Result<()> {
    /// # async fn one_step_more() -> bool { true }
    /// let handle = consumer.handle();
    /// consumer.each_message(|_| {
    ///     let handle = handle.clone();
    ///     async move {
    ///         while one_step_more().await {
    ///             if handle.heartbeat().await? == Membership::NotMember {
    ///                 return Err(klamm::Error::new(klamm::ErrorKind::Group, "another member does this now"));
    ///             }
    ///         }
    ///         Ok(())
    ///     }
    /// }).await
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`ErrorKind::Timeout`] if the coordinator did not answer within `default.api.timeout.ms`; if the consumer has not begun to read,
    /// or has ended.
    ///
    /// # Cancel safety
    /// A heartbeat that was begun goes on when the future is dropped. One that still waits for the member, because much was asked of it at
    /// once, is not sent; those in the background are.
    #[doc(alias = "trigger_heartbeat!")]
    #[doc(alias = "send_heartbeat")]
    pub async fn heartbeat(&self) -> Result<Membership> {
        self.send_heartbeat(Heartbeat::Now).await
    }

    /// As [`heartbeat`](Self::heartbeat), but sends none as long as the last one is younger than
    /// [`heartbeat_interval`](crate::consumer::ConsumerBuilder::heartbeat_interval); then it is [`membership`](Self::membership).
    ///
    /// # Errors
    /// As [`heartbeat`](Self::heartbeat).
    ///
    /// # Cancel safety
    /// As [`heartbeat`](Self::heartbeat).
    #[doc(alias = "trigger_heartbeat")]
    #[doc(alias = "send_heartbeat_if_necessary")]
    pub async fn heartbeat_if_due(&self) -> Result<Membership> {
        self.send_heartbeat(Heartbeat::IfDue).await
    }

    async fn send_heartbeat(&self, when: Heartbeat) -> Result<Membership> {
        let group = self.group()?;
        let answer = tokio::time::timeout(self.api_timeout, group.heartbeat(when)).await;
        answer.unwrap_or_else(|_| {
            Err(Error::new(ErrorKind::Timeout, "the group's coordinator did not answer a heartbeat in time")
                .with_api("Heartbeat"))
        })
    }

    fn group(&self) -> Result<GroupHandle> {
        let state = self.shared.lock();
        state.group.clone().ok_or_else(|| in_no_group(&state))
    }

    /// The partitions that are assigned now, in order.
    pub fn assignment(&self) -> Vec<TopicPartition> {
        self.shared.lock().positions.assignment().cloned().collect()
    }

    /// The next offset to be handed out of a partition; `None` if it is not assigned, or where it begins is not known yet.
    pub fn position(&self, topic: impl Into<Topic>, partition: i32) -> Option<i64> {
        self.shared.lock().positions.consumed(&TopicPartition::new(topic, partition))
    }

    /// What would be committed for a partition: everything before this offset was marked.
    pub fn checkpoint(&self, topic: impl Into<Topic>, partition: i32) -> Option<i64> {
        self.shared.lock().positions.checkpoint(&TopicPartition::new(topic, partition)).map(|checkpoint| checkpoint.offset)
    }

    /// The end of a partition's log when it was last fetched.
    pub fn high_watermark(&self, topic: impl Into<Topic>, partition: i32) -> Option<i64> {
        let state = self.shared.lock();
        state.fetch.high_watermark(state.positions.place(&TopicPartition::new(topic, partition))?.slot)
    }

    /// Bytes of records that were fetched and wait for the user.
    pub fn buffered_bytes(&self) -> usize {
        self.shared.lock().fetch.buffered()
    }
}

fn in_no_group(state: &State) -> Error {
    match state.closed {
        true => closed(),
        false => Error::new(ErrorKind::InvalidRequest, "the consumer is in no group: it has not begun to read"),
    }
}

/// Hands `commit` over to the group, and takes note of how it ends. Called under the lock under which it was taken: so no other, taken
/// later, is handed over before it, and an older offset is never stored after a newer one.
pub(crate) fn begin_commit(
    shared: &Arc<Shared>,
    group: Option<&GroupHandle>,
    commit: Option<Checkpoint>,
    deadline: Instant,
) -> impl Future<Output = Result<()>> + Send + use<> {
    let committing = group.zip(commit).map(|(group, commit)| (group.commit(commit.offsets.clone(), deadline), commit));
    let shared = shared.clone();
    async move {
        let Some((result, commit)) = committing else { return Ok(()) };
        let result = result.await;
        shared.lock().committed(commit, result.is_ok());
        result
    }
}
