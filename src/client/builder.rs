//! How a client is made: settings under their standard names, then `build` or `connect`.

use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::settings::Prototypes;
use super::{Client, Inner};
use crate::cluster::{BackoffConfig, Cluster, ClusterConfig, Gate};
use crate::config::{Properties, Sasl, Security, TlsConfig, check_schemes, parse_seeds};
use crate::error::{Error, ErrorKind, Result};
use crate::network::{Connector, TcpConnector, sasl, tls};

/// Makes a [`Client`]; from [`Client::builder`] or [`Client::from_properties`].
#[derive(Clone)]
#[must_use = "a builder does nothing until `build` or `connect`"]
pub struct ClientBuilder {
    seeds: Vec<String>,
    connector: Arc<dyn Connector>,
    config: ClusterConfig,
    pub(super) security: Security,
    seed: Option<u64>,
    /// Settings of producers and consumers.
    pub(super) components: Properties,
}

impl fmt::Debug for ClientBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientBuilder").field("seeds", &self.seeds).field("config", &self.config).finish_non_exhaustive()
    }
}

impl ClientBuilder {
    pub(super) fn new(seeds: Vec<String>) -> Self {
        Self {
            seeds,
            connector: Arc::new(TcpConnector),
            config: ClusterConfig::new(Vec::new()),
            security: Security::default(),
            seed: None,
            components: Properties::new(),
        }
    }

    /// The client's name for itself, seen in brokers' logs, metrics and quotas; `klamm` unless set. `client.id`.
    #[doc(alias = "client.id")]
    pub fn client_id(mut self, client_id: impl Into<String>) -> Self {
        self.config.connection.client_id = Some(client_id.into());
        self
    }

    /// How long one request may wait for its answer; 30 s unless set. `request.timeout.ms`.
    #[doc(alias = "socket_timeout")]
    #[doc(alias = "request.timeout.ms")]
    pub fn request_timeout(mut self, timeout: Duration) -> Self {
        self.config.request_timeout = timeout;
        self
    }

    /// How long a call without a limit of its own may take, retries included; 60 s unless set. `default.api.timeout.ms`.
    #[doc(alias = "default.api.timeout.ms")]
    pub fn default_api_timeout(mut self, timeout: Duration) -> Self {
        self.config.default_api_timeout = timeout;
        self
    }

    /// How long setting up a connection may take at first, and at most after failures, which double it; 10 s and 30 s unless set.
    /// `socket.connection.setup.timeout.ms`, `socket.connection.setup.timeout.max.ms`.
    #[doc(alias = "connect_timeout")]
    #[doc(alias = "socket.connection.setup.timeout.ms")]
    pub fn connection_setup_timeout(mut self, first: Duration, max: Duration) -> Self {
        self.config.connection.setup_timeout = first;
        self.config.connection.setup_timeout_max = max;
        self
    }

    /// Pauses between attempts to connect to one broker: the first, and what it doubles up to; 50 ms and 1 s unless set.
    /// `reconnect.backoff.ms`, `reconnect.backoff.max.ms`.
    #[doc(alias = "reconnect.backoff.ms")]
    pub fn reconnect_backoff(mut self, first: Duration, max: Duration) -> Self {
        self.config.connection.reconnect_backoff = first;
        self.config.connection.reconnect_backoff_max = max;
        self
    }

    /// Pauses before a request is sent again: the first, and what it doubles up to; 100 ms and 1 s unless set. `retry.backoff.ms`,
    /// `retry.backoff.max.ms`.
    #[doc(alias = "retry.backoff.ms")]
    pub fn retry_backoff(mut self, first: Duration, max: Duration) -> Self {
        self.config.backoff = BackoffConfig { initial: first, max };
        self
    }

    /// A connection without use for so long is closed; 9 min unless set. `connections.max.idle.ms`.
    #[doc(alias = "connections.max.idle.ms")]
    pub fn connections_max_idle(mut self, idle: Duration) -> Self {
        self.config.connection.idle_timeout = idle;
        self
    }

    /// Metadata older than this is refreshed although nothing failed; 5 min unless set. `metadata.max.age.ms`.
    #[doc(alias = "metadata.max.age.ms")]
    pub fn metadata_max_age(mut self, age: Duration) -> Self {
        self.config.metadata_max_age = age;
        self
    }

    /// After so long without metadata the bootstrap servers are asked again; 5 min unless set.
    /// `metadata.recovery.rebootstrap.trigger.ms`.
    #[doc(alias = "metadata.recovery.rebootstrap.trigger.ms")]
    pub fn rebootstrap_trigger(mut self, trigger: Duration) -> Self {
        self.config.rebootstrap_trigger = trigger;
        self
    }

    /// Does asking for a topic that does not exist create it, where brokers allow that? No unless set: typing errors would make
    /// topics. `allow.auto.create.topics`.
    #[doc(alias = "allow.auto.create.topics")]
    pub fn allow_auto_create_topics(mut self, allow: bool) -> Self {
        self.config.allow_auto_create_topics = allow;
        self
    }

    /// Encrypts connections by TLS; not encrypted unless set. Needs the cargo feature `tls`.
    #[doc(alias = "security.protocol")]
    pub fn tls(mut self, tls: TlsConfig) -> Self {
        self.security.tls = Some(tls);
        self
    }

    /// Logs in on every connection; nobody logs in unless set. Without [`tls`](Self::tls) it must be
    /// [allowed](Self::allow_cleartext_sasl).
    #[doc(alias = "sasl.mechanism")]
    #[doc(alias = "sasl.jaas.config")]
    pub fn sasl(mut self, sasl: Sasl) -> Self {
        self.security.sasl = Some(sasl);
        self
    }

    /// May the client log in over connections that are not encrypted? No unless set: whoever listens could learn the password.
    #[doc(alias = "sasl_over_ssl")]
    pub fn allow_cleartext_sasl(mut self, allow: bool) -> Self {
        self.security.allow_cleartext_sasl = allow;
        self
    }

    /// What opens connections, in place of TCP: a proxy, a pipe in memory.
    pub fn connector(mut self, connector: impl Connector) -> Self {
        self.connector = Arc::new(connector);
        self
    }

    /// For tests: what random choices follow from.
    #[doc(hidden)]
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    /// The client. Nothing is sent yet.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidConfig`] for wrong settings; an error if no tokio runtime is around.
    #[expect(clippy::disallowed_methods, reason = "where no seed is given")]
    pub fn build(self) -> Result<Client> {
        let mut config = self.config;
        config.seeds = parse_seeds(&self.seeds)?;
        config.seed = self.seed.unwrap_or_else(|| fastrand::u64(..));
        check(&config)?;
        self.security.check()?;
        check_schemes(&self.seeds, &self.security)?;
        config.connection.is_tls = self.security.tls.is_some();
        let connector = match &self.security.tls {
            Some(tls) => tls::wrap(self.connector, tls)?,
            None => self.connector,
        };
        config.principal = self.security.sasl.as_ref().and_then(Sasl::principal).map(Into::into);
        config.connection.setup = self.security.sasl.as_ref().map(sasl::steps).transpose()?;
        let cluster = Cluster::new(config, connector)?;
        let prototypes = Prototypes::new(&cluster, self.components)?;
        let gate = Gate::default();
        let cluster = cluster.gated(&gate);
        Ok(Client { inner: Arc::new(Inner { cluster, gate, prototypes, deliverer: Mutex::new(None) }) })
    }

    /// The client, once it has learned of the cluster: each bootstrap server is tried once.
    ///
    /// # Errors
    /// As [`build`](Self::build); [`ErrorKind::Disconnected`] if no bootstrap server answered, listing each with its own reason;
    /// [`ErrorKind::Authentication`] or [`ErrorKind::Tls`] if one of them refused the client, or was refused by it, and no other answered.
    ///
    /// # Cancel safety
    /// Dropping the future drops the client.
    pub async fn connect(self) -> Result<Client> {
        let client = self.build()?;
        client.inner.cluster.connect().await?;
        Ok(client)
    }
}

/// Settings that cannot be.
fn check(config: &ClusterConfig) -> Result<()> {
    let invalid = |why: String| Err(Error::new(ErrorKind::InvalidConfig, why));
    let connection = &config.connection;
    for (name, time) in [
        ("request.timeout.ms", config.request_timeout),
        ("default.api.timeout.ms", config.default_api_timeout),
        ("socket.connection.setup.timeout.ms", connection.setup_timeout),
        ("connections.max.idle.ms", connection.idle_timeout),
        ("metadata.max.age.ms", config.metadata_max_age),
        ("metadata.recovery.rebootstrap.trigger.ms", config.rebootstrap_trigger),
    ] {
        if time.is_zero() {
            return invalid(format!("{name} is 0; it must be longer"));
        }
    }
    for (first, max, name) in [
        (config.backoff.initial, config.backoff.max, "retry.backoff"),
        (connection.reconnect_backoff, connection.reconnect_backoff_max, "reconnect.backoff"),
        (connection.setup_timeout, connection.setup_timeout_max, "socket.connection.setup.timeout"),
    ] {
        if first > max {
            return invalid(format!("{name}.ms ({first:?}) is longer than {name}.max.ms ({max:?})"));
        }
    }
    match &connection.client_id {
        Some(id) if id.len() > 32_767 => invalid("client.id has at most 32767 bytes".to_owned()),
        _ => Ok(()),
    }
}
