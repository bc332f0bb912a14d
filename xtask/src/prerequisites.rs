//! What must be on the machine, and what to install where it is missing.

use std::process::{Command, Stdio};

/// Program, the argument that makes it print its version, what it is needed for, what to install.
const NEEDED: [(&str, &str, &str, &str); 4] = [
    (
        "java",
        "-version",
        "Apache Kafka, its classes and the Java peers",
        "a JDK, version 17 or later (Debian: apt-get install openjdk-17-jdk-headless)",
    ),
    ("javac", "-version", "the Java peers", "a JDK, not only a JRE (Debian: apt-get install openjdk-17-jdk-headless)"),
    ("mvn", "-version", "fetching Kafka's jars", "Apache Maven (Debian: apt-get install maven)"),
    ("python3", "--version", "librdkafka's peer", "Python 3 with its module venv (Debian: apt-get install python3-venv)"),
];

/// How many of them, the first, the tests of the protocol need.
const FOR_PROTOCOL: usize = 3;

/// Fails naming all that is missing.
pub(crate) fn check() -> Result<(), String> {
    check_first(NEEDED.len())
}

/// The same for the tests of the protocol alone.
pub(crate) fn check_for_protocol() -> Result<(), String> {
    check_first(FOR_PROTOCOL)
}

fn check_first(count: usize) -> Result<(), String> {
    let missing: Vec<String> = NEEDED
        .iter()
        .take(count)
        .filter(|(program, argument, ..)| !runs(program, argument))
        .map(|(program, _, purpose, install)| format!("  {program}: needed for {purpose}; install {install}"))
        .collect();
    if missing.is_empty() { Ok(()) } else { Err(format!("missing on this machine:\n{}", missing.join("\n"))) }
}

fn runs(program: &str, argument: &str) -> bool {
    Command::new(program)
        .arg(argument)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}
