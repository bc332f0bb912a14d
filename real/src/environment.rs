//! Addresses, handed over by `cargo xtask test`.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

/// The value of an environment variable that xtask sets.
pub(crate) fn variable(name: &str) -> String {
    match std::env::var(name) {
        Ok(value) if !value.is_empty() => value,
        _ => panic!(
            "{name} is not set: these tests need brokers that `cargo xtask test` starts (`cargo xtask test --real-only -- FILTER` for some)"
        ),
    }
}

/// Address of the single broker.
pub fn bootstrap() -> String {
    variable("KLAMM_KAFKA")
}

/// Address of the broker of another version.
///
/// # Panics
/// If the one that runs now is not of that version.
pub fn version_bootstrap(version: &str) -> String {
    let runs = variable("KLAMM_VERSION");
    assert_eq!(runs, version, "the broker that `cargo xtask test` started for this run is of another version");
    variable("KLAMM_VERSION_KAFKA")
}

/// Where one of the library's examples is, as the tests built it.
pub fn example(name: &str) -> PathBuf {
    PathBuf::from(variable("KLAMM_EXAMPLES")).join(name)
}

/// Addresses of the cluster of three, comma-separated.
pub fn cluster_bootstrap() -> String {
    variable("KLAMM_CLUSTER")
}

/// A comma-separated list of addresses as seeds for a client.
pub fn seeds(bootstrap: &str) -> Vec<String> {
    bootstrap.split(',').map(str::to_owned).collect()
}

/// A name that no other test, and no earlier run on the same broker, uses.
pub fn unique(name: &str) -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    format!("{name}-{}-{:x}-{}", std::process::id(), since.as_millis() & 0xff_ffff, NEXT.fetch_add(1, Ordering::Relaxed))
}
