//! `klamm produce`: a record for each line of input.

use std::io::IsTerminal as _;
use std::path::PathBuf;
use std::pin::pin;
use std::time::Duration;

use bytes::Bytes;
use indicatif::{ProgressBar, ProgressStyle};
use klamm::producer::{Acks, Delivery, Producer};
use klamm::protocol::records::Compression;
use klamm::{Client, Error, ErrorKind, Header, Record, RecordMetadata, Topic};
use serde_json::json;
use tokio::io::{AsyncBufReadExt as _, AsyncRead, BufReader, Split};
use tokio::sync::mpsc;

use crate::commands::topic;
use crate::exit::{Done, Failure};
use crate::options::Options;
use crate::output::Output;
use crate::record_json::record_from_json;
use crate::signals::Stop;

/// Records whose outcome has not been printed yet; the producer's own buffer is bounded by bytes.
const UNPRINTED: usize = 16_384;

/// How long a topic that brokers do not know is waited for, unless `max.block.ms` says how long.
const TOPIC_PATIENCE: Duration = Duration::from_secs(5);

/// How long a record that waits when a stop is asked for may wait on.
const STOPPING: Duration = Duration::from_secs(5);

#[derive(clap::Args, Debug)]
pub(crate) struct Arguments {
    /// The topic to write to
    topic: String,
    /// The partition; chosen by key if not given
    #[arg(long, value_name = "N")]
    partition: Option<i32>,
    /// What stands between key and value in a line; without it a line is the value
    #[arg(long, value_name = "C")]
    key_separator: Option<String>,
    /// Read this file instead of standard input
    #[arg(long, value_name = "PATH")]
    file: Option<PathBuf>,
    /// Codec of batches: none, gzip, snappy, lz4 or zstd
    #[arg(long)]
    compression: Option<Compression>,
    /// When a record counts as delivered
    #[arg(long, value_parser = ["0", "1", "all", "-1"])]
    acks: Option<String>,
    /// Write each record once, also when sent again
    #[arg(long)]
    idempotent: Option<bool>,
    /// A header for every record, repeatable
    #[arg(long = "header", value_name = "K=V")]
    headers: Vec<String>,
    /// What a line is
    #[arg(long, value_parser = ["lines", "json"], default_value = "lines")]
    input: String,
    #[arg(long, hide = true)]
    transactional_id: Option<String>,
}

/// How a line of input becomes a record.
struct LineReader {
    topic: Topic,
    partition: Option<i32>,
    key_separator: Option<String>,
    headers: Vec<Header>,
    json: bool,
}

impl LineReader {
    /// The record of a line, which need not be text.
    fn record(&self, line: Vec<u8>) -> Result<Record, String> {
        let mut record = if self.json {
            let text = std::str::from_utf8(&line).map_err(|error| format!("not a JSON object: {error}"))?;
            record_from_json(&self.topic, text)?
        } else {
            let line = Bytes::from(line);
            let separator = self.key_separator.as_deref().unwrap_or_default().as_bytes();
            let at = (!separator.is_empty()).then(|| line.windows(separator.len()).position(|part| part == separator)).flatten();
            match at {
                Some(at) => Record::new(&self.topic).key(line.slice(..at)).value(line.slice(at + separator.len()..)),
                None => Record::new(&self.topic).value(line),
            }
        };
        record.partition = record.partition.or(self.partition);
        record.headers.extend(self.headers.iter().cloned());
        Ok(record)
    }
}

/// What became of a line, in the order of input.
enum Outcome {
    Sent(Delivery),
    Failed(Error),
    Malformed(String),
}

/// Produces until the input ends, or a stop is asked for.
pub(crate) async fn run(options: &Options, arguments: Arguments, mut stop: Stop) -> Done {
    if arguments.transactional_id.is_some() {
        return Err(Failure::not_built_yet("--transactional-id"));
    }
    let header = |text: &String| match text.split_once('=') {
        Some((key, value)) => Ok(Header::new(key.to_owned(), value.to_owned())),
        None => Err(Failure::usage(format!("--header {text}: must be KEY=VALUE"))),
    };
    let reader = LineReader {
        topic: topic(&arguments.topic)?,
        partition: arguments.partition,
        key_separator: arguments.key_separator.filter(|separator| !separator.is_empty()),
        headers: arguments.headers.iter().map(header).collect::<Done<_>>()?,
        json: arguments.input == "json",
    };
    let (input, bar): (Box<dyn AsyncRead + Send + Unpin>, _) = match &arguments.file {
        None => (Box::new(tokio::io::stdin()), ProgressBar::hidden()),
        Some(path) => {
            let file = tokio::fs::File::open(path)
                .await
                .map_err(|error| Failure::usage(format!("--file {}: {error}", path.display())))?;
            let length = file.metadata().await.map_or(0, |metadata| metadata.len());
            (Box::new(file), progress(length))
        }
    };
    let producer = |client: &Client| {
        let mut builder = client.producer();
        if let Some(compression) = arguments.compression {
            builder = builder.compression(compression);
        }
        if let Some(acks) = &arguments.acks {
            builder = builder.acks(match acks.as_str() {
                "0" => Acks::None,
                "1" => Acks::Leader,
                _ => Acks::All,
            });
        }
        if let Some(idempotent) = arguments.idempotent {
            builder = builder.idempotent(idempotent);
        }
        builder.build()
    };
    // Wrong settings are told before a broker is looked for.
    drop(producer(&options.client()?)?);
    let Some(client) = stop.unless_asked(options.connect()).await else {
        eprintln!("0 delivered, 0 failed");
        return Ok(());
    };
    let client = client?;
    let producer = producer(&client)?;

    let (sender, receiver) = mpsc::channel(UNPRINTED);
    let printer = tokio::spawn(print(options.output(), receiver));
    let lines = BufReader::with_capacity(256 << 10, input).split(b'\n');
    let patience = match options.setting("max.block.ms")?.and_then(|millis| millis.parse().ok()) {
        Some(millis) => Duration::from_millis(millis),
        None => TOPIC_PATIENCE,
    };
    let is_created = options.setting("allow.auto.create.topics")?.is_some_and(|allowed| allowed.eq_ignore_ascii_case("true"));
    let missing = async { if is_created { None } else { missing(&client, &reader.topic, patience).await } };
    let end = feed(&producer, &reader, lines, sender, &bar, (&mut stop, missing)).await;
    // Everything accepted is delivered or failed before the printer ends; what failed is counted there.
    let _ = producer.close(Duration::MAX).await;
    let printed = printer.await.map_err(|error| Failure::refused(format!("printing failed: {error}")))?;
    bar.finish_and_clear();
    if let Err(failure) = &end {
        eprintln!("klamm: {failure}");
    }
    let Printed { delivered, failed, output } = printed;
    if let Err(failure) = &output
        && !failure.is_closed_pipe()
    {
        eprintln!("klamm: {failure}");
    }
    // The last line, whatever happened.
    eprintln!("{delivered} delivered, {failed} failed");
    if end.is_err() || failed > 0 || output.is_err_and(|failure| !failure.is_closed_pipe()) {
        return Err(Failure::told());
    }
    Ok(())
}

/// Why records for the topic would wait in vain, if brokers still do not know it after `patience`: they may take a moment to hear of a
/// new one. Brokers that do not answer say nothing about the topic; the producer waits for them as for those lost in the middle.
async fn missing(client: &Client, topic: &Topic, patience: Duration) -> Option<Error> {
    let mut missing = None;
    let looking = async {
        loop {
            match client.has_topic(topic).await {
                Ok(true) => break missing = None,
                Ok(false) => {
                    let message = format!("the topic does not exist; create it first: klamm topics create {topic}");
                    missing = Some(Error::new(ErrorKind::UnknownTopic, message).with_topic(topic));
                }
                Err(error) if error.is_retriable() => missing = None,
                Err(error) => break missing = Some(error),
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    };
    let _ = tokio::time::timeout(patience, looking).await;
    missing
}

/// Hands every line to the producer; before the first, `missing` says whether there is no use.
async fn feed(
    producer: &Producer,
    reader: &LineReader,
    mut lines: Split<BufReader<Box<dyn AsyncRead + Send + Unpin>>>,
    outcomes: mpsc::Sender<Outcome>,
    bar: &ProgressBar,
    (stop, missing): (&mut Stop, impl Future<Output = Option<Error>>),
) -> Done {
    let mut missing = Some(missing);
    loop {
        // With a place for its outcome, a record that was taken is counted even if standard output is closed meanwhile.
        let Ok(place) = outcomes.reserve().await else { return Ok(()) };
        let line = tokio::select! {
            biased;
            () = stop.asked() => return Ok(()),
            () = outcomes.closed() => return Ok(()),
            line = lines.next_segment() => line.map_err(|error| Failure::refused(format!("the input can't be read: {error}")))?,
        };
        let Some(line) = line else { return Ok(()) };
        bar.inc(line.len() as u64 + 1);
        let record = match reader.record(line) {
            Ok(record) => record,
            Err(why) => {
                place.send(Outcome::Malformed(why));
                continue;
            }
        };
        if let Some(missing) = missing.take()
            && let Some(error) = stop.unless_asked(missing).await.unwrap_or_else(|| Some(stopped(&reader.topic)))
        {
            place.send(Outcome::Failed(error));
            return Ok(());
        }
        match enqueue(producer, record, stop).await {
            Ok(delivery) => place.send(Outcome::Sent(delivery)),
            Err(error) => {
                // What fails for every further line in the same way ends the input.
                let over = error.is_fatal()
                    || matches!(
                        error.kind(),
                        ErrorKind::UnknownTopic | ErrorKind::Authorization | ErrorKind::Authentication | ErrorKind::Tls
                    );
                place.send(Outcome::Failed(error));
                if over {
                    return Ok(());
                }
            }
        }
    }
}

/// Hands a record over. One that waits when a stop is asked for is owed, and so gets a while more, but not all of `max.block.ms`.
async fn enqueue(producer: &Producer, record: Record, stop: &mut Stop) -> klamm::Result<Delivery> {
    let topic = record.topic.clone();
    let mut enqueued = pin!(producer.enqueue(record));
    tokio::select! {
        biased;
        result = &mut enqueued => return result,
        () = stop.asked() => {}
    }
    match tokio::time::timeout(STOPPING, enqueued).await {
        Ok(result) => result,
        Err(_) => Err(stopped(&topic)),
    }
}

/// What becomes of a line that was read and could not be handed over before the end.
fn stopped(topic: &Topic) -> Error {
    Error::new(ErrorKind::Closed, "stopped while the record waited to be sent").with_topic(topic)
}

/// What the printer has seen in the end.
struct Printed {
    delivered: u64,
    failed: u64,
    /// Whether all could be written out.
    output: Done,
}

/// Prints outcomes in order until there are no more. When standard output is closed no more lines are taken; those that were are
/// still counted.
async fn print(output: Output, mut outcomes: mpsc::Receiver<Outcome>) -> Printed {
    let mut printed = Printed { delivered: 0, failed: 0, output: Ok(()) };
    let (mut output, mut line) = (Some(output), 0_u64);
    loop {
        let outcome = match outcomes.try_recv() {
            Ok(outcome) => Some(outcome),
            Err(_) => {
                // Nothing to print at the moment: what was printed is shown before waiting.
                let flushed = output.as_mut().map_or(Ok(()), Output::flush);
                printed.keep(flushed, &mut output, &mut outcomes);
                outcomes.recv().await
            }
        };
        let Some(outcome) = outcome else { return printed };
        line += 1;
        let result = match outcome {
            Outcome::Sent(delivery) => printed.delivery(delivery, &mut output, &mut outcomes).await,
            Outcome::Failed(error) => Err((error.to_string(), error.is_possibly_written())),
            Outcome::Malformed(why) => Err((why, false)),
        };
        match &result {
            Ok(_) => printed.delivered += 1,
            Err(_) => printed.failed += 1,
        }
        let is_json = output.as_ref().is_some_and(Output::is_json);
        let value = match result {
            Ok(at) if is_json => {
                json!({"topic": at.topic.as_str(), "partition": at.partition, "offset": at.offset, "timestamp": at.timestamp})
            }
            Ok(_) => continue,
            Err((error, possibly_written)) if is_json => {
                json!({"error": error, "possibly_written": possibly_written, "line": line})
            }
            Err((error, _)) => {
                eprintln!("klamm: line {line}: {error}");
                continue;
            }
        };
        let written = output.as_mut().map_or(Ok(()), |output| output.line(&value));
        printed.keep(written, &mut output, &mut outcomes);
    }
}

impl Printed {
    /// Remembers that output failed: nothing more is written, and no more lines are taken.
    fn keep(&mut self, result: Done, output: &mut Option<Output>, outcomes: &mut mpsc::Receiver<Outcome>) {
        if result.is_err() {
            (self.output, *output) = (result, None);
            outcomes.close();
        }
    }

    /// Waits for what becomes of a record, showing before what was printed if that takes time.
    async fn delivery(
        &mut self,
        mut delivery: Delivery,
        output: &mut Option<Output>,
        outcomes: &mut mpsc::Receiver<Outcome>,
    ) -> Result<RecordMetadata, (String, bool)> {
        let result = match tokio::time::timeout(Duration::ZERO, &mut delivery).await {
            Ok(result) => result,
            Err(_) => {
                let flushed = output.as_mut().map_or(Ok(()), Output::flush);
                self.keep(flushed, output, outcomes);
                delivery.await
            }
        };
        result.map_err(|error| (error.to_string(), error.is_possibly_written()))
    }
}

/// A bar over the bytes of a file, on a terminal only.
fn progress(length: u64) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{bar:40} {bytes}/{total_bytes} {bytes_per_sec} {eta}");
    ProgressBar::new(length).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reader(key_separator: Option<&str>, json: bool) -> LineReader {
        LineReader {
            topic: "t".into(),
            partition: Some(1),
            key_separator: key_separator.map(str::to_owned),
            headers: vec![Header::new("a", "1")],
            json,
        }
    }

    #[test]
    fn a_line_is_split_at_the_first_separator_only() {
        let record = reader(Some(":"), false).record(b"k:v:w".to_vec()).unwrap();
        assert_eq!((record.key.as_deref(), record.value.as_deref()), (Some(&b"k"[..]), Some(&b"v:w"[..])));
        let record = reader(Some(":"), false).record(b"whole".to_vec()).unwrap();
        assert_eq!((record.key, record.value.as_deref()), (None, Some(&b"whole"[..])));
        let record = reader(Some("::"), false).record(b"\xff::\xfe\r".to_vec()).unwrap();
        assert_eq!((record.key.as_deref(), record.value.as_deref()), (Some(&b"\xff"[..]), Some(&b"\xfe\r"[..])));
    }

    #[test]
    fn an_object_may_choose_its_own_partition_and_headers_are_added() {
        let record = reader(None, true).record(r#"{"value":"v","partition":3,"headers":{"b":"2"}}"#.into()).unwrap();
        assert_eq!(record.partition, Some(3));
        assert_eq!(record.headers.len(), 2);
        assert_eq!(reader(None, true).record(r#"{"value":"v"}"#.into()).unwrap().partition, Some(1));
    }
}
