//! What goes wrong in a run, as plain data: drawn from its seed, or written down by a test.
//!
//! Most of it are the faults of klamm-broker ([`Fault`]), at a time or before a request, carried out by the broker and its network. What
//! these cannot say stands beside them: connections cut at a byte of their life, also without a word, and brokers that hang.

use std::time::Duration;

use klamm::protocol::{ApiKey, ErrorCode};
use klamm_broker::faults::{BrokerFault, Entry, Fault, Kind as FaultKind, Plan, Shape, When};

use crate::history::topic_name;
use crate::random::Random;
use crate::transactional::WriterPlan;
use crate::workload::{Kind, MILLISECOND, SECOND, Workload};

/// Which way bytes go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// To the broker.
    Up,
    /// To the client.
    Down,
}

/// How a connection breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// Both sides find it broken.
    Reset,
    /// The client reads its end; what it writes goes nowhere.
    Close,
    /// Nothing passes any more, and nobody is told.
    Silence,
}

/// What a broker does with a request, beside what [`BrokerFault`] says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whim {
    /// Does it later.
    Delay(Duration),
    /// Never answers, and does nothing.
    Swallow,
    /// Does it, and is silent from then on.
    SwallowAnswer,
    /// Does it, answers with so many bytes, and closes.
    CutAnswer(usize),
}

/// Something that goes wrong.
#[derive(Clone, Debug, PartialEq)]
pub enum Trouble {
    /// The how manieth connection of the run (from 0) breaks after so many bytes in one direction. Its time does not matter.
    Cut {
        /// Which connection.
        connection: u64,
        /// Which way.
        direction: Direction,
        /// After how many bytes.
        after: u64,
        /// How.
        how: How,
    },
    /// All connections to a node that are open break.
    Break {
        /// Which node.
        node: i32,
        /// How.
        how: How,
    },
    /// The next requests of an API meet a broker with a whim.
    Whim {
        /// Which API.
        api: ApiKey,
        /// How many requests.
        times: usize,
        /// What becomes of them.
        whim: Whim,
    },
    /// The coordinator has all members join again.
    Rebalance,
    /// A fault of the broker's.
    Fault(Fault),
    /// A fault that waits for a request, counted from this trouble's time.
    Before {
        /// Of this API.
        api: ApiKey,
        /// The first one is 1.
        nth: u32,
        /// What happens then.
        fault: Fault,
    },
}

impl Trouble {
    /// The fault in it.
    pub fn fault(&self) -> Option<&Fault> {
        match self {
            Self::Fault(fault) | Self::Before { fault, .. } => Some(fault),
            _ => None,
        }
    }

    /// One word, for counts.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Cut { how: How::Reset, .. } => "cut at a byte: reset",
            Self::Cut { how: How::Close, .. } => "cut at a byte: close",
            Self::Cut { how: How::Silence, .. } => "cut at a byte: silence",
            Self::Break { .. } => "connections break",
            Self::Whim { whim: Whim::CutAnswer(_), .. } => "answer is cut",
            Self::Whim { whim: Whim::Delay(_), .. } => "request waits",
            Self::Whim { whim: Whim::Swallow | Whim::SwallowAnswer, .. } => "request hangs",
            Self::Rebalance => "rebalance",
            Self::Fault(fault) | Self::Before { fault, .. } => fault.kind().name(),
        }
    }

    /// Does it tell members that they are out of their group?
    pub fn expires_members(&self) -> bool {
        let told = |code: &ErrorCode| matches!(*code, ErrorCode::UNKNOWN_MEMBER_ID | ErrorCode::ILLEGAL_GENERATION);
        matches!(self.fault(), Some(Fault::Broker(BrokerFault::Error { code, .. })) if told(code))
    }

    /// May it destroy records that all replicas in sync had?
    pub fn destroys(&self) -> bool {
        self.is_of(&[FaultKind::Truncate, FaultKind::UncleanElection, FaultKind::DeleteTopic])
    }

    /// May bytes arrive changed?
    pub fn garbles(&self) -> bool {
        self.is_of(&[FaultKind::Corrupt])
    }

    fn is_of(&self, kinds: &[FaultKind]) -> bool {
        self.fault().is_some_and(|fault| kinds.contains(&fault.kind()))
    }

    fn draw(random: &mut Random, at: Duration, workload: &Workload, shape: &Shape) -> Option<(Duration, Self)> {
        let node = random.within(1..=workload.nodes as u64) as i32;
        let how = random.pick(&[How::Reset, How::Close, How::Silence]);
        let trouble = match random.below(20) {
            0..=2 => {
                let connection = random.below(12);
                let direction = random.pick(&[Direction::Up, Direction::Down]);
                // Often within the first requests, where the set-up is.
                let limit = random.pick(&[40, 400, 4_000, 40_000]);
                Self::Cut { connection, direction, after: random.below(limit), how }
            }
            3 => Self::Break { node, how },
            4 if workload.kind != Kind::Produce => Self::Rebalance,
            5 | 6 => {
                let (api, _) = random.pick(codes(workload.kind));
                let whim = match random.below(4) {
                    0 => Whim::Delay(random.pick(&[20, 300, 2_500, 7_000]) * MILLISECOND),
                    1 => Whim::Swallow,
                    2 => Whim::SwallowAnswer,
                    _ => Whim::CutAnswer(random.below(60) as usize),
                };
                Self::Whim { api, times: random.pick(&[1, 1, 2, 5]), whim }
            }
            // More codes than a plan draws.
            7..=9 => {
                let (api, codes) = random.pick(codes(workload.kind));
                let (code, times) = (random.pick(codes), random.pick(&[1, 1, 2, 5]));
                Self::Fault(BrokerFault::Error { api, code, times, node: None, partitions: Vec::new() }.into())
            }
            _ => {
                let Entry { when, fault } = Plan::random(random.next(), shape).entries.pop()?;
                match when {
                    When::After(at) => return Some((at, Self::Fault(fault))),
                    When::Before { api, nth } => Self::Before { api, nth, fault },
                    _ => return None,
                }
            }
        };
        Some((at, trouble))
    }
}

/// What the broker's plans are drawn from: any kind that can be had, and some in a few seeds only, more often there. These leave less to
/// be checked.
fn shape(random: &mut Random, workload: &Workload, login: bool) -> Shape {
    let topics = if workload.kind == Kind::Copy { 2 } else { 1 };
    let mut shape = Shape::default();
    shape.nodes = workload.nodes;
    shape.topics = (0..topics).map(|topic| (topic_name(topic), workload.partitions)).collect();
    shape.duration = workload.duration.saturating_sub(SECOND);
    shape.faults = 1..=1;
    if workload.kind == Kind::Produce {
        shape.apis = vec![ApiKey::PRODUCE, ApiKey::METADATA, ApiKey::INIT_PRODUCER_ID];
    } else {
        shape.groups = vec![GROUP.to_owned()];
    }
    shape.transactional_ids = workload.writers.iter().map(WriterPlan::transactional_id).collect();
    // Where nobody has transactions, markers that are held, and an id that is fenced, hurt nobody.
    if random.once_in(8) && workload.writers.is_empty() {
        shape.transactional_ids = vec!["x".to_owned()];
    }
    let rare: &[FaultKind] = match random.below(12) {
        // What became of a transaction is read from the log.
        _ if !workload.writers.is_empty() => &[],
        0..=2 => &[FaultKind::Truncate, FaultKind::UncleanElection],
        3 => &[FaultKind::DeleteTopic],
        4 => &[FaultKind::Corrupt],
        _ => &[],
    };
    shape.kinds.retain(|kind| !kind.loses_records() && (login || *kind != FaultKind::ExpireCredentials));
    let times = if rare.is_empty() { 0 } else { shape.kinds.len() / 3 / rare.len() };
    (0..times).for_each(|_| shape.kinds.extend(rare));
    shape
}

/// The group of the workloads that have one.
pub(crate) const GROUP: &str = "g";

/// Which APIs a kind of work uses, and which codes they answer with now and then.
fn codes(kind: Kind) -> &'static [(ApiKey, &'static [ErrorCode])] {
    use ErrorCode as E;
    const PRODUCING: &[(ApiKey, &[ErrorCode])] = &[
        (
            ApiKey::PRODUCE,
            &[
                E::NOT_LEADER_OR_FOLLOWER,
                E::NOT_LEADER_OR_FOLLOWER,
                E::LEADER_NOT_AVAILABLE,
                E::UNKNOWN_TOPIC_OR_PARTITION,
                E::NOT_ENOUGH_REPLICAS,
                E::NOT_ENOUGH_REPLICAS_AFTER_APPEND,
                E::REQUEST_TIMED_OUT,
                E::KAFKA_STORAGE_ERROR,
                E::UNKNOWN_LEADER_EPOCH,
                E::OUT_OF_ORDER_SEQUENCE_NUMBER,
                E::UNKNOWN_PRODUCER_ID,
                E::INVALID_PRODUCER_EPOCH,
            ],
        ),
        (ApiKey::METADATA, &[E::LEADER_NOT_AVAILABLE, E::UNKNOWN_TOPIC_OR_PARTITION]),
        (ApiKey::INIT_PRODUCER_ID, &[E::COORDINATOR_LOAD_IN_PROGRESS, E::COORDINATOR_NOT_AVAILABLE, E::REQUEST_TIMED_OUT]),
        (ApiKey::API_VERSIONS, &[E::UNSUPPORTED_VERSION]),
    ];
    const CONSUMING: &[(ApiKey, &[ErrorCode])] = &[
        (
            ApiKey::FETCH,
            &[
                E::NOT_LEADER_OR_FOLLOWER,
                E::UNKNOWN_TOPIC_OR_PARTITION,
                E::FENCED_LEADER_EPOCH,
                E::UNKNOWN_LEADER_EPOCH,
                E::KAFKA_STORAGE_ERROR,
                E::OFFSET_NOT_AVAILABLE,
                E::UNKNOWN_TOPIC_ID,
            ],
        ),
        (ApiKey::LIST_OFFSETS, &[E::NOT_LEADER_OR_FOLLOWER, E::OFFSET_NOT_AVAILABLE, E::LEADER_NOT_AVAILABLE]),
        (ApiKey::FIND_COORDINATOR, &[E::COORDINATOR_NOT_AVAILABLE, E::COORDINATOR_LOAD_IN_PROGRESS]),
        (
            ApiKey::JOIN_GROUP,
            &[E::COORDINATOR_LOAD_IN_PROGRESS, E::COORDINATOR_NOT_AVAILABLE, E::NOT_COORDINATOR, E::UNKNOWN_MEMBER_ID],
        ),
        (
            ApiKey::SYNC_GROUP,
            &[
                E::REBALANCE_IN_PROGRESS,
                E::COORDINATOR_NOT_AVAILABLE,
                E::NOT_COORDINATOR,
                E::UNKNOWN_MEMBER_ID,
                E::ILLEGAL_GENERATION,
            ],
        ),
        (
            ApiKey::HEARTBEAT,
            &[
                E::REBALANCE_IN_PROGRESS,
                E::COORDINATOR_NOT_AVAILABLE,
                E::NOT_COORDINATOR,
                E::UNKNOWN_MEMBER_ID,
                E::ILLEGAL_GENERATION,
            ],
        ),
        (
            ApiKey::OFFSET_COMMIT,
            &[
                E::COORDINATOR_LOAD_IN_PROGRESS,
                E::COORDINATOR_NOT_AVAILABLE,
                E::NOT_COORDINATOR,
                E::REBALANCE_IN_PROGRESS,
                E::REQUEST_TIMED_OUT,
                E::UNKNOWN_MEMBER_ID,
                E::ILLEGAL_GENERATION,
            ],
        ),
        (ApiKey::OFFSET_FETCH, &[E::COORDINATOR_LOAD_IN_PROGRESS, E::NOT_COORDINATOR, E::UNSTABLE_OFFSET_COMMIT]),
        (ApiKey::LEAVE_GROUP, &[E::COORDINATOR_NOT_AVAILABLE, E::NOT_COORDINATOR]),
        (ApiKey::METADATA, &[E::LEADER_NOT_AVAILABLE]),
        (ApiKey::PRODUCE, &[E::NOT_LEADER_OR_FOLLOWER, E::NOT_ENOUGH_REPLICAS]),
    ];
    match kind {
        Kind::Produce => PRODUCING,
        Kind::Group | Kind::Copy => CONSUMING,
        Kind::Transactions => crate::transactional::CODES,
    }
}

/// How bytes pass where nothing is broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    /// Shortest and longest time of a piece on its way; pieces of one connection and direction stay in order.
    pub latency: (Duration, Duration),
    /// Most bytes of a piece.
    pub piece: usize,
}

impl Network {
    /// That of a seed.
    pub fn draw(seed: u64) -> Self {
        let mut random = Random::of(seed, "network");
        let (shortest, longest) = random.pick(&[(0, 0), (1, 1), (1, 10), (0, 50), (20, 300)]);
        let piece = random.pick(&[64 << 10, 64 << 10, 1_000, 100]);
        Self { latency: (shortest * MILLISECOND, longest * MILLISECOND), piece }
    }
}

/// Who wants to know who it is talking to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Login {
    /// For how long who has logged in is believed; `None`: as long as the connection lasts.
    pub believed: Option<Duration>,
}

impl Login {
    /// That of a seed: most let in everybody.
    pub fn draw(seed: u64) -> Option<Self> {
        let mut random = Random::of(seed, "login");
        random.once_in(5).then(|| Self { believed: random.pick(&[None, Some(2 * SECOND), Some(10 * SECOND)]) })
    }
}

/// What goes wrong in a seed, by the time from the start of the run; in every tenth nothing does.
pub fn draw(seed: u64, workload: &Workload, login: Option<Login>) -> Vec<(Duration, Trouble)> {
    let mut random = Random::of(seed, "troubles");
    let shape = shape(&mut random, workload, login.is_some());
    let count = random.pick(&[0, 1, 2, 3, 3, 4, 5, 6, 8, 12]);
    let last = workload.duration.saturating_sub(SECOND).as_millis() as u64;
    let one = |_| {
        let at = random.millis(0..=last);
        Trouble::draw(&mut random, at, workload, &shape)
    };
    let mut all: Vec<_> = (0..count).filter_map(one).collect();
    all.sort_by_key(|(at, _)| *at);
    all
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_troubles_of_a_seed_are_the_same_and_all_kinds_come() {
        let mut kinds = BTreeSet::new();
        let (mut before, mut seeds, mut rare) = (0, 0, 0);
        for seed in 0..600 {
            for kind in Kind::ALL {
                let (workload, login) = (Workload::draw(kind, seed), Login::draw(seed));
                let drawn = draw(seed, &workload, login);
                assert_eq!(drawn, draw(seed, &workload, login));
                assert!(drawn.iter().all(|(at, _)| *at < workload.duration));
                kinds.extend(drawn.iter().map(|(_, trouble)| trouble.kind()));
                before += drawn.iter().filter(|(_, trouble)| matches!(trouble, Trouble::Before { .. })).count();
                seeds += 1;
                rare += usize::from(drawn.iter().any(|(_, trouble)| trouble.destroys() || trouble.garbles()));
            }
        }
        let own =
            ["cut at a byte: reset", "cut at a byte: close", "cut at a byte: silence", "connections break", "answer is cut"];
        let own = own.into_iter().chain(["request waits", "request hangs", "rebalance"]);
        assert_eq!(kinds, own.chain(FaultKind::ALL.iter().map(|kind| kind.name())).collect());
        assert!(before > 500, "only {before} wait for a request");
        // Most runs are checked in full.
        assert!(rare * 3 < seeds && rare * 10 > seeds, "{rare} of {seeds}");
    }

    #[test]
    fn what_a_trouble_does_to_a_run_is_known() {
        let fault = |fault: BrokerFault| Trouble::Before { api: ApiKey::PRODUCE, nth: 1, fault: fault.into() };
        let truncate = fault(BrokerFault::Truncate { topic: "t0".to_owned(), partition: 0, records: 1 });
        assert!(truncate.destroys() && !truncate.garbles() && !truncate.expires_members());
        let error =
            |code| fault(BrokerFault::Error { api: ApiKey::HEARTBEAT, code, times: 1, node: None, partitions: Vec::new() });
        assert!(error(ErrorCode::UNKNOWN_MEMBER_ID).expires_members());
        assert!(!error(ErrorCode::NOT_COORDINATOR).expires_members());
    }
}
