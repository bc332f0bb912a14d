//! Histories for the oracles' own tests: each breaks one rule.

use std::time::Duration;

use super::{ALL, Violation};
use crate::history::{Acks, Bounds, Event, Fate, History, Log, Logged, Partition, RecordId};

pub(super) const SECOND: Duration = Duration::from_secs(1);
pub(super) const P: Partition = Partition { topic: 0, number: 0 };

pub(super) fn bounds() -> Bounds {
    Bounds {
        recovery: 60 * SECOND,
        grace: SECOND,
        overlap: 5 * SECOND,
        requests_per_second: 100,
        wakes_per_second: 1000,
        reads_all: false,
        destroys: false,
        garbles: false,
    }
}

pub(super) fn record(number: u64) -> RecordId {
    RecordId { producer: 0, number }
}

/// An event each second.
pub(super) fn history(events: impl IntoIterator<Item = Event>) -> History {
    let mut history = History::new(bounds());
    for (second, event) in (0..).zip(events) {
        history.push(second * SECOND, event);
        history.ended = second * SECOND;
    }
    history
}

/// The log of [`P`] with these records.
pub(super) fn log(mut history: History, numbers: &[u64]) -> History {
    let records = (0..).zip(numbers).map(|(offset, number)| Logged { offset, record: Some(record(*number)), fate: Fate::Plain });
    history.logs.push(Log { partition: P, records: records.collect(), end: numbers.len() as i64, committed: None });
    history
}

pub(super) fn started(idempotent: bool) -> Event {
    Event::ProducerStarted { producer: 0, idempotent, ordered: true, acks: Acks::All }
}

pub(super) fn accepted(number: u64) -> Event {
    Event::Accepted { record: record(number), partition: P }
}

pub(super) fn acked(number: u64, offset: i64) -> Event {
    Event::Acked { record: record(number), partition: P, offset: Some(offset) }
}

/// A record is lost, and all behind it.
pub(super) fn gone(number: u64, offset: i64, high_watermark: i64) -> Event {
    Event::Destroyed { partition: P, from: offset, high_watermark, records: vec![(offset, record(number))] }
}

pub(super) fn failed(number: u64, possibly_written: bool) -> Event {
    Event::Failed { record: record(number), possibly_written, error: "of a test".to_owned() }
}

pub(super) fn assigned(member: u32) -> Event {
    Event::Assigned { member, partitions: vec![P] }
}

pub(super) fn delivered(member: u32, offset: i64) -> Event {
    Event::Delivered { member, partition: P, offset, record: Some(record(offset as u64)) }
}

pub(super) fn commit_asked(member: u32, offset: i64) -> Event {
    Event::CommitAsked { member, partition: P, offset }
}

/// What one oracle says.
pub(super) fn ask(name: &str, history: &History) -> Result<u64, Violation> {
    let oracle = ALL.iter().find(|oracle| oracle.name == name).unwrap();
    (oracle.check)(history)
}

/// The oracle is content, and has looked at something.
#[track_caller]
pub(super) fn holds(name: &str, history: &History) {
    let checks = ask(name, history).unwrap_or_else(|violation| panic!("{violation}"));
    assert!(checks > 0, "{name} has compared nothing");
}

/// The oracle objects, in these words.
#[track_caller]
pub(super) fn objects(name: &str, history: &History, words: &str) {
    let violation = ask(name, history).expect_err("a violation goes unseen");
    assert_eq!(violation.oracle, name);
    assert!(violation.text.contains(words), "{violation}");
}
