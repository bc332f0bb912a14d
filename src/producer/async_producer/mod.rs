//! The producer that takes records at once and delivers them in the background, in rounds: ruby-kafka's asynchronous producer.
//!
//! ```text
//!   callers ── produce ──> queue (bounded in records and bytes) ──> worker ──> BufferedProducer ──> brokers
//!                          queue.rs                                 worker.rs, schedule.rs●
//! ```
//!
//! The worker owns a [`BufferedProducer`], so the rules of that one hold here: order, idempotence, and that what may have been written
//! is sent again as the same bytes. What is different: nobody waits for a delivery, so its failures go to a hook, and a record that is
//! refused for good is dropped from the buffer, with the hook's knowledge, where it would be in the way of all others for ever.

mod builder;
mod queue;
mod schedule;
mod worker;

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

pub use builder::{AsyncProducerBuilder, AsyncSettings, Overflow};

use super::buffered::BufferedProducer;
use super::builder::Limits;
use super::delivery_failed::DeliveryFailed;
use super::engine::Engine;
use super::rejected::Rejected;
use super::settings::Settings;
use crate::cluster::Cluster;
use crate::error::{Error, ErrorKind, Result};
use crate::record::Record;
use queue::{Entry, Queue};
use worker::{FailureHook, Worker};

/// Takes records at once, and delivers them in the background: at a number of records, at intervals, when the buffer is full, or when
/// told to. What failed stays and goes with a later delivery.
///
/// Cheap to clone; all clones are one producer. When the last is dropped, what it has is tried once more in the background, and nobody
/// hears of it but the hook: call [`close`](Self::close) to be sure, and to get back what was not delivered.
///
/// ```no_run
/// # async fn example(client: klamm::Client) -> klamm::Result<()> {
/// use std::time::Duration;
///
/// use klamm::Record;
///
/// let producer = client.async_producer().delivery_threshold(100).delivery_interval(Duration::from_secs(1)).build()?;
/// producer.produce(Record::new("orders").value("first")).await?; // queued, not sent
/// producer.deliver()?; // does not wait
/// if let Err(left) = producer.close(Duration::from_secs(30)).await {
///     for failed in left.failed {
///         eprintln!("{:?}: {}", failed.record.value, failed.error);
///     }
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct AsyncProducer {
    handle: Arc<Handle>,
}

/// What users hold; the worker does not.
#[derive(Debug)]
struct Handle {
    queue: Arc<Queue>,
    engine: Arc<Engine>,
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.queue.close(None);
    }
}

impl AsyncProducer {
    fn new(cluster: Cluster, settings: Settings, limits: Limits, queue: AsyncSettings, hook: FailureHook) -> Result<Self> {
        let buffer = BufferedProducer::new(cluster, settings, limits)?;
        let (queue, engine) = (Queue::new(queue), buffer.engine().clone());
        #[expect(clippy::disallowed_methods, reason = "the engine has found the runtime")]
        tokio::spawn(Worker::new(queue.clone(), buffer, hook).run());
        Ok(Self { handle: Arc::new(Handle { queue, engine }) })
    }

    /// Puts `record` into the queue, with the time of now unless it has one. Sends nothing itself, and waits only where
    /// [`Overflow::Wait`] says so.
    ///
    /// # Errors
    /// [`Rejected`] gives the record back. A full queue is [`ErrorKind::BufferFull`] naming the limit, or after waiting
    /// [`ErrorKind::Timeout`]. At once: a topic name that Kafka refuses ([`ErrorKind::InvalidRequest`]), a record over
    /// `max.request.size` or the queue's or buffer's limit in bytes ([`ErrorKind::MessageTooLarge`]), a closed producer
    /// ([`ErrorKind::Closed`]), one whose worker has ended (its reason).
    ///
    /// # Cancel safety
    /// Dropped while it waits, the record is not queued.
    pub async fn produce(&self, record: Record) -> Result<(), Rejected<Record>> {
        let Handle { queue, .. } = &*self.handle;
        let entry = self.admit(record)?;
        let rejected = match queue.try_put(entry) {
            Ok(()) => return Ok(()),
            Err(rejected) => rejected,
        };
        let rejected = match queue.settings.overflow {
            Overflow::Wait(longest) if rejected.error().kind() == ErrorKind::BufferFull => {
                let entry = rejected.into_inner();
                let watch = self.handle.engine.settings.interceptors.watch(&entry.record.topic);
                let result = queue.put_within(entry, longest).await;
                watch.end();
                match result {
                    Ok(()) => return Ok(()),
                    Err(rejected) => rejected,
                }
            }
            _ => rejected,
        };
        Err(Entry::give_back(rejected))
    }

    /// As [`produce`](Self::produce), but a full queue fails in any case.
    ///
    /// # Errors
    /// As [`produce`](Self::produce).
    pub fn try_produce(&self, record: Record) -> Result<(), Rejected<Record>> {
        self.handle.queue.try_put(self.admit(record)?).map_err(Entry::give_back)
    }

    /// Has what was produced before this call delivered; does not wait for it.
    ///
    /// # Errors
    /// [`ErrorKind::Closed`] if the producer is closed; if its worker has ended, why.
    #[doc(alias = "deliver_messages")]
    pub fn deliver(&self) -> Result<()> {
        self.handle.queue.ask()
    }

    /// Takes no more records, through no clone, and delivers what it has: a delivery that is under way goes on, then all that is left
    /// gets one with all of its attempts. Returns when that is done, or when `within` is over.
    ///
    /// # Errors
    /// [`DeliveryFailed`] with the records that were not acknowledged, which are no longer kept: those that failed, those that there
    /// was no time for, and those refused for good since this call. The error of each says whether it may have been written. They are
    /// given to one caller; a second gets `Ok`.
    ///
    /// # Cancel safety
    /// Closing goes on; another call takes up its result.
    #[doc(alias = "shutdown")]
    pub async fn close(&self, within: Duration) -> Result<(), DeliveryFailed> {
        self.handle.queue.close(Instant::now().checked_add(within));
        self.handle.queue.left().await.map_or(Ok(()), Err)
    }

    /// What it works with.
    pub fn settings(&self) -> &AsyncSettings {
        &self.handle.queue.settings
    }

    /// Records in the queue: those that the worker has not taken into its buffer.
    pub fn queue_size(&self) -> usize {
        self.handle.queue.len()
    }

    /// Passes `record` through the interceptors, and checks what comes out.
    fn admit(&self, record: Record) -> Result<Entry, Rejected<Record>> {
        let Handle { queue, engine } = &*self.handle;
        let interceptors = &engine.settings.interceptors;
        let (record, original) =
            if interceptors.is_empty() { (record, None) } else { (interceptors.intercept(&record), Some(record)) };
        let untimed = record.timestamp.is_none();
        let mut entry = Entry { record, size: 0, original, untimed };
        let AsyncSettings { max_queue_bytesize, max_buffer_bytesize, .. } = queue.settings;
        let size = engine.admit(&entry.record).and_then(|size| {
            let (name, limit) = if size > max_queue_bytesize {
                ("max_queue_bytesize", max_queue_bytesize)
            } else if size >= max_buffer_bytesize {
                ("max_buffer_bytesize", max_buffer_bytesize)
            } else {
                return Ok(size);
            };
            let message =
                format!("the record takes up to {size} bytes, and {name} is {limit}; raise it, or send less in one record");
            Err(Error::new(ErrorKind::MessageTooLarge, message).with_topic(&entry.record.topic))
        });
        match size {
            Ok(size) => entry.size = size,
            Err(error) => return Err(Entry::give_back(Rejected::new(entry, error))),
        }
        entry.record.timestamp.get_or_insert_with(|| engine.clock.wall_millis());
        Ok(entry)
    }
}
