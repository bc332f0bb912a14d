//! I3 and I5: the order of records, and what stands under a sequence number.

use std::collections::BTreeMap;

use super::{Verdict, broken, wrong};
use crate::history::{Event, History, RecordId};

/// I3: in each log, a producer's records stand in the order in which they were accepted. Without idempotence this is promised of those
/// that were acknowledged, and of their first copies.
pub(super) fn accepted_order(history: &History) -> Verdict {
    let mut producers = BTreeMap::new();
    let mut turn: BTreeMap<RecordId, usize> = BTreeMap::new();
    let mut acked = std::collections::BTreeSet::new();
    for (at, entry) in history.events.iter().enumerate() {
        match &entry.event {
            Event::ProducerStarted { producer, idempotent, ordered, .. } => {
                _ = producers.insert(*producer, (*idempotent, *ordered));
            }
            Event::Accepted { record, .. } => _ = turn.insert(*record, at),
            Event::Acked { record, .. } => _ = acked.insert(*record),
            _ => {}
        }
    }
    let mut checks = 0;
    for log in &history.logs {
        let mut last: BTreeMap<u32, (RecordId, usize)> = BTreeMap::new();
        let mut seen = std::collections::BTreeSet::new();
        for logged in &log.records {
            let Some(record) = logged.record else { continue };
            let Some((idempotent, ordered)) = producers.get(&record.producer).copied() else { continue };
            let Some(turn) = turn.get(&record).copied() else { continue };
            let counts = ordered && (idempotent || acked.contains(&record)) && seen.insert(record);
            if !counts {
                continue;
            }
            if let Some((before, its)) = last.insert(record.producer, (record, turn)) {
                if its >= turn {
                    let text = format!(
                        "in {} {record} stands at {} behind {before}, which was accepted later",
                        log.partition, logged.offset
                    );
                    return Err(wrong("I3", text));
                }
                checks += 1;
            }
        }
    }
    Ok(checks)
}

/// I5: whatever reaches brokers under a producer id, epoch and sequence number is the same batch.
pub(super) fn one_content(history: &History) -> Verdict {
    let mut contents = BTreeMap::new();
    let mut checks = 0;
    for (at, entry) in history.events.iter().enumerate() {
        let Event::BatchSent { partition, producer_id, epoch, sequence, content } = entry.event else { continue };
        if producer_id < 0 {
            continue;
        }
        let before = *contents.entry((partition, producer_id, epoch, sequence)).or_insert(content);
        if before != content {
            let text =
                format!("in {partition} sequence {sequence} of producer {producer_id}, epoch {epoch}, came with another content");
            return Err(broken("I5", history, at, text));
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
    fn records_stand_in_the_order_of_their_acceptance() {
        let events = || [started(true), accepted(0), accepted(1), accepted(2)];
        holds("I3", &log(history(events()), &[0, 2]));
        objects("I3", &log(history(events()), &[0, 2, 1]), "p0/1 stands at 2 behind p0/2");
    }

    #[test]
    fn without_idempotence_the_first_copies_of_what_was_acknowledged_do() {
        let events = || [started(false), accepted(0), accepted(1), acked(0, 0), acked(1, 1)];
        holds("I3", &log(history(events()), &[0, 1, 0]));
        objects("I3", &log(history(events()), &[1, 0]), "behind p0/1");
        let unacked = history([started(false), accepted(0), accepted(1), acked(1, 0)]);
        assert_eq!(ask("I3", &log(unacked, &[1, 0])), Ok(0));
    }

    #[test]
    fn a_sequence_number_has_one_content() {
        let sent = |epoch, content| Event::BatchSent { partition: P, producer_id: 1, epoch, sequence: 4, content };
        holds("I5", &history([sent(0, 7), sent(0, 7), sent(1, 8)]));
        objects("I5", &history([sent(0, 7), sent(0, 8)]), "sequence 4 of producer 1");
    }
}
