//! What writing and reading a record costs, checksum included, beside the `kafka-protocol` crate and a bare minimum:
//! `cargo bench --bench records`.
//!
//! A round is one batch, warm in the cache, as it is when a producer closes it or a consumer has just received it. The rows of a
//! shape take turns, so that what else the machine does hits all alike; each line is the fastest and the median of many rounds, in
//! nanoseconds per record. Sums are checked, so that nothing is optimised away. The minimum (`one pass`) knows its data: no key, no
//! headers, no limits, no errors.
//!
//! `-- --only ROW --rounds N` runs one row of the first shape N times and measures nothing: the difference of two runs under
//! `valgrind --tool=callgrind` is what the row costs in instructions.

use std::hint::black_box;
use std::time::Instant;

use bytes::{Bytes, BytesMut};
use kafka_protocol::indexmap::IndexMap;
use kafka_protocol::protocol::StrBytes;
use kafka_protocol::records as theirs;
use klamm::protocol::records::{
    BATCH_HEADER_SIZE, Batch, BatchBuilder, Compression, Limits, NO_HEADERS, NO_PRODUCER_EPOCH, NO_PRODUCER_ID, NO_SEQUENCE,
};

const ROUNDS: usize = 2_000;
const T: i64 = 1_700_000_000_000;
const KEY: &[u8] = b"key-1234";
const HEADERS: [(&[u8], Option<&[u8]>); 2] = [(b"trace", Some(b"0123456789abcdef")), (b"source", Some(b"orders"))];

/// One row: what it is called, and a round of it.
type Row<'a> = (String, Box<dyn FnMut() + 'a>);

fn main() {
    let arguments: Vec<_> = std::env::args().collect();
    let value = |name: &str| arguments.iter().position(|argument| argument == name).and_then(|at| arguments.get(at + 1));
    if let Some(only) = value("--only") {
        let rounds = value("--rounds").and_then(|rounds| rounds.parse().ok()).unwrap_or(1);
        let values = pool(100);
        let mut rows = rows(&values, 1_000, false);
        let (_, round) = rows.iter_mut().find(|(name, _)| name == only).expect("a row of the first shape");
        (0..rounds).for_each(|_| round());
        return;
    }
    // `cargo test --benches` passes `--test`: one round shows that it works.
    let rounds = if arguments.iter().any(|argument| argument == "--test") { 1 } else { ROUNDS };
    for (size, count, full) in [(100, 1_000, false), (100, 1_000, true), (1_024, 500, false), (10, 4_000, false), (100, 1, false)]
    {
        println!("{count} x {size} B{}:", if full { ", key and two headers" } else { "" });
        let values = pool(size);
        report(rows(&values, count, full), rounds, count);
    }
    println!("1000 x 100 B, compressed:");
    let values = pool(100);
    report(compressed(&values, 1_000), rounds.div_ceil(20), 1_000);
}

/// Values that differ, as the peer benchmark has them.
fn pool(size: usize) -> Vec<Bytes> {
    (0..1_024_u32)
        .map(|number| {
            let mut value: Vec<u8> =
                (0..size).map(|index| b"abcdefghijklmnopqrstuvwxyz"[(index + number as usize) % 26]).collect();
            value.iter_mut().zip(number.to_le_bytes()).for_each(|(place, byte)| *place = byte);
            value.into()
        })
        .collect()
}

fn rows(values: &[Bytes], count: usize, full: bool) -> Vec<Row<'_>> {
    let values = move || values.iter().cycle().take(count);
    let bytes = batch(values(), full, Compression::None);
    let expected: usize = values().map(Bytes::len).sum();
    let mut rows: Vec<Row<'_>> = Vec::new();

    let mut buffer = Some(Vec::with_capacity(bytes.len() + 128));
    rows.push((
        "klamm encode".to_owned(),
        Box::new(move || {
            let mut builder = BatchBuilder::from_buffer(buffer.take().unwrap_or_default());
            append(&mut builder, values(), full);
            let mut closed = builder.close(Compression::None).expect("closed");
            black_box(closed.stamp(NO_PRODUCER_ID, NO_PRODUCER_EPOCH, NO_SEQUENCE, false));
            buffer = closed.into_buffer();
            assert!(buffer.is_some(), "the buffer is used again");
        }),
    ));
    let records: Vec<theirs::Record> = (0..).zip(values()).map(|(index, value)| their_record(index, value, full)).collect();
    let (size, options) = (bytes.len(), theirs::RecordEncodeOptions { version: 2, compression: theirs::Compression::None });
    rows.push((
        "kafka-protocol encode".to_owned(),
        Box::new(move || {
            let mut buffer = BytesMut::with_capacity(size);
            theirs::RecordBatchEncoder::encode(&mut buffer, records.iter(), &options).expect("encoded");
            black_box(buffer);
        }),
    ));
    if !full {
        let mut buffer = Vec::with_capacity(bytes.len() + 128);
        rows.push((
            "one pass encode".to_owned(),
            Box::new(move || {
                minimum::encode(&mut buffer, values());
                black_box(&buffer);
            }),
        ));
    }
    let input = bytes.clone();
    rows.push((
        "klamm decode".to_owned(),
        Box::new(move || {
            let batch = Batch::new(black_box(input.clone())).expect("a batch");
            let records = batch.records(Limits::default()).expect("records");
            let mut sum = 0;
            for record in &records {
                let record = record.expect("a record");
                sum += record.value.map_or(0, <[u8]>::len);
                if full {
                    sum += record.headers.map(|header| header.expect("a header").key.len()).sum::<usize>() - 11;
                }
            }
            assert_eq!(sum, expected);
        }),
    ));
    let input = bytes.clone();
    rows.push((
        "kafka-protocol decode".to_owned(),
        Box::new(move || {
            let set = theirs::RecordBatchDecoder::decode(&mut black_box(input.clone())).expect("decoded");
            assert_eq!(set.records.iter().filter_map(|record| record.value.as_ref()).map(Bytes::len).sum::<usize>(), expected);
        }),
    ));
    if !full {
        let input = bytes.clone();
        rows.push(("one pass decode".to_owned(), Box::new(move || assert_eq!(minimum::decode(black_box(&input)), expected))));
    }
    let input = bytes.clone();
    rows.push((
        "klamm check of a batch".to_owned(),
        Box::new(move || {
            black_box(Batch::new(black_box(input.clone())).expect("a batch"));
        }),
    ));
    let input = bytes.clone();
    rows.push((
        "klamm edit of the header".to_owned(),
        Box::new(move || {
            let trusting = Limits { verify_checksum: false, ..Limits::default() };
            let batch = Batch::with_limits(black_box(input.clone()), trusting).expect("a batch");
            black_box(batch.edit().producer(1, 2, 3).parts().expect("in order"));
        }),
    ));
    rows.push((
        format!("CRC-32C of {} B", bytes.len() - 21),
        Box::new(move || {
            black_box(crc32c::crc32c(black_box(&bytes[21..])));
        }),
    ));
    rows
}

fn compressed(values: &[Bytes], count: usize) -> Vec<Row<'_>> {
    let values = move || values.iter().cycle().take(count);
    let mut rows: Vec<Row<'_>> = Vec::new();
    for compression in &Compression::ALL[1..] {
        let packed = batch(values(), false, *compression);
        rows.push((
            format!("klamm encode {compression}"),
            Box::new(move || {
                black_box(batch(values(), false, *compression));
            }),
        ));
        rows.push((
            format!("klamm decode {compression}"),
            Box::new(move || {
                let batch = Batch::new(black_box(packed.clone())).expect("a batch");
                let records = batch.records(Limits::default()).expect("records");
                assert_eq!(records.iter().filter(|record| record.is_ok()).count(), count);
            }),
        ));
    }
    rows
}

fn append<'a>(builder: &mut BatchBuilder, values: impl Iterator<Item = &'a Bytes>, full: bool) {
    for (index, value) in values.enumerate() {
        let timestamp = T + (index / 8) as i64;
        if full {
            builder.append(timestamp, Some(black_box(KEY)), Some(black_box(value)), HEADERS.into_iter()).expect("room");
        } else {
            builder.append(timestamp, black_box(None), Some(black_box(value)), NO_HEADERS).expect("room");
        }
    }
}

fn batch<'a>(values: impl Iterator<Item = &'a Bytes>, full: bool, compression: Compression) -> Bytes {
    let mut builder = BatchBuilder::new(1 << 10);
    append(&mut builder, values, full);
    let mut closed = builder.close(compression).expect("closed");
    closed.stamp(NO_PRODUCER_ID, NO_PRODUCER_EPOCH, NO_SEQUENCE, false)
}

fn their_record(index: i64, value: &Bytes, full: bool) -> theirs::Record {
    let headers = HEADERS
        .iter()
        .filter(|_| full)
        .map(|(name, value)| (StrBytes::from_string(String::from_utf8_lossy(name).into_owned()), value.map(Bytes::from_static)));
    theirs::Record {
        transactional: false,
        control: false,
        delete_horizon: false,
        partition_leader_epoch: -1,
        producer_id: -1,
        producer_epoch: -1,
        timestamp_type: theirs::TimestampType::Creation,
        offset: index,
        // Sequences in a row are what keeps their encoder from making a batch of each record.
        sequence: index as i32,
        timestamp: T + index / 8,
        key: full.then(|| Bytes::from_static(KEY)),
        value: Some(value.clone()),
        headers: headers.collect::<IndexMap<_, _>>(),
    }
}

/// The same batch with nothing but what it takes: the reference of the peer benchmark.
mod minimum {
    use super::{BATCH_HEADER_SIZE, Bytes, T};

    fn put(buffer: &mut Vec<u8>, value: i64) {
        let mut left = ((value << 1) ^ (value >> 63)) as u64;
        while left >= 0x80 {
            buffer.push(left as u8 | 0x80);
            left >>= 7;
        }
        buffer.push(left as u8);
    }

    fn size(value: u64) -> usize {
        (70 - (value << 1 | 1).leading_zeros() as usize) / 7
    }

    pub(super) fn encode<'a>(buffer: &mut Vec<u8>, values: impl Iterator<Item = &'a Bytes>) {
        buffer.clear();
        buffer.resize(BATCH_HEADER_SIZE, 0);
        let mut count = 0_i32;
        for value in values {
            let delta = i64::from(count / 8);
            let body = 1 + size(delta as u64) + size(count as u64) + 1 + size(value.len() as u64) + value.len() + 1;
            put(buffer, body as i64);
            buffer.push(0);
            put(buffer, delta);
            put(buffer, i64::from(count));
            buffer.push(1);
            put(buffer, value.len() as i64);
            buffer.extend_from_slice(value);
            buffer.push(0);
            count += 1;
        }
        let length = (buffer.len() - 12) as i32;
        buffer[8..12].copy_from_slice(&length.to_be_bytes());
        buffer[16] = 2;
        buffer[23..27].copy_from_slice(&(count - 1).to_be_bytes());
        buffer[27..35].copy_from_slice(&T.to_be_bytes());
        buffer[35..43].copy_from_slice(&(T + i64::from((count - 1) / 8)).to_be_bytes());
        buffer[43..57].fill(0xff);
        buffer[57..61].copy_from_slice(&count.to_be_bytes());
        let checksum = crc32c::crc32c(&buffer[21..]);
        buffer[17..21].copy_from_slice(&checksum.to_be_bytes());
    }

    /// The sum of the values' lengths.
    pub(super) fn decode(bytes: &[u8]) -> usize {
        assert_eq!(crc32c::crc32c(&bytes[21..]).to_be_bytes(), bytes[17..21]);
        let (mut at, mut sum) = (BATCH_HEADER_SIZE, 0);
        let get = |at: &mut usize| {
            let (mut value, mut shift) = (0_u64, 0);
            loop {
                let byte = bytes[*at];
                *at += 1;
                value |= u64::from(byte & 0x7f) << shift;
                if byte < 0x80 {
                    return (value >> 1) as i64 ^ -((value & 1) as i64);
                }
                shift += 7;
            }
        };
        for _ in 0..i32::from_be_bytes([bytes[57], bytes[58], bytes[59], bytes[60]]) {
            let end = get(&mut at) as usize + at;
            at += 1;
            get(&mut at);
            get(&mut at);
            at += get(&mut at).max(0) as usize;
            let length = get(&mut at) as usize;
            sum += bytes[at..at + length].len();
            at = end;
        }
        sum
    }
}

fn report(mut rows: Vec<Row<'_>>, rounds: usize, count: usize) {
    let mut times = vec![Vec::with_capacity(rounds); rows.len()];
    for _ in 0..rounds {
        for ((_, round), times) in rows.iter_mut().zip(&mut times) {
            let start = Instant::now();
            round();
            times.push(start.elapsed().as_secs_f64() * 1e9 / count as f64);
        }
    }
    for ((name, _), times) in rows.iter().zip(&mut times) {
        times.sort_by(f64::total_cmp);
        println!("{name:<32} {:>8.1} ns fastest {:>8.1} ns median", times[0], times[times.len() / 2]);
    }
}
