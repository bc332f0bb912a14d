//! Random histories of one partition beside a model that copies every replica's records in full.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use bytes::Bytes;
use klamm::protocol::header::{decode_response, encode_request};
use klamm::protocol::messages::produce::{PartitionProduceData, ProduceRequest, ProduceResponse, TopicProduceData};
use klamm::protocol::records::{BatchBuilder, Compression, Limits, NO_HEADERS};
use klamm::protocol::{ApiKey, ApiMessage, ErrorCode, Records, TopicName};

use crate::core::log::Log;
use crate::core::topics::{Partition, scramble, text};
use crate::core::{Action, Core, Election, Settings};
use crate::script::{ConnectionId, Intercept};

const TOPIC: &str = "orders";

/// A cluster of three, one partition with a replica on each.
struct World {
    core: Core,
    now: Instant,
    chance: (u64, u64),
    /// What each node has.
    model: BTreeMap<i32, Vec<u64>>,
    running: BTreeSet<i32>,
    held: BTreeSet<i32>,
    /// Produced and not answered: the number, and whether all replicas are to have it.
    pending: BTreeMap<ConnectionId, (u64, i16)>,
    /// Acknowledged by all replicas, and not lost by an unclean election since.
    acknowledged: BTreeSet<u64>,
    next: u64,
    high_watermark: i64,
    codes: BTreeMap<ErrorCode, usize>,
}

fn batch(number: u64, (producer_id, epoch, sequence): (i64, i16, i32)) -> Bytes {
    let mut builder = BatchBuilder::new(256);
    builder.append(1_700_000_000_000, None, Some(&number.to_be_bytes()), NO_HEADERS).expect("room");
    builder.close(Compression::None).expect("no codec").stamp(producer_id, epoch, sequence, false)
}

fn numbers(log: &Log) -> Vec<u64> {
    let mut all = Vec::new();
    for batch in log.batches() {
        let records = batch.records(Limits::default()).expect("good records");
        let number = |value: Option<&[u8]>| u64::from_be_bytes(value.expect("a value").try_into().expect("eight bytes"));
        all.extend(records.iter().map(|record| number(record.expect("a record").value)));
    }
    all
}

impl World {
    fn new(seed: u64, settings: Settings) -> Self {
        let now = Instant::now();
        let addresses = (1..=3).map(|node| (format!("node-{node}"), 9092)).collect();
        let mut core = Core::new(now, 1_700_000_000_000, Settings { nodes: 3, ..settings }, addresses);
        assert!(core.create_default_topic(&TopicName(text(TOPIC)), 1));
        Self {
            core,
            now,
            chance: (seed, 0),
            model: (1..=3).map(|node| (node, Vec::new())).collect(),
            running: (1..=3).collect(),
            held: BTreeSet::new(),
            pending: BTreeMap::new(),
            acknowledged: BTreeSet::new(),
            next: 0,
            high_watermark: 0,
            codes: BTreeMap::new(),
        }
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.chance.1 += 1;
        scramble(self.chance.0, self.chance.1) % bound
    }

    fn node(&mut self) -> i32 {
        1 + self.below(3) as i32
    }

    fn partition(&self) -> &Partition {
        self.core.partition(TOPIC, 0).expect("a partition")
    }

    fn produce(&mut self, acks: i16, producer: (i64, i16, i32)) {
        let Some(leader) = self.partition().leader else { return };
        let number = self.next;
        self.next += 1;
        let data = PartitionProduceData { index: 0, records: Some(Records(batch(number, producer))) };
        let topic = TopicProduceData { name: TopicName(text(TOPIC)), partition_data: vec![data], ..Default::default() };
        let request = ProduceRequest { acks, timeout_ms: 10_000, topic_data: vec![topic], ..Default::default() };
        let connection = self.core.handle_connected(leader, "client");
        let mut frame = Bytes::from(encode_request(7, None, 9, &request).expect("fits").concat());
        self.pending.insert(connection, (number, acks));
        let end = self.partition().log.end_offset();
        let seen = self.core.handle_frame(self.now, connection, &frame.split_off(4)).expect("a request");
        self.core.handle_request(self.now, seen, Intercept::Pass);
        if self.partition().log.end_offset() > end {
            self.model.get_mut(&leader).expect("a node").push(number);
            self.follow();
        }
    }

    /// In the model, followers that run and are not held have what the leader has.
    fn follow(&mut self) {
        let Some(leader) = self.partition().leader else { return };
        let history = self.model[&leader].clone();
        for node in self.running.difference(&self.held).filter(|node| **node != leader) {
            self.model.insert(*node, history.clone());
        }
    }

    /// Takes answers, then compares everything.
    fn check(&mut self, unclean: bool, seed: u64, step: usize) {
        self.follow();
        while let Some(action) = self.core.poll() {
            let Action::Send(connection, parts) = action else { continue };
            let (number, acks) = self.pending.remove(&connection).expect("it was asked");
            let mut frame = Bytes::from(parts.concat());
            let (_, body) = decode_response(&frame.split_off(4), ApiKey::PRODUCE, true).expect("a header");
            let response = ProduceResponse::decode(&body, 9).expect("an answer");
            let code = response.responses[0].partition_responses[0].error_code;
            *self.codes.entry(code).or_default() += 1;
            if acks == -1 && code == ErrorCode::NONE {
                self.acknowledged.insert(number);
            }
            self.core.handle_closed(connection);
        }
        let at = format!("seed {seed}, step {step}");
        let partition = self.core.partition(TOPIC, 0).expect("a partition");
        let all = numbers(&partition.log);
        for (node, model) in &self.model {
            assert_eq!(partition.end_of(*node), Some(model.len() as i64), "{at}: the end of node {node}");
            match partition.own_log(*node) {
                Some(own) => {
                    assert_eq!(numbers(own), *model, "{at}: the history of node {node}");
                    let shared = own.iter_shared(&partition.log);
                    assert_eq!(own.shared_with(&partition.log), shared, "{at}: node {node} and the leader");
                }
                None => assert_eq!(all[..model.len()], model[..], "{at}: node {node} has a beginning of the leader's log"),
            }
        }
        let high_watermark = partition.log.high_watermark();
        let committed = &all[..usize::try_from(high_watermark).expect("small")];
        for node in &partition.isr {
            let model = &self.model[node];
            assert!(model.starts_with(committed), "{at}: node {node} is in sync and lacks something below the high watermark");
        }
        if unclean {
            self.acknowledged.retain(|number| all.contains(number));
        } else {
            assert!(high_watermark >= self.high_watermark, "{at}: the high watermark went back from {}", self.high_watermark);
        }
        self.high_watermark = high_watermark;
        let lost: Vec<_> = self.acknowledged.iter().filter(|number| !committed.contains(number)).collect();
        assert!(lost.is_empty(), "{at}: acknowledged by all and lost: {lost:?}");
        if let Some(leader) = partition.leader {
            assert!(self.running.contains(&leader) && partition.isr.contains(&leader), "{at}: the leader is in sync and runs");
        }
    }

    fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(at) = self.core.next_timeout().filter(|at| *at <= end) {
            self.now = at.max(self.now);
            self.core.handle_timeout(self.now);
        }
        self.now = end;
    }

    /// One random thing; gives whether it was an unclean election.
    fn step(&mut self) -> bool {
        let node = self.node();
        match self.below(20) {
            0..=4 => self.produce(-1, (-1, -1, -1)),
            5..=8 => self.produce(1, (-1, -1, -1)),
            9 | 10 => {
                self.held.insert(node);
                self.core.hold_replication(self.now, node);
            }
            11 | 12 => {
                self.held.remove(&node);
                self.core.release_replication(self.now, node);
            }
            13 => {
                self.running.remove(&node);
                self.core.stop_node(self.now, node);
            }
            14 | 15 => {
                self.running.insert(node);
                self.core.start_node(self.now, node);
            }
            16 => {
                let time = Duration::from_millis(self.below(40_000));
                self.pass(time);
            }
            17 => {
                let offset = self.below(1 + self.partition().log.end_offset() as u64);
                self.replicate_up_to(node, offset as usize);
            }
            18 => {
                self.core.elect_leader(self.now, TOPIC, 0, Election::Preferred);
            }
            _ => {
                let is_clean = self.partition().isr.contains(&node);
                let elected = self.core.elect_leader(self.now, TOPIC, 0, Election::Unclean(Some(node)));
                return elected && !is_clean;
            }
        }
        false
    }

    fn replicate_up_to(&mut self, node: i32, offset: usize) {
        self.core.replicate_up_to(self.now, TOPIC, 0, node, offset as i64);
        let Some(leader) = self.partition().leader else { return };
        let follows = self.running.contains(&node) && !self.held.contains(&node);
        if leader == node || follows || !self.running.contains(&node) {
            return;
        }
        let (own, history) = (&self.model[&node], &self.model[&leader]);
        let shared = own.iter().zip(history).take_while(|(own, other)| own == other).count();
        let has = history[..shared.max(offset)].to_vec();
        self.model.insert(node, has);
    }
}

impl Partition {
    /// A replica's own log; `None` if it is a beginning of the leader's.
    fn own_log(&self, node: i32) -> Option<&Log> {
        match self.behind.get(&node) {
            Some(super::Has::Apart(log)) => Some(log),
            _ => None,
        }
    }
}

impl Log {
    /// How many records two logs share, counted.
    fn iter_shared(&self, other: &Self) -> i64 {
        let (own, other) = (numbers(self), numbers(other));
        own.iter().zip(&other).take_while(|(own, other)| own == other).count() as i64
    }
}

#[test]
fn random_histories_lose_nothing_that_was_acknowledged_by_all() {
    let (mut codes, mut apart, mut unclean_elections) = (BTreeMap::<ErrorCode, usize>::new(), 0, 0);
    for seed in 0..100 {
        let mut world = World::new(seed, Settings::default());
        let min = 1 + world.below(3);
        world.core.set_topic_config(TOPIC, "min.insync.replicas", Some(&min.to_string()));
        world.core.look_at_configs(world.now);
        for step in 0..150 {
            let unclean = world.step();
            unclean_elections += usize::from(unclean);
            world.check(unclean, seed, step);
            apart += (1..=3).filter(|node| world.partition().own_log(*node).is_some()).count();
        }
        for (code, count) in world.codes {
            *codes.entry(code).or_default() += count;
        }
    }
    // The histories have come by all that is to be seen.
    for code in [ErrorCode::NONE, ErrorCode::REQUEST_TIMED_OUT, ErrorCode::NOT_ENOUGH_REPLICAS, ErrorCode::NOT_LEADER_OR_FOLLOWER]
    {
        assert!(codes.get(&code).is_some_and(|count| *count > 20), "{code:?} in {codes:?}");
    }
    assert!(apart > 50 && unclean_elections > 50, "{apart} histories apart, {unclean_elections} unclean elections");
}

#[test]
fn a_lost_batch_is_not_taken_for_a_repetition() {
    let mut world = World::new(0, Settings::default());
    world.produce(-1, (7, 0, 0));
    world.core.hold_replication(world.now, 2);
    world.core.hold_replication(world.now, 3);
    world.held.extend([2, 3]);
    world.produce(1, (7, 0, 1));
    world.check(false, 0, 0);
    assert_eq!(world.partition().log.end_offset(), 2);
    world.running.remove(&1);
    world.core.stop_node(world.now, 1);
    world.check(false, 0, 1);
    assert_eq!((world.partition().leader, world.partition().log.end_offset()), (Some(2), 1));
    // The one before is known again, the lost one is new.
    world.produce(1, (7, 0, 0));
    assert_eq!(world.partition().log.end_offset(), 1);
    world.produce(1, (7, 0, 1));
    assert_eq!(world.partition().log.end_offset(), 2);
}

#[test]
fn the_last_in_sync_waits_for_its_node_and_has_everything() {
    let mut world = World::new(0, Settings::default());
    world.core.hold_replication(world.now, 2);
    world.core.hold_replication(world.now, 3);
    world.held.extend([2, 3]);
    world.produce(1, (-1, -1, -1));
    world.pass(Duration::from_secs(30));
    assert_eq!(world.partition().isr, BTreeSet::from([1]));
    world.check(false, 0, 0);
    assert_eq!(world.high_watermark, 1);
    world.running.remove(&1);
    world.core.stop_node(world.now, 1);
    assert_eq!((world.partition().leader, world.partition().leader_epoch), (None, 1));
    world.running.insert(1);
    world.core.start_node(world.now, 1);
    assert_eq!((world.partition().leader, world.partition().leader_epoch), (Some(1), 2));
    world.check(false, 0, 1);
}

#[test]
fn an_unclean_election_is_made_where_it_is_allowed() {
    let mut world = World::new(0, Settings { unclean_leader_election: true, ..Settings::default() });
    world.core.hold_replication(world.now, 2);
    world.held.insert(2);
    world.running.remove(&3);
    world.core.stop_node(world.now, 3);
    world.produce(-1, (-1, -1, -1));
    world.pass(Duration::from_secs(30));
    world.check(false, 0, 0);
    world.running.remove(&1);
    world.core.stop_node(world.now, 1);
    world.check(true, 0, 1);
    assert_eq!((world.partition().leader, world.partition().log.end_offset()), (Some(2), 0));
    assert_eq!(world.partition().end_of(1), Some(1), "it is still on its disk");
    world.running.insert(1);
    world.core.start_node(world.now, 1);
    world.check(false, 0, 2);
    assert_eq!(world.partition().end_of(1), Some(0));
}
