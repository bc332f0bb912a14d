//! The producer that sends when it is told to, and keeps what failed: ruby-kafka's contract.
//!
//! `produce` only puts a record into the buffer, which has a limit in records and one in bytes. `deliver` sends all of it and returns
//! when everything is acknowledged, or when its attempts are used up: then what failed is still buffered, and the next `deliver` takes
//! it up again. Partitions are chosen by `deliver`, and kept.
//!
//! It is the engine of the background producer with other rules: batches wait for `flush` instead of a linger, a failure holds the
//! partition until the next attempt, and no batch expires. So what may have reached a broker is sent again as the same bytes, also by a
//! later `deliver`, and records produced in between form batches of their own.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::accumulator::{Accumulator, Rules};
use super::builder::shared_settings;
use super::delivery::Delivery;
use super::engine::{Engine, Refusal};
use super::rejected::Rejected;
use super::settings::{Acks, Choice, Settings};
use super::{Owner, director};
use crate::cluster::Cluster;
use crate::error::{Error, ErrorKind, Result};
use crate::protocol::records::Compression;
use crate::record::{Record, Topic};

/// Makes a [`BufferedProducer`]; from `Client::buffered_producer`.
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing until `build`"]
pub struct BufferedProducerBuilder {
    cluster: Cluster,
    choice: Choice,
    limits: Limits,
}

#[derive(Clone, Copy, Debug)]
struct Limits {
    records: usize,
    bytes: usize,
    retries: u32,
    backoff: Duration,
}

impl BufferedProducerBuilder {
    /// With what a background producer was set to; what only that one has takes this one's values.
    pub(super) fn from_choice(cluster: Cluster, mut choice: Choice) -> Self {
        choice.ack_timeout = Some(Duration::from_secs(5));
        choice.linger = Duration::ZERO;
        choice.delivery_timeout = None;
        // The buffer has limits of its own.
        choice.buffer_memory = usize::MAX >> 4;
        let limits = Limits { records: 1000, bytes: 10_000_000, retries: 2, backoff: Duration::from_secs(1) };
        Self { cluster, choice, limits }
    }

    shared_settings!();

    /// How many records the buffer takes; 1000 unless set.
    pub fn max_buffer_size(mut self, records: usize) -> Self {
        self.limits.records = records;
        self
    }

    /// Below how many bytes of keys and values the buffer stays; 10,000,000 unless set.
    pub fn max_buffer_bytesize(mut self, bytes: usize) -> Self {
        self.limits.bytes = bytes;
        self
    }

    /// How often a [`deliver`](BufferedProducer::deliver) tries again after its first attempt; 2 unless set.
    pub fn max_retries(mut self, retries: u32) -> Self {
        self.limits.retries = retries;
        self
    }

    /// The pause between attempts; 1 s unless set.
    pub fn retry_backoff(mut self, backoff: Duration) -> Self {
        self.limits.backoff = backoff;
        self
    }

    /// How long a broker may wait for replicas, and an attempt for metadata; 5 s unless set.
    pub fn ack_timeout(mut self, timeout: Duration) -> Self {
        self.choice.ack_timeout = Some(timeout);
        self
    }

    /// The producer; nothing is sent, and no connection made, before the first `deliver`.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidConfig`] for settings that are wrong or contradict each other; an error if no tokio runtime is around.
    pub fn build(self) -> Result<BufferedProducer> {
        for (name, value) in [("max_buffer_size", self.limits.records), ("max_buffer_bytesize", self.limits.bytes)] {
            if value == 0 {
                return Err(Error::new(ErrorKind::InvalidConfig, format!("{name} is 0; it must be positive")));
            }
        }
        let settings: Settings = self.choice.resolve()?;
        let rules = Rules {
            idempotent: settings.idempotent,
            linger: None,
            delivery_timeout: None,
            max_batches: settings.max_batches,
            max_request_size: settings.max_request_size,
            retries: u32::MAX,
            backoff: self.cluster.backoff(),
            hold_failed: true,
            seed: settings.seed,
        };
        let engine = Engine::new(self.cluster, settings, Accumulator::new(rules))?;
        #[expect(clippy::disallowed_methods, reason = "the engine has found the runtime")]
        tokio::spawn(director::run(engine.clone()));
        let owner = Owner { engine, drop_rest: true };
        Ok(BufferedProducer { owner, buffer: Vec::new(), bytes: 0, limits: self.limits })
    }
}

/// Collects records and sends them when told to. Not shared: one task owns it.
///
/// ```no_run
/// # async fn example(client: klamm::Client) -> klamm::Result<()> {
/// use klamm::Record;
///
/// let mut buffer = client.buffered_producer().max_buffer_size(500).build()?;
/// buffer.produce(Record::new("orders").value("first"))?;
/// if let Err(failed) = buffer.deliver().await {
///     for failed in &failed.failed {
///         eprintln!("{:?}: {}", failed.record.value, failed.error); // still buffered: the next `deliver` tries again
///     }
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct BufferedProducer {
    owner: Owner,
    /// In the order of `produce`.
    buffer: Vec<Buffered>,
    bytes: usize,
    limits: Limits,
}

#[derive(Debug)]
struct Buffered {
    record: Record,
    size: usize,
    /// Once it is in a batch.
    delivery: Option<Delivery>,
    /// Why it is not delivered; in the `deliver` that runs it is not tried again.
    refused: Option<Error>,
}

impl BufferedProducer {
    /// Puts `record` into the buffer, with the time of now unless it has one. Sends nothing.
    ///
    /// # Errors
    /// [`Rejected`] gives the record back, and the buffer is as before: [`ErrorKind::BufferFull`] naming the limit that it would
    /// pass, [`ErrorKind::InvalidRequest`] for a topic name that Kafka refuses, [`ErrorKind::MessageTooLarge`] for a record over
    /// `max.request.size`.
    pub fn produce(&mut self, mut record: Record) -> Result<(), Rejected<Record>> {
        let size = record.key.as_ref().map_or(0, |key| key.len()) + record.value.as_ref().map_or(0, |value| value.len());
        if let Err(error) = self.check(&record, size) {
            return Err(Rejected::new(record, error));
        }
        record.timestamp.get_or_insert_with(|| self.owner.engine.clock.wall_millis());
        self.bytes += size;
        self.buffer.push(Buffered { record, size, delivery: None, refused: None });
        Ok(())
    }

    fn check(&self, record: &Record, size: usize) -> Result<()> {
        if let Some(reason) = record.topic.invalid() {
            return Err(Error::new(ErrorKind::InvalidRequest, reason).with_topic(&record.topic));
        }
        self.owner.engine.bound(record)?;
        let full = |limit: String| {
            let message = format!("the buffer is full: {limit}; deliver what is buffered first");
            Err(Error::new(ErrorKind::BufferFull, message).with_topic(&record.topic))
        };
        if self.buffer.len() >= self.limits.records {
            return full(format!("max_buffer_size is {} records", self.limits.records));
        }
        if self.bytes.saturating_add(size) >= self.limits.bytes {
            return full(format!("max_buffer_bytesize is {} bytes, and {size} more would reach it", self.limits.bytes));
        }
        Ok(())
    }

    /// Records in the buffer.
    pub fn buffer_size(&self) -> usize {
        self.buffer.len()
    }

    /// Bytes of their keys and values.
    pub fn buffer_bytesize(&self) -> usize {
        self.bytes
    }

    /// Sends all that is buffered, and waits until it is acknowledged. What fails in a way that may pass is tried again, up to
    /// `max_retries` times with `retry_backoff` between; the others are not held up by it.
    ///
    /// # Errors
    /// [`DeliveryFailed`] with the records that were not acknowledged. They stay buffered; the next call tries them again, and those
    /// that may have been written are sent as the same bytes, so that an idempotent producer does not write them twice.
    ///
    /// # Cancel safety
    /// What was begun goes on in the background; the next call takes up its results.
    #[doc(alias = "deliver_messages")]
    pub async fn deliver(&mut self) -> Result<(), DeliveryFailed> {
        self.sweep();
        if self.buffer.is_empty() {
            return Ok(());
        }
        self.buffer.iter_mut().for_each(|buffered| buffered.refused = None);
        self.owner.engine.switch_sticky();
        let mut attempts = 0;
        loop {
            attempts += 1;
            let waiting = self.attempt().await;
            self.sweep();
            if self.buffer.is_empty() {
                return Ok(());
            }
            let hope = self.buffer.iter().any(|buffered| buffered.refused.is_none());
            if !hope || attempts > self.limits.retries {
                return Err(self.failed(attempts, &waiting));
            }
            let patience = Instant::now() + self.limits.backoff.max(Duration::from_secs(1));
            let pause = tokio::time::sleep(self.limits.backoff);
            tokio::join!(pause, self.owner.engine.cluster.refreshed(patience));
        }
    }

    /// Forgets all that is buffered. What was not sent never will be.
    pub fn clear_buffer(&mut self) {
        self.buffer.clear();
        self.bytes = 0;
        self.owner.engine.ledger().accumulator.drop_all();
    }

    /// Takes out of the buffer what the last [`deliver`](Self::deliver) found refused for good, so that it does not fail the next
    /// one too.
    pub fn take_refused(&mut self) -> Vec<FailedRecord> {
        let taken: Vec<_> = self.buffer.extract_if(.., |buffered| buffered.refused.is_some()).collect();
        self.bytes -= taken.iter().map(|buffered| buffered.size).sum::<usize>();
        taken.into_iter().filter_map(|Buffered { record, refused, .. }| Some(FailedRecord { record, error: refused? })).collect()
    }

    /// Ends it; what is buffered is not sent.
    #[doc(alias = "shutdown")]
    pub fn close(self) {}

    /// One attempt to send everything. Returns why topics could not be sent to.
    async fn attempt(&mut self) -> BTreeMap<Topic, Error> {
        let engine = self.owner.engine.clone();
        engine.ledger().accumulator.release();
        let blocked = self.hand_over(&engine).await;
        engine.ledger().accumulator.flush();
        loop {
            let progress = engine.progress.notified();
            tokio::pin!(progress);
            progress.as_mut().enable();
            if engine.look(|ledger| ledger.accumulator.is_at_rest()) {
                return blocked;
            }
            progress.await;
        }
    }

    /// Puts the records that are in no batch into one. A topic that cannot be had yet keeps all its records, so that they stay in
    /// order; other topics go on.
    async fn hand_over(&mut self, engine: &Arc<Engine>) -> BTreeMap<Topic, Error> {
        let deadline = Instant::now() + engine.settings.ack_timeout;
        let pending = |buffered: &Buffered| buffered.delivery.is_none() && buffered.refused.is_none();
        let topics: BTreeSet<_> =
            self.buffer.iter().filter(|buffered| pending(buffered)).map(|buffered| buffered.record.topic.clone()).collect();
        let unknown: Vec<_> = topics.into_iter().filter(|topic| !engine.knows(topic)).collect();
        // All at once, so that one request asks for all of them.
        let _interests: Vec<_> = unknown.iter().map(|topic| engine.cluster.interest(topic)).collect();
        let mut blocked = BTreeMap::new();
        for topic in &unknown {
            if let Err(error) = engine.learn(topic, deadline).await {
                blocked.insert(topic.clone(), error);
            }
        }
        for buffered in self.buffer.iter_mut().filter(|buffered| pending(buffered)) {
            if let Some(error) = blocked.get(&buffered.record.topic) {
                let passes = error.is_retriable() || error.code().is_none_or(|code| code.is_retriable());
                let passes = passes && error.kind() != ErrorKind::Closed;
                buffered.refused = (!passes).then(|| error.clone());
                continue;
            }
            match engine.append(&buffered.record, &mut None, None) {
                Ok(delivery) => buffered.delivery = Some(delivery),
                Err(Refusal::Error(error)) => buffered.refused = Some(error),
                // Neither happens: the topic is known, and the budget has no end.
                Err(Refusal::Metadata | Refusal::Memory(_)) => {}
            }
        }
        blocked
    }

    /// Takes what is acknowledged out of the buffer, and notes what was refused.
    fn sweep(&mut self) {
        let bytes = &mut self.bytes;
        self.buffer.retain_mut(|buffered| match buffered.delivery.as_ref().and_then(Delivery::try_result) {
            None => true,
            Some(Ok(_)) => {
                *bytes -= buffered.size;
                false
            }
            Some(Err(error)) => {
                buffered.delivery = None;
                buffered.refused = Some(error);
                true
            }
        });
    }

    fn failed(&self, attempts: u32, blocked: &BTreeMap<Topic, Error>) -> DeliveryFailed {
        let last_errors: BTreeMap<_, _> = self.owner.engine.look(|ledger| {
            let errors = ledger.accumulator.last_errors();
            errors.map(|(payload, error)| (Arc::as_ptr(&payload.completion), error.clone())).collect()
        });
        let failed = self.buffer.iter().map(|buffered| {
            let of_batch = || last_errors.get(&buffered.delivery.as_ref()?.batch()).cloned();
            let of_topic = || blocked.get(&buffered.record.topic).cloned();
            let unknown = || Error::new(ErrorKind::Broker, "the partition has no leader now").with_retriable(true);
            let error = buffered.refused.clone().or_else(of_batch).or_else(of_topic).unwrap_or_else(unknown);
            let error = match error.topic() {
                Some(_) => error,
                None => error.with_topic(&buffered.record.topic),
            };
            let error = match &buffered.delivery {
                Some(delivery) => error.with_partition(delivery.partition()),
                None => error,
            };
            FailedRecord { record: buffered.record.clone(), error }
        });
        DeliveryFailed { failed: failed.collect(), attempts }
    }
}

/// A record that was not acknowledged.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct FailedRecord {
    /// As it was produced, with its time.
    pub record: Record,
    /// Why; it says whether the record may have been written.
    pub error: Error,
}

/// Some records were not delivered; they are still in the buffer.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct DeliveryFailed {
    /// These, in the order in which they were produced.
    pub failed: Vec<FailedRecord>,
    /// How often it was tried.
    pub attempts: u32,
}

impl DeliveryFailed {
    /// The first of the errors.
    fn first(&self) -> Option<&Error> {
        self.failed.first().map(|failed| &failed.error)
    }
}

impl fmt::Display for DeliveryFailed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} records were not delivered in {} attempts and stay buffered", self.failed.len(), self.attempts)?;
        match self.first() {
            Some(error) => write!(f, "; the first: {error}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for DeliveryFailed {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.first().map(|error| error as _)
    }
}

impl From<DeliveryFailed> for Error {
    fn from(failed: DeliveryFailed) -> Self {
        let kind = failed.first().map_or(ErrorKind::Broker, Error::kind);
        let possibly_written = failed.failed.iter().any(|failed| failed.error.is_possibly_written());
        Error::new(kind, failed.to_string()).with_possibly_written(possibly_written).with_source(failed)
    }
}
