//! The shape of the project, as a test: who may import whom, what a core must not touch, how large files may grow, how they may not be
//! called. ARCHITECTURE.md gives the reasons.

mod paths;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// The components of `src/`, lowest first. One imports from itself and from rows below its own.
const ROWS: &[&[&str]] = &[
    &["protocol"],
    &["error", "record", "config"],
    &["network"],
    &["cluster"],
    &["producer", "consumer", "admin"],
    &["client"],
    &["lib"],
];

/// Imports allowed within a row.
const WITHIN_ROW: &[(&str, &str)] = &[("record", "error"), ("config", "error")];

/// Modules that decide and do nothing else, each with all that is below it. `protocol` as a whole is held to the same.
const CORES: &[&str] = &[
    "protocol",
    "config/nearest",
    "network/connection",
    "network/failure",
    "network/handshake",
    "network/in_flight",
    "network/pace",
    "network/sasl/exchange",
    "network/sasl/plain",
    "network/sasl/scram",
    "network/session",
    "network/setup",
    "network/throttle",
    "network/versions",
    "cluster/backoff",
    "cluster/coordinators",
    "cluster/refresh",
    "cluster/routing",
    "cluster/snapshot",
    "producer/accumulator",
    "producer/async_producer/schedule",
    "producer/sequence",
    "producer/split",
    "producer/verdict",
    "consumer/assignor",
    "consumer/chunk",
    "consumer/fetch",
    "consumer/group",
    "consumer/offsets",
    "consumer/pattern",
    "consumer/pause",
    "consumer/positions",
];

/// What a core must not mention: the outside world comes in as arguments.
const FORBIDDEN_IN_CORES: &[&str] = &[
    "tokio",
    "Instant::now",
    "SystemTime::now",
    "std::net",
    "TcpStream",
    "UdpSocket",
    "Mutex",
    "RwLock",
    "Condvar",
    "fastrand",
    "rand",
    "getrandom",
    "RandomState",
    "std::thread",
    "std::fs",
    "std::env",
];

/// Longest file, in lines.
const LONGEST: usize = 800;

/// Names that say nothing of what is inside.
const FORBIDDEN_NAMES: &[&str] = &["util", "utils", "helper", "helpers", "common", "misc", "types", "manager", "managers"];

#[test]
fn imports_go_down_the_layers_only() {
    let mut wrong = Vec::new();
    let roots = root_names();
    for (file, source) in sources("src") {
        wrong.extend(upward_imports(&file, &source, &roots));
    }
    assert!(wrong.is_empty(), "imports against the direction of the layers:\n{}", wrong.join("\n"));
}

#[test]
fn every_component_has_its_row() {
    for (file, _) in sources("src") {
        let component = component(&file);
        assert!(ROWS.iter().flat_map(|row| *row).any(|known| *known == component), "{file}: {component} is in no row");
    }
}

#[test]
fn cores_take_the_outside_world_as_arguments() {
    let sources = sources("src");
    for core in CORES {
        let is_there = sources.keys().any(|file| in_core(file, core));
        assert!(is_there, "src/{core} is listed as a core and does not exist");
    }
    let mut wrong = Vec::new();
    for (file, source) in sources.iter().filter(|(file, _)| CORES.iter().any(|core| in_core(file, core))) {
        wrong.extend(impurities(file, source));
    }
    assert!(wrong.is_empty(), "cores that reach outside:\n{}", wrong.join("\n"));
}

#[test]
fn unit_tests_do_not_use_the_broker() {
    for (file, source) in sources("src") {
        let used = paths::paths(&source, &module_of(&file)).into_iter().find(|found| found.path[0] == "klamm_broker");
        assert!(used.is_none(), "{file}: the broker crate brings a second klamm with it; test this in tests/");
    }
}

#[test]
fn files_stay_short() {
    let mut long = Vec::new();
    for (file, source) in all_sources() {
        let lines = source.lines().count();
        if lines > LONGEST {
            long.push(format!("{file}: {lines} lines, at most {LONGEST}: find the seam"));
        }
    }
    assert!(long.is_empty(), "{}", long.join("\n"));
}

#[test]
fn file_names_say_what_is_inside() {
    for file in all_sources().into_keys() {
        let bad = Path::new(&file).with_extension("").components().find_map(|part| {
            let name = part.as_os_str().to_string_lossy().into_owned();
            FORBIDDEN_NAMES.contains(&name.as_str()).then_some(name)
        });
        assert_eq!(bad, None, "{file}: name it after its subject");
    }
}

#[test]
fn every_crate_forbids_unsafe_code() {
    let mut roots = 0;
    for (file, source) in all_sources() {
        let is_root = ["src/lib.rs", "src/main.rs"]
            .iter()
            .any(|root| file == *root || file.strip_suffix(root).is_some_and(|folder| folder.matches('/').count() == 1));
        if is_root {
            roots += 1;
            assert!(source.lines().any(|line| line == "#![forbid(unsafe_code)]"), "{file}: #![forbid(unsafe_code)] is missing");
        }
    }
    assert!(roots >= 5, "only {roots} crates found");
}

/// The rules above must be able to fail.
mod rules {
    use super::*;

    fn upward(file: &str, source: &str) -> Vec<String> {
        let roots = BTreeMap::from([("Error".to_owned(), "error".to_owned()), ("Topic".to_owned(), "record".to_owned())]);
        upward_imports(file, source, &roots)
    }

    #[test]
    fn an_upward_import_is_found_however_it_is_written() {
        for source in [
            "use crate::cluster::Cluster;",
            "use crate::{error::Error, cluster::Cluster};",
            "fn f(c: &crate::cluster::Cluster) {}",
            "use super::cluster;",
            "mod inner { use super::super::cluster; }",
            "use super::super::cluster::snapshot::*;",
        ] {
            let file = if source.contains("super::super::cluster::") { "src/network/sasl/mod.rs" } else { "src/network/mod.rs" };
            assert_eq!(upward(file, source).len(), 1, "{source}");
        }
        assert_eq!(upward("src/protocol/wire.rs", "use crate::Error;").len(), 1, "through a re-export of the root");
        assert_eq!(upward("src/error.rs", "use crate::record::Topic;").len(), 1, "within the second row");
        assert_eq!(upward("src/consumer/mod.rs", "use crate::producer::Producer;").len(), 1, "side by side");
        assert_eq!(upward("src/consumer/mod.rs", "use crate::Nobody;").len(), 1, "a name the root does not have");
    }

    #[test]
    fn a_downward_import_is_allowed() {
        for (file, source) in [
            ("src/cluster/mod.rs", "use crate::network::Connection; use crate::protocol::ErrorCode; use crate::{Error, Topic};"),
            ("src/record.rs", "use crate::error::Error;"),
            ("src/consumer/group/classic.rs", "use super::super::positions::Positions; use crate::consumer::fetch;"),
            ("src/network/driver.rs", "use tokio::net::TcpStream; use std::io;"),
            ("src/network/driver.rs", "//! Used by crate::cluster.\nfn f() -> &'static str { \"crate::cluster\" }"),
        ] {
            assert_eq!(upward(file, source), [""; 0], "{source}");
        }
    }

    #[test]
    fn an_impure_core_is_found() {
        for source in [
            "use tokio::sync::mpsc;",
            "let now = Instant::now();",
            "let now = std::time::Instant::now();",
            "use std::time::SystemTime; fn f() { SystemTime::now() }",
            "use std::{sync::{Arc, Mutex}};",
            "fn f(lock: &std::sync::RwLock<u8>) {}",
            "let jitter = fastrand::f64();",
            "use std::net::SocketAddr;",
        ] {
            assert_eq!(impurities("src/protocol/x.rs", source).len(), 1, "{source}");
        }
        let pure = "use std::time::Instant; fn f(now: Instant) {} // not Instant::now()\n#[cfg(test)]\nmod tests { fn now() { Instant::now() } }";
        assert_eq!(impurities("src/protocol/x.rs", pure), [""; 0]);
    }
}

/// What `file` imports from a component it must not know.
fn upward_imports(file: &str, source: &str, roots: &BTreeMap<String, String>) -> Vec<String> {
    let from = component(file);
    let mut wrong = Vec::new();
    for found in paths::paths(source, &module_of(file)) {
        let [first, name, ..] = found.path.as_slice() else { continue };
        if first != "crate" || from == "lib" {
            continue;
        }
        let Some(to) = roots.get(name).or(is_component(name).then_some(name)) else {
            wrong.push(format!("{file}:{}: {}: the crate's root has no {name}", found.line, found.path.join("::")));
            continue;
        };
        if !may_import(&from, to) {
            wrong.push(format!("{file}:{}: {}: {from} must not know {to}", found.line, found.path.join("::")));
        }
    }
    wrong
}

fn may_import(from: &str, to: &str) -> bool {
    let row = |name: &str| ROWS.iter().position(|row| row.contains(&name));
    from == to || row(to) < row(from) || WITHIN_ROW.contains(&(from, to))
}

fn is_component(name: &str) -> bool {
    ROWS.iter().any(|row| row.contains(&name))
}

/// What the core `file` mentions and must not; modules for tests are left out.
fn impurities(file: &str, source: &str) -> Vec<String> {
    if file.ends_with("/tests.rs") || file.contains("/tests/") {
        return Vec::new();
    }
    let mut wrong = Vec::new();
    for found in paths::paths(source, &module_of(file)).into_iter().filter(|found| !found.in_test) {
        let path = found.path.join("::");
        let forbidden = FORBIDDEN_IN_CORES.iter().find(|word| format!("::{path}::").contains(&format!("::{word}::")));
        if let Some(word) = forbidden {
            wrong.push(format!("{file}:{}: {path}: a core must not use {word}", found.line));
        }
    }
    wrong
}

fn in_core(file: &str, core: &str) -> bool {
    let file = file.trim_start_matches("src/").trim_end_matches(".rs");
    file == core || file.strip_prefix(core).is_some_and(|rest| rest.starts_with('/'))
}

/// `src/consumer/mod.rs` and `src/consumer.rs` are of component `consumer`.
fn component(file: &str) -> String {
    let first = file.trim_start_matches("src/").split('/').next().unwrap_or_default();
    first.trim_end_matches(".rs").to_owned()
}

/// The module a file holds, without `crate`.
fn module_of(file: &str) -> Vec<String> {
    let path = file.trim_start_matches("src/").trim_end_matches(".rs");
    let mut module: Vec<String> = path.split('/').map(str::to_owned).collect();
    if module.last().is_some_and(|last| matches!(last.as_str(), "mod" | "lib")) {
        module.pop();
    }
    module
}

/// What the crate's root re-exports, and of which component it is.
fn root_names() -> BTreeMap<String, String> {
    let source = read(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/lib.rs"));
    let mut names = BTreeMap::new();
    for found in paths::paths(&source, &[]) {
        let path: Vec<&String> = found.path.iter().filter(|part| *part != "crate").collect();
        if let [component, .., name] = path.as_slice()
            && is_component(component)
        {
            names.insert((*name).clone(), (*component).clone());
        }
    }
    names
}

/// Every Rust file of the workspace that people write and read.
fn all_sources() -> BTreeMap<String, String> {
    ["src", "tests", "examples", "benches", "broker", "cli", "real", "sim", "xtask", "fuzz"]
        .into_iter()
        .flat_map(sources)
        .collect()
}

/// The Rust files below `folder`, by path from the project's root.
fn sources(folder: &str) -> BTreeMap<String, String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = BTreeMap::new();
    let mut folders = vec![root.join(folder)];
    while let Some(folder) = folders.pop() {
        let Ok(entries) = fs::read_dir(&folder) else { continue };
        for entry in entries {
            let path = entry.unwrap_or_else(|error| panic!("{}: {error}", folder.display())).path();
            if path.is_dir() && path.file_name().is_some_and(|name| name != "target") {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let name = path.strip_prefix(root).expect("below the root").to_string_lossy().replace('\\', "/");
                files.insert(name, read(path));
            }
        }
    }
    files
}

fn read(path: PathBuf) -> String {
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}
