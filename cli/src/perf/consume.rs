//! `perf consume`: batches read in place.

use std::time::Duration;

use klamm::consumer::{Batch, Consumer, OffsetReset, Reader};
use serde_json::{Value, json};

use super::Load;
use super::measure::Marks;
use super::pool::tag;
use super::progress::Progress;
use crate::exit::{Done, Failure};
use crate::options::Options;

/// Where batches come from.
enum Source {
    Alone(Reader),
    Group(Consumer),
}

impl Source {
    async fn next_batch(&mut self) -> klamm::Result<Option<Batch>> {
        match self {
            Self::Alone(reader) => reader.next_batch().await,
            Self::Group(consumer) => consumer.next_batch().await,
        }
    }
}

/// Reads at least `count` records and adds up their values' tags.
pub(super) async fn run(options: &Options, load: Load) -> Done<Value> {
    let client = options.connect().await?;
    let mut source = match &load.group {
        Some(group) => {
            let topics = [load.topic.as_str()];
            Source::Group(client.consumer(group).topics(topics).auto_offset_reset(OffsetReset::Earliest).build()?)
        }
        None => Source::Alone(client.reader(load.topic.as_str()).build()?),
    };
    let run = tokio::spawn(async move {
        let mut marks = Marks::start(load.count);
        let mut progress = Progress::new(load.progress);
        let (mut records, mut bytes, mut sum) = (0_u64, 0_u64, 0_u64);
        'reading: while records < load.count {
            let Some(batch) = source.next_batch().await? else { break };
            for record in batch.records() {
                let record = record?;
                if let Some(value) = record.value {
                    bytes += value.len() as u64;
                    sum += tag(value);
                }
                records += 1;
                if records == load.count {
                    break 'reading;
                }
            }
            marks.tick(records);
            progress.tick(records);
        }
        marks.end(records);
        if let Source::Group(consumer) = source {
            consumer.close(Duration::from_secs(10)).await?;
        }
        Ok::<_, klamm::Error>(marks.report("consume", records, bytes, &json!({ "tag": sum })))
    });
    match run.await {
        Ok(report) => Ok(report?),
        Err(error) => Err(Failure::refused(format!("the run failed: {error}"))),
    }
}
