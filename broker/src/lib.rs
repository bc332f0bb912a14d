//! An embedded Kafka broker for tests and demos.
//!
//! It speaks Kafka's real protocol, over TCP to any client or in memory to klamm's, as one node or a cluster with leaders spread
//! over it, and keeps everything in memory. It does what a client can observe: leaders and their epochs, topic ids, offsets,
//! de-duplication of idempotent batches, fetches that wait for data, consumer groups with their timers, committed offsets, topic
//! administration, transactions with their markers and staged offsets, logins by PLAIN and SCRAM, and the error codes of all that.
//!
//! ```
//! use klamm_broker::Broker;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> std::io::Result<()> {
//! let broker = Broker::builder().nodes(3).topic("orders", 6).start_in_memory()?;
//! assert_eq!(broker.bootstrap(), ["node-1:9092", "node-2:9092", "node-3:9092"]);
//! assert_eq!(broker.leader("orders", 1), Some(2));
//! # Ok(())
//! # }
//! ```
//!
//! A client of klamm reaches it with nothing but memory in between; any other client over TCP
//! ([`start_tcp`](BrokerBuilder::start_tcp)):
//!
#![cfg_attr(feature = "connector", doc = "```")]
#![cfg_attr(not(feature = "connector"), doc = "```ignore")]
//! use klamm::{Client, Record};
//! use klamm_broker::Broker;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let broker = Broker::builder().topic("greetings", 1).start_in_memory()?;
//! let client = Client::builder(broker.bootstrap()).connector(broker.connector()).build()?;
//! client.deliver(Record::new("greetings").value("hello")).await?;
//! assert_eq!(broker.values("greetings", 0)?, ["hello"]);
//! # Ok(())
//! # }
//! ```
//!
//! A test scripts it through the handle: [`Broker::intercept`] decides on each request, [`Broker::requests`] tells what came,
//! [`Broker::stop_node`] and [`Broker::move_leader`] make trouble, [`Broker::records`] shows what is in a log. Nothing in it is
//! random, and its time is tokio's: with `tokio::time::pause` a test of minutes takes milliseconds and goes the same way every time.
//!
//! Replication is real in what it loses: a follower that is kept from replicating ([`Broker::hold_replication`]) holds the high watermark
//! and acknowledgements back, and what it does not have is lost when it leads.
//!
//! What it does not do: other mechanisms of SASL, authorization, tiered storage, the consumer group protocol of KIP-848.
#![forbid(unsafe_code)]

mod broker;
mod builder;
#[cfg(feature = "connector")]
mod connector;
mod core;
mod driver;
mod groups;
mod logs;
mod quota;
mod raw_client;
mod replication;
mod script;
mod transactions;
/// The broker's core for fuzz targets: no part of the crate's promises, and changed without a word.
#[cfg(feature = "unstable-cores")]
#[doc(hidden)]
pub mod unstable;

pub use broker::{Broker, InterceptId};
pub use builder::BrokerBuilder;
#[cfg(feature = "connector")]
pub use connector::MemoryConnector;
#[cfg(feature = "tls")]
pub use driver::ListenerTls;
pub use groups::{CommittedOffset, GroupMember};
pub use logs::LoggedRecord;
pub use quota::{Quota, QuotaEntity};
pub use raw_client::RawClient;
pub use script::{ConnectionId, Edit, Intercept, PartitionError, Reachability, RequestView, SaslMechanism, SeenRequest};
pub use transactions::TransactionView;

/// A [`Broker`] of several nodes: `Cluster::builder().nodes(3).topic("t", 6).start()`.
pub type Cluster = Broker;
