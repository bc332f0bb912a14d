//! Commits: one OffsetCommit at a time, in the order they were asked for, each until it is done, refused, or out of time.
//!
//! A commit goes out as the member of the generation that holds then; what is not owned any more is taken out and makes it fail in
//! the end, after the rest went through. While the group is between two generations the coordinator takes no commits, so they wait;
//! one that such a moment refused (27, or 22 and 25 for a generation that has been left since) is repeated in the next generation; but
//! not for partitions that were lost in between, even if they came back: somebody else may have got further with them.
//! A commit never overtakes another, so an older offset cannot be stored after a newer one.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Instant;

use super::{Request, Ticket, Verdict, is_hopeless, verdict};
use crate::cluster::Backoff;
use crate::consumer::offsets::OffsetAndMetadata;
use crate::protocol::ErrorCode;
use crate::{Error, ErrorKind, Result, TopicPartition};

/// How often a commit is tried for a topic that the coordinator does not know: it may not have heard of it yet, or it was deleted, and
/// then everything else must not wait for it (KAFKA-13310).
const ATTEMPTS_FOR_UNKNOWN: u32 = 4;

/// See the module.
#[derive(Debug)]
pub(super) struct OffsetWrites {
    group_id: String,
    queue: VecDeque<Commit>,
    sent: Option<Sent>,
    retry_at: Option<Instant>,
    backoff: Backoff,
    done: VecDeque<(Ticket, Result<()>)>,
}

#[derive(Debug)]
struct Commit {
    id: Ticket,
    offsets: BTreeMap<TopicPartition, OffsetAndMetadata>,
    /// Of these, what was lost while the commit was on its way.
    lost: BTreeSet<TopicPartition>,
    asked_at: Instant,
    deadline: Instant,
    attempts: u32,
    /// What the partitions that are done for failed with: the commit's result.
    refused: Option<Error>,
    /// The last failure that another attempt may pass.
    last: Option<Error>,
}

#[derive(Debug)]
struct Sent {
    ticket: Ticket,
    /// Whether the commit at the front of the queue is the one that was sent, or that one has run out of time.
    is_front: bool,
    generation: i32,
}

/// The member that commits.
#[derive(Clone, Copy, Debug)]
pub(super) struct Author<'a> {
    pub(super) generation: i32,
    pub(super) member_id: &'a str,
}

/// What the membership must do about a verdict on a commit of the generation that still holds.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum WriteOutcome {
    Nothing,
    FindCoordinator,
    Membership(Verdict, ErrorCode),
}

impl OffsetWrites {
    pub(super) fn new(group_id: &str, backoff: Backoff) -> Self {
        let (queue, done) = (VecDeque::new(), VecDeque::new());
        Self { group_id: group_id.to_owned(), queue, sent: None, retry_at: None, backoff, done }
    }

    pub(super) fn add(
        &mut self,
        now: Instant,
        id: Ticket,
        offsets: BTreeMap<TopicPartition, OffsetAndMetadata>,
        deadline: Instant,
    ) {
        let lost = BTreeSet::new();
        self.queue.push_back(Commit { id, offsets, lost, asked_at: now, deadline, attempts: 0, refused: None, last: None });
    }

    /// Ends commits whose time is over, then sends the next. `author` is there when commits may be sent; `owns` says what is ours.
    pub(super) fn poll(
        &mut self,
        now: Instant,
        author: Option<Author<'_>>,
        owns: impl Fn(&TopicPartition) -> bool,
        ticket: impl FnOnce() -> Ticket,
    ) -> Option<(Ticket, Request)> {
        self.expire(now);
        self.take_out(owns);
        if self.sent.is_some() {
            return None;
        }
        while let Some(commit) = self.queue.front_mut() {
            if commit.offsets.is_empty() {
                self.finish_front();
                continue;
            }
            let author = author.filter(|_| self.retry_at.is_none_or(|at| now >= at))?;
            self.retry_at = None;
            commit.attempts += 1;
            let ticket = ticket();
            self.sent = Some(Sent { ticket, is_front: true, generation: author.generation });
            let (generation, member_id) = (author.generation, author.member_id.to_owned());
            return Some((ticket, Request::OffsetCommit { generation, member_id, offsets: commit.offsets.clone() }));
        }
        None
    }

    /// Takes what is not owned any more out of all commits. Of one on its way the answer is awaited: it may have been written.
    fn take_out(&mut self, owns: impl Fn(&TopicPartition) -> bool) {
        let is_sent = self.sent.as_ref().is_some_and(|sent| sent.is_front);
        for (index, commit) in self.queue.iter_mut().enumerate() {
            let lost: Vec<_> = commit.offsets.keys().filter(|partition| !owns(partition)).cloned().collect();
            commit.lost.extend(lost);
            if index > 0 || !is_sent {
                commit.give_up_lost(&self.group_id);
            }
        }
    }

    /// A commit's result, when one is done.
    pub(super) fn take_done(&mut self) -> Option<(Ticket, Result<()>)> {
        self.done.pop_front()
    }

    /// `can_send`: is there an author?
    pub(super) fn next_timeout(&self, can_send: bool) -> Option<Instant> {
        let deadline = self.queue.iter().map(|commit| commit.deadline).min();
        let retry = self.retry_at.filter(|_| can_send && self.sent.is_none() && !self.queue.is_empty());
        deadline.into_iter().chain(retry).min()
    }

    pub(super) fn is_ours(&self, ticket: Ticket) -> bool {
        self.sent.as_ref().is_some_and(|sent| sent.ticket == ticket)
    }

    /// `generation` is the one that holds now.
    pub(super) fn handle_response(
        &mut self,
        now: Instant,
        generation: Option<i32>,
        result: Result<Vec<(TopicPartition, ErrorCode)>>,
    ) -> WriteOutcome {
        let Some(sent) = self.sent.take() else { return WriteOutcome::Nothing };
        let is_current = generation == Some(sent.generation);
        let front = self.queue.front_mut().filter(|_| sent.is_front);
        let answers = match result {
            Ok(answers) => answers,
            Err(error) if is_hopeless(&error) || error.is_refusal() => {
                if let Some(commit) = front {
                    commit.refused.get_or_insert(error);
                    self.finish_front();
                }
                return WriteOutcome::Nothing;
            }
            Err(error) => {
                if let Some(commit) = front {
                    commit.last = Some(error.with_possibly_written(true));
                    commit.give_up_lost(&self.group_id);
                    if commit.offsets.is_empty() {
                        self.finish_front();
                    }
                }
                self.pause(now);
                return WriteOutcome::FindCoordinator;
            }
        };
        let mut outcome = WriteOutcome::Nothing;
        let mut again = false;
        let Some(commit) = front else {
            // Out of time, but what it says about the membership still counts.
            let worst = answers.iter().map(|&(_, code)| code).find(|&code| !code.is_ok());
            return worst.map_or(WriteOutcome::Nothing, |code| membership(code, is_current));
        };
        for (partition, code) in answers {
            let error = Error::from_code(code, format!("group {:?} could not commit", self.group_id))
                .with_api("OffsetCommit")
                .with_group(self.group_id.as_str())
                .with_topic(partition.topic.clone())
                .with_partition(partition.partition);
            let retried = match code {
                ErrorCode::REQUEST_TIMED_OUT => {
                    outcome = WriteOutcome::FindCoordinator;
                    true
                }
                _ if code.is_ok() => false,
                _ => match verdict(code) {
                    Verdict::FindCoordinator => {
                        outcome = WriteOutcome::FindCoordinator;
                        true
                    }
                    Verdict::Rejoin => {
                        outcome = membership(code, is_current);
                        true
                    }
                    Verdict::RejoinLost | Verdict::RejoinAnew if !is_current => true,
                    _ if code == ErrorCode::UNKNOWN_TOPIC_OR_PARTITION => commit.attempts < ATTEMPTS_FOR_UNKNOWN,
                    Verdict::RejoinLost | Verdict::RejoinAnew | Verdict::Fatal => {
                        outcome = membership(code, is_current);
                        false
                    }
                    _ => code.is_retriable(),
                },
            };
            if retried {
                again = true;
                commit.last = Some(error);
            } else {
                if !code.is_ok() {
                    commit.refused.get_or_insert(error);
                }
                commit.offsets.remove(&partition);
            }
        }
        commit.give_up_lost(&self.group_id);
        // A partition that the answer left out is asked for again as well.
        if commit.offsets.is_empty() {
            self.backoff.reset();
            self.finish_front();
        } else {
            if !again {
                let left_out =
                    Error::new(ErrorKind::Broker, "the coordinator's answer left partitions out").with_api("OffsetCommit");
                commit.last.get_or_insert(left_out);
            }
            self.pause(now);
        }
        outcome
    }

    /// Ends every commit with `error`: the membership is over.
    pub(super) fn fail_all(&mut self, error: &Error) {
        for commit in self.queue.drain(..) {
            self.done.push_back((commit.id, Err(commit.refused.unwrap_or_else(|| error.clone()))));
        }
        if let Some(sent) = &mut self.sent {
            sent.is_front = false;
        }
    }

    fn expire(&mut self, now: Instant) {
        let mut index = 0;
        while let Some(commit) = self.queue.get(index) {
            if now < commit.deadline {
                index += 1;
                continue;
            }
            let in_flight = index == 0 && self.sent.as_ref().is_some_and(|sent| sent.is_front);
            if in_flight && let Some(sent) = &mut self.sent {
                sent.is_front = false;
            }
            let elapsed = now.saturating_duration_since(commit.asked_at);
            let mut error = Error::new(ErrorKind::Timeout, format!("group {:?} could not commit in time", self.group_id))
                .with_api("OffsetCommit")
                .with_attempts(commit.attempts, elapsed)
                .with_possibly_written(in_flight || commit.last.as_ref().is_some_and(Error::is_possibly_written));
            if let Some(commit) = self.queue.remove(index) {
                if let Some(last) = commit.last.or(commit.refused) {
                    error = error.after(last);
                }
                self.done.push_back((commit.id, Err(error)));
            }
        }
    }

    fn finish_front(&mut self) {
        if let Some(commit) = self.queue.pop_front() {
            self.done.push_back((commit.id, commit.refused.map_or(Ok(()), Err)));
        }
    }

    fn pause(&mut self, now: Instant) {
        self.retry_at = Some(now + self.backoff.next_pause());
    }
}

impl Commit {
    /// What was lost is not asked for again.
    fn give_up_lost(&mut self, group_id: &str) {
        for partition in std::mem::take(&mut self.lost) {
            if self.offsets.remove(&partition).is_some() {
                let possibly_written = self.last.as_ref().is_some_and(Error::is_possibly_written);
                self.refused.get_or_insert_with(|| not_ours(group_id, &partition).with_possibly_written(possibly_written));
            }
        }
    }
}

/// A verdict on a commit as one on the membership, unless it is about a generation that has been left.
fn membership(code: ErrorCode, is_current: bool) -> WriteOutcome {
    match verdict(code) {
        verdict @ (Verdict::Rejoin | Verdict::RejoinLost | Verdict::RejoinAnew) if is_current => {
            WriteOutcome::Membership(verdict, code)
        }
        Verdict::Fatal if code == ErrorCode::FENCED_INSTANCE_ID => WriteOutcome::Membership(Verdict::Fatal, code),
        Verdict::FindCoordinator => WriteOutcome::FindCoordinator,
        _ => WriteOutcome::Nothing,
    }
}

fn not_ours(group_id: &str, partition: &TopicPartition) -> Error {
    let message = format!("group {group_id:?} cannot commit a partition that this member does not own (any more)");
    Error::new(ErrorKind::InvalidRequest, message).with_topic(partition.topic.clone()).with_partition(partition.partition)
}
