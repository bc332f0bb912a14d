//! The task that keeps one consumer in its group: it owns the connection to the coordinator and runs the group's core.
//!
//! It decides nothing. It hands commands, answers and the time to [`Classic`], does what that asks for, and passes events on in
//! order. It never waits for the user: events queue up here while the consumer is busy, heartbeats flow all the while.
//!
//! The task ends when the member has left or failed, at the latest some seconds after the last handle is gone.

use std::collections::BTreeMap;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, oneshot, watch};

use crate::cluster::{Cluster, CoordinatorType, Node, Snapshot, TopicInterest};
pub(crate) use crate::consumer::group::GroupConfig;
use crate::consumer::group::classic::Classic;
use crate::consumer::group::{Action, Command, Event, Request, Response, Ticket};
use crate::consumer::group_link::GroupLink;
use crate::consumer::offsets::OffsetAndMetadata;
use crate::{Error, ErrorKind, Result, Topic, TopicPartition};

/// How long a member whose handles are all gone may take to say goodbye.
const FAREWELL: Duration = Duration::from_secs(5);
/// Commands and events on their way; more wait.
const CHANNEL: usize = 16;

/// What the group tells the consumer, in order.
#[derive(Debug)]
pub(crate) enum GroupEvent {
    /// These are ours now, besides those we had. `committed` is where the group stands, `None` if it never committed there.
    Assigned { generation: i32, added: Vec<(TopicPartition, Option<OffsetAndMetadata>)> },
    /// A rebalance begins that takes nothing away yet: commit what is marked, at once and without waiting for the user, then answer.
    Rebalancing { done: oneshot::Sender<()> },
    /// These will be taken away: wait until the user is back, but no longer than `deadline`, commit their marks, call the user's
    /// hook, answer. If no answer came some time after `deadline`, `Lost` follows.
    Revoking { partitions: Vec<TopicPartition>, deadline: Instant, done: oneshot::Sender<()> },
    /// These are no longer ours, since nobody knows when: drop their marks, commit nothing. `cause` says why.
    Lost { partitions: Vec<TopicPartition>, cause: Error },
    /// The group cannot go on; the consumer must be built anew. Nothing comes after it.
    Failed(Error),
}

/// The consumer's side of its membership; clones are the same member. When the last one is dropped, the member leaves.
#[derive(Clone, Debug)]
pub(crate) struct GroupHandle {
    commands: mpsc::Sender<Wish>,
    activity: Arc<Activity>,
}

/// What the group task sees of the user's comings and goings.
#[derive(Debug, Default)]
struct Activity {
    /// Commits on their way to the task. They are handed over without waiting, so that they arrive in the order in which they were
    /// taken, and go on whatever becomes of who asked. The consumer has no more than a few under way.
    commits: Mutex<Commits>,
    /// Is the user inside a call that reads?
    polling: AtomicBool,
    /// How often it came.
    polls: AtomicU64,
    /// Does the task wait for the next poll?
    wanted: AtomicBool,
    wake: tokio::sync::Notify,
}

#[derive(Debug, Default)]
struct Commits {
    queue: Vec<Commit>,
    /// Nobody will take any out.
    over: bool,
}

#[derive(Debug)]
struct Commit {
    offsets: BTreeMap<TopicPartition, OffsetAndMetadata>,
    deadline: Instant,
    done: oneshot::Sender<Result<()>>,
}

impl Activity {
    fn commits(&self) -> MutexGuard<'_, Commits> {
        // Nothing under the lock can panic half-way.
        self.commits.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// However the task ends, also with its runtime before it was polled at all, nobody waits for a commit any more.
struct Last(Arc<Activity>);

impl Drop for Last {
    fn drop(&mut self) {
        let mut commits = self.0.commits();
        commits.over = true;
        commits.queue.clear();
    }
}

/// What a handle wants.
#[derive(Debug)]
enum Wish {
    Subscribe(Vec<Topic>),
    Leave { deadline: Instant, done: oneshot::Sender<Result<()>> },
}

impl GroupHandle {
    /// The user came into a call that reads: until `end_poll`, `max_poll_interval` does not run, and a member that was thrown out for
    /// it joins again. Costs a few nanoseconds.
    pub(crate) fn begin_poll(&self) {
        self.activity.polling.store(true, Ordering::Relaxed);
        // In one order with what `turn` does when the member goes stale: either it sees this poll, or this sees that it is wanted.
        self.activity.polls.fetch_add(1, Ordering::SeqCst);
        if self.activity.wanted.load(Ordering::SeqCst) {
            self.activity.wake.notify_one();
        }
    }

    /// The user goes off with what it got (or dropped the call): `max_poll_interval` runs from now, give or take a heartbeat.
    pub(crate) fn end_poll(&self) {
        // Only the user counts, and it is in one place at a time.
        let polls = self.activity.polls.load(Ordering::Relaxed);
        self.activity.polls.store(polls.wrapping_add(1), Ordering::Relaxed);
        self.activity.polling.store(false, Ordering::Relaxed);
    }

    /// Commits; retries what may succeed later until `deadline`. Waits while a rebalance does not allow commits. Partitions that
    /// are not ours any more make it fail, as does a generation that ended. It is on its way when this returns, before all that are
    /// handed over later; dropping the answer leaves it so.
    pub(crate) fn commit(
        &self,
        offsets: BTreeMap<TopicPartition, OffsetAndMetadata>,
        deadline: Instant,
    ) -> impl Future<Output = Result<()>> + Send + use<> {
        let (done, answer) = oneshot::channel();
        let mut commits = self.activity.commits();
        if !commits.over {
            commits.queue.push(Commit { offsets, deadline, done });
        }
        drop(commits);
        self.activity.wake.notify_one();
        async move { answer.await.unwrap_or_else(|_| Err(closed())) }
    }

    /// Subscribes to other topics from now on; the group rebalances.
    pub(crate) async fn subscribe(&self, topics: Vec<Topic>) -> Result<()> {
        self.commands.send(Wish::Subscribe(topics)).await.map_err(|_| closed())
    }

    /// Leaves the group (a static member only stops), at `deadline` at the latest. Commit before. No events come after it.
    pub(crate) async fn leave(&self, deadline: Instant) -> Result<()> {
        let (done, answer) = oneshot::channel();
        self.commands.send(Wish::Leave { deadline, done }).await.map_err(|_| closed())?;
        answer.await.unwrap_or_else(|_| Err(closed()))
    }
}

fn closed() -> Error {
    Error::new(crate::ErrorKind::Closed, "the consumer has left its group")
}

/// Makes a member that joins at once, with a task of its own.
///
/// # Errors
/// If the configuration cannot work, or there is no runtime to run the task.
pub(crate) fn join(cluster: Cluster, config: GroupConfig) -> Result<(GroupHandle, mpsc::Receiver<GroupEvent>)> {
    config.validate()?;
    let runtime = tokio::runtime::Handle::try_current().map_err(|error| {
        Error::new(ErrorKind::InvalidRequest, "a consumer in a group needs a tokio runtime around it").with_source(error)
    })?;
    let (commands, inbox) = mpsc::channel(CHANNEL);
    let (events, outbox) = mpsc::channel(CHANNEL);
    let activity = Arc::new(Activity::default());
    let now = tokio::time::Instant::now().into_std();
    let config = Arc::new(config);
    let driver = Driver {
        core: Classic::new(config.clone(), cluster.backoff(), cluster.config().seed, now),
        snapshots: cluster.subscribe(),
        link: None,
        side: None,
        node: None,
        in_flight: Vec::new(),
        commits: BTreeMap::new(),
        next_commit: 0,
        leaving: Vec::new(),
        interests: config.topics.iter().map(|topic| cluster.interest(topic)).collect(),
        group_interests: Vec::new(),
        polls_seen: 0,
        over: false,
        pending: Default::default(),
        activity: activity.clone(),
        events,
        config,
        cluster,
    };
    runtime.spawn(driver.run(inbox, Last(activity.clone())));
    Ok((GroupHandle { commands, activity }, outbox))
}

/// What a request or a consumer's answer came to.
enum Outcome {
    Answer(Result<Response>),
    Coordinator(Result<Node>),
    Prepared,
}

/// Something that will end with an outcome for the core.
struct InFlight {
    ticket: Ticket,
    /// Does it hang on the connection to the coordinator?
    on_link: bool,
    /// Is it the consumer's answer?
    awaited: bool,
    outcome: Pin<Box<dyn Future<Output = Outcome> + Send>>,
}

struct Driver {
    cluster: Cluster,
    config: Arc<GroupConfig>,
    core: Classic,
    /// Where the group's requests go, one after the other.
    link: Option<GroupLink>,
    /// Where a commit goes while a join is parked on the first.
    side: Option<GroupLink>,
    node: Option<Node>,
    in_flight: Vec<InFlight>,
    commits: BTreeMap<Ticket, oneshot::Sender<Result<()>>>,
    next_commit: Ticket,
    leaving: Vec<oneshot::Sender<Result<()>>>,
    snapshots: watch::Receiver<Arc<Snapshot>>,
    interests: Vec<TopicInterest>,
    /// As the leader: the topics of the other members.
    group_interests: Vec<TopicInterest>,
    activity: Arc<Activity>,
    polls_seen: u64,
    events: mpsc::Sender<GroupEvent>,
    pending: std::collections::VecDeque<GroupEvent>,
    /// Left or failed.
    over: bool,
}

impl Driver {
    async fn run(mut self, mut inbox: mpsc::Receiver<Wish>, _last: Last) {
        let (events, activity) = (self.events.clone(), self.activity.clone());
        let mut handles_gone = false;
        loop {
            self.turn();
            if self.over && self.pending.is_empty() {
                break;
            }
            let alarm = self.core.next_timeout().map(tokio::time::Instant::from_std);
            tokio::select! {
                (ticket, outcome) = next_outcome(&mut self.in_flight) => self.finished(ticket, outcome),
                wish = inbox.recv(), if !handles_gone => match wish {
                    Some(wish) => self.obey(wish),
                    None => {
                        handles_gone = true;
                        self.pending.clear();
                        self.command(Command::Leave { deadline: now() + FAREWELL });
                    }
                },
                permit = events.reserve(), if !self.pending.is_empty() => match (permit, self.pending.pop_front()) {
                    (Ok(permit), Some(event)) => permit.send(event),
                    // Nobody listens: the member is of no use.
                    _ => {
                        self.pending.clear();
                        self.command(Command::Leave { deadline: now() + FAREWELL });
                    }
                },
                _ = activity.wake.notified() => {}
                changed = self.snapshots.changed(), if !self.over => {
                    // An error means that the cluster is gone, which this task keeps alive: it cannot be.
                    if changed.is_ok() {
                        self.topics_changed();
                    }
                }
                () = sleep_until(alarm) => {}
            }
        }
        let closed = || Error::new(ErrorKind::Closed, "the consumer has left its group");
        self.commits.into_values().for_each(|done| _ = done.send(Err(closed())));
        self.leaving.into_iter().for_each(|done| _ = done.send(Ok(())));
    }

    /// Lets the core see the time and the user's activity, then does all that it asks for.
    fn turn(&mut self) {
        self.take_commits();
        loop {
            let polls = self.activity.polls.load(Ordering::SeqCst);
            if polls != self.polls_seen || self.activity.polling.load(Ordering::Relaxed) {
                self.polls_seen = polls;
                self.command(Command::Polled);
            }
            while let Some(action) = self.core.poll(now()) {
                self.act(action);
            }
            self.activity.wanted.store(self.core.is_stale(), Ordering::SeqCst);
            // A poll that came before it knew that it is wanted.
            if !self.core.is_stale() || self.activity.polls.load(Ordering::SeqCst) == polls {
                break;
            }
        }
        // Whoever is no longer waited for must notice: what it would give away may be assigned anew.
        let awaited = self.core.awaited();
        self.in_flight.retain(|item| !item.awaited || Some(item.ticket) == awaited);
    }

    fn command(&mut self, command: Command) {
        self.core.handle_command(now(), command);
    }

    fn take_commits(&mut self) {
        let handed_over = std::mem::take(&mut self.activity.commits().queue);
        for Commit { offsets, deadline, done } in handed_over {
            self.next_commit += 1;
            let id = self.next_commit;
            self.commits.insert(id, done);
            self.command(Command::Commit { id, offsets, deadline });
        }
    }

    fn obey(&mut self, wish: Wish) {
        // What was asked for before the member leaves is still to be done.
        self.take_commits();
        match wish {
            Wish::Subscribe(topics) => {
                self.interests = topics.iter().map(|topic| self.cluster.interest(topic)).collect();
                self.command(Command::Subscribe(topics));
            }
            Wish::Leave { deadline, done } => {
                self.pending.clear();
                self.leaving.push(done);
                self.command(Command::Leave { deadline });
            }
        }
    }

    fn finished(&mut self, ticket: Ticket, outcome: Outcome) {
        match outcome {
            Outcome::Answer(result) => self.core.handle_response(now(), ticket, result),
            Outcome::Prepared => self.command(Command::Prepared(ticket)),
            Outcome::Coordinator(Ok(node)) => {
                if self.node.as_ref() != Some(&node) {
                    self.reconnect();
                    self.side = None;
                    self.node = Some(node);
                }
                self.core.handle_response(now(), ticket, Ok(Response::Coordinator));
            }
            Outcome::Coordinator(Err(error)) => self.core.handle_response(now(), ticket, Err(error)),
        }
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::FindCoordinator { ticket, stale } => self.find_coordinator(ticket, stale),
            Action::ListTopics { ticket, topics } => self.list_topics(ticket, topics),
            Action::Send { ticket, request, timeout } => self.send(ticket, request, timeout),
            Action::Reconnect => self.reconnect(),
            Action::Event(event) => self.tell(event),
        }
    }

    fn find_coordinator(&mut self, ticket: Ticket, stale: bool) {
        let (cluster, group, timeout) = (self.cluster.clone(), self.config.group_id.clone(), self.config.request_timeout);
        if stale {
            cluster.forget_coordinator(CoordinatorType::Group, &group);
        }
        let lookup = async move {
            let deadline = tokio::time::Instant::now() + timeout;
            Outcome::Coordinator(cluster.coordinator(CoordinatorType::Group, &group, deadline).await)
        };
        self.in_flight.push(InFlight { ticket, on_link: false, awaited: false, outcome: Box::pin(lookup) });
    }

    /// Waits until the cluster has said of each topic what it is, or that it is not there.
    fn list_topics(&mut self, ticket: Ticket, topics: Vec<Topic>) {
        self.group_interests = topics.iter().map(|topic| self.cluster.interest(topic)).collect();
        let mut snapshots = self.cluster.subscribe();
        let all_known = |snapshot: &Snapshot| topics.iter().all(|topic| snapshot.topics.contains_key(topic));
        if !all_known(&snapshots.borrow()) {
            self.cluster.request_refresh();
        }
        let timeout = self.config.request_timeout.min(self.config.session_timeout / 3);
        let answer = async move {
            let all_known = |snapshot: &Arc<Snapshot>| topics.iter().all(|topic| snapshot.topics.contains_key(topic));
            let result = match tokio::time::timeout(timeout, snapshots.wait_for(all_known)).await {
                Ok(Ok(snapshot)) => Ok(Response::Topics(counts(&snapshot, topics.iter()))),
                _ => Err(Error::new(ErrorKind::Timeout, "the topics of the group's members are not known yet")),
            };
            Outcome::Answer(result)
        };
        self.in_flight.push(InFlight { ticket, on_link: false, awaited: false, outcome: Box::pin(answer) });
    }

    fn topics_changed(&mut self) {
        let snapshot = self.snapshots.borrow_and_update().clone();
        if let Some(watched) = self.core.watched() {
            let counts = counts(&snapshot, watched.keys());
            self.command(Command::TopicsChanged(counts));
        }
    }

    fn send(&mut self, ticket: Ticket, request: Request, timeout: Duration) {
        // Behind a parked join a commit would wait for as long as that; it gets a connection of its own.
        let aside = matches!(request, Request::OffsetCommit { .. }) && self.core.is_parked();
        let (cluster, node) = (&self.cluster, &self.node);
        let slot = if aside { &mut self.side } else { &mut self.link };
        let link = match (&*slot, node) {
            (Some(link), _) => Ok(link.clone()),
            (None, Some(node)) => GroupLink::open(cluster, node).inspect(|link| *slot = Some(link.clone())),
            (None, None) => Err(Error::new(ErrorKind::Disconnected, "the group's coordinator is not known")),
        };
        let config = self.config.clone();
        let exchange = async move {
            Outcome::Answer(match link {
                Ok(link) => link.exchange(&config, request, timeout).await,
                Err(error) => Err(error),
            })
        };
        self.in_flight.push(InFlight { ticket, on_link: !aside, awaited: false, outcome: Box::pin(exchange) });
    }

    fn reconnect(&mut self) {
        self.link = None;
        let gone: Vec<Ticket> = self.in_flight.extract_if(.., |sent| sent.on_link).map(|sent| sent.ticket).collect();
        for ticket in gone {
            let error = Error::new(ErrorKind::Disconnected, "the connection to the group's coordinator was given up");
            self.core.handle_response(now(), ticket, Err(error));
        }
    }

    fn tell(&mut self, event: Event) {
        let event = match event {
            Event::Assigned { generation, added } => GroupEvent::Assigned { generation, added },
            Event::Rebalancing { ticket } => GroupEvent::Rebalancing { done: self.awaited(ticket) },
            Event::Revoking { ticket, partitions, deadline } => {
                GroupEvent::Revoking { partitions, deadline, done: self.awaited(ticket) }
            }
            Event::Lost { partitions, cause } => GroupEvent::Lost { partitions, cause },
            Event::Committed { id, result } => {
                if let Some(done) = self.commits.remove(&id) {
                    // Whoever asked may have gone; the commit was made all the same.
                    _ = done.send(result);
                }
                return;
            }
            Event::Left => {
                self.over = true;
                return;
            }
            Event::Failed(error) => {
                self.over = true;
                GroupEvent::Failed(error)
            }
        };
        self.pending.push_back(event);
    }

    /// A sender whose use (or drop: then nobody will answer better) tells the core that the consumer is done.
    fn awaited(&mut self, ticket: Ticket) -> oneshot::Sender<()> {
        let (done, answer) = oneshot::channel();
        let outcome = async move {
            _ = answer.await;
            Outcome::Prepared
        };
        self.in_flight.push(InFlight { ticket, on_link: false, awaited: true, outcome: Box::pin(outcome) });
        done
    }
}

/// The first that is done; waits for ever when there is none.
async fn next_outcome(in_flight: &mut Vec<InFlight>) -> (Ticket, Outcome) {
    poll_fn(|cx| {
        for index in 0..in_flight.len() {
            if let Poll::Ready(outcome) = in_flight[index].outcome.as_mut().poll(cx) {
                return Poll::Ready((in_flight.swap_remove(index).ticket, outcome));
            }
        }
        Poll::Pending
    })
    .await
}

async fn sleep_until(alarm: Option<tokio::time::Instant>) {
    match alarm {
        Some(alarm) => tokio::time::sleep_until(alarm).await,
        None => std::future::pending().await,
    }
}

fn counts<'a>(snapshot: &Snapshot, topics: impl Iterator<Item = &'a Topic>) -> BTreeMap<Topic, i32> {
    let known = topics.filter_map(|topic| Some((topic.clone(), snapshot.topics.get(topic)?)));
    known.filter(|(_, known)| !known.partitions.is_empty()).map(|(topic, known)| (topic, known.partition_count())).collect()
}

fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}
