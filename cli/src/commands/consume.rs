//! `klamm consume`: records to standard output, alone or as a member of a group.

mod alone;
mod group;

use std::str::FromStr;

use klamm::consumer::TopicPattern;
use klamm::{Client, Topic};

use crate::commands::topic;
use crate::exit::{Done, Failure};
use crate::format::Format;
use crate::options::Options;
use crate::output::Output;
use crate::record_json::message_to_json;
use crate::signals::Stop;

#[derive(clap::Args, Debug)]
pub(crate) struct Arguments {
    /// The topics to read; with --regex what their names are like
    #[arg(required = true)]
    topics: Vec<String>,
    /// Be a member of this group: partitions are shared, and what was printed is committed
    #[arg(long, value_name = "G")]
    group: Option<String>,
    /// Only this partition, repeatable
    #[arg(long = "partition", value_name = "N")]
    partitions: Vec<i32>,
    /// Where to begin: beginning, end, an offset, -N from the end, or @MILLISECONDS. With --group only beginning or end: where to
    /// begin in partitions without a committed offset
    #[arg(long, allow_hyphen_values = true)]
    offset: Option<Start>,
    /// End after so many records
    #[arg(long, value_name = "N")]
    count: Option<u64>,
    /// End where the partitions end now
    #[arg(long)]
    exit_at_end: bool,
    /// A line for each record, as kcat: %t %p %o %k %s %h %T %S %K
    #[arg(short, long)]
    format: Option<Format>,
    /// Which records of transactions to show
    #[arg(long, value_parser = ["read_committed", "read_uncommitted"])]
    isolation: Option<String>,
    /// The group protocol
    #[arg(long, value_parser = ["classic", "consumer"])]
    protocol: Option<String>,
    /// TOPIC is a regular expression, found anywhere in the name: '^orders\.'. With --group topics that come later are found, too
    #[arg(long)]
    regex: bool,
}

/// Where to begin in a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Start {
    Beginning,
    End,
    Offset(i64),
    BeforeEnd(i64),
    Time(i64),
}

impl FromStr for Start {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number = |text: &str| text.parse::<i64>().ok().filter(|number| *number >= 0);
        let start = match text {
            "beginning" | "earliest" => Some(Self::Beginning),
            "end" | "latest" => Some(Self::End),
            _ => match (text.strip_prefix('@'), text.strip_prefix('-')) {
                (Some(time), _) => number(time).map(Self::Time),
                (_, Some(back)) => number(back).map(Self::BeforeEnd),
                _ => number(text).map(Self::Offset),
            },
        };
        start.ok_or_else(|| "must be beginning, end, an offset, -N from the end, or @MILLISECONDS".to_owned())
    }
}

/// Reads until stopped, or until the end that was asked for.
pub(crate) async fn run(options: &Options, arguments: Arguments, stop: Stop) -> Done {
    if arguments.protocol.as_deref() == Some("consumer") {
        return Err(Failure::not_built_yet("--protocol consumer"));
    }
    for name in &arguments.topics {
        if arguments.regex {
            TopicPattern::new(name)?;
        } else {
            topic(name)?;
        }
    }
    match &arguments.group {
        Some(group) => {
            if !arguments.partitions.is_empty() {
                return Err(Failure::usage(
                    "--partition and --group exclude each other: a group gives out the partitions itself",
                ));
            }
            if let Some(Start::Offset(_) | Start::BeforeEnd(_) | Start::Time(_)) = arguments.offset {
                return Err(Failure::usage(
                    "--offset with --group can only be beginning or end: a group goes on from what it committed",
                ));
            }
            group::run(options, &arguments, group, stop).await
        }
        None => alone::run(options, &arguments, stop).await,
    }
}

/// The topics to read: those named, or those that match now.
async fn topics(options: &Options, arguments: &Arguments, client: &Client) -> Done<Vec<Topic>> {
    if !arguments.regex {
        return Ok(arguments.topics.iter().map(|topic| Topic::from(topic.as_str())).collect());
    }
    let patterns = arguments.topics.iter().map(|pattern| TopicPattern::new(pattern)).collect::<klamm::Result<Vec<_>>>()?;
    let listed = options.within("listing topics", client.admin().list_topics()).await?;
    let matches = |name: &Topic| patterns.iter().any(|pattern| pattern.matches(name.as_str()));
    let found: Vec<Topic> = listed.into_iter().filter(|topic| !topic.internal).map(|topic| topic.name).filter(matches).collect();
    if found.is_empty() {
        return Err(Failure::refused(format!("no topic matches {}: `klamm topics list` shows all", arguments.topics.join(", "))));
    }
    Ok(found)
}

/// Prints records in the form asked for.
struct Printer {
    output: Output,
    format: Option<Format>,
    line: Vec<u8>,
    left: Option<u64>,
}

impl Printer {
    fn new(options: &Options, arguments: &Arguments) -> Self {
        Self { output: options.output(), format: arguments.format.clone(), line: Vec::new(), left: arguments.count }
    }

    /// Were as many printed as asked for?
    fn is_done(&self) -> bool {
        self.left == Some(0)
    }

    fn print(&mut self, message: &klamm::Message) -> Done {
        self.line.clear();
        if self.output.is_json() {
            self.line.extend_from_slice(message_to_json(message).to_string().as_bytes());
            self.line.push(b'\n');
        } else if let Some(format) = &self.format {
            format.write(message, &mut self.line);
            if self.line.last() != Some(&b'\n') {
                self.line.push(b'\n');
            }
        } else {
            self.line.extend_from_slice(message.value.as_deref().unwrap_or_default());
            self.line.push(b'\n');
        }
        self.left = self.left.map(|left| left.saturating_sub(1));
        self.output.bytes(&self.line)
    }

    fn flush(&mut self) -> Done {
        self.output.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::Start;

    #[test]
    fn places_to_begin_are_read() {
        let cases = [
            ("beginning", Start::Beginning),
            ("end", Start::End),
            ("17", Start::Offset(17)),
            ("-5", Start::BeforeEnd(5)),
            ("@1600000000000", Start::Time(1_600_000_000_000)),
        ];
        for (text, start) in cases {
            assert_eq!(text.parse(), Ok(start));
        }
        for wrong in ["", "x", "--5", "@", "@-1", "1.5"] {
            assert!(wrong.parse::<Start>().is_err(), "{wrong}");
        }
    }
}
