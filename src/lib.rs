//! A client for Apache Kafka in pure Rust: the wire protocol over TCP, no C library.
//!
//! - [`Client`] is the handle on a cluster; it gives out everything else and is cheap to clone.
//! - [`producer`]: [`Client::deliver`] for one record, [`producer::Producer`] in the background, [`producer::BufferedProducer`] with
//!   explicit delivery, [`producer::AsyncProducer`] in rounds. Idempotent unless told otherwise: what is sent again is written once.
//! - [`consumer`]: [`Client::consumer`] for a member of a group with checkpoints, [`Client::reader`] without a group.
//! - [`admin`]: topics, groups, offsets, configurations; [`Client::request`] for any other request of the protocol.
//! - [`protocol`]: bytes to messages and back, usable alone with `default-features = false`.
//!
//! ```
//! use klamm::{Client, Record};
//!
//! # async fn example() -> klamm::Result<()> {
//! let client = Client::builder(["localhost:9092"]).connect().await?;
//! client.deliver(Record::new("greetings").key("k").value("hello")).await?;
//!
//! let mut consumer = client.consumer("billing").topics(["greetings"]).build()?;
//! while let Some(message) = consumer.next().await? {
//!     println!("{:?}", message.value);
//! }
//! # Ok(())
//! # }
//! ```
//!
//! Every call's error is an [`Error`]: what went wrong as an [`ErrorKind`], whether the same may succeed when tried again, whether
//! what was sent may have been written, what to do ([`Error::advice`]), and on which broker, topic, partition and offset. Settings are builder methods, or Java's
//! property names through [`Client::from_properties`]; their defaults are in [`config::SETTINGS`].
//!
//! # Features
//!
//! `client` (default) is everything above [`protocol`]; `tls` (default) encrypts its connections; `gzip`, `snappy`, `lz4` and `zstd`
//! (default) are the codecs of batches; `json` makes JSON of messages, and messages of JSON.
#![forbid(unsafe_code)]
#![cfg_attr(not(test), warn(clippy::disallowed_methods))]

#[cfg(feature = "client")]
pub mod admin;
#[cfg(feature = "client")]
mod client;
#[cfg(feature = "client")]
mod cluster;
#[cfg(feature = "client")]
pub mod config;
#[cfg(feature = "client")]
pub mod consumer;
#[cfg(feature = "client")]
mod error;
#[cfg(feature = "client")]
pub mod network;
#[cfg(feature = "client")]
pub mod producer;
pub mod protocol;
#[cfg(feature = "client")]
mod record;

/// Cores for fuzz targets and simulators: no part of the library's promises, and changed without a word.
#[cfg(feature = "unstable-cores")]
#[doc(hidden)]
pub mod unstable {
    pub use crate::client::unstable::{Client, SimulatedTime};
    pub use crate::consumer::group::unstable::{lead, read_assignment, read_subscription, write_assignment, write_subscription};
    pub use crate::consumer::unstable::{Handed, Mark, MemberSettings, Told as MemberTold};
    pub use crate::network::line::{End, Lines, Wish as LineWish};
    pub use crate::network::sasl::unstable::{Login, Wish};
    pub use crate::network::unstable::{Connection, Told};
    pub use crate::producer::unstable::{Delivered, ProducerSettings, Taken};
}

#[cfg(feature = "client")]
pub use client::{Client, ClientBuilder};
#[cfg(feature = "client")]
pub use cluster::{Node, RawResponse, Route};
#[cfg(feature = "client")]
pub use error::{Error, ErrorKind, Result};
#[cfg(feature = "client")]
pub use record::{Header, Message, Record, RecordMetadata, TimestampType, Topic, TopicPartition};

/// The README's snippets compile.
#[cfg(all(doctest, feature = "client"))]
#[doc = include_str!("../README.md")]
struct Readme;
