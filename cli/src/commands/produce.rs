//! `klamm produce`: a record for each line of input.

use std::io::IsTerminal as _;
use std::path::PathBuf;

use indicatif::{ProgressBar, ProgressStyle};
use klamm::producer::{Acks, Delivery, Producer};
use klamm::protocol::records::Compression;
use klamm::{Error, ErrorKind, Header, Record, Topic};
use serde_json::json;
use tokio::io::{AsyncBufReadExt as _, AsyncRead, BufReader, Lines};
use tokio::sync::mpsc;

use crate::exit::{Done, Failure};
use crate::options::Options;
use crate::output::Output;
use crate::record_json::record_from_json;
use crate::signals::Stop;

/// Records whose outcome has not been printed yet; the producer's own buffer is bounded by bytes.
const UNPRINTED: usize = 16_384;

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
    fn record(&self, line: String) -> Result<Record, String> {
        let mut record = if self.json {
            record_from_json(&self.topic, &line)?
        } else {
            let parts = self.key_separator.as_deref().and_then(|separator| line.split_once(separator));
            match parts {
                Some((key, value)) => Record::new(&self.topic).key(key.to_owned()).value(value.to_owned()),
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
        topic: Topic::from(arguments.topic.as_str()),
        partition: arguments.partition,
        key_separator: arguments.key_separator.filter(|separator| !separator.is_empty()),
        headers: arguments.headers.iter().map(header).collect::<Done<_>>()?,
        json: arguments.input == "json",
    };
    if let Some(why) = reader.topic.invalid() {
        return Err(Failure::usage(format!("topic {:?}: {why}", reader.topic.as_str())));
    }
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
    let client = options.connect().await?;
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
    let producer = builder.build()?;

    let (sender, receiver) = mpsc::channel(UNPRINTED);
    let printer = tokio::spawn(print(options.output(), receiver));
    let lines = BufReader::with_capacity(256 << 10, input).lines();
    let end = feed(&producer, &reader, lines, &sender, &bar, &mut stop).await;
    drop(sender);
    // Everything accepted is delivered or failed before the printer ends.
    producer.close().await?;
    bar.finish_and_clear();
    let printed = printer.await.map_err(|error| Failure::refused(format!("printing failed: {error}")))?;
    let (delivered, failed) = match printed {
        Ok(counts) => counts,
        Err((failure, (delivered, failed))) if failure.is_closed_pipe() => {
            eprintln!("{delivered} delivered, {failed} failed (standard output was closed: later records were not counted)");
            return Err(failure);
        }
        Err((failure, _)) => return Err(failure),
    };
    eprintln!("{delivered} delivered, {failed} failed");
    end?;
    if failed == 0 {
        Ok(())
    } else {
        Err(Failure::refused(format!("{failed} of {} records were not delivered", delivered + failed)))
    }
}

/// Hands every line to the producer.
async fn feed(
    producer: &Producer,
    reader: &LineReader,
    mut lines: Lines<BufReader<Box<dyn AsyncRead + Send + Unpin>>>,
    outcomes: &mpsc::Sender<Outcome>,
    bar: &ProgressBar,
    stop: &mut Stop,
) -> Done {
    loop {
        let line = tokio::select! {
            biased;
            () = stop.asked() => return Ok(()),
            line = lines.next_line() => line.map_err(|error| Failure::refused(format!("input: {error}")))?,
        };
        let Some(line) = line else { return Ok(()) };
        bar.inc(line.len() as u64 + 1);
        let (outcome, over) = match reader.record(line) {
            Err(why) => (Outcome::Malformed(why), false),
            Ok(record) => match producer.enqueue(record).await {
                Ok(delivery) => (Outcome::Sent(delivery), false),
                Err(error) => {
                    let error = Error::from(error);
                    // What fails for every further line in the same way ends the input.
                    let over = error.is_fatal()
                        || matches!(error.kind(), ErrorKind::UnknownTopic | ErrorKind::Authorization | ErrorKind::Authentication);
                    (Outcome::Failed(error), over)
                }
            },
        };
        // The printer is gone only when standard output is.
        if outcomes.send(outcome).await.is_err() || over {
            return Ok(());
        }
    }
}

/// Delivered and failed.
type Counts = (u64, u64);

/// Prints outcomes in order until there are no more.
async fn print(mut output: Output, mut outcomes: mpsc::Receiver<Outcome>) -> Result<Counts, (Failure, Counts)> {
    let (mut delivered, mut failed, mut line) = (0, 0, 0_u64);
    loop {
        let outcome = match outcomes.try_recv() {
            Ok(outcome) => outcome,
            Err(_) => {
                // Nothing to print at the moment: what was printed is shown before waiting.
                output.flush().map_err(|failure| (failure, (delivered, failed)))?;
                match outcomes.recv().await {
                    Some(outcome) => outcome,
                    None => return Ok((delivered, failed)),
                }
            }
        };
        line += 1;
        let result = match outcome {
            Outcome::Sent(delivery) => delivery.await.map_err(|error| (error.to_string(), error.is_possibly_written())),
            Outcome::Failed(error) => Err((error.to_string(), error.is_possibly_written())),
            Outcome::Malformed(why) => Err((why, false)),
        };
        let printed = match result {
            Ok(at) => {
                delivered += 1;
                if !output.is_json() {
                    continue;
                }
                output.line(&json!({"topic": at.topic.as_str(), "partition": at.partition, "offset": at.offset, "timestamp": at.timestamp}))
            }
            Err((error, possibly_written)) => {
                failed += 1;
                if output.is_json() {
                    output.line(&json!({"error": error, "possibly_written": possibly_written, "line": line}))
                } else {
                    eprintln!("klamm: line {line}: {error}");
                    Ok(())
                }
            }
        };
        printed.map_err(|failure| (failure, (delivered, failed)))?;
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
        let record = reader(Some(":"), false).record("k:v:w".to_owned()).unwrap();
        assert_eq!((record.key.as_deref(), record.value.as_deref()), (Some(&b"k"[..]), Some(&b"v:w"[..])));
        let record = reader(Some(":"), false).record("whole".to_owned()).unwrap();
        assert_eq!((record.key, record.value.as_deref()), (None, Some(&b"whole"[..])));
    }

    #[test]
    fn an_object_may_choose_its_own_partition_and_headers_are_added() {
        let record = reader(None, true).record(r#"{"value":"v","partition":3,"headers":{"b":"2"}}"#.to_owned()).unwrap();
        assert_eq!(record.partition, Some(3));
        assert_eq!(record.headers.len(), 2);
        assert_eq!(reader(None, true).record(r#"{"value":"v"}"#.to_owned()).unwrap().partition, Some(1));
    }
}
