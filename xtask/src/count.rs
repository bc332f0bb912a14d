//! Runs of `cargo test`, counted: none may be skipped in silence.

use std::io::{BufRead as _, BufReader};
use std::ops::AddAssign;
use std::process::{Command, Stdio};

/// What test runs printed of themselves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Count {
    pub(crate) passed: usize,
    pub(crate) failed: usize,
}

impl AddAssign for Count {
    fn add_assign(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
    }
}

/// Runs a `cargo test`, passes its output on and adds up its summaries. A run that ends badly without a failed test (a build that
/// breaks, a test process that dies) is an error.
pub(crate) fn count(cargo: &mut Command) -> Result<Count, String> {
    let mut child = cargo.stdout(Stdio::piped()).spawn().map_err(|error| format!("cargo could not be started: {error}"))?;
    let mut count = Count::default();
    for line in child.stdout.take().into_iter().flat_map(|output| BufReader::new(output).lines()) {
        let line = line.map_err(|error| format!("the output of cargo test could not be read: {error}"))?;
        println!("{line}");
        count += summary(&line);
    }
    let status = child.wait().map_err(|error| format!("cargo test: {error}"))?;
    if !status.success() && count.failed == 0 {
        return Err(format!("cargo test ended with {status} without a failed test: see its output above"));
    }
    Ok(count)
}

/// What a line says, if it is a summary.
fn summary(line: &str) -> Count {
    let Some(text) = line.strip_prefix("test result: ") else { return Count::default() };
    Count { passed: number_before(text, " passed"), failed: number_before(text, " failed") }
}

/// The number in front of `word`.
fn number_before(text: &str, word: &str) -> usize {
    let number = text.find(word).and_then(|end| text.get(..end)).and_then(|head| head.rsplit(' ').next());
    number.and_then(|number| number.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::{Count, summary};

    #[test]
    fn summaries_of_cargo_test_are_read() {
        let line = "test result: ok. 12 passed; 3 failed; 0 ignored; 0 measured; 1 filtered out; finished in 0.10s";
        assert_eq!(summary(line), Count { passed: 12, failed: 3 });
        assert_eq!(summary("test a ... ok"), Count::default());
    }
}
