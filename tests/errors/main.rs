//! What users see of errors: each kind, provoked through the public API, with its text as `docs/errors.md` shows it; and what a message
//! says in the situations that people meet.
//!
//! Everything is in memory and time is paused, so that texts are the same each time, numbers and times in them too.

mod closed;
mod denials;
mod kinds;
#[path = "../tls/log.rs"]
mod log;
mod situations;
mod table;
mod untrusted;

use std::future::Future;
use std::io;
use std::time::Duration;

use klamm::network::{BoxFuture, Connector, Target, Transport};
use klamm::{Client, ClientBuilder, Error};
use klamm_broker::{Broker, BrokerBuilder, MemoryConnector};
use tokio::time::timeout;

const SECOND: Duration = Duration::from_secs(1);

/// A broker in memory with topic `orders`, and a client of it that makes the same random choices each time.
fn start(builder: BrokerBuilder) -> (Broker, Client) {
    let broker = builder.topic("orders", 2).start_in_memory().unwrap();
    let client = client(&broker).build().unwrap();
    (broker, client)
}

fn client(broker: &Broker) -> ClientBuilder {
    Client::builder(broker.bootstrap()).connector(broker.connector()).seed(7)
}

/// What the call failed with, which it must within ten minutes.
async fn failure<T>(call: impl Future<Output = Result<T, Error>>) -> Error {
    let result = timeout(600 * SECOND, call).await.expect("an answer within ten minutes");
    result.err().expect("an error")
}

/// Asserts that the error's text has all these parts.
#[track_caller]
fn says(error: &Error, parts: &[&str]) {
    let text = error.to_string();
    for part in parts {
        assert!(text.contains(part), "{part:?} is not in: {text}");
    }
    assert!(!text.contains('\n') && text.len() < 4096, "one line: {text}");
}

/// A way to the broker that leads to it by the name `bootstrap` only: what it calls itself is refused.
#[derive(Clone, Debug)]
struct Advertised(MemoryConnector);

impl Connector for Advertised {
    fn connect(&self, target: Target) -> BoxFuture<'static, io::Result<Box<dyn Transport>>> {
        match target.host.as_str() {
            "bootstrap" => self.0.connect(Target::new("node-1", 9092)),
            _ => Box::pin(async { Err(io::Error::new(io::ErrorKind::ConnectionRefused, "connection refused")) }),
        }
    }
}
