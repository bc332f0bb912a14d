//! A pure-Rust client for Apache Kafka.
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

#[cfg(feature = "client")]
pub use client::{Client, ClientBuilder};
#[cfg(feature = "client")]
pub use cluster::{Node, Route};
#[cfg(feature = "client")]
pub use error::{Error, ErrorKind, Result};
#[cfg(feature = "client")]
pub use record::{Header, Message, Record, RecordMetadata, TimestampType, Topic, TopicPartition};
