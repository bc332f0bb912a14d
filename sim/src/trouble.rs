//! What goes wrong in a run, as plain data: drawn from its seed, or written down by a test.
//!
//! What a broker does wrong begins at a time; a connection is cut after so many bytes, or from a time on.

use std::time::Duration;

use klamm::protocol::{ApiKey, ErrorCode};

use crate::history::Partition;
use crate::random::Random;
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

/// What a broker does with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whim {
    /// Answers with a code, and does nothing.
    Code(ErrorCode),
    /// Closes the connection, and does nothing.
    CloseBefore,
    /// Does it, and closes the connection in place of an answer.
    CloseAfter,
    /// Does it later.
    Delay(Duration),
    /// Does it, and answers later.
    DelayAnswer(Duration),
    /// Never answers, and does nothing.
    Swallow,
    /// Does it, and is silent from then on.
    SwallowAnswer,
    /// Does it, answers with so many bytes, and closes.
    CutAnswer(usize),
}

/// A fault.
#[derive(Clone, Debug, PartialEq, Eq)]
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
    /// A node refuses connections for a time, or takes them and is silent.
    Unreachable {
        /// Which node.
        node: i32,
        /// Without a word?
        silent: bool,
        /// For how long.
        lasting: Duration,
    },
    /// A node's process dies and comes back.
    Stop {
        /// Which node.
        node: i32,
        /// When it comes back.
        lasting: Duration,
    },
    /// Another node leads a partition.
    MoveLeader {
        /// Which partition.
        partition: Partition,
        /// Who leads it.
        node: i32,
    },
    /// Nobody leads a partition for a time.
    NoLeader {
        /// Which partition.
        partition: Partition,
        /// For how long.
        lasting: Duration,
        /// Who leads it then.
        node: i32,
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
    /// Every answer asks for a pause.
    Throttle {
        /// For how long the client shall pause.
        pause: Duration,
        /// For how long that goes on.
        lasting: Duration,
    },
    /// Another node coordinates the group.
    MoveCoordinator {
        /// Which.
        node: i32,
    },
    /// The coordinator has all members join again.
    Rebalance,
}

impl Trouble {
    /// One word, for counts.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Cut { how: How::Reset, .. } => "cut: reset",
            Self::Cut { how: How::Close, .. } => "cut: close",
            Self::Cut { how: How::Silence, .. } => "cut: silence",
            Self::Break { .. } => "connections break",
            Self::Unreachable { silent: false, .. } => "node refuses",
            Self::Unreachable { silent: true, .. } => "node is silent",
            Self::Stop { .. } => "node stops",
            Self::MoveLeader { .. } => "leader moves",
            Self::NoLeader { .. } => "no leader",
            Self::Whim { whim: Whim::Code(_), .. } => "error code",
            Self::Whim { whim: Whim::CloseBefore | Whim::CloseAfter | Whim::CutAnswer(_), .. } => "request closes",
            Self::Whim { whim: Whim::Delay(_) | Whim::DelayAnswer(_), .. } => "request is slow",
            Self::Whim { whim: Whim::Swallow | Whim::SwallowAnswer, .. } => "request hangs",
            Self::Throttle { .. } => "throttle",
            Self::MoveCoordinator { .. } => "coordinator moves",
            Self::Rebalance => "rebalance",
        }
    }

    /// How long it goes on by itself.
    pub fn lasting(&self) -> Duration {
        match self {
            Self::Unreachable { lasting, .. }
            | Self::Stop { lasting, .. }
            | Self::NoLeader { lasting, .. }
            | Self::Throttle { lasting, .. } => *lasting,
            _ => Duration::ZERO,
        }
    }

    /// Does it throw members out of their group behind their backs?
    pub fn expires_members(&self) -> bool {
        matches!(self, Self::Whim { whim: Whim::Code(ErrorCode::UNKNOWN_MEMBER_ID | ErrorCode::ILLEGAL_GENERATION), .. })
    }

    fn draw(random: &mut Random, workload: &Workload) -> Self {
        let node = random.within(1..=workload.nodes as u64) as i32;
        let topics = if workload.kind == Kind::Copy { 2 } else { 1 };
        let number = random.below(workload.partitions as u64) as i32;
        let partition = Partition { topic: random.below(topics) as u32, number };
        let lasting = random.pick(&[50, 500, 3_000, 8_000]) * MILLISECOND;
        let how = random.pick(&[How::Reset, How::Close, How::Silence]);
        match random.below(15) {
            0..=2 => {
                let connection = random.below(12);
                let direction = random.pick(&[Direction::Up, Direction::Down]);
                // Often within the first requests, where the set-up is.
                let limit = random.pick(&[40, 400, 4_000, 40_000]);
                Self::Cut { connection, direction, after: random.below(limit), how }
            }
            3 => Self::Break { node, how },
            4 => Self::Unreachable { node, silent: random.once_in(2), lasting },
            5 => Self::Stop { node, lasting },
            6 => Self::MoveLeader { partition, node },
            7 => Self::NoLeader { partition, lasting, node },
            8 => Self::Throttle { pause: random.pick(&[10, 200, 1_000]) * MILLISECOND, lasting },
            9 if workload.kind != Kind::Produce => Self::MoveCoordinator { node },
            10 if workload.kind != Kind::Produce => Self::Rebalance,
            _ => {
                let (api, codes) = random.pick(codes(workload.kind));
                let pause = random.pick(&[20, 300, 2_500, 7_000]) * MILLISECOND;
                let whim = match random.below(11) {
                    0 => Whim::CloseBefore,
                    1 => Whim::CloseAfter,
                    2 => Whim::Delay(pause),
                    3 => Whim::DelayAnswer(pause),
                    4 => Whim::Swallow,
                    5 => Whim::SwallowAnswer,
                    6 => Whim::CutAnswer(random.below(60) as usize),
                    _ => Whim::Code(random.pick(codes)),
                };
                Self::Whim { api, times: random.pick(&[1, 1, 2, 5]), whim }
            }
        }
    }
}

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

/// The faults of a seed, by the time from the start of the run; every tenth seed has none.
pub fn draw(seed: u64, workload: &Workload) -> Vec<(Duration, Trouble)> {
    let mut random = Random::of(seed, "troubles");
    let count = random.pick(&[0, 1, 2, 3, 3, 4, 5, 6, 8, 12]);
    let last = workload.duration.saturating_sub(SECOND).as_millis() as u64;
    let one = |_| {
        let at = random.millis(0..=last);
        (at, Trouble::draw(&mut random, workload))
    };
    let mut all: Vec<_> = (0..count).map(one).collect();
    all.sort_by_key(|(at, _)| *at);
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_troubles_of_a_seed_are_the_same_and_all_kinds_come() {
        let mut kinds = std::collections::BTreeSet::new();
        for seed in 0..600 {
            for kind in Kind::ALL {
                let workload = Workload::draw(kind, seed);
                let drawn = draw(seed, &workload);
                assert_eq!(drawn, draw(seed, &workload));
                assert!(drawn.iter().all(|(at, _)| *at < workload.duration));
                kinds.extend(drawn.iter().map(|(_, trouble)| trouble.kind()));
            }
        }
        assert_eq!(kinds.len(), 16, "{kinds:?}");
    }
}
