//! Batches with other headers around the same records.

use proptest::prelude::*;

use super::property::records;
use super::*;

#[test]
fn the_checksum_changes_only_with_what_it_covers_and_is_right() {
    for codec in Compression::ALL {
        let bytes = plain(&values(&["a", "b", &"c".repeat(10_000)]), codec);
        let batch = Batch::new(bytes.clone()).expect("batch");
        let moved = batch.edit().base_offset(1 << 40).partition_leader_epoch(9).apply().expect("in range");
        assert_eq!(
            moved.bytes()[12..],
            {
                let mut same = bytes.to_vec();
                same[12..16].copy_from_slice(&9_i32.to_be_bytes());
                same
            }[12..]
        );
        let edited = batch.edit().producer(4_711, 3, 17).transactional().log_append_time(99).apply().expect("in order");
        let again = Batch::new(edited.bytes().clone()).expect("the checksum fits");
        assert_eq!((again.producer_id(), again.producer_epoch(), again.base_sequence()), (4_711, 3, 17));
        assert!(again.is_transactional() && again.timestamp_type() == TimestampType::LogAppendTime);
        assert_eq!(again.bytes()[BATCH_HEADER_SIZE..], bytes[BATCH_HEADER_SIZE..]);
        let back = again.edit().producer(-1, -1, -1).not_transactional().apply().expect("in order");
        assert!(Batch::new(back.bytes().clone()).is_ok_and(|batch| !batch.is_transactional()));
    }
}

#[test]
fn parts_share_the_records_and_a_change_in_place_takes_no_copy() {
    let mut batch = Batch::new(plain(&values(&["a"]), Compression::None)).expect("batch");
    let (header, records) = batch.edit().producer(1, 2, 3).parts().expect("in order");
    assert_eq!(records.as_ptr(), batch.bytes()[BATCH_HEADER_SIZE..].as_ptr());
    drop(records);
    let place = batch.bytes().as_ptr();
    batch.edit_in_place(|edit| edit.producer(1, 2, 3)).expect("in order");
    assert_eq!((batch.bytes().as_ptr(), &batch.bytes()[..BATCH_HEADER_SIZE]), (place, &header[..]));
    let shared = batch.clone();
    batch.edit_in_place(|edit| edit.base_offset(5)).expect("in order");
    assert!(shared.base_offset() == 0 && shared.bytes().as_ptr() != batch.bytes().as_ptr());
}

#[test]
fn what_the_header_cannot_say_is_refused_and_a_wrong_checksum_stays_wrong() {
    let mut batch = Batch::new(plain(&values(&["a", "b"]), Compression::None)).expect("batch");
    for offset in [-1, i64::MAX, i64::MAX - 1] {
        let error = batch.edit_in_place(|edit| edit.base_offset(offset)).expect_err("out of range");
        assert_eq!(error.kind, BatchErrorKind::BadLastOffsetDelta(1));
    }
    for (id, sequence) in [(5, -1), (-1, -2)] {
        let error = batch.edit().producer(id, 0, sequence).parts().expect_err("contradiction");
        assert_eq!(error.kind, BatchErrorKind::BadBaseSequence(sequence));
    }
    let mut corrupt = batch.bytes().to_vec();
    *corrupt.last_mut().expect("bytes") ^= 1;
    let trusting = Limits { verify_checksum: false, ..Limits::default() };
    let batch = Batch::with_limits(corrupt.into(), trusting).expect("not looked at");
    let edited = batch.edit().producer(1, 2, 3).apply().expect("in order");
    let error = Batch::new(edited.bytes().clone()).expect_err("still wrong");
    assert!(matches!(error.kind, BatchErrorKind::BadChecksum { .. }));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn stamping_anew_and_editing_come_to_the_same_bytes(
        records in records(1..20), codec in 0..5_u8, id in 0..i64::MAX, epoch in 0..i16::MAX, sequence in 0..i32::MAX
    ) {
        let codec = Compression::from_id(codec).expect("a codec");
        let mut closed = build(&records).close(codec).expect("compressed");
        let batch = Batch::new(closed.stamp(-1, -1, -1, false)).expect("batch");
        let edited = batch.edit().producer(id, epoch, sequence).transactional().apply().expect("in order");
        prop_assert_eq!(edited.bytes(), &closed.stamp(id, epoch, sequence, true));
    }
}

#[test]
fn checksums_are_moved_over_any_length_as_the_crate_would() {
    for (bytes, difference) in
        (0..64).map(|bit| (1_usize << bit, 0x1234_5678)).chain([(0, 7), (110_464, u32::MAX), (usize::MAX, 1)])
    {
        let expected = if bytes == 0 { difference } else { crc32c::crc32c_combine(difference, 0, bytes) };
        assert_eq!(super::super::rebatch::shifted(difference, bytes), expected, "{bytes}");
    }
}
