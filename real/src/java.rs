//! Java: where its peer comes from, shorter words for the many tests that ask only it, and Kafka's own tools.

use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::Command;
use tokio::time::timeout;

use crate::environment::variable;
use crate::peer::{OtherClient, PeerRecord};

const LIMIT: Duration = Duration::from_secs(120);

/// Everything in `topic`, read by Kafka's own consumer.
pub async fn java_read(bootstrap: &str, topic: &str, isolation: &str) -> Vec<PeerRecord> {
    OtherClient::Java.read(bootstrap, &[topic], isolation).await
}

/// Writes `records` with Kafka's own producer; gives partition and offset of each.
pub async fn java_write(bootstrap: &str, topic: &str, codec: &str, records: &[PeerRecord]) -> Vec<(i32, i64)> {
    OtherClient::Java.write(bootstrap, topic, codec, records).await
}

/// Runs one of Kafka's own command-line classes, such as `org.apache.kafka.tools.TopicCommand`, and gives what it prints.
pub async fn kafka_tool(class: &str, arguments: &[&str], input: &str) -> String {
    let mut tool = java(class);
    tool.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::inherit()).kill_on_drop(true);
    let mut child = tool.spawn().expect("java can be started");
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

/// Java with Kafka's jars and the peer, made to start fast.
pub(crate) fn java(class: &str) -> Command {
    let mut command = Command::new("java");
    command.args(["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xmx256m", "-cp", &variable("KLAMM_CLASS_PATH"), class]);
    command
}
