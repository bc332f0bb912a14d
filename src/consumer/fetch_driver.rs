//! The fetch task of a consumer or reader: it owns the connections for fetching, sends what the core decides, and hears the group.
//!
//! It runs while the user works and never runs the user's code: what must happen on the user's side it puts into the shared state
//! (`state.rs`). It also sends the timed commits, so that they do not depend on the user coming back. It ends when the consumer is
//! closed or dropped. There are at most two requests per broker and one commit under way, all polled here; no task is spawned.

use std::collections::BTreeMap;
use std::future::{Future, pending, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, oneshot};

use crate::cluster::{Cluster, Node, Route, Snapshot, TopicInterest, watched};
use crate::consumer::fetch::{Action, Command, EARLIEST, Leader, Start, Ticket};
use crate::consumer::group_driver::GroupEvent;
use crate::consumer::group_handle::GroupHandle;
use crate::consumer::handle::begin_commit;
use crate::consumer::offsets::Checkpoint;
use crate::consumer::state::{Notice, RefusedBy, Shared, State, now};
use crate::network::Connection;
use crate::protocol::messages::fetch::{FetchRequest, FetchResponse};
use crate::protocol::messages::list_offsets::{ListOffsetsRequest, ListOffsetsResponse};
use crate::protocol::{BrokerId, ErrorCode};
use crate::{Error, Result, Topic, TopicPartition};

/// The last version of Fetch that names topics; later ones know only ids.
pub(crate) const LAST_FETCH_BY_NAME: i16 = 12;

/// Where the partitions come from.
#[derive(Debug)]
pub(crate) enum Assignment {
    /// From a group.
    Group { handle: GroupHandle, events: mpsc::Receiver<GroupEvent>, topics: Vec<Topic> },
    /// All of a topic; those that are added later are read from their beginning.
    Topic { topic: Topic, start: Start },
    /// One.
    Partition { partition: TopicPartition, start: Start },
}

/// Starts the task.
///
/// # Errors
/// When not called inside a tokio runtime.
pub(crate) fn spawn(cluster: Cluster, shared: Arc<Shared>, max_wait: Duration, assignment: Assignment) -> Result<()> {
    let runtime = runtime()?;
    let driver = Driver {
        timeout: max_wait.saturating_add(cluster.config().request_timeout),
        snapshots: cluster.subscribe(),
        refusals: cluster.refusals(),
        cluster,
        shared,
        connections: BTreeMap::new(),
        interests: BTreeMap::new(),
        work: Work::default(),
        give_away_by: None,
    };
    let last = Last(driver.shared.clone());
    runtime.spawn(driver.run(assignment, last));
    Ok(())
}

/// The runtime around.
///
/// # Errors
/// If there is none.
pub(crate) fn runtime() -> Result<tokio::runtime::Handle> {
    tokio::runtime::Handle::try_current().map_err(|error| {
        Error::new(crate::ErrorKind::InvalidRequest, "a consumer reads inside a tokio runtime, and there is none here")
            .with_source(error)
    })
}

struct Driver {
    cluster: Cluster,
    shared: Arc<Shared>,
    snapshots: watched::Receiver<Arc<Snapshot>>,
    refusals: watched::Receiver<Option<Error>>,
    connections: BTreeMap<BrokerId, (Node, Connection)>,
    interests: BTreeMap<Topic, TopicInterest>,
    work: Work,
    /// Of a Fetch: what the broker may wait, and what the answer may take.
    timeout: Duration,
    /// When what is marked is committed if the user is not back by then to give partitions away.
    give_away_by: Option<Instant>,
}

/// Something that was under way and is over.
enum Done {
    Fetched { ticket: Ticket, response: Result<FetchResponse> },
    Listed { ticket: Ticket, response: Result<ListOffsetsResponse> },
    Committed { result: Result<()>, told: Told },
    Looked { topic: Topic, partition: Option<i32>, result: Result<()> },
}

/// Who is told that a commit has ended.
enum Told {
    Nobody,
    /// The group, that a rebalance may go on.
    Group(oneshot::Sender<()>),
    /// Those who wanted it.
    Callers(Vec<oneshot::Sender<Result<()>>>),
}

/// Futures that run side by side inside the task.
#[derive(Default)]
struct Work(Vec<Pin<Box<dyn Future<Output = Done> + Send>>>);

impl Work {
    fn push(&mut self, future: impl Future<Output = Done> + Send + 'static) {
        self.0.push(Box::pin(future));
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Done> {
        for index in 0..self.0.len() {
            if let Some(future) = self.0.get_mut(index)
                && let Poll::Ready(done) = future.as_mut().poll(cx)
            {
                drop(self.0.remove(index));
                return Poll::Ready(done);
            }
        }
        Poll::Pending
    }
}

/// However the task ends, also with its runtime before it was polled at all, the user hears of it.
struct Last(Arc<Shared>);

impl Drop for Last {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.reading_ended();
        if !state.closed {
            let message =
                "the tokio runtime that the consumer began to read in has ended; build another consumer in one that goes on";
            state.fail(Error::new(crate::ErrorKind::Closed, message));
        }
    }
}

impl Driver {
    async fn run(mut self, assignment: Assignment, _last: Last) {
        let (mut events, group, mut discover) = match assignment {
            Assignment::Group { handle, events, topics } => {
                topics.into_iter().for_each(|topic| self.look_for(topic, None));
                (Some(events), Some(handle), None)
            }
            Assignment::Topic { topic, start } => {
                self.look_for(topic.clone(), None);
                (None, None, Some(Discovery { topic, start, known: 0 }))
            }
            Assignment::Partition { partition, start } => {
                self.look_for(partition.topic.clone(), Some(partition.partition));
                self.shared.lock().assign_at(now(), partition, start);
                (None, None, None)
            }
        };
        if let Some(discovery) = &mut discover {
            discovery.look(&self.shared, &self.cluster.snapshot());
        }
        self.follow_leaders();
        loop {
            let timeout = match self.act(group.as_ref()) {
                Some(timeout) => timeout,
                None => return,
            };
            tokio::select! {
                biased;
                event = receive(&mut events) => match event {
                    Some(event) => self.group_event(event, group.as_ref()),
                    None => {
                        events = None;
                        self.membership_over();
                    }
                },
                done = poll_fn(|cx| self.work.poll(cx)) => self.finish(done),
                changed = self.snapshots.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    if let Some(discovery) = &mut discover {
                        discovery.look(&self.shared, &self.snapshots.borrow_and_update().clone());
                    }
                    self.follow_leaders();
                }
                changed = self.refusals.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    let refusal = self.refusals.borrow_and_update().clone();
                    let mut state = self.shared.lock();
                    match refusal {
                        Some(refusal) => state.refuse(RefusedBy::Metadata, refusal),
                        None => state.accept(RefusedBy::Metadata),
                    }
                }
                () = self.shared.wake.notified() => {}
                () = until(timeout) => {}
            }
        }
    }

    /// Does what is to be done now, and tells until when nothing is; `None` ends the task.
    fn act(&mut self, group: Option<&GroupHandle>) -> Option<Option<Instant>> {
        let now = now();
        let shared = self.shared.clone();
        let mut state = shared.lock();
        if state.closed {
            return None;
        }
        state.expire_pauses(now);
        if let Some(group) = group
            && let Some(callers) = state.begin_wanted()
        {
            let commit = state.take_commit(now);
            self.commit(group, commit, now, Told::Callers(callers));
        }
        if let Some(group) = group
            && let Some(commit) = state.due_commit(now)
        {
            self.commit(group, Some(commit), now, Told::Nobody);
        }
        if let Some(group) = group
            && self.give_away_by.is_some_and(|by| now >= by)
        {
            // The group will go on without us: what is done shall count all the same.
            self.give_away_by = None;
            let commit = state.take_commit(now);
            self.commit(group, commit, now, Told::Nobody);
        }
        if state.fetch.is_new() {
            // A partition that only now got a place to begin at.
            let snapshot = self.cluster.snapshot();
            self.follow(&mut state, now, &snapshot);
        }
        while let Some(action) = state.fetch.poll(now) {
            match action {
                Action::Fetch { ticket, broker, by_id, request } => self.fetch(ticket, broker, by_id, request),
                Action::ListOffsets { ticket, broker, request } => self.list_offsets(ticket, broker, request),
                Action::Refresh => self.cluster.request_refresh(),
                Action::LeaderHint { partition, leader, epoch, endpoint } => {
                    self.cluster.leader_hint(&partition.topic, partition.partition, leader, epoch, endpoint);
                }
                Action::Begin { place, offset, leader_epoch } => {
                    state.positions.begin(place, offset, leader_epoch);
                    state.wake_user();
                }
            }
        }
        let commit = state.next_commit().filter(|_| group.is_some());
        Some([state.fetch.next_timeout(), state.pauses.next_timeout(), commit, self.give_away_by].into_iter().flatten().min())
    }

    fn fetch(&mut self, ticket: Ticket, broker: BrokerId, by_id: bool, request: FetchRequest) {
        let connection = self.connection(broker);
        let timeout = self.timeout;
        let versions = if by_id { 0..=i16::MAX } else { 0..=LAST_FETCH_BY_NAME };
        self.work.push(async move {
            let result = match connection {
                Ok(connection) => {
                    connection.request_with(versions, request, timeout).await.map_err(|failure| failure.into_error("Fetch"))
                }
                Err(error) => Err(error),
            };
            Done::Fetched { ticket, response: logged(result, broker) }
        });
    }

    fn list_offsets(&mut self, ticket: Ticket, broker: BrokerId, request: ListOffsetsRequest) {
        let cluster = self.cluster.clone();
        self.work.push(async move {
            let deadline = tokio::time::Instant::now() + cluster.config().request_timeout;
            let result = cluster.request_until(request, Route::Broker(broker), deadline).await;
            Done::Listed { ticket, response: logged(result, broker) }
        });
    }

    /// This consumer's own connection to a broker, whose long polls would hold up everything else.
    fn connection(&mut self, broker: BrokerId) -> Result<Connection> {
        let snapshot = self.cluster.snapshot();
        let Some(node) = snapshot.node(broker) else {
            return Err(Error::new(crate::ErrorKind::Disconnected, "the broker is not in the cluster's metadata"));
        };
        if let Some((known, connection)) = self.connections.get(&broker)
            && !node.moved_from(known)
        {
            return Ok(connection.clone());
        }
        let connection = self.cluster.connection(node)?;
        self.connections.insert(broker, (node.clone(), connection.clone()));
        Ok(connection)
    }

    fn finish(&mut self, done: Done) {
        let now = now();
        let mut state = self.shared.lock();
        match done {
            Done::Fetched { ticket, response } => {
                let response = answer(&mut state, response);
                state.fetch.handle_fetched(now, ticket, response);
                if state.fetch.has_ready() {
                    state.wake_user();
                }
            }
            Done::Listed { ticket, response } => {
                let response = answer(&mut state, response);
                state.fetch.handle_offsets_listed(now, ticket, response);
                if state.fetch.has_ready() {
                    state.wake_user();
                }
            }
            Done::Committed { result, told } => {
                if let Told::Callers(_) = &told {
                    state.wanted_ended();
                }
                drop(state);
                match told {
                    // Whoever asked may have gone.
                    Told::Callers(callers) => callers.into_iter().for_each(|caller| _ = caller.send(result.clone())),
                    Told::Nobody | Told::Group(_) => {
                        if let Err(error) = result {
                            tracing::warn!(%error, "committing offsets failed; they are committed again with the next");
                        }
                        if let Told::Group(group) = told {
                            // Nobody waits for it any more: the rebalance went on without us.
                            let _ = group.send(());
                        }
                    }
                }
            }
            Done::Looked { result: Ok(()), .. } => {}
            // The user hears of refusals by another way. The next ends no sooner than the next round of metadata.
            Done::Looked { topic, partition, result: Err(error) } if error.is_refusal() => {
                drop(state);
                self.look_for(topic, partition);
            }
            Done::Looked { result: Err(error), .. } => state.notify(Notice::Trouble(error)),
        }
    }

    /// Called under the lock under which `commit` was taken.
    fn commit(&mut self, group: &GroupHandle, commit: Option<Checkpoint>, now: Instant, told: Told) {
        let deadline = now + self.cluster.config().default_api_timeout;
        let commit = begin_commit(&self.shared, Some(group), commit, deadline);
        self.work.push(async move { Done::Committed { result: commit.await, told } });
    }

    /// The group's task has ended: in order, for the consumer was stopped or the group failed, or with its runtime.
    fn membership_over(&self) {
        let mut state = self.shared.lock();
        if !state.stopped && !state.closed {
            state.fail(Error::new(
                crate::ErrorKind::Closed,
                "the consumer's membership in its group has ended; build another consumer",
            ));
        }
    }

    fn group_event(&mut self, event: GroupEvent, group: Option<&GroupHandle>) {
        let now = now();
        let shared = self.shared.clone();
        let mut state = shared.lock();
        match event {
            GroupEvent::Assigned { generation, added } => {
                let names: Vec<TopicPartition> = added.iter().map(|(partition, _)| partition.clone()).collect();
                tracing::info!(generation, added = ?names, "partitions assigned");
                state.assign(now, added);
                state.accept(RefusedBy::Coordinator);
                if !names.is_empty() {
                    state.notify(Notice::Assigned(names));
                }
                drop(state);
                self.follow_leaders();
            }
            GroupEvent::Rebalancing { done } => {
                if let Some(group) = group {
                    let commit = state.take_commit(now);
                    self.commit(group, commit, now, Told::Group(done));
                }
            }
            GroupEvent::Revoking { partitions, deadline, done } => {
                tracing::info!(?partitions, "partitions will be given away");
                state.hold(now, &partitions);
                state.notify(Notice::Revoking { partitions, deadline, done });
                self.give_away_by = Some(deadline);
            }
            GroupEvent::Lost { partitions, cause } => {
                tracing::warn!(?partitions, %cause, "partitions lost");
                state.unassign(now, &partitions);
                state.notify(Notice::Lost(partitions));
            }
            GroupEvent::Trouble(error) => state.notify(Notice::Trouble(error)),
            GroupEvent::Refused(error) => state.refuse(RefusedBy::Coordinator, error),
            GroupEvent::Failed(error) => state.fail(error),
        }
    }

    /// Tells the core what metadata says of its partitions.
    fn follow_leaders(&mut self) {
        let snapshot = self.snapshots.borrow_and_update().clone();
        let shared = self.shared.clone();
        self.follow(&mut shared.lock(), now(), &snapshot);
    }

    fn follow(&mut self, state: &mut State, now: Instant, snapshot: &Snapshot) {
        let partitions: Vec<(usize, TopicPartition)> =
            state.fetch.partitions().map(|(slot, name)| (slot, name.clone())).collect();
        self.interests.retain(|topic, _| partitions.iter().any(|(_, name)| name.topic == *topic));
        for (slot, name) in partitions {
            if !self.interests.contains_key(&name.topic) {
                self.interests.insert(name.topic.clone(), self.cluster.interest(&name.topic));
            }
            let known = snapshot.topic(&name.topic).filter(|topic| topic.error.is_none());
            let leader = known.and_then(|topic| {
                let partition = topic.partition(name.partition)?;
                Some(Leader { broker: partition.leader?, epoch: partition.leader_epoch, topic_id: topic.id })
            });
            state.fetch.handle_command(now, Command::Leader { slot, leader });
        }
    }

    /// Tells the user of a topic that the cluster does not come to know, or of a partition that it does not have.
    fn look_for(&mut self, topic: Topic, partition: Option<i32>) {
        let cluster = self.cluster.clone();
        self.work.push(async move {
            let deadline = tokio::time::Instant::now() + cluster.config().default_api_timeout;
            let result = find(&cluster, &topic, partition, deadline).await;
            Done::Looked { topic, partition, result }
        });
    }
}

/// Is there such a topic and, if one is named, such a partition? It may have been added since metadata was learned.
async fn find(cluster: &Cluster, topic: &Topic, partition: Option<i32>, deadline: tokio::time::Instant) -> Result<()> {
    let mut known = cluster.topic(topic, deadline).await?;
    let Some(partition) = partition else { return Ok(()) };
    if known.partition(partition).is_none() {
        cluster.refreshed(deadline).await;
        known = cluster.topic(topic, deadline).await?;
    }
    if known.partition(partition).is_some() {
        return Ok(());
    }
    let error = Error::from_code(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION, known.no_such_partition());
    Err(error.with_topic(topic).with_partition(partition))
}

/// The partitions of a topic, as they come to be known.
struct Discovery {
    topic: Topic,
    start: Start,
    known: i32,
}

impl Discovery {
    fn look(&mut self, shared: &Shared, snapshot: &Snapshot) {
        let Some(topic) = snapshot.topic(&self.topic) else { return };
        let mut state = shared.lock();
        for partition in self.known..topic.partition_count() {
            // Nothing may be missed in a partition that was added while we read.
            let start = if self.known == 0 { self.start } else { Start::Timestamp(EARLIEST) };
            state.assign_at(now(), TopicPartition::new(&self.topic, partition), start);
        }
        self.known = self.known.max(topic.partition_count());
    }
}

/// A failure gets a word in the log: a loud one where the user, who waits for records, hears of it in no other way.
fn logged<T>(result: Result<T>, broker: BrokerId) -> Result<T> {
    result.inspect_err(|error| match error.kind() {
        crate::ErrorKind::Disconnected => tracing::warn!(%error, "no records from broker {}; it is tried again", broker.0),
        _ => tracing::debug!(broker = broker.0, %error, "reading from a broker failed; it is tried again"),
    })
}

/// The answer, if there is one. That a broker refuses this client, or does no longer, is for the user.
fn answer<T>(state: &mut State, result: Result<T>) -> Option<T> {
    match result {
        Ok(answer) => {
            state.accept(RefusedBy::Leader);
            Some(answer)
        }
        Err(error) => {
            if error.is_refusal() {
                state.refuse(RefusedBy::Leader, error);
            }
            None
        }
    }
}

async fn receive(events: &mut Option<mpsc::Receiver<GroupEvent>>) -> Option<GroupEvent> {
    match events {
        Some(events) => events.recv().await,
        None => pending().await,
    }
}

async fn until(timeout: Option<Instant>) {
    match timeout {
        Some(timeout) => tokio::time::sleep_until(timeout.into()).await,
        None => pending().await,
    }
}
