//! The example that a newcomer runs first, on Apache Kafka: the same program that tells its story on the embedded broker.
#![forbid(unsafe_code)]

use std::time::Duration;

use klamm_real::{bootstrap, cluster_bootstrap, example};
use tokio::process::Command;
use tokio::time::timeout;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_quickstart_tells_its_story_on_apache_kafka() {
    for bootstrap in [bootstrap(), cluster_bootstrap()] {
        let run = Command::new(example("quickstart")).arg(&bootstrap).kill_on_drop(true).output();
        let output =
            timeout(Duration::from_secs(120), run).await.expect("it ends within two minutes").expect("it can be started");
        let told = String::from_utf8_lossy(&output.stdout);
        println!("{told}");
        assert!(output.status.success(), "{}: {}\n{told}", output.status, String::from_utf8_lossy(&output.stderr));
        // It has asserted every value itself; here only that the story was told.
        for part in ["produced 100 records, all acknowledged", "handled 60 records", "100 of 100 committed, no lag"] {
            assert!(told.contains(part), "not told: {part}");
        }
    }
}
