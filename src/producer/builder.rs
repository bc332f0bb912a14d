//! How producers are made: settings under their standard names, then `build`.

use std::time::Duration;

use super::async_producer::AsyncProducerBuilder;
use super::interceptor::Interceptor;
use super::partitioner::Partitioning;
use super::settings::{Acks, Choice, any_seed};
use super::{BufferedProducer, Producer};
use crate::cluster::Cluster;
use crate::error::{Error, ErrorKind, Result};
use crate::protocol::records::Compression;

/// Makes a [`Producer`]; from `Client::producer`.
///
/// Without any setting it is idempotent: each record is written once and in order, also across broker failures, or its error says
/// whether it may have been written.
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing until `build`"]
pub struct ProducerBuilder {
    pub(super) cluster: Cluster,
    pub(super) choice: Choice,
}

/// Settings that all producers have, by their standard names.
macro_rules! shared_settings {
    () => {
        /// When a record counts as delivered; [`Acks::All`] unless set. With another value and nothing said about idempotence, the
        /// producer is not idempotent.
        #[doc(alias = "required_acks")]
        pub fn acks(mut self, acks: Acks) -> Self {
            self.choice.acks = Some(acks);
            self
        }

        /// Shall brokers recognize batches that are sent again, so that each is written once and in order? Yes unless set.
        #[doc(alias = "enable.idempotence")]
        pub fn idempotent(mut self, idempotent: bool) -> Self {
            self.choice.idempotent = Some(idempotent);
            self
        }

        /// The codec of batches; none unless set. `compression.type`.
        #[doc(alias = "compression_codec")]
        pub fn compression(mut self, compression: Compression) -> Self {
            self.choice.compression = compression;
            self
        }

        /// The codec's level; its own default unless set.
        pub fn compression_level(mut self, level: i32) -> Self {
            self.choice.compression_level = Some(level);
            self
        }

        /// The most bytes of one batch before compression; 256 KiB unless set. `batch.size`.
        pub fn batch_size(mut self, bytes: usize) -> Self {
            self.choice.batch_size = bytes;
            self
        }

        /// The most bytes of one Produce request, and so of one record; 1 MiB unless set. `max.request.size`.
        pub fn max_request_size(mut self, bytes: usize) -> Self {
            self.choice.max_request_size = bytes;
            self
        }

        /// How long a broker may take to answer a Produce request; the client's unless set. `request.timeout.ms`.
        pub fn request_timeout(mut self, timeout: Duration) -> Self {
            self.choice.request_timeout = timeout;
            self
        }

        /// Unanswered Produce requests per broker; 5 unless set. `max.in.flight.requests.per.connection`.
        ///
        /// An idempotent producer keeps the order of each partition's records with any value, at most 5. One that is not sends one
        /// batch of a partition at a time, unless this is set: **then an error in one batch may let a later one overtake it.**
        pub fn max_in_flight(mut self, requests: usize) -> Self {
            self.choice.max_in_flight = Some(requests);
            self
        }

        /// How many records a partition's batch must have to be compressed; smaller ones are sent as they are. 1 unless set.
        pub fn compression_threshold(mut self, records: usize) -> Self {
            self.choice.compression_threshold = records;
            self
        }

        /// How records that name no partition find one; [`Partitioning::Murmur2`](crate::producer::Partitioning::Murmur2) unless set.
        /// One of the built-in ways, or a [`Partitioner`](crate::producer::Partitioner) of your own. `partitioner.class`,
        /// `partitioner.ignore.keys`.
        #[doc(alias = "partitioner.class")]
        pub fn partitioner(mut self, partitioner: impl Into<Partitioning>) -> Self {
            self.choice.partitioning = partitioner.into();
            self
        }

        /// Adds an [`Interceptor`](crate::producer::Interceptor) behind those that were added before; none unless set.
        #[doc(alias = "interceptor.classes")]
        pub fn interceptor(mut self, interceptor: impl Interceptor) -> Self {
            self.choice.interceptors.push(interceptor);
            self
        }

        /// For tests that count or replay: compress on the calling task instead of the runtime's blocking pool.
        #[doc(hidden)]
        pub fn compress_inline(mut self) -> Self {
            self.choice.inline = true;
            self
        }

        /// For tests: what random choices follow from.
        #[doc(hidden)]
        pub fn seed(mut self, seed: u64) -> Self {
            self.choice.seed = seed;
            self
        }
    };
}
pub(super) use shared_settings;

/// Settings of the producers whose delivery is an act of its own.
macro_rules! delivery_settings {
    () => {
        /// How many records the buffer takes; 1000 unless set.
        pub fn max_buffer_size(mut self, records: usize) -> Self {
            self.limits.records = records;
            self
        }

        /// How often a delivery tries again after its first attempt; 2 unless set.
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
    };
}
pub(super) use delivery_settings;

/// What a buffer takes, and how often its delivery is tried.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub(super) records: usize,
    pub(super) bytes: usize,
    pub(super) retries: u32,
    pub(super) backoff: Duration,
}

impl ProducerBuilder {
    /// With the defaults.
    pub(crate) fn new(cluster: Cluster) -> Self {
        let choice = Choice::new(cluster.config().request_timeout);
        Self { cluster, choice }
    }

    /// The same settings for another handle on the cluster; random choices are made anew.
    pub(crate) fn on(mut self, cluster: Cluster) -> Self {
        self.cluster = cluster;
        self.choice.seed = any_seed();
        self
    }

    /// All acks and idempotent, whatever was set.
    pub(super) fn surely(mut self) -> Self {
        (self.choice.acks, self.choice.idempotent, self.choice.max_in_flight) = (None, None, None);
        self
    }

    shared_settings!();

    /// How long a batch that is not full waits for more records; 5 ms unless set. `linger.ms`.
    ///
    /// With 0 a record goes out at once if the connection is free; while it is not, records still gather.
    pub fn linger(mut self, linger: Duration) -> Self {
        self.choice.linger = linger;
        self
    }

    /// The most bytes of records without an answer; 32 MiB unless set. `buffer.memory`.
    pub fn buffer_memory(mut self, bytes: usize) -> Self {
        self.choice.buffer_memory = bytes;
        self
    }

    /// How long a record may wait for its topic's metadata and for room in the buffer; 60 s unless set. `max.block.ms`.
    pub fn max_block(mut self, max_block: Duration) -> Self {
        self.choice.max_block = max_block;
        self
    }

    /// How long until each record is acknowledged or failed; 120 s unless set. `delivery.timeout.ms`.
    pub fn delivery_timeout(mut self, timeout: Duration) -> Self {
        self.choice.delivery_timeout = Some(timeout);
        self
    }

    /// How often a batch is sent again; until the delivery time-out unless set. `retries`.
    #[doc(alias = "max_retries")]
    pub fn retries(mut self, retries: u32) -> Self {
        self.choice.retries = retries;
        self
    }

    /// A buffered producer with what these two have in common.
    pub(crate) fn buffered(self) -> BufferedProducerBuilder {
        let (cluster, choice) = (self.cluster, for_delivery(self.choice));
        BufferedProducerBuilder { cluster, choice, limits: Limits::default() }
    }

    /// An asynchronous producer with what these two have in common.
    pub(crate) fn asynchronous(self) -> AsyncProducerBuilder {
        AsyncProducerBuilder::new(self.cluster, for_delivery(self.choice))
    }

    /// The producer; nothing is sent yet.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidConfig`] for settings that are wrong or contradict each other; an error if no tokio runtime is around.
    pub fn build(self) -> Result<Producer> {
        Producer::new(self.cluster, self.choice.resolve()?)
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self { records: 1000, bytes: 10_000_000, retries: 2, backoff: Duration::from_secs(1) }
    }
}

impl Limits {
    /// Checks them.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidConfig`], naming the one that is wrong.
    pub(super) fn check(&self) -> Result<()> {
        positive(&[("max_buffer_size", self.records), ("max_buffer_bytesize", self.bytes)])
    }
}

/// None of these settings may be 0.
pub(super) fn positive(settings: &[(&str, usize)]) -> Result<()> {
    match settings.iter().find(|(_, value)| *value == 0) {
        Some((name, _)) => Err(Error::new(ErrorKind::InvalidConfig, format!("{name} is 0; it must be positive"))),
        None => Ok(()),
    }
}

/// What a background producer was set to, where only it has a setting replaced by what the others need.
fn for_delivery(mut choice: Choice) -> Choice {
    choice.ack_timeout = Some(Duration::from_secs(5));
    choice.linger = Duration::ZERO;
    choice.delivery_timeout = None;
    // The buffer has limits of its own.
    choice.buffer_memory = usize::MAX >> 4;
    choice
}

/// Makes a [`BufferedProducer`]; from `Client::buffered_producer`.
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing until `build`"]
pub struct BufferedProducerBuilder {
    cluster: Cluster,
    choice: Choice,
    limits: Limits,
}

impl BufferedProducerBuilder {
    shared_settings!();
    delivery_settings!();

    /// Below how many bytes of keys and values the buffer stays; 10,000,000 unless set.
    pub fn max_buffer_bytesize(mut self, bytes: usize) -> Self {
        self.limits.bytes = bytes;
        self
    }

    /// The producer; nothing is sent, and no connection made, before the first `deliver`.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidConfig`] for settings that are wrong or contradict each other; an error if no tokio runtime is around.
    pub fn build(self) -> Result<BufferedProducer> {
        self.limits.check()?;
        BufferedProducer::new(self.cluster, self.choice.resolve()?, self.limits)
    }
}
