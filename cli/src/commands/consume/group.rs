//! Consuming as a member of a group. A record counts as handled once it has been written out: only then is it marked, so that what a
//! killed member had not printed is read again by another.

use std::collections::HashMap;
use std::time::Duration;

use klamm::Message;
use klamm::consumer::{Consumer, ConsumerHandle, IsolationLevel, OffsetReset};

use super::{Arguments, Printer, Start};
use crate::exit::Done;
use crate::options::Options;
use crate::signals::Stop;

/// Records that may be printed and not yet flushed while more are at hand.
const UNFLUSHED: usize = 1_000;
/// The longest that the last commit and leaving may take.
const CLOSING: Duration = Duration::from_secs(30);

/// Consumes until stopped; then commits and leaves the group.
pub(super) async fn run(options: &Options, arguments: &Arguments, group: &str, mut stop: Stop) -> Done {
    let client = options.connect().await?;
    let topics = arguments.topics.iter().map(String::as_str);
    let mut builder = client.consumer(group).topics(topics).automatically_mark_as_processed(false);
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
    let mut consumer = builder.build()?;
    let mut printed =
        Printed { printer: Printer::new(options, arguments), handle: consumer.handle(), last: HashMap::new(), count: 0 };
    let done = read(&mut consumer, &mut printed, arguments.exit_at_end, &mut stop).await;
    // Whatever ended it: what was written out is committed, and the group is left in order.
    let flushed = printed.flush();
    let closed = consumer.close(CLOSING).await;
    done?;
    flushed?;
    Ok(closed?)
}

async fn read(consumer: &mut Consumer, printed: &mut Printed, exit_at_end: bool, stop: &mut Stop) -> Done {
    while !printed.printer.is_done() && !stop.is_asked() {
        // What is at hand is printed without a flush between; before waiting, everything is written out and marked.
        let next = match tokio::time::timeout(Duration::ZERO, consumer.next()).await {
            Ok(next) => next?,
            Err(_) => {
                printed.flush()?;
                if exit_at_end && at_end(&printed.handle) {
                    return Ok(());
                }
                tokio::select! {
                    biased;
                    () = stop.asked() => return Ok(()),
                    next = consumer.next() => next?,
                    () = tokio::time::sleep(Duration::from_millis(100)), if exit_at_end => continue,
                }
            }
        };
        match next {
            Some(message) => printed.print(message)?,
            None => return Ok(()),
        }
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

/// What was printed and is to be marked once it is written out: the last record of each partition stands for all before it.
struct Printed {
    printer: Printer,
    handle: ConsumerHandle,
    last: HashMap<(klamm::Topic, i32), Message>,
    count: usize,
}

impl Printed {
    fn print(&mut self, message: Message) -> Done {
        self.printer.print(&message)?;
        self.last.insert((message.topic.clone(), message.partition), message);
        self.count += 1;
        if self.count >= UNFLUSHED { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Done {
        self.printer.flush()?;
        for (_, message) in self.last.drain() {
            self.handle.mark_as_processed(&message);
        }
        self.count = 0;
        Ok(())
    }
}
