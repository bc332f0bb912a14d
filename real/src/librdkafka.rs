//! librdkafka, the C client, as kcat has it (Debian's package `kcat`, which is of another version than the peer's wheel); where that
//! is not installed, the peer `real/librdkafka/peer.py` stands in. Which one is used is said in the output, once.
//!
//! Both speak the same lines: places, times and sizes as text, then the bytes themselves, so that a null key differs from an empty one.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::OnceLock;
use std::time::Duration;

use bytes::Bytes;
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::Command;
use tokio::time::timeout;

use crate::environment::variable;
use crate::peer::PeerRecord;

const LIMIT: Duration = Duration::from_secs(60);

/// What is here.
#[derive(Debug)]
enum Peer {
    Kcat,
    Python(PathBuf),
}

/// Finds it, once.
fn peer() -> &'static Peer {
    static PEER: OnceLock<Peer> = OnceLock::new();
    PEER.get_or_init(|| {
        let (peer, name) = if runs("kcat", &["-V"]) {
            (Peer::Kcat, "kcat")
        } else {
            (Peer::Python(variable("KLAMM_PYTHON").into()), "the Python wheel confluent-kafka, since kcat is not installed")
        };
        // Not `println!`, which is shown of failed tests only.
        let _ = writeln!(std::io::stderr(), "librdkafka: {name}");
        peer
    })
}

fn runs(program: impl AsRef<std::ffi::OsStr>, arguments: &[&str]) -> bool {
    let mut command = std::process::Command::new(program);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// The command for `consume BOOTSTRAP TOPIC` or `produce BOOTSTRAP TOPIC PARTITION PARTITIONER CODEC`.
fn command(kcat: &[&str], python: &[&str]) -> Command {
    let mut command = match peer() {
        Peer::Kcat => {
            let mut command = Command::new("kcat");
            command.args(kcat);
            command
        }
        Peer::Python(program) => {
            let mut command = Command::new(program);
            command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("librdkafka").join("peer.py")).args(python);
            command
        }
    };
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::inherit()).kill_on_drop(true);
    command
}

async fn run(mut command: Command, input: &[u8]) -> Bytes {
    let mut child = command.spawn().expect("librdkafka's peer can be started");
    let mut stdin = child.stdin.take().expect("its input is piped");
    let mut stdout = child.stdout.take().expect("its output is piped");
    let mut output = Vec::new();
    let both = async {
        let write = async {
            stdin.write_all(input).await.expect("librdkafka's peer takes its input");
            drop(stdin);
        };
        let (read, ()) = tokio::join!(stdout.read_to_end(&mut output), write);
        read.expect("its output can be read");
        child.wait().await.expect("its status")
    };
    let status = timeout(LIMIT, both).await.expect("librdkafka's peer ends within a minute");
    assert!(status.success(), "librdkafka's peer failed: {status}");
    output.into()
}

/// Everything in `topic`, read by librdkafka. Header values are text here, and never null.
pub async fn librdkafka_read(bootstrap: &str, topic: &str) -> Vec<PeerRecord> {
    let format = "%p %o %T %K %S %h\n%k%s\n";
    let kcat = ["-b", bootstrap, "-C", "-t", topic, "-o", "beginning", "-e", "-q", "-f", format, "-X", "check.crcs=true"];
    let mut left = run(command(&kcat, &["consume", bootstrap, topic]), b"").await;
    let mut records = Vec::new();
    while !left.is_empty() {
        let end = left.iter().position(|byte| *byte == b'\n').expect("a line of numbers");
        let line = left.split_to(end + 1);
        let line = std::str::from_utf8(&line[..end]).expect("numbers and headers are text").to_owned();
        let mut words = line.splitn(6, ' ');
        let mut number =
            || words.next().and_then(|word| word.parse::<i64>().ok()).unwrap_or_else(|| panic!("a number in {line}"));
        let (partition, offset, timestamp, key, value) = (number(), number(), number(), number(), number());
        let mut take = |size: i64| usize::try_from(size).ok().map(|size| left.split_to(size));
        let (key, value) = (take(key), take(value));
        assert_eq!(&left.split_to(1)[..], b"\n", "after {line}");
        let pairs = words.next().unwrap_or_default().split(',').filter_map(|pair| pair.split_once('='));
        records.push(PeerRecord {
            topic: topic.to_owned(),
            partition: i32::try_from(partition).ok(),
            offset,
            timestamp: Some(timestamp),
            key,
            value,
            headers: pairs.map(|(name, value)| (name.to_owned(), Some(Bytes::copy_from_slice(value.as_bytes())))).collect(),
        });
    }
    records
}

/// The cluster as librdkafka sees it: `broker ID` and `topic NAME PARTITIONS`, sorted.
pub async fn librdkafka_metadata(bootstrap: &str) -> Vec<String> {
    let said = run(command(&["-b", bootstrap, "-L", "-J"], &["metadata", bootstrap]), b"").await;
    let text = String::from_utf8(said.to_vec()).expect("text");
    let Peer::Kcat = peer() else { return text.lines().map(str::to_owned).collect() };
    let json: Value = serde_json::from_str(&text).expect("JSON from kcat");
    let list = |name: &str| json[name].as_array().expect("an array").clone();
    let brokers = list("brokers").into_iter().map(|broker| format!("broker {}", broker["id"]));
    let topic = |topic: &Value| {
        let partitions = topic["partitions"].as_array().map_or(0, Vec::len);
        format!("topic {} {partitions}", topic["topic"].as_str().unwrap_or_default())
    };
    let mut lines: Vec<_> = brokers.chain(list("topics").iter().map(topic)).collect();
    lines.sort();
    lines
}

/// The values of `topic`, as a member of `group` gets them; what it read is committed.
pub async fn librdkafka_group_read(bootstrap: &str, group: &str, topic: &str) -> Vec<String> {
    let earliest = "auto.offset.reset=earliest";
    let kcat = ["-b", bootstrap, "-G", group, "-X", earliest, "-e", "-q", "-f", "%s\n", topic];
    let said = run(command(&kcat, &["group", bootstrap, group, topic]), b"").await;
    String::from_utf8(said.to_vec()).expect("text").lines().map(str::to_owned).collect()
}

/// Where librdkafka puts a record.
#[derive(Clone, Copy, Debug)]
pub enum Destination<'a> {
    /// Into this partition.
    Partition(i32),
    /// Where this partitioner of its own says.
    By(&'a str),
}

/// Writes records with librdkafka: keys and values as lines, without colons and line ends; every record gets the same headers.
pub async fn librdkafka_write(
    bootstrap: &str,
    topic: &str,
    destination: Destination<'_>,
    codec: &str,
    headers: &[(&str, &str)],
    records: &[(String, String)],
) {
    let (partition, partitioner) = match destination {
        Destination::Partition(partition) => (partition.to_string(), "consistent_random"),
        Destination::By(partitioner) => ("-1".to_owned(), partitioner),
    };
    let setting = format!("topic.partitioner={partitioner}");
    let headers: Vec<String> = headers.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let mut kcat = vec!["-b", bootstrap, "-P", "-t", topic, "-p", &partition, "-K", ":", "-z", codec, "-X", "linger.ms=50"];
    kcat.extend(["-X", &setting]);
    let mut python = vec!["produce", bootstrap, topic, &partition, partitioner, codec];
    for header in &headers {
        kcat.extend(["-H", header]);
        python.push(header);
    }
    let input: String = records.iter().map(|(key, value)| format!("{key}:{value}\n")).collect();
    run(command(&kcat, &python), input.as_bytes()).await;
}
