//! What the brokers' logs say: records with the fates of their transactions, and markers as they come.

use std::collections::BTreeMap;

use klamm::protocol::records::{Batch, ControlType, Limits};

use crate::history::{Event, Fate, Logged, Partition, RecordId};

/// The end that a batch marks: a commit or not; none if it is no marker.
fn marked(batch: &Batch) -> Option<bool> {
    match batch.control_type() {
        Ok(Some(ControlType::Commit)) => Some(true),
        Ok(Some(ControlType::Abort)) => Some(false),
        _ => None,
    }
}

/// The records of a log, oldest first.
pub fn records(batches: &[Batch]) -> Vec<Logged> {
    let mut all = Vec::new();
    // By producer: the indexes of records whose marker has not come yet.
    let mut open: BTreeMap<i64, Vec<usize>> = BTreeMap::new();
    for batch in batches {
        if batch.is_control() {
            let Some(committed) = marked(batch) else { continue };
            let marker = batch.base_offset();
            let fate = if committed { Fate::Committed(marker) } else { Fate::Aborted(marker) };
            for index in open.remove(&batch.producer_id()).unwrap_or_default() {
                if let Some(Logged { fate: its, .. }) = all.get_mut(index) {
                    *its = fate;
                }
            }
            continue;
        }
        let Ok(records) = batch.records(Limits::default()) else { continue };
        for record in records.iter().flatten() {
            let fate = if batch.is_transactional() { Fate::Open } else { Fate::Plain };
            if fate == Fate::Open {
                open.entry(batch.producer_id()).or_default().push(all.len());
            }
            all.push(Logged { offset: record.offset, record: record.value.and_then(RecordId::read), fate });
        }
    }
    all
}

/// Looks for markers that have come since it looked last.
#[derive(Clone, Debug, Default)]
pub struct Markers {
    /// By partition: what is before it was looked at.
    seen: BTreeMap<Partition, i64>,
}

impl Markers {
    /// Up to where a partition was looked at.
    pub fn seen(&self, partition: Partition) -> i64 {
        self.seen.get(&partition).copied().unwrap_or(0)
    }

    /// The log has lost all from an offset on: what comes there is new.
    pub fn lost(&mut self, partition: Partition, from: i64) {
        if let Some(seen) = self.seen.get_mut(&partition) {
            *seen = from.min(*seen);
        }
    }

    /// The markers among these batches of a partition that were not seen yet.
    pub fn look(&mut self, partition: Partition, batches: &[Batch]) -> Vec<Event> {
        let seen = self.seen(partition);
        let new = batches.iter().filter(|batch| batch.base_offset() >= seen);
        let event = |batch: &Batch| {
            let (offset, producer_id) = (batch.base_offset(), batch.producer_id());
            marked(batch).map(|committed| Event::Marked { partition, offset, producer_id, committed })
        };
        let events = new.filter_map(event).collect();
        if let Some(last) = batches.last() {
            _ = self.seen.insert(partition, last.next_offset());
        }
        events
    }
}

#[cfg(test)]
mod tests {
    use klamm::protocol::records::{BatchBuilder, Compression, ControlMarker, NO_HEADERS};

    use super::*;

    /// Two records of a producer.
    fn batch(offset: i64, producer_id: i64, transactional: bool) -> Batch {
        let mut builder = BatchBuilder::new(256);
        for number in 0..2 {
            let value = RecordId { producer: 1, number: offset as u64 + number }.value(0);
            builder.append(0, None, Some(&value), NO_HEADERS).unwrap();
        }
        let bytes = builder.close(Compression::None).unwrap().stamp(producer_id, 0, 0, transactional);
        Batch::new(bytes).unwrap().assign(offset, 0, None)
    }

    fn marker(offset: i64, producer_id: i64, committed: bool) -> Batch {
        Batch::new(ControlMarker::end_of_transaction(committed, 0).batch(0, producer_id, 0)).unwrap().assign(offset, 0, None)
    }

    const P: Partition = Partition { topic: 0, number: 0 };

    #[test]
    fn the_next_marker_of_its_producer_is_the_fate_of_a_record() {
        let batches = [
            batch(0, 7, true),
            batch(2, 8, true),
            batch(4, 9, false),
            marker(6, 8, true),
            batch(7, 8, true),
            marker(9, 7, false),
            batch(10, 7, true),
            marker(12, 8, false),
        ];
        let fates: Vec<_> = records(&batches).iter().map(|logged| (logged.offset, logged.fate)).collect();
        let expected = [
            (0, Fate::Aborted(9)),
            (1, Fate::Aborted(9)),
            (2, Fate::Committed(6)),
            (3, Fate::Committed(6)),
            (4, Fate::Plain),
            (5, Fate::Plain),
            (7, Fate::Aborted(12)),
            (8, Fate::Aborted(12)),
            (10, Fate::Open),
            (11, Fate::Open),
        ];
        assert_eq!(fates, expected);
        assert_eq!(records(&batches)[2].record, Some(RecordId { producer: 1, number: 2 }));
    }

    #[test]
    fn each_marker_is_told_once() {
        let mut markers = Markers::default();
        let batches = [batch(0, 7, true), marker(2, 7, true), batch(3, 7, true), marker(5, 7, false)];
        assert_eq!(markers.look(P, &batches[..1]), []);
        let told = |offset, committed| Event::Marked { partition: P, offset, producer_id: 7, committed };
        assert_eq!(markers.look(P, &batches[..3]), [told(2, true)]);
        assert_eq!(markers.seen(P), 5);
        assert_eq!(markers.look(P, &batches[2..]), [told(5, false)]);
        assert_eq!(markers.look(P, &batches), []);
        markers.lost(P, 5);
        assert_eq!(markers.look(P, &batches), [told(5, false)]);
    }
}
