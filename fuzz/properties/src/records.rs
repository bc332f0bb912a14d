//! Record batches: read from any bytes, decompressed under a limit, built from any records.

use bytes::Bytes;
use klamm::protocol::records::{
    BATCH_HEADER_SIZE, Batch, BatchBuilder, BatchErrorKind, Compression, Cursor, LOG_OVERHEAD, Limits, RecordBatches, RecordRef,
    Records, TimestampType,
};

use crate::input::Input;

/// What a batch may decompress to here.
const LIMIT: usize = 1 << 20;

#[allow(clippy::needless_update, reason = "there may be further limits")]
fn limits(max_decompressed: usize) -> Limits {
    Limits { max_decompressed, ..Limits::default() }
}

/// Are checksums to be made right? Then a record set.
pub(crate) fn batches(input: &[u8]) {
    let mut input = Input(input);
    let sealed = input.byte() & 1 == 0;
    let mut set = input.0.to_vec();
    if sealed {
        seal(&mut set);
    }
    let set = Bytes::from(set);
    let mut batches = RecordBatches::new(set.clone());
    let (mut at, mut failed) = (0, false);
    for batch in &mut batches {
        assert!(!failed, "nothing follows an error");
        let Ok(batch) = batch else {
            failed = true;
            continue;
        };
        assert_eq!(batch.bytes()[..], set[at..at + batch.size()], "batches stand side by side");
        at += batch.size();
        read(&batch);
    }
    assert!(failed || at == set.len() || batches.is_truncated(), "{} bytes were passed over", set.len() - at);
}

/// Makes the checksums right where batches are whole, also those of the formats before.
fn seal(set: &mut [u8]) {
    let mut rest = set;
    while let Some(length) = rest.get(8..LOG_OVERHEAD).and_then(|length| length.first_chunk()) {
        let size = usize::try_from(i32::from_be_bytes(*length)).unwrap_or(usize::MAX).saturating_add(LOG_OVERHEAD);
        let Some((batch, after)) = rest.split_at_mut_checked(size) else { return };
        seal_one(batch);
        rest = after;
    }
}

fn seal_one(batch: &mut [u8]) {
    match batch.get(16) {
        Some(0 | 1) => {
            let sum = crc32fast::hash(&batch[16..]);
            batch[12..16].copy_from_slice(&sum.to_be_bytes());
        }
        _ if batch.len() < BATCH_HEADER_SIZE => {}
        _ => {
            let sum = crc32c::crc32c(&batch[21..]);
            batch[17..21].copy_from_slice(&sum.to_be_bytes());
        }
    }
}

/// One batch that is in order so far.
fn read(batch: &Batch) {
    assert!(batch.base_offset() >= 0 && batch.last_offset() >= batch.base_offset());
    assert_eq!(batch.next_offset(), batch.last_offset() + 1);
    let _ = batch.control_marker();
    let Ok(records) = batch.records(limits(LIMIT)) else { return };
    assert!(records.size() <= LIMIT.max(batch.size()), "{} bytes", records.size());
    let mut cursor = Cursor::default();
    let (mut count, mut last) = (0, None);
    while let Some(record) = records.read(&mut cursor) {
        let Ok(record) = record else {
            assert!(records.read(&mut cursor).is_none(), "nothing follows an error");
            assert!(records.iter().any(|record| record.is_err()), "iterator and cursor agree");
            return;
        };
        // Of the records, not of the batch: compressed messages of formats 0 and 1 say the last offset only, and as they are produced,
        // not even that.
        let end = if batch.magic() < 2 { i64::MAX } else { batch.last_offset() };
        assert!((records.base_offset()..=end).contains(&record.offset), "offset {}", record.offset);
        assert!(last.is_none_or(|last| last < record.offset), "offset {} after {last:?}", record.offset);
        last = Some(record.offset);
        for bytes in [record.key, record.value].into_iter().flatten() {
            assert_eq!(records.share(bytes), bytes);
        }
        count += 1;
        assert!(record.headers.count() <= records.size());
    }
    assert_eq!(count, records.count());
    // Markers are the broker's to write.
    if !batch.is_control() {
        build_again(batch, &records);
    }
}

/// What was read can be written again, and reads the same.
fn build_again(batch: &Batch, records: &Records) {
    let mut builder = BatchBuilder::new(records.size() + BATCH_HEADER_SIZE + 16);
    for record in records {
        let Ok(record) = record else { return };
        let Some(headers) = headers(&record) else { return };
        if builder.append(record.timestamp, record.key, record.value, headers.iter().copied()).is_err() {
            // Timestamps may be further apart than a difference can say.
            return;
        }
    }
    let mut closed = builder.close(Compression::None).expect("nothing is compressed");
    let identity = (batch.producer_id(), batch.producer_epoch(), batch.base_sequence());
    let bytes = closed.stamp(identity.0, identity.1, identity.2, batch.is_transactional());
    let again = Batch::new(bytes.clone()).expect("a batch that was just built");
    assert_eq!((again.producer_id(), again.producer_epoch(), again.base_sequence()), identity);
    assert_eq!(again.is_transactional(), batch.is_transactional());
    let read = again.records(limits(LIMIT)).expect("its records");
    assert_eq!(read.count(), records.count());
    for (new, old) in read.iter().zip(records) {
        assert_same(&new.expect("a record that was just built"), &old.expect("read before"));
    }
    // What klamm writes is canonical: a batch with records, of create time, whose offsets have no gaps.
    let is_canonical =
        batch.attributes() & !0x10 == 0 && records.count() > 0 && batch.timestamp_type() == TimestampType::CreateTime;
    if is_canonical && again.size() == batch.size() {
        let (new, old) = (&bytes[BATCH_HEADER_SIZE..], &batch.bytes()[BATCH_HEADER_SIZE..]);
        let same_base = again.base_timestamp() == batch.base_timestamp();
        let dense = batch.last_offset_delta() as usize == records.count() - 1;
        // The attributes of a record mean nothing, and are not kept.
        assert!(!(same_base && dense) || new == old || records.size() >= old.len(), "{new:?} is not {old:?}");
    }
}

/// The headers, if all can be read.
fn headers<'a>(record: &RecordRef<'a>) -> Option<Vec<(&'a [u8], Option<&'a [u8]>)>> {
    record.headers.map(|header| header.ok().map(|header| (header.key, header.value))).collect()
}

fn assert_same(new: &RecordRef<'_>, old: &RecordRef<'_>) {
    assert_eq!((new.timestamp, new.key, new.value), (old.timestamp, old.key, old.value));
    assert_eq!(headers(new), headers(old));
}

/// Codec, limit, number of records, the data.
pub(crate) fn compression(input: &[u8]) {
    let mut input = Input(input);
    let codec = Compression::from_id(1 + input.byte() % 4).expect("four codecs");
    let limit = [0, 1, 100, 10_000, 1 << 16, 1 << 20][input.below(6)];
    let count = i32::from(input.byte());
    let mut batch = vec![0; BATCH_HEADER_SIZE];
    batch.extend_from_slice(input.0);
    let length = (batch.len() - LOG_OVERHEAD) as i32;
    batch[8..12].copy_from_slice(&length.to_be_bytes());
    batch[16] = 2;
    batch[22] = codec.id();
    batch[23..27].copy_from_slice(&(count - 1).max(0).to_be_bytes());
    batch[57..61].copy_from_slice(&count.to_be_bytes());
    seal_one(&mut batch);
    let batch = Batch::new(batch.into()).expect("the header is in order");
    assert_eq!(batch.compression(), Ok(codec));
    let mut records = None;
    let used = allocation_counter::measure(|| records = Some(batch.records(limits(limit))));
    // What comes out, twice while it grows; a codec's own tables and blocks, of which a block of LZ4 has 4 MiB.
    let most = 3 * limit + 4 * input.0.len() + (10 << 20);
    assert!(used.bytes_max <= most as u64, "{} bytes of memory to decompress {codec} to {limit} at most", used.bytes_max);
    match records {
        Some(Ok(records)) => {
            assert!(records.size() <= limit, "{} bytes came out, of {limit} at most", records.size());
            match batch.records(limits(records.size())) {
                Ok(all) => assert_eq!(all.size(), records.size()),
                // A frame that ends in an empty block may have declared any size: zstd does not compare it, and it is above the limit.
                Err(error) => {
                    assert!(codec == Compression::Zstd && matches!(error.kind, BatchErrorKind::TooLarge { .. }), "{error}")
                }
            }
            if records.size() > 0 {
                assert!(batch.records(limits(records.size() - 1)).is_err(), "one byte less is too little");
            }
            records.iter().for_each(drop);
        }
        Some(Err(error)) => assert!(error.to_string().len() < 500, "{error}"),
        None => {}
    }
}

/// Codec, level, then records: what was built is read the same.
pub(crate) fn building(input: &[u8]) {
    let mut input = Input(input);
    let codec = Compression::ALL[input.below(5)];
    let level = input.flag().then(|| i32::from(input.byte() as i8));
    // The highest levels take their time, whatever there is to compress.
    let level = level.map(|level| level.min(9));
    let mut builder = BatchBuilder::new(64);
    let mut built = Vec::new();
    while !input.is_empty() && built.len() < 1000 {
        let timestamp = match input.byte() {
            0 => i64::MIN,
            1 => i64::MAX,
            2 => input.long(),
            3 => i64::from(input.int()),
            small => 1_700_000_000_000 + i64::from(small),
        };
        let (key, value) = (input.maybe_piece(), input.maybe_piece());
        let headers: Vec<_> = (0..input.below(4)).map(|_| (input.piece(), input.maybe_piece())).collect();
        let (before, bound) = (builder.len(), BatchBuilder::record_size_bound(key, value, headers.iter().copied()));
        match builder.append(timestamp, key, value, headers.iter().copied()) {
            Ok(index) => {
                assert_eq!(index, built.len());
                assert!(builder.len() - before.max(BATCH_HEADER_SIZE) <= bound, "a record is larger than its bound, {bound}");
                built.push((timestamp, key, value, headers));
            }
            // Too far from the first one.
            Err(_) => assert_eq!(builder.count(), built.len(), "a record that was refused is not there"),
        }
    }
    let mut closed = builder.close_with_level(codec, level).expect("the codec is compiled in");
    assert_eq!(closed.count(), built.len());
    let batch = Batch::new(closed.stamp(7, 1, 0, false)).expect("a batch that was just built");
    assert_eq!(batch.max_timestamp(), built.iter().map(|record| record.0).max().unwrap_or(batch.max_timestamp()));
    let records = batch.records(limits(1 << 27)).expect("its records");
    assert_eq!(records.count(), built.len());
    for ((record, (timestamp, key, value, wanted)), offset) in records.iter().zip(&built).zip(0..) {
        let record = record.expect("a record that was just built");
        assert_eq!((record.offset, record.timestamp, record.key, record.value), (offset, *timestamp, *key, *value));
        assert_eq!(headers(&record).as_ref(), Some(wanted));
    }
    // Any bit that flips is found.
    let mut broken = batch.bytes().to_vec();
    let at = 17 + usize::from(input.short()) % (broken.len() - 17);
    broken[at] ^= 1 << input.below(8);
    assert!(Batch::new(broken.into()).is_err(), "byte {at} was changed");
}
