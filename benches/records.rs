//! What writing and reading a record costs, checksum included: `cargo bench --bench records`.
//!
//! Each line is the fastest and the median of many rounds, in nanoseconds per record. A round is one batch, warm in the cache, as it
//! is when a producer closes it or a consumer has just received it. Sums are checked, so that nothing is optimised away.

use std::hint::black_box;
use std::time::Instant;

use bytes::Bytes;
use klamm::protocol::records::{
    Batch, BatchBuilder, Compression, Limits, NO_HEADERS, NO_PRODUCER_EPOCH, NO_PRODUCER_ID, NO_SEQUENCE,
};

const ROUNDS: usize = 2_000;

fn main() {
    // `cargo test --benches` passes `--test`: one round shows that it works.
    let rounds = if std::env::args().any(|argument| argument == "--test") { 1 } else { ROUNDS };
    for (value, count) in [(100, 1_000), (1_024, 500), (10, 4_000), (100, 1)] {
        run(rounds, value, count);
    }
}

fn run(rounds: usize, size: usize, count: usize) {
    println!("batches of {count}:");
    let value: Vec<u8> = (0..size).map(|index| b"abcdefghijklmnopqrstuvwxyz"[index % 26]).collect();
    let bytes = batch(None, &value, count, Compression::None);
    let expected = count * size;

    let mut buffer = Some(Vec::with_capacity(bytes.len() + 128));
    report(&format!("encode {size} B"), rounds, count, || {
        let mut builder = BatchBuilder::from_buffer(buffer.take().unwrap_or_default());
        for index in 0..count {
            let timestamp = 1_700_000_000_000 + (index / 8) as i64;
            builder.append(timestamp, black_box(None), Some(black_box(&value)), NO_HEADERS).expect("room");
        }
        let mut closed = builder.close(Compression::None).expect("closed");
        black_box(closed.stamp(NO_PRODUCER_ID, NO_PRODUCER_EPOCH, NO_SEQUENCE, false));
        buffer = closed.into_buffer();
        assert!(buffer.is_some(), "the buffer is used again");
    });
    report(&format!("encode {size} B, key and header"), rounds, count, || {
        black_box(batch(Some(b"key-1234"), &value, count, Compression::None));
    });
    report(&format!("decode {size} B"), rounds, count, || {
        let batch = Batch::new(black_box(bytes.clone())).expect("a batch");
        let records = batch.records(Limits::default()).expect("records");
        let mut sum = 0;
        for record in &records {
            sum += record.expect("a record").value.map_or(0, <[u8]>::len);
        }
        assert_eq!(sum, expected);
    });
    report(&format!("checksum {size} B"), rounds, count, || {
        black_box(Batch::new(black_box(bytes.clone())).expect("a batch"));
    });
    for compression in &Compression::ALL[1..] {
        let packed = batch(None, &value, count, *compression);
        report(&format!("encode {size} B {compression}"), rounds.div_ceil(20), count, || {
            black_box(batch(None, &value, count, *compression));
        });
        report(&format!("decode {size} B {compression}"), rounds.div_ceil(20), count, || {
            let batch = Batch::new(black_box(packed.clone())).expect("a batch");
            let records = batch.records(Limits::default()).expect("records");
            assert_eq!(records.iter().filter(|record| record.is_ok()).count(), count);
        });
    }
}

fn batch(key: Option<&[u8]>, value: &[u8], count: usize, compression: Compression) -> Bytes {
    let mut builder = BatchBuilder::new(count * (value.len() + 40));
    for index in 0..count {
        let timestamp = 1_700_000_000_000 + (index / 8) as i64;
        let headers = key.map(|_| (b"trace".as_slice(), Some(b"0123456789".as_slice())));
        builder.append(timestamp, black_box(key), Some(black_box(value)), headers.into_iter()).expect("room");
    }
    let mut closed = builder.close(compression).expect("closed");
    closed.stamp(NO_PRODUCER_ID, NO_PRODUCER_EPOCH, NO_SEQUENCE, false)
}

fn report(what: &str, rounds: usize, count: usize, mut round: impl FnMut()) {
    let mut times: Vec<f64> = (0..rounds)
        .map(|_| {
            let start = Instant::now();
            round();
            start.elapsed().as_secs_f64() * 1e9 / count as f64
        })
        .collect();
    times.sort_by(f64::total_cmp);
    println!("{what:<32} {:>8.1} ns fastest {:>8.1} ns median", times[0], times[times.len() / 2]);
}
