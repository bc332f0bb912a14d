//! One request on its way: to which broker it goes, and what follows from an answer or a failure.
//!
//! A [`Call`] is asked for the next target, told how that went, and says whether the call is done, goes on after a pause, or failed.
//! It ends at its deadline with an error that holds each broker's last reason. Retries have this one owner: nothing above or below
//! repeats the request.
//!
//! What an answer means depends on the API: "not controller" and "not coordinator" say that the request was sent to the wrong broker,
//! which had no effect, so it goes to the right one. A connection that broke after the first byte was sent leaves open whether the
//! request took effect: it is repeated only where repeating does no harm.

use std::any::Any;
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use crate::cluster::coordinators::Key;
use crate::cluster::{BackoffConfig, CoordinatorType, Node, Route, Snapshot, Spread};
use crate::error::{Error, ErrorKind};
use crate::protocol::messages::{
    create_partitions, create_topics, delete_groups, delete_topics, describe_cluster, describe_groups, fetch, find_coordinator,
    heartbeat, incremental_alter_configs, init_producer_id, join_group, leave_group, list_groups, list_offsets, metadata,
    offset_commit, offset_delete, offset_fetch, produce, sync_group,
};
use crate::protocol::{ApiKey, BrokerId, ErrorCode};

/// Where the next attempt goes.
#[derive(Debug)]
pub(crate) enum Target {
    /// To this broker.
    Node(Node),
    /// To the coordinator of this key.
    Coordinator(Key),
    /// Nowhere yet: the state of the cluster has to be learned or to change, because of this.
    Unknown(Error),
}

/// What follows from an attempt.
#[derive(Debug)]
pub(crate) enum Verdict {
    /// The answer is the caller's.
    Done,
    /// Another attempt at this instant.
    Retry {
        /// When.
        at: Instant,
        /// Is the cluster's state out of date?
        refresh: bool,
        /// Did the coordinator move or vanish?
        forget_coordinator: bool,
    },
    /// It cannot succeed, or the time is up.
    Failed(Error),
}

/// See the module's head.
#[derive(Debug)]
pub(crate) struct Call {
    route: Route,
    api: ApiKey,
    started: Instant,
    deadline: Instant,
    backoff: BackoffConfig,
    spread: Spread,
    attempts: u32,
    /// Attempts in a row after which there was a pause.
    pauses: u32,
    /// Brokers that failed since the last pause, to be passed over where any broker will do.
    avoided: BTreeSet<BrokerId>,
    /// Each broker's last reason, by how it is shown.
    reasons: BTreeMap<String, Error>,
}

impl Call {
    /// A call of `api` that begins now.
    pub(crate) fn new(api: ApiKey, route: Route, now: Instant, deadline: Instant, backoff: BackoffConfig, seed: u64) -> Self {
        Self {
            route,
            api,
            started: now,
            deadline,
            backoff,
            spread: Spread::new(seed),
            attempts: 0,
            pauses: 0,
            avoided: BTreeSet::new(),
            reasons: BTreeMap::new(),
        }
    }

    /// Where the next attempt goes, as `snapshot` has it. `favorite` is a broker that is likely connected.
    pub(crate) fn target(&mut self, snapshot: &Snapshot, favorite: Option<BrokerId>) -> Target {
        let unknown = |message: String| Target::Unknown(Error::new(ErrorKind::Disconnected, message));
        match &self.route {
            Route::Group(key) => Target::Coordinator(Key { kind: CoordinatorType::Group, key: key.clone() }),
            Route::Transaction(key) => Target::Coordinator(Key { kind: CoordinatorType::Transaction, key: key.clone() }),
            _ if snapshot.version == 0 => unknown("no broker has told about the cluster yet".into()),
            Route::Any => self.any(snapshot, favorite),
            Route::Controller => match snapshot.controller.and_then(|id| snapshot.node(id)) {
                Some(node) => Target::Node(node.clone()),
                None => unknown("the brokers name no controller".into()),
            },
            Route::Broker(id) => match snapshot.node(*id) {
                Some(node) => Target::Node(node.clone()),
                None => {
                    let ids: Vec<_> = snapshot.brokers.keys().map(|id| id.0.to_string()).collect();
                    unknown(format!("no broker {} in the cluster now; there are: {}", id.0, ids.join(", ")))
                }
            },
            Route::Leader(at) => match snapshot.leader(&at.topic, at.partition) {
                Ok(node) => Target::Node(node.clone()),
                Err(error) => Target::Unknown(error),
            },
        }
    }

    /// A broker that did not fail since the last pause, the favorite before others.
    fn any(&mut self, snapshot: &Snapshot, favorite: Option<BrokerId>) -> Target {
        let avoided = &self.avoided;
        let usable = |id: &BrokerId| !avoided.contains(id);
        if let Some(node) = favorite.filter(usable).and_then(|id| snapshot.node(id)) {
            return Target::Node(node.clone());
        }
        let rest: Vec<_> = snapshot.brokers.values().filter(|node| usable(&node.id)).collect();
        match rest.get(self.spread.below(rest.len())) {
            Some(node) => Target::Node((*node).clone()),
            None => {
                self.avoided.clear();
                Target::Unknown(Error::new(ErrorKind::Disconnected, "no broker can be reached"))
            }
        }
    }

    /// There was no target: what to wait for. `fresh` says that the state was learned after the call began, so that what it does not
    /// have is not there.
    pub(crate) fn handle_unknown(&mut self, now: Instant, error: Error, fresh: bool) -> Verdict {
        let hopeless = match (&self.route, error.code()) {
            // A broker that restarts is not listed for a while, but who asks for a broker by number wants to hear it.
            (Route::Broker(_), _) => fresh,
            (_, Some(code)) => !code.is_retriable(),
            _ => false,
        };
        if hopeless {
            return Verdict::Failed(error.with_api(self.name()));
        }
        self.reasons.insert("metadata".into(), error);
        self.retry(now, true, false)
    }

    /// An attempt failed before an answer came. `written` says whether the request may have taken effect.
    pub(crate) fn handle_failure(&mut self, now: Instant, node: &Node, error: Error, written: bool) -> Verdict {
        self.attempts += 1;
        if !error.is_retriable() {
            return Verdict::Failed(error);
        }
        if written && !may_repeat(self.api) {
            return Verdict::Failed(error.with_possibly_written(true));
        }
        self.reasons.insert(node.to_string(), error);
        self.avoided.insert(node.id);
        if self.route == Route::Any && now < self.deadline {
            // Another broker may do as well; the pause comes when none is left.
            return Verdict::Retry { at: now, refresh: true, forget_coordinator: false };
        }
        self.retry(now, true, true)
    }

    /// An answer came.
    pub(crate) fn handle_response(&mut self, now: Instant, node: &Node, response: &dyn Any) -> Verdict {
        self.attempts += 1;
        let Some(code) = misrouted(response, &self.route) else { return Verdict::Done };
        let error = Error::from_code(code, "the broker cannot serve this now").with_api(self.name());
        self.reasons.insert(node.to_string(), error);
        let moved = matches!(code, ErrorCode::NOT_COORDINATOR | ErrorCode::COORDINATOR_NOT_AVAILABLE);
        self.retry(now, code.is_stale_metadata() || code == ErrorCode::NOT_CONTROLLER, moved)
    }

    /// The error of a call whose time is up.
    pub(crate) fn timed_out(&self, now: Instant) -> Error {
        let elapsed = now.saturating_duration_since(self.started);
        let reasons: Vec<_> = self.reasons.iter().map(|(node, error)| format!("{node}: {}", error.brief())).collect();
        let reasons = if reasons.is_empty() { "no broker answered".into() } else { reasons.join("; ") };
        let mut error = Error::new(ErrorKind::Timeout, format!("{} did not succeed in time; last: {reasons}", self.name()))
            .with_api(self.name())
            .with_attempts(self.attempts, elapsed);
        if let Some(advice) = self.reasons.values().find_map(Error::own_advice) {
            error = error.with_advice(advice.to_owned());
        }
        // A topic that is still unknown when the time is up is an unknown topic, not a slow one.
        if let Some(last) = self.reasons.values().find(|last| last.kind() == ErrorKind::UnknownTopic) {
            error = last.clone().with_attempts(self.attempts, elapsed);
        } else if let Some(code) = self.reasons.values().find_map(Error::code) {
            error = error.with_code(code);
        }
        if let Route::Leader(at) = &self.route {
            error = error.with_topic(&at.topic).with_partition(at.partition);
        }
        match self.reasons.values().next() {
            Some(last) => error.with_source(last.clone()),
            None => error,
        }
    }

    /// How long an attempt that begins now may take.
    pub(crate) fn time_left(&self, now: Instant) -> Duration {
        self.deadline.saturating_duration_since(now)
    }

    fn retry(&mut self, now: Instant, refresh: bool, forget_coordinator: bool) -> Verdict {
        self.avoided.clear();
        self.pauses = self.pauses.saturating_add(1);
        let at = now + self.spread.apply(self.backoff.pause(self.pauses));
        if at >= self.deadline {
            return Verdict::Failed(self.timed_out(now));
        }
        Verdict::Retry { at, refresh, forget_coordinator }
    }

    fn name(&self) -> &'static str {
        self.api.name().unwrap_or("request")
    }
}

/// Does a request that may have taken effect do no harm when it is sent again? A topic created twice is an error the second time, as
/// with Kafka's own admin client; records written twice would be a second copy.
fn may_repeat(api: ApiKey) -> bool {
    !matches!(
        api,
        ApiKey::PRODUCE
            | ApiKey::END_TXN
            | ApiKey::ADD_PARTITIONS_TO_TXN
            | ApiKey::ADD_OFFSETS_TO_TXN
            | ApiKey::TXN_OFFSET_COMMIT
    )
}

/// The code in an answer that says: not here, or not now. `None` if the answer is one, be it good or bad.
fn misrouted(response: &dyn Any, route: &Route) -> Option<ErrorCode> {
    let controller = |code: &ErrorCode| *code == ErrorCode::NOT_CONTROLLER;
    let coordinator = |code: &ErrorCode| {
        matches!(
            *code,
            ErrorCode::COORDINATOR_LOAD_IN_PROGRESS | ErrorCode::COORDINATOR_NOT_AVAILABLE | ErrorCode::NOT_COORDINATOR
        )
    };
    if let Some(answer) = response.downcast_ref::<create_topics::CreateTopicsResponse>() {
        return answer.topics.iter().map(|topic| topic.error_code).find(controller);
    }
    if let Some(answer) = response.downcast_ref::<delete_topics::DeleteTopicsResponse>() {
        return answer.responses.iter().map(|topic| topic.error_code).find(controller);
    }
    if let Some(answer) = response.downcast_ref::<create_partitions::CreatePartitionsResponse>() {
        return answer.results.iter().map(|topic| topic.error_code).find(controller);
    }
    if let Some(answer) = response.downcast_ref::<incremental_alter_configs::IncrementalAlterConfigsResponse>() {
        return answer.responses.iter().map(|resource| resource.error_code).find(controller);
    }
    if let Some(answer) = response.downcast_ref::<describe_cluster::DescribeClusterResponse>() {
        return Some(answer.error_code).filter(|code| code.is_retriable());
    }
    if let Some(answer) = response.downcast_ref::<metadata::MetadataResponse>() {
        return answer.brokers.is_empty().then_some(ErrorCode::BROKER_NOT_AVAILABLE);
    }
    if let Some(answer) = response.downcast_ref::<list_groups::ListGroupsResponse>() {
        return Some(answer.error_code).filter(coordinator);
    }
    if let Some(answer) = response.downcast_ref::<describe_groups::DescribeGroupsResponse>() {
        return answer.groups.iter().map(|group| group.error_code).find(coordinator);
    }
    if let Some(answer) = response.downcast_ref::<delete_groups::DeleteGroupsResponse>() {
        return answer.results.iter().map(|group| group.error_code).find(coordinator);
    }
    if let Some(answer) = response.downcast_ref::<offset_fetch::OffsetFetchResponse>() {
        return offset_fetch_codes(answer)
            .into_iter()
            .find(|code| coordinator(code) || *code == ErrorCode::UNSTABLE_OFFSET_COMMIT);
    }
    if let Some(answer) = response.downcast_ref::<offset_commit::OffsetCommitResponse>() {
        let codes = answer.topics.iter().flat_map(|topic| &topic.partitions).map(|partition| partition.error_code);
        return codes.into_iter().find(coordinator);
    }
    if let Some(answer) = response.downcast_ref::<init_producer_id::InitProducerIdResponse>() {
        return Some(answer.error_code).filter(|code| coordinator(code) || *code == ErrorCode::CONCURRENT_TRANSACTIONS);
    }
    if let Some(code) = group_code(response) {
        return Some(code).filter(coordinator);
    }
    let Route::Leader(at) = route else { return None };
    partition_code(response, at).filter(|code| code.is_stale_metadata() || *code == ErrorCode::OFFSET_NOT_AVAILABLE)
}

/// The one code of answers to a member of a group, on its offsets as a whole, and of a coordinator lookup.
fn group_code(response: &dyn Any) -> Option<ErrorCode> {
    if let Some(answer) = response.downcast_ref::<find_coordinator::FindCoordinatorResponse>() {
        let codes = answer.coordinators.iter().map(|entry| entry.error_code);
        return codes.chain([answer.error_code]).find(|code| !code.is_ok());
    }
    if let Some(answer) = response.downcast_ref::<join_group::JoinGroupResponse>() {
        return Some(answer.error_code);
    }
    if let Some(answer) = response.downcast_ref::<sync_group::SyncGroupResponse>() {
        return Some(answer.error_code);
    }
    if let Some(answer) = response.downcast_ref::<heartbeat::HeartbeatResponse>() {
        return Some(answer.error_code);
    }
    if let Some(answer) = response.downcast_ref::<offset_delete::OffsetDeleteResponse>() {
        return Some(answer.error_code);
    }
    response.downcast_ref::<leave_group::LeaveGroupResponse>().map(|answer| answer.error_code)
}

/// Every code in an answer of OffsetFetch, whose shape changed in version 8.
fn offset_fetch_codes(answer: &offset_fetch::OffsetFetchResponse) -> Vec<ErrorCode> {
    let groups = answer.groups.iter().map(|group| group.error_code);
    let in_groups = answer.groups.iter().flat_map(|group| &group.topics).flat_map(|topic| &topic.partitions);
    let alone = answer.topics.iter().flat_map(|topic| &topic.partitions);
    let partitions = in_groups.map(|partition| partition.error_code).chain(alone.map(|partition| partition.error_code));
    [answer.error_code].into_iter().chain(groups).chain(partitions).collect()
}

/// The code of the partition whose leader was asked.
fn partition_code(response: &dyn Any, at: &crate::record::TopicPartition) -> Option<ErrorCode> {
    if let Some(answer) = response.downcast_ref::<list_offsets::ListOffsetsResponse>() {
        let topic = answer.topics.iter().find(|topic| topic.name.0 == *at.topic.as_str())?;
        return topic.partitions.iter().find(|partition| partition.partition_index == at.partition).map(|found| found.error_code);
    }
    // Topics of these two may be named by id alone: the partition's number has to do, for one leader was asked about one partition.
    if let Some(answer) = response.downcast_ref::<fetch::FetchResponse>() {
        let partitions = answer.responses.iter().flat_map(|topic| &topic.partitions);
        return partitions.into_iter().find(|partition| partition.partition_index == at.partition).map(|found| found.error_code);
    }
    let answer = response.downcast_ref::<produce::ProduceResponse>()?;
    let partitions = answer.responses.iter().flat_map(|topic| &topic.partition_responses);
    let code = partitions.into_iter().find(|partition| partition.index == at.partition).map(|found| found.error_code)?;
    // Only what says that nothing was appended.
    matches!(code, ErrorCode::NOT_LEADER_OR_FOLLOWER | ErrorCode::LEADER_NOT_AVAILABLE).then_some(code)
}

#[cfg(test)]
mod tests;
