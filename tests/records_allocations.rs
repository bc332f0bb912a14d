//! Writing and reading records allocates per batch, never per record; reading what is not compressed, and changing headers, not at all.

use bytes::Bytes;
use klamm::protocol::records::{
    Batch, BatchBuilder, Compression, Limits, NO_PRODUCER_EPOCH, NO_PRODUCER_ID, NO_SEQUENCE, RecordBatches,
};

/// Writes and reads `count` records in batches of 1,000, each with key, value and headers; returns how often memory was asked for.
fn allocations(count: usize, compression: Compression) -> u64 {
    let info = allocation_counter::measure(|| {
        for _ in 0..count / 1_000 {
            let mut builder = BatchBuilder::new(1 << 10);
            for index in 0..1_000 {
                let headers = [(b"trace".as_slice(), Some(b"0123".as_slice())), (b"empty", None)];
                let value = [index as u8; 100];
                builder.append(index, Some(&index.to_be_bytes()), Some(&value), headers.into_iter()).expect("room");
            }
            let mut closed = builder.close(compression).expect("closed");
            let bytes = closed.stamp(NO_PRODUCER_ID, NO_PRODUCER_EPOCH, NO_SEQUENCE, false);
            let records = Batch::new(bytes).expect("a batch").records(Limits::default()).expect("records");
            let mut headers = 0;
            for record in &records {
                headers += record.expect("a record").headers.map(|header| header.expect("a header").key.len()).sum::<usize>();
            }
            assert_eq!(headers, 10_000);
        }
    });
    info.count_total
}

#[test]
fn neither_writing_nor_borrowed_reading_allocates_per_record() {
    for compression in Compression::ALL {
        let per_record = (allocations(20_000, compression) - allocations(10_000, compression)) as f64 / 10_000.0;
        assert!(per_record < 0.05, "{per_record} allocations per record with {compression}");
        if compression == Compression::None {
            // The buffer's growth to its size, and its turning into shared bytes.
            assert!(per_record <= 0.013, "{per_record} allocations per record, thirteen a batch are enough");
        }
    }
}

/// A frame of several batches, each of 100 records with key, value and headers.
fn frame(compression: Compression) -> Bytes {
    let mut frame = Vec::new();
    for base in 0..10 {
        let mut builder = BatchBuilder::new(1 << 10);
        for index in 0..100_i64 {
            let headers = [(b"trace".as_slice(), Some(b"0123".as_slice())), (b"empty", None)];
            builder.append(index, Some(&index.to_be_bytes()), Some(&[7; 100]), headers.into_iter()).expect("room");
        }
        let bytes = builder.close(compression).expect("closed").stamp(NO_PRODUCER_ID, NO_PRODUCER_EPOCH, NO_SEQUENCE, false);
        frame.extend_from_slice(Batch::new(bytes).expect("a batch").assign(base * 100, 1, None).bytes());
    }
    let frame = Bytes::from(frame);
    // The first clone of a buffer makes the count that all clones share.
    drop(frame.clone());
    frame
}

/// How often memory is asked for while `frame` is read to its end.
fn read(frame: &Bytes) -> u64 {
    let info = allocation_counter::measure(|| {
        let limits = Limits::default();
        let mut budget = limits.fetch_budget(frame.len());
        let mut count = 0;
        for batch in RecordBatches::new(frame.clone()) {
            let records = batch.expect("a batch").records_within(limits, &mut budget).expect("records");
            for record in &records {
                let record = record.expect("a record");
                assert_eq!(record.value.map(|value| records.share(value).len()), Some(100));
                count += record.headers.filter(|header| header.is_ok()).count();
            }
        }
        assert_eq!(count, 2_000);
    });
    info.count_total
}

#[test]
fn borrowed_records_of_a_frame_are_read_without_an_allocation() {
    assert_eq!(read(&frame(Compression::None)), 0);
    for compression in &Compression::ALL[1..] {
        let frame = frame(*compression);
        // What threads keep for themselves is there after the first time.
        read(&frame);
        let count = read(&frame);
        assert!(count <= 10 * 16, "{count} allocations for ten batches with {compression}");
    }
}

#[test]
fn a_header_is_changed_without_an_allocation() {
    let frame = frame(Compression::None);
    let batch = RecordBatches::new(frame).next().expect("something").expect("a batch");
    let info = allocation_counter::measure(|| {
        let (header, records) = batch.edit().base_offset(77).producer(1, 2, 3).parts().expect("in order");
        assert_eq!((header[7], records.len()), (77, batch.size() - header.len()));
    });
    assert_eq!(info.count_total, 0);
}
