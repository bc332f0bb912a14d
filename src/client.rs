//! The handle a user holds: it gives out producers, consumers and the admin, and answers questions about the cluster.
//!
//! A [`Client`] is cheap to clone; all clones are the same client. Building one checks its settings and sends nothing. Whatever is
//! made from it shares its view of the cluster, but has connections of its own, so a client that is closed does not disturb the
//! producers and consumers made before.

mod builder;
mod settings;
#[cfg(feature = "unstable-cores")]
pub(crate) mod unstable;

use std::fmt;
use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;

use crate::admin::{Admin, ClusterDescription, OffsetSpec, TopicDescription};
use crate::cluster::{Cluster, Gate, Node, RawResponse, Route};
use crate::config::{IntoSeeds, Properties};
use crate::consumer::{ConsumerBuilder, FetchMessages, ReaderBuilder, SeekTo};
use crate::error::{Error, ErrorKind, Result};
use crate::producer::{AsyncProducerBuilder, BufferedProducerBuilder, Producer, ProducerBuilder};
use crate::protocol::messages::produce::ProduceRequest;
use crate::protocol::{ApiKey, ApiMessage as _, BrokerId, Request};
use crate::record::{Message, Record, RecordMetadata, Topic, TopicPartition};

pub use builder::ClientBuilder;

/// A client of one cluster.
///
/// It lives in the tokio runtime in which it was built. Calls may come from any other, which takes nothing along when it ends; once its
/// own has ended, every call fails with [`ErrorKind::Closed`] at once.
///
/// ```no_run
/// # async fn example() -> klamm::Result<()> {
/// let client = klamm::Client::builder(["localhost:9092"]).client_id("orders").connect().await?;
/// println!("{} partitions", client.partition_count("orders").await?);
/// client.close().await;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Client {
    inner: Arc<Inner>,
}

struct Inner {
    /// Refuses work once the client is closed.
    cluster: Cluster,
    gate: Gate,
    /// Producers and consumers as the client's properties want them.
    prototypes: settings::Prototypes,
    /// The producer behind `deliver`, once it was needed.
    deliverer: Mutex<Option<Producer>>,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let config = self.inner.cluster.config();
        f.debug_struct("Client")
            .field("seeds", &config.seeds)
            .field("client_id", &config.connection.client_id)
            .field("closed", &self.is_closed())
            .finish_non_exhaustive()
    }
}

impl Client {
    /// Sets up a client that starts at these bootstrap servers: one text, `"a:9092,b:9092"`, or a list. Without a port it is 9092;
    /// `kafka://`, `kafka+ssl://` or the name of a security protocol (`sasl_ssl://`) may stand in front, and must then be what is
    /// configured. Of a name all addresses are tried.
    #[doc(alias = "seed_brokers")]
    #[doc(alias = "resolve_seed_brokers")]
    #[doc(alias = "bootstrap.servers")]
    pub fn builder(seeds: impl IntoSeeds) -> ClientBuilder {
        ClientBuilder::new(seeds.into_seeds())
    }

    /// Sets up a client from settings by their Java names; `bootstrap.servers` must be among them. Settings of producers and
    /// consumers are kept for those made from the client.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidConfig`] naming the setting that is wrong, and when there are no bootstrap servers.
    pub fn from_properties(properties: Properties) -> Result<ClientBuilder> {
        settings::from_properties(properties)
    }

    /// Sets up a producer that sends in the background.
    pub fn producer(&self) -> ProducerBuilder {
        self.inner.prototypes.producer.clone().on(self.component_cluster())
    }

    /// Sets up a producer that buffers records until it is told to deliver them, and keeps those that failed.
    pub fn buffered_producer(&self) -> BufferedProducerBuilder {
        self.producer().buffered()
    }

    /// Sets up a producer that takes records at once and delivers them in the background, in rounds.
    pub fn async_producer(&self) -> AsyncProducerBuilder {
        self.producer().asynchronous()
    }

    /// Writes one record and waits until it is acknowledged by all in-sync replicas: a hidden idempotent producer without linger, which
    /// gives each record 30 s. In the rest it is as the client's properties want producers, `retries` and `compression.type` included.
    ///
    /// # Errors
    /// Whatever kept the record from being written; [`Error::is_possibly_written`] says whether it may be in the log all the same.
    ///
    /// # Cancel safety
    /// Dropped before the record was accepted, it is not sent; dropped later, it is sent and nobody hears of the result.
    #[doc(alias = "deliver_message")]
    pub async fn deliver(&self, record: Record) -> Result<RecordMetadata> {
        let producer = self.deliverer()?;
        producer.send(record).await
    }

    /// Sets up a member of group `group_id`.
    #[doc(alias = "group_id")]
    #[doc(alias = "group.id")]
    pub fn consumer(&self, group_id: impl Into<String>) -> ConsumerBuilder {
        ConsumerBuilder::new(self.component_cluster(), group_id, self.inner.prototypes.consumer.clone())
    }

    /// Sets up a reader of a topic, or of one of its partitions, without a group: nothing is committed anywhere.
    pub fn reader(&self, topic: impl Into<Topic>) -> ReaderBuilder {
        ReaderBuilder::new(self.component_cluster(), topic, self.inner.prototypes.consumer.clone())
    }

    /// Calls `handler` with each record of `topic` from `from` on, those of one partition in order, without end and without a group.
    /// For an end, for one partition, and other settings see [`reader`](Self::reader).
    ///
    /// # Errors
    /// [`ErrorKind::Processing`] if the handler fails or panics; else as [`Reader::next`](crate::consumer::Reader::next).
    ///
    /// # Cancel safety
    /// Dropping the future drops the handler's at the point where it waits.
    pub async fn each_message<F, R, E>(&self, topic: impl Into<Topic>, from: impl Into<SeekTo>, handler: F) -> Result<()>
    where
        F: FnMut(Message) -> R,
        R: Future<Output = Result<(), E>>,
        E: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        self.inner.cluster.check()?;
        self.reader(topic).from(from).build()?.each_message(handler).await
    }

    /// Sets up one fetch from one partition, answered with what is there or comes in time.
    pub fn fetch_messages(&self, topic: impl Into<Topic>, partition: i32) -> FetchMessages {
        FetchMessages::new(self.inner.cluster.clone(), TopicPartition::new(topic, partition))
    }

    /// Administers the cluster.
    pub fn admin(&self) -> Admin {
        Admin::new(self.inner.cluster.clone())
    }

    /// Sends any request of the protocol where `route` says, in the highest version that client and broker have in common, and again
    /// after failures that may pass, for `default.api.timeout.ms` at most.
    ///
    /// # Errors
    /// A time-out with each broker's last reason; at once what no other attempt can change. Error codes in the answer are the
    /// caller's to read, save those that say that the request came to the wrong broker or too early: then it is sent again.
    ///
    /// # Cancel safety
    /// A request that was sent is not taken back; its answer is read and discarded.
    pub async fn request<R: Request + Clone>(&self, request: R, route: Route) -> Result<R::Response> {
        self.inner.cluster.request(request, route).await
    }

    /// Sends a request whose body is written elsewhere, for tools and for what this library has no type for: `body` is called with the
    /// version chosen, the highest of `versions` that broker and client have in common. A version that Kafka calls unstable is used
    /// only if `versions` is that one alone. Sent where `route` says, and again after failures that may pass, as
    /// [`request`](Self::request); but the answer is not looked into, so one that says "not this broker" is the answer.
    ///
    /// # Errors
    /// [`ErrorKind::UnsupportedVersion`] if there is no version in common, or the API is not declared; what `body` fails with;
    /// [`ErrorKind::InvalidRequest`] for a Produce that wants no acknowledgement, which is never answered; a time-out with each broker's
    /// last reason.
    ///
    /// # Cancel safety
    /// A request that was sent is not taken back; its answer is read and discarded.
    pub async fn request_raw(
        &self,
        api: ApiKey,
        versions: RangeInclusive<i16>,
        body: impl Fn(i16) -> Result<Bytes> + Send + Sync,
        route: Route,
    ) -> Result<RawResponse> {
        let declared = api.api().ok_or_else(|| {
            Error::new(ErrorKind::UnsupportedVersion, format!("{api} is not among the requests that this client knows"))
        })?;
        let (first, last) = declared.versions;
        let versions = match declared.unstable {
            Some(unstable) if versions == (unstable..=unstable) => versions,
            _ => first.max(*versions.start())..=last.min(*versions.end()),
        };
        if versions.is_empty() {
            let text = format!("this client speaks {api} in versions {first} to {last} only");
            return Err(Error::new(ErrorKind::UnsupportedVersion, text).with_api(declared.name));
        }
        let body = |version| {
            let body = body(version)?;
            let is_answered =
                api != ApiKey::PRODUCE || !ProduceRequest::decode(&body, version).is_ok_and(|request| request.acks == 0);
            if is_answered {
                Ok(body)
            } else {
                Err(Error::new(ErrorKind::InvalidRequest, "a Produce with acks 0 is never answered"))
            }
        };
        self.inner.cluster.request_raw(api, versions, body, route).await
    }

    /// The brokers of the cluster now, by number.
    ///
    /// # Errors
    /// If no broker answered in time.
    ///
    /// # Cancel safety
    /// Nothing is changed by it.
    pub async fn brokers(&self) -> Result<Vec<Node>> {
        Ok(self.describe().await?.brokers)
    }

    /// The broker that requests for the controller go to.
    ///
    /// # Errors
    /// If no broker answered in time, or none is named.
    ///
    /// # Cancel safety
    /// Nothing is changed by it.
    #[doc(alias = "controller_broker")]
    pub async fn controller(&self) -> Result<Node> {
        let described = self.describe().await?;
        let found = described.brokers.into_iter().find(|node| Some(node.id) == described.controller_id);
        found.ok_or_else(|| Error::new(ErrorKind::Broker, "the brokers name no controller now").with_retriable(true))
    }

    /// The names of all topics that may be seen.
    ///
    /// # Errors
    /// If no broker answered in time.
    ///
    /// # Cancel safety
    /// Nothing is changed by it.
    pub async fn topics(&self) -> Result<Vec<Topic>> {
        Ok(self.admin().list_topics().await?.into_iter().map(|topic| topic.name).collect())
    }

    /// Does the topic exist? Asking does not create it.
    ///
    /// # Errors
    /// If no broker answered in time, or the topic may not be seen.
    ///
    /// # Cancel safety
    /// Nothing is changed by it.
    pub async fn has_topic(&self, topic: impl Into<Topic>) -> Result<bool> {
        self.admin().has_topic(topic).await
    }

    /// How many partitions the topic has.
    ///
    /// # Errors
    /// [`ErrorKind::UnknownTopic`] if there is no such topic; if no broker answered in time.
    ///
    /// # Cancel safety
    /// Nothing is changed by it.
    #[doc(alias = "partitions_for")]
    pub async fn partition_count(&self, topic: impl Into<Topic>) -> Result<usize> {
        Ok(self.describe_topic(topic.into()).await?.partitions.len())
    }

    /// How many replicas the topic's first partition has.
    ///
    /// # Errors
    /// As [`partition_count`](Self::partition_count).
    ///
    /// # Cancel safety
    /// Nothing is changed by it.
    #[doc(alias = "replica_count_for")]
    pub async fn replica_count(&self, topic: impl Into<Topic>) -> Result<usize> {
        let described = self.describe_topic(topic.into()).await?;
        Ok(described.partitions.first().map_or(0, |partition| partition.replicas.len()))
    }

    /// The offset of the last record of a partition; -1 if none was ever written.
    ///
    /// # Errors
    /// Unknown topic or partition; if the leader did not answer in time.
    ///
    /// # Cancel safety
    /// Nothing is changed by it.
    #[doc(alias = "last_offset_for")]
    pub async fn last_offset(&self, topic: impl Into<Topic>, partition: i32) -> Result<i64> {
        let ends = self.ends(vec![TopicPartition::new(topic, partition)]).await?;
        ends.into_iter()
            .next()
            .map(|(_, offset)| offset)
            .ok_or_else(|| Error::new(ErrorKind::Bug, "an answer without partitions"))
    }

    /// The offset of the last record of every partition of these topics; -1 where none was ever written.
    ///
    /// # Errors
    /// As [`last_offset`](Self::last_offset), for any of them.
    ///
    /// # Cancel safety
    /// Nothing is changed by it.
    #[doc(alias = "last_offsets_for")]
    pub async fn last_offsets(&self, topics: impl IntoIterator<Item = impl Into<Topic>>) -> Result<Vec<(TopicPartition, i64)>> {
        let mut partitions = Vec::new();
        for (topic, described) in self.admin().describe_topics(topics).await? {
            let described = described?;
            partitions.extend(described.partitions.iter().map(|found| TopicPartition::new(&topic, found.partition)));
        }
        self.ends(partitions).await
    }

    /// Do the brokers serve this API, in this version if one is given?
    ///
    /// # Errors
    /// If no broker answered in time.
    ///
    /// # Cancel safety
    /// Nothing is changed by it.
    #[doc(alias = "supports_api?")]
    pub async fn supports_api(&self, api: ApiKey, version: Option<i16>) -> Result<bool> {
        let apis = self.admin().api_versions(None).await?;
        let found = apis.iter().find(|served| served.api_key == api.0);
        let serves = |version: i16| found.is_some_and(|served| (served.min_version..=served.max_version).contains(&version));
        Ok(version.map_or(found.is_some(), serves))
    }

    /// Was the client closed?
    pub fn is_closed(&self) -> bool {
        self.inner.gate.is_closed()
    }

    /// Refuses new work through every clone of this client, and closes its connections, within a second. Producers and consumers made
    /// from it before go on until they are closed themselves; what [`deliver`](Self::deliver) has under way gets half the second.
    ///
    /// # Cancel safety
    /// Refusing begins with the first poll and is not taken back.
    pub async fn close(&self) {
        self.inner.gate.close();
        // It stays in its place meanwhile: whoever closes again after this was dropped waits for it, too.
        let deliverer = self.lock_deliverer().clone();
        if let Some(producer) = deliverer {
            // What is left is told to those who wait for it.
            let _ = producer.close(Duration::from_millis(500)).await;
        }
        let closed = self.lock_deliverer().take();
        drop(closed);
        self.inner.cluster.close_control_connections();
    }

    fn deliverer(&self) -> Result<Producer> {
        self.inner.cluster.check()?;
        let _there = self.inner.cluster.enter();
        let mut deliverer = self.lock_deliverer();
        match &*deliverer {
            Some(producer) => Ok(producer.clone()),
            None => Ok(deliverer
                .insert(Producer::for_deliver(self.inner.cluster.ungated(), &self.inner.prototypes.producer)?)
                .clone()),
        }
    }

    fn lock_deliverer(&self) -> MutexGuard<'_, Option<Producer>> {
        self.inner.deliverer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn describe(&self) -> Result<ClusterDescription> {
        self.admin().describe_cluster().await
    }

    async fn describe_topic(&self, topic: Topic) -> Result<TopicDescription> {
        let described = self.admin().describe_topics([topic]).await?.into_iter().next();
        described.map_or_else(|| Err(Error::new(ErrorKind::Bug, "an answer without topics")), |(_, described)| described)
    }

    async fn ends(&self, partitions: Vec<TopicPartition>) -> Result<Vec<(TopicPartition, i64)>> {
        let listed = self.admin().list_offsets(partitions, OffsetSpec::End).await?;
        let last = |(partition, listed): (TopicPartition, Result<crate::admin::ListedOffset>)| {
            Ok((partition, listed?.offset.unwrap_or(0) - 1))
        };
        listed.into_iter().map(last).collect()
    }

    /// The cluster for a component, which goes on when the client is closed. Once it is closed, one that refuses as the client does.
    fn component_cluster(&self) -> Cluster {
        if self.is_closed() { self.inner.cluster.clone() } else { self.inner.cluster.ungated() }
    }
}

/// The number of a broker, for [`Route::Broker`].
impl From<BrokerId> for Route {
    fn from(id: BrokerId) -> Self {
        Self::Broker(id)
    }
}
