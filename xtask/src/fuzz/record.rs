//! `cargo xtask fuzz record`: what Java's clients and Kafka say to each other, as seeds.
//!
//! A broker from the jars says that it is where a proxy listens; Kafka's own tools talk to it through the proxy, which notes every
//! frame. `klamm-properties` makes seeds of them: it knows the protocol, and keeps one or two of each kind and version.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;

use super::{root, seeds};
use crate::kafka::{self, Cluster, VERSION};
use crate::{prerequisites, process};

/// Tools of Kafka with their arguments, and what they read.
const TOOLS: &[(&str, &str, &str)] = &[
    ("TopicCommand", "--create --topic seeds --partitions 2 --config retention.ms=100000", ""),
    ("TopicCommand", "--create --topic other --partitions 1", ""),
    (
        "ConsoleProducer",
        "--topic seeds --compression-codec none --property parse.key=true --property parse.headers=true",
        "h:1,g:2\tk\tv\nh:3\tl\tw\n",
    ),
    ("ConsoleProducer", "--topic seeds --compression-codec gzip", "one one one one one one\ntwo\n"),
    ("ConsoleProducer", "--topic seeds --compression-codec snappy", "one one one one one one\ntwo\n"),
    ("ConsoleProducer", "--topic seeds --compression-codec lz4", "one one one one one one\ntwo\n"),
    ("ConsoleProducer", "--topic seeds --compression-codec zstd", "one one one one one one\ntwo\n"),
    ("ConsoleProducer", "--topic seeds --request-required-acks 0 --producer-property enable.idempotence=false", "lost\n"),
    (
        "ProducerPerformance",
        "--topic seeds --num-records 20 --record-size 20 --throughput -1 --transactional-id id --transaction-duration-ms 50",
        "",
    ),
    (
        "consumer.ConsoleConsumer",
        "--topic seeds --from-beginning --max-messages 10 --timeout-ms 15000 --group classic --isolation-level read_committed",
        "",
    ),
    (
        "consumer.ConsoleConsumer",
        "--topic other --timeout-ms 6000 --group sticky --consumer-property partition.assignment.strategy=org.apache.kafka.clients.consumer.CooperativeStickyAssignor --consumer-property group.instance.id=instance --consumer-property client.rack=rack",
        "",
    ),
    (
        "consumer.ConsoleConsumer",
        "--topic seeds --from-beginning --max-messages 10 --timeout-ms 15000 --group modern --consumer-property group.protocol=consumer",
        "",
    ),
    ("consumer.group.ConsumerGroupCommand", "--describe --all-groups --state", ""),
    ("consumer.group.ConsumerGroupCommand", "--describe --group classic --members --verbose", ""),
    ("consumer.group.ConsumerGroupCommand", "--reset-offsets --to-earliest --group classic --topic seeds --execute", ""),
    ("consumer.group.ConsumerGroupCommand", "--delete-offsets --group classic --topic seeds", ""),
    ("consumer.group.ConsumerGroupCommand", "--delete --group classic", ""),
    ("GetOffsetShell", "--topic-partitions seeds", ""),
    ("TopicCommand", "--alter --topic seeds --partitions 3", ""),
    ("TopicCommand", "--describe", ""),
    ("LogDirsCommand", "--describe", ""),
    ("TransactionsCommand", "list", ""),
    ("TransactionsCommand", "describe-producers --topic seeds --partition 0", ""),
    ("FeatureCommand", "describe", ""),
    ("ClusterTool", "cluster-id", ""),
    ("ClusterTool", "list-endpoints", ""),
    ("ClientMetricsCommand", "--list", ""),
    ("GroupsCommand", "--list", ""),
    ("TopicCommand", "--delete --topic seeds", ""),
];

/// A tool of another package.
const CONFIG_COMMAND: &[&str] = &[
    "--entity-type topics --entity-name seeds --alter --add-config max.message.bytes=10000",
    "--entity-type topics --entity-name seeds --describe --all",
    "--entity-type clients --entity-name someone --alter --add-config consumer_byte_rate=10000",
    "--entity-type clients --entity-default --describe",
    "--entity-type users --entity-name alice --alter --add-config SCRAM-SHA-256=[iterations=4096,password=pencil]",
    "--entity-type users --describe",
];

/// What passed the proxy: `request NAME HEX` and `response NAME HEX`, where the name of both is API-VERSION.
type Notes = Arc<Mutex<Vec<String>>>;

/// Records anew and makes the seeds.
pub(super) fn run() -> Result<(), String> {
    prerequisites::check()?;
    let class_path = kafka::class_path(&kafka::fetch(VERSION)?)?;
    let cluster = Cluster::start(VERSION, 1, &process::target().join("kafka").join("recorded"))?;
    let (advertised, notes) = (cluster.advertised(), Notes::default());
    let listener = TcpListener::bind(&advertised).map_err(|error| format!("{advertised}: {error}"))?;
    let (behind, kept) = (cluster.proxied(), notes.clone());
    // It ends with this process.
    thread::spawn(move || {
        for client in listener.incoming().flatten() {
            if let Ok(broker) = TcpStream::connect(&behind) {
                forward(client, broker, &kept);
            }
        }
    });
    let tools = TOOLS.iter().map(|(class, arguments, input)| (format!("org.apache.kafka.tools.{class}"), *arguments, *input));
    let configs = CONFIG_COMMAND.iter().map(|arguments| ("kafka.admin.ConfigCommand".to_owned(), *arguments, ""));
    let (last, tools) = (TOOLS.len() - 1, tools.collect::<Vec<_>>());
    let all = tools[..last].iter().cloned().chain(configs).chain(tools[last..].iter().cloned());
    for (class, arguments, input) in all {
        if let Err(why) = tool(&class_path, &class, &advertised, arguments, input) {
            // What it said on its way is of use all the same.
            eprintln!("{class} {arguments}: {why}");
        }
    }
    drop(cluster);
    let mut text = String::new();
    for line in notes.lock().map_err(|_| "a thread panicked")?.iter() {
        let _ = writeln!(text, "{line}");
    }
    let path = root().join("target").join("recorded.txt");
    std::fs::write(&path, text).map_err(|error| format!("{}: {error}", path.display()))?;
    process::run(process::cargo(&["run", "--package", "klamm-properties", "--bin", "make-seeds", "--"]).arg(&path))
}

fn tool(class_path: &str, class: &str, bootstrap: &str, arguments: &str, input: &str) -> Result<(), String> {
    eprintln!("{class} {arguments}");
    let mut java = Command::new("java");
    java.args(["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xmx256m", "-cp", class_path, class]);
    match class.rsplit('.').next() {
        Some("ProducerPerformance") => java.arg("--producer-props").arg(format!("bootstrap.servers={bootstrap}")),
        // Its command comes first.
        Some("ClusterTool") => return finish(java.args([arguments, "--bootstrap-server", bootstrap]), input),
        _ => java.args(["--bootstrap-server", bootstrap]),
    };
    finish(java.args(arguments.split_whitespace()), input)
}

fn finish(java: &mut Command, input: &str) -> Result<(), String> {
    java.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = java.spawn().map_err(|error| error.to_string())?;
    let mut stdin = child.stdin.take().ok_or("no standard input")?;
    // A tool that reads nothing may be gone by now.
    let _ = stdin.write_all(input.as_bytes());
    drop(stdin);
    let status = child.wait().map_err(|error| error.to_string())?;
    if status.success() { Ok(()) } else { Err(status.to_string()) }
}

/// API, version and correlation id of requests that are not answered.
type Asked = Arc<Mutex<VecDeque<(String, [u8; 4])>>>;

/// Passes frames on in both directions and notes them.
fn forward(client: TcpStream, broker: TcpStream, notes: &Notes) {
    let (Ok(from_client), Ok(from_broker)) = (client.try_clone(), broker.try_clone()) else { return };
    let (asked, notes, notes_too) = (Asked::default(), notes.clone(), notes.clone());
    let answered = asked.clone();
    thread::spawn(move || {
        pass(from_client, broker, |frame| {
            let Some(head) = frame.first_chunk::<8>() else { return };
            let name = format!("{}-{}", i16::from_be_bytes([head[0], head[1]]), i16::from_be_bytes([head[2], head[3]]));
            note(&notes, "request", &name, frame);
            let id = [head[4], head[5], head[6], head[7]];
            asked.lock().map_or_else(|_| (), |mut asked| asked.push_back((name, id)));
        });
    });
    thread::spawn(move || {
        pass(from_broker, client, |frame| {
            let Some(head) = frame.first_chunk::<4>() else { return };
            let Ok(mut answered) = answered.lock() else { return };
            // Requests without an answer are passed over.
            let Some(at) = answered.iter().position(|(_, id)| id == head) else { return };
            let Some((name, _)) = answered.drain(..=at).next_back() else { return };
            note(&notes_too, "response", &name, frame);
        });
    });
}

fn note(notes: &Notes, what: &str, name: &str, frame: &[u8]) {
    let line = seeds::line(&format!("{what} {name}"), frame);
    notes.lock().map_or_else(|_| (), |mut notes| notes.push(line));
}

/// Frames from one side to the other until either ends.
fn pass(mut from: TcpStream, mut to: TcpStream, mut seen: impl FnMut(&[u8])) {
    let mut length = [0; 4];
    while from.read_exact(&mut length).is_ok() {
        let mut frame = vec![0; u32::from_be_bytes(length) as usize];
        if from.read_exact(&mut frame).is_err() {
            break;
        }
        seen(&frame);
        if to.write_all(&[&length[..], &frame].concat()).is_err() {
            break;
        }
    }
    let _ = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
}
