//! Batches made by Kafka's own classes, version 4.4.0; `tests/fixtures/records/Golden.java` made the files.

use super::*;

const T: i64 = 1_700_000_000_000;

const BATCHES: [(Compression, &[u8]); 5] = [
    (Compression::None, include_bytes!("../../../../tests/fixtures/records/java-none.bin")),
    (Compression::Gzip, include_bytes!("../../../../tests/fixtures/records/java-gzip.bin")),
    (Compression::Snappy, include_bytes!("../../../../tests/fixtures/records/java-snappy.bin")),
    (Compression::Lz4, include_bytes!("../../../../tests/fixtures/records/java-lz4.bin")),
    (Compression::Zstd, include_bytes!("../../../../tests/fixtures/records/java-zstd.bin")),
];

fn expected() -> Vec<Owned> {
    let text = |text: &str| Some(text.as_bytes().to_vec());
    let headers = vec![(b"a".to_vec(), text("1")), (b"".to_vec(), None), (b"a".to_vec(), text(""))];
    let mut records = vec![
        Owned { timestamp: T + 5, key: text("key"), value: text("value"), ..Owned::default() },
        Owned { timestamp: T, value: text("no key"), ..Owned::default() },
        Owned { timestamp: T + 9, key: text(""), headers, ..Owned::default() },
    ];
    records.extend((0..40).map(|index| Owned {
        timestamp: T + 1_000 + index * 1_000,
        key: text(&format!("k{index}")),
        value: text(&"x".repeat(index as usize * 10)),
        ..Owned::default()
    }));
    (1_000..).zip(&mut records).for_each(|(offset, record)| record.offset = offset);
    records
}

#[test]
fn rk_073_what_java_wrote_with_each_codec_is_read_the_same() {
    for (compression, bytes) in BATCHES {
        let mut batches = RecordBatches::new(Bytes::from_static(bytes));
        let batch = batches.next().expect("a batch").expect("readable");
        assert!(batches.next().is_none() && !batches.is_truncated());
        assert_eq!(batch.compression(), Ok(compression));
        assert_eq!((batch.producer_id(), batch.producer_epoch(), batch.base_sequence()), (4_711, 3, 17));
        assert_eq!((batch.partition_leader_epoch(), batch.last_offset(), batch.max_timestamp()), (5, 1_042, T + 40_000));
        assert_eq!(read(&batch), expected(), "{compression}");
    }
}

#[test]
fn an_uncompressed_batch_is_byte_for_byte_what_java_writes() {
    // Records in order of their timestamps: otherwise Java's base timestamp is the first one's, and klamm's is the lowest.
    let java = include_bytes!("../../../../tests/fixtures/records/java-ordered.bin");
    let stamped = build(&expected()[3..]).close(Compression::None).expect("closed").stamp(4_711, 3, 17, false);
    let ours = Batch::new(stamped).expect("batch").assign(1_000, 5, None);
    assert_eq!(*ours.bytes(), java.as_slice());
}

#[test]
fn javas_commit_marker_is_read_and_ours_carries_the_same() {
    let bytes = Bytes::from_static(include_bytes!("../../../../tests/fixtures/records/java-commit.bin"));
    let java = Batch::new(bytes).expect("batch");
    let marker = java.control_marker().expect("readable").expect("a marker");
    assert_eq!(marker, ControlMarker::end_of_transaction(true, 9));
    let ours = Batch::new(marker.batch(T, 4_711, 3)).expect("batch").assign(1_000, 5, None);
    assert_eq!(ours.bytes(), java.bytes());
}

#[test]
fn rk_079_what_java_compressed_in_format_1_is_read_with_its_offsets() {
    let bytes = Bytes::from_static(include_bytes!("../../../../tests/fixtures/records/java-v1-gzip.bin"));
    let mut batches = RecordBatches::new(bytes);
    let batch = batches.next().expect("something").expect("readable");
    assert!(batches.next().is_none() && !batches.is_truncated());
    assert_eq!((batch.magic(), batch.next_offset()), (1, 105));
    let text = |text: &str| Some(text.as_bytes().to_vec());
    let record = |index: i64| Owned {
        offset: 100 + index,
        timestamp: T + index,
        key: text("k"),
        value: text(&format!("v{index}")),
        headers: Vec::new(),
    };
    assert_eq!(read(&batch), (0..5).map(record).collect::<Vec<_>>());
}
