//! `klamm demo`: the main story on a broker inside this process, in words.

use std::collections::BTreeSet;
use std::time::Duration;

use klamm::{Client, Record};
use klamm_broker::Broker;

use crate::exit::{Done, Failure};

const TOPIC: &str = "orders";
const GROUP: &str = "billing";
const RECORDS: usize = 20;
const FIRST_RUN: usize = 12;
const LIMIT: Duration = Duration::from_secs(30);

/// Produces, consumes in a group, checkpoints and resumes.
pub(crate) async fn run() -> Done {
    let broker = Broker::builder().nodes(3).topic(TOPIC, 3).start_in_memory()?;
    let client = Client::builder(broker.bootstrap()).connector(broker.connector()).client_id("demo").connect().await?;
    println!("A Kafka cluster of three brokers runs inside this process, with a topic \"{TOPIC}\" of three partitions.");

    println!(
        "\nA producer sends {RECORDS} orders of four customers. The customer is the key, so each customer's orders stay in order:"
    );
    let producer = client.producer().build()?;
    for number in 1..=RECORDS {
        let customer = format!("customer-{}", number % 4);
        let at = producer.send(Record::new(TOPIC).key(customer.clone()).value(format!("order {number}"))).await?;
        println!("  order {number:2} of {customer} is in partition {} at offset {}", at.partition, at.offset.unwrap_or(-1));
    }
    producer.close().await?;

    println!(
        "\nA member of the group \"{GROUP}\" handles {FIRST_RUN} of them, then stops; on its way out it commits how far it came:"
    );
    let first = consume(&client, FIRST_RUN).await?;
    show_checkpoint(&client).await?;

    println!("\nAnother member goes on from the checkpoint and gets the rest, none twice:");
    let second = consume(&client, RECORDS - FIRST_RUN).await?;
    show_checkpoint(&client).await?;

    if first.len() + second.len() != RECORDS || !first.is_disjoint(&second) {
        return Err(Failure::refused("the story went wrong: records were lost or handled twice. Please report this"));
    }
    println!("\nAll {RECORDS} orders were handled once. Try it on your own cluster: klamm -b HOST:PORT produce TOPIC");
    client.close().await;
    Ok(())
}

async fn consume(client: &Client, count: usize) -> Done<BTreeSet<String>> {
    let mut consumer = client.consumer(GROUP).topics([TOPIC]).build()?;
    let handle = consumer.handle();
    let mut values = BTreeSet::new();
    consumer
        .each_message(|message| {
            let value = String::from_utf8_lossy(message.value.as_deref().unwrap_or_default()).into_owned();
            println!("  handled {value} (partition {}, offset {})", message.partition, message.offset);
            values.insert(value);
            if values.len() == count {
                handle.stop();
            }
            std::future::ready(Ok::<(), klamm::Error>(()))
        })
        .await?;
    consumer.close(LIMIT).await?;
    Ok(values)
}

async fn show_checkpoint(client: &Client) -> Done {
    let offsets = client.admin().group_offsets(GROUP).await?;
    let text: Vec<String> = offsets.iter().map(|offset| format!("{} -> {}", offset.partition, offset.committed)).collect();
    println!("  committed: {}", text.join(", "));
    Ok(())
}
