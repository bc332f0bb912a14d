//! Nodes that stop, start and replicate or not, and what a test does to partitions' leaders and histories.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use klamm::protocol::ErrorCode;

use crate::core::Core;
use crate::core::replication::Rules;

/// Nodes that are kept from replicating.
#[derive(Debug, Default)]
pub(crate) struct Holds {
    since: BTreeMap<i32, Instant>,
    /// When is next looked who is out of sync?
    next_check: Option<Instant>,
}

impl Holds {
    pub(crate) fn next_timeout(&self) -> Option<Instant> {
        self.next_check
    }
}

/// What leader a test wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Election {
    /// The first replica, if it is in sync and runs.
    Preferred,
    /// This one, or the first that runs, at the price of lost records.
    Unclean(Option<i32>),
}

impl Core {
    /// Stops a node as if its process had been killed: its connections close, another replica in sync leads. What only the killed one
    /// had is lost to the next leader's history; it keeps it on its disk until it follows again.
    pub(crate) fn stop_node(&mut self, now: Instant, id: i32) {
        self.remember_coordinators();
        let Some(node) = self.nodes.get_mut(&id) else { return };
        node.running = false;
        self.close_connections(Some(id));
        self.settle_coordinators(now);
        self.settle(now);
    }

    /// Starts a node. It cuts off what is not its leaders' history and follows them; it leads what had no other leader.
    pub(crate) fn start_node(&mut self, now: Instant, id: i32) {
        self.remember_coordinators();
        let Some(node) = self.nodes.get_mut(&id) else { return };
        node.running = true;
        self.settle_coordinators(now);
        self.settle(now);
    }

    /// Keeps a node from replicating: as a follower it stays where it is.
    pub(crate) fn hold_replication(&mut self, now: Instant, node: i32) {
        if self.nodes.contains_key(&node) && self.topics.held.insert(node) {
            self.holds.since.insert(node, now);
            let check = now + self.settings.replica_lag_time_max;
            self.holds.next_check = Some(self.holds.next_check.map_or(check, |next| next.min(check)));
            self.settle(now);
        }
    }

    /// Lets a node replicate again: it catches up at once.
    pub(crate) fn release_replication(&mut self, now: Instant, node: i32) {
        if self.topics.held.remove(&node) {
            self.holds.since.remove(&node);
            if self.holds.since.is_empty() {
                self.holds.next_check = None;
            }
            self.settle(now);
        }
    }

    /// Lets a replica that is held back have the log up to `offset`; `false` if there is no such partition.
    pub(crate) fn replicate_up_to(&mut self, now: Instant, topic: &str, partition: i32, node: i32, offset: i64) -> bool {
        let running = self.running();
        let done = self.topics.with_partition(topic, partition, &running, |partition, around| {
            partition.replicate_up_to(node, offset, around);
        });
        self.pump(now);
        done.is_some()
    }

    /// Who is behind for longer than `replica.lag.time.max.ms` is no longer in sync.
    pub(super) fn check_lag(&mut self, now: Instant) {
        if self.holds.next_check.is_none_or(|check| check > now) {
            return;
        }
        let lag = self.settings.replica_lag_time_max;
        let is_slow = |since: &Instant| now.saturating_duration_since(*since) >= lag;
        let slow: BTreeSet<_> = self.holds.since.iter().filter(|(_, since)| is_slow(since)).map(|(node, _)| *node).collect();
        for partition in self.topics.partitions_mut() {
            partition.drop_laggards(&slow);
        }
        self.topics.touch();
        // As often as Kafka looks, but for those whose time is not over yet.
        let again = now + (lag / 2).max(Duration::from_millis(1));
        let sooner = self.holds.since.values().map(|since| *since + lag).filter(|at| *at > now);
        self.holds.next_check = sooner.chain([again]).min();
    }

    pub(crate) fn move_leader(&mut self, now: Instant, topic: &str, partition: i32, leader: Option<i32>) -> bool {
        let running = self.running();
        let moved =
            self.topics.with_partition(topic, partition, &running, |partition, around| partition.move_leader(leader, around));
        self.pump(now);
        moved.is_some()
    }

    /// Elects the first of the replicas, if it is in sync and runs.
    pub(super) fn elect_preferred(&mut self, topic: &str, partition: i32) -> Result<(), ErrorCode> {
        let running = self.running();
        let elected =
            self.topics.with_partition(topic, partition, &running, |partition, around| partition.elect_preferred(around));
        elected.unwrap_or(Err(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION))
    }

    /// Elects `node`, or the first replica that runs, those in sync first; whoever leads now.
    pub(super) fn elect_unclean(&mut self, topic: &str, partition: i32, node: Option<i32>) -> Result<(), ErrorCode> {
        let running = self.running();
        let elect =
            self.topics.with_partition(topic, partition, &running, |partition, around| partition.elect_unclean(node, around));
        elect.unwrap_or(Err(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION))
    }

    /// The same for a test: the preferred replica, or with `unclean` any.
    pub(crate) fn elect_leader(&mut self, now: Instant, topic: &str, partition: i32, election: Election) -> bool {
        let elected = match election {
            Election::Preferred => self.elect_preferred(topic, partition),
            Election::Unclean(node) => self.elect_unclean(topic, partition, node),
        };
        self.pump(now);
        elected.is_ok()
    }

    /// Draws the conclusions from configurations that a test has changed.
    pub(crate) fn look_at_configs(&mut self, now: Instant) {
        self.pump(now);
    }

    /// Loses the end of a log on all replicas: what was there may be written anew under the next epoch.
    pub(crate) fn truncate(&mut self, now: Instant, topic: &str, partition: i32, from: i64) {
        if let Some(partition) = self.topics.partition_mut(topic, partition) {
            partition.truncate(from);
        }
        self.topics.touch();
        self.pump(now);
    }

    /// After nodes have come, gone or begun to lag.
    fn settle(&mut self, now: Instant) {
        let running = self.running();
        self.topics.default_rules = self.replication_rules();
        self.topics.settle(&running);
        self.pump(now);
    }

    /// After configurations of topics may have changed.
    pub(super) fn reconfigure(&mut self, now: Instant) {
        let running = self.running();
        self.topics.default_rules = self.replication_rules();
        self.topics.apply_rules(&running);
        self.schedule_retention(now);
    }

    /// For topics that do not say it themselves: what was set for all brokers, else the settings.
    pub(super) fn replication_rules(&self) -> Rules {
        let set = |key: &str| self.broker_configs.get("")?.get(key).map(String::as_str);
        let settings = &self.settings;
        Rules {
            min_isr: set("min.insync.replicas").and_then(|value| value.parse().ok()).unwrap_or(settings.min_insync_replicas),
            unclean: set("unclean.leader.election.enable").map_or(settings.unclean_leader_election, |value| value == "true"),
            moves_below_min_isr: settings.high_watermark_moves_below_min_isr,
            keeps_losses: settings.keeps_losses,
        }
    }
}
