//! From a seed to an outcome: the case of a seed, its run on a level, what the oracles say, and the smallest case that still fails.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use crate::coverage::Coverage;
use crate::history::{Bounds, History};
use crate::oracles::{self, Checks, Violation};
use crate::trouble::{self, Login, Network, Trouble};
use crate::workload::{Kind, Workload};

/// All that a run depends on.
#[derive(Clone, Debug, PartialEq)]
pub struct Case {
    /// What everything else in it was drawn from, and what is drawn while it runs.
    pub seed: u64,
    /// What is done.
    pub workload: Workload,
    /// How bytes pass.
    pub network: Network,
    /// Must clients log in?
    pub login: Option<Login>,
    /// What goes wrong, and when.
    pub troubles: Vec<(Duration, Trouble)>,
    /// Every other public future is dropped after at most so many polls, unless it is done by then; `None`: all are waited for.
    pub patience: Option<u32>,
}

impl Case {
    /// The case of a seed.
    pub fn draw(kind: Kind, seed: u64) -> Self {
        let workload = Workload::draw(kind, seed);
        // Scripted writers do not log in.
        let (network, login) = (Network::draw(seed), Login::draw(seed).filter(|_| workload.writers.is_empty()));
        let troubles = trouble::draw(seed, &workload, login);
        Self { seed, workload, network, login, troubles, patience: None }
    }

    /// What its runs are measured against: where members work, each record may take a copy and a commit over its network.
    pub fn bounds(&self) -> Bounds {
        let mut bounds = self.workload.bounds();
        if !self.workload.members.is_empty() {
            let each = 6 * self.network.latency.1;
            bounds.recovery += each * u32::try_from(self.workload.records()).unwrap_or(u32::MAX);
        }
        bounds.destroys = self.troubles.iter().any(|(_, trouble)| trouble.destroys());
        bounds.garbles = self.troubles.iter().any(|(_, trouble)| trouble.garbles());
        // A commit whose bytes have changed may be one of another place.
        bounds.reads_all &= !bounds.garbles;
        bounds
    }

    /// The same without one of its troubles.
    pub fn without(&self, index: usize) -> Self {
        let mut case = self.clone();
        if index < case.troubles.len() {
            _ = case.troubles.remove(index);
        }
        case
    }

    /// The same with less to do, if there is less.
    pub fn halved(&self) -> Option<Self> {
        Some(Self { workload: self.workload.halved()?, ..self.clone() })
    }
}

/// What a run leaves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// What happened.
    pub history: History,
    /// What was reached.
    pub coverage: Coverage,
    /// What passed on each connection, in the order in which they were made.
    pub traffic: Vec<Traffic>,
}

/// The bytes of a connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// To the broker.
    pub up: u64,
    /// To the client.
    pub down: u64,
}

/// Something that runs cases: the cores alone, or the drivers on tokio's paused clock. The same case gives the same run.
pub trait Level: Sync {
    /// Its name on the command line.
    fn name(&self) -> &'static str;

    /// Runs a case to its end.
    fn run(&self, case: &Case) -> Run;
}

/// A run, and what the oracles say of it.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The run; none if it panicked.
    pub run: Option<Run>,
    /// How many things each oracle has compared, or what does not hold.
    pub verdict: Result<BTreeMap<&'static str, Checks>, Violation>,
}

/// Runs a case and asks the oracles. A panic is a violation, too.
pub fn run(level: &dyn Level, case: &Case) -> Outcome {
    match catch_unwind(AssertUnwindSafe(|| level.run(case))) {
        Ok(run) => {
            let verdict = oracles::check(&run.history);
            Outcome { run: Some(run), verdict }
        }
        Err(panic) => {
            let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
            let text = text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default();
            Outcome { run: None, verdict: Err(Violation { oracle: "panic", text, event: None }) }
        }
    }
}

/// The smallest case found that breaks the same oracle: troubles are left out one by one, and the work is halved, as long as it fails.
pub fn shrink(level: &dyn Level, case: &Case, violation: &Violation) -> (Case, Violation) {
    let (mut smallest, mut violation) = (case.clone(), violation.clone());
    let mut budget = 150;
    loop {
        let without = (0..smallest.troubles.len()).rev().map(|index| smallest.without(index));
        let mut smaller = None;
        for candidate in without.chain(smallest.halved()) {
            if budget == 0 {
                return (smallest, violation);
            }
            budget -= 1;
            match run(level, &candidate).verdict {
                Err(found) if found.oracle == violation.oracle => {
                    smaller = Some((candidate, found));
                    break;
                }
                _ => {}
            }
        }
        match smaller {
            Some(found) => (smallest, violation) = found,
            None => return (smallest, violation),
        }
    }
}

/// What is printed of a seed that failed.
pub fn report(level: &dyn Level, case: &Case, violation: &Violation) -> String {
    let kind = case.workload.kind.name();
    let mut text = String::new();
    _ = writeln!(text, "SEED {} FAILED: workload {kind}, level {}", case.seed, level.name());
    _ = writeln!(text, "  {violation}");
    let (smallest, found) = shrink(level, case, violation);
    _ = writeln!(text, "shrunk from {} troubles to {}:", case.troubles.len(), smallest.troubles.len());
    for (at, trouble) in &smallest.troubles {
        _ = writeln!(text, "  {at:>10?}  {trouble:?}");
    }
    _ = writeln!(text, "  {:?}", smallest.workload);
    _ = writeln!(text, "  {:?}, {:?}", smallest.network, smallest.login);
    _ = writeln!(text, "  {found}");
    if let Some(run) = run(level, &smallest).run {
        let events = &run.history.events;
        let end = found.event.map_or(events.len(), |at| (at + 1).min(events.len()));
        let until = History { events: events[..end].to_vec(), ..run.history };
        _ = write!(text, "last events up to it:\n{}", until.tail(25));
    }
    _ = writeln!(text, "replay: SEED={} cargo xtask sim --workload {kind} --level {}", case.seed, level.name());
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::Event;
    use crate::workload::SECOND;

    /// Fails when a connection is cut while there is more than one record.
    struct Fake;

    impl Level for Fake {
        fn name(&self) -> &'static str {
            "fake"
        }

        fn run(&self, case: &Case) -> Run {
            let mut history = History::new(case.workload.bounds());
            history.push(SECOND, Event::Healed);
            let cut = case.troubles.iter().any(|(_, trouble)| matches!(trouble, Trouble::Cut { .. }));
            if !cut || case.workload.producers[0].records < 2 {
                history.push(2 * SECOND, Event::Settled);
            }
            Run { history, coverage: Coverage::default(), traffic: Vec::new() }
        }
    }

    #[test]
    fn a_failure_is_shrunk_to_what_it_needs_and_says_how_to_replay_it() {
        let fails = |seed: &u64| run(&Fake, &Case::draw(Kind::Produce, *seed)).verdict.is_err();
        let seed = (0..1000).filter(fails).find(|seed| Case::draw(Kind::Produce, *seed).troubles.len() > 3).unwrap();
        let case = Case::draw(Kind::Produce, seed);
        let violation = run(&Fake, &case).verdict.unwrap_err();
        let (smallest, found) = shrink(&Fake, &case, &violation);
        assert_eq!(found.oracle, "I11");
        assert_eq!(smallest.troubles.len(), 1);
        assert!(matches!(smallest.troubles[0].1, Trouble::Cut { .. }));
        assert_eq!(smallest.workload.producers.len(), 1);
        assert_eq!(smallest.workload.producers[0].records, 2);
        let report = report(&Fake, &case, &violation);
        assert!(report.contains(&format!("replay: SEED={seed} cargo xtask sim --workload produce --level fake")), "{report}");
    }

    #[test]
    fn a_panic_is_a_violation() {
        struct Panics;
        impl Level for Panics {
            fn name(&self) -> &'static str {
                "panics"
            }
            fn run(&self, _: &Case) -> Run {
                panic!("of a test")
            }
        }
        let violation = run(&Panics, &Case::draw(Kind::Produce, 1)).verdict.unwrap_err();
        assert_eq!((violation.oracle, violation.text.as_str()), ("panic", "of a test"));
    }
}
