//! Faults: what can go wrong between clients and brokers, as plain data that can be written down, drawn from a seed and replayed.
//!
//! There are two kinds. What the *network* does happens to the bytes of connections, below the protocol: [`NetworkFault`], carried out
//! by [`Network`]. What the *brokers* do is visible in their answers: [`BrokerFault`], carried out by the broker's core. A [`Plan`]
//! says which fault comes when: at a time, or before a request. [`Broker::fault`](crate::Broker::fault) has one happen now,
//! [`Broker::run_plan`](crate::Broker::run_plan) begins a plan.
//!
//! Nothing in here reads a clock or has a socket, so that the drivers and a simulation on virtual time share it.

#[cfg(feature = "fault-files")]
mod file;
mod kind;
mod network;
mod plan;

use std::time::Duration;

use klamm::protocol::{ApiKey, ErrorCode};

#[cfg(feature = "fault-files")]
pub use file::{FaultFile, FileError, FileFormat};
pub use kind::Kind;
pub use network::{Connect, Delivery, Network};
pub use plan::{Entry, Plan, Shape, When};

/// Something that goes wrong.
#[derive(Clone, Debug, PartialEq)]
pub enum Fault {
    /// Between clients and nodes.
    Network(NetworkFault),
    /// In the nodes themselves.
    Broker(BrokerFault),
}

/// What the network does to connections between clients and nodes.
#[derive(Clone, Debug, PartialEq)]
pub struct NetworkFault {
    /// To those of this node; `None`: to those of all.
    pub node: Option<i32>,
    /// To bytes that go this way; `None`: both ways, each for itself.
    pub direction: Option<Direction>,
    /// For so long; `None`: for ever.
    pub lasts: Option<Duration>,
    /// What it does.
    pub effect: NetworkEffect,
}

/// Which way bytes go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Direction {
    /// From clients to the node: requests.
    ToBroker,
    /// From the node to clients: answers.
    FromBroker,
}

/// What happens to bytes. They never overtake one another within a connection: as under TCP, what is late makes late what follows.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum NetworkEffect {
    /// They arrive later by `delay` and a random part of `jitter`. Where several delays are in force, they add up.
    Delay {
        /// By so much at least.
        delay: Duration,
        /// And up to so much more.
        jitter: Duration,
    },
    /// They do not arrive until the fault is over; then those arrive that were on their way, as TCP sends them again. New connections wait
    /// so long, too (over TCP they are made, and silent).
    BlackHole,
    /// Not more of them arrive in a second: a slow reader (towards the broker) or writer.
    Slow {
        /// Bytes a second, at least 1.
        bytes_per_second: u64,
    },
    /// New connections are refused; over TCP they are closed as soon as they are made. Those made before stay. The direction does not
    /// matter.
    RefuseConnect,
    /// The connection ends in both directions once so many bytes have passed it since the fault began; with 0 at once.
    Cut {
        /// Bytes that still arrive.
        after: u64,
        /// So many connections are hit; those which get so far first.
        connections: u32,
    },
    /// One byte arrives changed.
    Corrupt {
        /// Which, counted from 0 at the beginning of the fault, on each connection.
        at: u64,
        /// Bits that are flipped.
        mask: u8,
        /// So many connections are hit; those which get so far first.
        connections: u32,
    },
}

/// Who needs a coordinator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Coordinated {
    /// A group.
    Group(String),
    /// The transactions of a producer.
    TransactionalId(String),
}

/// Which producer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FencedProducer {
    /// The one with this id. Ids are given out from 1000 on.
    Id(i64),
    /// The one that has this transactional id.
    TransactionalId(String),
}

/// What the nodes of the cluster do.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum BrokerFault {
    /// The next requests of an API fail.
    Error {
        /// Of this API.
        api: ApiKey,
        /// With this code.
        code: ErrorCode,
        /// So many of them.
        times: u32,
        /// Those that come to this node; `None`: to any.
        node: Option<i32>,
        /// These partitions alone fail, the others are served; empty: all fail. Only Produce, Fetch, ListOffsets, OffsetCommit and
        /// OffsetFetch can fail in part.
        partitions: Vec<(String, i32)>,
    },
    /// The connection closes in place of an answer to the next requests of an API.
    Disconnect {
        /// Of this API.
        api: ApiKey,
        /// So many of them.
        times: u32,
        /// Those that come to this node; `None`: to any.
        node: Option<i32>,
        /// Does the request take effect before?
        handled: bool,
    },
    /// The next requests of an API are handled at once and answered late.
    LateAnswer {
        /// Of this API.
        api: ApiKey,
        /// So many of them.
        times: u32,
        /// Those that come to this node; `None`: to any.
        node: Option<i32>,
        /// So much later.
        delay: Duration,
    },
    /// Answers have `throttle_time_ms`, and what comes on the connection is not handled for as long (KIP-219).
    Throttle {
        /// How long a client shall be quiet.
        throttle: Duration,
        /// All answers given for so long; `None`: from now on.
        lasts: Option<Duration>,
    },
    /// A node answers Metadata as things were when the fault began.
    StaleMetadata {
        /// This node; `None`: all.
        node: Option<i32>,
        /// For so long; `None`: for ever.
        lasts: Option<Duration>,
    },
    /// A node names everything twice in its answers to Metadata: nodes, topics, partitions.
    DuplicateMetadata {
        /// This node; `None`: all.
        node: Option<i32>,
        /// For so long; `None`: for ever.
        lasts: Option<Duration>,
    },
    /// A partition gets another leader, with the next epoch.
    MoveLeader {
        /// Its topic.
        topic: String,
        /// Its number.
        partition: i32,
        /// This one; `None`: the next of its replicas that runs.
        to: Option<i32>,
    },
    /// A partition has no leader for a while.
    LoseLeader {
        /// Its topic.
        topic: String,
        /// Its number.
        partition: i32,
        /// So long; `None`: until something elects one.
        lasts: Option<Duration>,
    },
    /// A replica that may be behind becomes the leader, and what it does not have is lost.
    UncleanElection {
        /// Of this topic.
        topic: String,
        /// And partition.
        partition: i32,
        /// This one; `None`: the first that runs, those in sync first.
        to: Option<i32>,
    },
    /// A node gets no records from leaders: as a follower it stays where it is, so that acks=all waits until it is out of sync.
    HoldReplication {
        /// Which.
        node: i32,
        /// So long; `None`: for ever.
        lasts: Option<Duration>,
    },
    /// Transactions that end get no markers: they are neither visible nor gone, and the next one has to wait.
    HoldMarkers {
        /// So long; `None`: for ever.
        lasts: Option<Duration>,
    },
    /// The end of a log is lost on all replicas as by an unclean election, and the leader's epoch grows.
    Truncate {
        /// Its topic.
        topic: String,
        /// Its number.
        partition: i32,
        /// So many offsets at the end are lost, and with the first of them the rest of its batch.
        records: u64,
    },
    /// A coordinator moves to another node.
    MoveCoordinator {
        /// Whose.
        of: Coordinated,
        /// To this one; `None`: to the next one that runs.
        to: Option<i32>,
    },
    /// Nobody coordinates for a while: the node that did says `NOT_COORDINATOR`, and who looks for one hears
    /// `COORDINATOR_NOT_AVAILABLE`.
    UnloadCoordinator {
        /// Whose.
        of: Coordinated,
        /// So long; `None`: for ever.
        lasts: Option<Duration>,
    },
    /// The coordinator is loading and answers `COORDINATOR_LOAD_IN_PROGRESS`.
    LoadCoordinator {
        /// Whose.
        of: Coordinated,
        /// So long; `None`: for ever.
        lasts: Option<Duration>,
    },
    /// A producer is fenced: its epoch is no longer the latest.
    FenceProducer {
        /// Which.
        of: FencedProducer,
    },
    /// All members of a group are out, as if their sessions had timed out.
    ExpireSessions {
        /// Which group.
        group: String,
    },
    /// A node dies. Its connections close, the partitions it led go to another replica.
    KillNode {
        /// Which.
        node: i32,
        /// Is what only it had lost to the next leader's history? Else its followers catch up before.
        loses_unreplicated: bool,
        /// It starts again after so long; `None`: it stays away.
        lasts: Option<Duration>,
    },
    /// A node starts again; one that runs is stopped before.
    RestartNode {
        /// Which.
        node: i32,
        /// At another port than before?
        at_new_address: bool,
    },
    /// The time of day jumps on all nodes; their timers do not.
    ClockJump {
        /// By so many milliseconds, forwards or back.
        by_millis: i64,
    },
    /// A topic is deleted with all its records.
    DeleteTopic {
        /// Which.
        topic: String,
        /// It is created again, empty and with another id, after so long; `None`: it stays away.
        recreate_after: Option<Duration>,
    },
    /// Whoever has logged in is no longer believed: the next request that is not part of a new login closes the connection.
    ExpireCredentials {
        /// On this node; `None`: on all.
        node: Option<i32>,
    },
}

impl From<NetworkFault> for Fault {
    fn from(fault: NetworkFault) -> Self {
        Self::Network(fault)
    }
}

impl From<BrokerFault> for Fault {
    fn from(fault: BrokerFault) -> Self {
        Self::Broker(fault)
    }
}

impl From<NetworkEffect> for Fault {
    /// To all connections, both ways, for ever.
    fn from(effect: NetworkEffect) -> Self {
        Self::Network(effect.into())
    }
}

impl From<NetworkEffect> for NetworkFault {
    fn from(effect: NetworkEffect) -> Self {
        Self { node: None, direction: None, lasts: None, effect }
    }
}

impl NetworkFault {
    /// Only to connections of this node.
    #[must_use]
    pub fn at(mut self, node: i32) -> Self {
        self.node = Some(node);
        self
    }

    /// Only to bytes that go this way.
    #[must_use]
    pub fn towards(mut self, direction: Direction) -> Self {
        self.direction = Some(direction);
        self
    }

    /// Only for so long.
    #[must_use]
    pub fn lasting(mut self, lasts: Duration) -> Self {
        self.lasts = Some(lasts);
        self
    }

    /// Does it concern bytes of this node that go this way?
    fn concerns(&self, node: i32, direction: Direction) -> bool {
        self.node.is_none_or(|own| own == node) && self.direction.is_none_or(|own| own == direction)
    }
}

impl Coordinated {
    /// The name of the group, or the transactional id.
    pub fn key(&self) -> &str {
        match self {
            Self::Group(key) | Self::TransactionalId(key) => key,
        }
    }
}
