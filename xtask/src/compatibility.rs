//! `cargo xtask compatibility`: the tables in COMPATIBILITY.md; here that of acceptance checks, made from the names of the tests.
//!
//! A test that proves check RK-031 is called `rk_031_…`. What has no such test must stand among [`WAITING`], and nothing else may.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

use crate::process;

const BEGIN: &str = "<!-- checks: made by `cargo xtask compatibility` -->";
const END: &str = "<!-- end of checks -->";

/// The checks are numbered from 1.
const LAST: u16 = 260;

/// Those whose subject is not built yet, and what that is.
const WAITING: &[(RangeInclusive<u16>, &str)] = &[
    (82..=82, "events"),
    (91..=104, "transactions"),
    (216..=218, "OAUTHBEARER"),
    (219..=219, "AWS MSK IAM"),
    (240..=252, "events"),
    (253..=260, "metrics"),
];

/// Writes the table.
pub(crate) fn write() -> Result<(), String> {
    let path = path();
    let text = std::fs::read_to_string(&path).map_err(|error| format!("COMPATIBILITY.md: {error}"))?;
    std::fs::write(&path, with_table(&text)?).map_err(|error| format!("COMPATIBILITY.md: {error}"))
}

/// Fails if the table is not what the tests say.
pub(crate) fn check() -> Result<(), String> {
    let text = std::fs::read_to_string(path()).map_err(|error| format!("COMPATIBILITY.md: {error}"))?;
    if with_table(&text)? == text {
        Ok(())
    } else {
        Err("COMPATIBILITY.md is out of date: run `cargo xtask compatibility`".to_owned())
    }
}

fn path() -> PathBuf {
    process::root().join("COMPATIBILITY.md")
}

/// Writes `new` between the marks of the table called `name`, which `cargo xtask compatibility --shown` makes.
pub(crate) fn replace(name: &str, new: &str) -> Result<(), String> {
    let text = std::fs::read_to_string(path()).map_err(|error| format!("COMPATIBILITY.md: {error}"))?;
    let begin = format!("<!-- {name}: made by `cargo xtask compatibility --shown` -->");
    let text = between(&text, &begin, &format!("<!-- end of {name} -->"), new)?;
    std::fs::write(path(), text).map_err(|error| format!("COMPATIBILITY.md: {error}"))
}

/// `text` with `new` between two of its lines.
fn between(text: &str, begin: &str, end: &str, new: &str) -> Result<String, String> {
    let (head, rest) = text.split_once(begin).ok_or_else(|| format!("COMPATIBILITY.md has no line `{begin}`"))?;
    let (_, tail) = rest.split_once(end).ok_or_else(|| format!("COMPATIBILITY.md has no line `{end}`"))?;
    Ok(format!("{head}{begin}\n{new}{end}{tail}"))
}

/// `text` with the table of checks made anew.
fn with_table(text: &str) -> Result<String, String> {
    let mut checks: BTreeMap<u16, Vec<String>> = BTreeMap::new();
    for folder in ["src", "tests", "broker", "cli", "real"] {
        collect(&process::root().join(folder), &mut checks)?;
    }
    let waiting = |number| WAITING.iter().find(|(numbers, _)| numbers.contains(&number)).map(|(_, subject)| *subject);
    let mut rows = String::new();
    let mut on_kafka = 0;
    for number in 1..=LAST {
        let row = match (checks.get(&number), waiting(number)) {
            (Some(tests), None) => {
                let is_on_kafka = tests.iter().any(|test| test.starts_with("`real/"));
                on_kafka += u16::from(is_on_kafka);
                format!("{} | {}", if is_on_kafka { "on Apache Kafka" } else { "tested" }, tests.join(", "))
            }
            (None, Some(subject)) => format!("waits for {subject} |"),
            (Some(tests), Some(subject)) => {
                return Err(format!("RK-{number:03} has a test, {}, and is said to wait for {subject}", tests.join(", ")));
            }
            (None, None) => return Err(format!("RK-{number:03} has no test, and is not said to wait for anything")),
        };
        rows.push_str(&format!("| RK-{number:03} | {row} |\n"));
    }
    if let Some(number) = checks.keys().find(|number| !(1..=LAST).contains(*number)) {
        return Err(format!("there is no check RK-{number:03}, but a test of it"));
    }
    let mut table = format!("Of {LAST} checks {} are tested, {on_kafka} of them on Apache Kafka", checks.len());
    table.push_str(&format!("; {} wait.\n\n| check | state | tests |\n|---|---|---|\n{rows}", usize::from(LAST) - checks.len()));
    between(text, BEGIN, END, &table)
}

/// Adds the tests of all Rust files below `folder`.
fn collect(folder: &Path, checks: &mut BTreeMap<u16, Vec<String>>) -> Result<(), String> {
    let entries = std::fs::read_dir(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    for path in paths {
        if path.is_dir() {
            if path.file_name().is_some_and(|name| name != "target") {
                collect(&path, checks)?;
            }
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = std::fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
            let shown = path.strip_prefix(process::root()).unwrap_or(&path).display().to_string();
            for name in text.lines().filter_map(test_name) {
                for number in numbers(name) {
                    checks.entry(number).or_default().push(format!("`{shown}` {name}"));
                }
            }
        }
    }
    Ok(())
}

/// The name in a line that begins a function called `rk_…`.
fn test_name(line: &str) -> Option<&str> {
    let line = line.trim();
    let name = line.strip_prefix("async fn ").or_else(|| line.strip_prefix("fn "))?;
    name.split_once('(').map(|(name, _)| name).filter(|name| name.starts_with("rk_"))
}

/// The checks that a name carries: `rk_015_…`, or several in front: `rk_149_150_…`.
fn numbers(name: &str) -> Vec<u16> {
    let parts = name.split('_').skip(1);
    parts
        .take_while(|part| part.len() == 3 && part.bytes().all(|byte| byte.is_ascii_digit()))
        .filter_map(|part| part.parse().ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::{between, numbers, test_name};

    #[test]
    fn what_is_between_two_lines_is_replaced() {
        assert_eq!(between("a\n<\nold\n>\nb", "<", ">", "new\n").unwrap(), "a\n<\nnew\n>\nb");
        assert!(between("a\n<\nold", "<", ">", "new\n").unwrap_err().contains('>'));
    }

    #[test]
    fn checks_are_read_from_names_of_tests() {
        assert_eq!(test_name("    async fn rk_031_retries() {"), Some("rk_031_retries"));
        assert_eq!(test_name("fn other() {"), None);
        assert_eq!(numbers("rk_149_150_pauses_end"), [149, 150]);
    }
}
