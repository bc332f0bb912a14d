//! What is written, read back.

use super::*;

fn sample() -> Vec<Owned> {
    let headers = [(b"b".to_vec(), Some(b"1".to_vec())), (b"a".to_vec(), None), (b"b".to_vec(), Some(Vec::new()))];
    let record = |index: usize| Owned {
        offset: index as i64,
        timestamp: 1_700_000_000_000 + index as i64,
        key: (!index.is_multiple_of(3)).then(|| b"key".to_vec()),
        value: (!index.is_multiple_of(5)).then(|| vec![index as u8; index]),
        headers: headers[..index % 4].to_vec(),
    };
    (0..300).map(record).collect()
}

#[test]
fn a_batch_comes_back_as_it_was_written_with_every_codec() {
    for compression in Compression::ALL {
        let mut closed = build(&sample()).close(compression).expect("closed");
        let batch = Batch::new(closed.stamp(7, 3, 11, true)).expect("batch");
        assert_eq!(batch.compression(), Ok(compression));
        assert_eq!((batch.producer_id(), batch.producer_epoch(), batch.base_sequence()), (7, 3, 11));
        assert!(batch.is_transactional() && !batch.is_control());
        assert_eq!((batch.last_sequence(), batch.last_offset(), batch.next_offset()), (310, 299, 300));
        assert_eq!((batch.base_timestamp(), batch.max_timestamp()), (1_700_000_000_000, 1_700_000_000_299));
        assert_eq!(batch.size(), closed.size());
        assert_eq!(read(&batch), sample());
    }
}

#[test]
fn rk_076_the_codec_bits_are_0_to_4() {
    for (id, name) in ["none", "gzip", "snappy", "lz4", "zstd"].into_iter().enumerate() {
        let compression: Compression = name.parse().expect("a codec");
        let bytes = plain(&values(&["a", "b"]), compression);
        assert_eq!(usize::from(bytes[22]), id);
        assert_eq!(compression.to_string(), name);
        assert_eq!(compression.is_compiled_in(), Batch::new(bytes).expect("batch").records(Limits::default()).is_ok());
    }
}

#[test]
fn rk_077_an_unknown_codec_is_an_error_that_names_it() {
    let error = "brotli".parse::<Compression>().expect_err("no such codec");
    assert!(error.to_string().contains("\"brotli\""), "{error}");
    assert!("GZIP".parse::<Compression>().is_err(), "names are case-sensitive, as in Kafka");
}

#[test]
fn rk_081_the_base_timestamp_is_the_lowest_even_if_it_came_later() {
    let t = 1_700_000_000_000;
    let records: Vec<_> = [5, 0, 9].map(|delta| Owned { timestamp: t + delta, ..Owned::default() }).into();
    let batch = Batch::new(plain(&records, Compression::None)).expect("batch");
    assert_eq!((batch.base_timestamp(), batch.max_timestamp()), (t, t + 9));
    let mut at = 0;
    for (index, delta) in [5, 0, 9].into_iter().enumerate() {
        let raw = super::super::decode::RawRecord::read(&batch.bytes()[BATCH_HEADER_SIZE..], &mut at).expect("record");
        assert_eq!((raw.timestamp_delta, raw.offset_delta), (delta, index as i32));
    }
}

#[test]
fn rk_080_with_log_append_time_every_record_has_the_batchs_timestamp() {
    for compression in Compression::ALL {
        let batch = Batch::new(plain(&sample(), compression)).expect("batch").assign(5_000, 4, Some(42));
        let batch = Batch::new(batch.bytes().clone()).expect("the checksum fits");
        assert_eq!(batch.timestamp_type(), TimestampType::LogAppendTime);
        assert_eq!((batch.base_offset(), batch.partition_leader_epoch(), batch.max_timestamp()), (5_000, 4, 42));
        assert!(read(&batch).iter().all(|record| record.timestamp == 42));
        assert_eq!(read(&batch).last().map(|record| record.offset), Some(5_299));
    }
}

#[test]
fn an_offset_can_be_assigned_without_touching_the_checksum() {
    let made = plain(&sample(), Compression::None);
    let assigned = Batch::new(made.clone()).expect("batch").assign(77, 9, None);
    assert_eq!(assigned.bytes()[CHECKSUM], made[CHECKSUM]);
    let read_again = Batch::new(assigned.bytes().clone()).expect("batch");
    assert_eq!((read_again.base_offset(), read_again.partition_leader_epoch(), read_again.next_offset()), (77, 9, 377));
}

const CHECKSUM: std::ops::Range<usize> = 17..21;

#[test]
fn null_and_empty_stay_apart() {
    let fields = [None, Some(Vec::new()), Some(b"x".to_vec())];
    let mut records = Vec::new();
    for key in &fields {
        for value in &fields {
            let headers = vec![(b"".to_vec(), value.clone()), (b"h".to_vec(), None)];
            let offset = records.len() as i64;
            records.push(Owned { offset, key: key.clone(), value: value.clone(), headers, ..Owned::default() });
        }
    }
    assert_eq!(read(&Batch::new(plain(&records, Compression::None)).expect("batch")), records);
}

#[test]
fn a_batch_can_be_stamped_anew_in_place_and_while_the_old_bytes_are_held() {
    let mut closed = build(&sample()).close(Compression::None).expect("closed");
    let at = closed.stamp(1, 0, 0, false).as_ptr();
    let second = closed.stamp(2, 1, 5, false);
    assert_eq!(at, second.as_ptr(), "nobody held the first stamp");
    let third = closed.stamp(3, 0, 0, true);
    assert_ne!(second.as_ptr(), third.as_ptr(), "held bytes must not change under their holder");
    let batch = Batch::new(second).expect("batch");
    assert_eq!((batch.producer_id(), batch.producer_epoch(), batch.base_sequence()), (2, 1, 5));
    let batch = Batch::new(third.clone()).expect("batch");
    assert!(batch.is_transactional());
    assert_eq!(closed.bytes(), &third);
    assert_eq!(closed.identity(), (3, 0, 0));
    drop((batch, third));
    let buffer = closed.into_buffer().expect("nobody else holds it");
    assert!(buffer.capacity() > 1_000 && BatchBuilder::from_buffer(buffer).is_empty());
}

#[test]
fn timestamps_at_both_ends_of_the_range_are_kept_or_refused() {
    let mut builder = BatchBuilder::new(0);
    assert_eq!(builder.append(-1, None, None, NO_HEADERS), Ok(0));
    assert_eq!(builder.append(i64::MAX - 1, None, None, NO_HEADERS), Ok(1));
    let size = builder.len();
    assert_eq!(builder.append(i64::MAX, None, None, NO_HEADERS), Err(AppendError::TimestampOutOfRange));
    assert_eq!((builder.len(), builder.count()), (size, 2));
    assert_eq!(builder.append(i64::MIN, None, None, NO_HEADERS), Ok(2), "as a difference from -1 it can be said");
    let bytes = builder.close(Compression::None).expect("closed").stamp(NO_PRODUCER_ID, NO_PRODUCER_EPOCH, NO_SEQUENCE, false);
    let batch = Batch::new(bytes).expect("batch");
    let timestamps: Vec<_> = read(&batch).into_iter().map(|record| record.timestamp).collect();
    assert_eq!(timestamps, [-1, i64::MAX - 1, i64::MIN]);
}

#[test]
fn a_large_batch_does_not_grow_for_the_sake_of_its_base_timestamp() {
    let mut records = values(&["x"; 1_000]);
    records.iter_mut().enumerate().for_each(|(index, record)| {
        (record.offset, record.timestamp) = (index as i64, 1_000_000);
    });
    records[999].timestamp = 0;
    let builder = build(&records);
    let size = builder.len();
    let mut closed = builder.close(Compression::None).expect("closed");
    assert_eq!(closed.size(), size);
    let batch = Batch::new(closed.stamp(NO_PRODUCER_ID, NO_PRODUCER_EPOCH, NO_SEQUENCE, false)).expect("batch");
    assert_eq!(read(&batch), records);
}

#[test]
fn data_that_does_not_compress_is_sent_plain_and_says_so() {
    let mut state = 1_u64;
    let mut noise = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 33) as u8
    };
    let records = [Owned { value: Some((0..100_000).map(|_| noise()).collect()), ..Owned::default() }];
    for compression in Compression::ALL {
        let closed = build(&records).close(compression).expect("closed");
        assert_eq!(closed.compression(), Compression::None);
        assert_eq!(closed.size(), closed.uncompressed_size());
        assert_eq!(read(&Batch::new(plain(&records, compression)).expect("batch")), records);
    }
}

#[test]
fn compression_levels_are_taken_and_clamped() {
    for compression in [Compression::Gzip, Compression::Zstd] {
        for level in [None, Some(1), Some(9), Some(1_000), Some(i32::MIN)] {
            let mut closed = build(&sample()).close_with_level(compression, level).expect("closed");
            let batch = Batch::new(closed.stamp(-1, -1, -1, false)).expect("batch");
            assert!(closed.size() < closed.uncompressed_size() || level == Some(i32::MIN));
            assert_eq!(read(&batch), sample());
        }
    }
}

#[test]
fn an_empty_batch_has_no_records() {
    let bytes = plain(&[], Compression::Gzip);
    let batch = Batch::new(bytes).expect("batch");
    assert_eq!(batch.record_count(), 0);
    assert_eq!(read(&batch), []);
}

#[test]
fn a_batch_emptied_by_compaction_still_has_its_position() {
    for attributes in [0, 1, 4] {
        let bytes = forge(&[], |header| {
            (header.count, header.last_offset_delta, header.base_offset, header.attributes) = (0, 9, 100, attributes);
        });
        let batch = Batch::new(bytes).expect("batch");
        assert_eq!((batch.last_offset(), batch.next_offset()), (109, 110));
        assert_eq!(read(&batch), []);
    }
}

#[test]
fn a_markers_type_and_epoch_come_back() {
    for (committed, control_type) in [(true, ControlType::Commit), (false, ControlType::Abort)] {
        let bytes = ControlMarker::end_of_transaction(committed, 12).batch(1_700, 4_711, 3);
        let batch = Batch::new(bytes).expect("batch");
        assert!(batch.is_control() && batch.is_transactional());
        assert_eq!((batch.producer_id(), batch.producer_epoch(), batch.base_sequence()), (4_711, 3, -1));
        let marker = batch.control_marker().expect("readable").expect("a marker");
        assert_eq!((marker.control_type, marker.coordinator_epoch), (control_type, Some(12)));
    }
    assert_eq!(Batch::new(plain(&values(&["x"]), Compression::None)).expect("batch").control_type(), Ok(None));
}

#[test]
fn a_record_set_is_walked_to_its_cut_end() {
    let one = plain(&values(&["a", "b"]), Compression::None);
    let mut set = BytesMut::new();
    (0..3).for_each(|_| set.extend_from_slice(&one));
    let set = set.freeze();
    for cut in 0..set.len() {
        let mut batches = RecordBatches::new(set.slice(..cut));
        let whole = batches.by_ref().collect::<Result<Vec<_>, _>>().expect("whole batches").len();
        assert_eq!(whole, cut / one.len());
        assert_eq!(batches.is_truncated(), !cut.is_multiple_of(one.len()));
        assert_eq!(batches.truncated_size(), (cut % one.len() >= LOG_OVERHEAD).then_some(one.len()));
        assert!(batches.next().is_none());
    }
}

#[test]
fn owned_slices_share_the_batchs_memory() {
    let bytes = plain(&values(&["hello"]), Compression::None);
    let records = Batch::new(bytes.clone()).expect("batch").records(Limits::default()).expect("records");
    let mut cursor = Cursor::default();
    let value = records.read(&mut cursor).expect("one").expect("readable").value.expect("a value");
    let owned = records.share(value);
    assert_eq!(owned, "hello");
    assert!(bytes.as_ptr_range().contains(&owned.as_ptr()));
    assert!(records.read(&mut cursor).is_none());
}

#[test]
fn the_size_bound_holds() {
    for record in sample() {
        let mut builder = build(&sample());
        let before = builder.len();
        let headers = record.headers.iter().map(|(key, value)| (key.as_slice(), value.as_deref()));
        let bound = BatchBuilder::record_size_bound(record.key.as_deref(), record.value.as_deref(), headers.clone());
        builder.append(0, record.key.as_deref(), record.value.as_deref(), headers).expect("room");
        assert!(builder.len() - before <= bound && bound <= builder.len() - before + 20);
    }
}

#[test]
fn fields_too_long_for_the_short_form_come_back_as_well() {
    // More than 2^20 records, timestamps hours apart, and a record of 150 MiB: past every bound of the two words.
    let mut builder = BatchBuilder::new(0);
    for index in 0..(1 << 20) + 2 {
        builder.append(index, None, None, NO_HEADERS).expect("room");
    }
    builder.append(1 << 40, Some(b"k"), Some(b"v"), NO_HEADERS).expect("room");
    builder.append(0, None, Some(&vec![7; 150 << 20]), NO_HEADERS).expect("room");
    let mut closed = builder.close(Compression::None).expect("closed");
    let batch = Batch::new(closed.stamp(NO_PRODUCER_ID, NO_PRODUCER_EPOCH, NO_SEQUENCE, false)).expect("batch");
    let records = batch.records(Limits::default()).expect("records");
    let last = records.iter().map(|record| record.expect("a record")).last().expect("a record");
    assert_eq!((last.offset, last.timestamp, last.value.map(<[u8]>::len)), ((1 << 20) + 3, 0, Some(150 << 20)));
    let before = records.iter().map(|record| record.expect("a record")).nth((1 << 20) + 2).expect("a record");
    assert_eq!((before.timestamp, before.key, before.value), (1 << 40, Some(b"k".as_slice()), Some(b"v".as_slice())));
}
