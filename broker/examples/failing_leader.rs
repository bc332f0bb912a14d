//! A test of your own code, with a leader that fails: `cargo run -p klamm-broker --example failing_leader`.
//!
//! The broker runs inside the test, the clock is tokio's and paused, so the outage of five seconds takes milliseconds.

use std::time::Duration;

use klamm::protocol::ApiKey;
use klamm::{Client, Record};
use klamm_broker::Broker;
use klamm_broker::faults::{BrokerFault, Plan};
use tokio::time::Instant;

const ORDERS: usize = 100;

/// The code under test: it has to write each order once, in order, whatever happens.
async fn write_orders(client: &Client) -> klamm::Result<()> {
    let producer = client.producer().build()?;
    for number in 0..ORDERS {
        producer.send(Record::new("orders").value(format!("order {number}"))).await?;
    }
    producer.close(Duration::from_secs(30)).await
}

/// In your tests: `#[tokio::test(start_paused = true)]`.
#[tokio::main(flavor = "current_thread", start_paused = true)]
pub(crate) async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let broker = Broker::builder().nodes(3).topic("orders", 1).start_in_memory()?;
    let leader = broker.leader("orders", 0).expect("a leader");

    // An answer is lost although the records were written; then the leader dies, and is back after five seconds.
    let lost = BrokerFault::Disconnect { api: ApiKey::PRODUCE, times: 1, node: None, handled: true };
    let dies = BrokerFault::KillNode { node: leader, loses_unreplicated: true, lasts: Some(Duration::from_secs(5)) };
    broker.run_plan(Plan::new().before(ApiKey::PRODUCE, 10, lost).before(ApiKey::PRODUCE, 30, dies));

    let client = Client::builder(broker.bootstrap()).connector(broker.connector()).connect().await?;
    let start = Instant::now();
    write_orders(&client).await?;
    println!("{ORDERS} orders written in {:?} of the paused clock", start.elapsed());

    let expected: Vec<_> = (0..ORDERS).map(|number| format!("order {number}")).collect();
    assert_eq!(broker.values("orders", 0)?, expected);
    assert_ne!(broker.leader("orders", 0), Some(leader));
    println!("each is there once, in order; node {} leads now", broker.leader("orders", 0).expect("a leader"));
    client.close().await;
    Ok(())
}
