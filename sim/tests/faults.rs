//! Faults do in a run what they say, on both levels: each is seen in the history of one small case.

use std::time::Duration;

use klamm::protocol::{ApiKey, ErrorCode};
use klamm_broker::faults::{BrokerFault, Direction, Fault, NetworkEffect, NetworkFault};
use klamm_sim::campaign::LEVELS;
use klamm_sim::history::{Acks, Event};
use klamm_sim::run::{Case, Level, Run, run};
use klamm_sim::trouble::{Login, Network, Trouble};
use klamm_sim::workload::{Kind, SECOND};

/// One producer that sends for about 15 seconds to one partition, and one trouble after 5 seconds.
fn case(trouble: impl Into<Option<Trouble>>) -> Case {
    let mut case = Case::draw(Kind::Produce, 1);
    case.network = Network { latency: (Duration::ZERO, Duration::ZERO), piece: 64 << 10 };
    case.login = None;
    case.troubles = trouble.into().map(|trouble| (5 * SECOND, trouble)).into_iter().collect();
    let workload = &mut case.workload;
    (workload.nodes, workload.partitions, workload.duration) = (1, 1, 20 * SECOND);
    workload.producers.truncate(1);
    let producer = &mut workload.producers[0];
    (producer.idempotent, producer.acks, producer.tasks) = (true, Acks::All, 1);
    (producer.records, producer.burst, producer.longest_pause) = (200, 1, Duration::from_millis(150));
    (producer.linger, producer.request_timeout, producer.delivery_timeout) = (Duration::ZERO, 30 * SECOND, 60 * SECOND);
    case
}

fn fault(fault: impl Into<Fault>) -> Option<Trouble> {
    Some(Trouble::Fault(fault.into()))
}

/// What holds in any case.
fn of(level: &dyn Level, case: &Case) -> Run {
    let outcome = run(level, case);
    if let Err(violation) = &outcome.verdict {
        panic!("{}: {violation}", level.name());
    }
    outcome.run.unwrap()
}

/// How many records were acknowledged between these seconds.
fn acked(run: &Run, from: f64, to: f64) -> usize {
    let when = from..to;
    let acked = |event: &Event| matches!(event, Event::Acked { .. });
    run.history.events.iter().filter(|entry| when.contains(&entry.at.as_secs_f64()) && acked(&entry.event)).count()
}

fn lost(run: &Run) -> usize {
    let lost = |event: &Event| if let Event::Destroyed { records, .. } = event { records.len() } else { 0 };
    run.history.events.iter().map(|entry| lost(&entry.event)).sum()
}

#[test]
fn without_a_trouble_everything_is_acknowledged_over_few_connections() {
    for level in LEVELS {
        let run = of(*level, &case(None));
        assert_eq!((acked(&run, 0.0, 100.0), lost(&run)), (200, 0), "{}", level.name());
        assert!(acked(&run, 5.1, 8.0) > 10 && run.traffic.len() < 5, "{}: {:?}", level.name(), run.traffic);
    }
}

#[test]
fn a_black_hole_lets_nothing_through_until_it_is_over() {
    for level in LEVELS {
        let hole = NetworkFault::from(NetworkEffect::BlackHole).lasting(3 * SECOND);
        let run = of(*level, &case(fault(hole)));
        assert_eq!(acked(&run, 5.1, 8.0), 0, "{}", level.name());
        assert!(acked(&run, 8.0, 9.0) > 10, "{}", level.name());
    }
}

#[test]
fn a_link_that_is_slow_delays_and_a_cut_makes_another_connection() {
    for level in LEVELS {
        let delay = NetworkEffect::Delay { delay: 2 * SECOND, jitter: Duration::ZERO };
        let run = of(*level, &case(fault(NetworkFault::from(delay).lasting(4 * SECOND))));
        assert_eq!(acked(&run, 5.1, 6.9), 0, "{}", level.name());
        let calm = of(*level, &case(None)).traffic.len();
        let cut = NetworkEffect::Cut { after: 100, connections: 1 };
        assert_eq!(of(*level, &case(fault(cut))).traffic.len(), calm + 1, "{}", level.name());
    }
}

#[test]
fn who_is_refused_gets_in_later() {
    for level in LEVELS {
        let refuse = NetworkFault::from(NetworkEffect::RefuseConnect).lasting(3 * SECOND);
        let mut case = case(fault(refuse));
        let cut = NetworkFault::from(NetworkEffect::Cut { after: 0, connections: 10 }).lasting(SECOND);
        case.troubles.push((5 * SECOND, Trouble::Fault(cut.into())));
        let run = of(*level, &case);
        assert_eq!(acked(&run, 5.1, 8.0), 0, "{}", level.name());
        assert!(acked(&run, 8.0, 10.0) > 10, "{}", level.name());
    }
}

#[test]
fn what_a_log_loses_is_told() {
    for level in LEVELS {
        let truncate = BrokerFault::Truncate { topic: "t0".to_owned(), partition: 0, records: 7 };
        let run = of(*level, &case(fault(truncate)));
        assert!(lost(&run) >= 7, "{}: {}", level.name(), lost(&run));
        let delete = BrokerFault::DeleteTopic { topic: "t0".to_owned(), recreate_after: Some(SECOND) };
        let run = of(*level, &case(fault(delete)));
        let there: usize = run.history.logs.iter().map(|log| log.records.len()).sum();
        assert_eq!(lost(&run) + there, 200, "{}", level.name());
        assert!(lost(&run) > 10 && there > 10, "{}: {} lost, {there} there", level.name(), lost(&run));
    }
}

#[test]
fn a_fault_that_waits_for_a_request_comes_with_it() {
    for level in LEVELS {
        let kill = BrokerFault::KillNode { node: 1, loses_unreplicated: true, lasts: Some(2 * SECOND) };
        let before = Trouble::Before { api: ApiKey::PRODUCE, nth: 20, fault: kill.into() };
        let run = of(*level, &case(before));
        let acked = |from: u32| acked(&run, f64::from(from) / 2.0, f64::from(from + 2) / 2.0);
        let still: Vec<u32> = (2..28).filter(|from| acked(*from) == 0).collect();
        assert!(still.first().is_some_and(|from| *from > 10) && still.len() < 6, "{}: {still:?}", level.name());
    }
}

#[test]
fn a_node_that_starts_elsewhere_is_found_there() {
    for level in LEVELS {
        let mut case = case(fault(BrokerFault::RestartNode { node: 1, at_new_address: true }));
        case.workload.nodes = 2;
        // The other node leads then, and tells where this one is.
        let back = BrokerFault::MoveLeader { topic: "t0".to_owned(), partition: 0, to: Some(1) };
        case.troubles.push((7 * SECOND, Trouble::Fault(back.into())));
        let run = of(*level, &case);
        assert!(acked(&run, 9.0, 15.0) > 20, "{}", level.name());
    }
}

#[test]
fn credentials_that_are_believed_no_more_cost_a_connection() {
    for level in LEVELS {
        let mut calm = case(None);
        calm.login = Some(Login { believed: None });
        let before = of(*level, &calm).traffic.len();
        calm.troubles = case(fault(BrokerFault::ExpireCredentials { node: None })).troubles;
        let after = of(*level, &calm).traffic.len();
        assert!(after > before, "{}: {after} after {before}", level.name());
    }
}

#[test]
fn bytes_that_change_are_no_record() {
    for level in LEVELS {
        let mut refused = 0;
        // One of the bytes of the batch in a request to produce, or in front of it.
        for at in (60..160).step_by(7) {
            let corrupt = NetworkEffect::Corrupt { at, mask: 4, connections: 1 };
            let run = of(*level, &case(fault(NetworkFault::from(corrupt).towards(Direction::ToBroker))));
            refused += run.coverage.codes.get(&("Produce".to_owned(), ErrorCode::CORRUPT_MESSAGE.0)).copied().unwrap_or(0);
        }
        assert!(refused > 2, "{}: only {refused} were refused", level.name());
    }
}
