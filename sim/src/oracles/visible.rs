//! What there is to see in the logs for a reader of committed records: markers and records of transactions that did not commit stand in
//! the log, and are nothing to it.

use std::collections::BTreeMap;

use crate::history::{History, Partition, RecordId};

/// See the module.
pub(super) struct Visible(BTreeMap<Partition, Log>);

struct Log {
    records: BTreeMap<i64, Option<RecordId>>,
    end: i64,
}

impl Visible {
    pub(super) fn of(history: &History) -> Self {
        let logs = history.logs.iter().map(|log| {
            let visible = log.records.iter().filter(|logged| logged.fate.is_visible());
            let records = visible.map(|logged| (logged.offset, logged.record)).collect();
            (log.partition, Log { records, end: log.end })
        });
        Self(logs.collect())
    }

    /// The record at an offset, if there is one to see.
    pub(super) fn record(&self, partition: Partition, offset: i64) -> Option<Option<RecordId>> {
        self.0.get(&partition)?.records.get(&offset).copied()
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
        assert_eq!((visible.record(P, 0), visible.record(P, 1)), (Some(Some(record(0))), None));
        assert_eq!([0, 1, 2, 3, 4, 8].map(|offset| visible.pass(P, offset)), [0, 2, 2, 3, 8, 8]);
        assert_eq!([0, 1, 2, 3, 4, 8].map(|offset| visible.back(P, offset)), [0, 1, 1, 3, 4, 4]);
        let other = Partition { topic: 0, number: 9 };
        assert_eq!((visible.pass(other, 3), visible.back(other, 3)), (3, 3));
    }
}
