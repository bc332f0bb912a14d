//! The task that keeps one consumer in its group: it owns the connection to the coordinator and runs the group's core.
//!
//! It decides nothing. It hands commands, answers and the time to [`Classic`], does what that asks for, and passes events on in
//! order. It never waits for the user: events queue up here while the consumer is busy, heartbeats flow all the while, and assignors
//! work on the runtime's blocking pool.
//!
//! The task ends when the member has left or failed, at the latest some seconds after the last handle is gone.

use std::collections::BTreeMap;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Poll;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, oneshot};

use crate::cluster::{Cluster, CoordinatorType, Node, Snapshot, TopicInterest, watched};
pub(crate) use crate::consumer::group::GroupConfig;
use crate::consumer::group::classic::Classic;
use crate::consumer::group::{Action, Command, Event, Membership, Request, Response, Ticket, leading};
use crate::consumer::group_handle::{Activity, Commit, GroupHandle, Last, Wish, closed};
use crate::consumer::group_link::GroupLink;
use crate::consumer::offsets::OffsetAndMetadata;
use crate::consumer::pattern::Subscribed;
use crate::consumer::pattern_driver::TopicSearch;
use crate::consumer::refusal;
use crate::consumer::settings::Assigning;
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
    /// Something is wrong, but not for good.
    Trouble(Error),
    /// Brokers refuse this client: nothing comes until they do no longer.
    Refused(Error),
    /// The group cannot go on; the consumer must be built anew. Nothing comes after it.
    Failed(Error),
}

/// Makes a member that joins at once, or once a topic matches its patterns, with a task of its own.
///
/// # Errors
/// If the configuration cannot work, or there is no runtime to run the task.
pub(crate) fn join(
    cluster: Cluster,
    config: GroupConfig,
    to: Subscribed,
    assigning: Assigning,
) -> Result<(GroupHandle, mpsc::Receiver<GroupEvent>)> {
    config.validate()?;
    let runtime = tokio::runtime::Handle::try_current().map_err(|error| {
        Error::new(ErrorKind::InvalidRequest, "a consumer in a group needs a tokio runtime around it").with_source(error)
    })?;
    let (commands, inbox) = mpsc::channel(CHANNEL);
    let (events, outbox) = mpsc::channel(CHANNEL);
    let activity = Arc::new(Activity::default());
    let now = tokio::time::Instant::now().into_std();
    let config = Arc::new(config);
    let mut driver = Driver {
        core: Classic::new(config.clone(), cluster.backoff(), cluster.config().seed, now),
        snapshots: cluster.subscribe(),
        link: None,
        side: None,
        node: None,
        in_flight: Vec::new(),
        commits: BTreeMap::new(),
        heartbeats: BTreeMap::new(),
        next_wish: 0,
        leaving: Vec::new(),
        interests: Vec::new(),
        group_interests: Vec::new(),
        search: None,
        trouble_told: false,
        polls_seen: 0,
        over: false,
        pending: Default::default(),
        activity: activity.clone(),
        events,
        config,
        assigning,
        cluster,
    };
    driver.subscribe(to);
    runtime.spawn(driver.run(inbox, Last(activity.clone())));
    Ok((GroupHandle { commands, activity }, outbox))
}

/// What a request or a consumer's answer came to.
enum Outcome {
    Answer(Result<Response>),
    Coordinator(Result<Node>),
    Prepared,
    /// The core has failed, for this reason.
    Failed(Error),
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
    assigning: Assigning,
    core: Classic,
    /// Where the group's requests go, one after the other.
    link: Option<GroupLink>,
    /// Where a commit goes while a join is parked on the first.
    side: Option<GroupLink>,
    node: Option<Node>,
    in_flight: Vec<InFlight>,
    commits: BTreeMap<Ticket, oneshot::Sender<Result<()>>>,
    heartbeats: BTreeMap<Ticket, oneshot::Sender<Membership>>,
    /// Names commits and heartbeats.
    next_wish: Ticket,
    leaving: Vec<oneshot::Sender<Result<()>>>,
    snapshots: watched::Receiver<Arc<Snapshot>>,
    interests: Vec<TopicInterest>,
    /// As the leader: the topics of the other members.
    group_interests: Vec<TopicInterest>,
    /// With a subscription by patterns.
    search: Option<TopicSearch>,
    /// Does the user know that the first search fails?
    trouble_told: bool,
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
                // In a set order, so that a run can be replayed. None can starve another: whatever woke the task, it does all that is
                // due in its turn, and what is first here has an end.
                biased;
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
                        self.metadata_changed();
                    }
                }
                found = search(&mut self.search), if !self.over => self.searched(found),
                () = sleep_until(alarm) => {}
            }
        }
        self.activity.show(Membership::NotMember);
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
            self.activity.show(self.core.membership());
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
        for Commit { offsets, deadline, done } in self.activity.take_commits() {
            self.next_wish += 1;
            let id = self.next_wish;
            self.commits.insert(id, done);
            self.command(Command::Commit { id, offsets, deadline });
        }
    }

    fn obey(&mut self, wish: Wish) {
        // What was asked for before the member leaves is still to be done.
        self.take_commits();
        match wish {
            Wish::Subscribe(to) => self.subscribe(to),
            Wish::Heartbeat { when, done } => {
                self.next_wish += 1;
                let id = self.next_wish;
                self.heartbeats.insert(id, done);
                self.command(Command::Heartbeat { id, when });
            }
            Wish::Leave { deadline, done } => {
                self.pending.clear();
                self.leaving.push(done);
                self.command(Command::Leave { deadline });
            }
        }
    }

    /// With patterns the old subscription holds until it is known what matches them.
    fn subscribe(&mut self, to: Subscribed) {
        if to.patterns.is_empty() {
            self.search = None;
            return self.subscribe_to(to.topics);
        }
        self.search = Some(TopicSearch::new(self.cluster.clone(), to));
    }

    fn subscribe_to(&mut self, topics: Vec<Topic>) {
        self.interests = topics.iter().map(|topic| self.cluster.interest(topic)).collect();
        self.command(Command::Subscribe(topics));
    }

    fn searched(&mut self, found: Result<Vec<Topic>>) {
        match found {
            Ok(topics) => {
                tracing::info!(group = %self.config.group_id, ?topics, "topics that match");
                self.subscribe_to(topics);
            }
            // The user waits for records that cannot come, and shall know why; once, for it goes on by itself.
            Err(error) if !std::mem::replace(&mut self.trouble_told, true) => {
                self.pending.push_back(GroupEvent::Trouble(error));
            }
            Err(error) => tracing::warn!(%error, "the cluster's topics could not be listed; it is tried again"),
        }
    }

    fn finished(&mut self, ticket: Ticket, outcome: Outcome) {
        match outcome {
            Outcome::Answer(result) => self.core.handle_response(now(), ticket, result),
            Outcome::Prepared => self.command(Command::Prepared(ticket)),
            Outcome::Failed(error) => self.failed(error),
            Outcome::Coordinator(Ok(node)) => {
                if self.node.as_ref().is_none_or(|known| known.id != node.id || known.moved_from(&node)) {
                    self.move_to(node);
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
            Action::Assign { ticket, assignor, topics, members } => {
                let work = move || leading::assign(&*assignor, &topics, &members);
                if self.assigning == Assigning::Inline {
                    return self.core.handle_response(now(), ticket, work().map(Response::Assigned));
                }
                let work = tokio::task::spawn_blocking(work);
                let assigned = async move {
                    let lost = |error| Error::new(ErrorKind::Bug, "the assignor's work got lost").with_source(error);
                    let result = work.await.unwrap_or_else(|error| Err(lost(error)));
                    Outcome::Answer(result.map(Response::Assigned))
                };
                self.in_flight.push(InFlight { ticket, on_link: false, awaited: false, outcome: Box::pin(assigned) });
            }
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

    fn metadata_changed(&mut self) {
        let snapshot = self.snapshots.borrow_and_update().clone();
        let moved = self.node.as_ref().and_then(|node| snapshot.node(node.id).filter(|known| known.moved_from(node)));
        if let Some(node) = moved.cloned() {
            self.move_to(node);
        }
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

    /// The coordinator is this broker now, or at this address.
    fn move_to(&mut self, node: Node) {
        self.reconnect();
        self.side = None;
        self.node = Some(node);
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
                    _ = done.send(result.map_err(|error| self.cluster.with_principal(error)));
                }
                return;
            }
            Event::HeartbeatAnswered { id, membership } => {
                if let Some(done) = self.heartbeats.remove(&id) {
                    // Whoever asked may have gone.
                    _ = done.send(membership);
                }
                return;
            }
            Event::Refused(error) => GroupEvent::Refused(error),
            Event::Left => {
                self.over = true;
                return;
            }
            Event::Failed(error) if refusal::can_be_explained(&error) => {
                let (cluster, config, node) = (self.cluster.clone(), self.config.clone(), self.node.clone());
                let explained = async move { Outcome::Failed(refusal::explain(cluster, &config, node, error).await) };
                self.in_flight.push(InFlight { ticket: 0, on_link: false, awaited: false, outcome: Box::pin(explained) });
                return;
            }
            Event::Failed(error) => return self.failed(error),
        };
        self.pending.push_back(event);
    }

    fn failed(&mut self, error: Error) {
        self.over = true;
        self.pending.push_back(GroupEvent::Failed(error));
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

async fn search(search: &mut Option<TopicSearch>) -> Result<Vec<Topic>> {
    match search {
        Some(search) => search.changed().await,
        None => std::future::pending().await,
    }
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
