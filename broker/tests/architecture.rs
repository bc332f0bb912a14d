//! What the core must not know of, and how long a file may be.

use std::path::{Path, PathBuf};

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            all.extend(files(&path));
        } else {
            all.push(path);
        }
    }
    all.sort();
    all
}

#[test]
fn the_core_has_no_runtime_clock_lock_or_randomness() {
    let core = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/core");
    for path in files(&core).iter().filter(|path| !path.ends_with("tests.rs")) {
        let text = std::fs::read_to_string(path).expect("text");
        // Documentation may name what the code does not use.
        let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
        for (number, line) in (1..).zip(code) {
            for banned in ["tokio", "Instant::now", "SystemTime", "Mutex", "RwLock", "std::net", "rand", "HashMap", "async "] {
                assert!(!line.contains(banned), "{}: {banned} in line of code {number}: {line}", path.display());
            }
        }
    }
}

/// Drivers and simulations share them.
#[test]
fn faults_have_no_runtime_clock_lock_or_chance_of_their_own() {
    let faults = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/faults");
    for path in files(&faults).iter().filter(|path| !path.ends_with("tests.rs")) {
        let text = std::fs::read_to_string(path).expect("text");
        let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
        for (number, line) in (1..).zip(code.lines()).filter(|(_, line)| !line.trim_start().starts_with("//")) {
            for banned in ["tokio", "Instant::now", "SystemTime", "Mutex", "RwLock", "std::net", "fastrand", "HashMap", "async "]
            {
                assert!(!line.contains(banned), "{}: {banned} in line {number}: {line}", path.display());
            }
        }
    }
}

#[test]
fn no_file_is_longer_than_800_lines() {
    for folder in ["src", "tests", "examples"] {
        for path in files(&Path::new(env!("CARGO_MANIFEST_DIR")).join(folder)) {
            let lines = std::fs::read_to_string(&path).expect("text").lines().count();
            assert!(lines <= 800, "{} has {lines} lines", path.display());
        }
    }
}
