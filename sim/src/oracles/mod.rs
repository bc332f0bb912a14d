//! What must hold of every run, whatever happened in it: the invariants of `reliability.md`, section 7.3, each a function of a history
//! and nothing else.
//!
//! Of I4 what readers see of transactions is checked, with scripted writers (`transactional`). That offsets are committed with them waits
//! for klamm's own transactional producer.

mod acknowledged;
mod bounded;
mod commits;
mod copies;
mod deliveries;
mod liveness;
mod order;
mod owners;
#[cfg(test)]
mod scene;
mod transactions;
mod visible;

use std::collections::BTreeMap;
use std::fmt;

use crate::history::{Event, History, Partition};

/// An invariant that does not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Which: `I1`.
    pub oracle: &'static str,
    /// In words, with record, partition and time.
    pub text: String,
    /// The event that broke it, where there is one.
    pub event: Option<usize>,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.oracle, self.text)
    }
}

/// How many things were compared.
pub type Checks = u64;

/// What all oracles say.
pub type Verdict = Result<Checks, Violation>;

/// An invariant.
#[derive(Clone, Copy, Debug)]
pub struct Oracle {
    /// Its number in `reliability.md`.
    pub name: &'static str,
    /// What must hold.
    pub rule: &'static str,
    /// Does it?
    pub check: fn(&History) -> Verdict,
}

/// All of them.
pub const ALL: &[Oracle] = &[
    Oracle {
        name: "I1",
        rule: "what was acknowledged is in the log where the acknowledgement said, once if idempotent",
        check: acknowledged::acknowledged_is_there,
    },
    Oracle { name: "I2", rule: "what surely was not written is in no log", check: acknowledged::not_written_is_not_there },
    Oracle {
        name: "I3",
        rule: "a partition's log has a producer's records in the order in which they were accepted",
        check: order::accepted_order,
    },
    Oracle {
        name: "I4",
        rule: "a reader sees the committed transactions, each as a whole and after its marker, and no others",
        check: transactions::committed_alone,
    },
    Oracle { name: "I5", rule: "a sequence number has one content", check: order::one_content },
    Oracle {
        name: "I6",
        rule: "an assignment is delivered from its committed place on, without gap or repeat",
        check: deliveries::prefix,
    },
    Oracle { name: "I6c", rule: "behind a committed place every record has its copy", check: copies::accounted },
    Oracle { name: "I7", rule: "a partition has one owner that delivers", check: owners::one_owner },
    Oracle { name: "I8", rule: "no commit passes what was delivered, or goes back", check: commits::follow_deliveries },
    Oracle { name: "I9", rule: "buffers keep their limits, and are empty after close", check: bounded::memory },
    Oracle { name: "I10", rule: "nothing spins", check: bounded::activity },
    Oracle { name: "I11", rule: "without faults everything comes to its end", check: liveness::settles },
    Oracle { name: "I12", rule: "every call ends by its deadline", check: liveness::deadlines },
];

/// Asks all, and gives what each has compared, or the first violation.
///
/// # Errors
/// The first invariant that does not hold.
pub fn check(history: &History) -> Result<BTreeMap<&'static str, Checks>, Violation> {
    ALL.iter().map(|oracle| (oracle.check)(history).map(|checks| (oracle.name, checks))).collect()
}

/// A violation by an event.
fn broken(oracle: &'static str, history: &History, event: usize, text: impl fmt::Display) -> Violation {
    let at = history.events.get(event).map(|entry| entry.at).unwrap_or_default();
    Violation { oracle, text: format!("at {at:?}: {text}"), event: Some(event) }
}

/// A violation that shows at the end.
fn wrong(oracle: &'static str, text: impl Into<String>) -> Violation {
    Violation { oracle, text: text.into(), event: None }
}

/// Which offsets were destroyed, by partition.
fn destroyed(history: &History) -> BTreeMap<Partition, Vec<std::ops::Range<i64>>> {
    let mut all: BTreeMap<Partition, Vec<_>> = BTreeMap::new();
    for entry in &history.events {
        if let Event::Destroyed { partition, from, to } = entry.event {
            all.entry(partition).or_default().push(from..to);
        }
    }
    all
}
