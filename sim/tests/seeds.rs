//! Some seeds of each workload, as many as a test without optimization can take; `cargo xtask sim` runs thousands.

use klamm_sim::campaign::{Count, LEVELS, one};
use klamm_sim::run::{self, Case};
use klamm_sim::workload::Kind;

#[test]
fn every_oracle_holds_for_the_first_seeds_of_each_workload() {
    let start = std::time::Instant::now();
    let (mut all, mut failures) = (Count::default(), Vec::new());
    for level in LEVELS {
        for kind in Kind::ALL {
            for seed in 0..20 {
                let case = Case::draw(kind, seed);
                let counted = one(*level, &case, false);
                all.add(&counted.count);
                if let Err(violation) = counted.verdict {
                    failures.push(run::report(*level, &case, &violation));
                }
            }
        }
    }
    println!("{}", all.report(start.elapsed(), 1, true));
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    // An oracle that has compared nothing proves nothing.
    for (oracle, (runs, checks)) in &all.checks {
        assert!(*runs > 0 && *checks > 0, "{oracle} has compared nothing");
    }
    assert!(all.troubles.len() > 25, "{:?}", all.troubles);
}
