//! Writes the history while tasks run; all of a run share one.

use std::collections::{BTreeMap, BTreeSet};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::Instant;

use super::answers::thrown_out;
use crate::coverage::Coverage;
use crate::history::{Bounds, Call, Event, History, Partition, Who};
use crate::oracles::stood_at;

/// The pen; clones share it.
#[derive(Clone, Debug)]
pub(super) struct Recorder {
    start: Instant,
    state: Arc<Mutex<State>>,
}

#[derive(Debug)]
struct State {
    history: History,
    coverage: Coverage,
    calls: u64,
    /// Of the virtual second that runs: requests and polls.
    activity: BTreeMap<Who, (u32, u32)>,
    /// Partitions that have lost something.
    lossy: BTreeSet<Partition>,
    /// Are members told that they are out while they are not?
    fakes_expiry: bool,
}

impl Recorder {
    /// The run begins now.
    pub(super) fn new(bounds: Bounds, fakes_expiry: bool) -> Self {
        let history = History::new(bounds);
        let (coverage, activity, lossy) = (Coverage::default(), BTreeMap::new(), BTreeSet::new());
        let state = State { history, coverage, calls: 0, activity, lossy, fakes_expiry };
        Self { start: Instant::now(), state: Arc::new(Mutex::new(state)) }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Virtual time since the start.
    pub(super) fn now(&self) -> Duration {
        self.start.elapsed()
    }

    /// The virtual time as a record's timestamp: the same in every run, which a wall clock is not.
    pub(super) fn timestamp(&self) -> i64 {
        1_700_000_000_000 + i64::try_from(self.now().as_millis()).unwrap_or(0)
    }

    pub(super) fn push(&self, event: Event) {
        let at = self.now();
        let mut state = self.lock();
        if let Event::Destroyed { partition, .. } = &event {
            _ = state.lossy.insert(*partition);
        }
        state.history.push(at, event);
    }

    /// Has a partition lost something, so that nothing is left to be read or committed?
    pub(super) fn is_lost_behind(&self, partition: Partition, committed: i64, end: i64) -> bool {
        let state = self.lock();
        state.lossy.contains(&partition) && (committed > end || stood_at(&state.history, partition, end))
    }

    /// Somebody who is no client of klamm's was answered with a code.
    pub(super) fn counted(&self, api: &str, code: i16) {
        self.lock().coverage.code(api, code);
    }

    /// A client was answered with a code.
    pub(super) fn answered(&self, who: Who, api: &str, code: i16) {
        let at = self.now();
        let mut state = self.lock();
        state.coverage.code(api, code);
        if let Some(event) = thrown_out(who, code).filter(|_| state.fakes_expiry) {
            state.history.push(at, event);
        }
    }

    /// A request came: this is counted.
    pub(super) fn requested(&self, who: Who) {
        self.lock().activity.entry(who).or_default().0 += 1;
    }

    /// A connection was polled.
    pub(super) fn polled(&self, who: Who) {
        self.lock().activity.entry(who).or_default().1 += 1;
    }

    /// A virtual second is over.
    pub(super) fn second(&self) {
        let at = self.now();
        let mut state = self.lock();
        for (who, (requests, wakes)) in std::mem::take(&mut state.activity) {
            state.history.push(at, Event::Activity { who, requests, wakes });
        }
    }

    /// Notes a call and its end. With `polls`, it is dropped if it is not done after so many, and gives nothing.
    pub(super) async fn call<T, E>(
        &self,
        what: Call,
        limit: Duration,
        polls: Option<u32>,
        future: impl Future<Output = Result<T, E>>,
    ) -> Option<Result<T, E>> {
        let call = {
            let mut state = self.lock();
            state.calls += 1;
            state.calls
        };
        self.push(Event::Called { call, what, limit });
        // Whoever drops this future drops the call.
        let mut open = Open { call: Some(call), recorder: self };
        let result = match polls {
            None => Some(future.await),
            Some(polls) => (Impatient { future: Box::pin(future), left: polls }).await,
        };
        if let Some(result) = &result {
            open.call = None;
            self.push(Event::Returned { call, ok: result.is_ok() });
        }
        result
    }

    /// The history so far, and what was reached; the recorder is empty then.
    pub(super) fn take(&self) -> (History, Coverage) {
        let ended = self.now();
        let mut state = self.lock();
        let empty = History::new(state.history.bounds.clone());
        let mut history = std::mem::replace(&mut state.history, empty);
        history.ended = ended;
        (history, std::mem::take(&mut state.coverage))
    }
}

/// A call that has not returned.
struct Open<'a> {
    call: Option<u64>,
    recorder: &'a Recorder,
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        if let Some(call) = self.call {
            self.recorder.push(Event::Dropped { call });
        }
    }
}

/// A future that is given up after so many polls.
struct Impatient<F> {
    future: Pin<Box<F>>,
    left: u32,
}

impl<F: Future> Future for Impatient<F> {
    type Output = Option<F::Output>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if self.left == 0 {
            return Poll::Ready(None);
        }
        self.left -= 1;
        match self.future.as_mut().poll(cx) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            // It was polled often enough: what would wake it does not matter any more.
            Poll::Pending if self.left == 0 => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    }
}
