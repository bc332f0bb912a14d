//! The accounts of a copy from topic 0 to topic 1, which commits what it has copied.

use std::collections::{BTreeMap, BTreeSet};

use super::{Verdict, destroyed, wrong};
use crate::history::{Event, History, RecordId};

/// Every record before a committed place has a copy, and no copy is of a record that was not handed out. Where the end of a log was lost,
/// this is asked of what stands before it; a copy may be among what was lost.
pub(super) fn accounted(history: &History) -> Verdict {
    let mut copies: BTreeMap<_, Vec<RecordId>> = BTreeMap::new();
    let mut originals = BTreeMap::new();
    let mut handed = BTreeSet::new();
    for entry in &history.events {
        match &entry.event {
            Event::Copied { record, from, offset } => {
                copies.entry((*from, *offset)).or_default().push(*record);
                _ = originals.insert(*record, (*from, *offset));
            }
            Event::Delivered { partition, offset, .. } => _ = handed.insert((*partition, *offset)),
            _ => {}
        }
    }
    if copies.is_empty() {
        return Ok(0);
    }
    let there: BTreeSet<RecordId> = (history.logs.iter().filter(|log| log.partition.topic == 1))
        .flat_map(|log| log.records.iter().filter_map(|logged| logged.record))
        .collect();
    let mut checks = 0;
    for record in &there {
        let Some(original) = originals.get(record) else {
            return Err(wrong("I6c", format!("{record} in topic t1 is the copy of nothing")));
        };
        if !handed.contains(original) {
            return Err(wrong("I6c", format!("{record} is the copy of {original:?}, which nobody was handed")));
        }
        checks += 1;
    }
    let destroyed = destroyed(history);
    let gone = destroyed.iter().filter(|(partition, _)| partition.topic == 1).flat_map(|(_, losses)| losses);
    let gone = gone.flat_map(|loss| loss.records.iter().map(|(_, record)| *record));
    let there: BTreeSet<RecordId> = there.into_iter().chain(gone).collect();
    for log in history.logs.iter().filter(|log| log.partition.topic == 0) {
        let losses = destroyed.get(&log.partition).map_or(&[][..], Vec::as_slice);
        let whole = losses.iter().map(|loss| loss.from).min().unwrap_or(i64::MAX);
        let committed = log.committed.unwrap_or(0).min(whole);
        for logged in log.records.iter().take_while(|logged| logged.offset < committed) {
            let of = copies.get(&(log.partition, logged.offset)).map_or(&[][..], Vec::as_slice);
            if !of.iter().any(|copy| there.contains(copy)) {
                let text =
                    format!("{} is committed up to {committed}, but offset {} was not copied", log.partition, logged.offset);
                return Err(wrong("I6c", text));
            }
            checks += 1;
        }
    }
    Ok(checks)
}

#[cfg(test)]
mod tests {
    use super::super::scene::*;
    use super::*;
    use crate::history::{Fate, Log, Logged, Partition};

    fn copied(offset: i64) -> Event {
        Event::Copied { record: RecordId { producer: 9, number: offset as u64 }, from: P, offset }
    }

    fn of(events: impl IntoIterator<Item = Event>, committed: i64, copies: &[u64]) -> History {
        let mut history = log(history(events), &[0, 1, 2]);
        history.logs[0].committed = Some(committed);
        let records = (0..).zip(copies).map(|(offset, number)| Logged {
            offset,
            record: Some(RecordId { producer: 9, number: *number }),
            fate: Fate::Plain,
        });
        let partition = Partition { topic: 1, number: 0 };
        history.logs.push(Log { partition, records: records.collect(), end: copies.len() as i64, committed: None });
        history
    }

    #[test]
    fn what_is_committed_was_copied() {
        let events = || [assigned(1), delivered(1, 0), copied(0), delivered(1, 1), copied(1)];
        holds("I6c", &of(events(), 2, &[0, 1]));
        holds("I6c", &of(events(), 1, &[0]));
        objects("I6c", &of(events(), 2, &[0]), "committed up to 2, but offset 1 was not copied");
        objects("I6c", &of(events(), 3, &[0, 1]), "offset 2 was not copied");
    }

    #[test]
    fn a_copy_that_was_lost_was_there() {
        let lost = |number| Event::Destroyed {
            partition: Partition { topic: 1, number: 0 },
            from: 0,
            high_watermark: 1,
            records: vec![(0, RecordId { producer: 9, number })],
        };
        let events = |number| [assigned(1), delivered(1, 0), copied(0), lost(number)];
        holds("I6c", &of(events(0), 1, &[0]));
        let without = |number| {
            let mut history = of(events(number), 1, &[0]);
            history.logs[1].records.clear();
            history
        };
        assert_eq!(ask("I6c", &without(0)), Ok(1));
        objects("I6c", &without(1), "offset 0 was not copied");
    }

    #[test]
    fn what_stands_before_a_loss_was_copied() {
        let events = |from| [assigned(1), delivered(1, 0), copied(0), gone(1, from, 9)];
        holds("I6c", &of(events(1), 3, &[0]));
        objects("I6c", &of(events(2), 3, &[0]), "offset 1 was not copied");
    }

    #[test]
    fn a_copy_is_of_what_was_handed_out() {
        objects("I6c", &of([copied(0)], 0, &[0]), "which nobody was handed");
        objects("I6c", &of([delivered(1, 0), copied(0)], 0, &[5]), "the copy of nothing");
    }
}
