//! Properties by their Java names, given to the builders that know what they mean.

use std::time::Duration;

use super::ClientBuilder;
use crate::cluster::Cluster;
use crate::config::{Component, Properties, Security};
use crate::consumer::ConsumerSettings;
use crate::error::{Error, ErrorKind, Result};
use crate::producer::{Partitioning, ProducerBuilder};
use crate::protocol::records::Compression;

/// Builders as the client's properties want them.
#[derive(Clone, Debug)]
pub(super) struct Prototypes {
    pub producer: ProducerBuilder,
    pub consumer: ConsumerSettings,
}

impl Prototypes {
    /// Takes what belongs to producers and consumers out of `properties`.
    pub(super) fn new(cluster: &Cluster, mut properties: Properties) -> Result<Self> {
        let producer = producer(ProducerBuilder::new(cluster.clone()), &mut properties)?;
        properties.finish(Component::Producer)?;
        for (name, only) in [("group.protocol", "classic"), ("check.crcs", "true")] {
            only_built(name, properties.take(name), only)?;
        }
        let consumer = ConsumerSettings::new(String::new()).take(&mut properties)?;
        properties.finish(Component::Consumer)?;
        Ok(Self { producer, consumer })
    }
}

/// See `Client::from_properties`.
pub(super) fn from_properties(mut properties: Properties) -> Result<ClientBuilder> {
    let seeds = properties.take_list("bootstrap.servers").unwrap_or_default();
    let mut builder = ClientBuilder::new(seeds);
    builder.security = Security::take(&mut properties)?;
    for (name, only) in [("client.dns.lookup", "use_all_dns_ips"), ("metadata.recovery.strategy", "rebootstrap")] {
        only_built(name, properties.take(name), only)?;
    }
    if let Some(id) = properties.take("client.id") {
        builder = builder.client_id(id);
    }
    if let Some(allow) = properties.take_bool("allow.auto.create.topics")? {
        builder = builder.allow_auto_create_topics(allow);
    }
    type Setter = fn(ClientBuilder, Duration) -> ClientBuilder;
    let setters: [(&str, Setter); 5] = [
        ("request.timeout.ms", ClientBuilder::request_timeout),
        ("default.api.timeout.ms", ClientBuilder::default_api_timeout),
        ("connections.max.idle.ms", ClientBuilder::connections_max_idle),
        ("metadata.max.age.ms", ClientBuilder::metadata_max_age),
        ("metadata.recovery.rebootstrap.trigger.ms", ClientBuilder::rebootstrap_trigger),
    ];
    for (name, set) in setters {
        if let Some(time) = properties.take_millis(name)? {
            builder = set(builder, time);
        }
    }
    type PairSetter = fn(ClientBuilder, Duration, Duration) -> ClientBuilder;
    let pairs: [(&str, &str, u64, u64, PairSetter); 3] = [
        ("retry.backoff.ms", "retry.backoff.max.ms", 100, 1000, ClientBuilder::retry_backoff),
        ("reconnect.backoff.ms", "reconnect.backoff.max.ms", 50, 1000, ClientBuilder::reconnect_backoff),
        (
            "socket.connection.setup.timeout.ms",
            "socket.connection.setup.timeout.max.ms",
            10_000,
            30_000,
            ClientBuilder::connection_setup_timeout,
        ),
    ];
    for (first, max, first_default, max_default, set) in pairs {
        let (first, max) = (properties.take_millis(first)?, properties.take_millis(max)?);
        // One of the two alone moves the other's default along, as in Java.
        let first_value = first.unwrap_or(Duration::from_millis(first_default));
        let first_value = if first.is_none() { first_value.min(max.unwrap_or(first_value)) } else { first_value };
        let max_value = max.unwrap_or(Duration::from_millis(max_default).max(first_value));
        builder = set(builder, first_value, max_value);
    }
    properties.finish(Component::Client)?;
    builder.components = properties;
    Ok(builder)
}

/// A setting with one value that is possible so far.
fn only_built(name: &str, value: Option<String>, only: &str) -> Result<()> {
    match value {
        Some(value) if !value.eq_ignore_ascii_case(only) => {
            let why = format!("setting \"{name}\" is \"{value}\", which is not built yet; only {only} is");
            Err(Error::new(ErrorKind::InvalidConfig, why))
        }
        _ => Ok(()),
    }
}

/// Gives settings that are there to a builder's methods.
macro_rules! give {
    ($builder:ident, $($setting:expr => $method:ident),* $(,)?) => {
        $(if let Some(value) = $setting { $builder = $builder.$method(value); })*
    };
}

/// How records find their partitions, if that is set.
fn partitioning(properties: &mut Properties) -> Result<Option<Partitioning>> {
    let class = properties.take_parsed::<Partitioning>("partitioner.class")?;
    let ignored = properties.take_bool("partitioner.ignore.keys")?.unwrap_or(false);
    match class {
        None | Some(Partitioning::Murmur2 | Partitioning::IgnoreKeys) if ignored => Ok(Some(Partitioning::IgnoreKeys)),
        Some(other) if ignored => {
            let why = format!(
                "partitioner.ignore.keys is true and partitioner.class is {other}, which goes by keys; set one of the two otherwise"
            );
            Err(Error::new(ErrorKind::InvalidConfig, why))
        }
        class => Ok(class),
    }
}

/// A producer's settings.
fn producer(mut builder: ProducerBuilder, properties: &mut Properties) -> Result<ProducerBuilder> {
    let compression = properties.take_parsed::<Compression>("compression.type")?;
    let mut compression_level = None;
    for (codec, name) in
        [("gzip", "compression.gzip.level"), ("lz4", "compression.lz4.level"), ("zstd", "compression.zstd.level")]
    {
        // The level of a codec that is not used says nothing; gzip's -1 is its own default.
        let level = properties.take_parsed::<i32>(name)?.filter(|level| codec != "gzip" || *level != -1);
        if compression.is_some_and(|used| used.to_string() == codec) {
            compression_level = level;
        }
    }
    give!(
        builder,
        partitioning(properties)? => partitioner,
        properties.take_parsed("acks")? => acks,
        properties.take_bool("enable.idempotence")? => idempotent,
        compression => compression,
        compression_level => compression_level,
        properties.take_size("batch.size")? => batch_size,
        properties.take_size("max.request.size")? => max_request_size,
        properties.take_size("max.in.flight.requests.per.connection")? => max_in_flight,
        properties.take_size("buffer.memory")? => buffer_memory,
        properties.take_millis("delivery.timeout.ms")? => delivery_timeout,
        properties.take_millis("linger.ms")? => linger,
        properties.take_millis("max.block.ms")? => max_block,
        properties.take_parsed("retries")? => retries,
    );
    Ok(builder)
}
