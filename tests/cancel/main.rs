//! Every public future, dropped at every point: what its "Cancel safety" promises holds, the same call made again succeeds, connections
//! stay whole, memory comes back, and nobody else is disturbed (reliability.md, section 3.4 and rule 10).
//!
//! [`table::CASES`] has at least one scenario for each of them, and `source` compares it with what `src/` declares: a new public future
//! without an entry is a failing test. A scenario runs once to its end, over a slow network, so that the future has to wait several
//! times; then again for each [`cut::Cut`]: dropped after each of its polls, dropped when it was woken and before it was polled,
//! dropped at each of many moments in between.

mod asking;
mod asynchronous;
mod consuming;
mod cut;
mod producing;
mod scene;
mod source;
mod table;
mod waiters;
#[path = "../world/mod.rs"]
mod world;

use std::time::Duration;

use cut::{Cut, Progress};
use table::{CASES, Case};
use world::paused_runtime;
use world::watchdog::watchdog;

/// Moments between beginning and end at which a future is dropped, whatever it waits for then.
const MOMENTS: u32 = 24;

/// Told on the way out of a test that fails.
struct Doing(String);

impl Drop for Doing {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("in {}", self.0);
        }
    }
}

fn run(case: &Case, cut: Cut) -> Progress {
    let _doing = Doing(format!("{}, {}: {cut:?}", case.name, case.scenario));
    paused_runtime().block_on((case.run)(cut))
}

/// Runs every case of a table with every cut.
fn sweep(cases: &[Case]) {
    let _watchdog = watchdog("cancelling", Duration::from_secs(300));
    for case in cases {
        let whole = run(case, Cut::Never);
        let name = format!("{}, {}", case.name, case.scenario);
        assert!(whole.completed, "{name}: not done by itself");
        assert!(whole.polls >= case.least_polls, "{name}: done after {} polls: it waits for nothing", whole.polls);
        let mut cuts = vec![];
        for polls in 0..=whole.polls {
            cuts.extend([Cut::AfterPolls(polls), Cut::Woken(polls)]);
        }
        cuts.extend((1..MOMENTS).map(|moment| Cut::At(whole.took * moment / MOMENTS)));
        let dropped = cuts.iter().filter(|cut| !run(case, **cut).completed).count();
        println!("{name}: {} polls in {:?}, {dropped} times dropped", whole.polls, whole.took);
        assert!(dropped > whole.polls, "{name}: hardly ever dropped");
    }
}

#[test]
fn questions_can_be_dropped() {
    sweep(CASES.asking);
}

#[test]
fn producing_can_be_dropped() {
    sweep(CASES.producing);
}

#[test]
fn consuming_can_be_dropped() {
    sweep(CASES.consuming);
}
