//! What runs have reached: (core, state, event) and (API, error code) pairs, counted.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use klamm::protocol::ErrorCode;

/// Counts of what was reached; those of several runs can be added up.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Coverage {
    /// What cores were told, in which state.
    pub states: BTreeMap<(&'static str, &'static str, &'static str), u64>,
    /// What was answered, by API and code.
    pub codes: BTreeMap<(String, i16), u64>,
}

impl Coverage {
    /// A core was told something.
    pub fn state(&mut self, core: &'static str, state: &'static str, event: &'static str) {
        *self.states.entry((core, state, event)).or_default() += 1;
    }

    /// A client was answered with a code.
    pub fn code(&mut self, api: impl Into<String>, code: i16) {
        *self.codes.entry((api.into(), code)).or_default() += 1;
    }

    /// Adds those of another run.
    pub fn add(&mut self, other: &Self) {
        other.states.iter().for_each(|(what, count)| *self.states.entry(*what).or_default() += count);
        other.codes.iter().for_each(|(what, count)| *self.codes.entry(what.clone()).or_default() += count);
    }

    /// As a table: a line for each core's state with its events, and one for each API with its codes.
    pub fn table(&self) -> String {
        let mut text = String::new();
        let cores: std::collections::BTreeSet<_> = self.states.keys().map(|(core, ..)| *core).collect();
        _ = writeln!(text, "(core state x event) pairs reached: {} in {} cores", self.states.len(), cores.len());
        let mut rows: BTreeMap<_, Vec<String>> = BTreeMap::new();
        for ((core, state, event), count) in &self.states {
            rows.entry((core, state)).or_default().push(format!("{event} {count}"));
        }
        for ((core, state), events) in rows {
            _ = writeln!(text, "  {core} {state}: {}", events.join(", "));
        }
        let mut rows: BTreeMap<_, Vec<String>> = BTreeMap::new();
        for ((api, code), count) in &self.codes {
            rows.entry(api).or_default().push(format!("{} {count}", ErrorCode(*code)));
        }
        _ = writeln!(text, "(API x error code) pairs reached: {} in {} APIs", self.codes.len(), rows.len());
        for (api, codes) in rows {
            _ = writeln!(text, "  {api}: {}", codes.join(", "));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_of_runs_add_up() {
        let mut one = Coverage::default();
        one.state("connection", "ready", "bytes");
        one.code("Produce", 6);
        let mut all = one.clone();
        all.add(&one);
        assert_eq!(all.states[&("connection", "ready", "bytes")], 2);
        let table = all.table();
        assert!(table.contains("connection ready: bytes 2"), "{table}");
        assert!(table.contains("Produce: NOT_LEADER_OR_FOLLOWER") && table.contains(" 2\n"), "{table}");
    }
}
