//! Input made to do harm: each is a typed error, found before memory is spent on it.

use super::*;

fn kind(bytes: Bytes) -> BatchErrorKind {
    Batch::new(bytes).expect_err("refused").kind
}

fn record_error(body: &[u8], count: i32, last: i32) -> &'static str {
    let bytes = forge(body, |header| (header.count, header.last_offset_delta) = (count, last));
    let records = Batch::new(bytes).expect("its header is in order").records(Limits::default()).expect("not compressed");
    let results: Vec<_> = records.iter().collect();
    assert!(results.iter().rev().skip(1).all(Result::is_ok), "nothing comes behind an error");
    match results.into_iter().last().expect("something") {
        Err(BatchError { kind: BatchErrorKind::BadRecord { reason, .. }, .. }) => reason,
        other => panic!("{other:?}"),
    }
}

/// Length, attributes, timestamp delta, offset delta, null key, null value, no headers.
const RECORD: [u8; 7] = [12, 0, 0, 0, 1, 1, 0];
const SECOND: [u8; 7] = [12, 0, 0, 2, 1, 1, 0];

#[test]
fn lengths_below_the_header_are_refused() {
    for length in [i32::MIN, -1, 0, 14, 48] {
        assert_eq!(kind(forge(&RECORD, |header| header.length = length)), BatchErrorKind::BadLength { length, least: 49 });
    }
}

#[test]
fn a_giant_length_is_a_cut_batch_and_costs_nothing() {
    let bytes = forge(&RECORD, |header| header.length = i32::MAX);
    let mut batches = RecordBatches::new(bytes);
    assert!(batches.next().is_none() && batches.is_truncated());
    assert_eq!(batches.truncated_size(), Some(i32::MAX as usize + LOG_OVERHEAD));
}

#[test]
fn other_formats_are_refused_by_name() {
    for magic in [3, -1, i8::MIN] {
        assert_eq!(kind(forge(&RECORD, |header| header.magic = magic)), BatchErrorKind::UnsupportedFormat(magic));
    }
}

#[test]
fn the_checksum_comes_before_the_count() {
    let mut bytes = BytesMut::from(&*forge(&RECORD, |header| header.count = -5));
    assert_eq!(kind(bytes.clone().freeze()), BatchErrorKind::BadCount(-5));
    bytes[30] ^= 1;
    assert!(matches!(kind(bytes.freeze()), BatchErrorKind::BadChecksum { .. }));
}

#[test]
fn counts_that_cannot_be_are_refused() {
    for count in [-1, i32::MIN, 2, i32::MAX] {
        let bytes = forge(&RECORD, |header| (header.count, header.last_offset_delta) = (count, i32::MAX));
        assert_eq!(kind(bytes), BatchErrorKind::BadCount(count));
    }
    let bytes = forge(&RECORD, |header| (header.count, header.last_offset_delta) = (0, 0));
    let error = Batch::new(bytes).expect("its header is in order").records(Limits::default()).expect_err("refused");
    assert_eq!(error.kind, BatchErrorKind::BadCount(0), "there is a record that nobody counted");
}

#[test]
fn last_offsets_that_cannot_be_are_refused() {
    let two = [RECORD, SECOND].concat();
    for (base, delta) in [(0, -1), (0, 0), (i64::MAX, 1), (i64::MAX - 1, 1), (-1, 1), (i64::MIN, 1)] {
        let bytes = forge(&two, |header| (header.base_offset, header.count, header.last_offset_delta) = (base, 2, delta));
        assert_eq!(kind(bytes), BatchErrorKind::BadLastOffsetDelta(delta));
    }
    let bytes = forge(&two, |header| (header.base_offset, header.count, header.last_offset_delta) = (i64::MAX - 2, 2, 1));
    assert_eq!(Batch::new(bytes).expect("just in range").next_offset(), i64::MAX);
}

#[test]
fn records_that_contradict_the_batch_are_refused() {
    let with = |change: &dyn Fn(&mut [u8; 7])| {
        let mut second = SECOND;
        change(&mut second);
        record_error(&[RECORD, second].concat(), 2, 1)
    };
    assert_eq!(with(&|r| r[0] = 11), "its length is negative or runs over the batch");
    assert_eq!(with(&|r| r[0] = 14), "its length is negative or runs over the batch");
    assert_eq!(with(&|r| r[0] = 10), "a field is cut short or over-long");
    assert_eq!(with(&|r| r[0] = 0), "a field is cut short or over-long");
    assert_eq!(with(&|r| r[3] = 0), "its offset does not ascend within the batch");
    assert_eq!(with(&|r| r[3] = 1), "its offset does not ascend within the batch");
    assert_eq!(with(&|r| r[3] = 4), "its offset does not ascend within the batch");
    assert_eq!(with(&|r| r[4] = 3), "a field is cut short or over-long");
    assert_eq!(with(&|r| r[4] = 8), "a field is cut short or over-long");
    assert_eq!(with(&|r| r[5] = 0x80), "a field is cut short or over-long");
    assert_eq!(with(&|r| r[6] = 1), "its number of headers is negative or contradicts its length");
    assert_eq!(with(&|r| r[6] = 2), "its number of headers is negative or contradicts its length");
    let long = [&RECORD[..], &SECOND, &[0]].concat();
    assert_eq!(record_error(&long, 2, 1), "bytes follow the last record");
    assert_eq!(record_error(&[RECORD, SECOND].concat(), 1, 1), "bytes follow the last record");
}

#[test]
fn over_long_varints_are_refused() {
    for body in [
        [0x8c, 0x80, 0x80, 0x80, 0x80, 0x00, 0, 0, 0, 1, 1, 0].as_slice(),
        &[0xff, 0xff, 0xff, 0xff, 0x7f, 0, 0, 0, 0, 1, 1, 0],
        &[0xff; 14],
    ] {
        assert_eq!(record_error(body, 1, 0), "its length is cut short or over-long");
    }
    let eleven = [32, 0, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0, 0, 1, 1, 0];
    assert_eq!(record_error(&eleven, 1, 0), "a field is cut short or over-long");
    let too_many_bits = [30, 0, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x02, 0, 1, 1, 0];
    assert_eq!(record_error(&too_many_bits, 1, 0), "a field is cut short or over-long");
    // One more than needed is long, not over-long: Java reads it, too.
    let padded = [14, 0, 0x80, 0x00, 0, 1, 1, 0];
    let batch = Batch::new(forge(&padded, |_| {})).expect("batch");
    assert_eq!(read(&batch), [Owned::default()]);
}

#[test]
fn a_timestamp_out_of_range_is_refused() {
    let far = [30, 0, 0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01, 0, 1, 1, 0];
    let bytes = forge(&far, |header| header.base_timestamp = 1);
    let error = try_read(&Batch::new(bytes).expect("batch"), Limits::default()).expect_err("refused");
    assert!(error.contains("its timestamp leaves the range"), "{error}");
}

#[test]
fn broken_headers_end_in_an_error_and_cost_nothing() {
    // One header whose key is null; whose value runs over the record; with bytes behind it; and 2^30 headers in two bytes.
    for (length, tail) in [(16, vec![2, 1, 1]), (16, vec![2, 0, 4]), (18, vec![2, 0, 1, 0])] {
        let body = [&[length, 0, 0, 0, 1, 1], tail.as_slice()].concat();
        let bytes = forge(&body, |_| {});
        let batch = Batch::new(bytes).expect("batch");
        let error = try_read(&batch, Limits::default()).expect_err("refused");
        assert_eq!(error, "a record's headers are broken");
    }
    let many = [24, 0, 0, 0, 1, 1, 0x80, 0x80, 0x80, 0x80, 0x08, 0, 0];
    assert_eq!(record_error(&many, 1, 0), "its number of headers is negative or contradicts its length");
}

#[test]
fn codec_numbers_without_a_codec_are_refused() {
    for id in 5..8 {
        let bytes = forge(&RECORD, |header| header.attributes = id);
        let error = Batch::new(bytes).expect("batch").records(Limits::default()).expect_err("refused");
        assert_eq!(error.kind, BatchErrorKind::UnknownCompression(id as u8));
    }
}

fn compressed(compression: Compression, body: &[u8]) -> Batch {
    let bytes = forge(body, |header| {
        (header.attributes, header.count, header.last_offset_delta) = (i16::from(compression.id()), 1, 0);
    });
    Batch::new(bytes).expect("its header is in order")
}

fn zeros(compression: Compression, size: usize) -> Vec<u8> {
    let mut out = Vec::new();
    compression.compress(None, &vec![0; size], &mut out).expect("compressed");
    out
}

#[test]
fn a_bomb_stops_at_the_limit_with_each_codec() {
    let limit = 1 << 20;
    for compression in &Compression::ALL[1..] {
        let batch = compressed(*compression, &zeros(*compression, 8 << 20));
        let error = batch.records(Limits { max_decompressed: limit, ..Limits::default() }).expect_err("too large");
        assert_eq!(error.kind, BatchErrorKind::TooLarge { compression: *compression, limit });
        // Exactly at the limit it is let through, and found to be no records.
        let batch = compressed(*compression, &zeros(*compression, limit));
        let records = batch.records(Limits { max_decompressed: limit, ..Limits::default() }).expect("within the limit");
        assert!(records.iter().next().expect("something").is_err());
    }
}

#[cfg(feature = "zstd")]
#[test]
fn a_zstd_bomb_that_does_not_declare_its_size_stops_at_the_limit_too() {
    let stream = ::zstd::stream::encode_all(std::io::repeat(0).take(8 << 20), 1).expect("compressed");
    use std::io::Read;
    let error = compressed(Compression::Zstd, &stream)
        .records(Limits { max_decompressed: 1 << 20, ..Limits::default() })
        .expect_err("too large");
    assert_eq!(error.kind, BatchErrorKind::TooLarge { compression: Compression::Zstd, limit: 1 << 20 });
}

#[test]
fn broken_data_is_a_typed_error_with_each_codec() {
    for compression in &Compression::ALL[1..] {
        let whole = zeros(*compression, 100_000);
        for cut in [0, 1, 3, whole.len() / 2, whole.len() - 1] {
            // A stream without an end may pass in the codec; then what came out is no records.
            match compressed(*compression, &whole[..cut]).records(Limits::default()) {
                Err(BatchError { kind: BatchErrorKind::BadCompression { .. } | BatchErrorKind::BadCount(_), .. }) => {}
                Ok(records) => assert!(records.iter().next().is_some_and(|record| record.is_err())),
                Err(other) => panic!("{other}"),
            }
            let garbage = compressed(*compression, &[0x5a; 40]).records(Limits::default());
            assert!(matches!(garbage, Err(BatchError { kind: BatchErrorKind::BadCompression { .. }, .. })), "{garbage:?}");
        }
    }
}

#[cfg(feature = "snappy")]
#[test]
fn snappy_sizes_are_checked_before_memory_is_asked_for() {
    let reason = |body: &[u8]| match compressed(Compression::Snappy, body).records(Limits::default()).expect_err("refused").kind {
        BatchErrorKind::BadCompression { reason, .. } => reason,
        other => panic!("{other:?}"),
    };
    // A bare block that declares 100 MiB, and one that declares 4 GiB.
    assert_eq!(&*reason(&[0x80, 0x80, 0x80, 0x32, 0, 0]), "a block declares more than it can hold");
    assert_eq!(&*reason(&[0xff, 0xff, 0xff, 0xff, 0x0f, 0]), "a block declares more than it can hold");
    let stream = |tail: &[u8]| [b"\x82SNAPPY\0\0\0\0\x01\0\0\0\x01", tail].concat();
    assert_eq!(&*reason(&stream(&[0xff, 0xff, 0xff, 0xff])), "a block's length is negative");
    assert_eq!(&*reason(&stream(&[0x7f, 0xff, 0xff, 0xff, 1])), "a block is cut short");
    assert_eq!(&*reason(&stream(&[0, 0])), "a block's length is cut short");
    assert_eq!(&*reason(&stream(b"")[..12]), "the stream's header is cut short");
}

#[cfg(feature = "snappy")]
#[test]
fn snappy_is_read_bare_and_in_streams_put_one_behind_the_other() {
    let body = &plain(&values(&["a", "b"]), Compression::None)[BATCH_HEADER_SIZE..];
    let bare = snap::raw::Encoder::new().compress_vec(body).expect("compressed");
    let mut split = Vec::new();
    Compression::Snappy.compress(None, &body[..5], &mut split).expect("compressed");
    Compression::Snappy.compress(None, &body[5..], &mut split).expect("compressed");
    for data in [bare, split] {
        let bytes = forge(&data, |header| (header.attributes, header.count, header.last_offset_delta) = (2, 2, 1));
        assert_eq!(read(&Batch::new(bytes).expect("batch")).len(), 2);
    }
}

#[cfg(feature = "gzip")]
#[test]
fn gzip_members_in_a_row_are_one_stream() {
    let body = &plain(&values(&["a", "b"]), Compression::None)[BATCH_HEADER_SIZE..];
    let mut split = Vec::new();
    Compression::Gzip.compress(None, &body[..5], &mut split).expect("compressed");
    Compression::Gzip.compress(None, &body[5..], &mut split).expect("compressed");
    let bytes = forge(&split, |header| (header.attributes, header.count, header.last_offset_delta) = (1, 2, 1));
    assert_eq!(read(&Batch::new(bytes).expect("batch")).len(), 2);
}

#[cfg(feature = "lz4")]
#[test]
fn lz4_is_read_with_checksums_dependent_blocks_and_in_frames_put_one_behind_the_other() {
    use lz4_flex::frame::{BlockMode, BlockSize, FrameEncoder, FrameInfo};
    use std::io::Write;
    let value = "abcdefgh".repeat(50_000);
    let body = &plain(&values(&[&value, "b"]), Compression::None)[BATCH_HEADER_SIZE..];
    let frame = |info: FrameInfo, data: &[u8]| {
        let mut encoder = FrameEncoder::with_frame_info(info, Vec::new());
        encoder.write_all(data).expect("compressed");
        encoder.finish().expect("compressed")
    };
    let linked = FrameInfo::new().block_mode(BlockMode::Linked).block_size(BlockSize::Max4MB);
    let checked = FrameInfo::new().content_checksum(true).block_checksums(true).content_size(Some(body.len() as u64));
    let (first, second) = body.split_at(100);
    let split = [frame(FrameInfo::new(), first), frame(FrameInfo::new(), second)].concat();
    for data in [frame(linked, body), frame(checked, body), split] {
        let bytes = forge(&data, |header| (header.attributes, header.count, header.last_offset_delta) = (3, 2, 1));
        assert_eq!(read(&Batch::new(bytes).expect("batch"))[0].value.as_deref(), Some(value.as_bytes()));
    }
}

#[cfg(feature = "zstd")]
#[test]
fn zstd_windows_dictionaries_and_skippable_frames_are_refused() {
    let refused = |body: &[u8]| {
        let error = compressed(Compression::Zstd, body).records(Limits::default()).expect_err("refused");
        assert!(matches!(error.kind, BatchErrorKind::BadCompression { .. }), "{error}");
    };
    // Frame header with a window of 2^28, then an empty last block.
    refused(&[0x28, 0xb5, 0x2f, 0xfd, 0x00, 18 << 3, 1, 0, 0]);
    // Dictionary 7.
    refused(&[0x28, 0xb5, 0x2f, 0xfd, 0x01, 0, 7, 1, 0, 0]);
    // A skippable frame of four bytes.
    refused(&[0x50, 0x2a, 0x4d, 0x18, 4, 0, 0, 0, 1, 2, 3, 4]);
}

#[test]
fn broken_control_records_are_typed_errors() {
    let control = |key: Option<&[u8]>| {
        let mut builder = BatchBuilder::new(0);
        builder.append(0, key, None, NO_HEADERS).expect("room");
        let bytes = builder.close(Compression::None).expect("closed").into_control().stamp(1, 0, -1, true);
        Batch::new(bytes).expect("batch").control_type()
    };
    assert_eq!(control(Some(&[0, 0, 0, 5])), Ok(Some(ControlType::KRaftVersion)));
    for key in [None, Some([].as_slice()), Some(&[0, 0, 0]), Some(&[0xff, 0xff, 0, 0])] {
        let error = control(key).expect_err("refused");
        assert!(matches!(error.kind, BatchErrorKind::BadControlRecord(_)), "{error}");
    }
}

#[test]
fn every_type_of_control_record_is_known_by_its_number_and_others_are_handed_out() {
    for id in [0, 1, 2, 3, 4, 5, 6, 7, -1, i16::MAX] {
        let control_type = ControlType::from_id(id);
        assert_eq!(control_type.id(), id);
        assert_eq!(matches!(control_type, ControlType::Other(_)), !(0..7).contains(&id));
    }
    // A snapshot's first batch in KRaft has several.
    let mut builder = BatchBuilder::new(0);
    for id in [3_i16, 5, 6] {
        builder.append(0, Some(&[[0, 0], id.to_be_bytes()].concat()), Some(&[0, 0, id as u8]), NO_HEADERS).expect("room");
    }
    let bytes = builder.close(Compression::None).expect("closed").into_control().stamp(-1, -1, -1, false);
    let records = Batch::new(bytes).expect("batch").records(Limits::default()).expect("records");
    let seen = records.iter().map(|record| {
        let record = ControlRecord::read(&record.expect("readable")).expect("a control record");
        assert_eq!((record.version, record.coordinator_epoch()), (0, None));
        (record.control_type, record.value.map(<[u8]>::len))
    });
    let expected = [ControlType::SnapshotHeader, ControlType::KRaftVersion, ControlType::KRaftVoters];
    assert_eq!(seen.collect::<Vec<_>>(), expected.map(|control_type| (control_type, Some(3))));
}

#[test]
fn sequences_that_contradict_the_producer_are_refused() {
    let sequence = |id: i64, attributes: i16, sequence: i32| {
        let bytes = forge(&RECORD, |header| {
            (header.producer_id, header.attributes, header.base_sequence) = (id, attributes, sequence);
        });
        Batch::new(bytes).map(|batch| batch.base_sequence()).map_err(|error| error.kind)
    };
    assert_eq!(sequence(-1, 0, -2), Err(BatchErrorKind::BadBaseSequence(-2)));
    assert_eq!(sequence(5, 0, -1), Err(BatchErrorKind::BadBaseSequence(-1)));
    // A marker has no sequence; and Sarama writes 0 where nobody counts.
    assert_eq!(sequence(5, 1 << 5, -1), Ok(-1));
    assert_eq!(sequence(-1, 0, 0), Ok(0));
}

#[test]
fn the_ratio_and_the_budget_of_a_fetch_stop_decompression_too() {
    let zeros = |size| compressed(Compression::Gzip, &zeros(Compression::Gzip, size));
    let limits = Limits { max_ratio: 100, ..Limits::default() };
    // Any batch may come to 16 MiB.
    assert!(zeros(16 << 20).records(limits).is_ok());
    let error = zeros((16 << 20) + 1).records(limits).expect_err("too dense");
    assert_eq!(error.kind, BatchErrorKind::RatioTooHigh { compression: Compression::Gzip, ratio: 100 });
    assert!(zeros((16 << 20) + 1).records(Limits::default()).is_ok());

    let limits = Limits { max_fetch_decompressed: 5 << 20, ..Limits::default() };
    let mut budget = limits.fetch_budget(1 << 20);
    let batch = zeros(2 << 20);
    for left in [3 << 20, 1 << 20] {
        assert!(batch.records_within(limits, &mut budget).is_ok());
        assert_eq!(budget.left(), left);
    }
    let error = batch.records_within(limits, &mut budget).expect_err("the third is too much");
    assert_eq!(error.kind, BatchErrorKind::FetchTooLarge { compression: Compression::Gzip, limit: 5 << 20 });
    assert_eq!(budget.left(), 1 << 20);
    // What is not compressed costs nothing, and what fits is still read.
    let plain = Batch::new(plain(&values(&["v"]), Compression::None)).expect("batch");
    assert!(plain.records_within(limits, &mut budget).is_ok() && zeros(1 << 20).records_within(limits, &mut budget).is_ok());
    assert_eq!(budget.left(), 0);
}

#[test]
fn checksums_are_not_looked_at_where_that_is_wanted() {
    let bytes = forge(&RECORD, |_| {});
    let mut corrupt = bytes.to_vec();
    corrupt[17] ^= 1;
    let trusting = Limits { verify_checksum: false, ..Limits::default() };
    assert!(Batch::new(corrupt.clone().into()).is_err() && Batch::with_limits(corrupt.clone().into(), trusting).is_ok());
    let set = [&bytes[..], &corrupt].concat();
    let mut batches = RecordBatches::new(set.clone().into());
    assert!(batches.next().is_some_and(|batch| batch.is_ok()) && batches.next().is_some_and(|batch| batch.is_err()));
    assert_eq!(batches.position(), bytes.len());
    assert_eq!(RecordBatches::with_limits(set.into(), trusting).filter(Result::is_ok).count(), 2);
}
