//! What the broker sees goes into the history, and what is to go wrong at it does.

use std::sync::{Arc, Mutex, PoisonError};

use klamm::protocol::messages::offset_commit::OffsetCommitRequest;
use klamm::protocol::messages::produce::ProduceRequest;
use klamm::protocol::{ApiKey, Uuid};
use klamm_broker::{Broker, Intercept, Reachability, RequestView};
use tokio::task::JoinHandle;
use tokio::time::{sleep, sleep_until};

use super::{GROUP, World};
use crate::history::{Event, Partition, Who, topic_name, topic_number};
use crate::trouble::{Trouble, Whim};

/// Whims that wait for their requests: how many are left of each.
type Whims = Arc<Mutex<Vec<(ApiKey, usize, Whim)>>>;

/// Begins to look, and starts the task that makes trouble; it ends when all troubles are over.
pub(super) fn begin(world: &World) -> JoinHandle<()> {
    let whims = Whims::default();
    let (world, mine) = (world.clone(), whims.clone());
    // Without a handle of the broker inside of it: it is inside of the broker.
    let topics: Vec<(Uuid, u32)> =
        (0..super::topics(&world.case)).filter_map(|topic| Some((world.broker.topic_id(&topic_name(topic))?, topic))).collect();
    let recorder = world.recorder.clone();
    _ = world.broker.intercept(move |request| {
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
        if (Trouble::Whim { api: request.api_key, times: 1, whim }).expires_members() {
            recorder.push(Event::Expired);
        }
        intercept(whim)
    });
    tokio::spawn(make_trouble(world, whims))
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
        Whim::Code(code) => Intercept::Error(code),
        Whim::CloseBefore => Intercept::CloseBefore,
        Whim::CloseAfter => Intercept::ProcessThenClose,
        Whim::Delay(pause) => Intercept::Delay(pause),
        Whim::DelayAnswer(pause) => Intercept::DelayResponse(pause),
        Whim::Swallow => Intercept::Swallow,
        Whim::SwallowAnswer => Intercept::ProcessThenSwallow,
        Whim::CutAnswer(bytes) => Intercept::CutResponse(bytes),
    }
}

/// Notes when a member is not in the group any more, whoever wanted that: one that was thrown out hears of it later.
pub(super) async fn watch_members(world: World) {
    let mut before = std::collections::BTreeMap::<String, String>::new();
    loop {
        let members = world.broker.group_members(GROUP).into_iter();
        let now: std::collections::BTreeMap<_, _> = members.map(|member| (member.member_id, member.client_id)).collect();
        for (_, client_id) in before.iter().filter(|(id, _)| !now.contains_key(id.as_str())) {
            if let Some(Who::Member(member)) = of_client(client_id) {
                world.recorder.push(Event::ThrownOut { member });
            }
        }
        before = now;
        sleep(MEMBERS_LOOK).await;
    }
}

/// How often the group is looked at.
const MEMBERS_LOOK: std::time::Duration = std::time::Duration::from_millis(50);

/// All troubles, each at its time, until they are over.
async fn make_trouble(world: World, whims: Whims) {
    let start = tokio::time::Instant::now();
    let mut going_on = Vec::new();
    for (at, trouble) in world.case.troubles.clone() {
        sleep_until(start + at).await;
        world.recorder.push(Event::Fault(format!("{trouble:?}")));
        let (broker, lasting) = (world.broker.clone(), trouble.lasting());
        match trouble {
            Trouble::Cut { .. } => {}
            Trouble::Break { node, how } => world.net.break_node(node, how),
            Trouble::Whim { api, times, whim } => {
                whims.lock().unwrap_or_else(PoisonError::into_inner).push((api, times, whim));
            }
            Trouble::MoveLeader { partition, node } => {
                _ = broker.move_leader(&topic_name(partition.topic), partition.number, node);
            }
            Trouble::MoveCoordinator { node } => {
                broker.set_coordinator(GROUP, node);
                let writers = world.case.workload.writers.iter();
                writers.for_each(|writer| broker.set_coordinator(&writer.transactional_id(), node));
            }
            Trouble::Rebalance => broker.rebalance_group(GROUP),
            Trouble::Unreachable { node, silent, .. } => {
                broker.set_reachability(node, if silent { Reachability::BlackHole } else { Reachability::Refusing });
                going_on.push(tokio::spawn(async move {
                    sleep(lasting).await;
                    broker.set_reachability(node, Reachability::Open);
                }));
            }
            Trouble::Stop { node, .. } => {
                broker.stop_node(node);
                going_on.push(tokio::spawn(async move {
                    sleep(lasting).await;
                    _ = broker.start_node(node).await;
                }));
            }
            Trouble::NoLeader { partition, node, .. } => {
                _ = broker.remove_leader(&topic_name(partition.topic), partition.number);
                going_on.push(tokio::spawn(async move {
                    sleep(lasting).await;
                    _ = broker.move_leader(&topic_name(partition.topic), partition.number, node);
                }));
            }
            Trouble::Throttle { pause, .. } => {
                broker.set_throttle(pause);
                going_on.push(tokio::spawn(async move {
                    sleep(lasting).await;
                    broker.set_throttle(std::time::Duration::ZERO);
                }));
            }
        }
    }
    for trouble in going_on {
        _ = trouble.await;
    }
    whims.lock().unwrap_or_else(PoisonError::into_inner).clear();
}

/// Puts right what several troubles together may have left: a partition whose leader was to be a node that did not run.
pub(super) fn heal(world: &World) {
    let broker: &Broker = &world.broker;
    broker.set_throttle(std::time::Duration::ZERO);
    for node in 1..=world.case.workload.nodes {
        broker.set_reachability(node, Reachability::Open);
    }
    for partition in world.partitions() {
        let topic = topic_name(partition.topic);
        _ = broker.move_leader(&topic, partition.number, 1);
    }
}
