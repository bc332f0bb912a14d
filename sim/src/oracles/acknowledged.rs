//! I1 and I2: results of sends against the logs.

use std::collections::BTreeMap;

use super::{Loss, Verdict, broken, destroyed};
use crate::history::{Acks, Event, History, Partition, RecordId};

/// Where each record is: usually at one place.
fn places(history: &History) -> BTreeMap<RecordId, Vec<(Partition, i64)>> {
    let mut places: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for log in &history.logs {
        for logged in &log.records {
            if let Some(record) = logged.record {
                places.entry(record).or_default().push((log.partition, logged.offset));
            }
        }
    }
    places
}

/// I1: an acknowledged record is at the acknowledged place; an idempotent producer's is nowhere else. One that is lost was lost there; if all
/// replicas were to have it, they had. And only what is asked to destroy records makes all replicas lose one.
pub(super) fn acknowledged_is_there(history: &History) -> Verdict {
    let (places, destroyed) = (places(history), destroyed(history));
    let mut producers = BTreeMap::new();
    let mut checks = 0;
    for (at, entry) in history.events.iter().enumerate() {
        match &entry.event {
            Event::ProducerStarted { producer, idempotent, acks, .. } => _ = producers.insert(*producer, (*idempotent, *acks)),
            Event::Accepted { record, .. } => {
                let (idempotent, _) = producers.get(&record.producer).copied().unwrap_or((false, Acks::None));
                let copies = places.get(record).map_or(&[][..], Vec::as_slice);
                if idempotent && copies.len() > 1 {
                    return Err(broken("I1", history, at, format!("{record} is there {} times: {copies:?}", copies.len())));
                }
                checks += 1;
            }
            Event::Destroyed { partition, high_watermark, records, .. } if !history.bounds.destroys => {
                if let Some((offset, record)) = records.iter().find(|(offset, _)| offset < high_watermark) {
                    let text = format!("{record} is lost at {offset} of {partition}, which all replicas in sync had");
                    return Err(broken("I1", history, at, text));
                }
                checks += 1;
            }
            Event::Acked { record, partition, offset } => {
                let (_, acks) = producers.get(&record.producer).copied().unwrap_or((false, Acks::None));
                if acks == Acks::None {
                    continue;
                }
                let lost = destroyed.get(partition).map_or(&[][..], Vec::as_slice);
                let excuses = |loss: &Loss<'_>| {
                    loss.records.iter().any(|(at, gone)| {
                        let was_acked = acks != Acks::All || *at < loss.high_watermark;
                        gone == record && offset.is_none_or(|offset| offset == *at) && was_acked
                    })
                };
                let copies = places.get(record).map_or(&[][..], Vec::as_slice);
                let found = copies.iter().any(|(there, at)| there == partition && offset.is_none_or(|offset| offset == *at));
                if !found && !lost.iter().any(excuses) {
                    let said = offset.map_or("at an unknown offset".to_owned(), |offset| format!("at offset {offset}"));
                    return Err(broken(
                        "I1",
                        history,
                        at,
                        format!("{record} was acknowledged in {partition} {said}, but is at {copies:?}"),
                    ));
                }
                checks += 1;
            }
            _ => {}
        }
    }
    Ok(checks)
}

/// I2: what failed without doubt is in no log.
pub(super) fn not_written_is_not_there(history: &History) -> Verdict {
    let places = places(history);
    let mut checks = 0;
    for (at, entry) in history.events.iter().enumerate() {
        let Event::Failed { record, possibly_written: false, error } = &entry.event else { continue };
        if let Some(copies) = places.get(record) {
            let text = format!("{record} surely was not written, said its error, but is at {copies:?}: {error}");
            return Err(broken("I2", history, at, text));
        }
        checks += 1;
    }
    Ok(checks)
}

#[cfg(test)]
mod tests {
    use super::super::scene::*;
    use super::*;

    #[test]
    fn an_acknowledged_record_is_in_the_log_once() {
        let events = || [started(true), accepted(0), accepted(1), acked(0, 0), acked(1, 1)];
        holds("I1", &log(history(events()), &[0, 1]));
        objects("I1", &log(history(events()), &[0]), "p0/1 was acknowledged");
        objects("I1", &log(history(events()), &[1, 0]), "p0/0 was acknowledged in t0-0 at offset 0");
        objects("I1", &log(history(events()), &[0, 1, 0]), "p0/0 is there 2 times");
    }

    #[test]
    fn a_duplicate_is_no_fault_without_idempotence_but_a_loss_is() {
        let events = || [started(false), accepted(0), acked(0, 1)];
        holds("I1", &log(history(events()), &[0, 0]));
        objects("I1", &log(history(events()), &[]), "was acknowledged");
    }

    #[test]
    fn what_was_destroyed_is_not_missed_and_what_was_not_is() {
        let of = |number, offset, high_watermark, acks| {
            let started = Event::ProducerStarted { producer: 0, idempotent: false, ordered: true, acks };
            let mut history = history([started, accepted(0), acked(0, 5), gone(number, offset, high_watermark)]);
            history.bounds.destroys = true;
            log(history, &[])
        };
        holds("I1", &of(0, 5, 6, Acks::All));
        objects("I1", &of(0, 4, 6, Acks::All), "was acknowledged in t0-0 at offset 5");
        objects("I1", &of(1, 5, 6, Acks::All), "was acknowledged");
        // The leader had it, and the others did not: enough for who asks for no more.
        objects("I1", &of(0, 5, 5, Acks::All), "was acknowledged");
        holds("I1", &of(0, 5, 5, Acks::Leader));
    }

    #[test]
    fn what_all_replicas_have_is_not_lost_by_itself() {
        holds("I1", &history([gone(0, 5, 5)]));
        objects("I1", &history([gone(0, 5, 6)]), "all replicas in sync had");
    }

    #[test]
    fn what_surely_was_not_written_is_not_there() {
        let events = |possibly| [started(true), accepted(0), failed(0, possibly)];
        holds("I2", &log(history(events(false)), &[]));
        objects("I2", &log(history(events(false)), &[0]), "surely was not written");
        assert_eq!(ask("I2", &log(history(events(true)), &[0])), Ok(0));
    }
}
