//! Real Apache Kafka on this machine: from its jars on Maven, or one broker in Docker.
//!
//! A [`Cluster`] from the jars listens on 127.0.0.1 only. Each node has a second listener, `PROXIED`, that it advertises at an
//! address where nothing of its own listens: tests put a proxy there. `node.rs` says what is in a cluster's folder, so that tests can
//! kill and restart nodes. [`Secured`] is a node with TLS, SASL, users and access control.

pub(crate) mod by_hand;
mod certificates;
mod cluster;
mod docker;
mod jars;
mod node;
mod secured;

pub(crate) use cluster::Cluster;
pub(crate) use docker::DockerBroker;
pub(crate) use jars::{class_path, compile_peers, fetch};
pub(crate) use secured::Secured;

/// The version that tests run against.
pub(crate) const VERSION: &str = "4.3.1";
