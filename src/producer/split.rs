//! Two batches out of one that a broker finds too large.

use crate::protocol::records::{Batch, BatchBuilder, ClosedBatch, Limits};

/// The records of `content` in two batches of about the same size, in order; each has at least one. They are compressed as it is, also
/// when they have few records: what was too large must not grow.
///
/// # Errors
/// If the batch cannot be read back, which would be a fault of this library, or not be compressed again.
pub(super) fn split(
    content: ClosedBatch,
    level: Option<i32>,
) -> Result<Vec<ClosedBatch>, Box<dyn std::error::Error + Send + Sync>> {
    let compression = content.compression();
    let batch = Batch::new(content.bytes().clone())?;
    let records = batch.records(Limits::default())?;
    let (half, count) = (content.uncompressed_size() / 2, content.count());
    let mut builders = [BatchBuilder::new(half), BatchBuilder::new(half)];
    for (index, record) in records.iter().enumerate() {
        let record = record?;
        let headers: Vec<_> = record.headers.into_iter().collect::<Result<_, _>>()?;
        let headers = headers.iter().map(|header| (header.key, header.value));
        let [first, second] = &mut builders;
        let last_chance = index + 1 == count && second.is_empty();
        let to_first = second.is_empty() && !last_chance && (first.is_empty() || first.len() < half);
        let builder = if to_first { first } else { second };
        builder.append(record.timestamp, record.key, record.value, headers)?;
    }
    let closed = builders.into_iter().map(|builder| builder.close_with_level(compression, level));
    Ok(closed.collect::<Result<_, _>>()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::records::Compression;

    #[test]
    fn both_parts_have_records_and_order_keys_values_and_headers_stay() {
        for sizes in [vec![1, 1], vec![10, 10_000], vec![10_000, 10], vec![100; 50]] {
            let mut builder = BatchBuilder::new(64);
            for (number, size) in sizes.iter().enumerate() {
                let value = vec![number as u8; *size];
                let headers = [(&b"h"[..], Some(&b"v"[..])), (&b"n"[..], None)];
                builder.append(1000 + number as i64, Some(b"k"), Some(&value), headers.into_iter()).unwrap();
            }
            let mut content = builder.close(Compression::None).unwrap();
            content.stamp(1, 2, 3, false);
            let mut parts = split(content, None).unwrap();
            assert!(parts.len() == 2 && parts.iter().all(|part| part.count() > 0), "{sizes:?}");
            let mut seen = Vec::new();
            for part in &mut parts {
                let batch = Batch::new(part.stamp(-1, -1, -1, false)).unwrap();
                for record in batch.records(Limits::default()).unwrap().iter() {
                    let record = record.unwrap();
                    let headers: Vec<_> = record.headers.into_iter().map(|header| header.unwrap()).collect();
                    assert_eq!((headers.len(), headers[1].value), (2, None));
                    assert_eq!(record.key, Some(&b"k"[..]));
                    seen.push((record.timestamp, record.value.unwrap().len()));
                }
            }
            let expected: Vec<_> = sizes.iter().enumerate().map(|(number, size)| (1000 + number as i64, *size)).collect();
            assert_eq!(seen, expected);
        }
    }
}
