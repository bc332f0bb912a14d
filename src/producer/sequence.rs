//! Sequence numbers of an idempotent producer: which batch gets which, when one may be sent, and what to do when they no longer fit.
//!
//! A broker accepts a producer's batches of a partition only in the order of their sequence numbers, and recognizes the last five,
//! so a resent batch is not written twice. That holds only while three things hold here: a range of numbers that may have reached a
//! broker never goes to other records; a batch whose outcome is unknown is resent as it is or given up, never numbered anew; and a
//! batch is not sent past one that has to be resent first.
//!
//! ```text
//!            stamp              answer: try again
//!   (new) ---------> in flight --------------------> waiting --+
//!                     |   ^                                    | resend, the oldest first and alone
//!        acked, refused   +------------------------------------+
//!
//!   partition:  sending --> draining (nothing new) --> no batch in flight, none in doubt --> next epoch, sequence 0 --> sending
//! ```
//!
//! A partition drains when its numbers have, or may get, a gap: the oldest batch is out of sequence for the broker, a numbered batch
//! was refused for good, or one was given up. Then it takes a new epoch, which the producer may give itself (KIP-360). Other
//! partitions follow when they happen to be empty. After epoch 32767 comes a new producer id.
//!
//! A broker that remembers nothing of a producer takes any number for the first batch. So the first batch under a producer id or
//! epoch travels alone: else its successor could be taken while it is refused, and the order would be lost.

use std::collections::VecDeque;

use super::verdict::Answer;

/// One batch; the number is the producer's own and never sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct BatchId(pub(super) u64);

/// Under which name batches go out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Identity {
    pub(super) producer_id: i64,
    pub(super) epoch: i16,
}

/// What makes a batch recognizable to the broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Stamp {
    pub(super) identity: Identity,
    pub(super) base_sequence: i32,
}

/// What a partition may send now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Nothing until a producer id is there.
    NoIdentity,
    /// Nothing until an answer comes.
    Wait,
    /// A batch without a stamp, which `stamp` then gives it.
    New,
    /// This batch, as it was.
    Resend(BatchId),
}

/// What becomes of a batch after an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// In the log.
    Acked,
    /// To be sent again when `next` says so.
    Retry,
    /// Over; `possibly_written` if it may be in the log all the same.
    Failed { possibly_written: bool },
}

/// The sequence state of all partitions of a producer, by the accumulator's partition index.
#[derive(Debug, Default)]
pub(super) struct Sequences {
    identity: Option<Identity>,
    partitions: Vec<PartitionSequence>,
    given_up: VecDeque<(usize, BatchId)>,
    #[cfg(feature = "unstable-cores")]
    seen: std::collections::BTreeMap<(&'static str, &'static str), u64>,
}

#[derive(Debug, Default)]
struct PartitionSequence {
    identity: Option<Identity>,
    next: i32,
    /// Has a batch been acknowledged under this identity, so that the broker remembers us?
    proven: bool,
    draining: bool,
    /// Stamped batches without a final answer, oldest first.
    unanswered: VecDeque<Stamped>,
}

#[derive(Debug)]
struct Stamped {
    batch: BatchId,
    base_sequence: i32,
    in_flight: bool,
    /// May an earlier attempt have reached the log?
    doubt: bool,
    /// Given up by its owner while in flight; only its answer is awaited.
    abandoned: bool,
}

/// Batches that a broker recognizes when they come again.
const MAX_UNANSWERED: usize = 5;

impl Sequences {
    /// Must a producer id be asked for before anything can be sent?
    pub(super) fn needs_identity(&self) -> bool {
        self.identity.is_none()
    }

    /// A broker gave this producer an id.
    pub(super) fn handle_identity(&mut self, identity: Identity) {
        self.identity = Some(identity);
        self.note(usize::MAX, "identity");
    }

    /// Counts what happened to `partition`, for tables of what was reached.
    #[cfg(feature = "unstable-cores")]
    fn note(&mut self, partition: usize, event: &'static str) {
        let state = self.partitions.get(partition).map_or("new", |sequence| {
            let doubt = sequence.unanswered.iter().any(|stamped| stamped.doubt);
            let waiting = sequence.unanswered.iter().any(|stamped| !stamped.in_flight);
            match (sequence.draining, sequence.unanswered.is_empty(), doubt, waiting) {
                (true, _, true, _) => "draining, in doubt",
                (true, ..) => "draining",
                (false, true, ..) if !sequence.proven => "unproven, empty",
                (false, true, ..) => "empty",
                (false, _, true, _) => "in doubt",
                (false, _, _, true) => "waiting",
                (false, ..) if !sequence.proven => "unproven, in flight",
                (false, ..) => "in flight",
            }
        });
        *self.seen.entry((state, event)).or_default() += 1;
    }

    #[cfg(not(feature = "unstable-cores"))]
    #[inline(always)]
    fn note(&mut self, _: usize, _: &'static str) {}

    /// How often a partition in this state met this event.
    #[cfg(feature = "unstable-cores")]
    pub(super) fn seen(&self) -> impl Iterator<Item = (&'static str, &'static str, u64)> + '_ {
        self.seen.iter().map(|((state, event), count)| (*state, *event, *count))
    }

    /// What `partition` may send now.
    pub(super) fn next(&self, partition: usize) -> Next {
        let Some(sequence) = self.partitions.get(partition) else {
            return if self.identity.is_some() { Next::New } else { Next::NoIdentity };
        };
        sequence.next(self.identity)
    }

    /// Gives `batch` of `count` records the next range of `partition`; it counts as in flight from now.
    ///
    /// Only when `next` says [`Next::New`]; otherwise `None`.
    pub(super) fn stamp(&mut self, partition: usize, batch: BatchId, count: u32) -> Option<Stamp> {
        if self.next(partition) != Next::New {
            debug_assert!(false, "stamped out of turn");
            return None;
        }
        self.note(partition, "stamp");
        let identity = self.identity;
        let sequence = self.partition_mut(partition);
        if sequence.unanswered.is_empty() && identity.is_some() && sequence.identity != identity {
            sequence.restart(identity);
        }
        let stamp = Stamp { identity: sequence.identity?, base_sequence: sequence.next };
        sequence.next = after(sequence.next, count);
        let base_sequence = stamp.base_sequence;
        sequence.unanswered.push_back(Stamped { batch, base_sequence, in_flight: true, doubt: false, abandoned: false });
        Some(stamp)
    }

    /// Sends `batch` again under its old stamp.
    ///
    /// Only when `next` says [`Next::Resend`] with it; otherwise `None`.
    pub(super) fn resend(&mut self, partition: usize, batch: BatchId) -> Option<Stamp> {
        if self.next(partition) != Next::Resend(batch) {
            debug_assert!(false, "resent out of turn");
            return None;
        }
        self.note(partition, "resend");
        let sequence = self.partitions.get_mut(partition)?;
        let identity = sequence.identity?;
        let oldest = sequence.unanswered.front_mut()?;
        oldest.in_flight = true;
        Some(Stamp { identity, base_sequence: oldest.base_sequence })
    }

    /// The attempt to write `batch` ended.
    pub(super) fn handle_answer(&mut self, partition: usize, batch: BatchId, answer: Answer) -> Verdict {
        self.note(partition, answer.name());
        let Some(sequence) = self.partitions.get_mut(partition) else {
            debug_assert!(false, "answer for a partition that sent nothing");
            return Verdict::Failed { possibly_written: true };
        };
        let Some(index) = sequence.unanswered.iter().position(|stamped| stamped.batch == batch) else {
            debug_assert!(false, "answer for a batch that was not sent");
            return Verdict::Failed { possibly_written: true };
        };
        let stamped = &mut sequence.unanswered[index];
        stamped.in_flight = false;
        stamped.doubt |= answer.leaves_doubt();
        let (doubt, abandoned) = (stamped.doubt, stamped.abandoned);
        let verdict = match answer {
            Answer::Acked => Verdict::Acked,
            Answer::Refused | Answer::RefusedUnknown => Verdict::Failed { possibly_written: doubt },
            // With an older batch open it only says that that one is missing.
            Answer::OutOfSequence if index > 0 => Verdict::Retry,
            Answer::OutOfSequence if doubt => Verdict::Failed { possibly_written: true },
            Answer::OutOfSequence | Answer::Unwritten | Answer::Unknown => Verdict::Retry,
        };
        sequence.proven |= verdict == Verdict::Acked;
        sequence.draining |= matches!(verdict, Verdict::Failed { .. }) || (answer == Answer::OutOfSequence && index == 0);
        if verdict != Verdict::Retry || abandoned {
            sequence.unanswered.remove(index);
        }
        self.settle(partition);
        verdict
    }

    /// Its owner gives `batch` up (it expired, or was cleared). Returns whether it may be in the log.
    pub(super) fn abandon(&mut self, partition: usize, batch: BatchId) -> bool {
        self.note(partition, "abandon");
        let Some(sequence) = self.partitions.get_mut(partition) else { return false };
        let Some(index) = sequence.unanswered.iter().position(|stamped| stamped.batch == batch) else { return false };
        let stamped = &mut sequence.unanswered[index];
        let possibly_written = stamped.in_flight || stamped.doubt;
        // Also when it was surely not written: later batches may have been sent with the numbers after it.
        sequence.draining = true;
        if stamped.in_flight {
            stamped.abandoned = true;
        } else {
            sequence.unanswered.remove(index);
        }
        self.settle(partition);
        possibly_written
    }

    /// Batches that can neither be resent nor numbered anew: their owner fails them as possibly written. Call until `None`.
    pub(super) fn poll_given_up(&mut self) -> Option<(usize, BatchId)> {
        self.given_up.pop_front()
    }

    fn partition_mut(&mut self, partition: usize) -> &mut PartitionSequence {
        if self.partitions.len() <= partition {
            self.partitions.resize_with(partition + 1, PartitionSequence::default);
        }
        &mut self.partitions[partition]
    }

    /// Ends the draining of a partition once nothing of it is on the way and nothing in doubt can still be cleared up.
    fn settle(&mut self, partition: usize) {
        let Some(sequence) = self.partitions.get_mut(partition) else { return };
        if !sequence.draining || sequence.unanswered.iter().any(|stamped| stamped.in_flight) {
            return;
        }
        if sequence.unanswered.front().is_some_and(|oldest| oldest.doubt) {
            return; // `next` has it resent: the broker still knows whether it has it.
        }
        // The oldest is surely not written, so those behind it cannot be accepted under their numbers any more. What was surely not
        // written is numbered anew by its next `stamp`; what is in doubt may not be.
        let doubtful = sequence.unanswered.drain(..).filter(|stamped| stamped.doubt);
        self.given_up.extend(doubtful.map(|stamped| (partition, stamped.batch)));
        if let Some(identity) = &mut self.identity
            && sequence.identity == Some(*identity)
        {
            match identity.epoch.checked_add(1) {
                Some(epoch) => identity.epoch = epoch,
                None => self.identity = None,
            }
        }
        sequence.restart(self.identity);
    }
}

impl PartitionSequence {
    fn next(&self, identity: Option<Identity>) -> Next {
        match self.unanswered.front() {
            None if self.identity.or(identity).is_none() => Next::NoIdentity,
            None => Next::New,
            Some(oldest) if self.draining => match oldest.in_flight || self.unanswered.iter().any(|stamped| stamped.in_flight) {
                true => Next::Wait,
                false => Next::Resend(oldest.batch),
            },
            Some(oldest) if !oldest.in_flight => Next::Resend(oldest.batch),
            Some(_) if !self.proven || self.unanswered.len() >= MAX_UNANSWERED => Next::Wait,
            Some(_) if self.unanswered.iter().any(|stamped| !stamped.in_flight) => Next::Wait,
            Some(_) => Next::New,
        }
    }

    /// From the beginning, under another identity; `None` until there is one.
    fn restart(&mut self, identity: Option<Identity>) {
        debug_assert!(self.unanswered.is_empty());
        self.identity = identity;
        self.next = 0;
        self.proven = false;
        self.draining = false;
    }
}

/// The sequence number after `count` records from `base`; after 2^31 - 1 comes 0.
fn after(base: i32, count: u32) -> i32 {
    // Both are below 2^31, so the sum fits, and the mask is the wrap.
    ((base as u32 + count) & 0x7fff_ffff) as i32
}

#[cfg(test)]
mod tests;
