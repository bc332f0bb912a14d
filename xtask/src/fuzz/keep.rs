//! What is kept of fuzzing: inputs that failed once, and a small corpus, both as text.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::seeds::{self, Seed};
use super::{root, unpack};
use crate::process;

/// Digits of what fuzzing added that are kept for a target.
const MOST: usize = 24_000;
/// The name of what fuzzing added, in front of a number.
const FOUND: &str = "fuzzed-";

fn file(folder: &str, target: &str) -> PathBuf {
    root().join(folder).join(target).with_extension("txt")
}

/// What is kept for a target in this folder.
pub(super) fn kept(folder: &str, target: &str) -> Result<Vec<Seed>, String> {
    let path = file(folder, target);
    if !path.exists() {
        return Ok(Vec::new());
    }
    let text = fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    seeds::parse(&text).map_err(|error| format!("{}: {error}", path.display()))
}

fn write(folder: &str, target: &str, kept: &[Seed]) -> Result<(), String> {
    let path = file(folder, target);
    let text: String = kept.iter().map(|seed| seeds::line(&seed.name, &seed.bytes) + "\n").collect();
    fs::write(&path, text).map_err(|error| format!("{}: {error}", path.display()))?;
    println!("{}: {} inputs", path.display(), kept.len());
    Ok(())
}

/// Adds files that libFuzzer has left to the inputs that the tests try again.
pub(super) fn regressions(target: &str, files: &[&str]) -> Result<(), String> {
    super::chosen(&[target])?;
    let mut all = kept("regressions", target)?;
    for path in files.iter().map(Path::new) {
        let bytes = fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?;
        let name = path.file_name().map(|name| name.to_string_lossy().replace(char::is_whitespace, "-")).unwrap_or_default();
        if all.iter().all(|seed| seed.bytes != bytes) {
            all.push(Seed { name: name.chars().take(24).collect(), bytes });
        }
    }
    write("regressions", target, &all)
}

/// Keeps the smallest inputs of the corpus that reach what the named seeds do not.
pub(super) fn pack(programs: &Path, target: &str) -> Result<(), String> {
    let corpus = unpack(target)?;
    let mut all = kept("seeds", target)?;
    all.retain(|seed| !seed.name.starts_with(FOUND));
    let named = fresh(target, "named")?;
    for (number, seed) in all.iter().enumerate() {
        fs::write(named.join(number.to_string()), &seed.bytes).map_err(|error| format!("{}: {error}", named.display()))?;
    }
    // libFuzzer merges into its first folder what the others have beyond it.
    let mut program = Command::new(programs.join(target));
    program.args(["-merge=1", "-max_len=1024"]).args([&named, &corpus]).stdin(Stdio::null()).stderr(Stdio::null());
    process::run(&mut program)?;
    let mut found = Vec::new();
    for entry in fs::read_dir(&named).map_err(|error| format!("{}: {error}", named.display()))?.flatten() {
        let is_found = entry.file_name().to_string_lossy().parse::<usize>().is_err();
        let bytes = fs::read(entry.path()).map_err(|error| format!("{}: {error}", entry.path().display()))?;
        found.extend((is_found && !bytes.is_empty()).then_some(bytes));
    }
    found.sort_by(|a, b| (a.len(), a).cmp(&(b.len(), b)));
    let mut left = MOST;
    for (number, bytes) in found.into_iter().enumerate() {
        let Some(less) = left.checked_sub(2 * bytes.len()) else { break };
        left = less;
        all.push(Seed { name: format!("{FOUND}{number}"), bytes });
    }
    write("seeds", target, &all)
}

/// An empty folder among what is built.
fn fresh(target: &str, name: &str) -> Result<PathBuf, String> {
    let folder = root().join("target").join(name).join(target);
    let fail = |error: std::io::Error| format!("{}: {error}", folder.display());
    if folder.exists() {
        fs::remove_dir_all(&folder).map_err(fail)?;
    }
    fs::create_dir_all(&folder).map_err(fail)?;
    Ok(folder)
}
