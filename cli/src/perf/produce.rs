//! `perf produce`.

use std::collections::VecDeque;
use std::time::Duration;

use klamm::producer::Delivery;
use klamm::{Record, Topic};
use serde_json::{Value, json};

use super::Load;
use super::measure::Marks;
use super::pool::{keys, values};
use super::progress::Progress;
use crate::exit::Done;
use crate::options::Options;

/// Deliveries that may be outstanding before the older half is awaited, as in the other peers with futures.
const OUTSTANDING: usize = 50_000;

/// Sends `count` records and waits for every acknowledgement.
pub(super) async fn run(options: &Options, load: Load) -> Done<Value> {
    let client = options.connect().await?;
    let producer = load.tune(client.producer()).build()?;
    let (values, keys, topic) = (values(load.size), keys(), Topic::from(load.topic.as_str()));
    // A task of its own, so that the sending side is polled by the same worker as the connections.
    let run = tokio::spawn(async move {
        let mut outstanding: VecDeque<Delivery> = VecDeque::with_capacity(OUTSTANDING);
        let mut marks = Marks::start(load.count);
        let mut progress = Progress::new(load.progress);
        let (mut acked, mut bytes) = (0_u64, 0_u64);
        let cycle = values.iter().cycle().zip(keys.iter().cycle()).take(usize::try_from(load.count).unwrap_or(usize::MAX));
        for (index, (value, key)) in (0_u64..).zip(cycle) {
            bytes += value.len() as u64;
            let mut record = Record::new(&topic).value(value.clone());
            if load.keyed {
                record = record.key(key.clone());
            }
            outstanding.push_back(producer.enqueue(record).await?);
            if outstanding.len() >= OUTSTANDING {
                for delivery in outstanding.drain(..OUTSTANDING / 2) {
                    delivery.await?;
                    acked += 1;
                }
                progress.tick(acked);
            }
            marks.tick(index + 1);
        }
        marks.end(load.count);
        for delivery in outstanding {
            delivery.await?;
            acked += 1;
        }
        producer.close(Duration::MAX).await?;
        Ok::<_, klamm::Error>(marks.report("produce", acked, bytes, &json!({ "acked": acked })))
    });
    match run.await {
        Ok(report) => Ok(report?),
        Err(error) => Err(crate::exit::Failure::refused(format!("the run failed: {error}"))),
    }
}
