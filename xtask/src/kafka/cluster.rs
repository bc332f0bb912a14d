//! One or three nodes (broker and controller in one) from the jars, or one of a version before KRaft.

use std::fmt::Write as _;
use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};

use super::java::{Java, stop_all};
use super::{Version, old};

/// Ports that a node takes: plain, proxied, advertised for the proxied, controller or ZooKeeper.
const PORTS: u16 = 4;

/// Nodes running on this machine; dropping it kills them.
#[derive(Debug)]
pub(crate) struct Cluster {
    folder: PathBuf,
    nodes: u16,
    port: u16,
    keep: bool,
}

impl Cluster {
    /// Starts `nodes` nodes with their data in `folder`, which is made anew.
    pub(crate) fn start(version: Version, nodes: u16, folder: &Path) -> Result<Self, String> {
        let java = Java::new(version, folder)?;
        let cluster = Self { folder: folder.to_path_buf(), nodes, port: free_ports(nodes)?, keep: false };
        if version >= Version(3, 3, 0) {
            cluster.start_nodes(&java)?;
        } else if nodes == 1 {
            old::start(&java, folder, cluster.port, cluster.port + 3)?;
        } else {
            return Err(format!("Kafka {version} is started with one node only"));
        }
        Ok(cluster)
    }

    fn start_nodes(&self, java: &Java) -> Result<(), String> {
        let settings = |node: u16| self.folder.join(format!("node-{node}.properties"));
        for node in 1..=self.nodes {
            let path = settings(node);
            fs::write(&path, self.settings(node)).map_err(|error| format!("{}: {error}", path.display()))?;
        }
        std::thread::scope(|scope| {
            let format = |node: u16| {
                let path = settings(node).display().to_string();
                java.run("kafka.tools.StorageTool", &["format", "-t", "AAAAAAAAAAAAAAAAAAAAAQ", "-c", &path])
            };
            let formats: Vec<_> = (1..=self.nodes).map(|node| scope.spawn(move || format(node))).collect();
            formats.into_iter().try_for_each(|format| match format.join() {
                Ok(result) => result.map(drop),
                Err(_) => Err("formatting a node's folder panicked".to_owned()),
            })
        })?;
        for node in 1..=self.nodes {
            java.spawn(&format!("node-{node}"), "kafka.Kafka", &settings(node))?;
        }
        (1..=self.nodes).try_for_each(|node| java.wait(&format!("node-{node}"), &["Kafka Server started"]))
    }

    /// The folder with logs, process ids and commands.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Addresses for clients.
    pub(crate) fn bootstrap(&self) -> String {
        self.addresses(0)
    }

    /// Where the second listener of each node really is.
    pub(crate) fn proxied(&self) -> String {
        self.addresses(1)
    }

    /// Where the second listener of each node says that it is.
    pub(crate) fn advertised(&self) -> String {
        self.addresses(2)
    }

    /// Leaves the nodes running when this value goes.
    pub(crate) fn keep(mut self) {
        self.keep = true;
    }

    fn addresses(&self, offset: u16) -> String {
        (1..=self.nodes).map(|node| format!("127.0.0.1:{}", self.port_of(node) + offset)).collect::<Vec<_>>().join(",")
    }

    fn port_of(&self, node: u16) -> u16 {
        self.port + (node - 1) * PORTS
    }

    fn settings(&self, node: u16) -> String {
        let port = self.port_of(node);
        let voters: Vec<String> = (1..=self.nodes).map(|node| format!("{node}@127.0.0.1:{}", self.port_of(node) + 3)).collect();
        let (replicas, in_sync) = if self.nodes < 3 { (1, 1) } else { (3, 2) };
        let mut text = format!(
            "process.roles=broker,controller\n\
             node.id={node}\n\
             controller.quorum.voters={}\n\
             listeners=PLAINTEXT://127.0.0.1:{port},PROXIED://127.0.0.1:{},CONTROLLER://127.0.0.1:{}\n\
             advertised.listeners=PLAINTEXT://127.0.0.1:{port},PROXIED://127.0.0.1:{}\n\
             listener.security.protocol.map=PLAINTEXT:PLAINTEXT,PROXIED:PLAINTEXT,CONTROLLER:PLAINTEXT\n\
             controller.listener.names=CONTROLLER\n\
             inter.broker.listener.name=PLAINTEXT\n\
             log.dirs={}\n",
            voters.join(","),
            port + 1,
            port + 3,
            port + 2,
            self.folder.join(format!("node-{node}")).display(),
        );
        for topic in ["offsets.topic", "transaction.state.log", "share.coordinator.state.topic"] {
            let _ = writeln!(text, "{topic}.replication.factor={replicas}");
        }
        for (setting, value) in [("transaction.state.log.min.isr", in_sync), ("share.coordinator.state.topic.min.isr", in_sync)] {
            let _ = writeln!(text, "{setting}={value}");
        }
        let _ = write!(text, "default.replication.factor={replicas}\nmin.insync.replicas={in_sync}\n{SETTINGS}");
        text
    }
}

/// Few partitions for internal topics and short times, so that tests need not wait.
const SETTINGS: &str = "\
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

impl Drop for Cluster {
    fn drop(&mut self) {
        if !self.keep {
            stop_all(&self.folder);
        }
    }
}

/// First of the ports for `nodes` nodes: the lowest block that is free now.
fn free_ports(nodes: u16) -> Result<u16, String> {
    let free = |port: u16| TcpListener::bind(("127.0.0.1", port)).is_ok();
    (19_092..30_000)
        .step_by(usize::from(PORTS * 3))
        .find(|first| (*first..first + nodes * PORTS).all(free))
        .ok_or_else(|| "no free ports between 19092 and 30000 on 127.0.0.1".to_owned())
}
