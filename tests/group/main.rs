//! Consumer groups on the embedded broker: joining, checkpoints, heartbeats, partitions that change hands.
//!
//! Time is paused, so that minutes pass in milliseconds and numbers are exact.

mod assignors;
mod checkpoints;
mod heartbeats;
mod histories;
mod membership;
mod patterns;
mod rebalances;

use std::ops::Range;
use std::time::Duration;

use klamm::consumer::{Consumer, ConsumerBuilder};
use klamm::protocol::messages::offset_commit::OffsetCommitRequest;
use klamm::protocol::{ApiKey, ErrorCode};
use klamm::{Client, Message};
use klamm_broker::{Broker, BrokerBuilder, Intercept};
use tokio::time::timeout;

const SECOND: Duration = Duration::from_secs(1);

/// A broker in memory whose groups form without delay, and a client of it.
async fn start(builder: BrokerBuilder) -> (Broker, Client) {
    let broker = builder.initial_rebalance_delay(Duration::ZERO).start_in_memory().unwrap();
    let client = Client::builder(broker.bootstrap()).connector(broker.connector()).build().unwrap();
    (broker, client)
}

/// A member of group `g` that reads topic `t`.
fn member(client: &Client) -> ConsumerBuilder {
    client.consumer("g").topics(["t"])
}

/// Appends records whose values are these numbers, as one batch.
fn append(broker: &Broker, partition: i32, values: Range<usize>) {
    let values: Vec<String> = values.map(|value| value.to_string()).collect();
    broker.append_records("t", partition, values.iter().map(|value| (None, Some(value.as_bytes())))).unwrap();
}

/// The next record, which must come within a minute.
async fn next(consumer: &mut Consumer) -> Message {
    timeout(60 * SECOND, consumer.next()).await.expect("a record within a minute").unwrap().expect("not stopped")
}

/// Asks for records for `time`, and gives what came; leaves the user inside no call.
async fn read_for(consumer: &mut Consumer, time: Duration) -> Vec<Message> {
    let mut messages = Vec::new();
    _ = timeout(time, async {
        while let Some(message) = consumer.next().await.unwrap() {
            messages.push(message);
        }
    })
    .await;
    messages
}

/// Partition and offset of each commit that the broker saw, by request.
fn commits(broker: &Broker) -> Vec<Vec<(i32, i64)>> {
    let partitions = |request: OffsetCommitRequest| {
        let topics = request.topics.into_iter();
        topics
            .flat_map(|topic| topic.partitions)
            .map(|partition| (partition.partition_index, partition.committed_offset))
            .collect()
    };
    broker.decoded::<OffsetCommitRequest>().into_iter().map(partitions).collect()
}

/// Answers the next requests of an API with these codes, one after the other.
fn refuse(broker: &Broker, api: ApiKey, codes: impl IntoIterator<Item = ErrorCode>) {
    let codes: Vec<ErrorCode> = codes.into_iter().collect();
    let (count, mut codes) = (codes.len(), codes.into_iter());
    broker.intercept_next(api, count, move |_| codes.next().map_or(Intercept::Pass, Intercept::Error));
}

/// The order in which requests of these APIs came.
fn order(broker: &Broker, apis: &[ApiKey]) -> Vec<ApiKey> {
    broker.requests().into_iter().map(|request| request.api_key).filter(|api| apis.contains(api)).collect()
}
