//! A client on the level of the protocol, over either way to a broker, and the requests the tests send.

use std::io;
use std::time::Duration;

use bytes::Bytes;
use klamm::network::{Connector as _, Target, Transport};
use klamm::protocol::header::{decode_response, encode_request};
use klamm::protocol::messages::metadata::{MetadataRequest, MetadataRequestTopic, MetadataResponse};
use klamm::protocol::messages::produce::{PartitionProduceData, PartitionProduceResponse, ProduceRequest, TopicProduceData};
use klamm::protocol::records::{BatchBuilder, Compression, NO_HEADERS};
use klamm::protocol::{ApiKey, ApiMessage, Records, Request, Str, TopicName};
use klamm_broker::{Broker, BrokerBuilder};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};

pub(crate) const TOPIC: &str = "orders";
/// Long enough for all that ends.
const LIMIT: Duration = Duration::from_secs(20);

/// A broker and how it is reached.
pub(crate) struct World {
    pub(crate) broker: Broker,
    is_tcp: bool,
}

/// A connection.
pub(crate) struct Client {
    transport: Box<dyn Transport>,
    correlation_id: i32,
}

/// Two nodes and a topic of two partitions.
pub(crate) fn builder() -> BrokerBuilder {
    Broker::builder().nodes(2).topic(TOPIC, 2)
}

impl World {
    pub(crate) async fn start(builder: BrokerBuilder, is_tcp: bool) -> Self {
        let broker = match is_tcp {
            true => builder.start_tcp("127.0.0.1:0").await,
            false => builder.start_in_memory(),
        };
        Self { broker: broker.expect("a broker"), is_tcp }
    }

    pub(crate) async fn connect_to(&self, host: String, port: u16) -> io::Result<Client> {
        let transport: Box<dyn Transport> = match self.is_tcp {
            true => Box::new(TcpStream::connect((host, port)).await?),
            false => self.broker.connector().connect(Target { host, port }).await?,
        };
        Ok(Client { transport, correlation_id: 0 })
    }

    pub(crate) async fn try_connect(&self, node: i32) -> io::Result<Client> {
        let (host, port) = self.broker.address(node).expect("a node");
        self.connect_to(host, port).await
    }

    pub(crate) async fn connect(&self, node: i32) -> Client {
        self.try_connect(node).await.expect("connected")
    }

    /// One request over a connection of its own.
    pub(crate) async fn ask<R: Request>(&self, node: i32, version: i16, request: &R) -> io::Result<R::Response> {
        self.try_connect(node).await?.request(version, request).await
    }

    pub(crate) async fn metadata(&self, node: i32) -> io::Result<MetadataResponse> {
        self.ask(node, 12, &metadata()).await
    }

    pub(crate) async fn produce(&self, node: i32, value: &str) -> PartitionProduceResponse {
        one(self.ask(node, 9, &produce(value)).await.expect("an answer"))
    }

    pub(crate) fn values(&self) -> Vec<String> {
        self.broker.values(TOPIC, 0).expect("a log")
    }

    /// How long faults last: over TCP long enough for a machine that is busy.
    pub(crate) fn time(&self) -> Duration {
        Duration::from_millis(if self.is_tcp { 1000 } else { 100 })
    }

    /// Waits until such faults are over.
    pub(crate) async fn pass(&self) {
        sleep(self.time() + self.time() / 10).await;
        // If both timers came late, the broker's task has its turn now.
        sleep(Duration::from_millis(1)).await;
    }

    /// Did it take so long? On a paused clock also no longer.
    pub(crate) fn took(&self, start: Instant, time: Duration) {
        let took = start.elapsed();
        // The broker's clock may have been read just before ours; and tokio's timers end at whole milliseconds.
        assert!(took + Duration::from_millis(1) >= time, "{took:?} instead of {time:?}");
        assert!(self.is_tcp || took <= time + Duration::from_millis(3), "{took:?} instead of {time:?}");
    }

    pub(crate) fn is_tcp(&self) -> bool {
        self.is_tcp
    }
}

impl Client {
    pub(crate) async fn send<R: Request>(&mut self, version: i16, request: &R) -> io::Result<i32> {
        self.correlation_id += 1;
        let client_id = Str::try_from("raw").expect("short");
        let frame = encode_request(self.correlation_id, Some(&client_id), version, request).expect("it fits");
        self.transport.write_all(&frame.concat()).await?;
        Ok(self.correlation_id)
    }

    /// The next answer and its correlation id. One that never comes fails the test.
    pub(crate) async fn receive<R: Request>(&mut self, version: i16) -> io::Result<(i32, R::Response)> {
        let frame = async {
            let mut frame = vec![0; self.transport.read_u32().await? as usize];
            self.transport.read_exact(&mut frame).await?;
            Ok::<_, io::Error>(Bytes::from(frame))
        };
        let frame = timeout(LIMIT, frame).await.expect("an answer or an end")?;
        let (correlation_id, body) =
            decode_response(&frame, ApiKey(R::API_KEY), R::is_flexible(version)).map_err(io::Error::other)?;
        Ok((correlation_id, R::Response::decode(&body, version).map_err(io::Error::other)?))
    }

    pub(crate) async fn request<R: Request>(&mut self, version: i16, request: &R) -> io::Result<R::Response> {
        let sent = self.send(version, request).await?;
        let (correlation_id, response) = self.receive::<R>(version).await?;
        if sent == correlation_id { Ok(response) } else { Err(io::Error::other("an answer to something else")) }
    }

    /// All that still comes, until the connection ends in whichever way.
    pub(crate) async fn rest(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        let _ = timeout(LIMIT, self.transport.read_to_end(&mut bytes)).await.expect("closed");
        bytes
    }
}

pub(crate) fn topic() -> TopicName {
    TopicName(Str::try_from(TOPIC).expect("short"))
}

pub(crate) fn metadata() -> MetadataRequest {
    let topics = Some(vec![MetadataRequestTopic { name: Some(topic()), ..Default::default() }]);
    MetadataRequest { topics, ..Default::default() }
}

pub(crate) fn batch(value: &str, producer_id: i64, sequence: i32) -> Bytes {
    let mut builder = BatchBuilder::new(256);
    builder.append(1_700_000_000_000, None, Some(value.as_bytes()), NO_HEADERS).expect("room");
    let epoch = if producer_id < 0 { -1 } else { 0 };
    builder.close(Compression::None).expect("no codec").stamp(producer_id, epoch, sequence, false)
}

/// Batches for partitions 0, 1 and so on.
pub(crate) fn produce_batches(batches: Vec<Bytes>) -> ProduceRequest {
    let data = |(index, records)| PartitionProduceData { index, records: Some(Records(records)) };
    let partition_data = (0..).zip(batches).map(data).collect();
    ProduceRequest {
        acks: -1,
        timeout_ms: 10_000,
        topic_data: vec![TopicProduceData { name: topic(), partition_data, ..Default::default() }],
        ..Default::default()
    }
}

/// One record to partition 0.
pub(crate) fn produce(value: &str) -> ProduceRequest {
    produce_batches(vec![batch(value, -1, -1)])
}

/// The answer for the first partition.
pub(crate) fn one(response: klamm::protocol::messages::produce::ProduceResponse) -> PartitionProduceResponse {
    response.responses.into_iter().flat_map(|topic| topic.partition_responses).next().expect("a partition")
}
