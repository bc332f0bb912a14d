//! Messages of formats 0 and 1, as brokers before 0.11 kept them, written here by hand; `tests/records_java.rs` has Kafka's own.

use super::*;

const T: i64 = 1_700_000_000_000;

/// One message. In format 0 the timestamp is left out.
fn message(magic: u8, offset: i64, attributes: u8, timestamp: i64, key: Option<&[u8]>, value: Option<&[u8]>) -> Vec<u8> {
    let mut checked = vec![magic, attributes];
    if magic > 0 {
        checked.extend(timestamp.to_be_bytes());
    }
    for field in [key, value] {
        checked.extend(field.map_or(-1, |field| field.len() as i32).to_be_bytes());
        checked.extend(field.unwrap_or_default());
    }
    let length = (checked.len() + 4) as i32;
    [&offset.to_be_bytes()[..], &length.to_be_bytes(), &crc32fast::hash(&checked).to_be_bytes(), &checked].concat()
}

/// A wrapper around `inner`.
fn wrapper(magic: u8, offset: i64, attributes: u8, timestamp: i64, codec: Compression, inner: &[u8]) -> Vec<u8> {
    let mut value = Vec::new();
    codec.compress(None, inner, &mut value).expect("compressed");
    if (magic, codec) == (0, Compression::Lz4) {
        // The header's checksum, over the magic number too: any but the right one.
        value[6] ^= 0x5a;
    }
    message(magic, offset, attributes | codec.id(), timestamp, None, Some(&value))
}

const CODECS: [Compression; 3] = [Compression::Gzip, Compression::Snappy, Compression::Lz4];

fn all(bytes: Vec<u8>) -> Result<Vec<Owned>, String> {
    let mut records = Vec::new();
    for batch in RecordBatches::new(bytes.into()) {
        records.extend(try_read(&batch.map_err(|error| error.to_string())?, Limits::default())?);
    }
    Ok(records)
}

fn refused(bytes: Vec<u8>) -> BatchErrorKind {
    match Batch::new(bytes.into()).and_then(|batch| batch.records(Limits::default())) {
        Err(error) => error.kind,
        Ok(records) => panic!("{records:?}"),
    }
}

fn reason(bytes: Vec<u8>) -> &'static str {
    match refused(bytes) {
        BatchErrorKind::BadRecord { reason, .. } => reason,
        other => panic!("{other:?}"),
    }
}

fn owned(offset: i64, timestamp: i64, key: Option<&str>, value: Option<&str>) -> Owned {
    let bytes = |text: Option<&str>| text.map(|text| text.as_bytes().to_vec());
    Owned { offset, timestamp, key: bytes(key), value: bytes(value), headers: Vec::new() }
}

#[test]
fn messages_alone_are_batches_of_one_record_with_tombstones_and_gaps() {
    let set = [
        message(0, 7, 0, 0, Some(b"k"), Some(b"v")),
        message(1, 9, 0, T, None, Some(b"")),
        message(1, 10, 8, T + 1, Some(b"k"), None),
    ];
    let batches: Vec<_> = RecordBatches::new(set.concat().into()).map(|batch| batch.expect("readable")).collect();
    let seen = |batch: &Batch| (batch.magic(), batch.base_offset(), batch.next_offset(), batch.record_count());
    assert_eq!(batches.iter().map(seen).collect::<Vec<_>>(), [(0, 7, 8, 1), (1, 9, 10, 1), (1, 10, 11, 1)]);
    let types = [TimestampType::CreateTime, TimestampType::CreateTime, TimestampType::LogAppendTime];
    assert_eq!(batches.iter().map(Batch::timestamp_type).collect::<Vec<_>>(), types);
    assert!(batches.iter().all(|batch| (batch.producer_id(), batch.partition_leader_epoch()) == (-1, -1)));
    let records = [owned(7, -1, Some("k"), Some("v")), owned(9, T, None, Some("")), owned(10, T + 1, Some("k"), None)];
    assert_eq!(all(set.concat()).expect("readable"), records);
}

#[test]
fn rk_079_relative_offsets_end_at_the_wrappers_with_each_codec() {
    let inner: Vec<u8> = [0, 1, 4].iter().flat_map(|at| message(1, *at, 0, T + at, Some(b"k"), Some(b"v"))).collect();
    for codec in CODECS {
        let bytes = wrapper(1, 104, 0, T + 4, codec, &inner);
        let batch = Batch::new(bytes.clone().into()).expect("batch");
        assert_eq!((batch.record_count(), batch.next_offset(), batch.is_compressed()), (-1, 105, true));
        let records = batch.records(Limits::default()).expect("readable");
        assert_eq!((records.base_offset(), records.count()), (100, 3));
        let expected = [0, 1, 4].map(|at| owned(100 + at, T + at, Some("k"), Some("v")));
        assert_eq!(all(bytes).expect("readable"), expected, "{codec}");
        // What librdkafka produced: 0 in the wrapper, and the offsets as they stand.
        let produced = all(wrapper(1, 0, 0, T, codec, &inner)).expect("readable");
        assert_eq!(produced.iter().map(|record| record.offset).collect::<Vec<_>>(), [0, 1, 4]);
        // With the broker's time, it counts for all.
        let appended = all(wrapper(1, 104, 8, T + 99, codec, &inner)).expect("readable");
        assert!(appended.iter().all(|record| record.timestamp == T + 99));
    }
}

#[test]
fn format_0_has_absolute_offsets_no_time_and_lz4_with_a_wrong_checksum() {
    let inner: Vec<u8> = [50, 53].iter().flat_map(|at| message(0, *at, 0, 0, None, Some(b"v"))).collect();
    for codec in CODECS {
        let records = all(wrapper(0, 53, 0, 0, codec, &inner)).expect("readable");
        assert_eq!(records, [50, 53].map(|at| owned(at, -1, None, Some("v"))), "{codec}");
    }
    // In format 1 the checksum counts.
    let mut value = Vec::new();
    Compression::Lz4.compress(None, &inner, &mut value).expect("compressed");
    value[6] ^= 0x5a;
    let kind = refused(message(1, 53, 3, T, None, Some(&value)));
    assert!(matches!(kind, BatchErrorKind::BadCompression { compression: Compression::Lz4, .. }), "{kind:?}");
    for header in [&value[..4], &value[..5], &[4, 0x22, 0x4d, 0x18, 0b1001, 0, 0, 0]] {
        let kind = refused(message(0, 53, 3, T, None, Some(header)));
        assert!(matches!(kind, BatchErrorKind::BadCompression { .. }), "{kind:?}");
    }
}

#[test]
fn wrappers_go_one_level_deep() {
    let inner = message(1, 0, 0, T, None, Some(b"v"));
    let once = wrapper(1, 0, 0, T, Compression::Gzip, &inner);
    assert_eq!(reason(wrapper(1, 0, 0, T, Compression::Gzip, &once)), "a compressed message is in a compressed one");
    let batch = plain(&values(&["v"]), Compression::None);
    assert_eq!(reason(wrapper(1, 0, 0, T, Compression::Gzip, &batch)), "its format is another than 0 or 1");
}

#[test]
fn what_contradicts_the_format_is_a_typed_error() {
    let one = message(1, 5, 0, T, Some(b"k"), Some(b"v"));
    let changed = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = one.clone();
        change(&mut bytes);
        let sum = crc32fast::hash(&bytes[16..]);
        bytes[12..16].copy_from_slice(&sum.to_be_bytes());
        bytes
    };
    assert!(matches!(
        refused({
            let mut bytes = one.clone();
            bytes[20] ^= 1;
            bytes
        }),
        BatchErrorKind::BadChecksum { .. }
    ));
    assert_eq!(reason(changed(&|bytes| bytes[29] = 9)), "its key is longer than it");
    assert_eq!(reason(changed(&|bytes| bytes[26] = 0xfe)), "its key is longer than it");
    assert_eq!(reason(changed(&|bytes| bytes[34] = 9)), "its value is longer than it");
    assert_eq!(reason(changed(&|bytes| bytes[34] = 0)), "bytes follow its value");
    assert_eq!(reason(changed(&|bytes| bytes[0] = 0x80)), "its offset is out of range");
    assert_eq!(reason(changed(&|bytes| bytes[..8].copy_from_slice(&i64::MAX.to_be_bytes()))), "its offset is out of range");
    assert_eq!(refused(changed(&|bytes| bytes[11] = 21)), BatchErrorKind::BadLength { length: 21, least: 22 });
    assert_eq!(refused(changed(&|bytes| bytes[16] = 3)), BatchErrorKind::UnsupportedFormat(3));
    assert_eq!(refused(changed(&|bytes| bytes[17] = 4)), BatchErrorKind::UnknownCompression(4));
    assert_eq!(refused(changed(&|bytes| bytes[17] = 5)), BatchErrorKind::UnknownCompression(5));
    assert_eq!(reason(message(1, 5, 1, T, None, None)), "a compressed message has no value");

    let wrapped = |inner: &[u8]| reason(wrapper(1, 9, 0, T, Compression::Gzip, inner));
    assert_eq!(wrapped(&[]), "no message is in the compressed one");
    assert_eq!(wrapped(&one[..one.len() - 1]), "a field is cut short");
    assert_eq!(wrapped(&message(1, 10, 0, T, None, None)), "its offset is below those in it");
    assert_eq!(wrapped(&[message(1, 2, 0, T, None, None), message(1, 1, 0, T, None, None)].concat()), "its offset descends");
    let mut corrupt = one.clone();
    *corrupt.last_mut().expect("bytes") ^= 1;
    let kind = refused(wrapper(1, 9, 0, T, Compression::Gzip, &corrupt));
    assert!(matches!(kind, BatchErrorKind::BadChecksum { .. }));
    // Who has checked before may do without.
    let limits = Limits { verify_checksum: false, ..Limits::default() };
    let bytes = wrapper(1, 9, 0, T, Compression::Gzip, &corrupt);
    let batch = Batch::with_limits(bytes.into(), limits).expect("batch");
    assert_eq!(batch.records(limits).expect("not looked at").count(), 1);
}

#[test]
fn cut_messages_are_fetched_again_and_bombs_stop_at_the_limit() {
    let one = message(0, 5, 0, 0, None, Some(b"v"));
    for cut in 1..one.len() {
        let mut batches = RecordBatches::new([&one, &one[..cut]].concat().into());
        assert!(batches.next().expect("whole").is_ok() && batches.next().is_none());
        assert!(batches.is_truncated() && batches.position() == one.len());
        assert_eq!(batches.truncated_size(), (cut >= LOG_OVERHEAD).then_some(one.len()));
    }
    let zeros = message(1, 0, 0, T, None, Some(&vec![0; 4 << 20]));
    for codec in CODECS {
        let batch = Batch::new(wrapper(1, 0, 0, T, codec, &zeros).into()).expect("batch");
        let error = batch.records(Limits { max_decompressed: 1 << 20, ..Limits::default() }).expect_err("too large");
        assert_eq!(error.kind, BatchErrorKind::TooLarge { compression: codec, limit: 1 << 20 });
    }
}

#[test]
fn only_the_offset_of_a_message_can_be_changed() {
    let batch = Batch::new(message(1, 5, 0, T, None, Some(b"v")).into()).expect("batch");
    let moved = batch.assign(77, 3, Some(1));
    assert_eq!(read(&Batch::new(moved.bytes().clone()).expect("still whole")), [owned(77, T, None, Some("v"))]);
    assert_eq!(moved.base_offset(), 77);
    assert_eq!(batch.edit().apply().expect_err("no such header").kind, BatchErrorKind::UnsupportedFormat(1));
    assert!(batch.edit().parts().is_err());
}

/// Fuzzing starts from these; recorded traffic has none, for no client writes them any more. A set that is missing is printed as the
/// line to add.
#[test]
fn the_fuzz_corpus_has_formats_0_and_1_with_each_codec() {
    let seeds = include_str!("../../../../fuzz/seeds/batches.txt");
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let unhex = |text: &str| -> Vec<u8> {
        text.as_bytes().chunks(2).map(|two| u8::from_str_radix(&String::from_utf8_lossy(two), 16).expect("hex")).collect()
    };
    let mut missing = Vec::new();
    for magic in 0..=1 {
        let timestamp = |at: i64| if magic == 0 { -1 } else { T + at };
        let first = if magic == 0 { 7 } else { 0 };
        let inner: Vec<u8> =
            (0..2).flat_map(|at| message(magic, first + at, 0, T + at, Some(b"k"), Some(b"value value"))).collect();
        let tombstone = message(magic, 9, 0, T + 2, Some(b"k"), None);
        let wrapped = CODECS.map(|codec| (codec.to_string(), wrapper(magic, 8, 0, T + 1, codec, &inner)));
        let plain = [
            message(magic, 7, 0, T, Some(b"k"), Some(b"value value")),
            message(magic, 8, 0, T + 1, Some(b"k"), Some(b"value value")),
        ];
        let records = [
            owned(7, timestamp(0), Some("k"), Some("value value")),
            owned(8, timestamp(1), Some("k"), Some("value value")),
            owned(9, timestamp(2), Some("k"), None),
        ];
        for (codec, set) in std::iter::once(("none".to_owned(), plain.concat())).chain(wrapped) {
            let set = [set, tombstone.clone()].concat();
            assert_eq!(all(set.clone()).expect("readable"), records);
            let name = format!("legacy-v{magic}-{codec} ");
            // The first byte asks for a whole set. What a codec writes may change from release to release; what is in it may not.
            match seeds.lines().find_map(|line| line.strip_prefix(&name)?.strip_prefix("01")) {
                Some(seed) => assert_eq!(all(unhex(seed)).expect("readable"), records, "{name}"),
                None => missing.push(format!("{name}01{}", hex(&set))),
            }
        }
    }
    assert!(missing.is_empty(), "not in fuzz/seeds/batches.txt:\n{}", missing.join("\n"));
}
