//! Every workload with connections that break at some of their bytes, and with futures that are dropped: which, is up to the seed.
//! `KLAMM_SIM_SWEEP=full` takes every byte of one seed.

use klamm_sim::drivers::Drivers;
use klamm_sim::run;
use klamm_sim::sweep::{self, Extent};
use klamm_sim::workload::Kind;

fn extent() -> Extent {
    match std::env::var("KLAMM_SIM_SWEEP").as_deref() {
        Ok("full") => Extent::Full,
        Ok(other) => panic!("KLAMM_SIM_SWEEP is {other:?}; it can be \"full\", or not set"),
        Err(_) => Extent::Sample(12),
    }
}

fn bytes(kind: Kind) {
    let mut runs = 0;
    for seed in 0..3 {
        match sweep::bytes(&Drivers, kind, seed, extent()) {
            Ok(count) => runs += count,
            Err(broken) => panic!("{}", run::report(&Drivers, &broken.case, &broken.violation)),
        }
    }
    println!("{kind:?}: {runs} runs with connections that break");
    assert!(runs > 20, "only {runs} runs");
}

#[test]
fn producers_come_through_connections_that_break_at_any_byte() {
    bytes(Kind::Produce);
}

#[test]
fn groups_come_through_connections_that_break_at_any_byte() {
    bytes(Kind::Group);
}

#[test]
fn copies_come_through_connections_that_break_at_any_byte() {
    bytes(Kind::Copy);
}

#[test]
fn readers_of_transactions_come_through_connections_that_break_at_any_byte() {
    bytes(Kind::Transactions);
}

#[test]
fn every_workload_comes_through_with_futures_that_are_dropped() {
    for kind in Kind::ALL {
        for seed in 0..3 {
            if let Err(broken) = sweep::cancel(&Drivers, kind, seed, 5) {
                panic!("{}", run::report(&Drivers, &broken.case, &broken.violation));
            }
        }
    }
}
