//! What most tests begin and end with: a client, a topic of their own, all that is in it.

use std::time::Duration;

use klamm::admin::NewTopic;
use klamm::consumer::SeekTo;
use klamm::{Client, Message, Record};
use tokio::time::timeout;

use crate::environment::unique;

/// Reading a topic to its end may not take longer.
const READ: Duration = Duration::from_secs(60);

/// A client that has spoken to a broker.
pub async fn connect(bootstrap: &str) -> Client {
    Client::builder(bootstrap).client_id("klamm-real").connect().await.expect("a broker answers")
}

/// A topic of one's own, without replicas.
pub async fn new_topic(client: &Client, name: &str, partitions: i32) -> String {
    let topic = unique(name);
    create(client, NewTopic::new(topic.as_str()).partitions(partitions).replicas(1).config("min.insync.replicas", "1")).await;
    topic
}

/// A topic of one's own on all three nodes, that lives on with two.
pub async fn new_replicated_topic(client: &Client, name: &str, partitions: i32) -> String {
    let topic = unique(name);
    let new = NewTopic::new(topic.as_str()).partitions(partitions).replicas(3).config("min.insync.replicas", "2");
    create(client, new).await;
    topic
}

/// Creates a topic.
pub async fn create(client: &Client, topic: NewTopic) {
    client.admin().create_topic(topic).await.expect("the topic is created");
}

/// All that the topic holds now, each partition in its order.
pub async fn read_all(client: &Client, topic: &str) -> Vec<Message> {
    let mut reader = client.reader(topic).from(SeekTo::Beginning).to_end().build().expect("a reader");
    let mut messages = Vec::new();
    let read = async {
        while let Some(message) = reader.next().await.expect("a message") {
            messages.push(message);
        }
    };
    timeout(READ, read).await.unwrap_or_else(|_| panic!("reading {topic} to its end takes more than {READ:?}"));
    messages
}

/// The record that `message` was.
pub fn as_record(message: &Message) -> Record {
    Record {
        topic: message.topic.clone(),
        partition: Some(message.partition),
        partition_key: None,
        key: message.key.clone(),
        value: message.value.clone(),
        headers: message.headers.clone(),
        timestamp: Some(message.timestamp),
    }
}
