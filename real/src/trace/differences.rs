//! The differences that are known, with reasons: `real/honest/differences.txt`.
//!
//! A line an entry: trace, step, versions, path, reason, with `|` between them. `*` in trace, step or path stands for any text; versions
//! are `*`, `3` or `3-7`, and `-` where a connection was closed and there is none. A line that begins with `?` is of how the Kafka of
//! these tests is set up, which is not the same in Docker and from the jars: it need not be so.

use std::collections::BTreeMap;
use std::path::Path;

use crate::trace::compare::Difference;

/// A difference that is known.
#[derive(Clone, Debug)]
pub struct Listed {
    line: usize,
    trace: String,
    step: String,
    versions: (i16, i16),
    path: String,
    must_be: bool,
}

impl Listed {
    /// All of a file.
    ///
    /// # Panics
    /// On a line that is none, saying which.
    pub fn load(path: &Path) -> Vec<Self> {
        let text = std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let lines = (1..).zip(text.lines()).filter(|(_, text)| !text.trim().is_empty() && !text.starts_with('#'));
        lines
            .map(|(line, text)| {
                Self::parse(line, text)
                    .unwrap_or_else(|| panic!("{} line {line}: not trace | step | versions | path | reason", path.display()))
            })
            .collect()
    }

    fn parse(line: usize, text: &str) -> Option<Self> {
        let (text, must_be) = text.strip_prefix('?').map_or((text, true), |text| (text, false));
        let [trace, step, versions, path, reason] =
            <[&str; 5]>::try_from(text.splitn(5, '|').map(str::trim).collect::<Vec<_>>()).ok()?;
        let versions = match versions {
            "*" => (i16::MIN, i16::MAX),
            "-" => (-1, -1),
            one => {
                let (first, last) = one.split_once('-').unwrap_or((one, one));
                (first.parse().ok()?, last.parse().ok()?)
            }
        };
        let [trace, step, path] = [trace, step, path].map(str::to_owned);
        (!reason.is_empty()).then_some(Self { line, trace, step, versions, path, must_be })
    }

    /// Is it this one?
    pub fn is(&self, difference: &Difference) -> bool {
        matches(&self.trace, &difference.trace)
            && matches(&self.step, &difference.step)
            && (self.versions.0..=self.versions.1).contains(&difference.version)
            && matches(&self.path, &difference.path)
    }

    /// Is it wrong if there is no such difference any more?
    pub fn must_be(&self) -> bool {
        self.must_be
    }

    /// Where it stands.
    pub fn line(&self) -> usize {
        self.line
    }
}

/// Does `text` fit `pattern`, in which `*` is any text?
fn matches(pattern: &str, text: &str) -> bool {
    let Some((first, rest)) = pattern.split_once('*') else { return pattern == text };
    let Some(text) = text.strip_prefix(first) else { return false };
    rest.is_empty()
        || text
            .char_indices()
            .map(|(at, _)| at)
            .chain([text.len()])
            .any(|at| text.get(at..).is_some_and(|text| matches(rest, text)))
}

/// Differences in words, those of several versions together.
pub fn summary(differences: &[Difference]) -> String {
    let mut together: BTreeMap<[&str; 6], Vec<i16>> = BTreeMap::new();
    for difference in differences {
        let Difference { trace, step, message, version, path, kafka, klamm } = difference;
        together.entry([trace, step, message, path, kafka, klamm]).or_default().push(*version);
    }
    let mut text = String::new();
    for ([trace, step, message, path, kafka, klamm], mut versions) in together {
        versions.sort();
        let versions = match (versions.first(), versions.last()) {
            (Some(first), Some(last)) if first != last => format!("{first}-{last}"),
            (Some(first), _) => first.to_string(),
            _ => String::new(),
        };
        text.push_str(&format!("{trace} | {step} | {versions} | {path} | ({message}) kafka: {kafka}   klamm: {klamm}\n"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn stars_stand_for_any_text() {
        for (pattern, text) in
            [("a", "a"), ("*", ""), ("*", "abc"), ("a*c", "abc"), ("a*c", "ac"), ("*.x", "b.x.x"), ("a[*].m", "a[t%].m")]
        {
            assert!(matches(pattern, text), "{pattern} {text}");
        }
        for (pattern, text) in [("a", "ab"), ("a*c", "ab"), ("*.x", "x"), ("a*b*c", "acb")] {
            assert!(!matches(pattern, text), "{pattern} {text}");
        }
    }
}
