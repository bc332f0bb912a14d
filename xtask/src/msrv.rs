//! `cargo xtask msrv`: no dependency of what we publish may need a newer compiler than we promise.

use serde_json::Value;

use crate::process;

/// Compares the `rust-version` of every package that the published crates need with our own.
pub(crate) fn compare() -> Result<(), String> {
    let tree = ["tree", "--package", "klamm", "--package", "klamm-broker", "--package", "klamm-cli", "--edges", "normal,build"];
    let mut command = process::cargo(&tree);
    command.args(["--prefix", "none", "--format", "{p}", "--all-features"]);
    let tree = process::output(&mut command)?;
    let used: std::collections::BTreeSet<(String, String)> = tree
        .lines()
        .filter_map(|line| {
            let mut words = line.split_whitespace();
            Some((words.next()?.to_owned(), words.next()?.trim_start_matches('v').to_owned()))
        })
        .collect();
    let metadata = process::output(&mut process::cargo(&["metadata", "--format-version", "1", "--all-features"]))?;
    let metadata: Value = serde_json::from_str(&metadata).map_err(|error| format!("cargo metadata: {error}"))?;
    let packages = metadata["packages"].as_array().ok_or("cargo metadata has no packages")?;
    let text = |package: &Value, key: &str| package[key].as_str().map(str::to_owned);
    let ours = packages.iter().find(|package| package["name"] == "klamm").and_then(|package| text(package, "rust_version"));
    let ours = ours.ok_or("Cargo.toml of klamm has no rust-version")?;
    let mut newer = Vec::new();
    for package in packages {
        let (Some(name), Some(version)) = (text(package, "name"), text(package, "version")) else { continue };
        if !used.contains(&(name.clone(), version.clone())) {
            continue;
        }
        if let Some(needed) = text(package, "rust_version")
            && parts(&needed) > parts(&ours)
        {
            newer.push(format!("  {name} {version} needs Rust {needed}"));
        }
    }
    println!("{} packages compared with rust-version {ours}", used.len());
    if newer.is_empty() { Ok(()) } else { Err(format!("newer than our rust-version {ours}:\n{}", newer.join("\n"))) }
}

/// `1.89` and `1.89.0` are the same.
fn parts(version: &str) -> [u32; 3] {
    let mut parts = version.split('.').map(|part| part.parse().unwrap_or(0));
    std::array::from_fn(|_| parts.next().unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::parts;

    #[test]
    fn versions_compare_by_number() {
        assert!(parts("1.100") > parts("1.89.0"));
        assert_eq!(parts("1.89"), parts("1.89.0"));
    }
}
