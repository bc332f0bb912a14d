//! How an asynchronous producer is made, and what it was set to.

use std::time::Duration;

use super::AsyncProducer;
use super::worker::FailureHook;
use crate::cluster::Cluster;
use crate::error::{Error, ErrorKind, Result};
use crate::producer::builder::{Limits, delivery_settings, positive, shared_settings};
use crate::producer::delivery_failed::DeliveryFailed;
use crate::producer::interceptor::Interceptor;
use crate::producer::partitioner::Partitioning;
use crate::producer::settings::{Acks, Choice};
use crate::protocol::records::Compression;

/// What [`AsyncProducer::produce`] does when the queue is full.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Overflow {
    /// It fails at once, with [`ErrorKind::BufferFull`]. The default.
    #[default]
    Fail,
    /// It waits for room, and fails with [`ErrorKind::Timeout`] if there is none within this time.
    Wait(Duration),
}

/// What an [`AsyncProducer`] works with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct AsyncSettings {
    /// Records in the queue at most.
    pub max_queue_size: usize,
    /// Bytes of the records in the queue at most.
    pub max_queue_bytesize: usize,
    /// What happens when the queue is full.
    pub overflow: Overflow,
    /// At how many buffered records they are delivered; 0: no number is enough.
    pub delivery_threshold: usize,
    /// How long a record waits in the buffer at most; 0: without end.
    pub delivery_interval: Duration,
    /// Records in the buffer at most.
    pub max_buffer_size: usize,
    /// Below how many bytes of records the buffer stays.
    pub max_buffer_bytesize: usize,
    /// How often a delivery tries again.
    pub max_retries: u32,
    /// The pause between its attempts.
    pub retry_backoff: Duration,
}

/// Makes an [`AsyncProducer`]; from `Client::async_producer`.
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing until `build`"]
pub struct AsyncProducerBuilder {
    cluster: Cluster,
    choice: Choice,
    limits: Limits,
    queue_size: usize,
    queue_bytes: usize,
    overflow: Overflow,
    threshold: usize,
    interval: Duration,
    hook: FailureHook,
}

impl AsyncProducerBuilder {
    pub(in crate::producer) fn new(cluster: Cluster, choice: Choice) -> Self {
        Self {
            cluster,
            choice,
            limits: Limits::default(),
            queue_size: 1000,
            queue_bytes: 10_000_000,
            overflow: Overflow::default(),
            threshold: 0,
            interval: Duration::ZERO,
            hook: FailureHook::default(),
        }
    }

    shared_settings!();
    delivery_settings!();

    /// Below how many bytes of records, headers included, the buffer stays; 10,000,000 unless set.
    pub fn max_buffer_bytesize(mut self, bytes: usize) -> Self {
        self.limits.bytes = bytes;
        self
    }

    /// How many records the queue in front of the buffer takes; 1000 unless set.
    pub fn max_queue_size(mut self, records: usize) -> Self {
        self.queue_size = records;
        self
    }

    /// How many bytes of records, headers included, the queue takes; 10,000,000 unless set.
    pub fn max_queue_bytesize(mut self, bytes: usize) -> Self {
        self.queue_bytes = bytes;
        self
    }

    /// What [`produce`](AsyncProducer::produce) does when the queue is full; [`Overflow::Fail`] unless set.
    pub fn overflow(mut self, overflow: Overflow) -> Self {
        self.overflow = overflow;
        self
    }

    /// At how many buffered records they are delivered; 0, which is no number, unless set. A full buffer is delivered in any case.
    pub fn delivery_threshold(mut self, records: usize) -> Self {
        self.threshold = records;
        self
    }

    /// How long a record waits in the buffer before what is there is delivered; 0, which is without end, unless set.
    pub fn delivery_interval(mut self, interval: Duration) -> Self {
        self.interval = interval;
        self
    }

    /// Hears of every delivery that failed, once its attempts are used up: of each record why, and whether it is
    /// [kept](crate::producer::FailedRecord::kept) for the next delivery. What is not kept has left the producer: it was refused for
    /// good, or the producer has ended. Without a hook it is logged only.
    ///
    /// It runs on the producer's worker and must not block: deliveries wait for it. A panic in it is logged.
    #[doc(alias = "error.async_producer")]
    #[doc(alias = "drop_messages.async_producer")]
    pub fn on_failure(mut self, hook: impl Fn(&DeliveryFailed) + Send + Sync + 'static) -> Self {
        self.hook = FailureHook::new(hook);
        self
    }

    /// The producer; nothing is sent, and no connection made, before the first delivery.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidConfig`] for settings that are wrong or contradict each other; an error if no tokio runtime is around.
    pub fn build(self) -> Result<AsyncProducer> {
        self.limits.check()?;
        positive(&[("max_queue_size", self.queue_size), ("max_queue_bytesize", self.queue_bytes)])?;
        let Limits { records, bytes, retries, backoff } = self.limits;
        if self.threshold > records {
            let message = format!(
                "delivery_threshold is {} and max_buffer_size {records}: the buffer never has so many records; raise one or lower the other",
                self.threshold
            );
            return Err(Error::new(ErrorKind::InvalidConfig, message));
        }
        let settings = AsyncSettings {
            max_queue_size: self.queue_size,
            max_queue_bytesize: self.queue_bytes,
            overflow: self.overflow,
            delivery_threshold: self.threshold,
            delivery_interval: self.interval.min(LONGEST),
            max_buffer_size: records,
            max_buffer_bytesize: bytes,
            max_retries: retries,
            retry_backoff: backoff.min(LONGEST),
        };
        AsyncProducer::new(self.cluster, self.choice.resolve()?, self.limits, settings, self.hook)
    }
}

/// A limit on times, so that adding them to an instant cannot overflow.
const LONGEST: Duration = Duration::from_secs(100 * 365 * 24 * 3600);
