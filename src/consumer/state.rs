//! What a consumer's fetch task and its user share: the cores, and a short list of things only the user's side can do.
//!
//! One lock guards all of it; it is held for moments, never across an await, never while user code runs. The user's side
//! (`intake.rs`) takes chunks and hands records out; the fetch task (`fetch_driver.rs`) asks brokers and hears the group. Whoever
//! changes what the other waits for wakes it: the task by `wake`, the user's future by its waker.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::Instant;

use tokio::sync::{Notify, oneshot};

use crate::cluster::BackoffConfig;
use crate::consumer::fetch::{Command, EARLIEST, Fetch, LATEST, Start};
use crate::consumer::group_handle::GroupHandle;
use crate::consumer::offsets::{Checkpoint, CommitPolicy, OffsetAndMetadata, Offsets};
use crate::consumer::pause::{PauseOptions, Pauses};
use crate::consumer::positions::{Marked, Place, Positions};
use crate::consumer::settings::{ConsumerSettings, OffsetReset};
use crate::{Error, ErrorKind, Result, TopicPartition};

#[derive(Debug)]
pub(crate) struct Shared {
    state: Mutex<State>,
    /// Wakes the fetch task.
    pub(crate) wake: Notify,
}

#[derive(Debug)]
pub(crate) struct State {
    pub(crate) positions: Positions,
    pub(crate) fetch: Fetch,
    pub(crate) pauses: Pauses,
    offsets: Offsets,
    unsynced: Unsynced,
    pub(crate) auto_offset_reset: OffsetReset,
    /// Where the user wants to be in partitions that are not assigned yet.
    seeks: BTreeMap<TopicPartition, Start>,
    /// For the user's side, in order.
    pub(crate) notices: VecDeque<Notice>,
    /// Is there more for the user's side than records?
    pub(crate) interrupted: bool,
    /// The user wants to end.
    pub(crate) stopped: bool,
    /// The consumer is gone: the fetch task ends.
    pub(crate) closed: bool,
    /// Why there will be no more records.
    pub(crate) failed: Option<Error>,
    /// Refusals that the user was not told of yet: the last of each, for there may be many before the user is back.
    refusals: BTreeMap<RefusedBy, Error>,
    /// The membership, once joined.
    pub(crate) group: Option<GroupHandle>,
    /// Who wants a commit that was not begun yet.
    wanting: Vec<oneshot::Sender<Result<()>>>,
    /// One that was wanted is on its way; the next begins when it has ended.
    committing: bool,
    /// The fetch task has ended: nobody will begin one.
    over: bool,
    waker: Option<Waker>,
}

/// Marks that `offsets` was not told of: it hears of the first one, which starts its clock, and of all before it is asked.
#[derive(Clone, Copy, Debug, Default)]
struct Unsynced {
    /// Was it told of one since it gave out a commit?
    told: bool,
    /// Has a checkpoint moved since it was told?
    moved: bool,
    marks: u32,
    /// As many marks make a commit due; 0: no number does.
    threshold: u32,
}

/// Who does not believe, or is not believed, to be who it says it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum RefusedBy {
    /// Every broker that was asked for metadata.
    Metadata,
    /// A leader.
    Leader,
    /// The group's coordinator.
    Coordinator,
}

/// Something for the user's side.
#[derive(Debug)]
pub(crate) enum Notice {
    /// These were assigned.
    Assigned(Vec<TopicPartition>),
    /// These are to be given away: commit their marks before `deadline`, call the hook, answer.
    Revoking { partitions: Vec<TopicPartition>, deadline: Instant, done: oneshot::Sender<()> },
    /// These are not ours any more, and nothing of them was handed out since.
    Lost(Vec<TopicPartition>),
    /// Something is wrong, but not for good.
    Trouble(Error),
}

impl Shared {
    pub(crate) fn new(settings: &ConsumerSettings, backoff: BackoffConfig, seed: u64) -> Arc<Self> {
        let commits = CommitPolicy::new(settings.auto_commit_interval, settings.auto_commit_threshold, settings.offset_retention);
        let state = State {
            positions: Positions::default(),
            fetch: Fetch::new(settings.fetch(backoff), seed),
            pauses: Pauses::default(),
            offsets: Offsets::new(commits, now()),
            unsynced: Unsynced { threshold: settings.auto_commit_threshold, ..Unsynced::default() },
            auto_offset_reset: settings.auto_offset_reset,
            seeks: BTreeMap::new(),
            notices: VecDeque::new(),
            interrupted: false,
            stopped: false,
            closed: false,
            failed: None,
            refusals: BTreeMap::new(),
            group: None,
            wanting: Vec::new(),
            committing: false,
            over: false,
            waker: None,
        };
        Arc::new(Self { state: Mutex::new(state), wake: Notify::new() })
    }

    /// A panic under the lock can only be a bug of this module; what it left is still the best there is.
    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The consumer is gone, or done: the fetch task shall end.
    pub(crate) fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        state.wanting.clear();
        state.fetch.clear();
        state.wake_user();
        drop(state);
        self.wake.notify_one();
    }
}

/// Now, as tokio's clock has it, so that it can be paused in tests.
pub(crate) fn now() -> Instant {
    crate::network::clock::now()
}

impl State {
    pub(crate) fn notify(&mut self, notice: Notice) {
        self.notices.push_back(notice);
        self.interrupted = true;
        self.wake_user();
    }

    /// The user wants no more.
    pub(crate) fn stop(&mut self) {
        self.stopped = true;
        self.interrupted = true;
        self.wake_user();
    }

    /// There will be no more records.
    pub(crate) fn fail(&mut self, error: Error) {
        self.failed.get_or_insert(error);
        self.interrupted = true;
        self.wake_user();
    }

    /// This client is refused. It is tried again, but the user shall know.
    pub(crate) fn refuse(&mut self, by: RefusedBy, error: Error) {
        self.refusals.insert(by, error);
        self.interrupted = true;
        self.wake_user();
    }

    /// It is not, or no longer.
    pub(crate) fn accept(&mut self, by: RefusedBy) {
        self.refusals.remove(&by);
    }

    /// A refusal to tell the user of, unless there is more to tell.
    pub(crate) fn take_refusal(&mut self) -> Option<Error> {
        if self.stopped || self.failed.is_some() {
            self.refusals.clear();
        }
        self.refusals.pop_first().map(|(_, error)| error)
    }

    pub(crate) fn wake_user(&mut self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    pub(crate) fn wait(&mut self, waker: &Waker) {
        if !self.waker.as_ref().is_some_and(|known| known.will_wake(waker)) {
            self.waker = Some(waker.clone());
        }
    }

    /// May records of this place reach the user now?
    #[inline]
    pub(crate) fn may_hand_out(&self, place: Place) -> bool {
        self.positions.is_current(place) && !self.fetch.is_withheld(place.slot)
    }

    /// Takes partitions in, with what the group had committed for each.
    pub(crate) fn assign(&mut self, now: Instant, added: Vec<(TopicPartition, Option<OffsetAndMetadata>)>) {
        for (partition, committed) in added {
            let mut place = self.positions.assign(partition.clone());
            let start = match (self.seeks.remove(&partition), &committed) {
                (Some(Start::At(offset)), _) => {
                    place = self.positions.seek(&partition, offset).unwrap_or(place);
                    Some(Start::At(offset))
                }
                (Some(start), _) => Some(start),
                (None, Some(committed)) => {
                    self.positions.begin(place, committed.offset, committed.leader_epoch);
                    Some(Start::At(committed.offset))
                }
                (None, None) => self.reset_to(),
            };
            self.offsets.assign(partition.clone(), committed);
            if let Some(start) = start {
                self.fetch.handle_command(now, Command::Start { place, partition: partition.clone(), start });
            } else {
                let message = "the group has committed no offset, and auto_offset_reset does not say where to begin";
                let error = Error::new(ErrorKind::OffsetOutOfRange, message);
                self.notify(Notice::Trouble(error.with_topic(&partition.topic).with_partition(partition.partition)));
            }
            if self.pauses.is_paused(now, &partition) {
                self.fetch.handle_command(now, Command::Pause { slot: place.slot });
            }
        }
    }

    /// Begins a partition at a place of its own, for readers without a group.
    pub(crate) fn assign_at(&mut self, now: Instant, partition: TopicPartition, start: Start) {
        let place = self.positions.assign(partition.clone());
        if let Start::At(offset) = start {
            self.positions.begin(place, offset, None);
            // It may be where the user wants to end.
            self.wake_user();
        }
        self.fetch.handle_command(now, Command::Start { place, partition, start });
    }

    fn reset_to(&self) -> Option<Start> {
        match self.auto_offset_reset {
            OffsetReset::Earliest => Some(Start::Timestamp(EARLIEST)),
            OffsetReset::Latest => Some(Start::Timestamp(LATEST)),
            OffsetReset::Error => None,
        }
    }

    /// The user is back or has no more time: nothing of these surfaces from now on.
    pub(crate) fn unassign(&mut self, now: Instant, partitions: &[TopicPartition]) {
        for partition in partitions {
            if let Some(place) = self.positions.unassign(partition) {
                self.fetch.handle_command(now, Command::Stop { slot: place.slot });
            }
            self.offsets.revoke(partition);
            self.pauses.forget(partition);
        }
    }

    /// These will be given away: hand nothing of them out while the user's side gets there.
    pub(crate) fn hold(&mut self, now: Instant, partitions: &[TopicPartition]) {
        for partition in partitions {
            if let Some(place) = self.positions.place(partition) {
                self.fetch.handle_command(now, Command::Hold { slot: place.slot });
            }
        }
    }

    pub(crate) fn pause(&mut self, now: Instant, partition: &TopicPartition, options: PauseOptions) -> Result<()> {
        self.pauses.pause(now, partition.clone(), options)?;
        if let Some(place) = self.positions.place(partition) {
            self.fetch.handle_command(now, Command::Pause { slot: place.slot });
        }
        Ok(())
    }

    pub(crate) fn resume(&mut self, now: Instant, partition: &TopicPartition) {
        self.pauses.resume(partition);
        self.resumed(now, partition);
    }

    /// Ends pauses whose time is over.
    pub(crate) fn expire_pauses(&mut self, now: Instant) {
        for partition in self.pauses.expire(now) {
            self.resumed(now, &partition);
        }
    }

    fn resumed(&mut self, now: Instant, partition: &TopicPartition) {
        if let Some(place) = self.positions.place(partition) {
            self.fetch.handle_command(now, Command::Resume { slot: place.slot });
            self.wake_user();
        }
    }

    /// The user wants to go on there; for a partition that is not assigned, once it is.
    pub(crate) fn seek(&mut self, now: Instant, partition: &TopicPartition, start: Start) {
        let place = match start {
            Start::At(offset) => self.positions.seek(partition, offset),
            Start::Timestamp(_) => self.positions.lose(partition),
        };
        match place {
            Some(place) => {
                self.fetch.handle_command(now, Command::Start { place, partition: partition.clone(), start });
                // What is committed from here on may be before what was marked.
                self.offsets.rewind(partition);
                self.checkpoint_moved(now, 0);
                self.wake_user();
            }
            None => {
                self.seeks.insert(partition.clone(), start);
            }
        }
    }

    /// The leader said that an offset is out of range, and the user has had all before it: begins anew, as the policy says.
    ///
    /// # Errors
    /// If the policy is to tell the user.
    pub(crate) fn out_of_range(&mut self, now: Instant, place: Place, offset: i64) -> Result<()> {
        let Some(partition) = self.positions.name(place).cloned() else { return Ok(()) };
        let Some(start) = self.reset_to() else {
            let message = "the offset is not in the partition's log, and auto_offset_reset does not say where to go on";
            let error =
                Error::new(ErrorKind::OffsetOutOfRange, message).with_code(crate::protocol::ErrorCode::OFFSET_OUT_OF_RANGE);
            let error = error.with_api("Fetch").with_topic(&partition.topic).with_partition(partition.partition);
            return Err(error.with_offset(offset));
        };
        tracing::warn!(%partition, offset, reset = ?self.auto_offset_reset, "offset out of range: the log does not have it; beginning anew");
        if let Some(place) = self.positions.lose(&partition) {
            // What is read from here on may be before what was marked, and is to be committed all the same.
            self.offsets.rewind(&partition);
            self.fetch.handle_command(now, Command::Start { place, partition, start });
        }
        Ok(())
    }

    /// The record at `offset` is to be handed out again: it failed, or what comes there cannot be read.
    pub(crate) fn rewind(&mut self, now: Instant, place: Place, offset: i64) {
        let Some(partition) = self.positions.name(place).cloned() else { return };
        if let Some(place) = self.positions.rewind(&partition, offset) {
            self.fetch.handle_command(now, Command::Start { place, partition, start: Start::At(offset) });
        }
    }

    /// Marks the record at `offset` of `place`, and all before it; it stands for so many `records`. Shall the fetch task know at once?
    #[inline]
    pub(crate) fn mark(&mut self, place: Place, offset: i64, leader_epoch: Option<i32>, records: u32) -> bool {
        if self.positions.mark(place, offset, leader_epoch) != Marked::Advanced {
            return false;
        }
        if let Some(partition) = self.positions.name(place) {
            self.pauses.succeeded(partition);
        }
        self.unsynced.moved = true;
        self.unsynced.marks = self.unsynced.marks.saturating_add(records);
        if self.unsynced.told && (self.unsynced.threshold == 0 || self.unsynced.marks < self.unsynced.threshold) {
            return false;
        }
        self.sync(now());
        true
    }

    /// Marks by name, for what carries no place.
    pub(crate) fn mark_by_name(&mut self, partition: &TopicPartition, offset: i64, leader_epoch: Option<i32>) -> bool {
        self.positions.place(partition).is_some_and(|place| self.mark(place, offset, leader_epoch, 1))
    }

    /// There is nothing to hand out before `next`. Shall the fetch task know at once?
    pub(crate) fn pass(&mut self, place: Place, next: crate::consumer::positions::Checkpoint) -> bool {
        self.positions.pass(place, next) && self.checkpoint_moved(now(), 0)
    }

    fn checkpoint_moved(&mut self, now: Instant, marks: u32) -> bool {
        self.unsynced.moved = true;
        self.unsynced.marks = self.unsynced.marks.saturating_add(marks);
        let first = !self.unsynced.told;
        if first {
            self.sync(now);
        }
        first
    }

    /// Tells `offsets` where the checkpoints are.
    fn sync(&mut self, now: Instant) {
        if !std::mem::take(&mut self.unsynced.moved) {
            return;
        }
        let mut marks = std::mem::take(&mut self.unsynced.marks);
        self.unsynced.told = true;
        for (partition, checkpoint) in self.positions.checkpoints() {
            let at = OffsetAndMetadata::new(checkpoint.offset).leader_epoch(checkpoint.leader_epoch);
            self.offsets.mark(now, partition, at, std::mem::take(&mut marks));
        }
    }

    /// A commit that is due.
    pub(crate) fn due_commit(&mut self, now: Instant) -> Option<Checkpoint> {
        self.sync(now);
        let commit = self.offsets.poll(now);
        self.unsynced.told &= commit.is_none();
        commit
    }

    /// When one may be due.
    pub(crate) fn next_commit(&self) -> Option<Instant> {
        self.offsets.next_timeout()
    }

    /// All that is worth committing now.
    pub(crate) fn take_commit(&mut self, now: Instant) -> Option<Checkpoint> {
        self.sync(now);
        self.unsynced.told = false;
        self.offsets.take(now)
    }

    /// Somebody wants what is marked to be committed: the fetch task does it, whatever becomes of who asked.
    pub(crate) fn want_commit(&mut self) -> oneshot::Receiver<Result<()>> {
        let (done, answer) = oneshot::channel();
        if !self.closed && !self.over {
            if self.wanting.len() == self.wanting.capacity() {
                // Those who have gone make room before it grows.
                self.wanting.retain(|other| !other.is_closed());
            }
            self.wanting.push(done);
        }
        answer
    }

    /// Those for whom a commit is to begin now; if there are any, it has begun until `wanted_ended`.
    pub(crate) fn begin_wanted(&mut self) -> Option<Vec<oneshot::Sender<Result<()>>>> {
        if self.committing || self.wanting.is_empty() {
            return None;
        }
        self.committing = true;
        Some(std::mem::take(&mut self.wanting))
    }

    /// A commit that was wanted has ended.
    pub(crate) fn wanted_ended(&mut self) {
        self.committing = false;
    }

    /// The fetch task has ended.
    pub(crate) fn reading_ended(&mut self) {
        self.over = true;
        self.wanting.clear();
    }

    /// How a commit ended.
    pub(crate) fn committed(&mut self, checkpoint: Checkpoint, succeeded: bool) {
        self.offsets.handle_committed(now(), checkpoint, succeeded);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// Partition `number` of topic "t", assigned and read from its committed offset; and its place.
    fn assign(state: &mut State, number: i32) -> (TopicPartition, Place) {
        let partition = TopicPartition::new("t", number);
        state.assign(now(), vec![(partition.clone(), Some(OffsetAndMetadata::new(5)))]);
        let place = state.positions.place(&partition).expect("it was assigned");
        assert!(state.may_hand_out(place));
        (partition, place)
    }

    /// Regression row 44: the user's side holds a chunk when its partition is sought, or lost and assigned anew, or its slot is another's.
    #[test]
    fn records_of_a_place_that_is_over_are_not_handed_out_whoever_has_its_slot() {
        let backoff = BackoffConfig { initial: Duration::from_millis(100), max: Duration::from_secs(1) };
        let shared = Shared::new(&ConsumerSettings::new("g".to_owned()), backoff, 7);
        let mut state = shared.lock();
        let (partition, first) = assign(&mut state, 0);
        state.seek(now(), &partition, Start::At(9));
        let sought = state.positions.place(&partition).expect("it is still assigned");
        assert!(!state.may_hand_out(first) && state.may_hand_out(sought));
        state.unassign(now(), std::slice::from_ref(&partition));
        assert!(!state.may_hand_out(sought), "nobody has the slot");
        let (_, again) = assign(&mut state, 0);
        assert!(!state.may_hand_out(sought) && !state.may_hand_out(first), "it is ours again, from the last commit");
        state.unassign(now(), &[partition]);
        let (_, other) = assign(&mut state, 1);
        assert_eq!(again.slot, other.slot, "the slot is used again");
        assert!(!state.may_hand_out(again));
    }
}
