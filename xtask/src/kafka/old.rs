//! One node of a version that keeps its metadata in ZooKeeper (before Kafka 3.3), and the ZooKeeper beside it, from the same jars.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use super::java::Java;

/// Starts both; the node listens on `port`, its second listener on the port behind it, ZooKeeper on `zookeeper`.
pub(super) fn start(java: &Java, folder: &Path, port: u16, zookeeper: u16) -> Result<(), String> {
    let failed = |error: std::io::Error| format!("{}: {error}", folder.display());
    let data = |name: &str| folder.join(name).display().to_string();
    let settings = folder.join("zookeeper.properties");
    let mut text = format!("dataDir={}\nclientPort={zookeeper}\nclientPortAddress=127.0.0.1\n", data("zookeeper"));
    text.push_str("tickTime=500\nmaxClientCnxns=0\nadmin.enableServer=false\n");
    fs::write(&settings, text).map_err(failed)?;
    java.spawn("zookeeper", "org.apache.zookeeper.server.ZooKeeperServerMain", &settings)?;
    java.wait("zookeeper", &["binding to port"])?;

    let settings = folder.join("node-1.properties");
    let mut text = format!("broker.id=1\nzookeeper.connect=127.0.0.1:{zookeeper}\nlog.dirs={}\n", data("node-1"));
    let (proxied, advertised) = (port + 1, port + 2);
    for line in [
        format!("listeners=PLAINTEXT://127.0.0.1:{port},PROXIED://127.0.0.1:{proxied}"),
        format!("advertised.listeners=PLAINTEXT://127.0.0.1:{port},PROXIED://127.0.0.1:{advertised}"),
    ] {
        let _ = writeln!(text, "{line}");
    }
    text.push_str(SETTINGS);
    fs::write(&settings, text).map_err(failed)?;
    java.spawn("node-1", "kafka.Kafka", &settings)?;
    java.wait("node-1", &["started (kafka.server.KafkaServer"])
}

/// The same as newer versions get, as far as these know it.
const SETTINGS: &str = "\
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,PROXIED:PLAINTEXT
inter.broker.listener.name=PLAINTEXT
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=4
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
log.segment.delete.delay.ms=1000
log.retention.check.interval.ms=1000
";
