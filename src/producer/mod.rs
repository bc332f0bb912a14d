//! Producers: records on their way into the cluster.
//!
//! ```text
//!   send ─> partitioner ─> the partition's open batch ─> closed ─> compressed ─> ready ─> stamped ─> one Produce request per turn
//!           partitioner.rs  open_batch.rs                         engine.rs     accumulator.rs●      driver.rs, sequence.rs●
//!                                                                                                      │
//!   Delivery <──────────── Completion, one per batch (delivery.rs) <───────── answer (verdict.rs) <────┘
//! ```
//!
//! A record is encoded once, straight into the batch in which it is sent. What every later attempt sends is the same bytes; what may
//! have reached a broker is never sent under another name; what is numbered is never given other records. `sequence` has the rules.
//!
//! [`Producer`] sends in the background and tells each record's result. [`BufferedProducer`] sends when it is told to, and keeps
//! what failed. Both are the same engine under different rules. [`AsyncProducer`] has a task that does so with a [`BufferedProducer`].
//! Users' own code, [`Partitioner`] and [`Interceptor`], runs on the tasks of those who call, and is contained.

mod accumulator;
mod async_producer;
mod buffered;
mod buffers;
mod builder;
mod contained;
mod delivery;
mod delivery_failed;
mod director;
mod driver;
mod engine;
mod interception;
mod interceptor;
mod ledger;
mod memory;
mod open_batch;
mod partitioner;
mod rejected;
mod sequence;
mod settings;
mod split;
mod sticky;
mod topics;
#[cfg(feature = "unstable-cores")]
pub(crate) mod unstable;
mod verdict;

use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, timeout_at};

pub use async_producer::{AsyncProducer, AsyncProducerBuilder, AsyncSettings, Overflow};
pub use buffered::BufferedProducer;
pub use builder::{BufferedProducerBuilder, ProducerBuilder};
pub use delivery::Delivery;
pub use delivery_failed::{DeliveryFailed, FailedRecord};
pub use interceptor::Interceptor;
pub use partitioner::{Partitioner, Partitioning, crc32, murmur2};
pub use rejected::Rejected;
pub use settings::Acks;

use crate::cluster::Cluster;
use crate::error::{Error, ErrorKind, Result};
use crate::record::{Record, RecordMetadata};
use accumulator::{Accumulator, Rules};
use engine::{Engine, Refusal, closed};
use interception::Interception;
use memory::{Charge, Waiting};
use settings::Settings;

/// How long `Client::deliver` takes at most.
const DELIVER_TIMEOUT: Duration = Duration::from_secs(30);

/// Sends records in the background, batched, in order per partition, and tells what became of each.
///
/// Cheap to clone; all clones are one producer. When the last is dropped, what was handed over is still sent in the background, but
/// nobody waits for it: call [`close`](Self::close) to be sure.
///
/// ```no_run
/// # async fn example(client: klamm::Client) -> klamm::Result<()> {
/// use std::time::Duration;
///
/// use klamm::Record;
///
/// let producer = client.producer().build()?;
/// let at = producer.send(Record::new("orders").key("k").value("first")).await?; // waits for the acknowledgement
/// println!("partition {}, offset {:?}", at.partition, at.offset);
///
/// let delivery = producer.enqueue(Record::new("orders").value("second")).await?; // waits for room only
/// let at = delivery.await?;
/// producer.close(Duration::from_secs(30)).await?;
/// # let _ = at;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Producer {
    handle: Arc<Owner>,
}

/// What users hold; the engine's tasks do not.
#[derive(Debug)]
struct Owner {
    engine: Arc<Engine>,
    /// The background producer's way through its interceptors, if it has any.
    interception: Option<Interception>,
    /// Is what has no result dropped with the owner? Else it is sent in the background.
    drop_rest: bool,
}

impl Drop for Owner {
    fn drop(&mut self) {
        self.engine.close();
        if self.drop_rest {
            self.engine.ledger().accumulator.drop_all();
        }
    }
}

impl Producer {
    fn new(cluster: Cluster, settings: Settings) -> Result<Self> {
        let rules = Rules {
            idempotent: settings.idempotent,
            linger: Some(settings.linger),
            delivery_timeout: Some(settings.delivery_timeout),
            max_batches: settings.max_batches,
            max_request_size: settings.max_request_size,
            retries: settings.retries,
            backoff: cluster.backoff(),
            hold_failed: false,
            seed: settings.seed,
        };
        let engine = Engine::new(cluster, settings, Accumulator::new(rules))?;
        #[expect(clippy::disallowed_methods, reason = "the engine has found the runtime")]
        tokio::spawn(director::run(engine.clone()));
        let interception = Interception::start(&engine.settings.interceptors);
        Ok(Self { handle: Arc::new(Owner { engine, interception, drop_rest: false }) })
    }

    /// The hidden producer behind `Client::deliver`: what producers were set to be like, but idempotent with all acks, without linger,
    /// and with 30 s for each record.
    pub(crate) fn for_deliver(cluster: Cluster, like: &ProducerBuilder) -> Result<Self> {
        let longest = DELIVER_TIMEOUT.max(cluster.config().request_timeout);
        let builder = like.clone().on(cluster).surely();
        builder.linger(Duration::ZERO).delivery_timeout(longest).max_block(longest).build()
    }

    /// Hands `record` over and waits until it is acknowledged.
    ///
    /// # Errors
    /// Those of [`enqueue`](Self::enqueue), and those of the [`Delivery`].
    ///
    /// # Cancel safety
    /// Dropped before the record was accepted, it is not sent; dropped later, it is sent and nobody hears of the result.
    pub async fn send(&self, record: Record) -> Result<RecordMetadata> {
        self.enqueue(record).await?.await
    }

    /// Hands `record` over; waits only for its topic's metadata and for room in the buffer. The result comes by the [`Delivery`].
    ///
    /// # Errors
    /// At once: a topic name that Kafka refuses or a partition that does not exist ([`ErrorKind::InvalidRequest`]), a record over
    /// `max.request.size` ([`ErrorKind::MessageTooLarge`]), a closed producer ([`ErrorKind::Closed`]), brokers that refuse this client
    /// ([`ErrorKind::Authentication`], [`ErrorKind::Tls`]). After `max.block.ms`: a topic
    /// that the cluster does not have ([`ErrorKind::UnknownTopic`]), a buffer that stays full ([`ErrorKind::BufferFull`]).
    ///
    /// # Cancel safety
    /// Dropped while it waits, the record is not sent.
    pub async fn enqueue(&self, record: Record) -> Result<Delivery> {
        let Owner { engine, interception, .. } = &*self.handle;
        if let Some(interception) = interception {
            // In a box, so that the future of a producer without interceptors is no larger for it.
            return Box::pin(interception.enqueue(engine, record)).await;
        }
        enqueue(engine, &record).await
    }

    /// Hands `record` over if that is possible at once.
    ///
    /// # Errors
    /// [`Rejected`] gives the record back; its error says why: those of [`enqueue`](Self::enqueue), a full buffer, or a topic of
    /// which nothing is known yet.
    pub fn try_enqueue(&self, record: Record) -> Result<Delivery, Rejected<Record>> {
        let Owner { engine, interception, .. } = &*self.handle;
        if let Some(interception) = interception {
            return interception.try_enqueue(engine, record);
        }
        try_enqueue(engine, &record).map_err(|error| Rejected::new(record, error))
    }

    /// Sends what was handed over before this call without further linger, and waits for all of its results.
    ///
    /// # Errors
    /// The first failure among them, possibly written if any of those that failed may have been; each [`Delivery`] tells its own.
    ///
    /// # Cancel safety
    /// Only the waiting stops.
    pub async fn flush(&self) -> Result<()> {
        flush(&self.handle.engine).await
    }

    /// Takes no more records, through no clone, and sends what was handed over without further linger. Returns when all of it has its
    /// result, which is at the latest when the delivery time-out is over, however long `within` is. What has none when `within` is
    /// over is given up: its [`Delivery`] fails with [`ErrorKind::Closed`], and says whether the record may have been written.
    ///
    /// # Errors
    /// The first failure, possibly written if any of the records that failed may have been; each [`Delivery`] tells its own.
    ///
    /// # Cancel safety
    /// The producer stays closed; what was handed over is sent in the background.
    pub async fn close(&self, within: Duration) -> Result<()> {
        let Owner { engine, interception, .. } = &*self.handle;
        let start = Instant::now();
        engine.close();
        engine.ledger().accumulator.set_hurry(true);
        let all = flush(engine);
        tokio::pin!(all);
        let result = match tokio::time::timeout(within, &mut all).await {
            Ok(result) => result,
            Err(_) => {
                engine.ledger().accumulator.drop_all();
                all.await
            }
        };
        if let Some(interception) = interception {
            interception.told(within.saturating_sub(start.elapsed())).await;
        }
        result
    }

    /// Bytes of the buffer in use.
    pub fn buffered_bytes(&self) -> usize {
        self.handle.engine.memory.used()
    }
}

/// Takes `record` once its topic is known and there is room.
async fn enqueue(engine: &Arc<Engine>, record: &Record) -> Result<Delivery> {
    match engine.append(record, &mut None, None) {
        Ok(delivery) => Ok(delivery),
        Err(refusal) => enqueue_waiting(engine, record, refusal).await,
    }
}

/// Takes `record` if that is possible at once.
fn try_enqueue(engine: &Arc<Engine>, record: &Record) -> Result<Delivery> {
    let mut refusal = match engine.append(record, &mut None, None) {
        Ok(delivery) => return Ok(delivery),
        Err(refusal) => refusal,
    };
    if matches!(refusal, Refusal::Metadata) {
        engine.learn_now(&record.topic)?;
        refusal = match engine.append(record, &mut None, None) {
            Ok(delivery) => return Ok(delivery),
            Err(refusal) => refusal,
        };
    }
    Err(engine.refused(record, refusal))
}

/// The rest of `enqueue`, where something has to be waited for.
#[cold]
async fn enqueue_waiting(engine: &Arc<Engine>, record: &Record, mut refusal: Refusal) -> Result<Delivery> {
    let entered = Instant::now();
    let deadline = entered + engine.settings.max_block;
    let mut charge: Option<Charge> = None;
    loop {
        match refusal {
            Refusal::Error(_) => return Err(engine.refused(record, refusal)),
            Refusal::Metadata => engine.learn(&record.topic, deadline).await?,
            Refusal::Memory(bytes) => {
                // Batches that linger hold what is waited for.
                let _hurry = Hurry::new(engine);
                match timeout_at(deadline, engine.memory.charge(bytes)).await {
                    Ok(Some(room)) => charge = Some(room),
                    Ok(None) => return Err(closed()),
                    Err(_) => return Err(engine.refused(record, refusal)),
                }
            }
        }
        refusal = match engine.append(record, &mut charge, Some(entered.into_std())) {
            Ok(delivery) => return Ok(delivery),
            Err(refusal) => refusal,
        };
    }
}

/// While someone waits for memory, batches do not linger.
struct Hurry<'a> {
    engine: &'a Arc<Engine>,
    waiting: Option<Waiting<'a>>,
}

impl<'a> Hurry<'a> {
    fn new(engine: &'a Arc<Engine>) -> Self {
        // Counted first: whoever goes at this moment and looks before that has switched the hurry off before it is switched on here.
        let waiting = Some(engine.memory.waiting());
        engine.ledger().accumulator.set_hurry(true);
        Self { engine, waiting }
    }
}

impl Drop for Hurry<'_> {
    fn drop(&mut self) {
        self.waiting = None;
        let mut ledger = self.engine.ledger();
        let hurry = self.engine.memory.is_short() || self.engine.is_closed();
        ledger.accumulator.set_hurry(hurry);
    }
}

/// Makes everything due, and waits for what is there now.
async fn flush(engine: &Arc<Engine>) -> Result<()> {
    let waiting = {
        let mut ledger = engine.ledger();
        ledger.accumulator.flush();
        ledger.accumulator.payloads().map(|(_, _, payload)| payload.completion.clone()).collect::<Vec<_>>()
    };
    let (mut first, mut possibly_written) = (None, false);
    for completion in waiting {
        if let Err(error) = poll_fn(|cx| completion.poll_all(cx)).await {
            possibly_written |= error.is_possibly_written();
            first.get_or_insert(error);
        }
    }
    first.map_or(Ok(()), |error| Err(error.with_possibly_written(possibly_written)))
}

impl Engine {
    /// The error of a record that was not taken.
    #[cold]
    fn refused(&self, record: &Record, refusal: Refusal) -> Error {
        match refusal {
            Refusal::Error(error) => error,
            // There is no room because it was closed meanwhile.
            Refusal::Memory(_) if self.is_closed() => closed(),
            Refusal::Metadata => {
                Error::new(ErrorKind::UnknownTopic, "nothing is known about the topic").with_topic(&record.topic)
            }
            Refusal::Memory(bytes) => {
                let message = format!(
                    "the buffer is full: the record needs {bytes} bytes and {} of buffer.memory ({}) are in use; \
                     brokers do not take records as fast as they come; wait for deliveries, or raise it",
                    self.memory.used(),
                    self.memory.total()
                );
                Error::new(ErrorKind::BufferFull, message).with_topic(&record.topic)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::ClusterConfig;
    use crate::config::Seed;
    use crate::network::TcpConnector;

    #[tokio::test]
    async fn who_stops_waiting_for_memory_does_not_let_batches_linger_for_who_has_just_begun() {
        let seeds = vec![Seed { host: "nowhere.invalid".into(), port: 1 }];
        let cluster = Cluster::new(ClusterConfig::new(seeds), Arc::new(TcpConnector)).unwrap();
        let producer = ProducerBuilder::new(cluster).build().unwrap();
        let engine = &producer.handle.engine;
        let hurried = || engine.look(|ledger| ledger.accumulator.is_hurried());
        let first = Hurry::new(engine);
        let second = Hurry::new(engine);
        drop(first);
        assert!(hurried());
        drop(second);
        assert!(!hurried());
    }
}
