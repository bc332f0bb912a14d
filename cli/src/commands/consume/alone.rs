//! Consuming without a group: nothing is committed anywhere. One reader for each topic, or for each partition where the place to begin
//! differs, all into one printer.

use klamm::admin::OffsetSpec;
use klamm::consumer::{IsolationLevel, OffsetReset, Reader, ReaderBuilder, SeekTo};
use klamm::{Client, Message, Topic, TopicPartition};
use tokio::sync::mpsc;

use super::{Arguments, Printer, Start};
use crate::exit::{Done, Failure};
use crate::options::Options;
use crate::signals::Stop;

/// Messages on their way from the readers to the printer; what is fetched ahead is bounded by the readers' own budgets.
const UNPRINTED: usize = 1_000;

/// Reads until stopped, the count is reached, or the end that was asked for.
pub(super) async fn run(options: &Options, arguments: &Arguments, mut stop: Stop) -> Done {
    let start = match (arguments.offset, options.setting("auto.offset.reset")?.as_deref()) {
        (Some(start), _) => start,
        (None, Some("latest")) => Start::End,
        (None, Some("none")) => {
            return Err(Failure::usage("auto.offset.reset is none, so there is no place to begin: give --offset"));
        }
        (None, _) => Start::Beginning,
    };
    // Wrong settings are told before a broker is looked for.
    drop(options.client()?);
    let Some(readers) = stop.unless_asked(readers(options, arguments, start)).await else { return Ok(()) };
    let readers = readers?;
    let (sender, mut messages) = mpsc::channel::<klamm::Result<Message>>(UNPRINTED);
    for mut reader in readers {
        let sender = sender.clone();
        tokio::spawn(async move {
            loop {
                let message = match reader.next().await {
                    Ok(Some(message)) => Ok(message),
                    Ok(None) => return,
                    Err(error) => Err(error),
                };
                let over = message.is_err();
                // The printer is gone when enough was printed.
                if sender.send(message).await.is_err() || over {
                    return;
                }
            }
        });
    }
    drop(sender);
    let mut printer = Printer::new(options, arguments);
    while !printer.is_done() && !stop.is_asked() {
        let next = match messages.try_recv() {
            Ok(next) => next,
            Err(_) => {
                printer.flush()?;
                tokio::select! {
                    biased;
                    () = stop.asked() => break,
                    next = messages.recv() => match next {
                        Some(next) => next,
                        None => break,
                    },
                }
            }
        };
        match next {
            Ok(message) => printer.print(&message)?,
            Err(error) => {
                printer.flush()?;
                return Err(error.into());
            }
        }
    }
    printer.flush()
}

/// What reads all that was asked for.
async fn readers(options: &Options, arguments: &Arguments, start: Start) -> Done<Vec<Reader>> {
    let client = options.connect().await?;
    let mut readers = Vec::new();
    for topic in super::topics(options, arguments, &client).await? {
        for builder in builders(options, &client, &topic, &arguments.partitions, start).await? {
            let builder = match arguments.isolation.as_deref() {
                Some("read_uncommitted") => builder.isolation_level(IsolationLevel::ReadUncommitted),
                Some(_) => builder.isolation_level(IsolationLevel::ReadCommitted),
                None => builder,
            };
            let builder = if arguments.exit_at_end { builder.to_end() } else { builder };
            // An offset that was named and is gone is an error; the beginning and the end always are somewhere.
            let builder = match start {
                Start::Offset(_) => builder,
                _ => builder.auto_offset_reset(OffsetReset::Earliest),
            };
            readers.push(builder.build()?);
        }
    }
    Ok(readers)
}

/// Readers of one topic: one where all partitions begin alike, else one for each.
async fn builders(
    options: &Options,
    client: &Client,
    topic: &Topic,
    partitions: &[i32],
    start: Start,
) -> Done<Vec<ReaderBuilder>> {
    let from = match start {
        Start::Beginning => SeekTo::Beginning,
        Start::End => SeekTo::End,
        Start::Offset(offset) => SeekTo::Offset(offset),
        Start::Time(milliseconds) => SeekTo::Timestamp(milliseconds),
        Start::BeforeEnd(_) => SeekTo::End,
    };
    let count = options.within("finding the topic", client.partition_count(topic)).await?;
    if let Some(wrong) =
        partitions.iter().find(|partition| usize::try_from(**partition).is_ok_and(|partition| partition >= count))
    {
        return Err(Failure::refused(format!(
            "topic {topic} has no partition {wrong}: it has {count}, numbered from 0; `klamm topics describe {topic}` shows them"
        )));
    }
    let Start::BeforeEnd(back) = start else {
        if partitions.is_empty() {
            return Ok(vec![client.reader(topic).from(from)]);
        }
        return Ok(partitions.iter().map(|partition| client.reader(topic).partition(*partition).from(from)).collect());
    };
    let wanted: Vec<i32> =
        if partitions.is_empty() { (0..i32::try_from(count).unwrap_or(i32::MAX)).collect() } else { partitions.to_vec() };
    let admin = client.admin();
    let places = |spec| admin.list_offsets(wanted.iter().map(|partition| TopicPartition::new(topic, *partition)), spec);
    let beginnings = options.within("listing offsets", places(OffsetSpec::Beginning)).await?;
    let ends = options.within("listing offsets", places(OffsetSpec::End)).await?;
    let offset = |listed: klamm::Result<klamm::admin::ListedOffset>| Ok::<i64, Failure>(listed?.offset.unwrap_or(0));
    let mut builders = Vec::new();
    for ((partition, beginning), (_, end)) in beginnings.into_iter().zip(ends) {
        let from = (offset(end)? - back).max(offset(beginning)?);
        builders.push(client.reader(topic).partition(partition.partition).from(from));
    }
    Ok(builders)
}
