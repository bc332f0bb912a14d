//! The command line `klamm`, built in release by xtask, as a user would run it.

use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::environment::variable;

/// No command of a test may take longer.
const LIMIT: Duration = Duration::from_secs(180);

/// What a command left behind.
#[derive(Clone, Debug)]
pub struct Output {
    /// Its exit code; `None` if a signal ended it.
    pub code: Option<i32>,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl Output {
    /// Each line of standard output as JSON.
    ///
    /// # Panics
    /// If one is not.
    pub fn json_lines(&self) -> Vec<Value> {
        self.stdout.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))).collect()
    }

    /// Itself, if the exit code is 0.
    ///
    /// # Panics
    /// If it is not.
    pub fn success(self) -> Self {
        assert_eq!(self.code, Some(0), "stdout: {}\nstderr: {}", self.stdout, self.stderr);
        self
    }
}

/// Runs `klamm` to its end with `input` on standard input.
pub async fn klamm(arguments: &[&str], input: &str) -> Output {
    let mut running = Klamm::start(arguments);
    running.write(input).await;
    running.end().await
}

/// A running command.
#[derive(Debug)]
pub struct Klamm {
    child: Child,
    input: Option<ChildStdin>,
    lines: Lines<BufReader<ChildStdout>>,
    /// Read from the start, so that a talkative command never waits for us.
    errors: JoinHandle<String>,
}

impl Klamm {
    /// Starts `klamm` with these arguments.
    pub fn start(arguments: &[&str]) -> Self {
        let mut command = Command::new(variable("KLAMM_BIN"));
        command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().expect("klamm can be started");
        let lines = BufReader::new(child.stdout.take().expect("its output is piped")).lines();
        let mut stderr = child.stderr.take().expect("its errors are piped");
        let errors = tokio::spawn(async move {
            let mut text = Vec::new();
            let _ = stderr.read_to_end(&mut text).await;
            String::from_utf8_lossy(&text).into_owned()
        });
        Self { input: child.stdin.take(), lines, errors, child }
    }

    /// Writes to its standard input.
    pub async fn write(&mut self, text: &str) {
        let input = self.input.as_mut().expect("its input is open");
        // A command that ends early closes its input; how it ended is for the caller to judge.
        let _ = input.write_all(text.as_bytes()).await;
        let _ = input.flush().await;
    }

    /// The next line it prints; `None` when it has ended.
    pub async fn line(&mut self) -> Option<String> {
        timeout(LIMIT, self.lines.next_line())
            .await
            .expect("klamm says something within three minutes")
            .expect("its output is text")
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id().expect("it is running")
    }

    /// Sends it a signal, `-TERM`, `-INT` or `-KILL`.
    pub fn signal(&self, signal: &str) {
        let status =
            std::process::Command::new("kill").args([signal, &self.pid().to_string()]).status().expect("`kill` can be started");
        assert!(status.success(), "kill {signal}: {status}");
    }

    /// Closes its standard input, waits for its end and gives what it printed since the last `line`.
    pub async fn end(mut self) -> Output {
        drop(self.input.take());
        let mut stdout = String::new();
        while let Some(line) = self.line().await {
            stdout.push_str(&line);
            stdout.push('\n');
        }
        let status = timeout(LIMIT, self.child.wait()).await.expect("klamm ends within three minutes").expect("its status");
        Output { code: status.code(), stdout, stderr: self.errors.await.unwrap_or_default() }
    }
}
