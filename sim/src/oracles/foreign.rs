//! Records that nobody sent.

use std::collections::BTreeSet;

use super::{Verdict, broken, wrong};
use crate::history::{Event, History, RecordId};

/// I6f: every record in a log, and every record that is handed out, was accepted from somebody; whatever happened to its bytes on the way.
pub(super) fn was_sent(history: &History) -> Verdict {
    let mut sent: BTreeSet<RecordId> = BTreeSet::new();
    for entry in &history.events {
        match &entry.event {
            Event::Accepted { record, .. }
            | Event::Transacted { record, .. }
            | Event::Failed { record, possibly_written: true, .. } => _ = sent.insert(*record),
            _ => {}
        }
    }
    let is_known = |record: Option<RecordId>| record.is_some_and(|record| sent.contains(&record));
    let name = |record: Option<RecordId>| record.map_or("something".to_owned(), |record| record.to_string());
    let mut checks = 0;
    for (at, entry) in history.events.iter().enumerate() {
        let Event::Delivered { member, partition, offset, record } = &entry.event else { continue };
        if !is_known(*record) {
            let text = format!("member {member} is handed {} at {offset} of {partition}, which nobody sent", name(*record));
            return Err(broken("I6f", history, at, text));
        }
        checks += 1;
    }
    for log in &history.logs {
        for logged in &log.records {
            if !is_known(logged.record) {
                let text = format!("{} has {} at {}, which nobody sent", log.partition, name(logged.record), logged.offset);
                return Err(wrong("I6f", text));
            }
            checks += 1;
        }
    }
    Ok(checks)
}

#[cfg(test)]
mod tests {
    use super::super::scene::*;
    use super::super::{GARBLED, check};
    use super::*;

    #[test]
    fn what_was_not_sent_is_nowhere() {
        holds("I6f", &log(history([accepted(0), failed(1, true), assigned(1), delivered(1, 0)]), &[0, 1]));
        objects("I6f", &history([accepted(0), assigned(1), delivered(1, 1)]), "p0/1");
        objects("I6f", &log(history([accepted(0)]), &[0, 1]), "t0-0 has");
        let unreadable = Event::Delivered { member: 1, partition: P, offset: 0, record: None };
        objects("I6f", &history([accepted(0), unreadable]), "is handed something at 0");
    }

    #[test]
    fn where_bytes_change_some_rules_are_asked_all_the_same() {
        let of = |garbles, events: &[Event]| {
            let mut history = history(events.iter().cloned().chain([Event::Healed, Event::Settled]));
            history.bounds.garbles = garbles;
            check(&history).map_err(|violation| violation.oracle)
        };
        let lost = [started(true), accepted(0), acked(0, 7)];
        assert_eq!(of(false, &lost).unwrap_err(), "I1");
        assert_eq!(of(true, &lost).unwrap().keys().copied().collect::<Vec<_>>(), GARBLED);
        assert_eq!(of(true, &[accepted(0)]).unwrap_err(), "I11");
        assert_eq!(of(true, &[delivered(1, 0)]).unwrap_err(), "I6f");
    }
}
