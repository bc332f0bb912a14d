//! The main job, told and checked: produce, consume in a group, checkpoint, resume.
//!
//!     cargo run --release --example quickstart                      # on an embedded broker, in memory
//!     cargo run --release --example quickstart -- localhost:9092    # on your own cluster
//!
//! Every value it prints is asserted; it exits with 0 only if all of them were right.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use klamm::admin::NewTopic;
use klamm::{Client, Record, Result};
use klamm_broker::Broker;

const RECORDS: usize = 100;
const FIRST_RUN: usize = 60;
/// Nothing here takes long; a cluster that is slower than this has a problem worth an error.
const LIMIT: Duration = Duration::from_secs(60);

#[tokio::main]
async fn main() -> std::result::Result<(), Box<dyn std::error::Error>> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis();
    let topic = format!("quickstart-{now}");
    match std::env::args().nth(1) {
        Some(bootstrap) => {
            let client = Client::builder(bootstrap.as_str()).client_id("quickstart").connect().await?;
            tokio::time::timeout(LIMIT, story(&client, &topic)).await??;
        }
        None => {
            // A whole Kafka cluster, inside this process: `broker` answers in Kafka's protocol.
            let broker = Broker::builder().nodes(3).start_in_memory()?;
            let client =
                Client::builder(broker.bootstrap()).connector(broker.connector()).client_id("quickstart").connect().await?;
            tokio::time::timeout(LIMIT, story(&client, &topic)).await??;
        }
    }
    Ok(())
}

/// Tells the story on any cluster; `topic` must not exist yet.
///
/// # Errors
/// What the client's calls give.
///
/// # Panics
/// If something is not as it must be.
pub async fn story(client: &Client, topic: &str) -> Result<()> {
    let admin = client.admin();
    let brokers = admin.describe_cluster().await?.brokers.len();
    println!("connected: {brokers} broker(s)");
    assert!(brokers > 0);

    admin.create_topic(NewTopic::new(topic).partitions(3)).await?;
    println!("created topic {topic} with 3 partitions");

    // Produce in the background: `enqueue` waits for room in the buffer only, the delivery for the acknowledgement.
    let producer = client.producer().build()?;
    let mut deliveries = Vec::new();
    for number in 0..RECORDS {
        let record = Record::new(topic).key(format!("customer-{}", number % 10)).value(format!("order {number}"));
        deliveries.push(producer.enqueue(record).await?);
    }
    let mut per_partition = BTreeMap::<i32, usize>::new();
    let mut partition_of_key = BTreeMap::<usize, i32>::new();
    for (number, delivery) in deliveries.into_iter().enumerate() {
        let at = delivery.await?;
        *per_partition.entry(at.partition).or_default() += 1;
        // Records of one key go to one partition, and so keep their order.
        assert_eq!(*partition_of_key.entry(number % 10).or_insert(at.partition), at.partition);
    }
    producer.close(Duration::from_secs(10)).await?;
    println!("produced {RECORDS} records, all acknowledged; per partition: {per_partition:?}");
    assert_eq!(per_partition.values().sum::<usize>(), RECORDS);

    // A member of a group handles 60 of them and stops. What it handled is committed before it leaves.
    let group = format!("{topic}-billing");
    let first = consume(client, topic, &group, FIRST_RUN).await?;
    println!("first run: group member handled {} records, then stopped", first.len());
    assert_eq!(first.len(), FIRST_RUN);

    let committed: i64 = admin.group_offsets(&group).await?.iter().map(|offset| offset.committed).sum();
    println!("checkpoint: the group has committed {committed} records");
    assert_eq!(committed, FIRST_RUN as i64);

    // The next member goes on where the group stopped: the other 40, nothing twice, nothing left out.
    let second = consume(client, topic, &group, RECORDS - FIRST_RUN).await?;
    println!("second run: resumed, handled the other {} records", second.len());
    assert_eq!(second.len(), RECORDS - FIRST_RUN);
    assert!(first.is_disjoint(&second), "a record was handled twice");
    let all: BTreeSet<String> = (0..RECORDS).map(|number| format!("order {number}")).collect();
    assert_eq!(first.union(&second).cloned().collect::<BTreeSet<_>>(), all, "a record was not handled");

    let committed: i64 = admin.group_offsets(&group).await?.iter().map(|offset| offset.committed).sum();
    println!("checkpoint: {committed} of {RECORDS} committed, no lag");
    assert_eq!(committed, RECORDS as i64);
    client.close().await;
    println!("done");
    Ok(())
}

/// Handles `count` records as a member of `group`; gives their values.
async fn consume(client: &Client, topic: &str, group: &str, count: usize) -> Result<BTreeSet<String>> {
    let mut consumer = client.consumer(group).topics([topic]).build()?;
    let mut values = BTreeSet::new();
    // Asking for the next message marks the one before as processed; after `stop` what was marked is committed, and the group left.
    while let Some(message) = consumer.next().await? {
        let value = message.value.as_deref().unwrap_or_default();
        values.insert(String::from_utf8_lossy(value).into_owned());
        if values.len() == count {
            consumer.stop();
        }
    }
    consumer.close(LIMIT).await?;
    Ok(values)
}
