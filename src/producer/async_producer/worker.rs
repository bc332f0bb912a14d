//! The task of an asynchronous producer: takes records from the queue into a [`BufferedProducer`], and delivers them.
//!
//! ```text
//!   produce ──> queue ──> worker: buffer ── schedule.rs● says when ──> deliver ──> acknowledged, kept, or refused for good
//! ```
//!
//! While it delivers, the queue fills; what is left when the attempts are used up stays in the buffer, before all that came later, and
//! goes with the next delivery as the same bytes. What was refused for good leaves the buffer, else it would be in the way for ever.
//!
//! However it ends, by being closed, by a panic, or with its runtime, its drop gives back what it has and wakes all who wait: nobody
//! puts records into a queue that nobody empties.

use std::fmt;
use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use super::queue::{Queue, Queued};
use super::schedule::{Fill, Schedule};
use crate::error::{Error, ErrorKind};
use crate::producer::buffered::BufferedProducer;
use crate::producer::contained::contained;
use crate::producer::delivery_failed::{DeliveryFailed, FailedRecord};

/// After a failed delivery, the next that comes by itself waits at least so long.
const LEAST_PAUSE: Duration = Duration::from_millis(100);

/// What the user wants to hear of failures.
#[derive(Clone, Default)]
pub(super) struct FailureHook(Option<Arc<dyn Fn(&DeliveryFailed) + Send + Sync>>);

impl FailureHook {
    pub(super) fn new(hook: impl Fn(&DeliveryFailed) + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(hook)))
    }

    fn tell(&self, failed: &DeliveryFailed) {
        if let Some(hook) = &self.0
            && let Err(panic) = contained(|| hook(failed))
        {
            tracing::error!(panic, "the hook for failed deliveries panicked");
        }
    }
}

impl fmt::Debug for FailureHook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "Some(..)" } else { "None" })
    }
}

/// See the module.
#[derive(Debug)]
pub(super) struct Worker {
    queue: Arc<Queue>,
    buffer: BufferedProducer,
    schedule: Schedule,
    hook: FailureHook,
    /// Did the last delivery fail?
    failing: bool,
    /// Refused for good since the producer was closed: part of what it leaves.
    refused: Vec<FailedRecord>,
    attempts: u32,
    /// Has it ended in order?
    done: bool,
}

impl Worker {
    pub(super) fn new(queue: Arc<Queue>, mut buffer: BufferedProducer, hook: FailureHook) -> Self {
        buffer.keep_refused = false;
        let settings = queue.settings;
        let pause = settings.retry_backoff.max(LEAST_PAUSE);
        let schedule = Schedule::new(settings.delivery_threshold, settings.delivery_interval, pause);
        Self { queue, buffer, schedule, hook, failing: false, refused: Vec::new(), attempts: 0, done: false }
    }

    /// Runs until the producer is closed.
    pub(super) async fn run(mut self) {
        loop {
            let closing = self.queue.closing().is_some();
            // Before the queue is looked at: what was asked for is in it.
            let asked = self.queue.take_asked();
            let (_, full) = self.fill();
            if asked && self.buffer.buffer_size() > 0 {
                self.schedule.handle_asked();
            }
            if closing {
                self.deliver_the_rest().await;
                self.done = true;
                return;
            }
            let due = self.schedule.next_timeout(Fill { records: self.buffer.buffer_size(), full }).map(Instant::from_std);
            if due.is_some_and(|due| due <= Instant::now()) {
                if !self.deliver(full).await {
                    self.done = true;
                    return;
                }
                continue;
            }
            let due = async {
                match due {
                    Some(due) => sleep_until(due).await,
                    None => pending().await,
                }
            };
            tokio::select! {
                biased;
                () = due => {}
                () = self.queue.woken() => {}
            }
        }
    }

    /// Takes what fits into the buffer. Returns how many records that are, and whether others wait.
    fn fill(&mut self) -> (usize, bool) {
        let mut taken = 0;
        loop {
            let (next, waits) = self.queue.take(|size| self.buffer.limit_passed_by(size).is_none());
            let Some(Queued { record, size, .. }) = next else { return (taken, waits) };
            self.buffer.push(record, size);
            self.schedule.handle_filled(Instant::now().into_std());
            taken += 1;
        }
    }

    /// Delivers what is in the buffer; `more` waits because it does not fit. Returns false if the time to close was over before that had
    /// an end.
    async fn deliver(&mut self, more: bool) -> bool {
        let delivered = tokio::select! {
            biased;
            () = self.queue.time_is_over() => return false,
            delivered = self.buffer.deliver() => delivered,
        };
        let now = Instant::now().into_std();
        self.schedule.handle_delivered(now, self.buffer.buffer_size(), more);
        let Err(failed) = delivered else {
            self.failing = false;
            return true;
        };
        self.attempts = failed.attempts;
        if self.failing {
            tracing::debug!(error = %failed, "a delivery failed again");
        } else {
            tracing::warn!(error = %failed, "a delivery failed; what is kept goes with a later one");
        }
        let lost = failed.failed.iter().filter(|failed| !failed.kept);
        if lost.clone().next().is_some() {
            tracing::error!(records = lost.clone().count(), "records were refused for good and are not kept");
        }
        if self.queue.closing().is_some() {
            self.refused.extend(lost.cloned());
        }
        self.failing = failed.failed.iter().any(|failed| failed.kept);
        self.hook.tell(&failed);
        true
    }

    /// Delivers what is in buffer and queue, as long as there is time and it helps.
    async fn deliver_the_rest(&mut self) {
        while self.buffer.buffer_size() > 0 {
            if !self.deliver(false).await {
                return;
            }
            // What failed had all its attempts; others may be luckier.
            let (taken, _) = self.fill();
            if taken == 0 {
                return;
            }
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        let why = if self.done {
            Error::new(ErrorKind::Closed, "the producer was closed before the record was delivered")
        } else if std::thread::panicking() {
            Error::new(
                ErrorKind::Bug,
                "the producer's worker panicked: its records are not delivered any more; build another producer",
            )
            .with_fatal(true)
        } else {
            Error::new(ErrorKind::Closed, "the runtime of the producer's worker ended: its records are not delivered any more")
        };
        let queued = self.queue.end(&why);
        let mut left = std::mem::take(&mut self.refused);
        let given_up = self.buffer.give_up(&why);
        let lost = given_up.len() + queued.len();
        left.extend(given_up);
        let interceptors = &self.buffer.engine().settings.interceptors;
        left.extend(queued.into_iter().map(|Queued { record, .. }| {
            let error = why.clone().with_topic(&record.topic);
            interceptors.acknowledged(Err(&error));
            FailedRecord { record, error, kept: false }
        }));
        if !self.done {
            tracing::error!(error = %why, records = lost, "an asynchronous producer ended");
        } else if lost > 0 {
            tracing::error!(records = lost, "a producer was closed before these records were delivered");
        }
        let left = DeliveryFailed { failed: left, attempts: self.attempts };
        if lost > 0 {
            self.hook.tell(&left);
        }
        self.queue.leave((!left.failed.is_empty()).then_some(left));
    }
}
