//! A broker, a client to it, and what tests look for in the requests that came.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use klamm::network::{BoxFuture, Connector, Target, Transport};
use klamm::protocol::ApiKey;
use klamm::protocol::messages::produce::ProduceRequest;
use klamm::protocol::records::{Batch, RecordBatches};
use klamm::{Client, Record, Topic};
use klamm_broker::{Broker, SeenRequest};

/// A client of `broker`, over memory.
pub(crate) fn client(broker: &Broker) -> Client {
    Client::builder(broker.bootstrap()).connector(broker.connector()).build().unwrap()
}

/// One node with one topic, `t`, and a client.
pub(crate) fn one_node(partitions: i32) -> (Broker, Client) {
    let broker = Broker::builder().topic("t", partitions).start_in_memory().unwrap();
    let client = client(&broker);
    (broker, client)
}

/// `value` for partition `partition` of `t`.
pub(crate) fn record(partition: i32, value: impl Into<bytes::Bytes>) -> Record {
    Record::new("t").partition(partition).value(value)
}

pub(crate) fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// A batch in a Produce request.
#[derive(Debug)]
pub(crate) struct SentBatch {
    pub(crate) request: SeenRequest,
    pub(crate) acks: i16,
    pub(crate) timeout_ms: i32,
    pub(crate) topic: String,
    pub(crate) partition: i32,
    pub(crate) batch: Batch,
}

/// Every batch of every Produce request so far, in the order in which they came.
pub(crate) fn sent(broker: &Broker) -> Vec<SentBatch> {
    let mut sent = Vec::new();
    for request in broker.requests_of(ApiKey::PRODUCE) {
        let produce: ProduceRequest = request.decode().unwrap();
        for topic in produce.topic_data {
            let name = if topic.name.as_str().is_empty() {
                let known = broker.topics().into_iter().find(|name| broker.topic_id(name) == Some(topic.topic_id));
                known.unwrap_or_default()
            } else {
                topic.name.as_str().to_owned()
            };
            for partition in topic.partition_data {
                let mut batches = RecordBatches::new(partition.records.unwrap().0);
                sent.push(SentBatch {
                    request: request.clone(),
                    acks: produce.acks,
                    timeout_ms: produce.timeout_ms,
                    topic: name.clone(),
                    partition: partition.index,
                    batch: batches.next().unwrap().unwrap(),
                });
                assert!(batches.next().is_none(), "one batch per partition and request");
            }
        }
    }
    sent
}

/// The values in a partition's log.
pub(crate) fn values(broker: &Broker, topic: impl Into<Topic>, partition: i32) -> Vec<String> {
    let records = broker.records(topic.into().as_str(), partition).unwrap();
    records.into_iter().map(|record| String::from_utf8(record.value.unwrap_or_default().to_vec()).unwrap()).collect()
}

/// Takes no connection, and counts who wanted one.
#[derive(Clone, Debug, Default)]
pub(crate) struct Refusing(pub(crate) Arc<AtomicUsize>);

impl Connector for Refusing {
    fn connect(&self, _target: Target) -> BoxFuture<'static, io::Result<Box<dyn Transport>>> {
        self.0.fetch_add(1, Ordering::Relaxed);
        Box::pin(async { Err(io::ErrorKind::ConnectionRefused.into()) })
    }
}
