//! Holds one Apache Kafka broker in Docker until standard input ends; prints `bootstrap=HOST:PORT` when it serves.
#![forbid(unsafe_code)]

use std::io::Read as _;
use std::process::ExitCode;

use testcontainers_modules::kafka::apache::{KAFKA_PORT, Kafka};
use testcontainers_modules::testcontainers::ImageExt as _;
use testcontainers_modules::testcontainers::runners::SyncRunner as _;

/// The same settings as the clusters from the jars have (see xtask), as the image takes them.
const SETTINGS: [(&str, &str); 5] = [
    ("KAFKA_GROUP_INITIAL_REBALANCE_DELAY_MS", "0"),
    ("KAFKA_GROUP_MIN_SESSION_TIMEOUT_MS", "1000"),
    ("KAFKA_OFFSETS_TOPIC_NUM_PARTITIONS", "4"),
    ("KAFKA_TRANSACTION_STATE_LOG_NUM_PARTITIONS", "4"),
    ("KAFKA_LOG_RETENTION_CHECK_INTERVAL_MS", "1000"),
];

fn main() -> ExitCode {
    let mut image = Kafka::default().with_jvm_image().with_tag("4.3.1");
    for (name, value) in SETTINGS {
        image = image.with_env_var(name, value);
    }
    let started = image.start().and_then(|container| {
        let address = format!("{}:{}", container.get_host()?, container.get_host_port_ipv4(KAFKA_PORT)?);
        Ok((container, address))
    });
    match started {
        Ok((container, address)) => {
            println!("bootstrap={address}");
            // The container goes when this process does; how standard input ends does not matter.
            let _ = std::io::stdin().read_to_end(&mut Vec::new());
            drop(container);
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("docker-broker: {error}");
            ExitCode::FAILURE
        }
    }
}
