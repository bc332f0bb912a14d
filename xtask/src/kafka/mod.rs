//! Real Apache Kafka on this machine: from its jars on Maven, or one broker in Docker.
//!
//! A [`Cluster`] from the jars listens on 127.0.0.1 only. Each node has a second listener, `PROXIED`, that it advertises at an
//! address where nothing of its own listens: tests put a proxy there. The folder of a cluster holds for each node its settings, its
//! log, its process id (`node-N.pid`) and the command that starts it (`node-N.cmd`, one word a line), so that tests can kill and
//! restart nodes.

pub(crate) mod by_hand;
mod cluster;
mod docker;
mod jars;

pub(crate) use cluster::Cluster;
pub(crate) use docker::DockerBroker;
pub(crate) use jars::{class_path, compile_peers, fetch};

/// The version that tests run against.
pub(crate) const VERSION: &str = "4.3.1";
