//! The world of a run: time, the network, the brokers, the clients, and what is to come.

mod network;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use bytes::Bytes;
use klamm::config::Sasl;
use klamm::protocol::{ApiKey, Uuid};
use klamm::unstable::{Client, End, LineWish as Wish};
use klamm_broker::faults::{BrokerFault, Direction as Way, Network, Plan};
use klamm_broker::unstable::Core;
use klamm_broker::{ConnectionId, SaslMechanism};

use super::link::{Link, Piece};
use super::members::{User, copier};
use super::observer::{observe, verdict};
use super::tasks::Sender;
use super::writers::Writers;
use crate::coverage::Coverage;
use crate::history::{Event, History, Log, Partition, Who, topic_name};
use crate::logs;
use crate::oracles::stood_at;
use crate::random::Random;
use crate::run::{Case, Run};
use crate::trouble::{Direction, GROUP, Trouble, Whim};
use crate::workload::{Kind, Leave, SECOND};

/// Steps at one instant after which time stands still.
const MAX_STEPS: u32 = 200_000;
/// What a transport takes before the other side has read.
const ROOMS: [usize; 4] = [300, 4_000, 64 << 10, 4 << 20];
/// How long bytes may be on their way after nobody waits for them any more.
const IN_FLIGHT: Duration = Duration::from_secs(5);
/// A run ends here in any case.
const LONGEST: Duration = Duration::from_secs(3 * 3600);

/// What is to come.
#[derive(Debug)]
enum Happening {
    /// A connection that was asked for reaches its node.
    Knock(u64),
    /// One that has waited there asks again.
    Connect(u64),
    /// Its answer reaches the client.
    Connected(u64, bool),
    /// Something arrives.
    Piece(u64, Direction, Piece),
    /// The other side has closed.
    Closed(u64, Direction),
    /// A trouble of the case begins.
    Trouble(usize),
    /// All faults are over.
    Heal,
    /// Everything may be done.
    Look,
    /// A member of the plan comes.
    Join(usize),
    /// A member goes.
    Leave(u32, Leave),
}

/// A client and who uses it.
#[derive(Debug)]
struct Peer {
    client: Client,
    who: Who,
    sender: Option<Sender>,
    user: Option<User>,
    timeout: Option<Instant>,
    requests: u32,
    turns: u64,
}

/// See the module.
pub(super) struct World<'a> {
    case: &'a Case,
    start: Instant,
    now: Instant,
    queue: BTreeMap<(Instant, u64), Happening>,
    planned: u64,
    broker: Core,
    peers: BTreeMap<u32, Peer>,
    writers: Writers,
    links: BTreeMap<u64, Link>,
    by_end: BTreeMap<(u32, End), u64>,
    by_connection: BTreeMap<ConnectionId, u64>,
    next_link: u64,
    next_peer: u32,
    /// Connections that have reached their node's network, and since when.
    knocking: BTreeMap<u64, Instant>,
    /// What the broker's faults do between links and broker; bytes go past it as long as there was none.
    faulty: Option<Network>,
    whims: Vec<(ApiKey, usize, Whim)>,
    wall_at_start: i64,
    /// How many members the group had.
    members: usize,
    /// Partitions that have lost something.
    lossy: BTreeSet<Partition>,
    /// Are members told that they are out while they are not?
    fakes_expiry: bool,
    history: History,
    coverage: Coverage,
    healed: bool,
    second: u64,
    settled: bool,
    over: bool,
    topics: Vec<(Uuid, u32)>,
    give_up: Option<Instant>,
    /// Until then bytes may be on their way for which nobody waits.
    quiet: Instant,
    plan_look: bool,
}

impl<'a> World<'a> {
    pub(super) fn new(case: &'a Case) -> Self {
        let start = base();
        let workload = &case.workload;
        let topics = if workload.kind == Kind::Copy { vec!["t0", "t1"] } else { vec!["t0"] };
        let topics: Vec<_> = topics.into_iter().map(|topic| (topic, workload.partitions)).collect();
        let mut world = Self {
            case,
            start,
            now: start,
            queue: BTreeMap::new(),
            planned: 0,
            broker: Core::cluster(start, workload.nodes, &topics, case.seed),
            peers: BTreeMap::new(),
            writers: Writers::new(start, case),
            links: BTreeMap::new(),
            by_end: BTreeMap::new(),
            by_connection: BTreeMap::new(),
            next_link: 0,
            next_peer: 0,
            knocking: BTreeMap::new(),
            faulty: None,
            whims: Vec::new(),
            wall_at_start: 0,
            members: 0,
            lossy: BTreeSet::new(),
            fakes_expiry: case.troubles.iter().any(|(_, trouble)| trouble.expires_members()),
            history: History::new(case.bounds()),
            coverage: Coverage::default(),
            healed: false,
            second: 0,
            settled: false,
            over: false,
            topics: Vec::new(),
            give_up: None,
            quiet: start,
            plan_look: false,
        };
        world.wall_at_start = world.broker.wall_millis(start);
        if let Some(login) = case.login {
            world.broker.set_user(SaslMechanism::Plain, USER, PASSWORD, login.believed);
        }
        for (index, plan) in workload.members.iter().enumerate() {
            world.plan(start + plan.joins, Happening::Join(index));
        }
        for plan in &workload.producers {
            let sender = Sender::new(start, case.seed, plan, 0, workload.partitions);
            world.history.push(Duration::ZERO, sender.started());
            let mut client = world.client(&format!("p{}", plan.number), plan.request_timeout);
            if let Err(error) = client.begin_producer(start, &["t0"], &sender.settings()) {
                panic!("the plan's settings don't fit together: {error}");
            }
            world.add_peer(client, Who::Producer(plan.number), Some(sender), None);
        }
        for (index, (at, trouble)) in case.troubles.iter().enumerate() {
            if !matches!(trouble, Trouble::Cut { .. }) {
                world.plan(start + *at, Happening::Trouble(index));
            }
        }
        world.plan(start + workload.duration, Happening::Heal);
        world
    }

    fn client(&self, id: &str, request_timeout: Duration) -> Client {
        let seeds: Vec<_> = (1..=self.case.workload.nodes).map(|node| (format!("node-{node}"), PORT)).collect();
        let seed = Random::of(self.case.seed, id).next();
        let mut client = Client::new(self.now, id, &seeds, request_timeout, seed);
        if self.case.login.is_some()
            && let Err(error) = client.log_in(&Sasl::plain(USER, PASSWORD))
        {
            panic!("a user and a password are refused: {error}");
        }
        client
    }

    fn add_peer(&mut self, client: Client, who: Who, sender: Option<Sender>, user: Option<User>) -> u32 {
        let number = self.next_peer;
        self.next_peer += 1;
        let timeout = Some(self.now);
        self.peers.insert(number, Peer { client, who, sender, user, timeout, requests: 0, turns: 0 });
        number
    }

    /// A member comes.
    fn join(&mut self, index: usize) {
        let case = self.case;
        let Some(plan) = case.workload.members.get(index).filter(|_| !self.settled) else { return };
        let copies = case.workload.kind == Kind::Copy;
        let first = case.workload.producers.first().filter(|_| copies);
        let copier = first.map(|first| copier(case.seed, first, plan.number));
        let mut client = self.client(&format!("m{}", plan.number), Duration::from_secs(30));
        if let Some(plan) = &copier {
            let started = Event::ProducerStarted { producer: plan.number, idempotent: true, ordered: true, acks: plan.acks };
            self.note(started);
            if let Err(error) = client.begin_producer(self.now, &["t1"], &super::tasks::settings(plan)) {
                panic!("the copier's settings don't fit together: {error}");
            }
        }
        let user = User::new(self.now, case.seed, plan, copier);
        let assignor = Random::of(case.seed, "assignor").pick(&["cooperative", "cooperative", "range", "roundrobin"]);
        if let Err(error) = client.begin_member(self.now, &user.settings(GROUP, assignor)) {
            panic!("the member's settings don't fit together: {error}");
        }
        self.note(Event::Joined { member: plan.number });
        let number = self.add_peer(client, Who::Member(plan.number), None, Some(user));
        if let Some((at, how)) = plan.leaves {
            // From its start, as everything in a plan.
            self.plan((self.start + at).max(self.now), Happening::Leave(number, how));
        }
        self.touch(number);
    }

    /// A member goes.
    fn leave(&mut self, number: u32, how: Leave) {
        let at = self.since();
        let Some(peer) = self.peers.get_mut(&number) else { return };
        let Some(user) = peer.user.as_mut().filter(|user| !user.leaving) else { return };
        user.leave(self.now, at, how, &mut peer.client, &mut self.history);
        if how == Leave::Crash {
            self.links.values_mut().filter(|link| link.client == number).for_each(|link| link.silent = true);
            if let Some(peer) = self.peers.remove(&number) {
                self.cover(&peer.client);
            }
            return;
        }
        self.touch(number);
    }

    fn cover(&mut self, client: &Client) {
        for (core, state, event, count) in client.seen() {
            *self.coverage.states.entry((core, state, event)).or_default() += count;
        }
    }

    /// Runs to the end.
    pub(super) fn run(mut self) -> Run {
        let limit = self.start + LONGEST;
        let (mut steps, mut last) = (0, self.now);
        while !self.over {
            let Some(next) = self.next_instant().filter(|at| *at <= limit) else { break };
            self.advance(next.max(self.now));
            steps = if self.now == last { steps + 1 } else { 0 };
            last = self.now;
            assert!(steps < MAX_STEPS, "time stands still at {:?}", self.since());
            while let Some(entry) = self.queue.first_entry().filter(|entry| entry.key().0 <= self.now) {
                let happening = entry.remove();
                self.happens(happening);
            }
            if self.broker.next_timeout().is_some_and(|at| at <= self.now) {
                self.broker.pass(self.now);
                self.brokers_actions();
            }
            self.carry();
            let due: Vec<u32> =
                self.peers.iter().filter(|(_, peer)| peer.timeout.is_some_and(|at| at <= self.now)).map(|(at, _)| *at).collect();
            due.into_iter().for_each(|peer| self.touch(peer));
            if self.writers.next_timeout().is_some_and(|at| at <= self.now) {
                self.write();
            }
            self.look_for_the_end();
        }
        self.finish()
    }

    fn next_instant(&self) -> Option<Instant> {
        let queue = self.queue.first_key_value().map(|((at, _), _)| *at);
        let peers = self.peers.values().filter_map(|peer| peer.timeout).min();
        let faulty = self.faulty.as_ref().and_then(|network| network.next_timeout(self.now));
        [queue, peers, faulty, self.broker.next_timeout(), self.writers.next_timeout()].into_iter().flatten().min()
    }

    /// Goes on to `now`, and closes the seconds that are over.
    fn advance(&mut self, now: Instant) {
        self.now = now;
        let second = self.since().as_secs();
        if second > self.second {
            let at = Duration::from_secs(self.second + 1);
            for peer in self.peers.values_mut() {
                if let Some(sender) = peer.sender.as_ref().filter(|sender| !sender.ended) {
                    self.history.push(at, sender.gauge(&peer.client, false));
                }
                let turns = peer.client.turns();
                let wakes = u32::try_from(turns - peer.turns).unwrap_or(u32::MAX);
                let requests = std::mem::take(&mut peer.requests);
                peer.turns = turns;
                if requests > 0 || wakes > 0 {
                    self.history.push(at, Event::Activity { who: peer.who, requests, wakes });
                }
            }
            self.second = second;
        }
    }

    fn since(&self) -> Duration {
        self.now.saturating_duration_since(self.start)
    }

    fn note(&mut self, event: Event) {
        let at = self.since();
        self.history.push(at, event);
    }

    fn plan(&mut self, at: Instant, happening: Happening) {
        self.planned += 1;
        self.queue.insert((at, self.planned), happening);
    }

    fn happens(&mut self, happening: Happening) {
        match happening {
            Happening::Knock(link) => {
                self.knocking.insert(link, self.now);
                self.connect(link);
            }
            Happening::Connect(link) => self.connect(link),
            Happening::Connected(link, accepted) => {
                let Some(link) = self.links.get(&link).filter(|link| link.held && !link.silent) else { return };
                let (number, end) = (link.client, link.end);
                let room = ROOMS[(self.case.seed % 4) as usize];
                let Some(peer) = self.peers.get_mut(&number) else { return };
                match accepted {
                    true => peer.client.lines().connected(self.now, end, room),
                    false => peer.client.lines().refused(self.now, end, "connection refused"),
                }
                if !accepted {
                    self.let_go(number, end);
                }
                self.touch(number);
            }
            Happening::Piece(link, direction, piece) => self.arrives(link, direction, piece),
            Happening::Closed(link, Direction::Up) => {
                let Some(connection) = self.links.get(&link).filter(|link| !link.silent).and_then(|link| link.broker) else {
                    return;
                };
                match self.faulty.as_mut().filter(|network| !network.is_clear(connection, Way::ToBroker)) {
                    Some(network) => network.finish(self.now, connection, Way::ToBroker),
                    None => self.forget(link),
                }
            }
            Happening::Closed(link, Direction::Down) => {
                if let Some(link) = self.links.get(&link).filter(|link| link.held && !link.silent) {
                    let (number, end) = (link.client, link.end);
                    if let Some(peer) = self.peers.get_mut(&number) {
                        peer.client.lines().closed(self.now, end, None);
                    }
                    self.let_go(number, end);
                    self.touch(number);
                }
            }
            Happening::Trouble(index) => self.trouble(index),
            Happening::Look => {}
            Happening::Join(index) => self.join(index),
            Happening::Leave(peer, how) => self.leave(peer, how),
            Happening::Heal => self.heal(),
        }
    }

    /// A request reaches its broker.
    fn receive(&mut self, number: u64, connection: ConnectionId, frame: &Bytes) {
        let at = self.since();
        for topic in 0..2 {
            let id = self.broker.topic_id(&topic_name(topic));
            if let Some(id) = id.filter(|id| !self.topics.contains(&(*id, topic))) {
                self.topics.push((id, topic));
            }
        }
        let Self { broker, history, whims, links, peers, topics, .. } = self;
        let Some(link) = links.get_mut(&number) else { return };
        let peer = peers.get_mut(&link.client).map(|peer| {
            peer.requests += 1;
            peer.who
        });
        let mut leaves = false;
        broker.receive_with(self.now, connection, frame, |request| {
            if let Some(who) = peer {
                observe(at, who, topics, request, history);
            }
            leaves = request.api_key == ApiKey::LEAVE_GROUP;
            verdict(request, whims)
        });
        if leaves {
            self.members = self.members.min(self.broker.member_count(GROUP));
        }
    }

    /// The transactional writers do what it is time for.
    fn write(&mut self) {
        let Self { now, broker, history, whims, writers, .. } = self;
        writers.step(*now, broker, history, |request| verdict(request, whims));
        self.brokers_actions();
    }

    /// Something happened to a client: its cores, its tasks and its connections do what there is to do.
    fn touch(&mut self, number: u32) {
        let at = self.since();
        let Some(peer) = self.peers.get_mut(&number) else { return };
        loop {
            peer.client.pump(self.now);
            if let Some(sender) = peer.sender.as_mut().filter(|sender| !sender.ended) {
                sender.step(self.now, at, &mut peer.client, &mut self.history);
                peer.client.pump(self.now);
                sender.step(self.now, at, &mut peer.client, &mut self.history);
            }
            let Some(user) = &mut peer.user else { break };
            if !user.step(self.now, at, &mut peer.client, &mut self.history) {
                break;
            }
        }
        if peer.user.as_ref().is_some_and(|user| user.leaving) && peer.client.end_member(self.now) {
            peer.client.pump(self.now);
        }
        let mut wishes = Vec::new();
        while let Some(wish) = peer.client.poll() {
            wishes.push(wish);
        }
        let sender = peer.sender.as_ref().filter(|sender| !sender.ended).and_then(Sender::next_timeout);
        let user = peer.user.as_ref().filter(|user| !user.leaving).and_then(User::next_timeout);
        let client = peer.client.next_timeout(self.now);
        peer.timeout = [sender, user, client].into_iter().flatten().min();
        for wish in wishes {
            self.obey(number, wish);
        }
    }

    fn obey(&mut self, client: u32, wish: Wish) {
        match wish {
            Wish::Connect(end, host, port) => {
                let number = self.next_link;
                self.next_link += 1;
                let node = host.strip_prefix("node-").and_then(|node| node.parse().ok()).unwrap_or(0);
                let random = Random::of(self.case.seed, &format!("link {number}"));
                let mut link = Link::new(self.now, client, end, (node, port), self.case.network, random);
                for (_, trouble) in &self.case.troubles {
                    if let Trouble::Cut { connection, direction, after, how } = trouble
                        && *connection == number
                        && !self.healed
                    {
                        link.cut(*direction, *after, *how);
                    }
                }
                let at = link.arrival(self.now, Direction::Up);
                self.links.insert(number, link);
                self.by_end.insert((client, end), number);
                self.plan(at, Happening::Knock(number));
            }
            Wish::Write(end, bytes) => {
                if let Some(number) = self.by_end.get(&(client, end)).copied() {
                    self.send(number, Direction::Up, &bytes);
                }
            }
            Wish::Drop(end) => {
                let Some(number) = self.by_end.get(&(client, end)).copied() else { return };
                self.let_go(client, end);
                if let Some(link) = self.links.get_mut(&number) {
                    let at = link.arrival(self.now, Direction::Up);
                    self.plan(at, Happening::Closed(number, Direction::Up));
                }
            }
        }
    }

    /// A trouble begins.
    fn trouble(&mut self, index: usize) {
        let case = self.case;
        let Some((_, trouble)) = case.troubles.get(index) else { return };
        self.note(Event::Fault(format!("{trouble:?}")));
        match trouble {
            Trouble::Cut { .. } => {}
            Trouble::Break { node, how } => {
                let open = self.links.iter().filter(|(_, link)| link.node == *node && (link.held || link.broker.is_some()));
                let open: Vec<u64> = open.map(|(number, _)| *number).collect();
                open.into_iter().for_each(|number| self.breaks(number, *how));
            }
            Trouble::Whim { api, times, whim } => self.whims.push((*api, *times, *whim)),
            Trouble::Rebalance => self.broker.rebalance_group(self.now, GROUP),
            Trouble::Fault(fault) => self.broker.fault(self.now, fault),
            Trouble::Before { api, nth, fault } => {
                self.broker.run_plan(self.now, Plan::new().before(*api, *nth, fault.clone()));
            }
        }
        self.brokers_actions();
    }

    /// Ends all faults, and puts right what they together may have left.
    fn heal(&mut self) {
        self.whims.clear();
        self.links.values_mut().for_each(Link::heal);
        self.broker.clear_faults(self.now);
        // Clocks are right again: a broker refuses records whose time is an hour ahead of its own.
        let by_millis = self.wall_at_start + self.since().as_millis() as i64 - self.broker.wall_millis(self.now);
        self.broker.fault(self.now, &BrokerFault::ClockJump { by_millis }.into());
        for node in 1..=self.case.workload.nodes {
            // Clients know this one from their settings.
            self.broker.set_address(node, &format!("node-{node}"), PORT);
        }
        for topic in 0..self.topics() {
            for number in 0..self.case.workload.partitions {
                if self.broker.leader(&topic_name(topic), number).is_none() {
                    self.broker.move_leader(self.now, &topic_name(topic), number, Some(1));
                }
            }
        }
        self.brokers_actions();
        self.healed = true;
        let give_up = self.now + self.history.bounds.recovery + 5 * SECOND;
        self.give_up = Some(give_up);
        self.plan(give_up, Happening::Look);
        self.note(Event::Healed);
    }

    fn topics(&self) -> u32 {
        if self.case.workload.kind == Kind::Copy { 2 } else { 1 }
    }

    /// Is everything done that was to be done?
    fn look_for_the_end(&mut self) {
        if !self.healed {
            return;
        }
        if self.give_up.is_some_and(|at| at <= self.now) {
            self.over = true;
            return;
        }
        let at = self.since();
        let mut done = self.writers.is_through();
        for peer in self.peers.values_mut() {
            let Some(sender) = peer.sender.as_mut().filter(|sender| !sender.ended) else { continue };
            let (waiting, ..) = peer.client.producer_load();
            if !sender.is_through() || waiting > 0 {
                done = false;
                continue;
            }
            peer.client.close_producer();
            peer.client.end_producer(self.now);
            sender.ended = true;
            peer.client.pump(self.now);
            self.history.push(at, sender.gauge(&peer.client, true));
            // Without an answer, the last bytes may still be on their way.
            self.quiet = self.now + IN_FLIGHT;
            self.plan_look = true;
        }
        if std::mem::take(&mut self.plan_look) {
            self.plan(self.quiet, Happening::Look);
        }
        if done && !self.settled && self.quiet <= self.now && self.is_read() {
            self.settled = true;
            self.note(Event::Settled);
            let members: Vec<u32> = self.peers.keys().copied().collect();
            members.into_iter().for_each(|member| self.leave(member, Leave::Close));
        }
        if self.settled {
            self.over = self.peers.values().all(|peer| peer.user.as_ref().is_none_or(|user| user.ended));
        }
    }

    /// Was all of topic 0 read and committed, as far as that must be?
    fn is_read(&self) -> bool {
        let read = |number| {
            let end = self.broker.log_end("t0", number).unwrap_or(0);
            let committed = self.broker.committed(GROUP, "t0", number).unwrap_or(0);
            let partition = Partition { topic: 0, number };
            let is_lossy = || self.lossy.contains(&partition);
            committed == end || (is_lossy() && (committed > end || stood_at(&self.history, partition, end)))
        };
        !self.history.bounds.reads_all || (0..self.case.workload.partitions).all(read)
    }

    /// What is left: the logs and what was reached.
    fn finish(mut self) -> Run {
        let workload = &self.case.workload;
        for topic in 0..self.topics() {
            for number in 0..workload.partitions {
                let partition = Partition { topic, number };
                let name = topic_name(topic);
                let records = logs::records(&self.broker.batches(&name, number));
                let end = self.broker.log_end(&name, number).unwrap_or(0);
                let committed = self.broker.committed(GROUP, &name, number);
                self.history.logs.push(Log { partition, records, end, committed });
            }
        }
        self.history.ended = self.since();
        for peer in std::mem::take(&mut self.peers).into_values() {
            self.cover(&peer.client);
        }
        self.writers.cover(&mut self.coverage);
        let traffic = self.links.values().map(Link::traffic).collect();
        Run { history: self.history, coverage: self.coverage, traffic }
    }
}

/// Who clients log in as, where they must.
const USER: &str = "sim";
const PASSWORD: &str = "secret of the simulator";

/// Where nodes listen, until a fault has them move.
const PORT: u16 = 9092;

/// Where virtual time begins; only differences count.
fn base() -> Instant {
    static BASE: OnceLock<Instant> = OnceLock::new();
    // A day ahead, so that nothing that looks back falls before the clock's own beginning.
    *BASE.get_or_init(|| Instant::now() + 24 * 3600 * SECOND)
}
