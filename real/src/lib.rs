//! What the tests against Apache Kafka share: where the brokers are, killing and restarting nodes, Java peers, a cutting proxy, and
//! the command line under test.
//!
//! The brokers are started by `cargo xtask test`, which gives their addresses by environment. Without them every test fails and says
//! so: none is skipped. Tests share the brokers and run side by side, so each makes topics and groups of its own by [`unique`].
#![forbid(unsafe_code)]

mod command_line;
mod environment;
mod java;
mod librdkafka;
mod member;
mod node;
mod proxy;
mod secured;
mod tap;
mod topic;

pub use command_line::{Klamm, Output, klamm};
pub use environment::{bootstrap, cluster_bootstrap, example, seeds, unique};
pub use java::{JavaPeer, JavaRecord, java_read, java_write, kafka_tool};
pub use librdkafka::{librdkafka_read, librdkafka_write};
pub use member::{JavaMember, Member, Place, fill, member, places, wait_until};
pub use node::Node;
pub use proxy::Proxy;
pub use secured::{Listener, certificate};
pub use tap::Tap;
pub use topic::{as_record, connect, create, new_replicated_topic, new_topic, read_all};
