//! One node (broker and controller in one) from the jars: its folder formatted, its process started.
//!
//! A folder holds for each node its settings, its log, its process id (`node-N.pid`) and the command that starts it (`node-N.cmd`, one
//! word a line).

use std::fs;
use std::net::TcpListener;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use super::{VERSION, class_path, fetch};
use crate::process;

/// Flags for a fast start: the first compiler only, a plain collector.
const JAVA: [&str; 3] = ["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xlog:disable"];
const START: Duration = Duration::from_secs(90);

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
    /// Heap, as Java's flag.
    pub(super) heap: &'static str,
}

/// Makes `folder` anew; what still runs there is killed.
pub(super) fn clear(folder: &Path) -> Result<(), String> {
    let failed = |error: std::io::Error| format!("{}: {error}", folder.display());
    if folder.exists() {
        stop_all(folder);
        fs::remove_dir_all(folder).map_err(failed)?;
    }
    fs::create_dir_all(folder).map_err(failed)
}

/// Formats and starts `nodes`, and waits until all serve.
pub(super) fn start(folder: &Path, nodes: Vec<Node>) -> Result<(), String> {
    let class_path = class_path(&fetch()?)?;
    let failed = |error: std::io::Error| format!("{}: {error}", folder.display());
    let log4j = folder.join("log4j2.properties");
    fs::write(&log4j, LOG4J).map_err(failed)?;
    let log4j = format!("-Dlog4j2.configurationFile={}", log4j.display());
    let mut formats = Vec::new();
    for node in &nodes {
        let settings = folder.join(format!("node-{}.properties", node.number));
        fs::write(&settings, &node.settings).map_err(failed)?;
        let mut format = Command::new("java");
        format.args(JAVA).arg(node.heap).arg("-cp").arg(&class_path).arg(&log4j);
        format.args(["kafka.tools.StorageTool", "format", "-t", "AAAAAAAAAAAAAAAAAAAAAQ", "-c"]).arg(&settings);
        format.args(&node.format);
        formats.push(std::thread::spawn(move || process::output(&mut format)));
    }
    for format in formats {
        format.join().map_err(|_| "formatting a node's folder panicked")??;
    }
    for node in &nodes {
        let mut command: Vec<String> = std::iter::once("java").chain(JAVA).chain([node.heap]).map(str::to_owned).collect();
        command.extend([log4j.clone(), "-cp".into(), class_path.clone(), "kafka.Kafka".into()]);
        command.push(folder.join(format!("node-{}.properties", node.number)).display().to_string());
        fs::write(folder.join(format!("node-{}.cmd", node.number)), command.join("\n")).map_err(failed)?;
        spawn(folder, node.number, &command).map_err(failed)?;
    }
    for node in &nodes {
        let log = folder.join(format!("node-{}.log", node.number));
        let started = || fs::read_to_string(&log).is_ok_and(|text| text.contains("Kafka Server started"));
        if !process::wait_until(START, started) {
            return Err(format!("Kafka {VERSION} did not start within {START:?}; see {}", log.display()));
        }
    }
    Ok(())
}

fn spawn(folder: &Path, number: u16, command: &[String]) -> std::io::Result<()> {
    let log = fs::File::create(folder.join(format!("node-{number}.log")))?;
    let mut java = Command::new(command.first().map_or("java", String::as_str));
    java.args(command.iter().skip(1)).stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
    let child = java.process_group(0).spawn()?;
    fs::write(folder.join(format!("node-{number}.pid")), child.id().to_string())
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

/// First of `count` ports in a row: the lowest block that is free now.
pub(super) fn free_ports(count: u16) -> Result<u16, String> {
    let free = |port: u16| TcpListener::bind(("127.0.0.1", port)).is_ok();
    (19_092..30_000)
        .step_by(usize::from(count.max(12)))
        .find(|first| (*first..first + count).all(free))
        .ok_or_else(|| "no free ports between 19092 and 30000 on 127.0.0.1".to_owned())
}
