//! Setting up a broker.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use klamm::protocol::{ApiKey, TopicName};
use tokio::net::ToSocketAddrs;

use crate::core::{KafkaVersion, Settings};
use crate::driver::{self, Shared};
use crate::{Broker, Quota, QuotaEntity, SaslMechanism};

/// Port that the nodes of an in-memory broker name.
const MEMORY_PORT: u16 = 9092;

/// What a [`Broker`] shall be like. Made by [`Broker::builder`].
#[derive(Clone)]
#[must_use]
pub struct BrokerBuilder {
    pub(crate) settings: Settings,
    topics: Vec<(String, i32)>,
    /// Mechanism, name and password.
    users: Vec<(SaslMechanism, String, String)>,
    kafka_version: Option<String>,
    quotas: Vec<(QuotaEntity, Quota, f64)>,
    #[cfg(feature = "tls")]
    tls: Option<crate::ListenerTls>,
}

/// Without passwords.
impl fmt::Debug for BrokerBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let users: Vec<_> = self.users.iter().map(|(mechanism, name, _)| (mechanism, name)).collect();
        let mut shown = f.debug_struct("BrokerBuilder");
        shown.field("settings", &self.settings).field("topics", &self.topics).field("users", &users).finish()
    }
}

impl BrokerBuilder {
    pub(crate) fn new() -> Self {
        Self {
            settings: Settings::default(),
            topics: Vec::new(),
            users: Vec::new(),
            kafka_version: None,
            quotas: Vec::new(),
            #[cfg(feature = "tls")]
            tls: None,
        }
    }

    /// How many nodes the cluster has, numbered from 1. Default 1.
    pub fn nodes(mut self, nodes: u16) -> Self {
        self.settings.nodes = i32::from(nodes.max(1));
        self
    }

    /// Adds a topic. Leaders are spread over the nodes: with three nodes, partition 0 of the first topic is led by node 1, partition
    /// 1 by node 2.
    pub fn topic(mut self, name: impl Into<String>, partitions: i32) -> Self {
        self.topics.push((name.into(), partitions));
        self
    }

    /// Replicas of topics whose creator does not say how many. Default 3, or the number of nodes if that is less. With 1, a
    /// partition has no leader while its node is stopped.
    pub fn replication_factor(mut self, factor: i16) -> Self {
        self.settings.default_replication_factor = Some(factor);
        self
    }

    /// Shall asking for a topic create it (`auto.create.topics.enable`)? Default no, unlike Kafka.
    pub fn auto_create_topics(mut self, on: bool) -> Self {
        self.settings.auto_create_topics = on;
        self
    }

    /// Partitions of topics whose creator does not say how many (`num.partitions`). Default 1.
    pub fn default_partitions(mut self, partitions: i32) -> Self {
        self.settings.default_partitions = partitions;
        self
    }

    /// The largest batch (`message.max.bytes`). Default 1,048,588 bytes.
    pub fn message_max_bytes(mut self, bytes: i32) -> Self {
        self.settings.message_max_bytes = bytes;
        self
    }

    /// How many replicas have to be in sync for an acknowledgement by all, for topics that do not say it (`min.insync.replicas`).
    /// Default 1.
    pub fn min_insync_replicas(mut self, replicas: usize) -> Self {
        self.settings.min_insync_replicas = replicas;
        self
    }

    /// May a replica that is not in sync lead when there is no other, for topics that do not say it
    /// (`unclean.leader.election.enable`)? Default no.
    pub fn unclean_leader_election(mut self, on: bool) -> Self {
        self.settings.unclean_leader_election = on;
        self
    }

    /// After how long a replica that does not follow is no longer in sync (`replica.lag.time.max.ms`). Default 30 s.
    pub fn replica_lag_time_max(mut self, lag: Duration) -> Self {
        self.settings.replica_lag_time_max = lag;
        self
    }

    /// Shall the high watermark move while fewer replicas are in sync than `min.insync.replicas`, as it did before Kafka 3.7? Who then
    /// waits for an acknowledgement by all is told `NOT_ENOUGH_REPLICAS_AFTER_APPEND`, else `REQUEST_TIMED_OUT`. Default no.
    pub fn high_watermark_moves_below_min_isr(mut self, on: bool) -> Self {
        self.settings.high_watermark_moves_below_min_isr = on;
        self
    }

    /// How often is looked which records are too old or too many, where topics have `retention.ms` or `retention.bytes` set
    /// (`log.retention.check.interval.ms`). Default 5 min.
    pub fn retention_check_interval(mut self, interval: Duration) -> Self {
        self.settings.retention_check_interval = interval;
        self
    }

    /// Which session time-outs members of groups may ask for (`group.min.session.timeout.ms`, `group.max.session.timeout.ms`).
    /// Default 6 s to 30 min.
    pub fn session_timeouts(mut self, allowed: RangeInclusive<Duration>) -> Self {
        (self.settings.group_min_session_timeout, self.settings.group_max_session_timeout) = allowed.into_inner();
        self
    }

    /// How long a new group waits for more members (`group.initial.rebalance.delay.ms`). Default zero, unlike Kafka's 3 s.
    pub fn initial_rebalance_delay(mut self, delay: Duration) -> Self {
        self.settings.group_initial_rebalance_delay = delay;
        self
    }

    /// How many members a group may have (`group.max.size`). Default without limit.
    pub fn group_max_size(mut self, members: usize) -> Self {
        self.settings.group_max_size = members;
        self
    }

    /// How long committed offsets are kept once their group has no members, or a member no use for them
    /// (`offsets.retention.minutes`). Default 7 days. Looked after every ten minutes
    /// ([`offsets_retention_check_interval`](Self::offsets_retention_check_interval)).
    pub fn offsets_retention(mut self, kept: Duration) -> Self {
        self.settings.offsets_retention = kept;
        self
    }

    /// How often it is looked for committed offsets, and groups, whose time is over (`offsets.retention.check.interval.ms`). Default
    /// ten minutes.
    pub fn offsets_retention_check_interval(mut self, interval: Duration) -> Self {
        self.settings.offsets_retention_check_interval = interval;
        self
    }

    /// The longest text that may be committed along with an offset (`offset.metadata.max.bytes`). Default 4096 bytes.
    pub fn offset_metadata_max_bytes(mut self, bytes: usize) -> Self {
        self.settings.offset_metadata_max_bytes = bytes;
        self
    }

    /// Limits what clients may use: see [`Broker::set_quota`]. Default: no limits.
    ///
    /// ```
    /// # use klamm_broker::{Broker, Quota, QuotaEntity};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> std::io::Result<()> {
    /// let broker = Broker::builder()
    ///     .quota(QuotaEntity::default_client_id(), Quota::ProducerByteRate, 1_000_000.0)
    ///     .start_in_memory()?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn quota(mut self, entity: QuotaEntity, quota: Quota, value: f64) -> Self {
        self.quotas.push((entity, quota, value));
        self
    }

    /// Plays this release of Kafka, `2.0` to `4.4`: offers the versions of each API that its brokers offer, of those APIs that this broker
    /// serves, and answers newer clients as they do. A patch's number makes no difference. Default: every version that the library
    /// has declared. [`versions`](Self::versions) and [`without`](Self::without) go before it.
    ///
    /// Starting fails if there is no such release, and says which there are.
    ///
    /// ```
    /// # use klamm_broker::Broker;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> std::io::Result<()> {
    /// let broker = Broker::builder().kafka_version("2.4").topic("orders", 1).start_in_memory()?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn kafka_version(mut self, version: impl Into<String>) -> Self {
        self.kafka_version = Some(version.into());
        self
    }

    /// Offers an API only in these versions; requests in others end their connection. Default: all that the library has declared. An API
    /// that this broker does not serve is not offered either way.
    pub fn versions(mut self, api: ApiKey, versions: RangeInclusive<i16>) -> Self {
        self.settings.versions.insert(api, Some(versions.into_inner()));
        self
    }

    /// Does not offer an API.
    pub fn without(mut self, api: ApiKey) -> Self {
        self.settings.versions.insert(api, None);
        self
    }

    /// Adds a user that may log in by this mechanism. Once there is one, every client has to log in, on every node: as with Kafka, what is
    /// not part of it closes the connection. Default: nobody is asked.
    ///
    /// ```
    /// # use klamm_broker::{Broker, SaslMechanism};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> std::io::Result<()> {
    /// let broker = Broker::builder().sasl_user(SaslMechanism::ScramSha256, "alice", "alice-secret").start_in_memory()?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn sasl_user(mut self, mechanism: SaslMechanism, name: impl Into<String>, password: impl Into<String>) -> Self {
        self.users.push((mechanism, name.into(), password.into()));
        self
    }

    /// How long a client that has logged in is believed: then it has to prove anew who it is, on the same connection (KIP-368,
    /// `connections.max.reauth.ms`). Default: as long as the connection lasts.
    pub fn session_lifetime(mut self, lifetime: Duration) -> Self {
        self.settings.session_lifetime = Some(lifetime);
        self
    }

    /// The longest time-out that a transactional producer may ask for (`transaction.max.timeout.ms`). Default 15 minutes.
    pub fn transaction_max_timeout(mut self, timeout: Duration) -> Self {
        self.settings.transaction_max_timeout = timeout;
        self
    }

    /// How long a transactional id is known that nobody uses (`transactional.id.expiration.ms`). Default 7 days.
    pub fn transactional_id_expiration(mut self, expiration: Duration) -> Self {
        self.settings.transactional_id_expiration = expiration;
        self
    }

    /// How long a partition remembers a producer that does not write (`producer.id.expiration.ms`); looked at every ten minutes, as Kafka
    /// does. Default 1 day.
    pub fn producer_id_expiration(mut self, expiration: Duration) -> Self {
        self.settings.producer_id_expiration = expiration;
        self
    }

    /// The level of one of the cluster's features: `transaction.version` (0 to 2, default 2) or `group.version` (0 or 1, default 1). What
    /// is unknown or too high has no effect.
    pub fn feature(mut self, name: &str, level: i16) -> Self {
        if crate::core::is_feature(name, level) {
            self.settings.features.insert(name.to_owned(), level);
        }
        self
    }

    /// The cluster's id. Default `klamm-broker-cluster00`.
    pub fn cluster_id(mut self, id: impl Into<String>) -> Self {
        self.settings.cluster_id = id.into();
        self
    }

    /// The rack a node is in. Default none.
    pub fn rack(mut self, node: i32, rack: impl Into<String>) -> Self {
        self.settings.racks.insert(node, rack.into());
        self
    }

    /// Shall each record that is produced be looked at, as Kafka does? Default yes; without, only batch headers and checksums are.
    pub fn validate_records(mut self, on: bool) -> Self {
        self.settings.validate_records = on;
        self
    }

    /// How many bytes of requests [`Broker::requests`] remembers; the oldest are forgotten. Default 256 MiB.
    pub fn request_log_bytes(mut self, bytes: usize) -> Self {
        self.settings.request_log_bytes = bytes;
        self
    }

    /// What ids of topics and members are made from. Two brokers of the same seed give the same ones. Default 0.
    pub fn seed(mut self, seed: u64) -> Self {
        self.settings.seed = seed;
        self
    }

    /// Has its TCP listeners speak TLS. In memory nothing is encrypted. Default: they don't.
    #[cfg(feature = "tls")]
    pub fn tls(mut self, listeners: crate::ListenerTls) -> Self {
        self.tls = Some(listeners);
        self
    }

    /// Starts it on TCP, at free ports of 127.0.0.1: [`start_tcp`](Self::start_tcp) at `127.0.0.1:0`.
    ///
    /// ```
    /// use klamm_broker::Cluster;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> std::io::Result<()> {
    /// let cluster = Cluster::builder().nodes(3).topic("t", 6).start().await?;
    /// assert_eq!(cluster.bootstrap().len(), 3);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`start_tcp`](Self::start_tcp).
    pub async fn start(self) -> io::Result<Broker> {
        self.start_tcp((std::net::Ipv4Addr::LOCALHOST, 0)).await
    }

    /// Starts it without sockets: only clients of this process reach it, over [`Broker::connector`]. Its nodes are called
    /// `node-1:9092` and so on.
    ///
    /// # Errors
    /// Outside of a tokio runtime; with a topic name that Kafka would refuse, or a release of it that there is not.
    pub fn start_in_memory(self) -> io::Result<Broker> {
        if tokio::runtime::Handle::try_current().is_err() {
            return Err(io::Error::other("the embedded broker has to be started inside a tokio runtime"));
        }
        let addresses = (1..=self.settings.nodes).map(|node| (format!("node-{node}"), MEMORY_PORT)).collect();
        let topics = self.checked_topics()?;
        Ok(self.started(Shared::start(self.checked_settings()?, addresses, &topics)))
    }

    /// Starts it on TCP: the first node at `address`, each other at the port after, or all at free ports where it says port 0.
    ///
    /// # Errors
    /// When an address cannot be listened at; with a topic name or a release that there is not; with certificates or a key that cannot be
    /// used.
    pub async fn start_tcp(self, address: impl ToSocketAddrs) -> io::Result<Broker> {
        let (topics, settings) = (self.checked_topics()?, self.checked_settings()?);
        #[cfg(feature = "tls")]
        let acceptor = self.tls.as_ref().map(crate::ListenerTls::acceptor).transpose()?;
        let mut candidates = tokio::net::lookup_host(address).await?;
        let address = candidates.next().ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "the name has no address"))?;
        let listeners = driver::bind(address, self.settings.nodes).await?;
        let bound = listeners.iter().map(|listener| listener.local_addr()).collect::<io::Result<Vec<SocketAddr>>>()?;
        let addresses = bound.iter().map(|address| (address.ip().to_string(), address.port())).collect();
        let shared = Shared::start(settings, addresses, &topics);
        #[cfg(feature = "tls")]
        acceptor.into_iter().for_each(|acceptor| shared.set_tls(acceptor));
        let broker = self.started(shared.clone());
        for (node, listener) in (1..).zip(listeners) {
            shared.listen(node, listener);
        }
        Ok(broker)
    }

    fn started(&self, shared: Arc<Shared>) -> Broker {
        let broker = Broker::new(shared);
        for (mechanism, name, password) in &self.users {
            broker.set_sasl_user(*mechanism, name, password);
        }
        for (entity, quota, value) in &self.quotas {
            broker.set_quota(entity.clone(), *quota, Some(*value));
        }
        broker
    }

    fn checked_settings(&self) -> io::Result<Settings> {
        let mut settings = self.settings.clone();
        if let Some(version) = &self.kafka_version {
            let known = KafkaVersion::parse(version).map_err(|why| io::Error::new(io::ErrorKind::InvalidInput, why))?;
            settings.kafka_version = Some(known);
        }
        Ok(settings)
    }

    fn checked_topics(&self) -> io::Result<Vec<(TopicName, i32)>> {
        let check = |(name, partitions): &(String, i32)| {
            let refuse = |why: &str| io::Error::new(io::ErrorKind::InvalidInput, format!("topic {name:?}: {why}"));
            if let Some(why) = crate::core::invalid_name(name) {
                return Err(refuse(why));
            }
            if *partitions < 1 {
                return Err(refuse("a topic has at least one partition"));
            }
            let name = TopicName::try_from(name.as_str()).map_err(|_| refuse("too long"))?;
            Ok((name, *partitions))
        };
        self.topics.iter().map(check).collect()
    }
}
