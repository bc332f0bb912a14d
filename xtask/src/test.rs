//! `cargo xtask test`: everything, with the brokers it needs.
//!
//! First what needs no broker of others (unit, property, embedded broker), then `real/` against Apache Kafka: a single broker (in
//! Docker where that works, else from the jars), a cluster of three from the jars, whose nodes the tests kill and restart, and a secured
//! broker from the jars. The addresses go to the tests by environment. How many tests ran is counted, and fewer in `real/` than `real/MINIMUM` is a failure, so
//! that none is skipped in silence.

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};
use std::time::Instant;

use crate::kafka::{Cluster, DockerBroker, Secured, VERSION};
use crate::{kafka, prerequisites, process};

/// The single broker, wherever it runs.
enum Single {
    Docker(DockerBroker),
    Jars(Cluster),
}

/// What a test run printed of itself.
#[derive(Clone, Copy, Default)]
struct Count {
    passed: usize,
    failed: usize,
}

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
    let mut there = Count::default();
    let mut against = String::new();
    if real {
        (there, against) = run_real(filters)?;
    }
    let minutes = start.elapsed().as_secs_f64() / 60.0;
    println!();
    if embedded {
        println!("without Apache Kafka (unit, property, embedded broker): {} passed, {} failed", here.passed, here.failed);
    }
    if real {
        println!("against Apache Kafka {VERSION} ({against}): {} passed, {} failed", there.passed, there.failed);
    }
    println!("took {minutes:.1} minutes");
    println!("{} passed, {} failed", here.passed + there.passed, here.failed + there.failed);
    if here.failed + there.failed > 0 {
        return Err("tests failed; their output is above".to_owned());
    }
    if real && filters.is_empty() {
        let minimum = minimum()?;
        if there.passed < minimum {
            return Err(format!("{} tests ran against Apache Kafka, but real/MINIMUM asks for {minimum}", there.passed));
        }
    }
    Ok(())
}

fn minimum() -> Result<usize, String> {
    let path = process::root().join("real").join("MINIMUM");
    let text = std::fs::read_to_string(&path).map_err(|error| format!("real/MINIMUM: {error}"))?;
    text.trim().parse().map_err(|_| format!("real/MINIMUM must hold one number, not {:?}", text.trim()))
}

fn run_real(filters: &[&str]) -> Result<(Count, String), String> {
    process::run(&mut process::cargo(&["build", "--release", "--package", "klamm-cli"]))?;
    // As the tests before built it, so that nothing is built twice.
    process::run(&mut process::cargo(&["build", "--workspace", "--exclude", "klamm-real", "--example", "quickstart"]))?;
    process::run(&mut process::cargo(&["test", "--no-run", "--package", "klamm-real"]))?;
    let class_path = kafka::class_path(&kafka::fetch()?)?;
    let peers = kafka::compile_peers(&class_path)?;
    let folder = process::target().join("kafka").join("test");
    let single = match DockerBroker::start() {
        Ok(broker) => {
            println!("single broker: in Docker, at {}", broker.bootstrap());
            Single::Docker(broker)
        }
        Err(why) => {
            let broker = Cluster::start(1, &folder.join("single"))?;
            println!("single broker: from the Maven jars ({why}), at {}", broker.bootstrap());
            Single::Jars(broker)
        }
    };
    let cluster = Cluster::start(3, &folder.join("cluster"))?;
    println!("cluster of three: from the Maven jars (its nodes are killed and restarted), at {}", cluster.bootstrap());
    let secured = Secured::start(&folder.join("secured"))?;
    println!("secured broker: from the Maven jars (TLS, SASL, access control), at {}", secured.bootstrap());
    let mut cargo = process::cargo(&["test", "--package", "klamm-real", "--no-fail-fast"]);
    cargo.envs(secured.environment());
    cargo.env("KLAMM_BIN", process::target().join("release").join("klamm"));
    cargo.env("KLAMM_EXAMPLES", process::target().join("debug").join("examples"));
    let (bootstrap, place) = match &single {
        Single::Docker(broker) => (broker.bootstrap().to_owned(), "single broker in Docker"),
        Single::Jars(broker) => (broker.bootstrap(), "single broker from the jars"),
    };
    cargo.env("KLAMM_KAFKA", bootstrap);
    cargo.env("KLAMM_CLUSTER", cluster.bootstrap());
    cargo.env("KLAMM_CLUSTER_PROXIED", cluster.proxied());
    cargo.env("KLAMM_CLUSTER_ADVERTISED", cluster.advertised());
    cargo.env("KLAMM_CLUSTER_DIR", cluster.folder());
    cargo.env("KLAMM_CLASS_PATH", format!("{}:{class_path}", peers.display()));
    // Two cores: many clients at once beside five JVMs would only time each other out.
    cargo.args(["--", "--test-threads", "4"]).args(filters);
    let counted = count(&mut cargo)?;
    Ok((counted, format!("{place}, cluster of three and secured broker from the jars")))
}

/// Runs a `cargo test`, passes its output on and adds up its summaries. A run that ends badly without a failed test (a build that
/// breaks, a test process that dies) is an error.
fn count(cargo: &mut Command) -> Result<Count, String> {
    let mut child = cargo.stdout(Stdio::piped()).spawn().map_err(|error| format!("cargo could not be started: {error}"))?;
    let mut count = Count::default();
    for line in child.stdout.take().into_iter().flat_map(|output| BufReader::new(output).lines()) {
        let line = line.map_err(|error| format!("the output of cargo test could not be read: {error}"))?;
        println!("{line}");
        if let Some(summary) = line.strip_prefix("test result: ") {
            count.passed += number_before(summary, " passed");
            count.failed += number_before(summary, " failed");
        }
    }
    let status = child.wait().map_err(|error| format!("cargo test: {error}"))?;
    if !status.success() && count.failed == 0 {
        return Err(format!("cargo test ended with {status} without a failed test: see its output above"));
    }
    Ok(count)
}

/// The number in front of `word`.
fn number_before(text: &str, word: &str) -> usize {
    let number = text.find(word).and_then(|end| text.get(..end)).and_then(|head| head.rsplit(' ').next());
    number.and_then(|number| number.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::number_before;

    #[test]
    fn summaries_of_cargo_test_are_read() {
        let summary = "ok. 12 passed; 3 failed; 0 ignored; 0 measured; 1 filtered out; finished in 0.10s";
        assert_eq!((number_before(summary, " passed"), number_before(summary, " failed")), (12, 3));
        assert_eq!(number_before("nothing", " passed"), 0);
    }
}
