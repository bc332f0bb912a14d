//! Java programs in the background, each known by a name in the folder of its cluster: `NAME.cmd`, `NAME.pid`, `NAME.log`.

use std::fs;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use super::{Version, class_path, fetch};
use crate::process;

/// Flags for a fast start: the first compiler only, a small heap, a plain collector.
const FLAGS: [&str; 4] = ["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xmx512m", "-Xlog:disable"];
const START: Duration = Duration::from_secs(90);

/// Java with the jars of one version of Kafka, for one cluster.
#[derive(Debug)]
pub(super) struct Java {
    folder: PathBuf,
    /// All but the class and its arguments.
    words: Vec<String>,
}

impl Java {
    /// Makes `folder` anew, without what may still run there, and fetches the jars if need be.
    pub(super) fn new(version: Version, folder: &Path) -> Result<Self, String> {
        let class_path = class_path(&fetch(version)?)?;
        let failed = |error: std::io::Error| format!("{}: {error}", folder.display());
        if folder.exists() {
            stop_all(folder);
            fs::remove_dir_all(folder).map_err(failed)?;
        }
        fs::create_dir_all(folder).map_err(failed)?;
        let (name, settings, property) = if version < Version(4, 0, 0) {
            ("log4j.properties", LOG4J_1, "-Dlog4j.configuration=file:")
        } else {
            ("log4j2.properties", LOG4J_2, "-Dlog4j2.configurationFile=")
        };
        let logging = folder.join(name);
        fs::write(&logging, settings).map_err(failed)?;
        let mut words: Vec<String> = std::iter::once("java").chain(FLAGS).map(str::to_owned).collect();
        words.extend([format!("{property}{}", logging.display()), "-cp".to_owned(), class_path]);
        Ok(Self { folder: folder.to_path_buf(), words })
    }

    /// Runs a class to its end.
    pub(super) fn run(&self, class: &str, arguments: &[&str]) -> Result<String, String> {
        let mut command = Command::new("java");
        command.args(self.words.iter().skip(1)).arg(class).args(arguments);
        process::output(&mut command)
    }

    /// Starts a class with one settings file in the background.
    pub(super) fn spawn(&self, name: &str, class: &str, settings: &Path) -> Result<(), String> {
        let mut words = self.words.clone();
        words.extend([class.to_owned(), settings.display().to_string()]);
        let start = || {
            fs::write(self.folder.join(format!("{name}.cmd")), words.join("\n"))?;
            let log = fs::File::create(self.log(name))?;
            let mut java = Command::new("java");
            java.args(words.iter().skip(1)).stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
            let child = java.process_group(0).spawn()?;
            fs::write(self.folder.join(format!("{name}.pid")), child.id().to_string())
        };
        start().map_err(|error| format!("{name} could not be started: {error}"))
    }

    /// Waits until the log of `name` has one of `texts`.
    pub(super) fn wait(&self, name: &str, texts: &[&str]) -> Result<(), String> {
        let log = self.log(name);
        let started = || fs::read_to_string(&log).is_ok_and(|text| texts.iter().any(|wanted| text.contains(wanted)));
        if process::wait_until(START, started) {
            Ok(())
        } else {
            Err(format!("{name} did not start within {START:?}; see {}", log.display()))
        }
    }

    fn log(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{name}.log"))
    }
}

/// Kills everything whose process id is in `folder`. Data made by tests is not worth an orderly stop.
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
            line.starts_with("java\0") && line.contains(&*folder.to_string_lossy())
        });
        if ours {
            let _ = Command::new("kill").args(["-KILL", pid.trim()]).status();
        }
        let _ = fs::remove_file(&path);
    }
}

const LOG4J_1: &str = "\
log4j.rootLogger=WARN, out
log4j.appender.out=org.apache.log4j.ConsoleAppender
log4j.appender.out.layout=org.apache.log4j.PatternLayout
log4j.appender.out.layout.ConversionPattern=[%d] %p %m (%c)%n
log4j.logger.kafka.server.KafkaServer=INFO
log4j.logger.kafka.server.KafkaRaftServer=INFO
log4j.logger.org.apache.zookeeper.server.NIOServerCnxnFactory=INFO
";

const LOG4J_2: &str = "\
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
