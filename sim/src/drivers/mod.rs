//! The second level: klamm's real drivers on tokio's paused clock, over pipes in memory to klamm-broker.
//!
//! Everything runs in one thread: client, broker, network and workload are tasks of one runtime, whose clock jumps to the next timer when
//! all of them wait. Nothing in it depends on anything but the case: random choices are seeded, no work goes to the blocking pool, tasks
//! wait for events in a set order, and records carry virtual time. So the same case gives the same run.

pub(crate) mod answers;
mod members;
mod network;
mod observer;
mod panics;
mod producers;
mod recorder;
mod switch;
mod writers;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use klamm::config::Sasl;
use klamm::{Client, ClientBuilder};
use klamm_broker::{Broker, SaslMechanism};
use tokio::time::{Instant, sleep, timeout};

use crate::history::{Event, History, Log, Partition, Who, topic_name};
use crate::logs::{self, Markers};
use crate::random::Random;
use crate::run::{Case, Level, Run};
use crate::trouble::{GROUP, Trouble};
use crate::workload::{Kind, MILLISECOND, SECOND};
use network::Net;
use recorder::Recorder;
use switch::Switch;

/// How long the members may take to end after everything has settled.
const FAREWELL: Duration = Duration::from_secs(60);

/// How long bytes may be on their way after nobody waits for them any more.
const IN_FLIGHT: Duration = Duration::from_secs(5);

/// The drivers on the paused clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct Drivers;

impl Level for Drivers {
    fn name(&self) -> &'static str {
        "drivers"
    }

    fn run(&self, case: &Case) -> Run {
        let panics = panics::watch();
        // klamm asks it where handles are made.
        fastrand::seed(case.seed);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
        let runtime = runtime.expect("a runtime without sockets needs nothing from the system");
        let run = runtime.block_on(live(case));
        drop(runtime);
        if let Some(panic) = panics.first() {
            panic!("a task panicked: {panic}");
        }
        run
    }
}

/// What the tasks of a run share.
#[derive(Clone, Debug)]
struct World {
    case: Arc<Case>,
    broker: Broker,
    net: Net,
    recorder: Recorder,
    /// Everything has settled, or never will: members end.
    over: Switch<()>,
    /// Which calls are given up.
    moods: Arc<Mutex<Random>>,
    /// Markers that the history was told of.
    markers: Arc<Mutex<Markers>>,
}

impl World {
    /// The client of a producer or member.
    fn client(&self, who: Who) -> ClientBuilder {
        let (name, number) = match who {
            Who::Producer(number) => ("p", number),
            Who::Member(number) => ("m", 1000 + number),
        };
        let seeds: Vec<_> = (1..=self.case.workload.nodes).map(|node| format!("node-{node}:{PORT}")).collect();
        let builder = Client::builder(seeds).connector(self.net.of(who, self.broker.connector()));
        let builder = match self.case.login {
            Some(_) => builder.sasl(Sasl::plain(USER, PASSWORD)).allow_cleartext_sasl(true),
            None => builder,
        };
        builder.client_id(client_id(who)).seed(self.case.seed ^ (u64::from(number) << 32) ^ name.len() as u64)
    }

    /// After how many polls the next call is given up; every other one is waited for, so that something is done.
    fn patience(&self) -> Option<u32> {
        let most = self.case.patience?;
        let mut moods = self.moods.lock().unwrap_or_else(PoisonError::into_inner);
        moods.once_in(2).then(|| moods.within(1..=u64::from(most.max(1))) as u32)
    }

    /// Tells the history of markers that have come into the logs.
    fn look_at_markers(&self) {
        if self.case.workload.writers.is_empty() {
            return;
        }
        observer::note_losses(&self.broker, &self.recorder, &self.markers);
        let mut markers = self.markers.lock().unwrap_or_else(PoisonError::into_inner);
        for partition in self.partitions() {
            let topic = topic_name(partition.topic);
            if self.broker.offsets(&topic, partition.number).is_some_and(|(_, end)| end > markers.seen(partition)) {
                let batches = self.broker.batches(&topic, partition.number);
                markers.look(partition, &batches).into_iter().for_each(|event| self.recorder.push(event));
            }
        }
    }

    fn partitions(&self) -> impl Iterator<Item = Partition> + use<> {
        let numbers = 0..self.case.workload.partitions;
        (0..topics(&self.case)).flat_map(move |topic| numbers.clone().map(move |number| Partition { topic, number }))
    }

    /// Was all of topic 0 read and committed, as far as that must be?
    fn is_read(&self) -> bool {
        let mut consumed = self.partitions().filter(|partition| partition.topic == 0);
        consumed.all(|partition| {
            let (topic, number) = (topic_name(partition.topic), partition.number);
            let end = self.broker.offsets(&topic, number).map_or(0, |(_, end)| end);
            let committed = self.broker.committed(GROUP, &topic, number).unwrap_or(0);
            committed == end || self.recorder.is_lost_behind(partition, committed, end)
        })
    }
}

/// Who clients log in as, where they must.
const USER: &str = "sim";
const PASSWORD: &str = "secret of the simulator";

/// Where nodes listen, until a fault has them move.
const PORT: u16 = 9092;

fn client_id(who: Who) -> String {
    match who {
        Who::Producer(number) => format!("p{number}"),
        Who::Member(number) => format!("m{number}"),
    }
}

fn topics(case: &Case) -> u32 {
    if case.workload.kind == Kind::Copy { 2 } else { 1 }
}

async fn live(case: &Case) -> Run {
    let workload = &case.workload;
    let mut builder = Broker::builder().nodes(workload.nodes as u16).seed(case.seed).keep_losses();
    for topic in 0..topics(case) {
        builder = builder.topic(topic_name(topic), workload.partitions);
    }
    if let Some(login) = case.login {
        builder = builder.sasl_user(SaslMechanism::Plain, USER, PASSWORD);
        if let Some(believed) = login.believed {
            builder = builder.session_lifetime(believed);
        }
    }
    let broker = builder.start_in_memory().expect("its settings are right");
    let fakes_expiry = case.troubles.iter().any(|(_, trouble)| trouble.expires_members());
    let recorder = Recorder::new(case.bounds(), fakes_expiry);
    let troubles: Vec<Trouble> = case.troubles.iter().map(|(_, trouble)| trouble.clone()).collect();
    let net = Net::new(case.network, case.seed, &troubles, recorder.clone());
    let over = Switch::default();
    let moods = Arc::new(Mutex::new(Random::of(case.seed, "moods")));
    let markers = Arc::default();
    let world = World { case: Arc::new(case.clone()), broker, net, recorder, over, moods, markers };

    let (troubles, watched) = observer::begin(&world);
    let seconds = tokio::spawn(count_seconds(world.recorder.clone()));
    let producers: Vec<_> =
        workload.producers.iter().map(|plan| tokio::spawn(producers::produce(world.clone(), plan.clone()))).collect();
    let writers: Vec<_> = workload.writers.iter().map(|plan| tokio::spawn(writers::write(world.clone(), plan.clone()))).collect();
    let members: Vec<_> =
        workload.members.iter().map(|plan| tokio::spawn(members::consume(world.clone(), plan.clone()))).collect();

    sleep(workload.duration).await;
    _ = troubles.await;
    observer::heal(&world);
    world.recorder.push(Event::Healed);

    let bounds = case.bounds();
    let settled = timeout(bounds.recovery + IN_FLIGHT + SECOND, async {
        for sender in producers.into_iter().chain(writers) {
            _ = sender.await;
        }
        // What was sent without waiting for an answer arrives, too.
        sleep(IN_FLIGHT).await;
        // Less and less often.
        let mut pause = 10 * MILLISECOND;
        while bounds.reads_all && !world.is_read() {
            sleep(pause).await;
            pause = (pause * 2).min(SECOND);
        }
    });
    if settled.await.is_ok() {
        world.recorder.push(Event::Settled);
    }
    world.over.set(());
    for member in members {
        _ = timeout(FAREWELL, member).await;
    }
    seconds.abort();
    watched.abort();
    observer::end(&world);
    world.look_at_markers();
    let (mut history, coverage) = world.recorder.take();
    read_logs(&world, &mut history);
    Run { history, coverage, traffic: world.net.traffic() }
}

async fn count_seconds(recorder: Recorder) {
    let mut next = Instant::now();
    loop {
        next += SECOND;
        tokio::time::sleep_until(next).await;
        recorder.second();
    }
}

fn read_logs(world: &World, history: &mut History) {
    for partition in world.partitions() {
        let (topic, number) = (topic_name(partition.topic), partition.number);
        let records = logs::records(&world.broker.batches(&topic, number));
        let end = world.broker.offsets(&topic, number).map_or(0, |(_, end)| end);
        let committed = world.broker.committed(GROUP, &topic, number);
        history.logs.push(Log { partition, records, end, committed });
    }
}

/// A switch that is on for a while.
#[derive(Clone, Debug, Default)]
struct Flag(Arc<AtomicBool>);

impl Flag {
    fn set(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}
