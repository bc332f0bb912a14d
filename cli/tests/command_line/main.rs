//! The binary as it is run, against the embedded broker over TCP: what it prints, what it says, how it exits.
#![forbid(unsafe_code)]

mod administration;
mod bad_input;
mod broker;
mod exit_codes;
mod protocol;
mod record_sets;
mod records;
#[path = "../../../tests/schemas/mod.rs"]
mod schemas;
mod signals;
mod typing_errors;
mod verbose;

use std::process::Stdio;
use std::time::Duration;

use klamm_broker::{Broker, BrokerBuilder};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// No command may take longer: much for a machine that is busy with other tests.
const LIMIT: Duration = Duration::from_secs(120);

/// What a command left behind.
#[derive(Debug)]
struct Ran {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

impl Ran {
    #[track_caller]
    fn success(self) -> Self {
        assert_eq!(self.code, Some(0), "stdout: {}\nstderr: {}", self.stdout, self.stderr);
        self
    }

    /// The exit code, and words that standard error must have.
    #[track_caller]
    fn failure(self, code: i32, words: &[&str]) -> Self {
        assert_eq!(self.code, Some(code), "stdout: {}\nstderr: {}", self.stdout, self.stderr);
        for word in words {
            assert!(self.stderr.contains(word), "no {word:?} in: {}", self.stderr);
        }
        self
    }

    #[track_caller]
    fn json(&self) -> Vec<Value> {
        self.stdout.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))).collect()
    }

    fn last_error_line(&self) -> &str {
        self.stderr.lines().last().unwrap_or_default()
    }
}

/// A running command.
struct Running {
    child: Child,
    input: Option<ChildStdin>,
    lines: Lines<BufReader<ChildStdout>>,
    errors: JoinHandle<String>,
}

impl Running {
    fn start(arguments: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_klamm"));
        command.args(arguments).env_remove("KLAMM_BROKERS").kill_on_drop(true);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut stderr = child.stderr.take().unwrap();
        let errors = tokio::spawn(async move {
            let mut text = Vec::new();
            let _ = stderr.read_to_end(&mut text).await;
            String::from_utf8_lossy(&text).into_owned()
        });
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { input: child.stdin.take(), lines, errors, child }
    }

    async fn write(&mut self, bytes: &[u8]) {
        let input = self.input.as_mut().unwrap();
        // A command that ends early closes its input; how it ended is for the caller to judge.
        let _ = input.write_all(bytes).await;
        let _ = input.flush().await;
    }

    async fn line(&mut self) -> Option<String> {
        timeout(LIMIT, self.lines.next_line()).await.expect("it says nothing").unwrap()
    }

    fn signal(&self, signal: &str) {
        let id = self.child.id().expect("it runs").to_string();
        assert!(std::process::Command::new("kill").args([signal, &id]).status().unwrap().success());
    }

    /// Waits for its end without closing its input before.
    async fn end(mut self) -> Ran {
        let mut stdout = String::new();
        while let Some(line) = self.line().await {
            stdout.push_str(&line);
            stdout.push('\n');
        }
        let status = timeout(LIMIT, self.child.wait()).await.expect("it does not end").unwrap();
        Ran { code: status.code(), stdout, stderr: self.errors.await.unwrap() }
    }
}

/// Runs to the end with `input` on standard input.
async fn klamm(arguments: &[&str], input: impl AsRef<[u8]>) -> Ran {
    let mut running = Running::start(arguments);
    running.write(input.as_ref()).await;
    drop(running.input.take());
    running.end().await
}

/// The same, with `-b` and `--json`.
async fn json(brokers: &str, arguments: &[&str], input: impl AsRef<[u8]>) -> Ran {
    klamm(&[&["-b", brokers, "--json"], arguments].concat(), input).await
}

/// A broker and where it listens.
async fn start(builder: BrokerBuilder) -> (Broker, String) {
    let broker = builder.start_tcp("127.0.0.1:0").await.unwrap();
    let brokers = broker.bootstrap().join(",");
    (broker, brokers)
}

/// The keys of an object, in order.
fn keys(value: &Value) -> Vec<&str> {
    value.as_object().expect("an object").keys().map(String::as_str).collect()
}
