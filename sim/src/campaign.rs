//! Many seeds: what was asked for, and what is counted.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use crate::cores::Cores;
use crate::coverage::Coverage;
use crate::drivers::Drivers;
use crate::oracles::{ALL, Checks, Violation};
use crate::run::{self, Case, Level};
use crate::workload::Kind;

/// All levels.
pub const LEVELS: &[&dyn Level] = &[&Cores, &Drivers];

/// What was asked for on the command line.
#[derive(Clone, Debug)]
pub struct Options {
    /// How many seeds.
    pub seeds: u64,
    /// The first.
    pub from: u64,
    /// Which kinds of work.
    pub kinds: Vec<Kind>,
    /// Names of levels.
    pub levels: Vec<&'static str>,
    /// Shall what was reached be printed?
    pub coverage: bool,
    /// Shall all events of each run be printed?
    pub events: bool,
    /// How long one run may take by the clock on the wall.
    pub patience: Duration,
}

impl Options {
    /// Reads `--seeds N --from S --workload W --level L --coverage`; with `seed`, that one alone.
    ///
    /// # Errors
    /// What is wrong with them, and what is allowed.
    pub fn read(arguments: &[String], seed: Option<&str>) -> Result<Self, String> {
        let all_levels: Vec<_> = LEVELS.iter().map(|level| level.name()).collect();
        let mut options = Self {
            seeds: 100,
            from: 0,
            kinds: Kind::ALL.to_vec(),
            levels: all_levels.clone(),
            coverage: false,
            events: false,
            patience: Duration::from_secs(120),
        };
        let mut words = arguments.iter();
        while let Some(word) = words.next() {
            if word == "--events" {
                options.events = true;
                continue;
            }
            if word == "--coverage" {
                options.coverage = true;
                continue;
            }
            let mut value = || words.next().map(String::as_str).ok_or_else(|| format!("{word} wants a value"));
            let number = |text: &str| text.parse().map_err(|_| format!("{word} wants a number, not `{text}`"));
            match word.as_str() {
                "--seeds" => options.seeds = number(value()?)?,
                "--from" => options.from = number(value()?)?,
                "--workload" => {
                    let name = value()?;
                    let kind = Kind::named(name);
                    let all: Vec<_> = Kind::ALL.iter().map(|kind| kind.name()).collect();
                    let wrong = || format!("--workload is one of {}, not `{name}`", all.join(", "));
                    options.kinds = vec![kind.ok_or_else(wrong)?];
                }
                "--level" => {
                    let name = value()?;
                    let level = all_levels.iter().find(|level| **level == name);
                    let wrong = || format!("--level is one of {}, not `{name}`", all_levels.join(", "));
                    options.levels = vec![*level.ok_or_else(wrong)?];
                }
                other => {
                    return Err(format!(
                        "unknown option `{other}`; known are --seeds, --from, --workload, --level, --coverage, --events"
                    ));
                }
            }
        }
        if let Some(seed) = seed {
            options.from = seed.parse().map_err(|_| format!("SEED is a number, not `{seed}`"))?;
            options.seeds = 1;
        }
        Ok(options)
    }

    /// The runs, in the order in which they begin.
    pub fn jobs(&self) -> impl Iterator<Item = (&'static dyn Level, Kind, u64)> {
        let levels = LEVELS.iter().copied().filter(|level| self.levels.contains(&level.name()));
        let levels: Vec<_> = levels.collect();
        let seeds = self.from..self.from.saturating_add(self.seeds);
        seeds.flat_map(move |seed| {
            let levels = levels.clone();
            let of = move |kind: Kind| levels.clone().into_iter().map(move |level| (level, kind, seed));
            self.kinds.iter().copied().flat_map(of)
        })
    }
}

/// What is counted of runs.
#[derive(Clone, Debug, Default)]
pub struct Count {
    /// Runs, by level and kind of work.
    pub runs: BTreeMap<(&'static str, &'static str), u64>,
    /// Runs that broke an oracle.
    pub failed: u64,
    /// Virtual time.
    pub virtual_time: Duration,
    /// Time of a processor: the sum of what each run took.
    pub spent: Duration,
    /// See [`History::operations`](crate::history::History::operations).
    pub operations: u64,
    /// By kind.
    pub troubles: BTreeMap<&'static str, u64>,
    /// By oracle: in how many runs it compared something, and how much.
    pub checks: BTreeMap<&'static str, (u64, Checks)>,
    /// What was reached.
    pub coverage: Coverage,
}

/// One run in numbers.
#[derive(Clone, Debug)]
pub struct Counted {
    /// Its events as text.
    pub events: String,
    /// The numbers.
    pub count: Count,
    /// Does everything hold?
    pub verdict: Result<(), Violation>,
}

/// Runs one case and counts.
pub fn one(level: &dyn Level, case: &Case, with_events: bool) -> Counted {
    let start = std::time::Instant::now();
    let outcome = run::run(level, case);
    let mut count = Count { spent: start.elapsed(), ..Count::default() };
    _ = count.runs.insert((level.name(), case.workload.kind.name()), 1);
    case.troubles.iter().for_each(|(_, trouble)| *count.troubles.entry(trouble.kind()).or_default() += 1);
    let mut events = String::new();
    if let Some(run) = outcome.run {
        if with_events {
            events = run.history.tail(usize::MAX);
        }
        count.virtual_time = run.history.ended;
        count.operations = run.history.operations();
        count.coverage = run.coverage;
    }
    let verdict = outcome.verdict.map(|checks| {
        for (oracle, checks) in checks {
            _ = count.checks.insert(oracle, (u64::from(checks > 0), checks));
        }
    });
    count.failed = u64::from(verdict.is_err());
    Counted { events, count, verdict }
}

impl Count {
    /// Adds another.
    pub fn add(&mut self, other: &Self) {
        other.runs.iter().for_each(|(what, count)| *self.runs.entry(*what).or_default() += count);
        self.failed += other.failed;
        self.virtual_time += other.virtual_time;
        self.spent += other.spent;
        self.operations += other.operations;
        other.troubles.iter().for_each(|(what, count)| *self.troubles.entry(what).or_default() += count);
        for (oracle, (runs, checks)) in &other.checks {
            let mine = self.checks.entry(oracle).or_default();
            *mine = (mine.0 + runs, mine.1 + checks);
        }
        self.coverage.add(&other.coverage);
    }

    /// In words: `elapsed` on the wall, with so many workers.
    pub fn report(&self, elapsed: Duration, workers: usize, coverage: bool) -> String {
        let mut text = String::new();
        for ((level, kind), count) in &self.runs {
            _ = writeln!(text, "{level} {kind}: {count} seeds");
        }
        let seconds = self.spent.as_secs_f64().max(1e-9);
        _ = writeln!(
            text,
            "{} virtual seconds, {} operations in {:.1} s on {workers} cores: {:.0} operations a second of one core",
            self.virtual_time.as_secs(),
            self.operations,
            elapsed.as_secs_f64(),
            self.operations as f64 / seconds
        );
        let troubles: Vec<_> = self.troubles.iter().map(|(kind, count)| format!("{kind} {count}")).collect();
        _ = writeln!(text, "faults: {}", troubles.join(", "));
        for oracle in ALL {
            let (runs, checks) = self.checks.get(oracle.name).copied().unwrap_or_default();
            _ = writeln!(text, "  {:>3} {checks} checks in {runs} runs: {}", oracle.name, oracle.rule);
        }
        _ = writeln!(text, "violations: {}", self.failed);
        if coverage {
            text.push_str(&self.coverage.table());
        } else {
            let (states, codes) = (self.coverage.states.len(), self.coverage.codes.len());
            _ = writeln!(text, "reached: {states} (core state x event) pairs, {codes} (API x error code) pairs");
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(words: &[&str]) -> Result<Options, String> {
        Options::read(&words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>(), None)
    }

    #[test]
    fn options_say_which_runs() {
        let options = read(&["--seeds", "3", "--from", "7", "--workload", "copy", "--level", "drivers"]).unwrap();
        let jobs: Vec<_> = options.jobs().map(|(level, kind, seed)| (level.name(), kind, seed)).collect();
        assert_eq!(jobs, [("drivers", Kind::Copy, 7), ("drivers", Kind::Copy, 8), ("drivers", Kind::Copy, 9)]);
        let all = read(&["--seeds", "2"]).unwrap();
        assert_eq!(all.jobs().count(), 2 * Kind::ALL.len() * LEVELS.len());
        let one = Options::read(&[], Some("5")).unwrap();
        assert!(one.jobs().all(|(_, _, seed)| seed == 5));
    }

    #[test]
    fn what_is_wrong_with_options_is_said() {
        assert_eq!(read(&["--seeds"]).unwrap_err(), "--seeds wants a value");
        assert_eq!(read(&["--seeds", "x"]).unwrap_err(), "--seeds wants a number, not `x`");
        assert!(read(&["--workload", "x"]).unwrap_err().contains("produce, group, copy, transactions"));
        assert!(read(&["--level", "x"]).unwrap_err().contains("drivers"));
        assert!(read(&["--what"]).unwrap_err().contains("--seeds"));
        assert_eq!(Options::read(&[], Some("x")).unwrap_err(), "SEED is a number, not `x`");
    }
}
