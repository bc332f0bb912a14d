//! The tests in `real/`: other clients on klamm-broker, then against Apache Kafka 4.3.1 with all its neighbours, then against other
//! versions of it.
//!
//! A single broker (in Docker where that works, else from the jars), a cluster of three from the jars, whose nodes the tests kill
//! and restart, and a secured broker from the jars serve all test files but `versions.rs`. Then comes one broker of each other version, one at a time, for the tests of
//! `versions.rs` that stand in a module named after it. Addresses and peers go to the tests by environment. Brokers are started only
//! if a test that was asked for needs them.

use std::process::Command;
use std::time::Instant;

use crate::count::{Count, count};
use crate::kafka::{self, Cluster, DockerBroker, OTHER_VERSIONS, Secured, VERSION, Version};
use crate::peers::Peers;
use crate::test::WITHOUT_REAL;
use crate::{process, shown};

/// The file whose tests run once for each other version.
const VERSIONS: &str = "versions";
/// The file whose tests need other clients, but no Apache Kafka.
const EMBEDDED: &str = "embedded";
/// What the names of tests with franz-go have in common.
const FRANZ_GO: &str = "franz_go";

/// What ran, and against what.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) count: Count,
    /// Tests left out because there is no Go.
    pub(crate) left_out: usize,
    /// A line for each part.
    pub(crate) parts: Vec<String>,
}

impl Outcome {
    fn add(&mut self, count: Count, against: &str) {
        self.count += count;
        self.parts.push(format!("against {against}: {} passed, {} failed", count.passed, count.failed));
    }
}

/// The single broker, wherever it runs.
enum Single {
    Docker(DockerBroker),
    Jars(Cluster),
}

/// Runs all tests, or those that `filters` name.
pub(crate) fn run(filters: &[&str]) -> Result<Outcome, String> {
    process::run(&mut process::cargo(&["build", "--release", "--package", "klamm-cli"]))?;
    // As the tests before built it, so that nothing is built twice.
    process::run(process::cargo(&["build"]).args(WITHOUT_REAL).args(["--example", "quickstart"]))?;
    process::run(&mut process::cargo(&["test", "--no-run", "--package", "klamm-real"]))?;
    let peers = Peers::build(&kafka::class_path(&kafka::fetch(VERSION)?)?)?;
    println!("other clients: {}", peers.names());
    let mut outcome = Outcome::default();
    let embedded = [EMBEDDED.to_owned()];
    let mut on_embedded = names(&embedded, filters)?;
    outcome.left_out += without_franz_go(&peers, &mut on_embedded);
    if !on_embedded.is_empty() {
        run_on_embedded(&peers, &embedded, filters, &mut outcome)?;
    }
    let files = files()?;
    let mut on_current = names(&files, filters)?;
    outcome.left_out += without_franz_go(&peers, &mut on_current);
    if !on_current.is_empty() {
        run_on_current(&peers, &files, filters, &mut outcome)?;
    }
    let names = names(&[VERSIONS.to_owned()], filters)?;
    for version in OTHER_VERSIONS {
        if names.iter().any(|name| name.starts_with(&module(version))) {
            run_on_other(version, &peers, filters, &mut outcome)?;
        }
    }
    match (&peers.franz_go, outcome.parts.is_empty()) {
        (Err(why), true) if outcome.left_out > 0 => Err(format!("all tests asked for are with franz-go, but {why}")),
        (_, true) => Err(format!("no test in real/ has a name with `{}`", filters.join("` or `"))),
        (_, false) => Ok(outcome),
    }
}

/// Takes out the tests with franz-go if that could not be built; says how many.
fn without_franz_go(peers: &Peers, names: &mut Vec<String>) -> usize {
    let asked = names.len();
    if peers.franz_go.is_err() {
        names.retain(|name| !name.contains(FRANZ_GO));
    }
    asked - names.len()
}

/// The files of tests in `real/` for the current version: without that of other versions, and that of klamm-broker.
fn files() -> Result<Vec<String>, String> {
    let folder = process::root().join("real").join("tests");
    let entries = std::fs::read_dir(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let paths = entries.flatten().map(|entry| entry.path());
    let rust = paths.filter(|path| path.extension().is_some_and(|extension| extension == "rs"));
    let mut names: Vec<String> = rust.filter_map(|path| Some(path.file_stem()?.to_str()?.to_owned())).collect();
    names.retain(|name| name != VERSIONS && name != EMBEDDED);
    names.sort();
    Ok(names)
}

/// `cargo test` for some files of tests.
fn cargo(files: &[String]) -> Command {
    let mut cargo = process::cargo(&["test", "--package", "klamm-real", "--no-fail-fast"]);
    for file in files {
        cargo.args(["--test", file]);
    }
    cargo.arg("--");
    cargo
}

/// The names of the tests in these files that would run.
fn names(files: &[String], filters: &[&str]) -> Result<Vec<String>, String> {
    let listed = process::output(cargo(files).args(filters).arg("--list"))?;
    Ok(listed.lines().filter_map(|line| line.strip_suffix(": test")).map(str::to_owned).collect())
}

/// The module of `versions.rs` for a version.
fn module(version: Version) -> String {
    format!("on_kafka_{}_{}_{}::", version.0, version.1, version.2)
}

fn run_on_embedded(peers: &Peers, files: &[String], filters: &[&str], outcome: &mut Outcome) -> Result<(), String> {
    let mut cargo = cargo(files);
    environment(&mut cargo, peers);
    cargo.args(["--test-threads", "2"]).args(filters);
    if peers.franz_go.is_err() {
        cargo.args(["--skip", FRANZ_GO]);
    }
    outcome.add(count(&mut cargo)?, &format!("klamm-broker (with {})", peers.names()));
    Ok(())
}

fn run_on_current(peers: &Peers, files: &[String], filters: &[&str], outcome: &mut Outcome) -> Result<(), String> {
    let folder = process::target().join("kafka").join("test");
    let single = match DockerBroker::start() {
        Ok(broker) => {
            println!("single broker: in Docker, at {}", broker.bootstrap());
            Single::Docker(broker)
        }
        Err(why) => {
            let broker = Cluster::start(VERSION, 1, &folder.join("single"))?;
            println!("single broker: from the Maven jars ({why}), at {}", broker.bootstrap());
            Single::Jars(broker)
        }
    };
    let cluster = Cluster::start(VERSION, 3, &folder.join("cluster"))?;
    println!("cluster of three: from the Maven jars (its nodes are killed and restarted), at {}", cluster.bootstrap());
    let secured = Secured::start(&folder.join("secured"))?;
    println!("secured broker: from the Maven jars (TLS, SASL, access control), at {}", secured.bootstrap());
    let (bootstrap, place) = match &single {
        Single::Docker(broker) => (broker.bootstrap().to_owned(), "single broker in Docker"),
        Single::Jars(broker) => (broker.bootstrap(), "single broker from the jars"),
    };
    let mut cargo = cargo(files);
    environment(&mut cargo, peers);
    cargo.envs(secured.environment());
    cargo.env("KLAMM_KAFKA", bootstrap);
    cargo.env("KLAMM_CLUSTER", cluster.bootstrap());
    cargo.env("KLAMM_CLUSTER_PROXIED", cluster.proxied());
    cargo.env("KLAMM_CLUSTER_ADVERTISED", cluster.advertised());
    cargo.env("KLAMM_CLUSTER_DIR", cluster.folder());
    // Two cores: many clients at once beside five JVMs would only time each other out.
    cargo.args(["--test-threads", "4"]).args(filters);
    if peers.franz_go.is_err() {
        cargo.args(["--skip", FRANZ_GO]);
    }
    let counted = count(&mut cargo)?;
    outcome.add(
        counted,
        &format!("Apache Kafka {VERSION} ({place}, cluster of three and secured broker from the jars; with {})", peers.names()),
    );
    Ok(())
}

fn run_on_other(version: Version, peers: &Peers, filters: &[&str], outcome: &mut Outcome) -> Result<(), String> {
    let start = Instant::now();
    let broker = Cluster::start(version, 1, &process::target().join("kafka").join("test").join("other"))?;
    println!("broker of version {version}: from the Maven jars, at {}", broker.bootstrap());
    let mut cargo = cargo(&[VERSIONS.to_owned()]);
    environment(&mut cargo, peers);
    cargo.env("KLAMM_VERSION", version.to_string());
    cargo.env("KLAMM_VERSION_KAFKA", broker.bootstrap());
    cargo.args(["--test-threads", "4"]).args(filters);
    for other in OTHER_VERSIONS.into_iter().filter(|other| *other != version) {
        cargo.args(["--skip", &module(other)]);
    }
    let counted = count(&mut cargo)?;
    outcome.add(counted, &format!("Apache Kafka {version} (one broker from the jars, {:.0} s)", start.elapsed().as_secs_f64()));
    Ok(())
}

fn environment(cargo: &mut Command, peers: &Peers) {
    cargo.env("KLAMM_BIN", process::target().join("release").join("klamm"));
    cargo.env("KLAMM_EXAMPLES", process::target().join("debug").join("examples"));
    cargo.env("KLAMM_CLASS_PATH", &peers.class_path);
    cargo.env("KLAMM_PYTHON", &peers.python);
    cargo.env("KLAMM_SHOWN", shown::path());
    if let Ok(program) = &peers.franz_go {
        cargo.env("KLAMM_FRANZ_GO", program);
    }
}
