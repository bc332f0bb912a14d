//! The user's end: where records leave the consumer.
//!
//! Everything a user's call for more may have to do happens in one poll function, in this order: the record given out before is
//! marked (where that is automatic); what interrupts is dealt with (partitions that came, go, or are lost; stop; errors); the next
//! record is read from the open batch, and in the same step, under the lock, the consumed position moves. So a future that is dropped
//! has taken nothing, and a record whose partition was revoked, sought or paused a moment before is not handed out.
//!
//! What takes time, a commit before partitions are given away or the end of a stopped consumer, is kept here and goes on with the
//! next poll if a future was dropped in the middle of it.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use crate::cluster::Cluster;
use crate::consumer::batch::Batch;
use crate::consumer::builder::{Hook, Hooks};
use crate::consumer::chunk::{Chunk, Fault};
use crate::consumer::fetch::{Item, unreadable};
use crate::consumer::handle::begin_commit;
use crate::consumer::log_range::with_log_range;
use crate::consumer::positions::{Checkpoint, Place};
use crate::consumer::processing::Failed;
use crate::consumer::state::{Notice, Shared, State, now};
use crate::protocol::records::Limits;
use crate::{Error, ErrorKind, Message, Result, TopicPartition};

/// What was handed out last, for its mark.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HandedOut {
    place: Place,
    offset: i64,
    leader_epoch: Option<i32>,
    records: u32,
}

#[derive(Debug)]
pub(crate) struct Intake {
    pub(crate) shared: Arc<Shared>,
    hooks: Hooks,
    limits: Limits,
    automatically_mark: bool,
    /// Bytes of records that a `Batch` is made of, at most, but for a first one that is larger.
    batch_bytes: usize,
    close_timeout: Duration,
    chunk: Option<Taken>,
    /// Handed out by `next`, to be marked when the next is asked for.
    previous: Option<HandedOut>,
    /// Memory of the chunk in hand that is charged beyond its size: of what was decompressed.
    charged: usize,
    work: Option<Work>,
    cluster: Cluster,
    /// The end was reached and told.
    ended: bool,
}

/// The chunk that records are read from.
#[derive(Debug)]
struct Taken {
    chunk: Box<Chunk>,
    partition: TopicPartition,
}

/// What takes time on the user's side.
struct Work {
    future: Pin<Box<dyn Future<Output = Result<()>> + Send>>,
    then: Then,
}

impl std::fmt::Debug for Work {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Work").field("then", &self.then).finish_non_exhaustive()
    }
}

#[derive(Debug)]
enum Then {
    /// These were committed for the last time.
    GiveAway { partitions: Vec<TopicPartition>, done: oneshot::Sender<()> },
    /// All was committed and the group left.
    End,
    /// More was asked about an error; what it came to is for the user.
    Tell,
}

impl Intake {
    pub(crate) fn new(
        cluster: Cluster,
        shared: Arc<Shared>,
        hooks: Hooks,
        automatically_mark: bool,
        batch_bytes: usize,
        close_timeout: Duration,
    ) -> Self {
        Self {
            shared,
            hooks,
            limits: Limits::default(),
            automatically_mark,
            batch_bytes,
            close_timeout,
            chunk: None,
            previous: None,
            charged: 0,
            work: None,
            cluster,
            ended: false,
        }
    }

    /// The next record; `None` at the end.
    pub(crate) fn poll_message(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Message>>> {
        loop {
            if let Some(message) = self.read() {
                return Poll::Ready(message.map(Some));
            }
            if !ready!(self.poll_chunk(cx))? {
                return Poll::Ready(Ok(None));
            }
        }
    }

    /// The next records of one partition; `None` at the end.
    pub(crate) fn poll_batch(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Batch>>> {
        loop {
            if let Some(batch) = self.take() {
                return Poll::Ready(batch.map(Some));
            }
            if !ready!(self.poll_chunk(cx))? {
                return Poll::Ready(Ok(None));
            }
        }
    }

    /// Reads one record of the open batch and hands it out; `None` if something else comes first.
    #[inline]
    fn read(&mut self) -> Option<Result<Message>> {
        let taken = self.chunk.as_mut()?;
        let place = taken.chunk.place();
        let mut state = self.shared.lock();
        if let Some(previous) = self.previous.take() {
            mark(&self.shared, &mut state, previous);
        }
        if state.interrupted || !state.may_hand_out(place) {
            return None;
        }
        match taken.chunk.read(&taken.partition)? {
            Ok((message, next)) => {
                state.positions.hand_out(place, message.offset, next);
                drop(state);
                if self.automatically_mark {
                    let (offset, leader_epoch) = (message.offset, message.leader_epoch);
                    self.previous = Some(HandedOut { place, offset, leader_epoch, records: 1 });
                }
                if self.hooks.interceptors.is_empty() {
                    return Some(Ok(message));
                }
                Some(Ok(self.hooks.interceptors.on_message(message)))
            }
            Err(fault) => {
                drop(state);
                Some(Err(self.faulty(fault)))
            }
        }
    }

    /// Takes batches out of the chunk and hands them out; `None` if something else comes first.
    fn take(&mut self) -> Option<Result<Batch>> {
        let taken = self.chunk.as_mut()?;
        let place = taken.chunk.place();
        // Decompresses, so before the lock.
        let parts = match taken.chunk.take(self.limits, self.batch_bytes) {
            Ok(parts) => parts?,
            Err(fault) => return Some(Err(self.faulty(fault))),
        };
        let (parts, next) = parts;
        let mut state = self.shared.lock();
        if let Some(previous) = self.previous.take() {
            mark(&self.shared, &mut state, previous);
        }
        if state.interrupted || !state.may_hand_out(place) {
            taken.chunk.untake(parts);
            return None;
        }
        let batch = Batch::new(taken.partition.clone(), place, parts, next.offset, taken.chunk.high_watermark());
        state.positions.hand_out(place, batch.last_offset(), next);
        drop(state);
        if self.automatically_mark {
            self.previous = Some(batch.handed_out());
        }
        if !self.hooks.interceptors.is_empty() {
            self.hooks.interceptors.on_batch(&batch);
        }
        Some(Ok(batch))
    }

    /// Brings a chunk with an open batch; `false` at the end.
    fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<Result<bool>> {
        loop {
            if let Some(work) = &mut self.work {
                let result = ready!(work.future.as_mut().poll(cx));
                match self.work.take().map(|work| work.then) {
                    Some(Then::Tell) => result?,
                    Some(then) => self.worked(then, result),
                    None => {}
                }
                continue;
            }
            if self.ended {
                return Poll::Ready(Ok(false));
            }
            let now = now();
            let shared = self.shared.clone();
            let mut state = shared.lock();
            if let Some(previous) = self.previous.take() {
                mark(&self.shared, &mut state, previous);
            }
            if let Some(notice) = state.notices.pop_front() {
                self.notice(now, state, notice)?;
                continue;
            }
            if let Some(error) = state.take_refusal() {
                return Poll::Ready(Err(error));
            }
            state.interrupted = state.stopped || state.failed.is_some();
            self.keep_or_drop_chunk(&mut state);
            if let Some(error) = &state.failed {
                return Poll::Ready(Err(self.cluster.with_principal(error.clone())));
            }
            if state.stopped {
                self.begin_end(now, state);
                continue;
            }
            if let Some(taken) = &mut self.chunk {
                drop(state);
                let prepared = taken.chunk.prepare(self.limits);
                self.recharge();
                match prepared {
                    Ok(true) => return Poll::Ready(Ok(true)),
                    Ok(false) => self.used_up(),
                    Err(fault) => return Poll::Ready(Err(self.faulty(fault))),
                }
                continue;
            }
            match state.fetch.take(now) {
                Some(Item::Chunk(chunk)) => {
                    let partition = state.positions.name(chunk.place()).cloned();
                    self.chunk = partition.map(|partition| Taken { chunk, partition });
                }
                Some(Item::OutOfRange { place, offset }) => {
                    let result = state.out_of_range(now, place, offset);
                    drop(state);
                    self.shared.wake.notify_one();
                    if let Err(error) = result {
                        self.tell_with_range(error);
                    }
                }
                Some(Item::Fault { error, .. }) => {
                    drop(state);
                    self.shared.wake.notify_one();
                    return Poll::Ready(Err(self.cluster.with_principal(error)));
                }
                None => {
                    state.wait(cx.waker());
                    return Poll::Pending;
                }
            }
        }
    }

    /// Charges what the chunk in hand was decompressed to, while it lasts.
    fn recharge(&mut self) {
        let extra = self.chunk.as_ref().map_or(0, |taken| taken.chunk.extra());
        let before = std::mem::replace(&mut self.charged, extra);
        if before != extra {
            self.shared.lock().fetch.recharge(before, extra);
        }
    }

    /// The chunk in hand may belong to a partition that is not ours any more, or paused.
    fn keep_or_drop_chunk(&mut self, state: &mut State) {
        let Some(taken) = self.chunk.take_if(|taken| !state.may_hand_out(taken.chunk.place())) else { return };
        state.fetch.recharge(std::mem::take(&mut self.charged), 0);
        let place = taken.chunk.place();
        if state.positions.is_current(place) {
            state.fetch.put_back(taken.chunk);
        } else if state.fetch.release(place, taken.chunk.size()) {
            self.shared.wake.notify_one();
        }
    }

    /// All records of the chunk were handed out.
    fn used_up(&mut self) {
        let Some(taken) = self.chunk.take() else { return };
        let mut state = self.shared.lock();
        state.fetch.recharge(std::mem::take(&mut self.charged), 0);
        let commit = state.pass(taken.chunk.place(), taken.chunk.next());
        if state.fetch.release(taken.chunk.place(), taken.chunk.size()) | commit {
            self.shared.wake.notify_one();
        }
    }

    /// A batch of the chunk cannot be read: the partition stays before it, and it is fetched anew, for it may have been damaged on the
    /// way.
    #[cold]
    fn faulty(&mut self, (offset, fault): Fault) -> Error {
        let Some(taken) = self.chunk.take() else {
            return Error::new(ErrorKind::Bug, "a fault without a chunk").with_source(fault);
        };
        let (now, place) = (now(), taken.chunk.place());
        let mut state = self.shared.lock();
        if let Some(previous) = self.previous.take() {
            mark(&self.shared, &mut state, previous);
        }
        state.fetch.recharge(std::mem::take(&mut self.charged), 0);
        state.fetch.release(place, taken.chunk.size());
        state.pass(place, Checkpoint { offset, leader_epoch: None });
        state.rewind(now, place, offset);
        state.fetch.fail(now, place.slot);
        self.shared.wake.notify_one();
        unreadable(&taken.partition, offset, fault)
    }

    /// What the fetch task left for the user's side.
    fn notice(&mut self, now: Instant, mut state: std::sync::MutexGuard<'_, State>, notice: Notice) -> Result<()> {
        match notice {
            Notice::Assigned(partitions) => {
                drop(state);
                call(&mut self.hooks.assigned, &partitions);
            }
            Notice::Lost(partitions) => {
                drop(state);
                let hook = if self.hooks.lost.is_some() { &mut self.hooks.lost } else { &mut self.hooks.revoked };
                call(hook, &partitions);
            }
            Notice::Trouble(error) if error.kind() == ErrorKind::OffsetOutOfRange => {
                drop(state);
                self.tell_with_range(error);
            }
            Notice::Trouble(error) => return Err(self.cluster.with_principal(error)),
            // Nobody waits for it any more: they are lost, which is told next.
            Notice::Revoking { done, .. } if done.is_closed() => {}
            Notice::Revoking { partitions, deadline, done } => {
                let commit = state.take_commit(now);
                let commit = begin_commit(&self.shared, state.group.as_ref(), commit, deadline);
                drop(state);
                self.work = Some(Work { future: Box::pin(commit), then: Then::GiveAway { partitions, done } });
            }
        }
        Ok(())
    }

    fn worked(&mut self, then: Then, result: Result<()>) {
        match then {
            Then::GiveAway { partitions, done } => {
                if let Err(error) = result {
                    tracing::warn!(?partitions, %error, "committing before partitions are given away failed");
                }
                // The group may have gone on without us; then they are lost, which is told next, and may be ours anew already.
                if done.is_closed() {
                    return;
                }
                self.shared.lock().unassign(now(), &partitions);
                call(&mut self.hooks.revoked, &partitions);
                let _ = done.send(());
            }
            // Told by the poll that it ended in.
            Then::Tell => {}
            Then::End => {
                if let Err(error) = result {
                    tracing::warn!(%error, "ending the consumer in order failed");
                }
                self.end();
            }
        }
    }

    /// Tells the user of an offset that the log does not have once it is known which it has.
    fn tell_with_range(&mut self, error: Error) {
        let (cluster, partition) = (self.cluster.clone(), error.topic().zip(error.partition()));
        let partition = partition.map(|(topic, partition)| TopicPartition::new(topic, partition));
        let told = async move {
            Err(match partition {
                Some(partition) => with_log_range(&cluster, &partition, error).await,
                None => error,
            })
        };
        self.work = Some(Work { future: Box::pin(told), then: Then::Tell });
    }

    /// Nothing more will be read.
    fn end(&mut self) {
        self.ended = true;
        (self.chunk, self.previous) = (None, None);
        self.shared.close();
    }

    fn begin_end(&mut self, now: Instant, mut state: std::sync::MutexGuard<'_, State>) {
        let (commit, group) = (state.take_commit(now), state.group.take());
        let deadline = now + self.close_timeout;
        let commit = begin_commit(&self.shared, group.as_ref(), commit, deadline);
        drop(state);
        let end = async move {
            let Some(group) = group else { return Ok(()) };
            let committed = commit.await;
            let left = group.leave(deadline).await;
            committed.and(left)
        };
        self.work = Some(Work { future: Box::pin(end), then: Then::End });
    }

    /// Commits, leaves and ends, at `deadline` at the latest.
    pub(crate) async fn close(&mut self, deadline: Duration) -> Result<()> {
        self.close_timeout = deadline;
        // A mark of what was given out last would say that it was processed, which nobody knows.
        self.previous = None;
        self.shared.lock().stop();
        let ended = tokio::time::timeout(deadline, std::future::poll_fn(|cx| self.poll_end(cx))).await;
        self.end();
        ended.unwrap_or_else(|_| {
            Err(Error::new(ErrorKind::Timeout, "the consumer was closed before its last commit was answered"))
        })
    }

    fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        loop {
            if let Some(work) = &mut self.work {
                let result = ready!(work.future.as_mut().poll(cx));
                let Some(work) = self.work.take() else { continue };
                if let Then::End = work.then {
                    self.end();
                    return Poll::Ready(result);
                }
                self.worked(work.then, result);
            } else if self.ended {
                return Poll::Ready(Ok(()));
            } else {
                let shared = self.shared.clone();
                self.begin_end(now(), shared.lock());
            }
        }
    }

    /// Takes over the mark of what was handed out last: it will come, or not, from the caller.
    pub(crate) fn take_previous(&mut self) -> Option<HandedOut> {
        self.previous.take()
    }

    /// It was processed.
    pub(crate) fn processed(&mut self, handed_out: HandedOut) {
        mark(&self.shared, &mut self.shared.lock(), handed_out);
    }

    /// It was processed, and to mark it is the user's affair: the partition's next pause is a first one again.
    pub(crate) fn succeeded(&self, partition: &TopicPartition) {
        self.shared.lock().pauses.succeeded(partition);
    }

    /// It was not, and is to be handed out again.
    pub(crate) fn failed(&mut self, place: Place, offset: i64) {
        let now = now();
        let mut state = self.shared.lock();
        if let Some(taken) = self.chunk.take_if(|taken| taken.chunk.place() == place) {
            state.fetch.recharge(std::mem::take(&mut self.charged), 0);
            state.fetch.release(place, taken.chunk.size());
        }
        state.rewind(now, place, offset);
        self.shared.wake.notify_one();
    }

    /// The record handed out last was not processed.
    pub(crate) fn failed_on(&mut self, failed: Failed, offset: i64) -> Error {
        // Only a poll lets go of the chunk that it came from.
        let Some(taken) = &self.chunk else { return failed.on_record(&TopicPartition::new("", -1), offset) };
        let (error, place) = (failed.on_record(&taken.partition, offset), taken.chunk.place());
        self.failed(place, offset);
        error
    }

    /// Was the end reached?
    pub(crate) fn is_ended(&self) -> bool {
        self.ended
    }
}

impl Batch {
    /// For its mark.
    pub(crate) fn handed_out(&self) -> HandedOut {
        let records = u32::try_from(self.len()).unwrap_or(u32::MAX);
        HandedOut { place: self.place, offset: self.last_offset(), leader_epoch: self.leader_epoch(), records }
    }
}

/// Marks, and wakes the fetch task if that makes a commit due.
#[inline]
fn mark(shared: &Shared, state: &mut State, handed_out: HandedOut) {
    let HandedOut { place, offset, leader_epoch, records } = handed_out;
    if state.mark(place, offset, leader_epoch, records) {
        shared.wake.notify_one();
    }
}

/// Runs a user's hook; its panic ends nothing but the hook.
fn call(hook: &mut Option<Hook>, partitions: &[TopicPartition]) {
    let Some(hook) = hook else { return };
    if catch_unwind(AssertUnwindSafe(|| hook(partitions))).is_err() {
        tracing::error!(?partitions, "a hook of the consumer panicked");
    }
}
