//! The task that keeps one consumer in its group: it owns the connection to the coordinator and runs the group's cores.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, oneshot};

pub(crate) use crate::consumer::group::GroupConfig;
use crate::consumer::offsets::OffsetAndMetadata;
use crate::{Error, Result, Topic, TopicPartition};

/// What the group tells the consumer, in order.
#[derive(Debug)]
pub(crate) enum GroupEvent {
    /// These are ours now, besides those we had. `committed` is where the group stands, `None` if it never committed there.
    Assigned { generation: i32, added: Vec<(TopicPartition, Option<OffsetAndMetadata>)> },
    /// A rebalance begins that takes nothing away yet: commit what is marked, at once and without waiting for the user, then answer.
    Rebalancing { done: oneshot::Sender<()> },
    /// These will be taken away: wait until the user is back, but no longer than `deadline`, commit their marks, call the user's
    /// hook, answer. If no answer came some time after `deadline`, `Lost` follows.
    Revoking { partitions: Vec<TopicPartition>, deadline: Instant, done: oneshot::Sender<()> },
    /// These are no longer ours, since nobody knows when: drop their marks, commit nothing. `cause` says why.
    Lost { partitions: Vec<TopicPartition>, cause: Error },
    /// The group cannot go on; the consumer must be built anew. Nothing comes after it.
    Failed(Error),
}

/// The consumer's side of its membership; clones are the same member. When the last one is dropped, the member leaves.
#[derive(Clone, Debug)]
pub(crate) struct GroupHandle {
    commands: mpsc::Sender<Command>,
    activity: Arc<Activity>,
}

/// What the group task sees of the user's comings and goings, without a lock.
#[derive(Debug, Default)]
struct Activity {
    /// Is the user inside a call that reads?
    polling: AtomicBool,
    /// How often it came.
    polls: AtomicU64,
    /// Does the task wait for the next poll?
    wanted: AtomicBool,
    wake: tokio::sync::Notify,
}

#[derive(Debug)]
enum Command {
    Subscribe(Vec<Topic>),
    Commit { offsets: Vec<(TopicPartition, OffsetAndMetadata)>, deadline: Instant, done: oneshot::Sender<Result<()>> },
    Leave { deadline: Instant, done: oneshot::Sender<Result<()>> },
}

/// The member as others must be told of it (KIP-447).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct GroupMetadata {
    pub(crate) group_id: String,
    pub(crate) generation: i32,
    pub(crate) member_id: String,
    pub(crate) instance_id: Option<String>,
}

impl GroupHandle {
    /// The user came into a call that reads: until `end_poll`, `max_poll_interval` does not run. Costs two stores.
    pub(crate) fn begin_poll(&self) {
        self.activity.polling.store(true, Ordering::Relaxed);
        self.polled();
    }

    /// The user goes off with what it got (or dropped the call): `max_poll_interval` runs from now.
    pub(crate) fn end_poll(&self) {
        self.activity.polling.store(false, Ordering::Relaxed);
    }

    /// The user was here: `max_poll_interval` begins anew; a member that was thrown out for it joins again.
    pub(crate) fn polled(&self) {
        self.activity.polls.fetch_add(1, Ordering::Relaxed);
        if self.activity.wanted.load(Ordering::Relaxed) {
            self.activity.wake.notify_one();
        }
    }

    /// Commits; retries what may succeed later until `deadline`. Waits while a rebalance does not allow commits. Partitions that
    /// are not ours any more make it fail, as does a generation that ended. Dropping the future leaves the commit on its way.
    pub(crate) async fn commit(&self, offsets: Vec<(TopicPartition, OffsetAndMetadata)>, deadline: Instant) -> Result<()> {
        let (done, answer) = oneshot::channel();
        self.ask(Command::Commit { offsets, deadline, done }, answer).await
    }

    /// Subscribes to other topics from now on; the group rebalances.
    pub(crate) async fn subscribe(&self, topics: Vec<Topic>) -> Result<()> {
        self.commands.send(Command::Subscribe(topics)).await.map_err(|_| closed())
    }

    /// Leaves the group (a static member only stops), at `deadline` at the latest. Commit before. No events come after it.
    pub(crate) async fn leave(&self, deadline: Instant) -> Result<()> {
        let (done, answer) = oneshot::channel();
        self.ask(Command::Leave { deadline, done }, answer).await
    }

    async fn ask(&self, command: Command, answer: oneshot::Receiver<Result<()>>) -> Result<()> {
        self.commands.send(command).await.map_err(|_| closed())?;
        answer.await.unwrap_or_else(|_| Err(closed()))
    }
}

fn closed() -> Error {
    Error::new(crate::ErrorKind::Closed, "the consumer has left its group")
}
