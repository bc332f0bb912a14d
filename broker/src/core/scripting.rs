//! What a test does to the cluster beside sending requests.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use klamm::protocol::{ApiKey, TopicName, Uuid};

use crate::core::connections::State;
use crate::core::groups::{Committed, Group};
use crate::core::log::Log;
use crate::core::replication::Partition;
use crate::core::topics::{Topic, spread};
use crate::core::{Core, KafkaVersion, Node};
use crate::quota::{Quota, QuotaEntity};
use crate::script::{ConnectionId, Intercept, Reachability, SeenRequest};

impl Core {
    pub(crate) fn nodes(&self) -> &BTreeMap<i32, Node> {
        &self.nodes
    }

    pub(crate) fn requests(&self) -> impl ExactSizeIterator<Item = &SeenRequest> {
        self.requests.iter()
    }

    pub(crate) fn clear_requests(&mut self) {
        self.requests.clear();
        self.request_bytes = 0;
    }

    pub(crate) fn topic(&self, name: &str) -> Option<&Topic> {
        self.topics.get(name)
    }

    pub(crate) fn topic_names(&self) -> Vec<String> {
        self.topics.iter().map(|topic| topic.name.as_str().to_owned()).collect()
    }

    pub(crate) fn partition(&self, topic: &str, partition: i32) -> Option<&Partition> {
        self.topics.partition(topic, partition)
    }

    pub(crate) fn log(&self, topic: &str, partition: i32) -> Option<&Log> {
        Some(&self.partition(topic, partition)?.log)
    }

    /// Adds a topic as its first producer would; `false` if there is one of that name.
    pub(crate) fn create_default_topic(&mut self, name: &TopicName, partitions: i32) -> bool {
        if self.topics.get(name.as_str()).is_some() {
            return false;
        }
        let nodes: Vec<_> = self.nodes.keys().copied().collect();
        let assignment = spread(self.topics.iter().count(), partitions, self.settings.replication_factor(), &nodes);
        let running = self.running();
        self.topics.create(name, assignment, BTreeMap::new(), &running, self.settings.seed);
        true
    }

    pub(crate) fn delete_topic(&mut self, now: Instant, name: &str) -> bool {
        let deleted = self.topics.delete(name);
        self.groups.forget_topic(name);
        self.pump(now);
        deleted
    }

    pub(crate) fn add_partitions(&mut self, name: &str, count: i32) -> bool {
        let Some(topic) = self.topics.get(name) else { return false };
        let nodes: Vec<_> = self.nodes.keys().copied().collect();
        let first = topic.partitions.len();
        let more = count - i32::try_from(first).unwrap_or(i32::MAX);
        let factor = topic.partitions.first().map_or(1, |partition| partition.replicas.len());
        let assignment = spread(first, more, i16::try_from(factor).unwrap_or(i16::MAX), &nodes);
        let running = self.running();
        self.topics.add_partitions(name, assignment, &running);
        true
    }

    pub(crate) fn set_topic_config(&mut self, name: &str, key: &str, value: Option<&str>) -> bool {
        let Some(topic) = self.topics.get_mut(name) else { return false };
        match value {
            Some(value) => drop(topic.configs.insert(key.to_owned(), value.to_owned())),
            None => drop(topic.configs.remove(key)),
        }
        true
    }

    pub(crate) fn set_topic_id(&mut self, now: Instant, name: &str, id: Uuid) {
        self.topics.set_id(name, id);
        self.pump(now);
    }

    pub(crate) fn forget_producers(&mut self, topic: &str, partition: i32) {
        if let Some(partition) = self.topics.partition_mut(topic, partition) {
            partition.producers.forget();
        }
    }

    /// Closes the connections to a node, or all.
    pub(crate) fn close_connections(&mut self, node: Option<i32>) {
        let hit = |connection: &i32| node.is_none_or(|node| node == *connection);
        let ids = self.connections.iter().filter(|(_, connection)| hit(&connection.node)).map(|(id, _)| *id);
        for id in ids.collect::<Vec<_>>() {
            self.close(id);
        }
    }

    /// How many requests wait at a connection.
    pub(crate) fn queued(&self, id: ConnectionId) -> usize {
        self.connections.get(&id).map_or(0, |connection| connection.queue.len())
    }

    pub(crate) fn connections(&self, node: i32) -> Vec<ConnectionId> {
        self.connections.iter().filter(|(_, connection)| connection.node == node).map(|(id, _)| *id).collect()
    }

    pub(crate) fn set_reachability(&mut self, id: i32, reachability: Reachability) {
        if let Some(node) = self.nodes.get_mut(&id) {
            node.reachability = reachability;
        }
    }

    pub(crate) fn set_address(&mut self, id: i32, host: &str, port: u16) {
        if let Some(node) = self.nodes.get_mut(&id) {
            host.clone_into(&mut node.host);
            node.port = port;
        }
    }

    pub(crate) fn set_throttle(&mut self, throttle: Duration) {
        self.throttle = throttle;
    }

    pub(crate) fn set_versions(&mut self, api: ApiKey, versions: Option<(i16, i16)>) {
        self.settings.versions.insert(api, versions);
    }

    pub(crate) fn kafka_version(&self) -> Option<KafkaVersion> {
        self.settings.kafka_version
    }

    pub(crate) fn set_kafka_version(&mut self, version: KafkaVersion) {
        self.settings.kafka_version = Some(version);
    }

    pub(crate) fn set_quota(&mut self, entity: QuotaEntity, quota: Quota, value: Option<f64>) {
        self.quotas.set(entity, quota, value);
    }

    pub(crate) fn quota(&self, entity: &QuotaEntity, quota: Quota) -> Option<f64> {
        self.quotas.get(entity, quota)
    }

    pub(crate) fn set_auto_create_topics(&mut self, on: bool) {
        self.settings.auto_create_topics = on;
    }

    pub(crate) fn set_message_max_bytes(&mut self, bytes: i32) {
        self.settings.message_max_bytes = bytes;
    }

    pub(crate) fn group(&self, group: &str) -> Option<&Group> {
        self.groups.get(group)
    }

    pub(crate) fn set_committed(&mut self, now: Instant, group: &str, topic: &str, partition: i32, committed: Option<Committed>) {
        let offsets = &mut self.groups.get_or_create(group).offsets;
        match committed {
            Some(committed) => drop(offsets.insert((topic.to_owned(), partition), committed)),
            None => drop(offsets.remove(&(topic.to_owned(), partition))),
        }
        self.pump(now);
    }

    pub(crate) fn expire_member(&mut self, now: Instant, group: &str, member: &str) {
        self.groups.expire(now, group, member);
        self.pump(now);
    }

    pub(crate) fn rebalance_group(&mut self, now: Instant, group: &str) {
        self.groups.rebalance(now, group);
        self.pump(now);
    }

    pub(crate) fn delete_group(&mut self, now: Instant, group: &str) {
        self.groups.delete(group);
        self.transactions.staged.forget_group(group);
        self.pump(now);
    }

    /// Lets requests go that an [`Intercept::Hold`] stopped.
    pub(crate) fn release(&mut self, now: Instant) {
        for (id, connection) in &mut self.connections {
            if let State::Held = connection.state {
                connection.state = State::Idle;
                if let Some(head) = connection.queue.front_mut() {
                    head.verdict = Intercept::Pass;
                }
                self.ready.push_back(*id);
            }
        }
        self.pump(now);
    }
}
