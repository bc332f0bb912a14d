//! `klamm demo`: the main story on a broker inside this process, in words.

use std::collections::BTreeSet;
use std::fmt::Display;
use std::future::ready;
use std::time::Duration;

use klamm::{Client, Record};
use klamm_broker::Broker;

use crate::exit::{Done, Failure};
use crate::options::Options;
use crate::output::Output;

const TOPIC: &str = "orders";
const GROUP: &str = "billing";
const RECORDS: usize = 20;
const FIRST_RUN: usize = 12;
const LIMIT: Duration = Duration::from_secs(30);

/// Produces, consumes in a group, checkpoints and resumes.
pub(crate) async fn run(options: &Options) -> Done {
    let mut output = options.output();
    let broker = Broker::builder().nodes(3).topic(TOPIC, 3).start_in_memory().map_err(not_started)?;
    let client = Client::builder(broker.bootstrap()).connector(broker.connector()).client_id("demo").connect().await?;
    say(
        &mut output,
        &format_args!("A Kafka cluster of three brokers runs inside this process, with a topic \"{TOPIC}\" of three partitions."),
    )?;

    let about = "The customer is the key, so each customer's orders stay in order";
    say(&mut output, &format_args!("\nA producer sends {RECORDS} orders of four customers. {about}:"))?;
    let producer = client.producer().build()?;
    for number in 1..=RECORDS {
        let customer = format!("customer-{}", number % 4);
        let at = producer.send(Record::new(TOPIC).key(customer.clone()).value(format!("order {number}"))).await?;
        let (partition, offset) = (at.partition, at.offset.unwrap_or(-1));
        say(&mut output, &format_args!("  order {number:2} of {customer} is in partition {partition} at offset {offset}"))?;
    }
    producer.close(Duration::from_secs(30)).await?;

    let about = "then stops; on its way out it commits how far it came";
    say(&mut output, &format_args!("\nA member of the group \"{GROUP}\" handles {FIRST_RUN} of them, {about}:"))?;
    let first = consume(&client, FIRST_RUN, &mut output).await?;
    show_checkpoint(&client, &mut output).await?;

    say(&mut output, &"\nAnother member goes on from the checkpoint and gets the rest, none twice:")?;
    let second = consume(&client, RECORDS - FIRST_RUN, &mut output).await?;
    show_checkpoint(&client, &mut output).await?;

    if first.len() + second.len() != RECORDS || !first.is_disjoint(&second) {
        return Err(Failure::refused("the story went wrong: records were lost or handled twice. Please report this"));
    }
    let next = "Try it on your own cluster: klamm -b HOST:PORT produce TOPIC";
    say(&mut output, &format_args!("\nAll {RECORDS} orders were handled once. {next}"))?;
    client.close().await;
    Ok(())
}

/// A line that is seen at once.
fn say(output: &mut Output, line: &impl Display) -> Done {
    output.line(line)?;
    output.flush()
}

fn not_started(error: std::io::Error) -> Failure {
    Failure::refused(format!("the embedded broker could not be started: {error}"))
}

async fn consume(client: &Client, count: usize, output: &mut Output) -> Done<BTreeSet<String>> {
    let mut consumer = client.consumer(GROUP).topics([TOPIC]).build()?;
    let handle = consumer.handle();
    let mut values = BTreeSet::new();
    let mut told = Ok(());
    consumer
        .each_message(|message| {
            let value = String::from_utf8_lossy(message.value.as_deref().unwrap_or_default()).into_owned();
            let line = format_args!("  handled {value} (partition {}, offset {})", message.partition, message.offset).to_string();
            told = say(output, &line);
            values.insert(value);
            if values.len() == count || told.is_err() {
                handle.stop();
            }
            ready(Ok::<(), klamm::Error>(()))
        })
        .await?;
    consumer.close(LIMIT).await?;
    told?;
    Ok(values)
}

async fn show_checkpoint(client: &Client, output: &mut Output) -> Done {
    let offsets = client.admin().group_offsets(GROUP).await?;
    let text: Vec<String> = offsets.iter().map(|offset| format!("{} -> {}", offset.partition, offset.committed)).collect();
    say(output, &format_args!("  committed: {}", text.join(", ")))
}
