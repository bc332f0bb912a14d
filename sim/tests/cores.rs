//! The level of cores: a seed replays exactly, and what it runs holds, without faults and with them.

use std::collections::BTreeSet;

use klamm_sim::cores::Cores;
use klamm_sim::history::{Call, Event, Who};
use klamm_sim::run::{Case, Level, run};
use klamm_sim::workload::Kind;

#[test]
fn a_seed_gives_the_same_run_twice() {
    let mut events = 0;
    for seed in 0..20 {
        for kind in Kind::ALL {
            let case = Case::draw(kind, seed);
            let (one, other) = (Cores.run(&case), Cores.run(&case));
            let difference = one.history.events.iter().zip(&other.history.events).position(|(one, other)| one != other);
            if let Some(at) = difference {
                let (one, other) = (&one.history.events[at], &other.history.events[at]);
                panic!("seed {seed}, {kind:?}: event {at} is {one:?} and then {other:?}");
            }
            assert_eq!(one, other, "seed {seed}, {kind:?}");
            events += one.history.events.len();
        }
    }
    assert!(events > 10_000, "only {events} events");
}

/// Runs seeds and says how many operations they were.
fn holds(kind: Kind, seeds: std::ops::Range<u64>, calm: bool) -> u64 {
    let mut operations = 0;
    for seed in seeds {
        let mut case = Case::draw(kind, seed);
        if calm {
            case.troubles.clear();
        }
        let outcome = run(&Cores, &case);
        if let Err(violation) = &outcome.verdict {
            panic!("{kind:?}, seed {seed}: {violation}");
        }
        operations += outcome.run.map_or(0, |run| run.history.operations());
    }
    operations
}

#[test]
fn without_faults_everything_is_delivered_read_and_copied() {
    for kind in Kind::ALL {
        let operations = holds(kind, 1_000..1_030, true);
        assert!(operations > 1_000, "{kind:?}: only {operations} operations");
    }
}

#[test]
fn faults_break_nothing_that_is_promised() {
    for kind in Kind::ALL {
        let operations = holds(kind, 0..60, false);
        assert!(operations > 1_000, "{kind:?}: only {operations} operations");
    }
}

#[test]
fn every_call_has_a_deadline_in_every_workload() {
    for kind in Kind::ALL {
        let (mut checks, mut calls) = (0, BTreeSet::new());
        for seed in 0..20 {
            let outcome = run(&Cores, &Case::draw(kind, seed));
            checks += outcome.verdict.unwrap_or_else(|violation| panic!("{kind:?}, seed {seed}: {violation}"))["I12"];
            for entry in outcome.run.expect("it did not panic").history.events {
                let Event::Called { what, .. } = entry.event else { continue };
                calls.insert(match what {
                    Call::Enqueue(_) => "enqueue",
                    Call::Delivery(_) => "delivery",
                    Call::Flush(_) => "flush",
                    Call::Close(Who::Producer(_)) => "close a producer",
                    Call::Commit(_) => "commit",
                    Call::Close(Who::Member(_)) => "close a member",
                });
            }
        }
        assert!(checks > 1_000, "{kind:?}: only {checks} calls");
        assert_eq!(calls.len(), if kind == Kind::Produce { 4 } else { 6 }, "{kind:?}: {calls:?}");
    }
}
