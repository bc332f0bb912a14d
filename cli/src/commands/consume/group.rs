//! Consuming as a member of a group. A record counts as handled once it has been written out: only then is it marked, and only then
//! is more asked for. So what a killed member had not printed is read again by another, and what was printed is committed before its
//! partition is given away.

use std::time::Duration;

use klamm::Client;
use klamm::consumer::{Batch, Consumer, ConsumerHandle, IsolationLevel, OffsetReset};

use super::{Arguments, Printer, Start};
use crate::exit::Done;
use crate::options::Options;
use crate::signals::Stop;

/// The longest that the last commit and leaving may take.
const CLOSING: Duration = Duration::from_secs(30);
/// How often it is looked whether everything was read, with `--exit-at-end`.
const LOOK: Duration = Duration::from_millis(100);

/// Consumes until stopped; then commits and leaves the group.
pub(super) async fn run(options: &Options, arguments: &Arguments, group: &str, mut stop: Stop) -> Done {
    let consumer = |client: &Client| {
        let mut builder = client.consumer(group).automatically_mark_as_processed(false);
        for topic in &arguments.topics {
            builder = if arguments.regex { builder.topics_matching(topic) } else { builder.topics([topic.as_str()]) };
        }
        match arguments.offset {
            Some(Start::Beginning) => builder = builder.auto_offset_reset(OffsetReset::Earliest),
            Some(Start::End) => builder = builder.auto_offset_reset(OffsetReset::Latest),
            _ => {}
        }
        match arguments.isolation.as_deref() {
            Some("read_uncommitted") => builder = builder.isolation_level(IsolationLevel::ReadUncommitted),
            Some(_) => builder = builder.isolation_level(IsolationLevel::ReadCommitted),
            None => {}
        }
        builder.build()
    };
    // Wrong settings are told before a broker is looked for.
    drop(consumer(&options.client()?)?);
    let Some(client) = stop.unless_asked(options.connect()).await else { return Ok(()) };
    let client = client?;
    if arguments.exit_at_end && arguments.regex {
        // Where nothing matches there is no end to come to.
        super::topics(options, arguments, &client).await?;
    }
    let mut consumer = consumer(&client)?;
    let done = read(&mut consumer, Printer::new(options, arguments), arguments.exit_at_end, &mut stop).await;
    // Whatever ended it: what was written out is committed, and the group is left in order.
    let closed = consumer.close(CLOSING).await;
    done?;
    Ok(closed?)
}

async fn read(consumer: &mut Consumer, mut printer: Printer, exit_at_end: bool, stop: &mut Stop) -> Done {
    let handle = consumer.handle();
    while !printer.is_done() {
        let batch = tokio::select! {
            biased;
            () = stop.asked() => return Ok(()),
            batch = consumer.next_batch() => batch?,
            () = tokio::time::sleep(LOOK), if exit_at_end => {
                if at_end(&handle) {
                    return Ok(());
                }
                continue;
            }
        };
        match batch {
            Some(batch) => print(&batch, &mut printer, &handle)?,
            None => return Ok(()),
        }
    }
    Ok(())
}

/// Writes out a batch, or as much of it as is wanted, and marks that.
fn print(batch: &Batch, printer: &mut Printer, handle: &ConsumerHandle) -> Done {
    let mut last = None;
    for message in batch.messages() {
        let message = message?;
        printer.print(&message)?;
        last = Some(message);
        if printer.is_done() {
            break;
        }
    }
    printer.flush()?;
    match last {
        Some(message) if printer.is_done() => handle.mark_as_processed(&message),
        _ => handle.mark_batch_as_processed(batch),
    }
    Ok(())
}

/// Has this member partitions, and read all of them to where they end?
fn at_end(handle: &ConsumerHandle) -> bool {
    let assignment = handle.assignment();
    let read = |partition: &klamm::TopicPartition| {
        let position = handle.position(&partition.topic, partition.partition);
        let end = handle.high_watermark(&partition.topic, partition.partition);
        matches!((position, end), (Some(position), Some(end)) if position >= end)
    };
    !assignment.is_empty() && assignment.iter().all(read)
}
