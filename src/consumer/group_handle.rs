//! The consumer's side of its membership: what it asks of the group's task, and what that task sees of the user without a lock.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::time::Instant;

use tokio::sync::{Notify, mpsc, oneshot};

use crate::consumer::group::{Heartbeat, Membership};
use crate::consumer::offsets::OffsetAndMetadata;
use crate::consumer::pattern::Subscribed;
use crate::{Error, ErrorKind, Result, TopicPartition};

/// A membership; clones are the same member. When the last one is dropped, the member leaves.
#[derive(Clone, Debug)]
pub(crate) struct GroupHandle {
    pub(super) commands: mpsc::Sender<Wish>,
    pub(super) activity: Arc<Activity>,
}

/// What the group task sees of the user's comings and goings, and shows of the membership.
#[derive(Debug, Default)]
pub(super) struct Activity {
    /// Is the user inside a call that reads?
    pub(super) polling: AtomicBool,
    /// How often it came.
    pub(super) polls: AtomicU64,
    /// Does the task wait for the next poll?
    pub(super) wanted: AtomicBool,
    pub(super) wake: Notify,
    /// Where the membership stands.
    membership: AtomicU8,
}

/// What a handle wants.
#[derive(Debug)]
pub(super) enum Wish {
    Subscribe(Subscribed),
    Commit { offsets: Vec<(TopicPartition, OffsetAndMetadata)>, deadline: Instant, done: oneshot::Sender<Result<()>> },
    Heartbeat { when: Heartbeat, done: oneshot::Sender<Membership> },
    Leave { deadline: Instant, done: oneshot::Sender<Result<()>> },
}

impl Activity {
    pub(super) fn show(&self, membership: Membership) {
        self.membership.store(membership as u8, Ordering::Relaxed);
    }
}

impl GroupHandle {
    /// The user came into a call that reads: until `end_poll`, `max_poll_interval` does not run, and a member that was thrown out for
    /// it joins again. Costs a few nanoseconds.
    pub(crate) fn begin_poll(&self) {
        self.activity.polling.store(true, Ordering::Relaxed);
        // In one order with what the task does when the member goes stale: either it sees this poll, or this sees that it is wanted.
        self.activity.polls.fetch_add(1, Ordering::SeqCst);
        if self.activity.wanted.load(Ordering::SeqCst) {
            self.activity.wake.notify_one();
        }
    }

    /// The user goes off with what it got (or dropped the call): `max_poll_interval` runs from now, give or take a heartbeat.
    pub(crate) fn end_poll(&self) {
        // Only the user counts, and it is in one place at a time.
        let polls = self.activity.polls.load(Ordering::Relaxed);
        self.activity.polls.store(polls.wrapping_add(1), Ordering::Relaxed);
        self.activity.polling.store(false, Ordering::Relaxed);
    }

    /// Where the membership stands, as the last heartbeat found it.
    pub(crate) fn membership(&self) -> Membership {
        match self.activity.membership.load(Ordering::Relaxed) {
            found if found == Membership::Stable as u8 => Membership::Stable,
            found if found == Membership::Rebalancing as u8 => Membership::Rebalancing,
            _ => Membership::NotMember,
        }
    }

    /// Sends a heartbeat and waits for where the membership stands then. Dropping the future leaves the heartbeat on its way.
    pub(crate) async fn heartbeat(&self, when: Heartbeat) -> Result<Membership> {
        let (done, answer) = oneshot::channel();
        self.commands.send(Wish::Heartbeat { when, done }).await.map_err(|_| closed())?;
        answer.await.map_err(|_| closed())
    }

    /// Commits; retries what may succeed later until `deadline`. Waits while a rebalance does not allow commits. Partitions that
    /// are not ours any more make it fail, as does a generation that ended. Dropping the future leaves the commit on its way.
    pub(crate) async fn commit(&self, offsets: Vec<(TopicPartition, OffsetAndMetadata)>, deadline: Instant) -> Result<()> {
        let (done, answer) = oneshot::channel();
        self.ask(Wish::Commit { offsets, deadline, done }, answer).await
    }

    /// Subscribes to other topics from now on; the group rebalances.
    pub(crate) async fn subscribe(&self, to: Subscribed) -> Result<()> {
        self.commands.send(Wish::Subscribe(to)).await.map_err(|_| closed())
    }

    /// Leaves the group (a static member only stops), at `deadline` at the latest. Commit before. No events come after it.
    pub(crate) async fn leave(&self, deadline: Instant) -> Result<()> {
        let (done, answer) = oneshot::channel();
        self.ask(Wish::Leave { deadline, done }, answer).await
    }

    async fn ask(&self, wish: Wish, answer: oneshot::Receiver<Result<()>>) -> Result<()> {
        self.commands.send(wish).await.map_err(|_| closed())?;
        answer.await.unwrap_or_else(|_| Err(closed()))
    }
}

pub(super) fn closed() -> Error {
    Error::new(ErrorKind::Closed, "the consumer was closed, and has left its group; build another")
}
