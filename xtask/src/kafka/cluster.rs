//! One or three nodes (broker and controller in one) from the jars.

use std::fmt::Write as _;
use std::fs;
use std::net::TcpListener;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use super::{VERSION, class_path, fetch};
use crate::process;

/// Flags for a fast start: the first compiler only, a small heap, a plain collector.
const JAVA: [&str; 4] = ["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xmx512m", "-Xlog:disable"];
/// Ports that a node takes: plain, proxied, advertised for the proxied, controller.
const PORTS: u16 = 4;
const START: Duration = Duration::from_secs(90);

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
    pub(crate) fn start(nodes: u16, folder: &Path) -> Result<Self, String> {
        let jars = fetch()?;
        let class_path = class_path(&jars)?;
        let failed = |error: std::io::Error| format!("{}: {error}", folder.display());
        if folder.exists() {
            stop_all(folder);
            fs::remove_dir_all(folder).map_err(failed)?;
        }
        fs::create_dir_all(folder).map_err(failed)?;
        let log4j = folder.join("log4j2.properties");
        fs::write(&log4j, LOG4J).map_err(failed)?;
        let cluster = Self { folder: folder.to_path_buf(), nodes, port: free_ports(nodes)?, keep: false };
        let mut formats = Vec::new();
        for node in 1..=nodes {
            let settings = folder.join(format!("node-{node}.properties"));
            fs::write(&settings, cluster.settings(node)).map_err(failed)?;
            let mut format = Command::new("java");
            format.args(JAVA).arg("-cp").arg(&class_path).arg(format!("-Dlog4j2.configurationFile={}", log4j.display()));
            format.args(["kafka.tools.StorageTool", "format", "-t", "AAAAAAAAAAAAAAAAAAAAAQ", "-c"]).arg(&settings);
            formats.push(std::thread::spawn(move || process::output(&mut format)));
        }
        for format in formats {
            format.join().map_err(|_| "formatting a node's folder panicked")??;
        }
        for node in 1..=nodes {
            let mut command: Vec<String> = std::iter::once("java").chain(JAVA).map(str::to_owned).collect();
            command.push(format!("-Dlog4j2.configurationFile={}", log4j.display()));
            command.extend(["-cp".into(), class_path.clone(), "kafka.Kafka".into()]);
            command.push(folder.join(format!("node-{node}.properties")).display().to_string());
            fs::write(folder.join(format!("node-{node}.cmd")), command.join("\n")).map_err(failed)?;
            cluster.spawn(node, &command).map_err(failed)?;
        }
        for node in 1..=nodes {
            let log = folder.join(format!("node-{node}.log"));
            let started = || fs::read_to_string(&log).is_ok_and(|text| text.contains("Kafka Server started"));
            if !process::wait_until(START, started) {
                return Err(format!("Kafka {VERSION} did not start within {START:?}; see {}", log.display()));
            }
        }
        Ok(cluster)
    }

    fn spawn(&self, node: u16, command: &[String]) -> std::io::Result<()> {
        let log = fs::File::create(self.folder.join(format!("node-{node}.log")))?;
        let mut java = Command::new(command.first().map_or("java", String::as_str));
        java.args(command.iter().skip(1)).stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let child = java.process_group(0).spawn()?;
        fs::write(self.folder.join(format!("node-{node}.pid")), child.id().to_string())
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

const LOG4J: &str = "\
status=error
appender.out.type=Console
appender.out.name=out
appender.out.layout.type=PatternLayout
appender.out.layout.pattern=[%d] %p %m (%c)%n
rootLogger.level=warn
rootLogger.appenderRef.out.ref=out
logger.server.name=kafka.server.KafkaRaftServer
logger.server.level=info
";

impl Drop for Cluster {
    fn drop(&mut self) {
        if !self.keep {
            stop_all(&self.folder);
        }
    }
}

/// Kills every node whose process id is in `folder`. Data made by tests is not worth an orderly stop.
pub(super) fn stop_all(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.extension().is_none_or(|extension| extension != "pid") {
            continue;
        }
        let Ok(pid) = fs::read_to_string(&path) else { continue };
        // Only what is still one of ours: the number may have been given to another process since.
        let ours = fs::read(format!("/proc/{}/cmdline", pid.trim())).is_ok_and(|line| {
            let line = String::from_utf8_lossy(&line);
            line.contains("kafka.Kafka") && line.contains(&*folder.to_string_lossy())
        });
        if ours {
            let _ = Command::new("kill").args(["-KILL", pid.trim()]).status();
        }
        let _ = fs::remove_file(&path);
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
