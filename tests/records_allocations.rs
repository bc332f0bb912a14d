//! Writing and reading records allocates per batch, never per record.

use klamm::protocol::records::{Batch, BatchBuilder, Compression, Limits, NO_PRODUCER_EPOCH, NO_PRODUCER_ID, NO_SEQUENCE};

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
