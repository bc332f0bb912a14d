//! Everything that is kept, tried again: seeds from real traffic and from fuzzing, and whatever was found to be wrong once. And what
//! costs more than linear time, on long inputs without end of repetition.
#![forbid(unsafe_code)]

use std::collections::BTreeSet;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use klamm_properties::seeds::{self, Seed};
use klamm_properties::{TARGETS, Target};

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(name)
}

/// What is kept for a target; nothing if there is no such file.
fn kept(folder_name: &str, target: &Target) -> Vec<Seed> {
    let path = folder(folder_name).join(target.name).with_extension("txt");
    let text = if path.exists() { fs::read_to_string(&path).expect("a readable file") } else { String::new() };
    seeds::parse(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Tries all, and names each that does not hold.
fn replay(target: &Target, inputs: &[Seed]) -> Vec<String> {
    let holds = |seed: &&Seed| catch_unwind(AssertUnwindSafe(|| target.check(&seed.bytes))).is_err();
    inputs.iter().filter(holds).map(|seed| format!("{} {}", target.name, seed.name)).collect()
}

#[test]
fn what_was_wrong_once_is_right() {
    let failed: Vec<_> = TARGETS.iter().flat_map(|target| replay(target, &kept("regressions", target))).collect();
    assert!(failed.is_empty(), "{failed:#?}");
}

#[test]
fn seeds_hold() {
    let failed: Vec<_> = TARGETS.iter().flat_map(|target| replay(target, &kept("seeds", target))).collect();
    assert!(failed.is_empty(), "{failed:#?}");
}

#[test]
fn every_target_has_seeds() {
    let without: Vec<_> = TARGETS.iter().filter(|target| kept("seeds", target).is_empty()).map(|target| target.name).collect();
    assert!(without.is_empty(), "{without:?}");
}

#[test]
fn long_inputs_take_linear_time() {
    let mut failed = Vec::new();
    for target in TARGETS {
        let kept = kept("seeds", target);
        let patterns = kept.iter().step_by(1 + kept.len() / 8).map(|seed| seed.bytes.clone()).filter(|bytes| !bytes.is_empty());
        let bytes = [0x00, 0x01, 0x04, 0x06, 0x7f, 0x80, 0xff, b'"', b','].map(|byte| vec![byte]);
        let long = |pattern: Vec<u8>| {
            let name = format!("{pattern:02x?} again and again");
            Seed { name, bytes: pattern.into_iter().cycle().take(60_000).collect() }
        };
        let inputs: Vec<_> = patterns.chain(bytes).map(long).collect();
        failed.extend(replay(target, &inputs));
    }
    assert!(failed.is_empty(), "{failed:#?}");
}

#[test]
fn every_target_is_one_of_the_fuzz_targets_and_has_its_own_files_only() {
    let names: BTreeSet<String> = TARGETS.iter().map(|target| target.name.to_owned()).collect();
    let stems = |name: &str| -> BTreeSet<String> {
        let entries = fs::read_dir(folder(name)).expect("a folder").map(|entry| entry.expect("a file").path());
        entries.filter_map(|path| Some(path.file_stem()?.to_string_lossy().into_owned())).collect()
    };
    assert_eq!(stems("fuzz_targets"), names);
    for name in ["seeds", "regressions"] {
        let strangers: Vec<_> = stems(name).difference(&names).filter(|name| *name != "README").cloned().collect();
        assert!(strangers.is_empty(), "{name}: {strangers:?}");
    }
    let manifest = fs::read_to_string(folder("Cargo.toml")).expect("the manifest");
    for name in &names {
        let source = fs::read_to_string(folder("fuzz_targets").join(name).with_extension("rs")).expect("its source");
        assert!(
            source.contains(&format!("klamm_properties::{}.check(input)", name.to_uppercase())),
            "{name} tries another target"
        );
        assert!(
            manifest.contains(&format!("name = \"{name}\"\npath = \"fuzz_targets/{name}.rs\"")),
            "{name} is not in the manifest"
        );
    }
}
