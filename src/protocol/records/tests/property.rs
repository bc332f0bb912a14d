//! Any records come back from any codec; any bytes are read or refused.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

fn field(longest: usize) -> impl Strategy<Value = Option<Vec<u8>>> {
    prop_oneof![1 => Just(None), 1 => Just(Some(Vec::new())), 6 => vec(any::<u8>(), 0..longest).prop_map(Some)]
}

fn timestamp() -> impl Strategy<Value = i64> {
    prop_oneof![8 => 1_700_000_000_000_i64..1_700_000_100_000, 2 => 0..=i64::MAX / 2, 1 => -1_000_i64..1_000]
}

pub(super) fn records(count: std::ops::Range<usize>) -> impl Strategy<Value = Vec<Owned>> {
    let header = (vec(any::<u8>(), 0..20), field(20));
    let record = (timestamp(), field(100), field(400), vec(header, 0..4));
    let record = record.prop_map(|(timestamp, key, value, headers)| Owned { offset: 0, timestamp, key, value, headers });
    vec(record, count).prop_map(|mut records| {
        (0..).zip(&mut records).for_each(|(offset, record)| record.offset = offset);
        records
    })
}

/// Reads all there is, however it ends.
fn exhaust(bytes: Bytes) {
    let limits = Limits { max_decompressed: 1 << 20, ..Limits::default() };
    for batch in RecordBatches::new(bytes).flatten() {
        let _ = batch.control_marker();
        let _ = try_read(&batch, limits);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn records_come_back_from_every_codec(records in records(0..60), codec in 0..5_u8, offset in 0..1_i64 << 60) {
        let compression = Compression::from_id(codec).expect("a codec");
        let batch = Batch::new(plain(&records, compression)).expect("batch").assign(offset, 1, None);
        let moved: Vec<_> = records.into_iter().map(|record| Owned { offset: record.offset + offset, ..record }).collect();
        prop_assert_eq!(read(&batch), moved);
    }

    #[test]
    fn a_changed_byte_is_found_by_the_checksum(records in records(1..10), at in any::<prop::sample::Index>(), flip in 1..=255_u8) {
        let mut bytes = BytesMut::from(&*plain(&records, Compression::None));
        let at = 21 + at.index(bytes.len() - 21);
        bytes[at] ^= flip;
        let error = Batch::new(bytes.freeze()).expect_err("corrupted");
        let bad = matches!(error.kind, BatchErrorKind::BadChecksum { .. });
        prop_assert!(bad);
    }

    #[test]
    fn changed_bytes_under_a_good_checksum_never_panic(
        records in records(1..10),
        codec in 0..5_u8,
        changes in vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        let mut bytes = BytesMut::from(&*plain(&records, Compression::from_id(codec).expect("a codec")));
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        let mut header = Header::read(bytes.first_chunk().expect("a header"));
        seal(&mut bytes, &mut header);
        exhaust(bytes.freeze());
    }

    #[test]
    fn any_bytes_never_panic(bytes in vec(any::<u8>(), 0..300)) {
        exhaust(bytes.into());
    }

    #[test]
    fn any_body_under_a_good_header_never_panics(body in vec(any::<u8>(), 0..200), count in 0..40_i32, attributes in 0..64_i16) {
        exhaust(forge(&body, |header| {
            (header.count, header.last_offset_delta, header.attributes) = (count, count.max(0) + 3, attributes);
        }));
    }

    #[test]
    fn varints_come_back_and_take_the_bytes_they_should(value in any::<i64>(), shift in 0..64_u32, tail in vec(any::<u8>(), 0..12)) {
        let value = value >> shift;
        let mut bytes = Vec::new();
        varint::put(varint::zigzag(value), &mut bytes);
        let size = bytes.len();
        prop_assert_eq!(size, varint::size(varint::zigzag(value)));
        if varint::zigzag(value) < varint::Word::LIMIT {
            let mut word = Vec::new();
            varint::Word::default().byte(9).varint(varint::zigzag(value)).put(&mut word);
            prop_assert_eq!(&word[1..], &bytes);
        }
        // With and without eight bytes to load.
        bytes.extend(tail);
        let mut at = 0;
        prop_assert_eq!(varint::read_i64(&bytes, &mut at), Some(value));
        prop_assert_eq!(at, size);
        let mut at = 0;
        prop_assert_eq!(varint::read_i32(&bytes, &mut at), i32::try_from(value).ok());
        for cut in 0..size {
            prop_assert_eq!(varint::read_i64(&bytes[..cut], &mut 0), None);
        }
    }
}
