//! A batch with fewer records: for log cleaners, as in a broker's compaction.
//!
//! Nothing moves: the records that stay keep their offsets, the batch keeps the range it covers, its producer and its sequence. So
//! readers go on behind it as before, and a broker still knows what the producer wrote last.

use bytes::Bytes;

use crate::protocol::records::batch::{self, Batch, DELETE_HORIZON, MAGIC, TimestampType};
use crate::protocol::records::decode::{Cursor, RecordRef};
use crate::protocol::records::error::{BatchError, BatchErrorKind};
use crate::protocol::records::limits::Limits;
use crate::protocol::records::varint;
use crate::protocol::records::{BATCH_HEADER_SIZE, LOG_OVERHEAD, encode};

impl Batch {
    /// The same batch with only those records for which `keep` says so; an empty one that covers the same offsets if there are none.
    ///
    /// With a `delete_horizon`, in milliseconds since 1970-01-01 UTC, it says from when on compaction may remove its tombstones
    /// (KIP-534), unless it says so already. The codec stays, unless what is left does not get smaller by it.
    ///
    /// ```
    /// # use klamm::protocol::records::{Batch, BatchBuilder, Compression, Limits, NO_HEADERS};
    /// # let mut builder = BatchBuilder::new(256);
    /// for key in ["a", "b", "c"] {
    ///     builder.append(1_700_000_000_000, Some(key.as_bytes()), Some(b"value"), NO_HEADERS)?;
    /// }
    /// let batch = Batch::new(builder.close(Compression::None)?.stamp(-1, -1, -1, false))?;
    /// let cleaned = batch.retain(Limits::default(), None, |record| record.key != Some(b"b"))?;
    /// let records = cleaned.records(Limits::default())?;
    /// let offsets = records.iter().map(|record| record.map(|record| record.offset)).collect::<Result<Vec<_>, _>>()?;
    /// assert_eq!((offsets, cleaned.next_offset()), (vec![0, 2], 3));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// If its records cannot be read, or it is of format 0 or 1, which brokers convert before they clean them.
    pub fn retain(
        &self,
        limits: Limits,
        delete_horizon: Option<i64>,
        mut keep: impl FnMut(&RecordRef<'_>) -> bool,
    ) -> Result<Self, BatchError> {
        if self.magic() != MAGIC {
            return Err(self.error(BatchErrorKind::UnsupportedFormat(self.magic())));
        }
        let mut header = self.header;
        if let Some(horizon) = delete_horizon.filter(|_| self.delete_horizon().is_none()) {
            header.attributes |= DELETE_HORIZON;
            // In its place, so that timestamps count from it.
            header.base_timestamp = horizon;
        }
        let records = self.records(limits)?;
        let mut bytes = vec![0; BATCH_HEADER_SIZE];
        (header.count, header.max_timestamp) = (0, i64::MIN);
        let mut cursor = Cursor::default();
        loop {
            let from = cursor.position;
            let Some(record) = records.read(&mut cursor) else { break };
            let record = record?;
            if !keep(&record) {
                continue;
            }
            let bad = |reason| self.error(BatchErrorKind::BadRecord { index: header.count, reason });
            // Against the header's new base; what comes behind the timestamp stays as it is. The batch's own time is not the record's.
            let raw = records.body().get(from..cursor.position).ok_or_else(|| bad("it is cut"))?;
            put(raw, header.base_timestamp.wrapping_sub(self.base_timestamp()), &mut bytes).ok_or_else(|| bad("it is cut"))?;
            header.count += 1;
            header.max_timestamp = header.max_timestamp.max(record.timestamp);
        }
        if header.count == 0 || self.timestamp_type() == TimestampType::LogAppendTime {
            header.max_timestamp = self.max_timestamp();
        }
        let compression = self.compression()?;
        let (mut bytes, compression) = match header.count {
            0 => (bytes, super::Compression::None),
            _ => encode::compress(bytes, compression, None)
                .map_err(|_| self.error(BatchErrorKind::CodecNotCompiledIn(compression)))?,
        };
        header.attributes = header.attributes & !batch::COMPRESSION_MASK | i16::from(compression.id());
        // No longer than the batch was, but for a few bytes a record.
        let length = i32::try_from(bytes.len() - LOG_OVERHEAD);
        header.length = length.map_err(|_| self.error(BatchErrorKind::Truncated))?;
        batch::seal(&mut bytes, &mut header);
        Ok(Self { bytes: Bytes::from(bytes), header })
    }
}

/// Writes a record anew whose timestamp counts from a base that is `moved` later.
fn put(raw: &[u8], moved: i64, out: &mut Vec<u8>) -> Option<()> {
    if moved == 0 {
        out.extend_from_slice(raw);
        return Some(());
    }
    let mut at = 0;
    varint::read_i32(raw, &mut at)?;
    let attributes = *raw.get(at)?;
    at += 1;
    let delta = varint::zigzag(varint::read_i64(raw, &mut at)?.wrapping_sub(moved));
    let rest = raw.get(at..)?;
    varint::put(varint::zigzag(i64::try_from(1 + varint::size(delta) + rest.len()).ok()?), out);
    out.push(attributes);
    varint::put(delta, out);
    out.extend_from_slice(rest);
    Some(())
}
