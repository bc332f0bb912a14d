//! Consumers and readers on the embedded broker: acceptance groups J to N, and what goes wrong in reading.

mod fetching;
mod interceptors;
mod mixed;
mod pauses;
mod processing;
mod reading;

use klamm::{Client, Message};
use klamm_broker::{Broker, BrokerBuilder};

/// A broker in memory and a connected client of it.
async fn start(builder: BrokerBuilder) -> (Broker, Client) {
    let broker = builder.start_in_memory().unwrap();
    let client = connect(&broker).await;
    (broker, client)
}

async fn connect(broker: &Broker) -> Client {
    Client::builder(broker.bootstrap()).connector(broker.connector()).connect().await.unwrap()
}

/// Appends records whose values are these numbers, as one batch.
fn append(broker: &Broker, topic: &str, partition: i32, values: std::ops::Range<usize>) {
    let values: Vec<String> = values.map(|value| value.to_string()).collect();
    broker.append_records(topic, partition, values.iter().map(|value| (None, Some(value.as_bytes())))).unwrap();
}

fn offsets(messages: &[Message]) -> Vec<i64> {
    messages.iter().map(|message| message.offset).collect()
}

fn value(message: &Message) -> String {
    String::from_utf8_lossy(message.value.as_deref().unwrap_or_default()).into_owned()
}
