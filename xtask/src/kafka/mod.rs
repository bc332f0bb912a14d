//! Real Apache Kafka on this machine: from its jars on Maven, or one broker in Docker.
//!
//! A [`Cluster`] from the jars listens on 127.0.0.1 only. Each node has a second listener, `PROXIED`, that it advertises at an
//! address where nothing of its own listens: tests put a proxy there. The folder of a cluster holds for each node its settings, its
//! log, its process id (`node-N.pid`) and the command that starts it (`node-N.cmd`, one word a line), so that tests can kill and
//! restart nodes. Before Kafka 3.3 there is one node, and beside it, in the same way, its `zookeeper`.
//! [`Secured`] is a node with TLS, SASL, users and access control.

pub(crate) mod by_hand;
mod certificates;
mod cluster;
mod docker;
mod jars;
mod java;
mod node;
mod old;
mod secured;

use std::fmt;
use std::str::FromStr;

pub(crate) use cluster::Cluster;
pub(crate) use docker::DockerBroker;
pub(crate) use jars::{class_path, fetch};
pub(crate) use secured::Secured;

/// A version of Kafka.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Version(pub(crate) u8, pub(crate) u8, pub(crate) u8);

/// The version that most tests run against.
pub(crate) const VERSION: Version = Version(4, 3, 1);

/// The versions that `real/tests/versions.rs` runs against besides: the oldest that is promised and one before it, the last of the
/// second and third line, and the newest.
pub(crate) const OTHER_VERSIONS: [Version; 5] =
    [Version(2, 0, 1), Version(2, 1, 1), Version(2, 8, 2), Version(3, 9, 2), Version(4, 4, 0)];

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.0, self.1, self.2)
    }
}

impl FromStr for Version {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let numbers: Vec<u8> = text.split('.').map_while(|part| part.parse().ok()).collect();
        match (numbers.as_slice(), text.split('.').count()) {
            (&[major, minor, patch], 3) => Ok(Self(major, minor, patch)),
            _ => Err(format!("a version of Kafka has three numbers, as in {VERSION}, unlike `{text}`")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Version;

    #[test]
    fn versions_are_read_and_compare_by_number() {
        assert_eq!("2.8.2".parse(), Ok(Version(2, 8, 2)));
        assert!(Version(2, 10, 0) > Version(2, 9, 9));
        for wrong in ["", "2", "2.8", "2.8.x", "2.8.2.1", "0.11.0.3"] {
            assert!(wrong.parse::<Version>().is_err(), "{wrong}");
        }
    }
}
