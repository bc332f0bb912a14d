//! What ends a batch, or sends it again: answers, time-outs, splits, and its owner's wish.

use std::time::Instant;

use super::{Accumulator, Batch, Fate, Finished, Partition, State};
use crate::error::Error;
use crate::producer::sequence::{BatchId, Sequences, Verdict};
use crate::producer::verdict::Answer;

/// Attempts of a batch after which its being out of sequence is a failure like others.
const MENDING_ATTEMPTS: u32 = 3;

impl<P> Accumulator<P> {
    /// An attempt to write a batch ended; `error` is what is said about it if it was the last. `pause`: shall a retry wait?
    pub(in crate::producer) fn handle_answer(
        &mut self,
        now: Instant,
        partition: usize,
        id: BatchId,
        answer: Answer,
        error: Option<Error>,
        pause: bool,
    ) {
        let Some(index) = self.index(partition, id) else { return };
        let verdict = self.verdict(partition, index, answer);
        let state = &mut self.partitions[partition];
        let batch = &mut state.batches[index];
        let gone = batch.state == State::Gone;
        match verdict {
            Verdict::Acked => {
                state.failures = 0;
                state.not_before = None;
                self.end(partition, index, Fate::Acked);
            }
            Verdict::Failed { possibly_written } => self.end(partition, index, Fate::Failed { error, possibly_written }),
            Verdict::Retry if gone => self.end(partition, index, Fate::Dropped { possibly_written: true }),
            Verdict::Retry if batch.attempts > self.rules.retries => {
                batch.state = State::Ready;
                let possibly_written = self.abandon(partition, index);
                self.end(partition, index, Fate::Failed { error, possibly_written });
            }
            Verdict::Retry => {
                batch.state = State::Ready;
                batch.last_error = error.or(batch.last_error.take());
                // Numbers that do not fit are mended at once, by waiting for the batch before or by the next epoch. A broker that
                // goes on finding them wrong is not asked without end.
                if answer != Answer::OutOfSequence || batch.attempts > MENDING_ATTEMPTS {
                    state.held |= self.rules.hold_failed;
                    let backoff = self.spread.apply(self.rules.backoff.pause(state.failures.saturating_add(1)));
                    state.not_before = pause.then(|| now + backoff).max(state.not_before);
                    // One failure however many batches were on the way.
                    if state.batches.iter().all(|batch| batch.state != State::InFlight) {
                        state.failures = state.failures.saturating_add(1);
                    }
                }
            }
        }
        self.end_given_up();
        self.touched(partition);
    }

    /// The broker finds the batch too large. Returns its payload, to be written as several that `handle_split` puts in its place;
    /// `None` if it has ended by this: it may have been written before.
    pub(in crate::producer) fn handle_too_large(&mut self, partition: usize, id: BatchId, error: &Error) -> Option<&mut P> {
        let index = self.index(partition, id)?;
        let verdict = self.verdict(partition, index, Answer::Refused);
        let batch = &mut self.partitions[partition].batches[index];
        let split = verdict == Verdict::Failed { possibly_written: false } && batch.state == State::InFlight;
        batch.state = if split { State::Closing } else { batch.state };
        if !split {
            self.end(partition, index, Fate::Failed { error: Some(error.clone()), possibly_written: true });
        }
        self.end_given_up();
        self.touched(partition);
        if split { self.payload_mut(partition, id) } else { None }
    }

    /// Puts `parts` (payload, size, count) in the place of a batch that was too large. Returns them if it has ended meanwhile.
    pub(in crate::producer) fn handle_split(
        &mut self,
        partition: usize,
        id: BatchId,
        parts: Vec<(P, usize, u32)>,
    ) -> Result<(), Vec<(P, usize, u32)>> {
        let Some(index) = self.index(partition, id) else { return Err(parts) };
        let queue = &mut self.partitions[partition].batches;
        let Some(parent) = queue.remove(index) else { return Err(parts) };
        for (offset, (payload, size, count)) in parts.into_iter().enumerate() {
            let id = BatchId(self.next_batch);
            self.next_batch += 1;
            let Batch { opened, deadline, attempts, .. } = parent;
            let (state, last_error) = (State::Ready, parent.last_error.clone());
            let payload = Some(payload);
            queue.insert(
                index + offset,
                Batch { id, state, opened, deadline, flush: true, size, count, attempts, doubt: false, last_error, payload },
            );
        }
        self.touched(partition);
        Ok(())
    }

    /// The earliest instant at which a batch expires.
    pub(in crate::producer) fn next_timeout(&self) -> Option<Instant> {
        let batches = self.partitions.iter().flat_map(|state| &state.batches);
        batches.filter(|batch| batch.state != State::Gone).filter_map(|batch| batch.deadline).min()
    }

    /// Ends what is past its time.
    pub(in crate::producer) fn handle_timeout(&mut self, now: Instant) {
        self.end_where(
            |_, batch| batch.deadline.is_some_and(|deadline| deadline <= now),
            |error, possibly_written| Fate::Expired { error, possibly_written },
        );
    }

    /// Ends everything.
    pub(in crate::producer) fn drop_all(&mut self) {
        self.end_where(|_, _| true, |_, possibly_written| Fate::Dropped { possibly_written });
    }

    /// Ends one batch that cannot be sent.
    pub(in crate::producer) fn fail(&mut self, partition: usize, id: BatchId, error: Error) {
        let Some(index) = self.index(partition, id) else { return };
        let possibly_written = self.abandon(partition, index);
        self.end(partition, index, Fate::Failed { error: Some(error), possibly_written });
        self.end_given_up();
        self.touched(partition);
    }

    /// Ends everything that was never sent.
    pub(super) fn fail_unsent(&mut self, error: &Error) {
        self.end_where(
            |_, batch| batch.attempts == 0,
            |_, possibly_written| Fate::Failed { error: Some(error.clone()), possibly_written },
        );
    }

    /// Ends everything in these partitions that is not on its way.
    pub(super) fn fail_waiting(&mut self, error: &Error, which: impl Fn(&Partition<P>) -> bool) {
        self.end_where(
            |partition, batch| batch.state != State::InFlight && which(partition),
            |_, possibly_written| Fate::Failed { error: Some(error.clone()), possibly_written },
        );
    }

    /// What an answer means for the batch, with sequence numbers or without.
    fn verdict(&mut self, partition: usize, index: usize, answer: Answer) -> Verdict {
        let batch = &mut self.partitions[partition].batches[index];
        if let Some(sequences) = &mut self.sequences {
            return sequences.handle_answer(partition, batch.id, answer);
        }
        batch.doubt |= answer.leaves_doubt();
        match answer {
            Answer::Acked => Verdict::Acked,
            Answer::Unwritten | Answer::Unknown => Verdict::Retry,
            Answer::OutOfSequence | Answer::Refused | Answer::RefusedUnknown => Verdict::Failed { possibly_written: batch.doubt },
        }
    }

    /// Tells the sequences that a batch will not be sent again. Returns whether it may be in the log.
    fn abandon(&mut self, partition: usize, index: usize) -> bool {
        let batch = &self.partitions[partition].batches[index];
        match &mut self.sequences {
            Some(sequences) => sequences.abandon(partition, batch.id),
            None => batch.doubt || batch.state == State::InFlight,
        }
    }

    /// The batch has its result. One in flight stays, without its payload, until its answer.
    fn end(&mut self, partition: usize, index: usize, fate: Fate) {
        let queue = &mut self.partitions[partition].batches;
        let batch = &mut queue[index];
        let (in_flight, id, opened, attempts) = (batch.state == State::InFlight, batch.id, batch.opened, batch.attempts);
        let payload = batch.payload.take();
        let stays = in_flight && matches!(fate, Fate::Expired { .. } | Fate::Dropped { .. });
        if stays {
            batch.state = State::Gone;
        } else {
            queue.remove(index);
        }
        if let Some(payload) = payload {
            self.finished.push_back(Finished { partition, batch: id, payload, fate, opened, attempts, in_flight: stays });
        }
    }

    pub(super) fn end_given_up(&mut self) {
        while let Some((partition, id)) = self.sequences.as_mut().and_then(Sequences::poll_given_up) {
            if let Some(index) = self.index(partition, id) {
                let error = self.partitions[partition].batches[index].last_error.take();
                self.end(partition, index, Fate::Failed { error, possibly_written: true });
            }
        }
    }

    fn end_where(&mut self, which: impl Fn(&Partition<P>, &Batch<P>) -> bool, fate: impl Fn(Option<Error>, bool) -> Fate) {
        for partition in 0..self.partitions.len() {
            let state = &self.partitions[partition];
            let ended = state.batches.iter().filter(|batch| batch.state != State::Gone && which(state, batch));
            let ids: Vec<_> = ended.map(|batch| batch.id).collect();
            for id in ids {
                // The sequences may have given it up because of one before it.
                self.end_given_up();
                let Some(index) = self.index(partition, id) else { continue };
                let possibly_written = self.abandon(partition, index);
                let error = self.partitions[partition].batches[index].last_error.take();
                self.end(partition, index, fate(error, possibly_written));
            }
            self.end_given_up();
            self.touched(partition);
        }
    }
}
