use klamm::protocol::records::{BatchBuilder, Compression, ControlMarker, NO_HEADERS};

use super::*;

const NOW: i64 = 1_000_000;

/// Producer id, epoch and sequence; the first in a transaction.
type Producer = Option<(i64, i16, i32, bool)>;

fn batch(records: &[(&str, Option<&str>)], producer: Producer, compression: Compression) -> Batch {
    let mut builder = BatchBuilder::new(256);
    for (index, (key, value)) in (0..).zip(records) {
        builder.append(NOW - 500 + index, Some(key.as_bytes()), value.map(str::as_bytes), NO_HEADERS).expect("room");
    }
    let (id, epoch, sequence, transactional) = producer.unwrap_or((-1, -1, -1, false));
    Batch::new(builder.close(compression).expect("compressed").stamp(id, epoch, sequence, transactional)).expect("a batch")
}

fn marker(producer: i64, epoch: i16, committed: bool) -> Batch {
    Batch::new(ControlMarker::end_of_transaction(committed, 0).batch(NOW, producer, epoch)).expect("a batch")
}

fn log(batches: impl IntoIterator<Item = Batch>) -> Log {
    let mut log = Log::default();
    for batch in batches {
        log.append(&batch, 0, None);
    }
    log
}

fn clean(log: &mut Log, now_millis: i64) {
    let cleaned = Rules { now_millis, delete_retention: 100, lag: 0 }.clean(log);
    log.replace(cleaned);
}

/// Offset, key and value of each record of data.
fn records(log: &Log) -> Vec<(i64, String, Option<String>)> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let mut all = Vec::new();
    for batch in log.batches().filter(|batch| !batch.is_control()) {
        let records = batch.records(Limits::default()).expect("records");
        let record = |record: klamm::protocol::records::RecordRef<'_>| {
            (record.offset, text(record.key.expect("a key")), record.value.map(text))
        };
        all.extend(records.iter().map(|read| record(read.expect("a record"))));
    }
    all
}

fn record(offset: i64, key: &str, value: &str) -> (i64, String, Option<String>) {
    (offset, key.to_owned(), Some(value.to_owned()))
}

/// Base, next offset and number of records of each batch.
fn ranges(log: &Log) -> Vec<(i64, i64, i32)> {
    log.batches().map(|batch| (batch.base_offset(), batch.next_offset(), batch.record_count())).collect()
}

#[test]
fn the_last_record_of_each_key_stays_where_it_is() {
    for compression in [Compression::None, Compression::Lz4] {
        let mut log = log([
            batch(&[("a", Some("1")), ("b", Some("1")), ("a", Some("2"))], None, compression),
            batch(&[("c", Some("1")), ("a", Some("3"))], None, compression),
            batch(&[("c", Some("2"))], None, compression),
        ]);
        clean(&mut log, NOW);
        assert_eq!(records(&log), [record(1, "b", "1"), record(4, "a", "3"), record(5, "c", "2")]);
        assert_eq!(ranges(&log), [(0, 3, 1), (3, 5, 1), (5, 6, 1)]);
        assert_eq!((log.start_offset(), log.end_offset(), log.high_watermark()), (0, 6, 6));
        assert_eq!(log.size(), log.batches().map(|batch| batch.size() as u64).sum::<u64>());
        // Reading goes on over the gaps.
        assert_eq!(log.available(0, 6), log.size());
        assert_eq!(log.read(2, 6, usize::MAX, true, false).bytes.len() as u64, log.available(2, 6));
        let before = ranges(&log);
        clean(&mut log, NOW);
        assert_eq!(ranges(&log), before);
    }
}

#[test]
fn a_batch_of_which_nothing_is_left_goes_unless_it_is_its_producers_last() {
    let mut log = log([
        batch(&[("a", Some("1"))], Some((7, 0, 0, false)), Compression::None),
        batch(&[("a", Some("2"))], Some((7, 0, 1, false)), Compression::None),
        batch(&[("a", Some("3"))], None, Compression::None),
    ]);
    clean(&mut log, NOW);
    assert_eq!(ranges(&log), [(1, 2, 0), (2, 3, 1)], "the second is empty and still there");
    let empty = log.batches().next().expect("a batch");
    assert_eq!((empty.producer_id(), empty.base_sequence(), empty.last_sequence(), empty.size()), (7, 1, 1, 61));
    assert_eq!(records(&log), [record(2, "a", "3")]);
}

#[test]
fn a_tombstone_stays_until_its_horizon_is_over() {
    let mut log = log([
        batch(&[("a", Some("1")), ("b", Some("1"))], None, Compression::None),
        batch(&[("a", None), ("c", Some("1"))], None, Compression::None),
    ]);
    clean(&mut log, NOW);
    assert_eq!(records(&log), [record(1, "b", "1"), (2, "a".to_owned(), None), record(3, "c", "1")]);
    assert_eq!(log.batches().map(Batch::delete_horizon).collect::<Vec<_>>(), [None, Some(NOW + 100)]);
    clean(&mut log, NOW + 99);
    assert_eq!(records(&log).len(), 3);
    clean(&mut log, NOW + 100);
    assert_eq!(records(&log), [record(1, "b", "1"), record(3, "c", "1")]);
    let last = log.batches().last().expect("a batch");
    let times: Vec<_> =
        last.records(Limits::default()).expect("records").iter().map(|record| record.map(|record| record.timestamp)).collect();
    assert_eq!(times, [Ok(NOW - 499)], "times do not move by the horizon");
}

#[test]
fn aborted_records_go_and_do_not_hide_others() {
    let mut log = log([
        batch(&[("a", Some("kept"))], None, Compression::None),
        batch(&[("a", Some("aborted"))], Some((7, 0, 0, true)), Compression::None),
        batch(&[("b", Some("committed"))], Some((8, 0, 0, true)), Compression::None),
        marker(7, 0, false),
        marker(8, 0, true),
        batch(&[("z", Some("next"))], Some((7, 0, 1, true)), Compression::None),
        marker(7, 0, true),
    ]);
    clean(&mut log, NOW);
    assert_eq!(records(&log), [record(0, "a", "kept"), record(2, "b", "committed"), record(5, "z", "next")]);
    assert_eq!(ranges(&log), [(0, 1, 1), (2, 3, 1), (3, 4, 1), (4, 5, 1), (5, 6, 1), (6, 7, 1)], "all markers are there");
    assert!(log.read(0, 7, usize::MAX, true, true).aborted.is_empty(), "nothing aborted is left");
    // The marker's transaction is empty now: it may go when its time is over.
    clean(&mut log, NOW);
    assert_eq!(log.batches().filter_map(Batch::delete_horizon).count(), 1);
    clean(&mut log, NOW + 100);
    assert_eq!(ranges(&log).iter().map(|range| range.0).collect::<Vec<_>>(), [0, 2, 4, 5, 6]);
    assert_eq!((log.last_stable_offset(), log.end_offset()), (7, 7));
}

#[test]
fn what_is_not_stable_is_not_touched() {
    let mut log = log([
        batch(&[("a", Some("1"))], None, Compression::None),
        batch(&[("a", Some("open"))], Some((7, 0, 0, true)), Compression::None),
        batch(&[("a", Some("3"))], None, Compression::None),
    ]);
    clean(&mut log, NOW);
    assert_eq!(records(&log).len(), 3);
    log.append(&marker(7, 0, true), 0, None);
    clean(&mut log, NOW);
    assert_eq!(records(&log), [record(2, "a", "3")]);
}

#[test]
fn young_records_stay_where_a_topic_says_so() {
    let mut log = log([batch(&[("a", Some("1"))], None, Compression::None), batch(&[("a", Some("2"))], None, Compression::None)]);
    let cleaned = Rules { now_millis: NOW, delete_retention: 100, lag: 1000 }.clean(&log);
    assert_eq!(cleaned.len(), 2);
    let cleaned = Rules { now_millis: NOW + 2000, delete_retention: 100, lag: 1000 }.clean(&log);
    assert_eq!(cleaned.len(), 1);
    log.replace(cleaned);
    assert_eq!(records(&log), [record(1, "a", "2")]);
}
