//! What Kafka itself says of its protocol, out of its jars: the message schemas and the table of error codes. The jars are fetched
//! by Maven once, unpacked by the JDK's `jar`, and kept under the target directory. Several tests may want them at once; a file lock
//! lets one of them fetch.
#![allow(dead_code, reason = "each test crate uses its own part")]

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::Value as Json;

/// The release whose schemas the declarations must equal.
pub(crate) const RELEASE: &str = "4.4.0";
/// The release before it that the declarations are compared with, in the versions it has.
pub(crate) const EARLIER: &str = "4.3.1";
/// The jars with schemas: the client's, and those of the coordinators with the records of their logs.
const JARS: &[&str] = &["kafka-clients", "kafka-group-coordinator", "kafka-transaction-coordinator"];
/// Where they stand in the jars.
const FOLDER: &str = "common/message";
/// The logging interface that classes of the jar do not load without.
const SLF4J: &str = "1.7.36";
/// What Kafka's JSON converters read and write JSON with; it is not among what the jar brings along.
pub(crate) const JACKSON: &[&str] = &[
    "com.fasterxml.jackson.core:jackson-databind:2.21.7",
    "com.fasterxml.jackson.core:jackson-core:2.21.7",
    "com.fasterxml.jackson.core:jackson-annotations:2.21",
];
/// What Kafka compresses record batches with; gzip is Java's own.
pub(crate) const CODECS: &[&str] =
    &["com.github.luben:zstd-jni:1.5.7-17", "at.yawk.lz4:lz4-java:1.11.2", "org.xerial.snappy:snappy-java:1.1.10.7"];
/// What to do when they cannot be had.
const ADVICE: &str = "the official schemas come from Kafka's jars: install a JDK (17 or newer, with the `jar` tool) and Maven, \
    see that both are on the PATH and that Maven can reach its repository, then run the test again";

/// All schemas of a release by name.
pub(crate) fn load(release: &str) -> BTreeMap<String, Json> {
    let folder = fetch(release).unwrap_or_else(|error| panic!("{error}\n{ADVICE}")).join(FOLDER);
    let mut schemas = BTreeMap::new();
    for entry in fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
        let path = entry.expect("an entry of a folder that was just unpacked").path();
        if path.extension().is_none_or(|extension| extension != "json") {
            continue;
        }
        let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        // The schemas are JSON with comments, each on lines of its own.
        let lines = text.lines().filter(|line| !line.trim_start().starts_with("//"));
        let json: Json =
            serde_json::from_str(&lines.collect::<String>()).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let name = json["name"].as_str().unwrap_or_else(|| panic!("{}: no name", path.display()));
        schemas.insert(name.to_owned(), json);
    }
    assert!(schemas.len() > 150, "only {} schemas in {}", schemas.len(), folder.display());
    schemas
}

/// What the Java program `source`, one public class `name`, prints with Kafka's client on its class path.
pub(crate) fn run_java(name: &str, source: &str) -> String {
    java(name, source).and_then(|mut java| run(&mut java)).unwrap_or_else(|error| panic!("{error}\n{ADVICE}"))
}

/// The same program started, for a conversation over its standard input and output.
pub(crate) fn start_java(name: &str, source: &str) -> Child {
    let start = |mut java: Command| {
        java.stdin(Stdio::piped()).stdout(Stdio::piped());
        java.spawn().map_err(|error| format!("cannot run {}: {error}", java.get_program().display()))
    };
    java(name, source).and_then(start).unwrap_or_else(|error| panic!("{error}\n{ADVICE}"))
}

/// The command that runs a Java program from its source, with all jars of the release on its class path.
fn java(name: &str, source: &str) -> Result<Command, String> {
    java_with(name, source, [])
}

/// The same, with more jars.
fn java_with(name: &str, source: &str, more: impl IntoIterator<Item = PathBuf>) -> Result<Command, String> {
    let home = fetch(RELEASE)?;
    let file = home.join(format!("{name}.java"));
    // Tests and test programs run side by side: each finds a whole file there, whoever wrote it.
    static WRITES: AtomicU32 = AtomicU32::new(0);
    let part = home.join(format!("{name}.{}.{}", std::process::id(), WRITES.fetch_add(1, Ordering::Relaxed)));
    let written = fs::write(&part, source).and_then(|()| fs::rename(&part, &file));
    written.map_err(|error| format!("{}: {error}", file.display()))?;
    let class_path = std::env::join_paths(jars(&home)?.into_iter().chain(more)).map_err(|error| error.to_string())?;
    let mut command = Command::new(jdk_tool("java"));
    // Little memory and quick to start: the machine has other work.
    command.args(["-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-cp"]).arg(class_path).arg(&file);
    Ok(command)
}

/// The jars in a folder.
fn jars(folder: &Path) -> Result<Vec<PathBuf>, String> {
    let entries = fs::read_dir(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let names = entries.flatten().map(|entry| entry.path());
    Ok(names.filter(|path| path.extension().is_some_and(|extension| extension == "jar")).collect())
}

/// As [`run_java`], with more artifacts on the class path and `input` on standard input.
pub(crate) fn run_java_with(name: &str, source: &str, artifacts: &[&str], input: String) -> String {
    let run_it = || {
        let more = once(&format!("jars-{name}"), artifacts.iter().map(ToString::to_string).collect(), |_| Ok(()))?;
        let mut command = java_with(name, source, jars(&more)?)?;
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().map_err(|error| format!("cannot run java: {error}"))?;
        let mut stdin = child.stdin.take().ok_or("java has no standard input")?;
        // Both pipes at once, or each side would wait for the other.
        let writer = std::thread::spawn(move || stdin.write_all(input.as_bytes()));
        let output = child.wait_with_output().map_err(|error| format!("cannot run java: {error}"))?;
        if !output.status.success() {
            let text = String::from_utf8_lossy(&output.stderr);
            return Err(format!("{command:?} failed ({}):\n{}", output.status, text.trim_end()));
        }
        writer.join().expect("writing does not panic").map_err(|error| format!("java reads no further: {error}"))?;
        String::from_utf8(output.stdout).map_err(|error| error.to_string())
    };
    run_it().unwrap_or_else(|error| panic!("{error}\n{ADVICE}"))
}

/// The folder with the jars and the unpacked schemas of a release, fetched if it is not there.
fn fetch(release: &str) -> Result<PathBuf, String> {
    let kafka = JARS.iter().map(|jar| format!("org.apache.kafka:{jar}:{release}"));
    let artifacts = kafka.chain([format!("org.slf4j:slf4j-api:{SLF4J}")]).collect();
    once(&format!("kafka-schemas-{release}"), artifacts, |partial| {
        JARS.iter().try_for_each(|jar| {
            let jar = format!("{jar}-{release}.jar");
            run(Command::new(jdk_tool("jar")).arg("xf").arg(jar).arg(FOLDER).current_dir(partial)).map(drop)
        })
    })
}

/// The folder `name` with these artifacts and what `then` makes of them, made if it is not there.
fn once(name: &str, artifacts: Vec<String>, then: impl Fn(&Path) -> Result<(), String>) -> Result<PathBuf, String> {
    let home = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let fail = |what: &str, path: &Path, error: std::io::Error| format!("cannot {what} {}: {error}", path.display());
    fs::create_dir_all(&home).map_err(|error| fail("create", &home, error))?;
    let lock = fs::File::create(home.join("lock")).map_err(|error| fail("create the lock in", &home, error))?;
    lock.lock().map_err(|error| fail("lock", &home, error))?;
    let done = home.join("fetched");
    if !done.exists() {
        // Whatever an interrupted run left is made anew; only the rename at the end makes it count.
        let partial = home.join("partial");
        fs::remove_dir_all(&partial)
            .or_else(|error| if error.kind() == std::io::ErrorKind::NotFound { Ok(()) } else { Err(error) })
            .map_err(|error| fail("remove", &partial, error))?;
        fs::create_dir_all(&partial).map_err(|error| fail("create", &partial, error))?;
        for artifact in artifacts {
            run(Command::new("mvn")
                .args(["-q", "-B", "dependency:copy", "-Dmdep.useBaseVersion=true"])
                .arg(format!("-Dartifact={artifact}"))
                .arg(format!("-DoutputDirectory={}", partial.display()))
                .current_dir(&partial))?;
        }
        then(&partial)?;
        fs::rename(&partial, &done).map_err(|error| fail("rename", &partial, error))?;
    }
    Ok(done)
}

/// A tool of the JDK: that of `JAVA_HOME` if it is there, else the one on the path.
fn jdk_tool(name: &str) -> PathBuf {
    let tool = std::env::var_os("JAVA_HOME").map(|home| Path::new(&home).join("bin").join(name)).filter(|tool| tool.exists());
    tool.unwrap_or_else(|| name.into())
}

/// What `command` prints.
fn run(command: &mut Command) -> Result<String, String> {
    let output = command.output().map_err(|error| format!("cannot run {}: {error}", command.get_program().display()))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let text = [output.stdout, output.stderr].concat();
    Err(format!("{command:?} failed ({}):\n{}", output.status, String::from_utf8_lossy(&text).trim_end()))
}
