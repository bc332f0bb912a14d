//! A broker, a client that reaches it over connections that are watched and can be broken, and what is left when both are done.
//!
//! For the suites that break things on purpose: `lifecycle`, `cancel`, `byte_sweep`. How client and broker talk is a [`Security`]:
//! another way of it is one more entry there, and every suite runs over all of them.
#![allow(dead_code, reason = "each test crate uses its own part")]

pub(crate) mod frames;
pub(crate) mod panics;
pub(crate) mod proxy;
#[cfg(feature = "tls")]
pub(crate) mod tls;
pub(crate) mod watchdog;

use std::pin::Pin;
use std::task::{Context, Waker};
use std::time::Duration;

use klamm::config::Sasl;
#[cfg(feature = "tls")]
use klamm::network::TcpConnector;
use klamm::producer::{Producer, ProducerBuilder};
use klamm::protocol::ApiKey;
use klamm::{Client, ClientBuilder, Record};
use klamm_broker::{Broker, BrokerBuilder, SaslMechanism};
use tokio::time::Instant;

use proxy::Proxy;

pub(crate) const SECOND: Duration = Duration::from_secs(1);

/// How long the last goodbye of something that was dropped may take while brokers answer: a member of a group gets 5 s to leave, a
/// closed connection is gone with the next turn of its task.
pub(crate) const FAREWELL: Duration = Duration::from_secs(6);

/// How client and broker talk with each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Security {
    /// Neither encrypted nor logged in.
    Plaintext,
    /// Logged in by SASL PLAIN, not encrypted.
    SaslPlain,
    /// Logged in by SCRAM-SHA-256, not encrypted.
    SaslScram,
    /// Encrypted, over TCP and on the wall clock: see [`World::start_tls`].
    #[cfg(feature = "tls")]
    Tls,
}

const USER: &str = "alice";
const PASSWORD: &str = "alice-secret";

impl Security {
    /// What suites run over in memory.
    pub(crate) const ALL: &[Self] = &[Self::Plaintext, Self::SaslPlain, Self::SaslScram];

    /// The broker's side.
    pub(crate) fn broker(self, builder: BrokerBuilder) -> BrokerBuilder {
        match self {
            Self::SaslPlain => builder.sasl_user(SaslMechanism::Plain, USER, PASSWORD),
            Self::SaslScram => builder.sasl_user(SaslMechanism::ScramSha256, USER, PASSWORD),
            _ => builder,
        }
    }

    /// The client's side; that of TLS needs the world's certificate.
    pub(crate) fn client(self, builder: ClientBuilder) -> ClientBuilder {
        match self {
            Self::SaslPlain => builder.sasl(Sasl::plain(USER, PASSWORD)).allow_cleartext_sasl(true),
            Self::SaslScram => builder.sasl(Sasl::scram_sha_256(USER, PASSWORD)).allow_cleartext_sasl(true),
            _ => builder,
        }
    }

    /// Are the bytes on the way requests and answers, and nothing else?
    pub(crate) fn is_readable(self) -> bool {
        matches!(self, Self::Plaintext | Self::SaslPlain | Self::SaslScram)
    }

    /// What each connection asks for before it is used.
    pub(crate) fn set_up(self) -> &'static [ApiKey] {
        let all = &[ApiKey::API_VERSIONS, ApiKey::SASL_HANDSHAKE, ApiKey::SASL_AUTHENTICATE, ApiKey::SASL_AUTHENTICATE];
        match self {
            Self::SaslPlain => &all[..3],
            Self::SaslScram => all,
            _ => &all[..1],
        }
    }
}

/// A broker in memory (with TLS: behind TCP), and the way to it.
pub(crate) struct World {
    pub(crate) security: Security,
    pub(crate) broker: Broker,
    pub(crate) proxy: Proxy,
    #[cfg(feature = "tls")]
    tls: Option<tls::Authority>,
    /// Tasks of the runtime when the broker ran and nothing else.
    tasks: usize,
}

impl World {
    /// Inside a current-thread runtime with a paused clock. Groups form without delay unless `builder` says otherwise.
    pub(crate) async fn start(security: Security, builder: BrokerBuilder) -> Self {
        panics::watch();
        let broker = security.broker(builder).start_in_memory().unwrap();
        let proxy = Proxy::new(broker.connector(), security.is_readable());
        tokio::task::yield_now().await;
        #[cfg(feature = "tls")]
        return Self { security, broker, proxy, tls: None, tasks: alive_tasks() };
        #[cfg(not(feature = "tls"))]
        Self { security, broker, proxy, tasks: alive_tasks() }
    }

    /// With [`Security::Tls`]: inside a current-thread runtime whose clock runs. The proxy sees what is encrypted.
    #[cfg(feature = "tls")]
    pub(crate) async fn start_tls(builder: BrokerBuilder) -> Self {
        panics::watch();
        let (authority, listeners) = tls::Authority::new();
        let broker = builder.tls(listeners).start().await.unwrap();
        let proxy = Proxy::new(TcpConnector, false);
        tokio::task::yield_now().await;
        Self { security: Security::Tls, broker, proxy, tls: Some(authority), tasks: alive_tasks() }
    }

    /// Does time pass by itself?
    pub(crate) fn is_on_the_wall_clock(&self) -> bool {
        !self.security.is_readable()
    }

    /// A client's settings; random choices are the same in every run.
    pub(crate) fn builder(&self) -> ClientBuilder {
        let builder = Client::builder(self.broker.bootstrap()).connector(self.proxy.clone()).seed(7);
        #[cfg(feature = "tls")]
        if let Some(authority) = &self.tls {
            return authority.client(builder);
        }
        self.security.client(builder)
    }

    /// A client with the default settings.
    pub(crate) fn client(&self) -> Client {
        self.builder().build().unwrap()
    }

    /// Tasks beyond the broker's own, and those that serve a connection.
    pub(crate) fn tasks(&self) -> usize {
        alive_tasks().saturating_sub(self.tasks)
    }

    /// Connections that are open at the broker.
    pub(crate) fn connections(&self) -> usize {
        (1..=self.nodes()).map(|node| self.broker.connections(node)).sum()
    }

    fn nodes(&self) -> i32 {
        i32::try_from(self.broker.bootstrap().len()).unwrap()
    }

    /// Waits until nothing of any client is left, at most for `limit`; says how long that took.
    pub(crate) async fn wait_until_empty(&self, limit: Duration) -> Duration {
        let start = Instant::now();
        loop {
            // Tasks that were told to end do so when they are polled next, and the broker's after them.
            for _ in 0..8 {
                tokio::task::yield_now().await;
            }
            let (tasks, connections) = (self.tasks(), self.connections());
            if (tasks, connections) == (0, 0) {
                return start.elapsed();
            }
            assert!(
                start.elapsed() <= limit,
                "{limit:?} after everything was dropped there are {tasks} tasks and {connections} connections left: {:?}",
                self.proxy.open()
            );
            // Less and less often: most are gone at once, and the rest at the end of a time-out.
            let pause = (start.elapsed() / 8).min(limit.saturating_sub(start.elapsed()));
            tokio::time::sleep(pause.max(Duration::from_millis(20))).await;
        }
    }

    /// The values in a partition's log.
    pub(crate) fn values(&self, topic: &str, partition: i32) -> Vec<String> {
        self.broker.values(topic, partition).unwrap()
    }

    /// Appends records with these values, as one batch.
    pub(crate) fn append(&self, topic: &str, partition: i32, values: impl IntoIterator<Item = impl ToString>) {
        let values: Vec<String> = values.into_iter().map(|value| value.to_string()).collect();
        let records = values.iter().map(|value| (None, Some(value.as_bytes())));
        self.broker.append_records(topic, partition, records).unwrap();
    }
}

/// A broker with topic `t`, whose groups form without delay.
pub(crate) fn broker(partitions: i32) -> BrokerBuilder {
    Broker::builder().topic("t", partitions).initial_rebalance_delay(Duration::ZERO)
}

/// A background producer's settings, with the same random choices in every run.
pub(crate) fn producer(client: &Client) -> ProducerBuilder {
    client.producer().seed(7)
}

/// The one place that knows how a producer is closed.
pub(crate) async fn close_producer(producer: &Producer, deadline: Duration) -> klamm::Result<()> {
    producer.close(deadline).await
}

/// `value` for a partition of `t`.
pub(crate) fn record(partition: i32, value: impl Into<bytes::Bytes>) -> Record {
    Record::new("t").partition(partition).value(value)
}

/// A current-thread runtime whose clock is paused.
pub(crate) fn paused_runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap()
}

/// All tasks of the runtime around.
pub(crate) fn alive_tasks() -> usize {
    tokio::runtime::Handle::current().metrics().num_alive_tasks()
}

/// Polls once, with a waker that wakes nobody.
pub(crate) fn poll_once<F: Future + ?Sized>(future: Pin<&mut F>) -> Option<F::Output> {
    match future.poll(&mut Context::from_waker(Waker::noop())) {
        std::task::Poll::Ready(output) => Some(output),
        std::task::Poll::Pending => None,
    }
}
