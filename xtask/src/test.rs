//! `cargo xtask test`: everything, with the brokers it needs, or a part of it.
//!
//! First what needs no broker of others (unit, property, embedded broker), then `real/` against Apache Kafka. How many tests ran is
//! counted, and fewer in `real/` than `real/MINIMUM` is a failure, so that none is skipped in silence. `cargo xtask test protocol`
//! is the codec alone: its own tests and those that compare it with Kafka's classes and schemas, which take a JVM and no broker.

use std::process::Command;
use std::time::Instant;

use crate::count::{Count, count};
use crate::{prerequisites, process, real, shown, sim};

/// The workspace without the tests that need brokers, and without the crate that must be built alone.
pub(crate) const WITHOUT_REAL: [&str; 5] = ["--workspace", "--exclude", "klamm-real", "--exclude", "klamm-pure-rust"];

/// What was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    All,
    NoReal,
    RealOnly,
    Protocol,
}

/// Runs all tests, or the part that was asked for.
pub(crate) fn run(arguments: &[&str]) -> Result<(), String> {
    let start = Instant::now();
    let (options, filters) = match arguments.iter().position(|word| *word == "--") {
        Some(at) => (&arguments[..at], &arguments[at + 1..]),
        None => (arguments, &[] as &[&str]),
    };
    let part = match options {
        [] => Part::All,
        ["--no-real"] => Part::NoReal,
        ["--real-only"] => Part::RealOnly,
        ["protocol"] if filters.is_empty() => Part::Protocol,
        ["protocol"] => {
            return Err("test protocol takes no filters; `cargo test -p klamm --test protocol_java FILTER` does".into());
        }
        other => {
            let words = other.join(" ");
            return Err(format!("test takes protocol, --no-real or --real-only, not `{words}`; filters go behind `--`"));
        }
    };
    if part == Part::Protocol {
        prerequisites::check_for_protocol()?
    } else {
        prerequisites::check()?
    }
    shown::begin()?;
    let mut here = Count::default();
    for mut cargo in without_real(part, filters) {
        here += count(&mut cargo)?;
    }
    let simulated = if matches!(part, Part::All | Part::NoReal) && filters.is_empty() { Some(sim::all()?) } else { None };
    let real = matches!(part, Part::All | Part::RealOnly);
    let there = if real { real::run(filters)? } else { real::Outcome::default() };
    let minutes = start.elapsed().as_secs_f64() / 60.0;
    println!("\n{}", shown::tables()?);
    match part {
        Part::RealOnly => {}
        Part::Protocol => println!("the protocol: {} passed, {} failed", here.passed, here.failed),
        Part::All | Part::NoReal => {
            println!("without Apache Kafka (unit, property, embedded broker): {} passed, {} failed", here.passed, here.failed);
        }
    }
    if let Some((_, counts)) = &simulated {
        println!("{counts}");
    }
    for part in &there.parts {
        println!("{part}");
    }
    if there.left_out > 0 {
        println!("LEFT OUT: {} tests with franz-go, for want of Go on this machine", there.left_out);
    }
    println!("took {minutes:.1} minutes");
    println!("{} passed, {} failed", here.passed + there.count.passed, here.failed + there.count.failed);
    if here.failed + there.count.failed > 0 {
        return Err("tests failed; their output is above".to_owned());
    }
    if simulated.is_some_and(|(holds, _)| !holds) {
        return Err("seeds of the simulator failed; they are above".to_owned());
    }
    if real && filters.is_empty() {
        let (minimum, ran) = (minimum()?, there.count.passed);
        if ran + there.left_out < minimum {
            return Err(format!("{ran} tests ran against Apache Kafka, but real/MINIMUM asks for {minimum}"));
        }
    }
    Ok(())
}

/// The runs of `cargo test` that need no Apache Kafka.
fn without_real(part: Part, filters: &[&str]) -> Vec<Command> {
    let cargo = |targets: &[&str], filters: &[&str]| {
        let mut cargo = process::cargo(&["test"]);
        cargo.args(WITHOUT_REAL).arg("--no-fail-fast").args(targets).arg("--").args(filters).env("KLAMM_SHOWN", shown::path());
        cargo
    };
    let pure_rust = |filters: &[&str]| {
        let mut cargo = process::cargo(&["test", "--package", "klamm-pure-rust", "--"]);
        cargo.args(filters);
        cargo
    };
    match part {
        Part::All | Part::NoReal => vec![cargo(&[], filters), pure_rust(filters)],
        Part::RealOnly => Vec::new(),
        Part::Protocol => {
            let targets = ["--test", "protocol_*", "--test", "records_*"];
            vec![cargo(&["--lib"], &["protocol::"]), cargo(&targets, &[]), pure_rust(&[])]
        }
    }
}

fn minimum() -> Result<usize, String> {
    let path = process::root().join("real").join("MINIMUM");
    let text = std::fs::read_to_string(&path).map_err(|error| format!("real/MINIMUM: {error}"))?;
    text.trim().parse().map_err(|_| format!("real/MINIMUM must hold one number, not {:?}", text.trim()))
}
