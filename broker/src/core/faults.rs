//! Faults that the brokers show: when they come, what they do, and when they end.
//!
//! Everything due lies in one schedule, which the core's timer looks at: faults of a plan, and the ends of faults that last. A fault that
//! waits for a request, or spoils the next ones, is asked when a request arrives, after the closures of a test. What it does to a
//! request is an [`Intercept`]. Faults of the network, and which nodes listen, are the driver's: they leave as [`Action`]s.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use klamm::protocol::messages::metadata::{MetadataRequest, MetadataResponse, MetadataResponseTopic};
use klamm::protocol::records::{Batch, ControlMarker};
use klamm::protocol::{ApiKey, ErrorCode, Str, TopicName};

use crate::core::{Action, Call, Core, Election, Group, Outcome};
use crate::faults::{BrokerFault, Fault, FencedProducer, Plan, When};
use crate::script::{ConnectionId, Intercept, PartitionError, SeenRequest};

/// Longer than any test: what has no end is still cleared by [`Core::clear_faults`].
const FOR_EVER: Duration = Duration::from_secs(100 * 365 * 86_400);

/// What is in force, and what is to come.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    schedule: BTreeMap<(Instant, u64), Due>,
    /// Numbers given to what was scheduled or lasts.
    numbered: u64,
    /// Ends of faults that last for ever, for whoever clears all.
    endless: Vec<Ending>,
    /// Faults that come before a request.
    awaited: Vec<Awaited>,
    /// What the next requests meet, the oldest first.
    spoiled: Vec<Spoiled>,
    /// Nodes whose Metadata is wrong.
    distorted: Vec<Distorted>,
    throttles: Vec<(u64, Duration)>,
}

#[derive(Debug)]
enum Due {
    Begin(Fault),
    End(Ending),
}

/// How a fault that lasts ends.
#[derive(Debug)]
enum Ending {
    Throttle(u64),
    Distortion(u64),
    Leaderless(String, i32),
    Down(i32),
    Held(i32),
    Markers,
    Unloaded(String),
    Loading(String),
    Deleted { name: TopicName, partitions: i32, configs: BTreeMap<String, String> },
}

#[derive(Debug)]
struct Awaited {
    api: ApiKey,
    /// Requests that still come before it.
    left: u32,
    fault: Fault,
}

#[derive(Debug)]
struct Spoiled {
    api: ApiKey,
    node: Option<i32>,
    left: u32,
    how: How,
}

#[derive(Debug)]
enum How {
    Error(ErrorCode),
    Partitions(Vec<PartitionError>),
    Disconnect { handled: bool },
    Late(Duration),
}

#[derive(Debug)]
struct Distorted {
    id: u64,
    node: Option<i32>,
    /// What was true when it began; `None`: everything is said twice.
    stale: Option<Arc<MetadataResponse>>,
}

impl Faults {
    pub(crate) fn next_timeout(&self) -> Option<Instant> {
        self.schedule.keys().next().map(|(at, _)| *at)
    }

    fn number(&mut self) -> u64 {
        self.numbered += 1;
        self.numbered
    }

    fn schedule(&mut self, at: Instant, due: Due) {
        let number = self.number();
        self.schedule.insert((at, number), due);
    }

    /// Has `ending` come when a fault is over that began now.
    fn end_after(&mut self, now: Instant, lasts: Option<Duration>, ending: Ending) {
        // What is so far away that no clock shows it never comes.
        match lasts.and_then(|lasts| now.checked_add(lasts)) {
            Some(at) => self.schedule(at, Due::End(ending)),
            None => self.endless.push(ending),
        }
    }

    /// What this request meets.
    fn verdict(&mut self, request: &SeenRequest) -> Intercept {
        let hit = |api: ApiKey, node: Option<i32>| request.api_key == api && node.is_none_or(|node| node == request.node);
        let spoiled = self.spoiled.iter_mut().find(|one| one.left > 0 && hit(one.api, one.node));
        if let Some(spoiled) = spoiled {
            spoiled.left -= 1;
            let verdict = match &spoiled.how {
                How::Error(code) => Intercept::Error(*code),
                How::Partitions(refused) => Intercept::PartitionErrors(refused.clone()),
                How::Disconnect { handled: true } => Intercept::ProcessThenClose,
                How::Disconnect { handled: false } => Intercept::CloseBefore,
                How::Late(delay) => Intercept::DelayResponse(*delay),
            };
            self.spoiled.retain(|spoiled| spoiled.left > 0);
            return verdict;
        }
        // The latest distortion counts.
        let Some(distorted) = self.distorted.iter().rev().find(|one| hit(ApiKey::METADATA, one.node)) else {
            return Intercept::Pass;
        };
        match distorted.stale.clone() {
            Some(known) => Intercept::edit::<MetadataRequest>(move |response| make_stale(response, &known)),
            None => Intercept::edit::<MetadataRequest>(say_twice),
        }
    }
}

/// What the driver of a plan needs of the core, in order of use.
impl Core {
    /// Begins a plan now. Its seed is the network's affair.
    pub(crate) fn run_plan(&mut self, now: Instant, plan: Plan) {
        for entry in plan.entries {
            match entry.when {
                When::After(time) => {
                    if let Some(at) = now.checked_add(time) {
                        self.faults.schedule(at, Due::Begin(entry.fault));
                    }
                }
                When::Before { api, nth } => {
                    self.faults.awaited.push(Awaited { api, left: nth.saturating_sub(1), fault: entry.fault });
                }
            }
        }
        self.handle_due_faults(now);
        self.pump(now);
    }

    /// Ends all faults that last, and forgets those that have not come yet.
    pub(crate) fn clear_faults(&mut self, now: Instant) {
        self.faults.awaited.clear();
        self.faults.spoiled.clear();
        for ending in std::mem::take(&mut self.faults.endless) {
            self.end_fault(now, ending);
        }
        for due in std::mem::take(&mut self.faults.schedule).into_values() {
            match due {
                Due::Begin(_) => {}
                Due::End(ending) => self.end_fault(now, ending),
            }
        }
        self.actions.push_back(Action::Heal);
        self.pump(now);
    }

    /// Does what is due.
    pub(super) fn handle_due_faults(&mut self, now: Instant) {
        while self.faults.next_timeout().is_some_and(|at| at <= now) {
            match self.faults.schedule.pop_first() {
                Some((_, Due::Begin(fault))) => self.apply(now, &fault),
                Some((_, Due::End(ending))) => self.end_fault(now, ending),
                None => return,
            }
        }
    }

    /// A request arrived: begins what waits for it, and says what it meets.
    pub(super) fn spoil(&mut self, now: Instant, request: &SeenRequest, verdict: Intercept) -> Intercept {
        if !self.faults.awaited.is_empty() {
            let mut begun = Vec::new();
            for awaited in std::mem::take(&mut self.faults.awaited) {
                match awaited {
                    Awaited { api, left: 0, fault } if api == request.api_key => begun.push(fault),
                    Awaited { api, left, fault } if api == request.api_key => {
                        self.faults.awaited.push(Awaited { api, left: left - 1, fault });
                    }
                    other => self.faults.awaited.push(other),
                }
            }
            for fault in begun {
                self.apply(now, &fault);
            }
        }
        match verdict {
            Intercept::Pass => self.faults.verdict(request),
            verdict => verdict,
        }
    }

    /// Has a fault happen now. What does not exist (a topic, a node) is not hit.
    pub(crate) fn apply(&mut self, now: Instant, fault: &Fault) {
        match fault {
            Fault::Network(fault) => self.actions.push_back(Action::Network(fault.clone())),
            Fault::Broker(fault) => self.apply_to_broker(now, fault),
        }
    }

    fn apply_to_broker(&mut self, now: Instant, fault: &BrokerFault) {
        match fault {
            BrokerFault::Error { api, code, times, node, partitions } => {
                let refused = |(topic, partition): &(String, i32)| PartitionError {
                    topic: topic.clone(),
                    partition: *partition,
                    code: *code,
                };
                let how = match &partitions[..] {
                    [] => How::Error(*code),
                    some => How::Partitions(some.iter().map(refused).collect()),
                };
                self.faults.spoiled.push(Spoiled { api: *api, node: *node, left: *times, how });
            }
            BrokerFault::Disconnect { api, times, node, handled } => {
                let how = How::Disconnect { handled: *handled };
                self.faults.spoiled.push(Spoiled { api: *api, node: *node, left: *times, how });
            }
            BrokerFault::LateAnswer { api, times, node, delay } => {
                self.faults.spoiled.push(Spoiled { api: *api, node: *node, left: *times, how: How::Late(*delay) });
            }
            BrokerFault::Throttle { throttle, lasts } => {
                let id = self.faults.number();
                self.faults.throttles.push((id, *throttle));
                self.faults.end_after(now, *lasts, Ending::Throttle(id));
                self.take_longest_throttle();
            }
            BrokerFault::StaleMetadata { node, lasts } => {
                let known = Some(Arc::new(self.all_metadata(now)));
                self.distort(now, *node, known, *lasts);
            }
            BrokerFault::DuplicateMetadata { node, lasts } => self.distort(now, *node, None, *lasts),
            BrokerFault::MoveLeader { topic, partition, to } => {
                let next = to.or_else(|| self.next_leader(topic, *partition));
                if next.is_some_and(|node| self.nodes.contains_key(&node)) {
                    self.move_leader(now, topic, *partition, next);
                }
            }
            BrokerFault::LoseLeader { topic, partition, lasts } => {
                if self.move_leader(now, topic, *partition, None) {
                    self.faults.end_after(now, *lasts, Ending::Leaderless(topic.clone(), *partition));
                }
            }
            BrokerFault::Truncate { topic, partition, records } => {
                let Some(end) = self.log(topic, *partition).map(|log| log.end_offset()) else { return };
                let from = end.saturating_sub(i64::try_from(*records).unwrap_or(i64::MAX));
                self.truncate(now, topic, *partition, from);
            }
            BrokerFault::FenceProducer { of } => self.fence(now, of),
            BrokerFault::ExpireSessions { group } => {
                let members = self.group(group).and_then(Group::classic).map(|classic| classic.members.keys().cloned());
                for member in members.map(Iterator::collect::<Vec<_>>).unwrap_or_default() {
                    self.expire_member(now, group, member.as_str());
                }
            }
            BrokerFault::UncleanElection { topic, partition, to } => {
                self.elect_leader(now, topic, *partition, Election::Unclean(*to));
            }
            BrokerFault::HoldReplication { node, lasts } => {
                self.hold_replication(now, *node);
                self.faults.end_after(now, *lasts, Ending::Held(*node));
            }
            BrokerFault::HoldMarkers { lasts } => {
                self.hold_markers(now, true);
                self.faults.end_after(now, *lasts, Ending::Markers);
            }
            BrokerFault::KillNode { node, loses_unreplicated, lasts } => {
                if self.nodes.get(node).is_some_and(|node| node.running) {
                    if !loses_unreplicated {
                        self.replicate_all_of(now, *node);
                    }
                    self.actions.push_back(Action::StopListening(*node));
                    self.stop_node(now, *node);
                    self.faults.end_after(now, *lasts, Ending::Down(*node));
                }
            }
            BrokerFault::RestartNode { node, at_new_address } => self.restart_node(now, *node, *at_new_address),
            BrokerFault::ClockJump { by_millis } => self.wall_millis = self.wall_millis.saturating_add(*by_millis),
            BrokerFault::DeleteTopic { topic, recreate_after } => {
                let Some(known) = self.topics.get(topic) else { return };
                let partitions = i32::try_from(known.partitions.len()).unwrap_or(i32::MAX);
                let ending = Ending::Deleted { name: known.name.clone(), partitions, configs: known.configs.clone() };
                self.delete_topic(now, topic);
                if recreate_after.is_some() {
                    self.faults.end_after(now, *recreate_after, ending);
                }
            }
            BrokerFault::ExpireCredentials { node } => {
                for connection in self.connections.values_mut() {
                    if node.is_none_or(|node| node == connection.node) {
                        connection.login.expire(now);
                    }
                }
            }
            BrokerFault::MoveCoordinator { of, to } => {
                let next = to.or_else(|| self.next_coordinator(of.key()));
                if let Some(node) = next.filter(|node| self.nodes.contains_key(node)) {
                    self.move_coordinator(now, of.key(), node, Duration::ZERO);
                }
            }
            BrokerFault::UnloadCoordinator { of, lasts } => {
                // One that is on ends it.
                if !self.is_unloaded(of.key()) {
                    self.unload_coordinator(now, of.key());
                    self.faults.end_after(now, *lasts, Ending::Unloaded(of.key().to_owned()));
                }
            }
            BrokerFault::LoadCoordinator { of, lasts } => {
                let Some(node) = self.coordinator_of(of.key()) else { return };
                self.move_coordinator(now, of.key(), node, lasts.unwrap_or(FOR_EVER).min(FOR_EVER));
                self.faults.end_after(now, *lasts, Ending::Loading(of.key().to_owned()));
            }
        }
    }

    fn end_fault(&mut self, now: Instant, ending: Ending) {
        match ending {
            Ending::Throttle(id) => {
                self.faults.throttles.retain(|(other, _)| *other != id);
                self.take_longest_throttle();
            }
            Ending::Distortion(id) => self.faults.distorted.retain(|distorted| distorted.id != id),
            Ending::Leaderless(topic, partition) => {
                if self.partition(&topic, partition).is_some_and(|partition| partition.leader.is_none()) {
                    let next = self.next_leader(&topic, partition);
                    self.move_leader(now, &topic, partition, next);
                }
            }
            Ending::Down(node) => {
                if self.nodes.get(&node).is_some_and(|node| !node.running) {
                    self.restart_node(now, node, false);
                }
            }
            Ending::Markers => self.hold_markers(now, false),
            Ending::Held(node) => self.release_replication(now, node),
            Ending::Unloaded(key) => self.load_coordinator(now, &key),
            Ending::Loading(key) => {
                if let Some(node) = self.coordinator_of(&key) {
                    self.move_coordinator(now, &key, node, Duration::ZERO);
                }
            }
            Ending::Deleted { name, partitions, configs } => {
                if self.create_default_topic(&name, partitions)
                    && let Some(topic) = self.topics.get_mut(name.as_str())
                {
                    topic.configs = configs;
                }
            }
        }
    }

    fn distort(&mut self, now: Instant, node: Option<i32>, stale: Option<Arc<MetadataResponse>>, lasts: Option<Duration>) {
        let id = self.faults.number();
        self.faults.distorted.push(Distorted { id, node, stale });
        self.faults.end_after(now, lasts, Ending::Distortion(id));
    }

    fn take_longest_throttle(&mut self) {
        self.throttle = self.faults.throttles.iter().map(|(_, throttle)| *throttle).max().unwrap_or_default();
    }

    /// What a client that asks for everything hears.
    fn all_metadata(&mut self, now: Instant) -> MetadataResponse {
        let call = Call {
            connection: ConnectionId(0),
            node: 0,
            api_key: ApiKey::METADATA,
            version: 1,
            correlation_id: 0,
            client_id: None,
            host: Str::default(),
            refused: Vec::new(),
        };
        match self.metadata(now, &call, MetadataRequest { topics: None, ..Default::default() }) {
            Outcome::Reply(response) => response,
            _ => MetadataResponse::default(),
        }
    }

    /// The replica in sync behind the present leader that runs; the leader itself if it is the only one.
    fn next_leader(&self, topic: &str, partition: i32) -> Option<i32> {
        let partition = self.partition(topic, partition)?;
        let replicas: Vec<_> = partition.replicas.iter().filter(|node| partition.isr.contains(node)).collect();
        let leader = partition.leader.and_then(|leader| replicas.iter().position(|node| **node == leader));
        let first = leader.map_or(0, |leader| leader + 1);
        let mut from_first = replicas.iter().cycle().skip(first).take(replicas.len());
        from_first.find(|id| self.nodes.get(id).is_some_and(|node| node.running)).map(|id| **id)
    }

    /// Has all followers of the partitions that a node leads catch up, held back or not.
    fn replicate_all_of(&mut self, now: Instant, node: i32) {
        let mut led = Vec::new();
        for topic in self.topics.iter() {
            for (index, partition) in (0..).zip(&topic.partitions).filter(|(_, partition)| partition.leader == Some(node)) {
                let (name, end) = (topic.name.as_str().to_owned(), partition.log.end_offset());
                led.extend(partition.replicas.iter().map(|replica| (name.clone(), index, *replica, end)));
            }
        }
        for (topic, index, replica, end) in led.into_iter().filter(|(_, _, replica, _)| *replica != node) {
            self.replicate_up_to(now, &topic, index, replica, end);
        }
    }

    fn next_coordinator(&self, key: &str) -> Option<i32> {
        let present = self.coordinator_of(key)?;
        let running = self.running();
        running.range(present + 1..).chain(running.range(..present)).next().copied()
    }

    /// Starts a node, stopping it before if it runs; perhaps at another port.
    fn restart_node(&mut self, now: Instant, id: i32, elsewhere: bool) {
        let Some(running) = self.nodes.get(&id).map(|node| node.running) else { return };
        if running {
            self.stop_node(now, id);
        }
        if elsewhere && let Some(node) = self.nodes.get_mut(&id) {
            // Where ports are real, the driver finds a free one.
            node.port = node.port.checked_add(1).unwrap_or(1024);
        }
        self.actions.push_back(Action::Listen { node: id, elsewhere });
        self.start_node(now, id);
    }

    /// Raises a producer's epoch in all partitions that know it, as another one's first batch or a marker would.
    fn fence(&mut self, now: Instant, of: &FencedProducer) {
        let id = match of {
            FencedProducer::Id(id) => *id,
            FencedProducer::TransactionalId(name) => {
                self.fence_producer(now, name);
                return;
            }
        };
        let mut epoch = 0;
        let wall_millis = self.wall_millis(now);
        for partition in self.topics.partitions_mut() {
            let epochs = partition.log.batches().filter(|batch| batch.producer_id() == id).map(Batch::producer_epoch);
            let Some(known) = epochs.max() else { continue };
            epoch = epoch.max(known.saturating_add(1));
            let marker = ControlMarker::end_of_transaction(false, 0).batch(wall_millis, id, epoch);
            if let Ok(marker) = Batch::new(marker) {
                partition.producers.appended(&marker, -1, -1);
            }
        }
    }
}

/// Says what was true before about all that is asked for; what was not there is unknown.
fn make_stale(response: &mut MetadataResponse, known: &MetadataResponse) {
    response.brokers.clone_from(&known.brokers);
    response.controller_id = known.controller_id;
    for topic in &mut response.topics {
        let Some(name) = &topic.name else { continue };
        match known.topics.iter().find(|known| known.name.as_ref() == Some(name)) {
            Some(known) => topic.clone_from(known),
            None => {
                *topic = MetadataResponseTopic {
                    error_code: ErrorCode::UNKNOWN_TOPIC_OR_PARTITION,
                    name: Some(name.clone()),
                    topic_id: topic.topic_id,
                    ..Default::default()
                };
            }
        }
    }
}

fn say_twice(response: &mut MetadataResponse) {
    for topic in &mut response.topics {
        topic.partitions.extend_from_within(..);
    }
    response.topics.extend_from_within(..);
    response.brokers.extend_from_within(..);
}

#[cfg(test)]
mod tests;
