//! Plans on the core alone: no driver, time in the test's hands.

use klamm::protocol::TopicName;

use super::*;
use crate::core::Settings;
use crate::faults::{Coordinated, Direction, Kind, NetworkEffect, NetworkFault, Shape};

fn core(now: Instant) -> Core {
    let addresses = (1..=3).map(|node| (format!("node-{node}"), 9092)).collect();
    let mut core = Core::new(now, 1_700_000_000_000, Settings { nodes: 3, ..Settings::default() }, addresses);
    core.create_default_topic(&TopicName::try_from("orders").expect("short"), 3);
    core
}

fn shape() -> Shape {
    Shape {
        topics: vec![("orders".to_owned(), 3)],
        groups: vec!["billing".to_owned()],
        transactional_ids: vec!["copy".to_owned()],
        faults: 1..=20,
        ..Shape::default()
    }
}

/// Lets time pass until nothing is due any more, and gives the actions on the way.
fn run(core: &mut Core, start: Instant) -> (Instant, Vec<Action>) {
    let (mut now, mut actions) = (start, Vec::new());
    for _ in 0..10_000 {
        actions.extend(std::iter::from_fn(|| core.poll()));
        let Some(next) = core.next_timeout() else { return (now, actions) };
        assert!(next > now, "a time-out that is over stays due");
        now = next;
        core.handle_timeout(now);
    }
    panic!("it goes on for ever");
}

#[test]
fn what_begins_at_a_time_is_over_at_the_end() {
    let start = Instant::now();
    let shape = shape();
    for seed in 0..500 {
        let mut core = core(start);
        let mut plan = Plan::random(seed, &shape);
        plan.entries.retain(|entry| matches!(entry.when, When::After(_)));
        core.run_plan(start, plan.clone());
        let (end, actions) = run(&mut core, start);
        // A node that lags is looked at now and then.
        assert!(end <= start + shape.duration + Duration::from_secs(60), "seed {seed}: {:?}", end - start);
        let network = plan.entries.iter().filter(|entry| matches!(entry.fault, Fault::Network(_))).count();
        assert_eq!(actions.iter().filter(|action| matches!(action, Action::Network(_))).count(), network);
        assert!(core.nodes().values().all(|node| node.running), "seed {seed}");
        assert_eq!(core.topic("orders").map(|topic| topic.partitions.len()), Some(3), "seed {seed}");
        for partition in 0..3 {
            assert!(
                core.partition("orders", partition).is_some_and(|partition| partition.leader.is_some()),
                "seed {seed}: {plan:?}"
            );
        }
        assert!(core.coordinator_of("billing").is_some() && core.coordinator_of("copy").is_some(), "seed {seed}");
        assert!(core.throttle.is_zero() && core.faults.distorted.is_empty());
    }
}

#[test]
fn clearing_at_any_moment_leaves_nothing_behind() {
    let start = Instant::now();
    let shape = shape();
    for seed in 0..500 {
        let mut core = core(start);
        core.run_plan(start, Plan::random(seed, &shape));
        let moment = start + Duration::from_millis(seed * 20);
        core.handle_timeout(moment);
        core.clear_faults(moment);
        let (_, actions) = run(&mut core, moment);
        assert!(actions.iter().any(|action| matches!(action, Action::Heal)));
        assert!(core.faults.next_timeout().is_none() && core.faults.awaited.is_empty() && core.faults.spoiled.is_empty());
        assert!(core.faults.distorted.is_empty() && core.faults.endless.is_empty() && core.throttle.is_zero());
        assert!(core.nodes().values().all(|node| node.running), "seed {seed}");
        assert!(core.coordinator_of("billing").is_some() && core.coordinator_of("copy").is_some(), "seed {seed}");
    }
}

#[test]
fn what_is_not_there_is_not_hit() {
    let now = Instant::now();
    let elsewhere = Shape {
        nodes: 9,
        topics: vec![("missing".to_owned(), 9)],
        groups: vec!["nobody".to_owned()],
        transactional_ids: vec!["never".to_owned()],
        ..Shape::default()
    };
    for seed in 0..300 {
        let mut core = core(now);
        core.run_plan(now, Plan::random(seed, &elsewhere));
        run(&mut core, now);
        assert_eq!((core.nodes().len(), core.topic_names()), (3, vec!["orders".to_owned()]));
    }
}

#[test]
fn times_beyond_all_clocks_are_for_ever() {
    let now = Instant::now();
    let mut core = core(now);
    let long = Some(Duration::MAX);
    core.apply(now, &BrokerFault::Throttle { throttle: Duration::from_secs(1), lasts: long }.into());
    core.apply(now, &BrokerFault::LoadCoordinator { of: crate::faults::Coordinated::Group("g".to_owned()), lasts: long }.into());
    core.apply(now, &BrokerFault::ClockJump { by_millis: i64::MAX }.into());
    core.apply(now, &BrokerFault::Truncate { topic: "orders".to_owned(), partition: 0, records: u64::MAX }.into());
    core.run_plan(now, Plan::new().after(Duration::MAX, BrokerFault::ClockJump { by_millis: 1 }));
    assert_eq!(core.throttle, Duration::from_secs(1));
    assert!(core.wall_millis(now) > 1_700_000_000_000);
    core.clear_faults(now);
    assert!(core.throttle.is_zero());
    let mut network = crate::faults::Network::new(0);
    network.open(ConnectionId(1), 1);
    let effect = NetworkEffect::Delay { delay: Duration::MAX, jitter: Duration::MAX };
    network.apply(now, &NetworkFault { lasts: long, ..effect.into() });
    network.push(now, ConnectionId(1), Direction::ToBroker, bytes::Bytes::from_static(b"x"));
    assert_eq!(network.pull(now, ConnectionId(1), Direction::ToBroker), None);
    assert!(matches!(network.connect(now, now, 1), crate::faults::Connect::Later(_)));
    assert_eq!(Kind::Delay.to_string(), "delay");
}

/// The node that was to be the coordinator again when it was over was none: nobody ran when it began.
#[test]
fn a_coordinator_that_is_unloaded_while_nobody_runs_is_there_in_the_end() {
    let start = Instant::now();
    let mut core = core(start);
    let second = Duration::from_secs(1);
    let unload = BrokerFault::UnloadCoordinator { of: Coordinated::Group("billing".to_owned()), lasts: Some(3 * second) };
    let kill = |node| BrokerFault::KillNode { node, loses_unreplicated: true, lasts: Some(2 * second) };
    let plan = (1..=3).fold(Plan::new(), |plan, node| plan.after(Duration::ZERO, kill(node))).after(second, unload);
    core.run_plan(start, plan);
    core.handle_timeout(start + second);
    assert_eq!(core.coordinator_of("billing"), None);
    core.handle_timeout(start + 2 * second);
    assert!(core.nodes().values().all(|node| node.running) && core.coordinator_of("billing").is_none());
    run(&mut core, start + 2 * second);
    assert!(core.coordinator_of("billing").is_some());
}
