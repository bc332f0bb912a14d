//! `cargo xtask fuzz`: builds the targets of `fuzz/` as cargo-fuzz does, without cargo-fuzz, runs them and prints what came of it.
//!
//! On a stable toolchain there is coverage and no sanitizer: flags of cargo-fuzz 0.13, all of them stable. Seeds and what was found
//! before are text (`seeds.rs`); they are unpacked into `fuzz/corpus`, which is also where `cargo fuzz run` looks.

mod keep;
mod record;
mod run;
#[path = "../../../fuzz/properties/src/seeds.rs"]
#[allow(unreachable_pub, reason = "the crate of the properties shows it")]
mod seeds;

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::process;

/// What cargo-fuzz passes for `-s none`: coverage by counters, comparisons, and how deep the stack is.
const COVERAGE: &[&str] = &[
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
    "--cfg fuzzing",
    "-Cllvm-args=-simplifycfg-branch-fold-threshold=0",
    "-Cllvm-args=-sanitizer-coverage-stack-depth",
    "-Cdebug-assertions",
    "-Ccodegen-units=1",
];

/// Runs targets, or sees to what is kept for them.
pub(crate) fn command(arguments: &[&str]) -> Result<(), String> {
    match arguments {
        ["keep", target, files @ ..] if !files.is_empty() => keep::regressions(target, files),
        ["record"] => record::run(),
        ["pack", targets @ ..] => {
            let targets = chosen(targets)?;
            let folder = build(false)?;
            targets.iter().try_for_each(|target| keep::pack(&folder, target))
        }
        _ => {
            let (mut seconds, mut sanitizer, mut names) = (60, false, Vec::new());
            let mut words = arguments.iter();
            while let Some(word) = words.next() {
                match *word {
                    "--seconds" => {
                        let number = words.next().and_then(|word| word.parse().ok());
                        seconds = number.filter(|seconds| *seconds > 0).ok_or("--seconds takes a number, 1 or more")?;
                    }
                    "--sanitizer" => sanitizer = true,
                    option if option.starts_with('-') => {
                        return Err(format!("fuzz takes --seconds and --sanitizer, not {option}"));
                    }
                    name => names.push(name),
                }
            }
            let targets = chosen(&names)?;
            let folder = build(sanitizer)?;
            run::all(&folder, &targets, seconds)
        }
    }
}

/// The folder of the targets' workspace.
fn root() -> PathBuf {
    process::root().join("fuzz")
}

/// The named targets, or all: there is one for each file.
fn chosen(names: &[&str]) -> Result<Vec<String>, String> {
    let folder = root().join("fuzz_targets");
    let entries = fs::read_dir(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let stem = |entry: std::io::Result<fs::DirEntry>| Some(entry.ok()?.path().file_stem()?.to_string_lossy().into_owned());
    let all: BTreeSet<String> = entries.filter_map(stem).collect();
    if let Some(stranger) = names.iter().find(|name| !all.contains(**name)) {
        let all: Vec<_> = all.into_iter().collect();
        return Err(format!("there is no target {stranger}; there are {}", all.join(", ")));
    }
    if names.is_empty() { Ok(all.into_iter().collect()) } else { Ok(names.iter().map(|name| (*name).to_owned()).collect()) }
}

/// Builds all targets; gives the folder of the programs. A sanitizer needs a nightly toolchain.
fn build(sanitizer: bool) -> Result<PathBuf, String> {
    let version = process::output(Command::new("rustc").arg("-vV"))?;
    let triple = version.lines().find_map(|line| line.strip_prefix("host: ")).ok_or("`rustc -vV` names no host")?;
    let (mut cargo, mut target, mut flags) = (process::cargo(&[]), root().join("target"), COVERAGE.join(" "));
    if sanitizer {
        cargo = Command::new("rustup");
        cargo.args(["run", "nightly", "cargo"]).stdin(Stdio::null());
        flags += " -Zsanitizer=address";
        target.push("sanitized");
    }
    cargo.current_dir(root()).args(["build", "--release", "--bins", "--target", triple]);
    cargo.args(["--config", "profile.release.debug=\"line-tables-only\"", "--target-dir"]).arg(&target);
    cargo.env("RUSTFLAGS", flags);
    process::run(&mut cargo).map_err(|error| match sanitizer {
        true => format!("{error}; a sanitizer needs a nightly toolchain (`rustup toolchain install nightly`)"),
        false => format!("{error}; libFuzzer needs a C++ compiler (Debian's package g++)"),
    })?;
    Ok(target.join(triple).join("release"))
}

/// Fills the corpus of a target with what is kept for it.
fn unpack(target: &str) -> Result<PathBuf, String> {
    let corpus = root().join("corpus").join(target);
    let fail = |error: std::io::Error| format!("{}: {error}", corpus.display());
    fs::create_dir_all(&corpus).map_err(fail)?;
    for folder in ["seeds", "regressions"] {
        for (number, seed) in keep::kept(folder, target)?.into_iter().enumerate() {
            fs::write(corpus.join(format!("{folder}-{number:04}-{}", seed.name)), seed.bytes).map_err(fail)?;
        }
    }
    Ok(corpus)
}
