//! Kafka's own record classes in a JVM, and klamm, as two that describe batches in the same words.
//!
//! Lines that `RecordsOracle.java` takes, `_` for null, bytes in hex:
//!
//! ```text
//! read BYTES
//! write MAGIC CODEC create|append BASE_OFFSET APPEND_TIME PRODUCER EPOCH SEQUENCE TRANSACTIONAL CONTROL LEADER_EPOCH HORIZON LAST_OFFSET RECORD…
//! ```
//!
//! A record is `offset,timestamp,key,value[,name=value]…`, a control record `type,timestamp,number`. Without records an empty batch is
//! written. Answers: the description; for `write` the bytes and `|` before it.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use bytes::Bytes;
use klamm::protocol::records::{ControlRecord, Limits, RecordBatches, TimestampType};

/// Kafka's client, the codecs that it needs at run time, and the logging interface that it does not load without.
const JARS: [(&str, &str, &str); 5] = [
    ("org.apache.kafka", "kafka-clients", "4.4.0"),
    ("org.slf4j", "slf4j-api", "1.7.36"),
    ("com.github.luben", "zstd-jni", "1.5.7-17"),
    ("at.yawk.lz4", "lz4-java", "1.11.2"),
    ("org.xerial.snappy", "snappy-java", "1.1.10.7"),
];
/// What to do when the oracle cannot be had.
const ADVICE: &str = "Kafka's own record classes are asked: install a JDK (17 or newer) and Maven, see that both are on the PATH and \
    that Maven can reach its repository, then run the test again";

/// What Kafka's classes answer to each of `lines`, in one run of the JVM.
pub(crate) fn ask(name: &str, lines: &[String]) -> Vec<String> {
    let ask_it = || {
        let jars = fetch()?;
        let input = jars.join(format!("{name}.txt"));
        fs::write(&input, lines.join("\n")).map_err(|error| format!("{}: {error}", input.display()))?;
        let class_path =
            env::join_paths(JARS.iter().map(|(_, artifact, version)| jars.join(format!("{artifact}-{version}.jar"))));
        let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/records_java/RecordsOracle.java");
        let java = Command::new(jdk_tool("java"))
            .arg("-cp")
            .arg(class_path.map_err(|error| error.to_string())?)
            .arg(program)
            .arg(&input)
            .output();
        let output = java.map_err(|error| format!("cannot run java: {error}"))?;
        if !output.status.success() {
            return Err(format!("java failed ({}): {}", output.status, String::from_utf8_lossy(&output.stderr)));
        }
        Ok(String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect::<Vec<_>>())
    };
    let answers = ask_it().unwrap_or_else(|error| panic!("{error}\n{ADVICE}"));
    assert_eq!(answers.len(), lines.len(), "an answer to each line");
    answers
}

/// The folder with the jars; fetched once, by the first test that wants them.
fn fetch() -> Result<PathBuf, String> {
    let home = Path::new(env!("CARGO_TARGET_TMPDIR")).join("kafka-records");
    let fail = |what: &str, path: &Path, error: std::io::Error| format!("cannot {what} {}: {error}", path.display());
    fs::create_dir_all(&home).map_err(|error| fail("create", &home, error))?;
    let lock = fs::File::create(home.join("lock")).map_err(|error| fail("lock in", &home, error))?;
    lock.lock().map_err(|error| fail("lock", &home, error))?;
    for (group, artifact, version) in JARS {
        if home.join(format!("{artifact}-{version}.jar")).exists() {
            continue;
        }
        // Maven writes into a folder of its own: what it leaves when interrupted does not count.
        let partial = home.join("partial");
        let maven = Command::new("mvn")
            .args(["-q", "-B", "dependency:copy", "-Dmdep.useBaseVersion=true"])
            .arg(format!("-Dartifact={group}:{artifact}:{version}"))
            .arg(format!("-DoutputDirectory={}", partial.display()))
            .current_dir(&home)
            .output()
            .map_err(|error| format!("cannot run mvn: {error}"))?;
        if !maven.status.success() {
            return Err(format!("mvn failed ({}): {}", maven.status, String::from_utf8_lossy(&maven.stdout)));
        }
        let jar = format!("{artifact}-{version}.jar");
        fs::rename(partial.join(&jar), home.join(&jar)).map_err(|error| fail("move", &partial.join(&jar), error))?;
    }
    Ok(home)
}

/// A tool of the JDK: that of `JAVA_HOME` if it is there, else the one on the path.
fn jdk_tool(name: &str) -> PathBuf {
    let tool = env::var_os("JAVA_HOME").map(|home| Path::new(&home).join("bin").join(name)).filter(|tool| tool.exists());
    tool.unwrap_or_else(|| name.into())
}

/// Bytes in hex; `_` for null.
pub(crate) fn hex(bytes: Option<&[u8]>) -> String {
    let Some(bytes) = bytes else { return "_".to_owned() };
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// The reverse.
pub(crate) fn unhex(text: &str) -> Vec<u8> {
    let digits = text.as_bytes().chunks(2);
    digits.map(|pair| u8::from_str_radix(std::str::from_utf8(pair).expect("ASCII"), 16).expect("hex")).collect()
}

/// What klamm reads in `bytes`, in the oracle's words.
pub(crate) fn describe(bytes: Bytes) -> String {
    let mut out = String::new();
    let mut batches = RecordBatches::new(bytes);
    for batch in &mut batches {
        let batch = batch.expect("a batch that can be read");
        let records = batch.records(Limits::default()).expect("records that can be read");
        let append = batch.timestamp_type() == TimestampType::LogAppendTime;
        let current = batch.magic() == 2;
        let _ = write!(
            out,
            "batch {} {} {} {} {} {} {} {} {} {} {} {} {} {} {} {} {} {}",
            batch.magic(),
            batch.compression().expect("a codec"),
            if append { "append" } else { "create" },
            records.base_offset(),
            batch.last_offset(),
            batch.next_offset(),
            batch.max_timestamp(),
            if current { batch.base_timestamp() } else { -1 },
            batch.producer_id(),
            batch.producer_epoch(),
            batch.base_sequence(),
            batch.last_sequence(),
            batch.is_transactional(),
            batch.is_control(),
            batch.partition_leader_epoch(),
            batch.delete_horizon().map_or("_".to_owned(), |horizon| horizon.to_string()),
            if current { batch.record_count() } else { -1 },
            batch.size(),
        );
        for record in &records {
            let record = record.expect("a record that can be read");
            let _ = write!(out, " / {},{},{},{}", record.offset, record.timestamp, hex(record.key), hex(record.value));
            for header in record.headers {
                let header = header.expect("a header that can be read");
                let _ = write!(out, ",{}={}", hex(Some(header.key)), hex(header.value));
            }
            if batch.is_control() {
                let control = ControlRecord::read(&record).expect("a control record that can be read");
                let _ = write!(out, " control {}", control.control_type.id());
                if let Some(epoch) = control.coordinator_epoch() {
                    let _ = write!(out, " {epoch}");
                }
            }
        }
        out.push_str(" ; ");
    }
    assert!(!batches.is_truncated(), "nothing is cut");
    out
}
