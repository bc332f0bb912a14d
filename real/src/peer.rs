//! Clients of other makers, driven over standard input and output. Each is a small program with the same commands and lines:
//! `real/java/Peer.java`, `real/librdkafka/peer.py`, `real/franz/main.go`.

use std::fmt;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::time::timeout;

use crate::environment::variable;
use crate::java::java;

/// No peer may take longer for one step than this.
const LIMIT: Duration = Duration::from_secs(120);

/// A client that is not klamm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum OtherClient {
    Java,
    Librdkafka,
    FranzGo,
}

impl fmt::Display for OtherClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Java => "Java",
            Self::Librdkafka => "librdkafka",
            Self::FranzGo => "franz-go",
        })
    }
}

impl OtherClient {
    fn command(self) -> Command {
        match self {
            Self::Java => java("Peer"),
            Self::Librdkafka => {
                let mut command = Command::new(variable("KLAMM_PYTHON"));
                command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("librdkafka").join("peer.py"));
                command
            }
            Self::FranzGo => Command::new(variable("KLAMM_FRANZ_GO")),
        }
    }

    /// Everything in `topics`, as it reads it.
    pub async fn read(self, bootstrap: &str, topics: &[&str], isolation: &str) -> Vec<PeerRecord> {
        let lines = Peer::start(self, &["read", bootstrap, &topics.join(","), isolation]).end().await;
        lines.iter().map(|line| PeerRecord::parse(line).unwrap_or_else(|| panic!("not a record: {line}"))).collect()
    }

    /// Has it write `records`, to `topic` where they don't name another; gives partition and offset of each. Of several codecs,
    /// comma-separated, records of partition N are written with the Nth.
    pub async fn write(self, bootstrap: &str, topic: &str, codecs: &str, records: &[PeerRecord]) -> Vec<(i32, i64)> {
        let mut peer = Peer::start(self, &["write", bootstrap, topic, codecs]);
        for record in records {
            peer.say(&record.to_line()).await;
        }
        let lines = peer.end().await;
        assert_eq!(lines.len(), records.len(), "{self}: an answer for each record");
        let number = |json: &Value, key: &str| json[key].as_i64().expect("a number");
        let parsed = lines.iter().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
        parsed.map(|json| (i32::try_from(number(&json, "partition")).expect("a partition"), number(&json, "offset"))).collect()
    }

    /// Its version.
    pub async fn version(self) -> String {
        Peer::start(self, &["version"]).end().await.concat()
    }
}

/// A record as another client sees it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct PeerRecord {
    pub topic: String,
    pub partition: Option<i32>,
    pub offset: i64,
    pub timestamp: Option<i64>,
    pub key: Option<Bytes>,
    pub value: Option<Bytes>,
    pub headers: Vec<(String, Option<Bytes>)>,
}

impl PeerRecord {
    /// Reads a line of a peer; `None` if it is not a record.
    pub fn parse(line: &str) -> Option<Self> {
        let json: Value = serde_json::from_str(line).ok()?;
        let bytes = |value: &Value| value.as_str().map(|text| Bytes::from(STANDARD.decode(text).expect("base64 from a peer")));
        let headers = json["headers"].as_array()?.iter();
        Some(Self {
            topic: json["topic"].as_str()?.to_owned(),
            partition: json["partition"].as_i64().and_then(|number| number.try_into().ok()),
            offset: json["offset"].as_i64()?,
            timestamp: json["timestamp"].as_i64(),
            key: bytes(&json["key"]),
            value: bytes(&json["value"]),
            headers: headers.map(|header| (header[0].as_str().unwrap_or_default().to_owned(), bytes(&header[1]))).collect(),
        })
    }

    fn to_line(&self) -> String {
        let text = |bytes: &Option<Bytes>| bytes.as_ref().map(|bytes| STANDARD.encode(bytes));
        let headers: Vec<_> = self.headers.iter().map(|(name, value)| json!([name, text(value)])).collect();
        let (key, value) = (text(&self.key), text(&self.value));
        json!({
            "topic": self.topic, "partition": self.partition, "timestamp": self.timestamp,
            "key": key, "value": value, "headers": headers,
        })
        .to_string()
    }
}

/// A running peer.
#[derive(Debug)]
pub struct Peer {
    client: OtherClient,
    child: Child,
    input: Option<ChildStdin>,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Peer {
    /// Starts a client's peer with these arguments.
    pub fn start(client: OtherClient, arguments: &[&str]) -> Self {
        let mut command = client.command();
        command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::inherit()).kill_on_drop(true);
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{client}'s peer can't be started: {error}"));
        let lines = BufReader::new(child.stdout.take().expect("its output is piped")).lines();
        Self { client, input: child.stdin.take(), lines, child }
    }

    /// The next line it prints; `None` when it has ended.
    pub async fn line(&mut self) -> Option<String> {
        let line = timeout(LIMIT, self.lines.next_line()).await;
        line.unwrap_or_else(|_| panic!("{}'s peer says nothing within {LIMIT:?}", self.client)).expect("its output is text")
    }

    /// Reads on until a line for which `wanted` gives something.
    pub async fn line_where<T>(&mut self, mut wanted: impl FnMut(&str) -> Option<T>) -> T {
        while let Some(line) = self.line().await {
            if let Some(found) = wanted(&line) {
                return found;
            }
        }
        panic!("{}'s peer ended before it said what was waited for", self.client);
    }

    /// Writes a line to it.
    pub async fn say(&mut self, line: &str) {
        let input = self.input.as_mut().expect("its input is open");
        input.write_all(format!("{line}\n").as_bytes()).await.expect("the peer takes its input");
        input.flush().await.expect("the peer takes its input");
    }

    /// Has it carry out a command, and waits until it says that it is done.
    pub async fn done(&mut self, command: &str) {
        self.say(command).await;
        self.line_where(|said| (said == format!("done {command}")).then_some(())).await;
    }

    /// Closes its input and waits for its end; gives the lines it still printed.
    pub async fn end(mut self) -> Vec<String> {
        drop(self.input.take());
        let mut rest = Vec::new();
        while let Some(line) = self.line().await {
            rest.push(line);
        }
        let status = timeout(LIMIT, self.child.wait()).await;
        let status = status.unwrap_or_else(|_| panic!("{}'s peer does not end within {LIMIT:?}", self.client)).expect("a status");
        assert!(status.success(), "{}'s peer failed: {status}", self.client);
        rest
    }
}
