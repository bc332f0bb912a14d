//! `klamm query-offsets`.

use klamm::TopicPartition;
use klamm::admin::OffsetSpec;
use serde_json::{Value, json};

use crate::commands::topic;
use crate::exit::{Done, Failure};
use crate::options::Options;

#[derive(clap::Args, Debug)]
pub(crate) struct Arguments {
    /// The topic, or one partition of it
    #[arg(value_name = "TOPIC[:PARTITION]")]
    place: String,
    /// beginning, end, max-timestamp, or milliseconds since 1970
    #[arg(long, default_value = "end", value_parser = parse_spec)]
    at: OffsetSpec,
}

fn parse_spec(text: &str) -> Result<OffsetSpec, String> {
    match text {
        "beginning" => Ok(OffsetSpec::Beginning),
        "end" => Ok(OffsetSpec::End),
        "max-timestamp" => Ok(OffsetSpec::MaxTimestamp),
        other => match other.parse() {
            Ok(milliseconds @ 0..) => Ok(OffsetSpec::Timestamp(milliseconds)),
            _ => Err("must be beginning, end, max-timestamp, or milliseconds since 1970".to_owned()),
        },
    }
}

/// A topic and perhaps a partition; no topic's name has a colon.
pub(crate) fn parse_place(place: &str) -> Done<(&str, Option<i32>)> {
    let (name, partition) = match place.split_once(':') {
        None => (place, None),
        Some((name, partition)) => match partition.parse() {
            Ok(partition @ 0..) => (name, Some(partition)),
            _ => return Err(Failure::usage(format!("{place}: behind the colon must be a partition's number"))),
        },
    };
    topic(name)?;
    Ok((name, partition))
}

/// Shows an offset of each partition.
pub(crate) async fn run(options: &Options, arguments: Arguments) -> Done {
    let (topic, partition) = parse_place(&arguments.place)?;
    let client = options.connect().await?;
    let admin = client.admin();
    let partitions = match partition {
        Some(partition) => vec![TopicPartition::new(topic, partition)],
        None => {
            let outcomes = options.within("describing the topic", admin.describe_topics([topic])).await?;
            let mut partitions = Vec::new();
            for (topic, result) in outcomes {
                let described = result?.partitions;
                partitions.extend(described.iter().map(|partition| TopicPartition::new(&topic, partition.partition)));
            }
            partitions
        }
    };
    let outcomes = options.within("listing offsets", admin.list_offsets(partitions, arguments.at)).await?;
    let mut rows: Vec<Value> = Vec::new();
    for (partition, result) in outcomes {
        let listed = result?;
        rows.push(json!({
            "topic": partition.topic.as_str(),
            "partition": partition.partition,
            "offset": listed.offset,
            "timestamp": listed.timestamp,
        }));
    }
    options.output().things(&["topic", "partition", "offset", "timestamp"].map(|key| (key, key)), &rows)
}
