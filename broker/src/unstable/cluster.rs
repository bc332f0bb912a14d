//! The core as a cluster of several nodes, with what a test does to it: for simulators.

use std::time::{Duration, Instant};

use bytes::Bytes;
use klamm::protocol::records::Batch;
use klamm::protocol::{TopicName, Uuid};

use super::Core;
use crate::core::{self, Settings};
use crate::script::{ConnectionId, Intercept, SaslMechanism, SeenRequest};

impl Core {
    /// A cluster of so many nodes, from number 1; node n listens on `node-n`, port 9092. With these topics and numbers of partitions.
    pub fn cluster(now: Instant, nodes: i32, topics: &[(&str, i32)], seed: u64) -> Self {
        let settings = Settings { nodes, seed, request_log_bytes: 0, keeps_losses: true, ..Settings::default() };
        let addresses = (1..=nodes).map(|node| (format!("node-{node}"), 9092)).collect();
        let mut core = core::Core::new(now, 1_700_000_000_000, settings, addresses);
        for (name, partitions) in topics {
            if let Ok(name) = TopicName::try_from(*name) {
                core.create_default_topic(&name, *partitions);
            }
        }
        Self { core }
    }

    /// Adds a user: whoever connects from now on has to log in, and is believed for so long.
    pub fn set_user(&mut self, mechanism: SaslMechanism, name: &str, password: &str, believed: Option<Duration>) {
        self.core.set_sasl_user(mechanism, name, password);
        self.core.set_session_lifetime(believed);
    }

    /// What the nodes take for the time of day: milliseconds since 1970.
    pub fn wall_millis(&self, now: Instant) -> i64 {
        self.core.wall_millis(now)
    }

    /// The address of a node.
    pub fn address(&self, node: i32) -> Option<(&str, u16)> {
        self.core.nodes().get(&node).map(|node| (node.host.as_str(), node.port))
    }

    /// Gives a node another address.
    pub fn set_address(&mut self, node: i32, host: &str, port: u16) {
        self.core.set_address(node, host, port);
    }

    /// A client connected to a node; `None` if the node does not run.
    pub fn connect_to(&mut self, node: i32, client: &str) -> Option<ConnectionId> {
        let runs = self.core.nodes().get(&node).is_some_and(|node| node.running);
        runs.then(|| self.core.handle_connected(node, client))
    }

    /// A frame came, without its length; `verdict` says what becomes of the request in it.
    pub fn receive_with(
        &mut self,
        now: Instant,
        connection: ConnectionId,
        frame: &Bytes,
        verdict: impl FnOnce(&SeenRequest) -> Intercept,
    ) {
        if let Some(request) = self.core.handle_frame(now, connection, frame) {
            let verdict = verdict(&request);
            self.core.handle_request(now, request, verdict);
        }
    }

    /// A node's process dies.
    pub fn stop_node(&mut self, now: Instant, node: i32) {
        self.core.stop_node(now, node);
    }

    /// It is there again.
    pub fn start_node(&mut self, now: Instant, node: i32) {
        self.core.start_node(now, node);
    }

    /// Another node leads a partition, or none; `false` if there is no such partition or no such replica.
    pub fn move_leader(&mut self, now: Instant, topic: &str, partition: i32, leader: Option<i32>) -> bool {
        self.core.move_leader(now, topic, partition, leader)
    }

    /// Every answer asks for this pause.
    pub fn set_throttle(&mut self, throttle: Duration) {
        self.core.set_throttle(throttle);
    }

    /// Another node coordinates a group.
    pub fn set_coordinator(&mut self, now: Instant, group: &str, node: i32) {
        self.core.move_coordinator(now, group, node, Duration::ZERO);
    }

    /// All members of a group have to join again.
    pub fn rebalance_group(&mut self, now: Instant, group: &str) {
        self.core.rebalance_group(now, group);
    }

    /// How many members a group has.
    pub fn member_count(&self, group: &str) -> usize {
        self.core.group(group).and_then(core::Group::classic).map_or(0, |classic| classic.members.len())
    }

    /// The batches of a partition.
    pub fn batches(&self, topic: &str, partition: i32) -> Vec<Batch> {
        self.core.log(topic, partition).map(|log| log.batches().cloned().collect()).unwrap_or_default()
    }

    /// Those of them that begin at an offset or behind it.
    pub fn batches_from(&self, topic: &str, partition: i32, offset: i64) -> Vec<Batch> {
        let Some(log) = self.core.log(topic, partition).filter(|log| log.end_offset() > offset) else { return Vec::new() };
        log.batches().filter(|batch| batch.base_offset() >= offset).cloned().collect()
    }

    /// The id of a topic.
    pub fn topic_id(&self, topic: &str) -> Option<Uuid> {
        self.core.topic(topic).map(|topic| topic.id)
    }

    /// Who leads a partition.
    pub fn leader(&self, topic: &str, partition: i32) -> Option<i32> {
        self.core.partition(topic, partition)?.leader
    }

    /// The offset after the last of a partition; `None` if there is no such partition.
    pub fn log_end(&self, topic: &str, partition: i32) -> Option<i64> {
        self.core.log(topic, partition).map(|log| log.high_watermark())
    }

    /// What a group has committed for a partition.
    pub fn committed(&self, group: &str, topic: &str, partition: i32) -> Option<i64> {
        self.core.group(group)?.offsets.get(&(topic.to_owned(), partition)).map(|committed| committed.offset)
    }
}
