//! `cargo xtask test`: everything, with the brokers it needs.
//!
//! First what needs no broker of others (unit, property, embedded broker), then `real/` against Apache Kafka. How many tests ran is
//! counted, and fewer in `real/` than `real/MINIMUM` is a failure, so that none is skipped in silence.

use std::time::Instant;

use crate::count::{Count, count};
use crate::{prerequisites, process, real, shown};

/// Runs all tests, or the part that was asked for.
pub(crate) fn run(arguments: &[&str]) -> Result<(), String> {
    let start = Instant::now();
    let (options, filters) = match arguments.iter().position(|word| *word == "--") {
        Some(at) => (&arguments[..at], &arguments[at + 1..]),
        None => (arguments, &[] as &[&str]),
    };
    let (embedded, real) = match options {
        [] => (true, true),
        ["--no-real"] => (true, false),
        ["--real-only"] => (false, true),
        other => return Err(format!("test takes --no-real or --real-only, not `{}`; filters go behind `--`", other.join(" "))),
    };
    prerequisites::check()?;
    let mut here = Count::default();
    if embedded {
        let mut cargo = process::cargo(&["test", "--workspace", "--exclude", "klamm-real", "--no-fail-fast"]);
        cargo.arg("--").args(filters);
        here = count(&mut cargo)?;
    }
    let there = if real { real::run(filters)? } else { real::Outcome::default() };
    let minutes = start.elapsed().as_secs_f64() / 60.0;
    println!();
    if real {
        println!("{}", shown::tables()?);
    }
    if embedded {
        println!("without Apache Kafka (unit, property, embedded broker): {} passed, {} failed", here.passed, here.failed);
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
    if real && filters.is_empty() {
        let (minimum, ran) = (minimum()?, there.count.passed);
        if ran + there.left_out < minimum {
            return Err(format!("{ran} tests ran against Apache Kafka, but real/MINIMUM asks for {minimum}"));
        }
    }
    Ok(())
}

fn minimum() -> Result<usize, String> {
    let path = process::root().join("real").join("MINIMUM");
    let text = std::fs::read_to_string(&path).map_err(|error| format!("real/MINIMUM: {error}"))?;
    text.trim().parse().map_err(|_| format!("real/MINIMUM must hold one number, not {:?}", text.trim()))
}
