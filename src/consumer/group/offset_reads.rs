//! Where the group stands in partitions that were just assigned: one OffsetFetch at a time until each has an answer.
//!
//! Nothing but the coordinator's word for a partition, without an error, counts as an answer: an offset, or that there is none. What
//! the answer left out, what is unstable because of an open transaction (88, KIP-447) and what failed in passing is asked for again,
//! without limit, as long as the partition is ours. The reset policy must never see a failure as "no offset".

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use super::{FetchedOffsets, Request, Ticket, Verdict, is_hopeless, verdict};
use crate::cluster::Backoff;
use crate::consumer::offsets::OffsetAndMetadata;
use crate::protocol::ErrorCode;
use crate::{Error, Result, TopicPartition};

/// See the module.
#[derive(Debug)]
pub(super) struct OffsetReads {
    wanted: BTreeSet<TopicPartition>,
    found: BTreeMap<TopicPartition, Option<OffsetAndMetadata>>,
    asked: Option<Ticket>,
    retry_at: Option<Instant>,
    backoff: Backoff,
}

/// What follows from an answer.
#[derive(Debug)]
pub(super) enum ReadOutcome {
    Nothing,
    FindCoordinator,
    Fatal(Error),
}

impl OffsetReads {
    pub(super) fn new(backoff: Backoff) -> Self {
        Self { wanted: BTreeSet::new(), found: BTreeMap::new(), asked: None, retry_at: None, backoff }
    }

    pub(super) fn want(&mut self, partitions: impl IntoIterator<Item = TopicPartition>) {
        self.wanted.extend(partitions);
    }

    /// Forgets partitions that are no longer ours.
    pub(super) fn drop_partitions<'a>(&mut self, partitions: impl IntoIterator<Item = &'a TopicPartition>) {
        for partition in partitions {
            self.wanted.remove(partition);
            self.found.remove(partition);
        }
    }

    pub(super) fn clear(&mut self) {
        self.wanted.clear();
        self.found.clear();
    }

    /// All answers, once nothing is wanted any more.
    pub(super) fn take_complete(&mut self) -> Option<Vec<(TopicPartition, Option<OffsetAndMetadata>)>> {
        self.wanted.is_empty().then(|| std::mem::take(&mut self.found).into_iter().collect())
    }

    pub(super) fn poll(&mut self, now: Instant, ticket: impl FnOnce() -> Ticket) -> Option<(Ticket, Request)> {
        if self.asked.is_some() || self.wanted.is_empty() || self.retry_at.is_some_and(|at| now < at) {
            return None;
        }
        self.retry_at = None;
        let ticket = ticket();
        self.asked = Some(ticket);
        Some((ticket, Request::OffsetFetch { partitions: self.wanted.iter().cloned().collect() }))
    }

    pub(super) fn next_timeout(&self) -> Option<Instant> {
        self.retry_at.filter(|_| self.asked.is_none() && !self.wanted.is_empty())
    }

    pub(super) fn is_ours(&self, ticket: Ticket) -> bool {
        self.asked == Some(ticket)
    }

    pub(super) fn handle_response(&mut self, now: Instant, group_id: &str, result: Result<FetchedOffsets>) -> ReadOutcome {
        self.asked = None;
        let (code, partitions) = match result {
            Ok(answer) => answer,
            Err(error) if is_hopeless(&error) => return ReadOutcome::Fatal(error),
            Err(_) => {
                self.pause(now);
                return ReadOutcome::FindCoordinator;
            }
        };
        let refused = |code| {
            Error::from_code(code, format!("cannot read the offsets of group {group_id:?}"))
                .with_api("OffsetFetch")
                .with_group(group_id)
        };
        match verdict(code) {
            Verdict::Fine => {}
            Verdict::FindCoordinator => {
                self.pause(now);
                return ReadOutcome::FindCoordinator;
            }
            Verdict::Fatal => return ReadOutcome::Fatal(refused(code)),
            _ => {
                self.pause(now);
                return ReadOutcome::Nothing;
            }
        }
        for (partition, code, at) in partitions {
            if code.is_ok() {
                if self.wanted.remove(&partition) {
                    self.found.insert(partition, at);
                }
            } else if matches!(code, ErrorCode::TOPIC_AUTHORIZATION_FAILED | ErrorCode::GROUP_AUTHORIZATION_FAILED) {
                let error = refused(code).with_topic(partition.topic).with_partition(partition.partition);
                return ReadOutcome::Fatal(error);
            } else if matches!(verdict(code), Verdict::FindCoordinator) {
                self.pause(now);
                return ReadOutcome::FindCoordinator;
            }
        }
        if self.wanted.is_empty() {
            self.backoff.reset();
        } else {
            self.pause(now);
        }
        ReadOutcome::Nothing
    }

    fn pause(&mut self, now: Instant) {
        let pause: Duration = self.backoff.next_pause();
        self.retry_at = Some(now + pause);
    }
}
