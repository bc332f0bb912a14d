//! A seed is all that a run depends on: the same one gives the same history, event by event, and the same bytes on every connection.

use klamm_sim::drivers::Drivers;
use klamm_sim::run::{Case, Level};
use klamm_sim::workload::Kind;

#[test]
fn a_seed_gives_the_same_run_twice() {
    let mut events = 0;
    for seed in 0..20 {
        for kind in Kind::ALL {
            let case = Case::draw(kind, seed);
            let (one, other) = (Drivers.run(&case), Drivers.run(&case));
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
