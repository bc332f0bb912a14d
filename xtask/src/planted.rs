//! `cargo xtask planted`: bugs that other clients had, put into this one on purpose; the tests must find each.
//!
//! A patch in `tests/planted/` says in its head which bug it is, who had it, and which tests are to fail. It is applied in a copy of
//! the project under `target/planted`, built in a folder of its own that all of them share, and taken back. A patch that does not fit the code any more is
//! an error, whichever were asked for: it has to be made anew, or its bug has become impossible and it goes.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use crate::process;

/// Tests that take longer with a bug than this have found it: they hang.
const LIMIT: Duration = Duration::from_secs(90);

/// A bug.
struct Planted {
    name: String,
    patch: PathBuf,
    /// What is wrong, in words.
    bug: String,
    /// Which row of the regression list of the reliability reference.
    row: String,
    /// Cargo's arguments for the tests that are to fail.
    test: Vec<String>,
}

/// What the tests said to a bug.
enum Outcome {
    /// The first test that failed, or that the tests did not end.
    Caught(String),
    Missed,
}

/// Plants those that were asked for, one after the other.
pub(crate) fn command(arguments: &[&str]) -> Result<(), String> {
    let all = read()?;
    let chosen: Vec<&Planted> = match arguments {
        ["--all"] => all.iter().collect(),
        ["--pick", number] => {
            let number = number.parse().ok().filter(|number| *number > 0).ok_or("--pick takes a number, 1 or more")?;
            pick(&all, &head(), number)
        }
        [option, ..] if option.starts_with('-') => {
            return Err(format!("planted takes --all, --pick NUMBER or names, not {option}"));
        }
        [] => return Err(format!("planted takes --all, --pick NUMBER or names: {}", names(&all))),
        wanted => {
            let unknown = wanted.iter().find(|name| all.iter().all(|planted| planted.name != **name));
            if let Some(unknown) = unknown {
                return Err(format!("there is no planted bug {unknown}; there are {}", names(&all)));
            }
            all.iter().filter(|planted| wanted.contains(&planted.name.as_str())).collect()
        }
    };
    let copy = copy()?;
    for planted in &all {
        apply(&copy, planted, &["--check"]).map_err(|error| {
            format!(
                "{} does not fit the code any more; make it anew, or delete it if its bug cannot be any more: {error}",
                planted.name
            )
        })?;
    }
    let mut missed = Vec::new();
    for (number, planted) in (1..).zip(&chosen) {
        let start = Instant::now();
        apply(&copy, planted, &[])?;
        let outcome = hunt(&copy, planted);
        apply(&copy, planted, &["--reverse"])?;
        let outcome = outcome?;
        let by = match &outcome {
            Outcome::Caught(by) => format!("caught by {by}"),
            Outcome::Missed => "MISSED".to_owned(),
        };
        let (Planted { name, row, bug, .. }, seconds) = (planted, start.elapsed().as_secs());
        println!("{number}/{}: {name} (row {row}: {bug}): {by}, {seconds} s", chosen.len());
        if matches!(outcome, Outcome::Missed) {
            missed.push(format!("{name}: `cargo test {}` passes with it", planted.test.join(" ")));
        }
    }
    println!(
        "planted bugs: {} of {} tried, {} caught, {} there",
        chosen.len(),
        all.len(),
        chosen.len() - missed.len(),
        all.len()
    );
    if missed.is_empty() { Ok(()) } else { Err(format!("tests that find nothing:\n{}", missed.join("\n"))) }
}

fn names(all: &[Planted]) -> String {
    all.iter().map(|planted| planted.name.as_str()).collect::<Vec<_>>().join(", ")
}

/// All patches, by name.
fn read() -> Result<Vec<Planted>, String> {
    let folder = process::root().join("tests").join("planted");
    let fail = |error: std::io::Error| format!("{}: {error}", folder.display());
    let mut patches = Vec::new();
    for entry in fs::read_dir(&folder).map_err(fail)? {
        let path = entry.map_err(fail)?.path();
        if path.extension().is_some_and(|extension| extension == "patch") {
            patches.push(path);
        }
    }
    patches.sort();
    patches.into_iter().map(parse).collect()
}

fn parse(patch: PathBuf) -> Result<Planted, String> {
    let text = fs::read_to_string(&patch).map_err(|error| format!("{}: {error}", patch.display()))?;
    let field = |name: &str| {
        let mut head = text.lines().take_while(|line| !line.starts_with("diff "));
        let value = head.find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
        value.map(str::to_owned).ok_or_else(|| format!("{}: its head says no `{name}: …`", patch.display()))
    };
    let (bug, row, test) = (field("Bug")?, field("Row")?, field("Test")?);
    field("Seen in")?;
    let name = patch.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
    Ok(Planted { name, patch, bug, row, test: test.split_whitespace().map(str::to_owned).collect() })
}

/// The commit that is checked out; nothing where there is no repository.
fn head() -> String {
    process::output(Command::new("git").args(["rev-parse", "HEAD"]).current_dir(process::root())).unwrap_or_default()
}

/// `number` of them, others for each commit.
fn pick<'a>(all: &'a [Planted], commit: &str, number: usize) -> Vec<&'a Planted> {
    // FNV-1a: of a name behind the commit's.
    let hash = |planted: &&Planted| {
        let bytes = commit.trim().bytes().chain(planted.name.bytes());
        bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
    };
    let mut order: Vec<&Planted> = all.iter().collect();
    order.sort_by_key(hash);
    order.truncate(number);
    order
}

/// A copy of the project as it is here, in which only what differs is written, so that cargo builds no more than that again.
fn copy() -> Result<PathBuf, String> {
    let (root, copy) = (process::root(), process::target().join("planted"));
    let mut listed = Vec::new();
    list(&root, &root, &mut listed)?;
    let mut wanted = BTreeSet::new();
    for name in listed {
        let (from, to) = (root.join(&name), copy.join(&name));
        let content = fs::read(&from).map_err(|error| format!("{}: {error}", from.display()))?;
        wanted.insert(to.clone());
        if fs::read(&to).is_ok_and(|old| old == content) {
            continue;
        }
        let fail = |error: std::io::Error| format!("{}: {error}", to.display());
        fs::create_dir_all(to.parent().unwrap_or(&copy)).map_err(fail)?;
        fs::write(&to, content).map_err(fail)?;
    }
    remove_others(&copy, &wanted)?;
    Ok(copy)
}

/// All files of the project below `folder`, by their paths from `root`: without what is built, and without what tools keep.
fn list(root: &Path, folder: &Path, names: &mut Vec<PathBuf>) -> Result<(), String> {
    let fail = |error: std::io::Error| format!("{}: {error}", folder.display());
    for entry in fs::read_dir(folder).map_err(fail)? {
        let entry = entry.map_err(fail)?;
        let (path, name) = (entry.path(), entry.file_name());
        let kind = entry.file_type().map_err(fail)?;
        if kind.is_dir() && !["target", ".git", "corpus", "artifacts"].iter().any(|other| name == *other) {
            list(root, &path, names)?;
        } else if kind.is_file()
            && let Ok(name) = path.strip_prefix(root)
        {
            names.push(name.to_owned());
        }
    }
    Ok(())
}

/// Removes files that the project does not have any more.
fn remove_others(folder: &Path, wanted: &BTreeSet<PathBuf>) -> Result<(), String> {
    let fail = |error: std::io::Error| format!("{}: {error}", folder.display());
    for entry in fs::read_dir(folder).map_err(fail)? {
        let path = entry.map_err(fail)?.path();
        if path.is_dir() {
            remove_others(&path, wanted)?;
        } else if !wanted.contains(&path) {
            fs::remove_file(&path).map_err(fail)?;
        }
    }
    Ok(())
}

fn apply(copy: &Path, planted: &Planted, options: &[&str]) -> Result<(), String> {
    let mut git = Command::new("git");
    git.arg("apply").args(options).arg(&planted.patch).current_dir(copy);
    // The copy is none of the repository that it lies in.
    git.env("GIT_CEILING_DIRECTORIES", process::target());
    process::output(&mut git).map(drop)
}

/// Builds the tests that are to fail, then runs them. That they can't be built is no catch.
fn hunt(copy: &Path, planted: &Planted) -> Result<Outcome, String> {
    let cargo = |options: &[&str]| {
        let mut cargo = process::cargo(&["test", "--quiet", "--no-fail-fast"]);
        // Not in ours: to cargo, the copy's packages are the same as those here, and a bug would be found in tests without one.
        let folder = process::target().join("planted-build");
        cargo.args(options).args(&planted.test).current_dir(copy).env("CARGO_TARGET_DIR", folder);
        cargo
    };
    process::output(&mut cargo(&["--no-run"])).map_err(|error| format!("{} cannot be built: {error}", planted.name))?;
    let log = process::target().join("planted.log");
    let fail = |error: std::io::Error| format!("{}: {error}", log.display());
    let output = File::create(&log).map_err(fail)?;
    let mut tests = cargo(&[]);
    tests.stdout(output.try_clone().map_err(fail)?).stderr(output).stdin(Stdio::null());
    let ended = limited(&mut tests)?;
    let mut text = String::new();
    File::open(&log).and_then(|mut log| log.read_to_string(&mut text)).map_err(fail)?;
    let failed = text.lines().find_map(|line| line.strip_prefix("---- ")?.strip_suffix(" stdout ----"));
    Ok(match (ended, failed) {
        (Some(status), _) if status.success() => Outcome::Missed,
        (_, Some(test)) => Outcome::Caught(format!("`{test}`")),
        (None, None) => Outcome::Caught(format!("tests that do not end within {} s", LIMIT.as_secs())),
        (Some(status), None) => {
            let end = text.lines().rev().take(15).collect::<Vec<_>>().into_iter().rev().collect::<Vec<_>>().join("\n");
            // A test that takes its whole process down has found it as well.
            match text.contains("running ") {
                true => Outcome::Caught(format!("tests that ended with {status}")),
                false => return Err(format!("{}: the tests did not run: {status}\n{end}", planted.name)),
            }
        }
    })
}

/// Runs a command for at most [`LIMIT`]; `None` if it had to be stopped.
fn limited(command: &mut Command) -> Result<Option<ExitStatus>, String> {
    let mut child = command.spawn().map_err(|error| format!("cargo could not be started: {error}"))?;
    let mut status = None;
    let ended = process::wait_until(LIMIT, || {
        status = child.try_wait().ok().flatten();
        status.is_some()
    });
    if !ended {
        // Its children first, the tests: cargo passes the signal on to nobody.
        let _ = Command::new("pkill").arg("-P").arg(child.id().to_string()).status();
        let _ = child.kill();
        let _ = child.wait();
    }
    Ok(status)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_patch_has_a_head_and_each_commit_its_own_pick() {
        let all = read().unwrap();
        assert!(all.len() >= 15, "{}", all.len());
        assert!(all.iter().all(|planted| planted.test.len() > 2 && !planted.bug.is_empty()));
        let first = |commit| pick(&all, commit, 3).into_iter().map(|planted| planted.name.clone()).collect::<Vec<_>>();
        assert_eq!(first("a1").len(), 3);
        assert_eq!(first("a1"), first("a1\n"));
        assert!(["b", "c", "d", "e"].iter().any(|commit| first(commit) != first("a1")));
    }
}
