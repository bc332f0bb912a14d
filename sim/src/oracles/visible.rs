//! What there is to see in the logs for a reader of committed records: markers and records of transactions that did not commit stand in
//! the log, and are nothing to it. What a log has lost was there to see, unless such a thing stands in its place now.

use std::collections::BTreeMap;

use super::destroyed;
use crate::history::{History, Partition, RecordId};

/// See the module.
pub(super) struct Visible(BTreeMap<Partition, Log>);

struct Log {
    records: BTreeMap<i64, Vec<Option<RecordId>>>,
    end: i64,
}

impl Visible {
    pub(super) fn of(history: &History) -> Self {
        let logs = history.logs.iter().map(|log| {
            let visible = log.records.iter().filter(|logged| logged.fate.is_visible());
            let records = visible.map(|logged| (logged.offset, vec![logged.record])).collect();
            (log.partition, Log { records, end: log.end })
        });
        let mut visible = Self(logs.collect());
        for (partition, losses) in destroyed(history) {
            let log = visible.0.entry(partition).or_insert_with(|| Log { records: BTreeMap::new(), end: 0 });
            for (offset, record) in losses.iter().flat_map(|loss| loss.records) {
                if *offset >= log.end || log.records.contains_key(offset) {
                    log.records.entry(*offset).or_default().push(Some(*record));
                }
            }
        }
        visible
    }

    /// The records that are, or were, at an offset to be seen.
    pub(super) fn records(&self, partition: Partition, offset: i64) -> &[Option<RecordId>] {
        self.0.get(&partition).and_then(|log| log.records.get(&offset)).map_or(&[], Vec::as_slice)
    }

    /// The first offset from this one on with a record to see.
    pub(super) fn next(&self, partition: Partition, from: i64) -> Option<i64> {
        Some(*self.0.get(&partition)?.records.range(from..).next()?.0)
    }

    /// How far an offset may go on without passing a record: as it is, where the log is not known.
    pub(super) fn pass(&self, partition: Partition, offset: i64) -> i64 {
        let Some(log) = self.0.get(&partition) else { return offset };
        self.next(partition, offset).unwrap_or(log.end.max(offset))
    }

    /// How far an offset may go back without passing one.
    pub(super) fn back(&self, partition: Partition, offset: i64) -> i64 {
        let Some(log) = self.0.get(&partition) else { return offset };
        log.records.range(..offset).next_back().map_or(0, |(last, _)| last + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::super::scene::*;
    use super::*;
    use crate::history::Fate;

    #[test]
    fn markers_and_what_did_not_commit_are_passed() {
        let mut history = log(history([]), &[0, 1, 2, 3, 4]);
        let log = &mut history.logs[0];
        log.records[1].fate = Fate::Aborted(4);
        log.records[2].fate = Fate::Committed(7);
        log.records[4].fate = Fate::Open;
        log.end = 8;
        let visible = Visible::of(&history);
        assert_eq!((visible.records(P, 0), visible.records(P, 1)), (&[Some(record(0))][..], &[][..]));
        assert_eq!([0, 1, 2, 3, 4, 8].map(|offset| visible.pass(P, offset)), [0, 2, 2, 3, 8, 8]);
        assert_eq!([0, 1, 2, 3, 4, 8].map(|offset| visible.back(P, offset)), [0, 1, 1, 3, 4, 4]);
        history.push(SECOND, gone(9, 1, 2));
        history.push(SECOND, gone(9, 3, 9));
        let visible = Visible::of(&history);
        assert_eq!((visible.records(P, 1).len(), visible.records(P, 3).len()), (0, 2));
        let other = Partition { topic: 0, number: 9 };
        assert_eq!((visible.pass(other, 3), visible.back(other, 3)), (3, 3));
    }
}
