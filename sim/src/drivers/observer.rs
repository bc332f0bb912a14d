//! What the broker sees goes into the history, and what is to go wrong at it does.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use klamm::protocol::messages::offset_commit::OffsetCommitRequest;
use klamm::protocol::messages::produce::ProduceRequest;
use klamm::protocol::{ApiKey, Uuid};
use klamm_broker::faults::Plan;
use klamm_broker::{Broker, Intercept, RequestView};
use tokio::task::JoinHandle;
use tokio::time::{sleep, sleep_until};

use super::recorder::Recorder;
use super::{GROUP, PORT, World};
use crate::cores::observer::destroyed;
use crate::history::{Event, Partition, Who, topic_name, topic_number};
use crate::logs::Markers;
use crate::trouble::{Trouble, Whim};

/// Whims that wait for their requests: how many are left of each.
type Whims = Arc<Mutex<Vec<(ApiKey, usize, Whim)>>>;

/// Begins to look, and starts the task that makes trouble, which ends when all troubles are over; and one that watches the group.
pub(super) fn begin(world: &World) -> (JoinHandle<()>, JoinHandle<()>) {
    let whims = Whims::default();
    let members = Members::default();
    let (world, mine, known) = (world.clone(), whims.clone(), members.clone());
    let mut topics: Vec<(Uuid, u32)> = Vec::new();
    let (recorder, broker, count) = (world.recorder.clone(), world.broker.clone(), super::topics(&world.case));
    let markers = world.markers.clone();
    // It holds the broker in which it is: `end` takes it out.
    _ = world.broker.intercept(move |request| {
        // Before anybody sees anything of it.
        note_losses(&broker, &recorder, &markers);
        if request.api_key == ApiKey::JOIN_GROUP {
            note_members(&broker, &recorder, &known);
        }
        for topic in 0..count {
            let id = broker.topic_id(&topic_name(topic));
            if let Some(id) = id.filter(|id| !topics.contains(&(*id, topic))) {
                topics.push((id, topic));
            }
        }
        if let Some(who) = request.client_id.as_ref().and_then(|id| of_client(id.as_str())) {
            recorder.requested(who);
            note(request, who, &topics, |event| recorder.push(event));
        }
        let mut whims = mine.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(at) = whims.iter().position(|(api, ..)| *api == request.api_key) else { return Intercept::Pass };
        let (_, left, whim) = &mut whims[at];
        let whim = *whim;
        *left -= 1;
        if *left == 0 {
            _ = whims.remove(at);
        }
        intercept(whim)
    });
    let watched = tokio::spawn(watch_members(world.broker.clone(), world.recorder.clone(), members));
    (tokio::spawn(make_trouble(world, whims)), watched)
}

/// Ends to look.
pub(super) fn end(world: &World) {
    world.broker.clear_intercepts();
    note_losses(&world.broker, &world.recorder, &world.markers);
}

/// Notes what logs have lost.
pub(super) fn note_losses(broker: &Broker, recorder: &Recorder, markers: &Mutex<Markers>) {
    for event in broker.take_losses().iter().filter_map(destroyed) {
        if let Event::Destroyed { partition, from, .. } = &event {
            markers.lock().unwrap_or_else(PoisonError::into_inner).lost(*partition, *from);
        }
        recorder.push(event);
    }
}

/// Whoever has this client id.
fn of_client(client_id: &str) -> Option<Who> {
    let (kind, number) = client_id.split_at_checked(1)?;
    let number = number.parse().ok()?;
    match kind {
        "p" => Some(Who::Producer(number)),
        "m" => Some(Who::Member(number)),
        _ => None,
    }
}

/// What a request says that oracles want to know.
fn note(request: &RequestView, who: Who, topics: &[(Uuid, u32)], mut push: impl FnMut(Event)) {
    let topic = |name: &str, id: Uuid| {
        topic_number(name).or_else(|| topics.iter().find(|(known, _)| *known == id).map(|(_, topic)| *topic))
    };
    if let Ok(produce) = request.decode::<ProduceRequest>() {
        for of_topic in &produce.topic_data {
            let Some(topic) = topic(of_topic.name.0.as_str(), of_topic.topic_id) else { continue };
            for data in &of_topic.partition_data {
                let partition = Partition { topic, number: data.index };
                if let Some(event) = data.records.as_ref().and_then(|records| batch(partition, &records.0)) {
                    push(event);
                }
            }
        }
    }
    if let (Ok(commit), Who::Member(member)) = (request.decode::<OffsetCommitRequest>(), who) {
        for of_topic in &commit.topics {
            let Some(topic) = topic(of_topic.name.0.as_str(), of_topic.topic_id) else { continue };
            for data in &of_topic.partitions {
                let partition = Partition { topic, number: data.partition_index };
                push(Event::CommitAsked { member, partition, offset: data.committed_offset });
            }
        }
    }
}

/// The head of a batch in format 2.
fn batch(partition: Partition, bytes: &[u8]) -> Option<Event> {
    let number = |at: usize, len: usize| {
        let bytes = bytes.get(at..at + len)?;
        Some(bytes.iter().fold(0u64, |number, byte| (number << 8) | u64::from(*byte)))
    };
    Some(Event::BatchSent {
        partition,
        content: number(17, 4)?,
        producer_id: number(43, 8)? as i64,
        epoch: number(51, 2)? as i16,
        sequence: number(53, 4)? as i32,
    })
}

fn intercept(whim: Whim) -> Intercept {
    match whim {
        Whim::Delay(pause) => Intercept::Delay(pause),
        Whim::Swallow => Intercept::Swallow,
        Whim::SwallowAnswer => Intercept::ProcessThenSwallow,
        Whim::CutAnswer(bytes) => Intercept::CutResponse(bytes),
    }
}

/// Who was in the group when it was looked at: member id and client id.
type Members = Arc<Mutex<BTreeMap<String, String>>>;

/// Notes when a member is not in the group any more, whoever wanted that: one that was thrown out hears of it later.
fn note_members(broker: &Broker, recorder: &Recorder, known: &Members) {
    let members = broker.group_members(GROUP).into_iter();
    let now: BTreeMap<_, _> = members.map(|member| (member.member_id, member.client_id)).collect();
    let mut before = known.lock().unwrap_or_else(PoisonError::into_inner);
    for (_, client_id) in before.iter().filter(|(id, _)| !now.contains_key(id.as_str())) {
        if let Some(Who::Member(member)) = of_client(client_id) {
            recorder.push(Event::ThrownOut { member });
        }
    }
    *before = now;
}

/// Looks at the group now and then.
async fn watch_members(broker: Broker, recorder: Recorder, known: Members) {
    loop {
        note_members(&broker, &recorder, &known);
        sleep(MEMBERS_LOOK).await;
    }
}

/// How often the group is looked at.
const MEMBERS_LOOK: std::time::Duration = std::time::Duration::from_millis(50);

/// All troubles, each at its time.
async fn make_trouble(world: World, whims: Whims) {
    let start = tokio::time::Instant::now();
    let plan = Plan { seed: world.case.seed, entries: Vec::new() };
    world.broker.run_plan(plan.clone());
    for (at, trouble) in &world.case.troubles {
        sleep_until(start + *at).await;
        world.recorder.push(Event::Fault(format!("{trouble:?}")));
        let broker = &world.broker;
        match trouble {
            Trouble::Cut { .. } => {}
            Trouble::Break { node, how } => world.net.break_node(*node, *how),
            Trouble::Whim { api, times, whim } => {
                whims.lock().unwrap_or_else(PoisonError::into_inner).push((*api, *times, *whim));
            }
            Trouble::Rebalance => broker.rebalance_group(GROUP),
            Trouble::Fault(fault) => broker.fault(fault.clone()),
            Trouble::Before { api, nth, fault } => {
                broker.run_plan(plan.clone().before(*api, *nth, fault.clone()));
            }
        }
    }
    sleep_until(start + world.case.workload.duration).await;
    whims.lock().unwrap_or_else(PoisonError::into_inner).clear();
}

/// Ends all faults, and puts right what they together may have left: a node that clients don't find, a partition that nobody leads.
pub(super) fn heal(world: &World) {
    let broker: &Broker = &world.broker;
    broker.clear_faults();
    for node in 1..=world.case.workload.nodes {
        broker.set_address(node, &format!("node-{node}"), PORT);
    }
    for partition in world.partitions() {
        let topic = topic_name(partition.topic);
        if broker.leader(&topic, partition.number).is_none() {
            _ = broker.move_leader(&topic, partition.number, 1);
        }
    }
}
