//! A cluster of embedded brokers on TCP, for any Kafka client: `cargo run -p klamm-broker --example serve -- 127.0.0.1:9092 3`.
//!
//! Prints `ready` and the addresses when clients may come, and runs until it is stopped. Unknown topics are created.

use klamm_broker::Broker;

#[tokio::main(flavor = "current_thread")]
async fn main() -> std::io::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let address = arguments.next().unwrap_or_else(|| "127.0.0.1:9092".to_owned());
    let nodes = arguments.next().and_then(|nodes| nodes.parse().ok()).unwrap_or(1);
    let broker = Broker::builder().nodes(nodes).auto_create_topics(true).default_partitions(3).start_tcp(address).await?;
    println!("ready {}", broker.bootstrap().join(","));
    std::future::pending().await
}
