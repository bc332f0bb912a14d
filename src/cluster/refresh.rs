//! When to ask for metadata, whom, for which topics, and what to make of the answers.
//!
//! A *round* asks one peer after the other until one answers: first the brokers known from the last answer, the one that answered
//! last first, then the bootstrap servers in random order; an answer without brokers counts as no answer (a broker that starts up).
//! A peer that is slow to answer ([`SLOW_PEER`]) gets company instead of holding everybody up. A round that ends without an answer
//! is repeated after a pause, as long as somebody needs it.
//!
//! What makes a round due: a topic that was not asked for yet (at once); a stale state somebody ran into, or an answer that leaves a
//! partition without leader or a wanted topic unknown (after a pause that grows while answers bring nothing new); and age.
//! The request names exactly the topics in use. Nothing is due as long as nobody wants anything: building a client sends nothing.
//!
//! A peer that refuses this client for who it is (credentials, certificates), or is refused by it, is not a peer that is down: when
//! none of the others answers, the round ends with that refusal, without waiting long for slow peers. Whoever waits is told at once, the
//! next round comes after the longest pause, and the bootstrap servers are not gone back to: the cluster is there, and says no.
//!
//! The client goes back to its bootstrap servers when every known broker failed in a round, when a broker says so (error 129), and
//! when for `metadata.recovery.rebootstrap.trigger.ms` since the first of a run of failing attempts nothing was learned (KIP-899,
//! KIP-1102). Topics, leaders and epochs are kept: producers and consumers lose nothing by it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::cluster::{BackoffConfig, Node, Snapshot, Spread};
use crate::config::Seed;
use crate::error::{Error, ErrorKind};
use crate::protocol::messages::metadata::{MetadataRequest, MetadataRequestTopic, MetadataResponse};
use crate::protocol::{BrokerId, ErrorCode, Str, TopicName};
use crate::record::Topic;

/// A peer that has not answered for so long gets company.
pub(crate) const SLOW_PEER: Duration = Duration::from_secs(2);

/// How far the pause grows for topics that do not exist and that nobody waits for.
const MAX_PAUSE_FOR_UNKNOWN: Duration = Duration::from_secs(10);

/// Names one request; comes back with its result.
pub(crate) type Ticket = u64;

/// Whom to ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Peer {
    /// The bootstrap server of this index.
    Seed(usize),
    /// A broker of the snapshot.
    Broker(BrokerId),
}

/// What the refresh is told.
#[derive(Debug)]
pub(crate) enum Command {
    /// One more user of this topic.
    Use(Topic),
    /// One user less.
    Unuse(Topic),
    /// The state seems to be out of date.
    Refresh,
    /// Somebody waits for the state to change; a state that was never learned is asked for at once.
    Wait,
    /// One waiter less.
    Unwait,
    /// A broker named a partition's new leader (KIP-951).
    LeaderHint { topic: Topic, partition: i32, leader: BrokerId, leader_epoch: i32, endpoint: Option<Node> },
}

/// What the refresh wants done.
#[derive(Debug)]
pub(crate) enum Action {
    /// Ask this peer.
    Send { ticket: Ticket, peer: Peer, request: MetadataRequest },
    /// The state changed.
    Publish(Arc<Snapshot>),
    /// A round ended: well, or with every peer failing, whose reasons [`Refresh::failures`] has.
    RoundEnded,
    /// Known brokers cannot be used: close the connections to them, resolve the bootstrap servers' names again.
    Rebootstrap,
}

/// How the refresh is paced.
#[derive(Clone, Debug)]
pub(crate) struct RefreshConfig {
    /// The bootstrap servers.
    pub seeds: Vec<Seed>,
    /// `metadata.max.age.ms`.
    pub max_age: Duration,
    /// `metadata.recovery.rebootstrap.trigger.ms`.
    pub rebootstrap_trigger: Duration,
    /// `retry.backoff.ms`, `retry.backoff.max.ms`.
    pub backoff: BackoffConfig,
    /// At least so long after a refusal; `reconnect.backoff.max.ms`, for the connections of a round end with it.
    pub refusal_pause: Duration,
    /// `allow.auto.create.topics`.
    pub allow_auto_create_topics: bool,
    /// What order and spread come from.
    pub seed: u64,
}

/// One search for a peer that answers.
#[derive(Debug)]
struct Round {
    /// Not asked yet.
    candidates: VecDeque<Peer>,
    /// Did it begin with known brokers?
    began_with_brokers: bool,
    /// Asked and not answered: the topics named in the request.
    asked: BTreeMap<Ticket, (Peer, BTreeSet<Topic>)>,
    /// When the next candidate is asked although nobody failed.
    company_at: Instant,
    /// The first refusal.
    refusal: Option<Error>,
}

/// See the module's head.
#[derive(Debug)]
pub(crate) struct Refresh {
    config: RefreshConfig,
    spread: Spread,
    snapshot: Arc<Snapshot>,
    /// Topics in use, and by how many.
    topics: BTreeMap<Topic, usize>,
    waiters: usize,
    round: Option<Round>,
    /// When the next round begins.
    due: Option<Instant>,
    /// No round that is only repeated begins before this.
    not_before: Option<Instant>,
    /// Was a refresh asked for while a round ran, or before the pause was over?
    requested: bool,
    /// Rounds in a row that failed or brought nothing new.
    fruitless: u32,
    /// When the last answer came.
    learned: Option<Instant>,
    /// Since when every attempt failed.
    failing_since: Option<Instant>,
    /// Are the known brokers out of the question in the next round?
    rebootstrap: bool,
    /// The broker that answered last.
    favorite: Option<BrokerId>,
    /// Why each peer failed since the last answer.
    failures: BTreeMap<Peer, Error>,
    /// Why the last round failed, if a peer refused.
    refusal: Option<Error>,
    failed_rounds: u64,
    answered_rounds: u64,
    next_ticket: Ticket,
    actions: VecDeque<Action>,
}

impl Refresh {
    /// Knows nothing, wants nothing.
    pub(crate) fn new(config: RefreshConfig) -> Self {
        Self {
            spread: Spread::new(config.seed),
            config,
            snapshot: Arc::default(),
            topics: BTreeMap::new(),
            waiters: 0,
            round: None,
            due: None,
            not_before: None,
            requested: false,
            fruitless: 0,
            learned: None,
            failing_since: None,
            rebootstrap: false,
            favorite: None,
            failures: BTreeMap::new(),
            refusal: None,
            failed_rounds: 0,
            answered_rounds: 0,
            next_ticket: 0,
            actions: VecDeque::new(),
        }
    }

    /// The state last published.
    pub(crate) fn snapshot(&self) -> &Arc<Snapshot> {
        &self.snapshot
    }

    /// Why each peer failed since the last answer.
    pub(crate) fn failures(&self) -> &BTreeMap<Peer, Error> {
        &self.failures
    }

    /// Why the last round failed, if it did and a peer refused: no other round ends otherwise before somebody changes something.
    pub(crate) fn refusal(&self) -> Option<&Error> {
        self.refusal.as_ref()
    }

    /// How many rounds ended without an answer.
    pub(crate) fn failed_rounds(&self) -> u64 {
        self.failed_rounds
    }

    /// How many answers were taken.
    pub(crate) fn answered_rounds(&self) -> u64 {
        self.answered_rounds
    }

    /// Is somebody being asked now?
    pub(crate) fn is_asking(&self) -> bool {
        self.round.is_some()
    }

    /// The state's name, for tables of what was reached.
    #[cfg(feature = "unstable-cores")]
    pub(crate) fn state_name(&self) -> &'static str {
        match (&self.round, self.snapshot.version, &self.refusal) {
            (Some(round), ..) if round.asked.len() > 1 => "asking, in company",
            (Some(_), 0, _) => "asking, nothing known",
            (Some(_), ..) => "asking",
            (None, _, Some(_)) => "refused",
            (None, 0, _) => "nothing known",
            (None, ..) if self.failing_since.is_some() => "failing",
            (None, ..) => "known",
        }
    }

    /// Was the state learned within its age?
    pub(crate) fn is_fresh(&self, now: Instant) -> bool {
        self.learned.is_some_and(|learned| now.saturating_duration_since(learned) <= self.config.max_age + SLOW_PEER)
    }

    /// The broker that answered last: it is there, and a connection to it is likely open.
    pub(crate) fn favorite(&self) -> Option<BrokerId> {
        self.favorite
    }

    /// A command, as [`Command`] describes them.
    pub(crate) fn handle_command(&mut self, now: Instant, command: Command) {
        match command {
            Command::Use(topic) => {
                let unasked = !self.is_asked(&topic);
                *self.topics.entry(topic).or_default() += 1;
                if unasked {
                    self.want_new(now);
                } else if self.round.is_none() && self.due.is_none() {
                    // Known from an earlier use, after which nothing was refreshed.
                    self.due = self.learned.map(|learned| learned + self.config.max_age);
                }
            }
            Command::Unuse(topic) => {
                if let Some(users) = self.topics.get_mut(&topic) {
                    *users = users.saturating_sub(1);
                    if *users == 0 {
                        self.topics.remove(&topic);
                    }
                }
            }
            Command::Refresh => self.request(now),
            Command::Wait => {
                self.waiters += 1;
                if self.snapshot.version == 0 {
                    self.want_new(now);
                } else if self.fruitless > 0 || self.is_incomplete() {
                    self.request(now);
                }
            }
            Command::Unwait => self.waiters = self.waiters.saturating_sub(1),
            Command::LeaderHint { topic, partition, leader, leader_epoch, endpoint } => {
                if let Some(next) = self.snapshot.with_leader(&topic, partition, leader, leader_epoch, endpoint) {
                    self.publish(next);
                }
                self.request(now);
            }
        }
    }

    /// The answer to `ticket`. What answers a round that is over is ignored: its state may be older than the one taken.
    pub(crate) fn handle_response(&mut self, now: Instant, ticket: Ticket, result: Result<MetadataResponse, Error>) {
        let Some((peer, topics)) = self.round.as_mut().and_then(|round| round.asked.remove(&ticket)) else { return };
        let answer = match result {
            Ok(answer) if answer.error_code == ErrorCode::REBOOTSTRAP_REQUIRED => {
                // From a bootstrap server it is no advice to follow.
                self.rebootstrap = self.round.as_ref().is_some_and(|round| round.began_with_brokers);
                Err(Error::from_code(answer.error_code, "the broker sends the client back to its bootstrap servers"))
            }
            Ok(answer) if !answer.error_code.is_ok() => Err(Error::from_code(answer.error_code, "the broker refused")),
            Ok(answer) if answer.brokers.is_empty() => {
                Err(Error::new(ErrorKind::Disconnected, "the answer names no brokers: the broker seems to be starting up"))
            }
            result => result,
        };
        match answer {
            Ok(answer) => self.take(now, peer, &answer, &topics),
            Err(error) => {
                let error = error.with_api("Metadata");
                if let Some(round) = self.round.as_mut().filter(|_| error.is_refusal()) {
                    round.refusal.get_or_insert(error.clone());
                }
                self.failures.insert(peer, error);
                if self.favorite.is_some_and(|id| peer == Peer::Broker(id)) {
                    self.favorite = None;
                }
                if self.rebootstrap {
                    self.abandon_round(now);
                } else if !self.is_needed() && self.round.as_ref().is_some_and(|round| round.asked.is_empty()) {
                    // Whoever wanted to know is gone: a client that was closed opens no more connections.
                    self.end_failed_round(now);
                }
            }
        }
    }

    /// The next thing to do; call until `None` after every input and at [`next_timeout`](Self::next_timeout).
    pub(crate) fn poll(&mut self, now: Instant) -> Option<Action> {
        if self.actions.is_empty() {
            if self.failing_since.is_some_and(|since| now >= since + self.config.rebootstrap_trigger) {
                self.failing_since = Some(now);
                // Nothing is wrong with the addresses of brokers that refuse.
                if self.refusal.is_none() {
                    self.rebootstrap = true;
                    self.abandon_round(now);
                }
            }
            if self.round.is_none() && self.due.is_some_and(|due| due <= now) {
                self.due = None;
                if self.is_needed() {
                    self.begin_round(now);
                }
            }
            self.advance_round(now);
        }
        self.actions.pop_front()
    }

    /// When to call [`poll`](Self::poll) although nothing happened.
    pub(crate) fn next_timeout(&self) -> Option<Instant> {
        let company = self.round.as_ref().filter(|round| round.may_have_company()).map(|round| round.company_at);
        let due = self.due.filter(|_| self.round.is_none());
        let trigger = self.failing_since.map(|since| since + self.config.rebootstrap_trigger);
        [company, due, trigger].into_iter().flatten().min()
    }

    /// Does anybody want to know?
    fn is_needed(&self) -> bool {
        self.requested || self.waiters > 0 || !self.topics.is_empty()
    }

    /// Is the topic known, or in a request under way?
    fn is_asked(&self, topic: &Topic) -> bool {
        let under_way = self.round.iter().flat_map(|round| round.asked.values()).any(|(_, topics)| topics.contains(topic));
        under_way || self.snapshot.topics.contains_key(topic)
    }

    /// Something was never asked: no pause, unless nobody answers anyway.
    fn want_new(&mut self, now: Instant) {
        let is_failing = self.failing_since.is_some() || self.refusal.is_some();
        let at = self.not_before.filter(|_| is_failing).map_or(now, |earliest| earliest.max(now));
        self.due = Some(self.due.map_or(at, |due| due.min(at)));
    }

    /// Something seems to be out of date: a round after the pause.
    fn request(&mut self, now: Instant) {
        self.requested = true;
        let at = self.not_before.map_or(now, |earliest| earliest.max(now));
        self.due = Some(self.due.map_or(at, |due| due.min(at)));
    }

    fn begin_round(&mut self, now: Instant) {
        self.requested = false;
        let mut seeds: Vec<_> = (0..self.config.seeds.len()).map(Peer::Seed).collect();
        self.spread.shuffle(&mut seeds);
        let mut brokers: Vec<_> = self.snapshot.brokers.keys().copied().map(Peer::Broker).collect();
        if std::mem::take(&mut self.rebootstrap) {
            brokers.clear();
            self.actions.push_back(Action::Rebootstrap);
        }
        self.spread.shuffle(&mut brokers);
        // Those that failed last, last; the one that answered last, first.
        brokers.sort_by_key(|peer| (self.failures.contains_key(peer), self.favorite.map(Peer::Broker) != Some(*peer)));
        let began_with_brokers = !brokers.is_empty();
        let candidates = brokers.into_iter().chain(seeds).collect();
        self.failing_since.get_or_insert(now);
        self.round = Some(Round { candidates, began_with_brokers, asked: BTreeMap::new(), company_at: now, refusal: None });
    }

    /// Asks the next candidate where it is time to; ends the round where there is none.
    fn advance_round(&mut self, now: Instant) {
        let Some(round) = &mut self.round else { return };
        if !round.asked.is_empty() && (now < round.company_at || !round.may_have_company()) {
            return;
        }
        let Some(peer) = round.next_peer() else {
            return self.end_failed_round(now);
        };
        if matches!(peer, Peer::Seed(_)) && std::mem::take(&mut round.began_with_brokers) {
            self.actions.push_back(Action::Rebootstrap);
        }
        let topics: BTreeSet<_> = self.topics.keys().cloned().collect();
        let ticket = self.next_ticket;
        self.next_ticket += 1;
        let request = request_for(&topics, self.config.allow_auto_create_topics);
        round.company_at = now + SLOW_PEER;
        round.asked.insert(ticket, (peer, topics));
        self.actions.push_back(Action::Send { ticket, peer, request });
    }

    /// Nobody answered: another round follows after a pause if anybody needs it.
    fn end_failed_round(&mut self, now: Instant) {
        let round = self.round.take();
        self.failed_rounds += 1;
        self.fruitless = self.fruitless.saturating_add(1);
        for (peer, _) in round.iter().flat_map(|round| round.asked.values()) {
            let slow = || Error::new(ErrorKind::Disconnected, format!("no answer within {SLOW_PEER:?}")).with_api("Metadata");
            self.failures.entry(*peer).or_insert_with(slow);
        }
        self.refusal = round.and_then(|round| round.refusal);
        let again = match self.refusal {
            None => self.pause(now, self.config.backoff),
            Some(_) => now + self.spread.apply(self.config.backoff.max.max(self.config.refusal_pause)),
        };
        self.not_before = Some(again);
        self.due = (self.is_needed()).then_some(again);
        if self.due.is_none() {
            // Nobody tries any more, so no time counts as failing.
            self.failing_since = None;
        }
        self.actions.push_back(Action::RoundEnded);
    }

    /// Ends the round that runs, to begin another at once.
    fn abandon_round(&mut self, now: Instant) {
        if self.round.take().is_some() {
            self.due = Some(now);
            // The round was needed when it began; that it went wrong must not lose the wish.
            self.requested = true;
        }
    }

    /// Takes an answer: merges it, publishes news, plans the next round.
    fn take(&mut self, now: Instant, peer: Peer, answer: &MetadataResponse, asked: &BTreeSet<Topic>) {
        self.round = None;
        self.failing_since = None;
        self.learned = Some(now);
        self.answered_rounds += 1;
        self.failures.clear();
        self.refusal = None;
        let still_used: BTreeSet<_> = asked.iter().filter(|topic| self.topics.contains_key(*topic)).cloned().collect();
        let mut next = self.snapshot.merged(answer, &still_used);
        let mut unasked = false;
        for topic in self.topics.keys().filter(|topic| !asked.contains(*topic)) {
            unasked = true;
            if let Some(known) = self.snapshot.topics.get(topic) {
                next.topics.insert(topic.clone(), known.clone());
            }
        }
        self.favorite = match peer {
            Peer::Broker(id) => next.brokers.contains_key(&id).then_some(id),
            Peer::Seed(index) => {
                let seed = self.config.seeds.get(index);
                let same = |node: &&Node| seed.is_some_and(|seed| *node.host == *seed.host && node.port == seed.port);
                next.brokers.values().find(same).map(|node| node.id)
            }
        };
        let news = self.snapshot.version == 0 || !next.same_as(&self.snapshot);
        self.fruitless = if news { 0 } else { self.fruitless.saturating_add(1) };
        if news {
            self.publish(next);
        }
        self.actions.push_back(Action::RoundEnded);
        let soonest = self.pause(now, self.config.backoff);
        self.not_before = Some(soonest);
        self.due = if unasked {
            Some(now)
        } else if self.requested || self.is_leaderless() || (self.waiters > 0 && self.is_incomplete()) {
            Some(soonest)
        } else if self.is_incomplete() {
            let patient = BackoffConfig { max: MAX_PAUSE_FOR_UNKNOWN.max(self.config.backoff.max), ..self.config.backoff };
            Some(self.pause(now, patient))
        } else {
            (!self.topics.is_empty()).then_some(now + self.config.max_age)
        };
    }

    fn publish(&mut self, next: Snapshot) {
        self.snapshot = Arc::new(next);
        self.actions.push_back(Action::Publish(self.snapshot.clone()));
    }

    fn pause(&mut self, now: Instant, backoff: BackoffConfig) -> Instant {
        now + self.spread.apply(backoff.pause(self.fruitless.max(1)))
    }

    /// Is a partition in use without a leader?
    fn is_leaderless(&self) -> bool {
        self.known_topics().any(|topic| topic.error.is_none() && topic.partitions.iter().any(|partition| !partition.is_ready()))
    }

    /// Is something in use that a later answer may know better?
    fn is_incomplete(&self) -> bool {
        self.topics.keys().any(|topic| !self.snapshot.topics.contains_key(topic))
            || self.known_topics().any(|topic| topic.missing > 0 || topic.error.is_some_and(ErrorCode::is_retriable))
            || self.is_leaderless()
    }

    fn known_topics(&self) -> impl Iterator<Item = &crate::cluster::TopicMetadata> {
        self.topics.keys().filter_map(|topic| self.snapshot.topics.get(topic)).map(|topic| &**topic)
    }
}

impl Round {
    /// Is there something to do although those asked have not failed yet? To ask the next candidate: the bootstrap servers only once no
    /// known broker is left. Or, where a peer refused, to end the round.
    fn may_have_company(&self) -> bool {
        match self.candidates.front() {
            Some(Peer::Broker(_)) => true,
            Some(Peer::Seed(_)) => !self.began_with_brokers || self.refusal.is_some(),
            None => self.refusal.is_some(),
        }
    }

    /// The next to ask. Known brokers of which one refused are not given up for the bootstrap servers.
    fn next_peer(&mut self) -> Option<Peer> {
        let is_refused = self.refusal.is_some() && self.began_with_brokers;
        if is_refused && matches!(self.candidates.front(), Some(Peer::Seed(_))) { None } else { self.candidates.pop_front() }
    }
}

/// The request for exactly these topics. An empty list asks for brokers alone.
fn request_for(topics: &BTreeSet<Topic>, allow_auto_create_topics: bool) -> MetadataRequest {
    // A name that is too long for the protocol can be no topic; its users are told so by the name's own check.
    let names = topics.iter().filter_map(|topic| Str::try_from(topic.as_str()).ok());
    let topics = names.map(|name| MetadataRequestTopic { name: Some(TopicName(name)), ..Default::default() });
    MetadataRequest {
        topics: Some(topics.collect()),
        allow_auto_topic_creation: allow_auto_create_topics,
        ..MetadataRequest::default()
    }
}

#[cfg(test)]
mod tests;
