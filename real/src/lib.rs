//! What the tests against Apache Kafka share: where the brokers are, killing and restarting nodes, peers with other clients, a cutting
//! proxy, the command line under test, and traces that Kafka and klamm-broker are both asked.
//!
//! The brokers are started by `cargo xtask test`, which gives their addresses by environment. Without them every test fails and says
//! so: none is skipped. Tests share the brokers and run side by side, so each makes topics and groups of its own by [`unique`].
#![forbid(unsafe_code)]

mod command_line;
mod compare;
mod environment;
mod java;
mod librdkafka;
mod member;
mod node;
mod peer;
mod proxy;
mod secured;
mod shown;
mod tap;
mod topic;
pub mod trace;

pub use command_line::{Klamm, Output, klamm};
pub use compare::{CODECS, as_peer_record, assert_same, from_messages, sorted, stored_codecs, value};
pub use environment::{bootstrap, cluster_bootstrap, example, seeds, unique, version_bootstrap};
pub use java::{java_read, java_write, kafka_tool};
pub use librdkafka::{Destination, librdkafka_group_read, librdkafka_metadata, librdkafka_read, librdkafka_write};
pub use member::{Member, PeerMember, Place, all_places, fill, member, places, together, wait_until};
pub use node::Node;
pub use peer::{OtherClient, Peer, PeerRecord};
pub use proxy::Proxy;
pub use secured::{Listener, certificate};
pub use shown::shown;
pub use tap::Tap;
pub use topic::{as_record, connect, create, new_replicated_topic, new_topic, read_all};
