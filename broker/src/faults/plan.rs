//! Plans: which fault comes when. Written by hand, read from a file, or drawn from a seed.

use std::time::Duration;

use klamm::protocol::{ApiKey, ErrorCode};

use crate::core::scramble;
use crate::faults::{BrokerFault, Coordinated, Direction, Fault, FencedProducer, Kind, NetworkEffect, NetworkFault};

/// A list of faults and their times.
///
/// ```
/// use std::time::Duration;
/// use klamm_broker::faults::{BrokerFault, NetworkEffect, Plan};
/// use klamm::protocol::ApiKey;
///
/// let plan = Plan::new()
///     .after(Duration::from_secs(2), BrokerFault::MoveLeader { topic: "orders".into(), partition: 0, to: Some(2) })
///     .before(ApiKey::PRODUCE, 3, NetworkEffect::Cut { after: 100, connections: 1 });
/// assert_eq!(plan.entries.len(), 2);
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
#[must_use]
pub struct Plan {
    /// What the network's chance comes from: jitter. Default 0.
    pub seed: u64,
    /// The faults. Their order counts only for those of the same moment.
    pub entries: Vec<Entry>,
}

/// A fault and its time.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// When it happens.
    pub when: When,
    /// What happens.
    pub fault: Fault,
}

/// When a fault happens.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum When {
    /// So long after the plan's start.
    After(Duration),
    /// Right before a node looks at a request.
    Before {
        /// Of this API.
        api: ApiKey,
        /// The first that comes after the plan's start is 1. All nodes' requests count.
        nth: u32,
    },
}

impl Plan {
    /// One without faults.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a fault that happens so long after the start.
    pub fn after(mut self, time: Duration, fault: impl Into<Fault>) -> Self {
        self.entries.push(Entry { when: When::After(time), fault: fault.into() });
        self
    }

    /// Adds a fault that happens before the `nth` request of an API, counted from 1.
    pub fn before(mut self, api: ApiKey, nth: u32, fault: impl Into<Fault>) -> Self {
        self.entries.push(Entry { when: When::Before { api, nth }, fault: fault.into() });
        self
    }

    /// The same plan without one of its entries: how a plan that shows a mistake is made smaller.
    pub fn without(&self, index: usize) -> Self {
        let kept = self.entries.iter().enumerate().filter(|(at, _)| *at != index);
        Self { seed: self.seed, entries: kept.map(|(_, entry)| entry.clone()).collect() }
    }

    /// Draws a plan. The same seed and shape give the same plan; another seed most likely another.
    ///
    /// What it draws ends: each fault that lasts is over by [`Shape::duration`], or, if it comes before a request, a quarter of that after it
    /// began; nodes that were killed have started again; topics that were deleted are there again. So a client gets through in the end; but a
    /// transactional producer that was fenced stays so.
    pub fn random(seed: u64, shape: &Shape) -> Self {
        let mut chance = Chance { seed, drawn: 0 };
        let kinds: Vec<_> = shape.kinds.iter().copied().filter(|kind| shape.can_have(*kind)).collect();
        // Files have signed numbers.
        let mut plan = Self { seed: chance.next() >> 1, entries: Vec::new() };
        let (least, most) = (*shape.faults.start(), *shape.faults.end());
        let count = least + chance.below(most.saturating_sub(least) as u64 + 1) as usize;
        for _ in 0..count {
            let Some(kind) = chance.one_of(&kinds).copied() else { break };
            let entry = shape.entry(&mut chance, kind);
            plan.entries.extend(entry);
        }
        plan
    }
}

/// What [`Plan::random`] may use.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Shape {
    /// Nodes of the cluster, numbered from 1. Default 3.
    pub nodes: i32,
    /// Topics and their numbers of partitions. Default none.
    pub topics: Vec<(String, i32)>,
    /// Groups. Default none.
    pub groups: Vec<String>,
    /// Transactional ids. Default none.
    pub transactional_ids: Vec<String>,
    /// APIs whose requests fail or are waited for. Default: those that producers and consumers use.
    pub apis: Vec<ApiKey>,
    /// Within so long all begins. Default 10 s.
    pub duration: Duration,
    /// How many faults. Default 1 to 8.
    pub faults: std::ops::RangeInclusive<usize>,
    /// Kinds to draw from; those that need what is not there (a topic, a group) are left out. Default all.
    pub kinds: Vec<Kind>,
}

impl Default for Shape {
    fn default() -> Self {
        Self {
            nodes: 3,
            topics: Vec::new(),
            groups: Vec::new(),
            transactional_ids: Vec::new(),
            apis: vec![
                ApiKey::PRODUCE,
                ApiKey::FETCH,
                ApiKey::METADATA,
                ApiKey::INIT_PRODUCER_ID,
                ApiKey::FIND_COORDINATOR,
                ApiKey::JOIN_GROUP,
                ApiKey::SYNC_GROUP,
                ApiKey::HEARTBEAT,
                ApiKey::OFFSET_COMMIT,
                ApiKey::OFFSET_FETCH,
                ApiKey::LIST_OFFSETS,
            ],
            duration: Duration::from_secs(10),
            faults: 1..=8,
            kinds: Kind::ALL.to_vec(),
        }
    }
}

/// Codes that a broker in trouble gives to requests of an API: such as a client has to live with.
fn codes(api: ApiKey) -> &'static [ErrorCode] {
    match api {
        ApiKey::PRODUCE => &[
            ErrorCode::NOT_LEADER_OR_FOLLOWER,
            ErrorCode::REQUEST_TIMED_OUT,
            ErrorCode::NOT_ENOUGH_REPLICAS,
            ErrorCode::NOT_ENOUGH_REPLICAS_AFTER_APPEND,
            ErrorCode::UNKNOWN_TOPIC_OR_PARTITION,
            ErrorCode::KAFKA_STORAGE_ERROR,
        ],
        ApiKey::FETCH | ApiKey::LIST_OFFSETS => &[
            ErrorCode::NOT_LEADER_OR_FOLLOWER,
            ErrorCode::FENCED_LEADER_EPOCH,
            ErrorCode::UNKNOWN_LEADER_EPOCH,
            ErrorCode::OFFSET_NOT_AVAILABLE,
            ErrorCode::UNKNOWN_TOPIC_OR_PARTITION,
            ErrorCode::KAFKA_STORAGE_ERROR,
        ],
        ApiKey::METADATA => &[ErrorCode::LEADER_NOT_AVAILABLE, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION],
        ApiKey::FIND_COORDINATOR => &[ErrorCode::COORDINATOR_NOT_AVAILABLE],
        ApiKey::INIT_PRODUCER_ID => &[ErrorCode::COORDINATOR_LOAD_IN_PROGRESS, ErrorCode::REQUEST_TIMED_OUT],
        ApiKey::OFFSET_COMMIT => &[
            ErrorCode::NOT_COORDINATOR,
            ErrorCode::COORDINATOR_LOAD_IN_PROGRESS,
            ErrorCode::COORDINATOR_NOT_AVAILABLE,
            ErrorCode::REBALANCE_IN_PROGRESS,
        ],
        ApiKey::JOIN_GROUP | ApiKey::SYNC_GROUP | ApiKey::HEARTBEAT => &[
            ErrorCode::NOT_COORDINATOR,
            ErrorCode::COORDINATOR_LOAD_IN_PROGRESS,
            ErrorCode::COORDINATOR_NOT_AVAILABLE,
            ErrorCode::REBALANCE_IN_PROGRESS,
            ErrorCode::UNKNOWN_MEMBER_ID,
        ],
        ApiKey::OFFSET_FETCH => &[ErrorCode::NOT_COORDINATOR, ErrorCode::COORDINATOR_LOAD_IN_PROGRESS],
        _ => &[ErrorCode::REQUEST_TIMED_OUT],
    }
}

/// APIs whose requests may fail for some partitions alone.
pub(super) const PARTIAL: &[ApiKey] =
    &[ApiKey::PRODUCE, ApiKey::FETCH, ApiKey::LIST_OFFSETS, ApiKey::OFFSET_COMMIT, ApiKey::OFFSET_FETCH];

impl Shape {
    /// Is there what a fault of this kind needs?
    fn can_have(&self, kind: Kind) -> bool {
        match kind {
            Kind::MoveLeader | Kind::LoseLeader | Kind::Truncate | Kind::UncleanElection | Kind::DeleteTopic => {
                !self.topics.is_empty()
            }
            Kind::MoveCoordinator | Kind::UnloadCoordinator | Kind::LoadCoordinator => {
                !self.groups.is_empty() || !self.transactional_ids.is_empty()
            }
            Kind::HoldMarkers => !self.transactional_ids.is_empty(),
            Kind::ExpireSessions => !self.groups.is_empty(),
            Kind::Error | Kind::Disconnect | Kind::LateAnswer => !self.apis.is_empty(),
            _ => true,
        }
    }

    fn entry(&self, chance: &mut Chance, kind: Kind) -> Option<Entry> {
        let quarter = self.duration / 4;
        let (when, room) = match self.apis.is_empty() || chance.below(4) > 0 {
            true => {
                let time = chance.time(self.duration);
                (When::After(time), quarter.min(self.duration.saturating_sub(time)))
            }
            false => (When::Before { api: *chance.one_of(&self.apis)?, nth: 1 + chance.small(40) }, quarter),
        };
        let lasts = chance.time(room);
        let fault = match kind {
            Kind::Delay | Kind::BlackHole | Kind::Slow | Kind::RefuseConnect | Kind::Cut | Kind::Corrupt => {
                self.network(chance, kind, lasts).into()
            }
            _ => self.broker(chance, kind, lasts)?.into(),
        };
        Some(Entry { when, fault })
    }

    fn network(&self, chance: &mut Chance, kind: Kind, lasts: Duration) -> NetworkFault {
        let effect = match kind {
            Kind::Delay => NetworkEffect::Delay {
                delay: chance.time(Duration::from_millis(300)),
                jitter: chance.time(Duration::from_millis(200)),
            },
            Kind::Slow => NetworkEffect::Slow { bytes_per_second: 100 << chance.below(12) },
            Kind::RefuseConnect => NetworkEffect::RefuseConnect,
            Kind::Cut => NetworkEffect::Cut { after: chance.skewed(10_000), connections: 1 + chance.small(3) },
            Kind::Corrupt => {
                NetworkEffect::Corrupt { at: chance.skewed(1_000), mask: 1 << chance.below(8), connections: 1 + chance.small(2) }
            }
            _ => NetworkEffect::BlackHole,
        };
        let direction = chance.one_of(&[Some(Direction::ToBroker), Some(Direction::FromBroker), None]).copied().flatten();
        NetworkFault { node: self.maybe_node(chance), direction, lasts: Some(lasts), effect }
    }

    fn broker(&self, chance: &mut Chance, kind: Kind, lasts: Duration) -> Option<BrokerFault> {
        Some(match kind {
            Kind::Error => {
                let api = *chance.one_of(&self.apis)?;
                let code = *chance.one_of(codes(api))?;
                let some = PARTIAL.contains(&api) && chance.below(2) == 0;
                let partitions = some.then(|| self.partition(chance)).flatten().into_iter().collect();
                BrokerFault::Error { api, code, times: 1 + chance.small(5), node: self.maybe_node(chance), partitions }
            }
            Kind::Disconnect => BrokerFault::Disconnect {
                api: *chance.one_of(&self.apis)?,
                times: 1 + chance.small(3),
                node: self.maybe_node(chance),
                handled: chance.below(2) == 0,
            },
            Kind::LateAnswer => BrokerFault::LateAnswer {
                api: *chance.one_of(&self.apis)?,
                times: 1 + chance.small(5),
                node: self.maybe_node(chance),
                delay: lasts,
            },
            Kind::Throttle => BrokerFault::Throttle { throttle: chance.time(Duration::from_millis(500)), lasts: Some(lasts) },
            Kind::StaleMetadata => BrokerFault::StaleMetadata { node: self.maybe_node(chance), lasts: Some(lasts) },
            Kind::DuplicateMetadata => BrokerFault::DuplicateMetadata { node: self.maybe_node(chance), lasts: Some(lasts) },
            Kind::MoveLeader => {
                let (topic, partition) = self.partition(chance)?;
                BrokerFault::MoveLeader { topic, partition, to: None }
            }
            Kind::LoseLeader => {
                let (topic, partition) = self.partition(chance)?;
                BrokerFault::LoseLeader { topic, partition, lasts: Some(lasts) }
            }
            Kind::UncleanElection => {
                let (topic, partition) = self.partition(chance)?;
                BrokerFault::UncleanElection { topic, partition, to: self.maybe_node(chance) }
            }
            Kind::HoldReplication => BrokerFault::HoldReplication { node: self.node(chance), lasts: Some(lasts) },
            Kind::HoldMarkers => BrokerFault::HoldMarkers { lasts: Some(lasts) },
            Kind::Truncate => {
                let (topic, partition) = self.partition(chance)?;
                BrokerFault::Truncate { topic, partition, records: 1 + chance.skewed(100) }
            }
            Kind::MoveCoordinator => BrokerFault::MoveCoordinator { of: self.coordinated(chance)?, to: self.maybe_node(chance) },
            Kind::UnloadCoordinator => BrokerFault::UnloadCoordinator { of: self.coordinated(chance)?, lasts: Some(lasts) },
            Kind::LoadCoordinator => BrokerFault::LoadCoordinator { of: self.coordinated(chance)?, lasts: Some(lasts) },
            Kind::FenceProducer => {
                let id = 1000 + i64::from(chance.small(4));
                let named = chance.one_of(&self.transactional_ids).cloned();
                let of = named.map_or(FencedProducer::Id(id), FencedProducer::TransactionalId);
                BrokerFault::FenceProducer { of }
            }
            Kind::ExpireSessions => BrokerFault::ExpireSessions { group: chance.one_of(&self.groups)?.clone() },
            Kind::KillNode => {
                BrokerFault::KillNode { node: self.node(chance), loses_unreplicated: chance.below(2) == 0, lasts: Some(lasts) }
            }
            Kind::RestartNode => BrokerFault::RestartNode { node: self.node(chance), at_new_address: chance.below(2) == 0 },
            Kind::ClockJump => {
                let by = i64::try_from(chance.skewed(7_200_000)).unwrap_or(0);
                BrokerFault::ClockJump { by_millis: if chance.below(2) == 0 { by } else { -by } }
            }
            Kind::DeleteTopic => {
                BrokerFault::DeleteTopic { topic: chance.one_of(&self.topics)?.0.clone(), recreate_after: Some(lasts) }
            }
            Kind::ExpireCredentials => BrokerFault::ExpireCredentials { node: self.maybe_node(chance) },
            _ => return None,
        })
    }

    fn node(&self, chance: &mut Chance) -> i32 {
        1 + i32::try_from(chance.below(u64::try_from(self.nodes).unwrap_or(1).max(1))).unwrap_or(0)
    }

    /// One node twice as often as all.
    fn maybe_node(&self, chance: &mut Chance) -> Option<i32> {
        (chance.below(3) > 0).then(|| self.node(chance))
    }

    fn partition(&self, chance: &mut Chance) -> Option<(String, i32)> {
        let (topic, partitions) = chance.one_of(&self.topics)?;
        let partition = chance.below(u64::try_from(*partitions).unwrap_or(1).max(1));
        Some((topic.clone(), i32::try_from(partition).unwrap_or(0)))
    }

    fn coordinated(&self, chance: &mut Chance) -> Option<Coordinated> {
        let groups = self.groups.iter().cloned().map(Coordinated::Group);
        let transactions = self.transactional_ids.iter().cloned().map(Coordinated::TransactionalId);
        let all: Vec<_> = groups.chain(transactions).collect();
        chance.one_of(&all).cloned()
    }
}

/// Numbers that look random and depend on the seed alone.
#[derive(Clone, Debug)]
pub(super) struct Chance {
    pub(super) seed: u64,
    pub(super) drawn: u64,
}

impl Chance {
    pub(super) fn next(&mut self) -> u64 {
        self.drawn += 1;
        scramble(self.seed, self.drawn)
    }

    /// Less than `bound`; 0 if that is 0.
    pub(super) fn below(&mut self, bound: u64) -> u64 {
        let drawn = self.next();
        // The product's upper half; what modulo would prefer is too little to matter either way.
        u64::try_from((u128::from(drawn) * u128::from(bound)) >> 64).unwrap_or(0)
    }

    fn small(&mut self, bound: u32) -> u32 {
        u32::try_from(self.below(u64::from(bound))).unwrap_or(0)
    }

    /// Less than `bound`, small numbers as likely as large ones: drawn by their length in bits.
    fn skewed(&mut self, bound: u64) -> u64 {
        let bits = self.below(u64::from(bound.max(1).ilog2()) + 2);
        self.below(bound.min(1 << bits))
    }

    /// Whole milliseconds, less than `bound`.
    fn time(&mut self, bound: Duration) -> Duration {
        Duration::from_millis(self.below(u64::try_from(bound.as_millis()).unwrap_or(u64::MAX)))
    }

    fn one_of<'a, T>(&mut self, all: &'a [T]) -> Option<&'a T> {
        all.get(usize::try_from(self.below(all.len() as u64)).ok()?)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn shape() -> Shape {
        Shape {
            topics: vec![("orders".to_owned(), 4)],
            groups: vec!["billing".to_owned()],
            transactional_ids: vec!["copy".to_owned()],
            faults: 3..=6,
            ..Default::default()
        }
    }

    #[test]
    fn a_seed_gives_one_plan() {
        let shape = shape();
        for seed in 0..100 {
            assert_eq!(Plan::random(seed, &shape), Plan::random(seed, &shape));
        }
        let different: BTreeSet<_> = (0..100).map(|seed| format!("{:?}", Plan::random(seed, &shape))).collect();
        assert_eq!(different.len(), 100);
    }

    #[test]
    fn every_kind_is_drawn_and_in_its_bounds() {
        let shape = shape();
        let mut kinds = BTreeSet::new();
        for seed in 0..2000 {
            let plan = Plan::random(seed, &shape);
            assert!(shape.faults.contains(&plan.entries.len()), "{plan:?}");
            for Entry { when, fault } in &plan.entries {
                kinds.insert(fault.kind());
                let start = match when {
                    When::After(time) => *time,
                    When::Before { nth, .. } => {
                        assert!(*nth > 0);
                        Duration::ZERO
                    }
                };
                let lasts = match fault {
                    Fault::Network(fault) => fault.lasts.expect("it ends"),
                    Fault::Broker(
                        BrokerFault::KillNode { lasts, .. }
                        | BrokerFault::LoseLeader { lasts, .. }
                        | BrokerFault::HoldMarkers { lasts }
                        | BrokerFault::HoldReplication { lasts, .. },
                    ) => lasts.expect("it ends"),
                    Fault::Broker(BrokerFault::DeleteTopic { recreate_after, .. }) => recreate_after.expect("it comes back"),
                    Fault::Broker(_) => Duration::ZERO,
                };
                assert!(start + lasts <= shape.duration, "{fault:?}");
            }
        }
        assert_eq!(kinds, Kind::ALL.iter().copied().collect());
    }

    #[test]
    fn a_shape_without_topics_and_groups_has_no_faults_of_them() {
        let shape = Shape { faults: 5..=5, ..Default::default() };
        for seed in 0..500 {
            let plan = Plan::random(seed, &shape);
            assert_eq!(plan.entries.len(), 5);
            for entry in plan.entries {
                assert!(shape.can_have(entry.fault.kind()), "{entry:?}");
            }
        }
        let nothing = Shape { kinds: vec![Kind::Truncate], ..Default::default() };
        assert_eq!(Plan::random(1, &nothing).entries, []);
    }

    #[test]
    fn a_plan_shrinks_by_one_entry() {
        let plan = Plan::random(1, &shape());
        for index in 0..plan.entries.len() {
            let smaller = plan.without(index);
            assert_eq!(smaller.entries.len(), plan.entries.len() - 1);
            assert!(
                !smaller.entries.contains(&plan.entries[index])
                    || plan.entries.iter().filter(|one| **one == plan.entries[index]).count() > 1
            );
        }
        assert_eq!(plan.without(100), plan);
    }

    #[test]
    fn skewed_numbers_are_small_and_large() {
        let mut chance = Chance { seed: 1, drawn: 0 };
        let drawn: Vec<_> = (0..1000).map(|_| chance.skewed(10_000)).collect();
        assert!(drawn.iter().all(|number| *number < 10_000));
        assert!(drawn.iter().filter(|number| **number < 100).count() > 300);
        assert!(drawn.iter().any(|number| *number > 5_000));
    }
}
