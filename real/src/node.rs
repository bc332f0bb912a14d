//! One node of the cluster of three: killed, stopped, paused, started again.

use std::fs;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::environment::variable;

/// A node, by its number from 1.
#[derive(Clone, Copy, Debug)]
pub struct Node(pub u16);

impl Node {
    fn file(self, ending: &str) -> PathBuf {
        PathBuf::from(variable("KLAMM_CLUSTER_DIR")).join(format!("node-{}.{ending}", self.0))
    }

    fn signal(self, signal: &str) {
        let pid = fs::read_to_string(self.file("pid")).expect("the node's process id, written when it was started");
        let status = Command::new("kill").args([signal, pid.trim()]).status().expect("`kill` can be started");
        assert!(status.success(), "kill {signal} of node {}: {status}", self.0);
    }

    /// Ends it without a word (SIGKILL).
    pub fn kill(self) {
        self.signal("-KILL");
    }

    /// Tells it to stop in order (SIGTERM).
    pub fn stop(self) {
        self.signal("-TERM");
    }

    /// Tells it to stop in order, and waits for its end.
    pub fn stop_and_wait(self) {
        let pid = fs::read_to_string(self.file("pid")).expect("the node's process id, written when it was started");
        self.stop();
        let status = PathBuf::from("/proc").join(pid.trim()).join("stat");
        // Who has ended but was not waited for is still listed, as a zombie.
        let runs = || fs::read_to_string(&status).is_ok_and(|stat| !stat.contains(") Z"));
        let start = Instant::now();
        while runs() {
            assert!(
                start.elapsed() < Duration::from_secs(60),
                "node {} did not stop; see {}",
                self.0,
                self.file("log").display()
            );
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Freezes it (SIGSTOP).
    pub fn pause(self) {
        self.signal("-STOP");
    }

    /// Lets it go on (SIGCONT).
    pub fn resume(self) {
        self.signal("-CONT");
    }

    /// Starts it again on its data, and waits until it serves.
    pub fn start(self) {
        let words = fs::read_to_string(self.file("cmd")).expect("the node's command");
        let mut words = words.lines();
        let log = fs::OpenOptions::new().create(true).append(true).open(self.file("log")).expect("the node's log");
        let before = self.starts();
        let mut java = Command::new(words.next().expect("a program"));
        java.args(words).stdin(Stdio::null()).stdout(log.try_clone().expect("the log twice")).stderr(log);
        let mut child = java.process_group(0).spawn().expect("java can be started");
        fs::write(self.file("pid"), child.id().to_string()).expect("the process id is written");
        // Its end is taken note of whenever it comes, lest it stays as a zombie.
        std::thread::spawn(move || child.wait());
        let start = Instant::now();
        while self.starts() == before {
            assert!(
                start.elapsed() < Duration::from_secs(90),
                "node {} did not start; see {}",
                self.0,
                self.file("log").display()
            );
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// How often its log says that it started.
    fn starts(self) -> usize {
        let log = fs::read(self.file("log")).unwrap_or_default();
        String::from_utf8_lossy(&log).matches("Kafka Server started").count()
    }
}
