//! `klamm broker`: the embedded broker as a process.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::{Running, klamm};

/// A file that goes with the test.
struct TempFile(PathBuf);

impl TempFile {
    fn new(name: &str, text: &str) -> Self {
        let path = std::env::temp_dir().join(format!("klamm-broker-{}-{name}", std::process::id()));
        std::fs::write(&path, text).expect("written");
        Self(path)
    }

    fn path(&self) -> &str {
        self.0.to_str().expect("a path of text")
    }
}

impl Drop for TempFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// Starts one at free ports and gives its addresses.
async fn broker(arguments: &[&str]) -> (Running, String) {
    let mut running = Running::start(&[&["broker", "--listen", "127.0.0.1:0"], arguments].concat());
    let line = running.line().await.expect("it is ready");
    let brokers = line.strip_prefix("ready ").expect("the word before the addresses").to_owned();
    (running, brokers)
}

#[tokio::test]
async fn it_serves_until_it_is_stopped_and_ends_with_0() {
    for signal in ["-INT", "-TERM"] {
        let (running, brokers) = broker(&["--nodes", "3", "--topic", "orders:6", "--topic", "single"]).await;
        assert_eq!(brokers.split(',').count(), 3);
        let described = klamm(&["-b", &brokers, "--json", "topics", "describe", "orders", "single"], "").await.success().json();
        let partitions: Vec<_> = described.iter().map(|topic| topic["partitions"].as_array().expect("a list").len()).collect();
        assert_eq!(partitions, [6, 1]);
        klamm(&["-b", &brokers, "produce", "single"], "a\nb\n").await.success();
        let read = klamm(&["-b", &brokers, "consume", "single", "--exit-at-end"], "").await.success();
        assert_eq!(read.stdout, "a\nb\n");
        // klamm does not create topics by asking; other clients do.
        let asked = r#"{"topics": [{"name": "asked-for"}], "allowAutoTopicCreation": true}"#;
        klamm(&["-b", &brokers, "request", "Metadata", "--version", "4"], asked).await.success();
        klamm(&["-b", &brokers, "topics", "describe", "asked-for"], "").await.success();
        running.signal(signal);
        let ran = running.end().await.success();
        assert_eq!(ran.stdout, "");
    }
}

#[tokio::test]
async fn with_json_it_says_ready_in_json() {
    let mut running = Running::start(&["--json", "broker", "--listen", "127.0.0.1:0", "--nodes", "2"]);
    let line: serde_json::Value = serde_json::from_str(&running.line().await.expect("it is ready")).expect("JSON");
    assert_eq!(line["ready"].as_array().expect("a list").len(), 2);
    running.signal("-TERM");
    running.end().await.success();
}

#[tokio::test]
async fn a_port_that_is_taken_is_refused_with_what_to_do() {
    let (running, brokers) = broker(&[]).await;
    let ran = klamm(&["broker", "--listen", &brokers], "").await;
    ran.failure(1, &[&brokers, "another program listens there", "--listen 127.0.0.1:0"]);
    running.signal("-TERM");
    running.end().await.success();
}

#[tokio::test]
async fn wrong_usage_is_told_before_anything_starts() {
    let cases: [(&[&str], &[&str]); 9] = [
        (&["--topic", "bad name"], &["bad name", "only ASCII letters"]),
        (&["--topic", "orders:0"], &["--topic orders:0", "from 1 to 100000"]),
        (&["--topic", "orders:many"], &["--topic orders:many", "for example --topic orders:3"]),
        (&["--topic", "orders", "--topic", "orders:2"], &["--topic orders:2", "twice"]),
        (&["--nodes", "0"], &["--nodes"]),
        (&["--listen", "9092"], &["--listen 9092", "HOST:PORT"]),
        (&["--listen", "127.0.0.1:65535", "--nodes", "2"], &["no ports left"]),
        (&["--faults", "/nowhere/faults.toml"], &["--faults /nowhere/faults.toml: it can't be read"]),
        (&["--faults", "faults.yaml"], &["faults.yaml", ".toml or .json"]),
    ];
    for (arguments, words) in cases {
        klamm(&[&["broker"], arguments].concat(), "").await.failure(2, words);
    }
}

#[tokio::test]
async fn a_mistake_in_a_fault_file_is_told_with_its_place() {
    let file = TempFile::new("mistake.toml", "[[fault]]\nkind = \"kill-node\"\nnode = 2\n");
    let ran = klamm(&["broker", "--listen", "127.0.0.1:0", "--faults", file.path()], "").await;
    let place = format!("--faults {}:3:8: fault[0].node: no node 2; there is only node 1", file.path());
    ran.failure(2, &[&place]);
}

#[tokio::test]
async fn faults_of_a_file_happen() {
    let text = "
        [[fault]]
        before = \"Produce\"
        kind = \"late-answer\"
        api = \"Produce\"
        delay = \"700ms\"

        [[fault]]
        before = \"Produce\"
        kind = \"kill-node\"
        node = 2
    ";
    let file = TempFile::new("outage.toml", text);
    let (running, brokers) = broker(&["--nodes", "2", "--topic", "t", "--faults", file.path(), "-v"]).await;
    let begin = Instant::now();
    klamm(&["-b", &brokers, "-X", "enable.idempotence=false", "produce", "t"], "a\n").await.success();
    assert!(begin.elapsed() >= Duration::from_millis(700), "{:?}", begin.elapsed());
    let seeds = brokers.split(',').next().expect("an address");
    let nodes = klamm(&["-b", seeds, "--json", "cluster"], "").await.success().json();
    assert_eq!(nodes[0]["brokers"].as_array().expect("a list").len(), 1);
    running.signal("-TERM");
    let ran = running.end().await.success();
    for words in ["fault[0] before Produce number 1: late-answer", "fault[1]", "kill-node", "connection 1 to node "] {
        assert!(ran.stderr.contains(words), "no {words:?} in: {}", ran.stderr);
    }
}
