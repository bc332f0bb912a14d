//! Java peers: Kafka's own client, driven over standard input and output (`real/java/Peer.java`), and Kafka's own tools.

use std::process::Stdio;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::time::timeout;

use crate::environment::variable;

/// No peer may take longer for one step than this.
const LIMIT: Duration = Duration::from_secs(120);

/// A record as a Java client sees it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct JavaRecord {
    pub topic: String,
    pub partition: Option<i32>,
    pub offset: i64,
    pub timestamp: Option<i64>,
    pub key: Option<Bytes>,
    pub value: Option<Bytes>,
    pub headers: Vec<(String, Option<Bytes>)>,
}

impl JavaRecord {
    /// Reads a line of `Peer`; `None` if it is not a record.
    pub fn parse(line: &str) -> Option<Self> {
        let json: Value = serde_json::from_str(line).ok()?;
        let bytes = |value: &Value| value.as_str().map(|text| Bytes::from(STANDARD.decode(text).expect("base64 from Java")));
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
        json!({"partition": self.partition, "timestamp": self.timestamp, "key": text(&self.key), "value": text(&self.value), "headers": headers})
            .to_string()
    }
}

/// A running Java peer.
#[derive(Debug)]
pub struct JavaPeer {
    child: Child,
    input: Option<ChildStdin>,
    lines: Lines<BufReader<ChildStdout>>,
}

impl JavaPeer {
    /// Starts `Peer` with these arguments.
    pub fn start(arguments: &[&str]) -> Self {
        let mut command = java("Peer");
        let mut child = command.args(arguments).kill_on_drop(true).spawn().expect("java can be started");
        let lines = BufReader::new(child.stdout.take().expect("its output is piped")).lines();
        Self { input: child.stdin.take(), lines, child }
    }

    /// The next line it prints; `None` when it has ended.
    pub async fn line(&mut self) -> Option<String> {
        timeout(LIMIT, self.lines.next_line())
            .await
            .expect("the Java peer says something within two minutes")
            .expect("its output is text")
    }

    /// Reads on until a line for which `wanted` gives something.
    pub async fn line_where<T>(&mut self, mut wanted: impl FnMut(&str) -> Option<T>) -> T {
        while let Some(line) = self.line().await {
            if let Some(found) = wanted(&line) {
                return found;
            }
        }
        panic!("the Java peer ended before it said what was waited for");
    }

    /// Writes a line to it.
    pub async fn say(&mut self, line: &str) {
        let input = self.input.as_mut().expect("its input is open");
        input.write_all(format!("{line}\n").as_bytes()).await.expect("the Java peer takes its input");
        input.flush().await.expect("the Java peer takes its input");
    }

    /// Closes its input and waits for its end; gives the lines it still printed.
    pub async fn end(mut self) -> Vec<String> {
        drop(self.input.take());
        let mut rest = Vec::new();
        while let Some(line) = self.line().await {
            rest.push(line);
        }
        let status = timeout(LIMIT, self.child.wait()).await.expect("the Java peer ends within two minutes").expect("its status");
        assert!(status.success(), "the Java peer failed: {status}");
        rest
    }
}

/// Everything in `topic`, read by Kafka's own consumer.
pub async fn java_read(bootstrap: &str, topic: &str, isolation: &str) -> Vec<JavaRecord> {
    let peer = JavaPeer::start(&["read", bootstrap, topic, isolation]);
    let lines = peer.end().await;
    lines.iter().map(|line| JavaRecord::parse(line).unwrap_or_else(|| panic!("not a record: {line}"))).collect()
}

/// Writes `records` with Kafka's own producer; gives partition and offset of each.
pub async fn java_write(bootstrap: &str, topic: &str, codec: &str, records: &[JavaRecord]) -> Vec<(i32, i64)> {
    let mut peer = JavaPeer::start(&["write", bootstrap, topic, codec]);
    for record in records {
        peer.say(&record.to_line()).await;
    }
    let lines = peer.end().await;
    assert_eq!(lines.len(), records.len(), "an answer for each record");
    let number = |json: &Value, key: &str| json[key].as_i64().expect("a number");
    let parsed = lines.iter().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
    parsed.map(|json| (i32::try_from(number(&json, "partition")).expect("a partition"), number(&json, "offset"))).collect()
}

/// Runs one of Kafka's own command-line classes, such as `org.apache.kafka.tools.TopicCommand`, and gives what it prints.
pub async fn kafka_tool(class: &str, arguments: &[&str], input: &str) -> String {
    let mut child = java(class).args(arguments).kill_on_drop(true).spawn().expect("java can be started");
    let mut stdin = child.stdin.take().expect("its input is piped");
    stdin.write_all(input.as_bytes()).await.expect("the tool takes its input");
    drop(stdin);
    let mut text = String::new();
    let mut stdout = child.stdout.take().expect("its output is piped");
    timeout(LIMIT, stdout.read_to_string(&mut text))
        .await
        .expect("the tool ends within two minutes")
        .expect("its output is text");
    let status = timeout(LIMIT, child.wait()).await.expect("the tool ends within two minutes").expect("its status");
    assert!(status.success(), "{class} {arguments:?} failed: {status}\n{text}");
    text
}

fn java(class: &str) -> Command {
    let mut command = Command::new("java");
    command.args(["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xmx256m", "-cp", &variable("KLAMM_CLASS_PATH"), class]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::inherit());
    command
}
