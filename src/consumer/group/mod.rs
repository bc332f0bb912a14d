//! Membership in a consumer group of the classic protocol, without I/O: the cores that `group_driver` runs.
//!
//! [`classic::Classic`] decides: when to look for the coordinator, to join, to sync (`joining`), to beat, to give partitions away, to
//! leave (`heartbeats`). It contains [`offset_reads`] (where the group stands in partitions just assigned) and [`offset_writes`] (commits), because their
//! verdicts concern the membership and the membership decides when they may be sent. [`leading`] is what a leader does with the
//! other members' subscriptions; [`messages`] writes requests in the shape that the broker's version wants.
//!
//! The driver gives commands and responses in, and calls `poll` until it has nothing more to do. Each ticket that `poll` gives out
//! comes back exactly once, with a failure when its connection went.

pub(crate) mod classic;
mod heartbeats;
mod joining;
pub(crate) mod leading;
pub(crate) mod messages;
mod offset_reads;
mod offset_writes;
#[cfg(test)]
mod tests;
#[cfg(feature = "unstable-cores")]
pub(crate) mod unstable;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::consumer::assignor::{Assignor, MemberId, Subscription};
use crate::consumer::offsets::OffsetAndMetadata;
use crate::protocol::ErrorCode;
use crate::protocol::messages::heartbeat::HeartbeatRequest;
use crate::protocol::messages::join_group::{JoinGroupRequest, JoinGroupResponse};
use crate::protocol::messages::sync_group::{SyncGroupRequest, SyncGroupRequestAssignment, SyncGroupResponse};
use crate::{Error, ErrorKind, Result, Topic, TopicPartition};

/// What a member needs to know.
#[derive(Clone, Debug)]
pub(crate) struct GroupConfig {
    pub(crate) group_id: String,
    /// `session.timeout.ms`: without a heartbeat for so long the coordinator takes the member out.
    pub(crate) session_timeout: Duration,
    /// `heartbeat.interval.ms`.
    pub(crate) heartbeat_interval: Duration,
    /// `max.poll.interval.ms`, which is also the rebalance time-out.
    pub(crate) max_poll_interval: Duration,
    /// Most wanted first.
    pub(crate) assignors: Vec<Arc<dyn Assignor>>,
    /// `group.instance.id` of a static member (KIP-345).
    pub(crate) instance_id: Option<String>,
    /// `client.rack`.
    pub(crate) rack: Option<String>,
    /// `request.timeout.ms`.
    pub(crate) request_timeout: Duration,
    /// How long brokers shall keep the offsets, sent with each commit; `None`: as long as brokers are set to.
    pub(crate) offset_retention: Option<Duration>,
}

impl GroupConfig {
    /// The names of its assignors, for errors.
    pub(crate) fn offered(&self) -> String {
        let names: Vec<&str> = self.assignors.iter().map(|assignor| assignor.name()).collect();
        format!("{names:?}")
    }

    /// # Errors
    /// If something in it cannot work, whatever the broker says.
    pub(crate) fn validate(&self) -> Result<()> {
        let wrong = |text: String| Err(Error::new(ErrorKind::InvalidConfig, text));
        if self.group_id.is_empty() || self.group_id.len() > i16::MAX as usize {
            return wrong(format!("group.id must have 1 to {} bytes, not {}", i16::MAX, self.group_id.len()));
        }
        if self.assignors.is_empty() {
            return wrong("partition.assignment.strategy is empty: name at least one assignor".into());
        }
        if self.heartbeat_interval.is_zero() || self.heartbeat_interval >= self.session_timeout {
            return wrong(format!(
                "heartbeat.interval.ms ({}) must be above 0 and below session.timeout.ms ({}); a third of it is usual",
                self.heartbeat_interval.as_millis(),
                self.session_timeout.as_millis()
            ));
        }
        if [self.session_timeout, self.max_poll_interval].iter().any(|time| time.as_millis() > i32::MAX as u128 || time.is_zero())
        {
            return wrong("session.timeout.ms and max.poll.interval.ms must be between 1 ms and 24 days".into());
        }
        Ok(())
    }
}

/// Names one thing the core asked for, until its answer.
pub(crate) type Ticket = u64;

/// Told by the driver.
#[derive(Debug)]
pub(crate) enum Command {
    /// Other topics from now on.
    Subscribe(Vec<Topic>),
    /// The user is polling, or was since the last time.
    Polled,
    /// The consumer has done what `Rebalancing` or `Revoking` asked of it.
    Prepared(Ticket),
    /// Metadata is new: how many partitions each watched topic has now.
    TopicsChanged(BTreeMap<Topic, i32>),
    Commit {
        id: Ticket,
        offsets: BTreeMap<TopicPartition, OffsetAndMetadata>,
        deadline: Instant,
    },
    /// Somebody wants a heartbeat, and to hear where the membership stands then.
    Heartbeat {
        id: Ticket,
        when: Heartbeat,
    },
    Leave {
        deadline: Instant,
    },
}

/// When a heartbeat is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Heartbeat {
    Now,
    /// Once the interval is over.
    IfDue,
}

/// Where a consumer stands in its group; from [`ConsumerHandle::membership`](crate::consumer::ConsumerHandle::membership) and
/// [`ConsumerHandle::heartbeat`](crate::consumer::ConsumerHandle::heartbeat).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Membership {
    /// It is a member, and nothing changes at present.
    Stable,
    /// It is a member, and the group rebalances: partitions may be given away as soon as the handler returns. Whoever has much left
    /// to do for the record in hand may stop early, lest others wait; nobody must.
    Rebalancing,
    /// It is not a member: it has not joined yet, was thrown out, or has left. What it had may be another's already, and nothing that
    /// is marked now will be committed.
    NotMember,
}

/// Asked of the driver.
#[derive(Debug)]
pub(crate) enum Action {
    /// Look the coordinator up and use it from now on; `stale`: the one known is not it any more.
    FindCoordinator {
        ticket: Ticket,
        stale: bool,
    },
    /// How many partitions have these topics?
    ListTopics {
        ticket: Ticket,
        topics: Vec<Topic>,
    },
    /// Who gets what? An assignor may take its time, and may be the user's.
    Assign {
        ticket: Ticket,
        assignor: Arc<dyn Assignor>,
        topics: BTreeMap<Topic, i32>,
        members: BTreeMap<MemberId, Subscription>,
    },
    /// To the coordinator.
    Send {
        ticket: Ticket,
        request: Request,
        timeout: Duration,
    },
    /// Give the connection to the coordinator up and open another one: what was sent on it comes back as failed.
    Reconnect,
    Event(Event),
}

/// For the consumer.
#[derive(Debug)]
pub(crate) enum Event {
    Assigned {
        generation: i32,
        added: Vec<(TopicPartition, Option<OffsetAndMetadata>)>,
    },
    Rebalancing {
        ticket: Ticket,
    },
    Revoking {
        ticket: Ticket,
        partitions: Vec<TopicPartition>,
        deadline: Instant,
    },
    Lost {
        partitions: Vec<TopicPartition>,
        cause: Error,
    },
    Committed {
        id: Ticket,
        result: Result<()>,
    },
    HeartbeatAnswered {
        id: Ticket,
        membership: Membership,
    },
    /// Brokers refuse this client for who it is. The member goes on trying, with pauses.
    Refused(Error),
    Left,
    Failed(Error),
}

/// A request to the coordinator; those whose shape depends on the version are made of this by `messages`.
#[derive(Clone, Debug)]
pub(crate) enum Request {
    Join(JoinGroupRequest),
    Sync(SyncGroupRequest),
    Heartbeat(HeartbeatRequest),
    Leave { member_id: String, reason: String },
    OffsetFetch { partitions: Vec<TopicPartition> },
    OffsetCommit { generation: i32, member_id: String, offsets: BTreeMap<TopicPartition, OffsetAndMetadata> },
}

/// What answers an action.
#[derive(Debug)]
pub(crate) enum Response {
    Coordinator,
    Topics(BTreeMap<Topic, i32>),
    Assigned(Vec<SyncGroupRequestAssignment>),
    Join(JoinGroupResponse),
    Sync(SyncGroupResponse),
    Heartbeat(ErrorCode),
    Leave(ErrorCode),
    OffsetFetch(FetchedOffsets),
    OffsetCommit(Vec<(TopicPartition, ErrorCode)>),
}

/// OffsetFetch's verdict on the group, and on each partition with what is stored for it.
pub(crate) type FetchedOffsets = (ErrorCode, Vec<(TopicPartition, ErrorCode, Option<OffsetAndMetadata>)>);

/// What a member must do after a verdict; see `reliability.md`, section 4, for the letters of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Fine,
    /// R: the same again, after a while.
    Retry,
    /// C: at another coordinator.
    FindCoordinator,
    /// J: join again; what is owned stays.
    Rejoin,
    /// J after the generation ended without us: what was owned is lost, the id may live.
    RejoinLost,
    /// J0: as before, as a new member.
    RejoinAnew,
    /// F.
    Fatal,
    /// X: this operation only.
    Refused,
}

/// The part of the table that all requests to a group's coordinator share.
fn verdict(code: ErrorCode) -> Verdict {
    match code {
        ErrorCode::NONE => Verdict::Fine,
        ErrorCode::COORDINATOR_NOT_AVAILABLE | ErrorCode::NOT_COORDINATOR => Verdict::FindCoordinator,
        ErrorCode::COORDINATOR_LOAD_IN_PROGRESS => Verdict::Retry,
        ErrorCode::REBALANCE_IN_PROGRESS => Verdict::Rejoin,
        ErrorCode::ILLEGAL_GENERATION => Verdict::RejoinLost,
        ErrorCode::UNKNOWN_MEMBER_ID => Verdict::RejoinAnew,
        ErrorCode::FENCED_INSTANCE_ID
        | ErrorCode::INCONSISTENT_GROUP_PROTOCOL
        | ErrorCode::INVALID_GROUP_ID
        | ErrorCode::INVALID_SESSION_TIMEOUT
        | ErrorCode::GROUP_MAX_SIZE_REACHED
        | ErrorCode::GROUP_AUTHORIZATION_FAILED
        | ErrorCode::UNSUPPORTED_VERSION => Verdict::Fatal,
        _ => Verdict::Refused,
    }
}

/// Is it of no use to try again, because of what we may do or how we were set up? Not so where brokers do not believe who we are:
/// credentials are mended while the client runs, and the member shall be back then.
fn is_hopeless(error: &Error) -> bool {
    use ErrorKind::{Authorization, Bug, Closed, InvalidConfig, InvalidRequest, UnsupportedVersion};
    matches!(error.kind(), Authorization | Bug | Closed | InvalidConfig | InvalidRequest | UnsupportedVersion)
}
