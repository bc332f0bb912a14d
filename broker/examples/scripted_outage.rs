//! An outage from a file: `cargo run -p klamm-broker --features fault-files --example scripted_outage`.
//!
//! Reads `outage.toml` beside it, or the file that is named on the command line, and shows how a producer gets through it.

use std::time::Duration;

use klamm::{Client, Record};
use klamm_broker::Broker;
use klamm_broker::faults::FaultFile;
use tokio::time::{Instant, sleep};

const RECORDS: usize = 300;

#[tokio::main(flavor = "current_thread", start_paused = true)]
pub(crate) async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let ours = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/outage.toml");
    let file = std::env::args().nth(1).filter(|name| name.ends_with(".toml") || name.ends_with(".json"));
    let plan = FaultFile::read(file.as_deref().unwrap_or(ours))?.nodes(3).plan()?;
    println!("{} faults", plan.entries.len());

    let broker = Broker::builder().nodes(3).topic("orders", 3).start_in_memory()?;
    let client = Client::builder(broker.bootstrap()).connector(broker.connector()).connect().await?;
    broker.run_plan(plan);
    let producer = client.producer().build()?;
    let (start, mut slowest) = (Instant::now(), Duration::ZERO);
    for number in 0..RECORDS {
        let sent = Instant::now();
        producer.send(Record::new("orders").value(format!("{number}"))).await?;
        slowest = slowest.max(sent.elapsed());
        sleep(Duration::from_millis(100)).await;
    }
    producer.close(Duration::from_secs(60)).await?;
    println!("{RECORDS} records written in {:?}; the slowest took {slowest:?}", start.elapsed());

    let mut values = Vec::new();
    for partition in 0..3 {
        values.extend(
            broker.values("orders", partition)?.iter().map(|value| value.parse::<usize>()).collect::<Result<Vec<_>, _>>()?,
        );
    }
    values.sort_unstable();
    assert_eq!(values, (0..RECORDS).collect::<Vec<_>>());
    println!("each is there once");
    client.close().await;
    Ok(())
}
