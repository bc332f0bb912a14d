//! Nodes (broker and controller in one) of versions with KRaft: their settings and folders, formatted and started.

use std::fs;
use std::net::TcpListener;
use std::path::Path;

use super::java::Java;

/// What every node is told beside its own settings: few partitions for internal topics and short times, so that tests need not wait.
pub(super) const SETTINGS: &str = "\
offsets.topic.num.partitions=4
transaction.state.log.num.partitions=4
share.coordinator.state.topic.num.partitions=4
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
group.consumer.min.session.timeout.ms=1000
group.consumer.min.heartbeat.interval.ms=100
group.consumer.heartbeat.interval.ms=500
broker.session.timeout.ms=3000
broker.heartbeat.interval.ms=500
log.segment.delete.delay.ms=1000
log.retention.check.interval.ms=1000
log.initial.task.delay.ms=500
";

/// What internal topics need to exist at all with so many replicas, of which so many must be in sync.
pub(super) fn replication(replicas: u16, in_sync: u16) -> String {
    let topics = ["offsets.topic", "transaction.state.log", "share.coordinator.state.topic"];
    let factors = topics.map(|topic| format!("{topic}.replication.factor={replicas}\n")).concat();
    let minima = topics.iter().skip(1).map(|topic| format!("{topic}.min.isr={in_sync}\n")).collect::<String>();
    format!("{factors}{minima}default.replication.factor={replicas}\nmin.insync.replicas={in_sync}\n")
}

/// One node that is to be started.
#[derive(Debug)]
pub(super) struct Node {
    /// From 1; also its id.
    pub(super) number: u16,
    /// All its settings.
    pub(super) settings: String,
    /// Further words for formatting its folder, such as users that exist from the start.
    pub(super) format: Vec<String>,
}

/// Formats and starts `nodes`, whose files are in `folder`, and waits until all serve.
pub(super) fn start(java: &Java, folder: &Path, nodes: &[Node]) -> Result<(), String> {
    let settings = |node: &Node| folder.join(format!("node-{}.properties", node.number));
    for node in nodes {
        let path = settings(node);
        fs::write(&path, &node.settings).map_err(|error| format!("{}: {error}", path.display()))?;
    }
    std::thread::scope(|scope| {
        let format = |node: &Node| {
            let path = settings(node).display().to_string();
            let mut words = vec!["format", "-t", "AAAAAAAAAAAAAAAAAAAAAQ", "-c", &path];
            words.extend(node.format.iter().map(String::as_str));
            java.run("kafka.tools.StorageTool", &words)
        };
        let formats: Vec<_> = nodes.iter().map(|node| scope.spawn(move || format(node))).collect();
        formats.into_iter().try_for_each(|format| match format.join() {
            Ok(result) => result.map(drop),
            Err(_) => Err("formatting a node's folder panicked".to_owned()),
        })
    })?;
    let name = |node: &Node| format!("node-{}", node.number);
    for node in nodes {
        java.spawn(&name(node), "kafka.Kafka", &settings(node))?;
    }
    nodes.iter().try_for_each(|node| java.wait(&name(node), &["Kafka Server started"]))
}

/// First of `count` ports in a row: the lowest block that is free now.
pub(super) fn free_ports(count: u16) -> Result<u16, String> {
    let free = |port: u16| TcpListener::bind(("127.0.0.1", port)).is_ok();
    (19_092..30_000)
        .step_by(usize::from(count.max(12)))
        .find(|first| (*first..first + count).all(free))
        .ok_or_else(|| "no free ports between 19092 and 30000 on 127.0.0.1".to_owned())
}
