//! The consumer's side of its membership: what it asks of the group's task, and what that task sees of the user.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
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
    /// Commits on their way to the task. They are handed over without waiting, so that they arrive in the order in which they were
    /// taken, and go on whatever becomes of who asked. The consumer has no more than a few under way.
    commits: Mutex<Commits>,
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

#[derive(Debug, Default)]
struct Commits {
    queue: Vec<Commit>,
    /// Nobody will take any out.
    over: bool,
}

#[derive(Debug)]
pub(super) struct Commit {
    pub(super) offsets: BTreeMap<TopicPartition, OffsetAndMetadata>,
    pub(super) deadline: Instant,
    pub(super) done: oneshot::Sender<Result<()>>,
}

/// However the task ends, also with its runtime before it was polled at all, nobody waits for a commit any more.
pub(super) struct Last(pub(super) Arc<Activity>);

impl Drop for Last {
    fn drop(&mut self) {
        let mut commits = self.0.commits();
        commits.over = true;
        commits.queue.clear();
    }
}

/// What else a handle wants.
#[derive(Debug)]
pub(super) enum Wish {
    Subscribe(Subscribed),
    Heartbeat { when: Heartbeat, done: oneshot::Sender<Membership> },
    Leave { deadline: Instant, done: oneshot::Sender<Result<()>> },
}

impl Activity {
    fn commits(&self) -> MutexGuard<'_, Commits> {
        // Nothing under the lock can panic half-way.
        self.commits.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What was handed over to be committed, in order.
    pub(super) fn take_commits(&self) -> Vec<Commit> {
        std::mem::take(&mut self.commits().queue)
    }

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
    /// are not ours any more make it fail, as does a generation that ended. It is on its way when this returns, before all that are
    /// handed over later; dropping the answer leaves it so.
    pub(crate) fn commit(
        &self,
        offsets: BTreeMap<TopicPartition, OffsetAndMetadata>,
        deadline: Instant,
    ) -> impl Future<Output = Result<()>> + Send + use<> {
        let (done, answer) = oneshot::channel();
        let mut commits = self.activity.commits();
        if !commits.over {
            commits.queue.push(Commit { offsets, deadline, done });
        }
        drop(commits);
        self.activity.wake.notify_one();
        async move { answer.await.unwrap_or_else(|_| Err(closed())) }
    }

    /// Subscribes to other topics from now on; the group rebalances.
    pub(crate) async fn subscribe(&self, to: Subscribed) -> Result<()> {
        self.commands.send(Wish::Subscribe(to)).await.map_err(|_| closed())
    }

    /// Leaves the group (a static member only stops), at `deadline` at the latest. Commit before. No events come after it.
    pub(crate) async fn leave(&self, deadline: Instant) -> Result<()> {
        let (done, answer) = oneshot::channel();
        self.commands.send(Wish::Leave { deadline, done }).await.map_err(|_| closed())?;
        answer.await.unwrap_or_else(|_| Err(closed()))
    }
}

pub(super) fn closed() -> Error {
    Error::new(ErrorKind::Closed, "the consumer was closed, and has left its group; build another")
}
