//! Batches of which some records are left out.

use super::*;

const CODECS: [Compression; 5] = [Compression::None, Compression::Gzip, Compression::Snappy, Compression::Lz4, Compression::Zstd];

fn records(count: i64) -> Vec<Owned> {
    let record = |index: i64| Owned {
        offset: index,
        // Not ascending, and some far from the base.
        timestamp: 1_700_000_000_000 + (index * 7919) % 100_000 - if index % 5 == 4 { 1 << 33 } else { 0 },
        key: (index % 3 != 0).then(|| format!("key {}", index % 4).into_bytes()),
        value: (index % 7 != 3).then(|| vec![b'v'; (index * 40) as usize % 300]),
        headers: if index % 4 == 1 { vec![(b"name".to_vec(), None), (b"".to_vec(), Some(b"x".to_vec()))] } else { Vec::new() },
    };
    (0..count).map(record).collect()
}

fn produced(records: &[Owned], compression: Compression) -> Batch {
    let bytes = build(records).close(compression).expect("compressed").stamp(7, 3, 100, true);
    Batch::new(bytes).expect("a batch").edit().base_offset(5000).partition_leader_epoch(9).apply().expect("moved")
}

#[test]
fn what_stays_is_as_it_was_and_the_batch_covers_the_same() {
    for compression in CODECS.into_iter().filter(|compression| compression.is_compiled_in()) {
        for (count, horizon) in [(1, None), (2, Some(1_700_000_500_000)), (40, None), (40, Some(5)), (200, Some(i64::MAX / 2))] {
            let batch = produced(&records(count), compression);
            for keep_every in [1, 2, 3, 1000] {
                let kept = |offset: i64| (offset - 5000) % keep_every == keep_every - 1;
                let cleaned = batch.retain(Limits::default(), horizon, |record| kept(record.offset)).expect("cleaned");
                // Checksum, count and range are in order.
                let cleaned = Batch::new(cleaned.bytes().clone()).expect("a batch");
                let expected: Vec<_> = read(&batch).into_iter().filter(|record| kept(record.offset)).collect();
                assert_eq!(read(&cleaned), expected, "{compression:?}, {count} records, one in {keep_every}");
                assert_eq!(cleaned.record_count(), expected.len() as i32);
                let place = |batch: &Batch| (batch.base_offset(), batch.next_offset(), batch.partition_leader_epoch());
                assert_eq!(place(&cleaned), place(&batch));
                let producer =
                    |batch: &Batch| (batch.producer_id(), batch.producer_epoch(), batch.base_sequence(), batch.last_sequence());
                assert_eq!((producer(&cleaned), cleaned.is_transactional()), (producer(&batch), true));
                assert_eq!(cleaned.delete_horizon(), horizon);
                let latest = expected.iter().map(|record| record.timestamp).max();
                assert_eq!(cleaned.max_timestamp(), latest.unwrap_or(batch.max_timestamp()));
            }
        }
    }
}

#[test]
fn the_brokers_time_and_an_earlier_horizon_stay() {
    let batch = produced(&records(20), Compression::None);
    let batch = batch.edit().log_append_time(1_800_000_000_000).apply().expect("edited");
    let first = batch.retain(Limits::default(), Some(77), |record| record.offset % 2 == 0).expect("cleaned");
    let second = first.retain(Limits::default(), Some(99), |record| record.offset % 4 == 0).expect("cleaned");
    assert_eq!((second.delete_horizon(), second.max_timestamp(), second.record_count()), (Some(77), 1_800_000_000_000, 5));
    assert!(read(&second).iter().all(|record| record.timestamp == 1_800_000_000_000));
}

#[test]
fn what_cannot_be_read_is_not_cleaned() {
    let batch = produced(&records(3), Compression::None);
    let mut bytes = BytesMut::from(&batch.bytes()[..]);
    bytes[61] = 0xff;
    let mut header = batch.header;
    seal(&mut bytes, &mut header);
    let broken = Batch::new(bytes.freeze()).expect("a header");
    assert!(matches!(
        broken.retain(Limits::default(), None, |_| true).expect_err("broken").kind,
        BatchErrorKind::BadRecord { .. }
    ));
}
