//! The producer that sends when it is told to, and keeps what failed: ruby-kafka's contract.
//!
//! `produce` only puts a record into the buffer, which has a limit in records and one in bytes. `deliver` sends all of it and returns
//! when everything is acknowledged, or when its attempts are used up: then what failed is still buffered, and the next `deliver` takes
//! it up again. Partitions are chosen by `deliver`, and kept. A topic that is not known yet holds back its own records and no others.
//!
//! It is the engine of the background producer with other rules: batches wait for `flush` instead of a linger, a failure holds the
//! partition until the next attempt, and no batch expires. So what may have reached a broker is sent again as the same bytes, also by a
//! later `deliver`, and records produced in between form batches of their own.

use std::collections::{BTreeMap, BTreeSet};
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use tokio::time::{Instant, timeout};

use super::accumulator::{Accumulator, Rules};
use super::builder::Limits;
use super::delivery::Delivery;
use super::delivery_failed::{DeliveryFailed, FailedRecord};
use super::engine::{Engine, Refusal};
use super::rejected::Rejected;
use super::settings::Settings;
use super::{Owner, director};
use crate::cluster::Cluster;
use crate::error::{Error, ErrorKind, Result};
use crate::protocol::ErrorCode;
use crate::record::{Record, Topic};

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
    /// Topics that the last attempt could not have, and why.
    blocked: BTreeMap<Topic, Error>,
    /// Does what was refused for good stay in the buffer, for its owner to take it out?
    pub(super) keep_refused: bool,
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
    pub(super) fn new(cluster: Cluster, settings: Settings, limits: Limits) -> Result<Self> {
        let rules = Rules {
            idempotent: settings.idempotent,
            linger: None,
            delivery_timeout: None,
            max_batches: settings.max_batches,
            max_request_size: settings.max_request_size,
            retries: u32::MAX,
            backoff: cluster.backoff(),
            hold_failed: true,
            seed: settings.seed,
        };
        let engine = Engine::new(cluster, settings, Accumulator::new(rules))?;
        #[expect(clippy::disallowed_methods, reason = "the engine has found the runtime")]
        tokio::spawn(director::run(engine.clone()));
        let owner = Owner { engine, interception: None, drop_rest: true };
        Ok(Self { owner, buffer: Vec::new(), bytes: 0, limits, blocked: BTreeMap::new(), keep_refused: true })
    }

    pub(super) fn engine(&self) -> &Arc<Engine> {
        &self.owner.engine
    }

    /// Puts `record` into the buffer, with the time of now unless it has one. Sends nothing.
    ///
    /// # Errors
    /// [`Rejected`] gives the record back, and the buffer is as before: [`ErrorKind::BufferFull`] naming the limit that it would
    /// pass, [`ErrorKind::InvalidRequest`] for a topic name that Kafka refuses, [`ErrorKind::MessageTooLarge`] for a record over
    /// `max.request.size`.
    pub fn produce(&mut self, record: Record) -> Result<(), Rejected<Record>> {
        let interceptors = &self.engine().settings.interceptors;
        if interceptors.is_empty() {
            return self.buffer(record);
        }
        let intercepted = interceptors.intercept(&record);
        // Given back as it came: handed over again, it passes the interceptors again.
        self.buffer(intercepted).map_err(|rejected| Rejected::new(record, rejected.into_parts().1))
    }

    fn buffer(&mut self, mut record: Record) -> Result<(), Rejected<Record>> {
        let size = record.key.as_ref().map_or(0, |key| key.len()) + record.value.as_ref().map_or(0, |value| value.len());
        let full = |limit: String| {
            let message = format!("the buffer is full: {limit}; deliver what is buffered first");
            Error::new(ErrorKind::BufferFull, message).with_topic(&record.topic)
        };
        let refusal = self.engine().admit(&record).map(|_| self.limit_passed_by(size).map(full));
        if let Some(error) = refusal.unwrap_or_else(Some) {
            return Err(Rejected::new(record, error));
        }
        record.timestamp.get_or_insert_with(|| self.engine().clock.wall_millis());
        self.push(record, size);
        Ok(())
    }

    /// The limit that a record of `size` more bytes would pass.
    pub(super) fn limit_passed_by(&self, size: usize) -> Option<String> {
        let Limits { records, bytes, .. } = self.limits;
        if self.buffer.len() >= records {
            Some(format!("max_buffer_size is {records} records"))
        } else if self.bytes.saturating_add(size) >= bytes {
            Some(format!("max_buffer_bytesize is {bytes} bytes, and {size} more would reach it"))
        } else {
            None
        }
    }

    /// Puts a record that was admitted, and passes no limit, into the buffer.
    pub(super) fn push(&mut self, record: Record, size: usize) {
        self.bytes += size;
        self.buffer.push(Buffered { record, size, delivery: None, refused: None });
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
    /// `max_retries` times with `retry_backoff` between; the others are not held up by it. Where brokers refuse this client, nothing is
    /// tried again by this call.
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
        self.engine().switch_sticky();
        let mut attempts = 0;
        loop {
            attempts += 1;
            self.attempt().await;
            self.sweep();
            if self.buffer.is_empty() {
                return Ok(());
            }
            let no_leader = || Error::from_code(ErrorCode::LEADER_NOT_AVAILABLE, "the partition has no leader now");
            let failed = self.failed(&self.engine().cluster.refusal().unwrap_or_else(no_leader));
            // Brokers that refuse this client will do so again, and what was closed stays closed.
            let is_final = |error: &Error| error.is_refusal() || error.kind() == ErrorKind::Closed;
            let hopeful = |(buffered, failed): (&Buffered, &FailedRecord)| buffered.refused.is_none() && !is_final(&failed.error);
            if !self.buffer.iter().zip(&failed).any(hopeful) || attempts > self.limits.retries {
                if !self.keep_refused {
                    self.take_refused();
                }
                return Err(DeliveryFailed { failed, attempts });
            }
            let patience = Instant::now() + self.limits.backoff.max(Duration::from_secs(1));
            let pause = tokio::time::sleep(self.limits.backoff);
            tokio::join!(pause, self.engine().cluster.refreshed(patience));
        }
    }

    /// Forgets all that is buffered. What was not sent never will be.
    pub fn clear_buffer(&mut self) {
        let cleared = Error::new(ErrorKind::Closed, "the buffer was cleared before the record was delivered").with_fatal(false);
        self.give_up(&cleared);
    }

    /// Takes out of the buffer what the last [`deliver`](Self::deliver) found refused for good, so that it does not fail the next
    /// one too.
    pub fn take_refused(&mut self) -> Vec<FailedRecord> {
        let taken: Vec<_> = self.buffer.extract_if(.., |buffered| buffered.refused.is_some()).collect();
        self.bytes -= taken.iter().map(|buffered| buffered.size).sum::<usize>();
        let interceptors = &self.engine().settings.interceptors;
        let taken = taken.into_iter().filter_map(|Buffered { record, refused, .. }| {
            let error = refused?;
            interceptors.acknowledged(Err(&error));
            Some(FailedRecord { record, error, kept: false })
        });
        taken.collect()
    }

    /// Ends it. As in ruby-kafka nothing is sent by this: call [`deliver`](Self::deliver) before. What a `deliver` that was dropped
    /// left under way is waited for, at most for `within`; the rest is given back.
    ///
    /// # Errors
    /// [`DeliveryFailed`] with the records that were not acknowledged, none of them kept. The error of each is that of its last
    /// attempt, and says whether it may have been written, also by an attempt that had no answer yet.
    ///
    /// # Cancel safety
    /// As dropping the producer: what is buffered is not sent, and not given back.
    #[doc(alias = "shutdown")]
    pub async fn close(mut self, within: Duration) -> Result<(), DeliveryFailed> {
        // If the time is over, what has no answer says so by itself.
        let _ = timeout(within, at_rest(self.engine())).await;
        let failed = self.give_up(&Error::new(ErrorKind::Closed, "the producer was closed before the record was delivered"));
        if failed.is_empty() { Ok(()) } else { Err(DeliveryFailed { failed, attempts: 0 }) }
    }

    /// Empties the buffer, and gives back what was not acknowledged; `reason` is the error of what never failed.
    pub(super) fn give_up(&mut self, reason: &Error) -> Vec<FailedRecord> {
        self.sweep();
        let mut failed = self.failed(reason);
        self.engine().ledger().accumulator.drop_all();
        self.bytes = 0;
        let buffer = std::mem::take(&mut self.buffer);
        let interceptors = &self.engine().settings.interceptors;
        let mut results = buffer.into_iter().map(|buffered| buffered.delivery.as_ref().and_then(Delivery::try_result));
        failed.retain_mut(|failed| {
            // What has no answer yet has one by now: that it was given up, and whether it was on its way.
            match results.next().flatten() {
                Some(Ok(metadata)) => {
                    interceptors.acknowledged(Ok(&metadata));
                    return false;
                }
                Some(Err(error)) => failed.error = failed.error.clone().with_possibly_written(error.is_possibly_written()),
                None => {}
            }
            failed.kept = false;
            interceptors.acknowledged(Err(&failed.error));
            true
        });
        failed
    }

    /// One attempt to send everything.
    async fn attempt(&mut self) {
        let engine = self.engine().clone();
        engine.ledger().accumulator.release();
        let pending = self.buffer.iter().filter(|buffered| buffered.is_pending());
        let topics: BTreeSet<_> = pending.map(|buffered| buffered.record.topic.clone()).collect();
        let (known, unknown): (BTreeSet<_>, BTreeSet<_>) = topics.into_iter().partition(|topic| engine.knows(topic));
        self.hand_over(&engine, |topic| known.contains(topic));
        self.learn(&engine, unknown).await;
        at_rest(&engine).await;
    }

    /// Hands over the records of each of these topics as soon as it is known. A topic that cannot be had yet keeps all its records, so
    /// that they stay in order.
    async fn learn(&mut self, engine: &Arc<Engine>, topics: BTreeSet<Topic>) {
        self.blocked.clear();
        let deadline = Instant::now() + engine.settings.ack_timeout;
        // All at once, so that one request asks for all of them.
        let _interests: Vec<_> = topics.iter().map(|topic| engine.cluster.interest(topic)).collect();
        let begin = |topic: Topic| {
            let (engine, asked) = (engine.clone(), topic.clone());
            (topic, Box::pin(async move { engine.learn(&asked, deadline).await }) as Learning)
        };
        let mut learning: Vec<_> = topics.into_iter().map(begin).collect();
        while let Some((topic, result)) = next_learned(&mut learning).await {
            match result {
                Ok(()) => self.hand_over(engine, |found| *found == topic),
                Err(error) => {
                    let passes =
                        error.is_retriable() || error.is_refusal() || error.code().is_none_or(|code| code.is_retriable());
                    let passes = passes && error.kind() != ErrorKind::Closed;
                    for buffered in self.buffer.iter_mut().filter(|found| found.is_pending() && found.record.topic == topic) {
                        buffered.refused = (!passes).then(|| error.clone());
                    }
                    self.blocked.insert(topic, error);
                }
            }
        }
    }

    /// Puts the records of these topics that are in no batch into one, and makes all batches due.
    fn hand_over(&mut self, engine: &Arc<Engine>, which: impl Fn(&Topic) -> bool) {
        for buffered in self.buffer.iter_mut().filter(|found| found.is_pending() && which(&found.record.topic)) {
            match engine.append(&buffered.record, &mut None, None) {
                Ok(delivery) => buffered.delivery = Some(delivery),
                Err(Refusal::Error(error)) => buffered.refused = Some(error),
                // Neither happens: the topic is known, and the budget has no end.
                Err(Refusal::Metadata | Refusal::Memory(_)) => {}
            }
        }
        engine.ledger().accumulator.flush();
    }

    /// Takes what is acknowledged out of the buffer, and notes what was refused.
    fn sweep(&mut self) {
        let (bytes, interceptors) = (&mut self.bytes, &self.owner.engine.settings.interceptors);
        self.buffer.retain_mut(|buffered| match buffered.delivery.as_ref().and_then(Delivery::try_result) {
            None => true,
            Some(Ok(metadata)) => {
                interceptors.acknowledged(Ok(&metadata));
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

    /// All that is buffered, each record with why it is; `otherwise` where nothing failed.
    fn failed(&self, otherwise: &Error) -> Vec<FailedRecord> {
        let last_errors: BTreeMap<_, _> = self.engine().look(|ledger| {
            let errors = ledger.accumulator.last_errors();
            errors.map(|(payload, error)| (Arc::as_ptr(&payload.completion), error.clone())).collect()
        });
        let failed = self.buffer.iter().map(|buffered| {
            let of_batch = || last_errors.get(&buffered.delivery.as_ref()?.batch()).cloned();
            let of_topic = || self.blocked.get(&buffered.record.topic).cloned();
            let error = buffered.refused.clone().or_else(of_batch).or_else(of_topic).unwrap_or_else(|| otherwise.clone());
            let error = match error.topic() {
                Some(_) => error,
                None => error.with_topic(&buffered.record.topic),
            };
            let error = match &buffered.delivery {
                Some(delivery) => error.with_partition(delivery.partition()),
                None => error,
            };
            let kept = self.keep_refused || buffered.refused.is_none();
            FailedRecord { record: buffered.record.clone(), error, kept }
        });
        failed.collect()
    }
}

impl Buffered {
    /// Is it in no batch, and not refused in the `deliver` that runs?
    fn is_pending(&self) -> bool {
        self.delivery.is_none() && self.refused.is_none()
    }
}

/// A topic that is asked for.
type Learning = Pin<Box<dyn Future<Output = Result<()>> + Send>>;

/// The first of these to end; `None` if there are none.
async fn next_learned(learning: &mut Vec<(Topic, Learning)>) -> Option<(Topic, Result<()>)> {
    if learning.is_empty() {
        return None;
    }
    let (at, result) = poll_fn(|cx| {
        let mut polled =
            learning.iter_mut().enumerate().map(|(at, (_, asked))| asked.as_mut().poll(cx).map(|result| (at, result)));
        polled.find(Poll::is_ready).unwrap_or(Poll::Pending)
    })
    .await;
    Some((learning.swap_remove(at).0, result))
}

/// Waits until nothing is on the way, and nothing could be sent without another attempt.
async fn at_rest(engine: &Engine) {
    loop {
        let progress = engine.progress.notified();
        tokio::pin!(progress);
        progress.as_mut().enable();
        if engine.look(|ledger| ledger.accumulator.is_at_rest()) {
            return;
        }
        progress.await;
    }
}
