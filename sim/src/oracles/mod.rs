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
mod foreign;
mod liveness;
mod order;
mod owners;
#[cfg(test)]
mod scene;
mod transactions;
mod visible;

pub(crate) use liveness::stood_at;

use std::collections::BTreeMap;
use std::fmt;

use crate::history::{Event, History, Partition, RecordId};

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
    Oracle { name: "I6f", rule: "what is in a log, or handed out, was sent", check: foreign::was_sent },
    Oracle { name: "I7", rule: "a partition has one owner that delivers", check: owners::one_owner },
    Oracle { name: "I8", rule: "no commit passes what was delivered, or goes back", check: commits::follow_deliveries },
    Oracle { name: "I9", rule: "buffers keep their limits, and are empty after close", check: bounded::memory },
    Oracle { name: "I10", rule: "nothing spins", check: bounded::activity },
    Oracle { name: "I11", rule: "without faults everything comes to its end", check: liveness::settles },
    Oracle { name: "I12", rule: "every call ends by its deadline", check: liveness::deadlines },
];

/// What can be asked where bytes arrived changed: a client that was told what no broker said, and a broker that did what no client asked
/// for, break all other rules by right. Nobody takes a record whose checksum is wrong, hangs, spins or holds too much.
const GARBLED: &[&str] = &["I10", "I11", "I12", "I6f", "I9"];

/// Asks all, and gives what each has compared, or the first violation.
///
/// # Errors
/// The first invariant that does not hold.
pub fn check(history: &History) -> Result<BTreeMap<&'static str, Checks>, Violation> {
    let asked = ALL.iter().filter(|oracle| !history.bounds.garbles || GARBLED.contains(&oracle.name));
    asked.map(|oracle| (oracle.check)(history).map(|checks| (oracle.name, checks))).collect()
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

/// The end of a log that was lost.
#[derive(Clone, Copy, Debug)]
struct Loss<'a> {
    /// The first offset.
    from: i64,
    /// What was before it is a loss of all replicas.
    high_watermark: i64,
    records: &'a [(i64, RecordId)],
}

/// What was destroyed, by partition.
fn destroyed(history: &History) -> BTreeMap<Partition, Vec<Loss<'_>>> {
    let mut all: BTreeMap<Partition, Vec<_>> = BTreeMap::new();
    for entry in &history.events {
        if let Event::Destroyed { partition, from, high_watermark, records } = &entry.event {
            let (from, high_watermark) = (*from, *high_watermark);
            all.entry(*partition).or_default().push(Loss { from, high_watermark, records });
        }
    }
    all
}
