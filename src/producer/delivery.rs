//! How the sender of a record hears what became of it.
//!
//! There is one [`Completion`] per batch, shared by its records: a [`Delivery`] is a reference to it and the record's index, so a
//! record costs no allocation and no wake of its own. Offsets are computed from the batch's, not stored. A waker is kept only by a
//! delivery that is polled before the result, and the same task is kept once however many records it waits for.
//!
//! A batch may end in pieces: one that a broker finds too large is split, and a broker may name the records it refuses.

use std::future::Future;
use std::ops::Range;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::{Context, Poll, Waker};

use crate::error::{Error, Result};
use crate::record::{RecordMetadata, Topic};

/// Where the first record of a batch, or of a piece of one, is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Ack {
    /// `None` if the broker did not say.
    pub(super) base_offset: Option<i64>,
    /// Of all its records, if the topic's timestamps are the broker's.
    pub(super) log_append_time: Option<i64>,
}

/// The result of a batch, for all who wait for one of its records.
#[derive(Debug)]
pub(super) struct Completion {
    topic: Topic,
    partition: i32,
    /// The result of all records alike; read without the lock.
    whole: OnceLock<Result<Ack>>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// Pieces without a result; the batch itself is one.
    open: usize,
    /// Results of pieces; where two cover a record the earlier counts.
    pieces: Vec<(Range<u32>, Result<Ack>)>,
    wakers: Vec<Waker>,
}

impl Completion {
    pub(super) fn new(topic: Topic, partition: i32) -> Arc<Self> {
        let state = Mutex::new(State { open: 1, pieces: Vec::new(), wakers: Vec::new() });
        Arc::new(Self { topic, partition, whole: OnceLock::new(), state })
    }

    /// The handle of record `index`, whose own timestamp is `timestamp`.
    #[inline]
    pub(super) fn delivery(self: &Arc<Self>, index: u32, timestamp: i64) -> Delivery {
        Delivery { completion: self.clone(), index, slot: u32::MAX, timestamp }
    }

    /// The result of all records.
    pub(super) fn complete(&self, result: Result<Ack>) {
        let mut state = self.lock();
        if state.pieces.is_empty() && state.open == 1 {
            let _ = self.whole.set(result);
        } else {
            state.pieces.push((0..u32::MAX, result));
        }
        self.close(state);
    }

    /// The results of one piece, each for a range of records; what no range covers has no result from it.
    pub(super) fn complete_piece(&self, results: impl IntoIterator<Item = (Range<u32>, Result<Ack>)>) {
        let mut state = self.lock();
        state.pieces.extend(results);
        self.close(state);
    }

    /// The batch, or a piece of it, became `pieces`.
    pub(super) fn split(&self, pieces: usize) {
        self.lock().open += pieces.saturating_sub(1);
    }

    /// Ready once every record has its result: the first failure, if there was one; possibly written if any of the failed may be.
    pub(super) fn poll_all(&self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        let mut state = self.lock();
        if state.open > 0 {
            register(&mut state.wakers, &mut u32::MAX.clone(), cx);
            return Poll::Pending;
        }
        let results = self.whole.get().into_iter().chain(state.pieces.iter().map(|(_, result)| result));
        let mut errors = results.filter_map(|result| result.as_ref().err());
        let Some(first) = errors.next() else { return Poll::Ready(Ok(())) };
        let possibly_written = first.is_possibly_written() || errors.any(Error::is_possibly_written);
        Poll::Ready(Err(first.clone().with_possibly_written(possibly_written)))
    }

    fn close(&self, mut state: MutexGuard<'_, State>) {
        state.open = state.open.saturating_sub(1);
        let wakers = std::mem::take(&mut state.wakers);
        // A woken task may run at once on another thread and take the lock.
        drop(state);
        wakers.into_iter().for_each(Waker::wake);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing of ours panics while holding it, and a waker that does leaves the state whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn metadata(&self, index: u32, timestamp: i64, first: u32, result: &Result<Ack>) -> Result<RecordMetadata> {
        let ack = result.as_ref().map_err(Error::clone)?;
        let offset = ack.base_offset.map(|base| base.saturating_add(i64::from(index - first)));
        let timestamp = ack.log_append_time.unwrap_or(timestamp);
        Ok(RecordMetadata::new(self.topic.clone(), self.partition, offset, timestamp))
    }
}

/// The coming result of one record: resolves once it is acknowledged, failed, or out of time.
///
/// # Cancel safety
/// Dropping it does not take the record back: it is sent all the same, only nobody hears of its result.
#[must_use = "the result tells whether the record was delivered"]
#[derive(Debug)]
pub struct Delivery {
    completion: Arc<Completion>,
    index: u32,
    /// Where its task's waker is, if it was polled.
    slot: u32,
    timestamp: i64,
}

impl Delivery {
    /// The record's topic.
    pub fn topic(&self) -> &Topic {
        &self.completion.topic
    }

    /// The partition it goes to.
    pub fn partition(&self) -> i32 {
        self.completion.partition
    }

    /// The result, if it is there.
    pub fn try_result(&self) -> Option<Result<RecordMetadata>> {
        let completion = &*self.completion;
        if let Some(result) = completion.whole.get() {
            return Some(completion.metadata(self.index, self.timestamp, 0, result));
        }
        self.piece(&completion.lock())
    }

    /// Another handle of the same record.
    pub(super) fn twin(&self) -> Self {
        self.completion.delivery(self.index, self.timestamp)
    }

    /// Which batch it is in.
    pub(super) fn batch(&self) -> *const Completion {
        Arc::as_ptr(&self.completion)
    }

    fn piece(&self, state: &State) -> Option<Result<RecordMetadata>> {
        let (range, result) = state.pieces.iter().find(|(range, _)| range.contains(&self.index))?;
        Some(self.completion.metadata(self.index, self.timestamp, range.start, result))
    }
}

impl Future for Delivery {
    type Output = Result<RecordMetadata>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        if let Some(result) = this.completion.whole.get() {
            return Poll::Ready(this.completion.metadata(this.index, this.timestamp, 0, result));
        }
        let mut state = this.completion.lock();
        if let Some(result) = this.completion.whole.get() {
            return Poll::Ready(this.completion.metadata(this.index, this.timestamp, 0, result));
        }
        if let Some(result) = this.piece(&state) {
            return Poll::Ready(result);
        }
        register(&mut state.wakers, &mut this.slot, cx);
        Poll::Pending
    }
}

/// Keeps the task's waker, once. A slot is never overwritten: another delivery of the same task may rely on what is in it.
fn register(wakers: &mut Vec<Waker>, slot: &mut u32, cx: &Context<'_>) {
    let known = |at: usize| wakers.get(at).is_some_and(|waker| waker.will_wake(cx.waker()));
    if known(*slot as usize) {
        return;
    }
    let last = wakers.len().wrapping_sub(1);
    *slot = if known(last) { last } else { wakers.len() } as u32;
    if *slot as usize == wakers.len() {
        wakers.push(cx.waker().clone());
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;

    use super::*;
    use crate::error::ErrorKind;

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn poll(delivery: &mut Delivery, waker: &Waker) -> Poll<Result<RecordMetadata>> {
        Pin::new(delivery).poll(&mut Context::from_waker(waker))
    }

    fn ack(base_offset: i64) -> Result<Ack> {
        Ok(Ack { base_offset: Some(base_offset), log_append_time: None })
    }

    #[test]
    fn one_task_is_woken_once_for_all_its_records() {
        let completion = Completion::new("t".into(), 3);
        let mut deliveries: Vec<_> = (0..100).map(|index| completion.delivery(index, 5)).collect();
        let count = Arc::new(Count::default());
        let waker = Waker::from(count.clone());
        for delivery in deliveries.iter_mut().chain([]) {
            assert!(poll(delivery, &waker).is_pending());
        }
        assert!(poll(&mut deliveries[0], &waker).is_pending());
        assert_eq!(completion.lock().wakers.len(), 1);
        completion.complete(ack(1000));
        assert_eq!(count.0.load(Ordering::Relaxed), 1);
        for (index, delivery) in (0..).zip(&mut deliveries) {
            let Poll::Ready(Ok(metadata)) = poll(delivery, &waker) else { panic!("no result") };
            assert_eq!(metadata, RecordMetadata::new("t".into(), 3, Some(1000 + index), 5));
        }
    }

    #[test]
    fn different_tasks_are_all_woken_also_after_a_delivery_moved() {
        let completion = Completion::new("t".into(), 0);
        let (mut a, mut b) = (completion.delivery(0, 0), completion.delivery(1, 0));
        let counts = [Arc::new(Count::default()), Arc::new(Count::default())];
        let wakers = counts.clone().map(Waker::from);
        assert!(poll(&mut a, &wakers[0]).is_pending());
        assert!(poll(&mut b, &wakers[0]).is_pending());
        assert!(poll(&mut a, &wakers[1]).is_pending());
        completion.complete(ack(0));
        assert!(counts.iter().all(|count| count.0.load(Ordering::Relaxed) == 1));
    }

    #[test]
    fn pieces_answer_for_their_records_and_the_whole_waits_for_all() {
        let completion = Completion::new("t".into(), 0);
        let mut deliveries: Vec<_> = (0..4).map(|index| completion.delivery(index, 7)).collect();
        let waker = Waker::noop();
        completion.split(2);
        completion.complete_piece([(0..2, ack(10))]);
        let Poll::Ready(Ok(metadata)) = poll(&mut deliveries[1], waker) else { panic!("no result") };
        assert_eq!(metadata.offset, Some(11));
        assert!(poll(&mut deliveries[2], waker).is_pending());
        assert!(completion.poll_all(&mut Context::from_waker(waker)).is_pending());
        let late = Ok(Ack { base_offset: Some(20), log_append_time: Some(99) });
        let refused = Err(Error::new(ErrorKind::MessageTooLarge, "too large"));
        completion.complete_piece([(3..4, refused), (2..4, late)]);
        let Poll::Ready(Ok(metadata)) = poll(&mut deliveries[2], waker) else { panic!("no result") };
        assert_eq!((metadata.offset, metadata.timestamp), (Some(20), 99));
        let Poll::Ready(Err(error)) = poll(&mut deliveries[3], waker) else { panic!("no result") };
        assert_eq!(error.kind(), ErrorKind::MessageTooLarge);
        let Poll::Ready(all) = completion.poll_all(&mut Context::from_waker(waker)) else { panic!("not done") };
        assert_eq!(all.unwrap_err().kind(), ErrorKind::MessageTooLarge);
    }

    #[test]
    fn a_failure_of_all_after_a_split_reaches_the_rest() {
        let completion = Completion::new("t".into(), 0);
        completion.split(2);
        completion.complete_piece([(0..1, ack(0))]);
        completion.complete(Err(Error::new(ErrorKind::Closed, "closed")));
        assert!(completion.delivery(0, 0).try_result().unwrap().is_ok());
        assert!(completion.delivery(5, 0).try_result().unwrap().is_err());
    }
}
