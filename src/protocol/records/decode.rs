//! Reading batches.
//!
//! ```text
//! record set ── RecordBatches ──> Batch ── records(limits) ──> Records ── iter() / read(&mut Cursor) ──> RecordRef<'_>
//!               length, format,            decompressed        one Bytes,                               borrowed; share()
//!               CRC, offset range          at most once        no objects                               makes owned slices
//! ```
//!
//! A record's bounds are checked once, by its length; its fields are then read inside that slice. Offsets must ascend within the
//! batch's span and the count must be exact. Headers are bounded here and parsed when asked for.

use std::fmt;

use bytes::Bytes;

use crate::protocol::records::MIN_RECORD_SIZE;
use crate::protocol::records::batch::{self, Batch, Next, TimestampType};
use crate::protocol::records::compression::Compression;
use crate::protocol::records::error::{BatchError, BatchErrorKind};
use crate::protocol::records::varint;

/// What reading may cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes that one batch may decompress to. 128 MiB; the expansion of zstd is practically unlimited, and brokers do not look.
    pub max_decompressed: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { max_decompressed: 128 * 1024 * 1024 }
    }
}

/// The batches of a record set, as a fetch response carries it for one partition.
///
/// A broker cuts the set at the fetch size: a last batch that is not whole ends the iteration, and
/// [`is_truncated`](Self::is_truncated) tells. After an error there is nothing more, for what follows cannot be trusted.
#[derive(Clone, Debug)]
pub struct RecordBatches {
    rest: Bytes,
    cut: Option<Option<usize>>,
}

impl RecordBatches {
    /// The batches in `records`.
    pub fn new(records: Bytes) -> Self {
        Self { rest: records, cut: None }
    }

    /// Was the iteration ended by a batch that is not there to its end?
    pub fn is_truncated(&self) -> bool {
        self.cut.is_some()
    }

    /// The size that this cut batch would have, if as much of it is there as says so.
    pub fn truncated_size(&self) -> Option<usize> {
        self.cut.flatten()
    }
}

impl Iterator for RecordBatches {
    type Item = Result<Batch, BatchError>;

    fn next(&mut self) -> Option<Self::Item> {
        let result = match batch::next(&self.rest) {
            Ok(Next::End) => return None,
            Ok(Next::Cut(size)) => {
                self.cut = Some(size);
                self.rest = Bytes::new();
                return None;
            }
            Ok(Next::Whole(size)) => Batch::check(self.rest.split_to(size)),
            Err(error) => Err(error),
        };
        if result.is_err() {
            self.rest = Bytes::new();
        }
        Some(result)
    }
}

impl Batch {
    /// Its records, decompressed where need be; they share the batch's memory where not.
    ///
    /// # Errors
    /// What decompression says, or [`BatchErrorKind::BadCount`] if so many records cannot be in what came out.
    pub fn records(&self, limits: Limits) -> Result<Records, BatchError> {
        let compression = self.compression()?;
        let body = match compression {
            _ if self.record_count() == 0 && self.size() == super::BATCH_HEADER_SIZE => Bytes::new(),
            Compression::None => self.body(),
            _ => compression.decompress(&self.body(), limits.max_decompressed).map_err(|kind| self.error(kind))?.into(),
        };
        // Not negative: checked when the batch was taken.
        let count = usize::try_from(self.record_count()).unwrap_or(usize::MAX);
        if count > body.len() / MIN_RECORD_SIZE || (count == 0 && !body.is_empty()) {
            return Err(self.error(BatchErrorKind::BadCount(self.record_count())));
        }
        Ok(Records {
            body,
            base_offset: self.base_offset(),
            base_timestamp: self.base_timestamp(),
            append_time: (self.timestamp_type() == TimestampType::LogAppendTime).then_some(self.max_timestamp()),
            last_offset_delta: self.last_offset_delta(),
            count: self.record_count(),
        })
    }

    /// Would [`records`](Self::records) have to decompress?
    pub fn is_compressed(&self) -> bool {
        self.attributes() & batch::COMPRESSION_MASK != 0
    }
}

/// The records of one batch. Cloning shares their bytes.
#[derive(Clone)]
pub struct Records {
    body: Bytes,
    base_offset: i64,
    base_timestamp: i64,
    append_time: Option<i64>,
    last_offset_delta: i32,
    count: i32,
}

impl Records {
    /// From the first record to the last.
    pub fn iter(&self) -> RecordsIter<'_> {
        RecordsIter { records: self, cursor: Cursor::default() }
    }

    /// The record at `cursor`, which then stands behind it; `None` behind the last, or behind an error.
    #[inline]
    pub fn read(&self, cursor: &mut Cursor) -> Option<Result<RecordRef<'_>, BatchError>> {
        if cursor.index >= self.count {
            return self.end(cursor);
        }
        match self.step(cursor) {
            Ok(record) => Some(Ok(record)),
            Err(reason) => Some(Err(self.fail(cursor, reason))),
        }
    }

    #[inline(always)]
    fn step(&self, cursor: &mut Cursor) -> Result<RecordRef<'_>, &'static str> {
        let raw = RawRecord::read(&self.body, &mut cursor.position)?;
        if i64::from(raw.offset_delta) < cursor.next_delta || raw.offset_delta > self.last_offset_delta {
            return Err("its offset does not ascend within the batch");
        }
        cursor.index += 1;
        cursor.next_delta = i64::from(raw.offset_delta) + 1;
        let timestamp = match self.append_time {
            Some(time) => time,
            None => self.base_timestamp.checked_add(raw.timestamp_delta).ok_or("its timestamp leaves the range")?,
        };
        Ok(RecordRef {
            // Within the batch's span, which was checked to be in range.
            offset: self.base_offset.wrapping_add(i64::from(raw.offset_delta)),
            timestamp,
            key: raw.key,
            value: raw.value,
            headers: raw.headers,
        })
    }

    #[cold]
    fn end(&self, cursor: &mut Cursor) -> Option<Result<RecordRef<'static>, BatchError>> {
        if cursor.index == self.count && cursor.position < self.body.len() {
            return Some(Err(self.fail(cursor, "bytes follow the last record")));
        }
        None
    }

    #[cold]
    fn fail(&self, cursor: &mut Cursor, reason: &'static str) -> BatchError {
        let error = BatchError::new(self.base_offset, BatchErrorKind::BadRecord { index: cursor.index, reason });
        cursor.index = i32::MAX;
        cursor.position = usize::MAX;
        error
    }

    /// A slice that a [`RecordRef`] of these records handed out, as an owned one that shares their memory. It keeps all of it
    /// alive, and for an uncompressed batch the whole response.
    pub fn share(&self, bytes: &[u8]) -> Bytes {
        self.body.slice_ref(bytes)
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        // Not negative: checked when the batch was taken.
        usize::try_from(self.count).unwrap_or_default()
    }

    /// Their bytes, decompressed.
    pub fn size(&self) -> usize {
        self.body.len()
    }
}

impl fmt::Debug for Records {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Records")
            .field("base_offset", &self.base_offset)
            .field("count", &self.count)
            .field("size", &self.size())
            .finish_non_exhaustive()
    }
}

impl<'a> IntoIterator for &'a Records {
    type Item = Result<RecordRef<'a>, BatchError>;
    type IntoIter = RecordsIter<'a>;

    fn into_iter(self) -> RecordsIter<'a> {
        self.iter()
    }
}

/// A place among the records of one batch. It borrows nothing, so that it can be kept beside them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cursor {
    pub(super) position: usize,
    index: i32,
    next_delta: i64,
}

/// Iterator over the records of a batch; ends after an error.
#[derive(Clone, Debug)]
pub struct RecordsIter<'a> {
    records: &'a Records,
    cursor: Cursor,
}

impl<'a> Iterator for RecordsIter<'a> {
    type Item = Result<RecordRef<'a>, BatchError>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        self.records.read(&mut self.cursor)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = usize::try_from(self.records.count.saturating_sub(self.cursor.index)).unwrap_or(0);
        // None of them may be readable; one error comes on top.
        (0, Some(left.saturating_add(1)))
    }
}

/// A record, borrowed from its batch.
#[derive(Clone, Copy, Debug)]
pub struct RecordRef<'a> {
    /// Its offset in the partition.
    pub offset: i64,
    /// In milliseconds since 1970-01-01 UTC; the broker's for a batch with `LogAppendTime`.
    pub timestamp: i64,
    /// The key; null is not the same as empty.
    pub key: Option<&'a [u8]>,
    /// The value; null is not the same as empty.
    pub value: Option<&'a [u8]>,
    /// The headers, not parsed yet.
    pub headers: Headers<'a>,
}

/// A record's header, borrowed. The key is meant to be text, but brokers do not check it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeaderRef<'a> {
    /// Its name.
    pub key: &'a [u8],
    /// Its value; null is not the same as empty.
    pub value: Option<&'a [u8]>,
}

/// The headers of a record, in order, parsed as they are asked for; ends after an error.
#[derive(Clone, Copy)]
pub struct Headers<'a> {
    rest: &'a [u8],
    left: usize,
}

impl Headers<'_> {
    /// How many are left.
    pub fn len(&self) -> usize {
        self.left
    }

    /// Is none left?
    pub fn is_empty(&self) -> bool {
        self.left == 0
    }
}

impl<'a> Headers<'a> {
    fn parse(&mut self) -> Option<HeaderRef<'a>> {
        let mut position = 0;
        let key = field(self.rest, &mut position)?;
        let value = field(self.rest, &mut position)?;
        self.rest = self.rest.get(position..)?;
        self.left -= 1;
        if self.left == 0 && !self.rest.is_empty() {
            return None;
        }
        Some(HeaderRef { key: key?, value })
    }
}

impl<'a> Iterator for Headers<'a> {
    type Item = Result<HeaderRef<'a>, BadHeader>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.left == 0 {
            return None;
        }
        let header = self.parse().ok_or(BadHeader);
        if header.is_err() {
            self.left = 0;
        }
        Some(header)
    }
}

impl fmt::Debug for Headers<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(*self).finish()
    }
}

/// A header that runs over its record, has no key, or leaves bytes behind the last one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadHeader;

impl fmt::Display for BadHeader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a record's headers are broken")
    }
}

impl std::error::Error for BadHeader {}

/// A record with its differences as they stand in the batch.
pub(super) struct RawRecord<'a> {
    pub(super) timestamp_delta: i64,
    pub(super) offset_delta: i32,
    pub(super) key: Option<&'a [u8]>,
    pub(super) value: Option<&'a [u8]>,
    pub(super) headers: Headers<'a>,
}

impl<'a> RawRecord<'a> {
    /// Reads the record at `*position` and moves behind it.
    #[inline(always)]
    pub(super) fn read(body: &'a [u8], position: &mut usize) -> Result<Self, &'static str> {
        const CUT: &str = "a field is cut short or over-long";
        let mut start = *position;
        let length = varint::read_i32(body, &mut start).ok_or("its length is cut short or over-long")?;
        let record = usize::try_from(length)
            .ok()
            .and_then(|length| body.get(start..)?.get(..length))
            .ok_or("its length is negative or runs over the batch")?;
        *position = start + record.len();
        // One byte of attributes, which has no meaning yet.
        let mut at = 1;
        let timestamp_delta = varint::read_i64(record, &mut at).ok_or(CUT)?;
        let offset_delta = varint::read_i32(record, &mut at).ok_or(CUT)?;
        let key = field(record, &mut at).ok_or(CUT)?;
        let value = field(record, &mut at).ok_or(CUT)?;
        let count = varint::read_i32(record, &mut at).ok_or(CUT)?;
        let rest = record.get(at..).ok_or(CUT)?;
        // A header takes two bytes at least; without any, nothing may follow.
        let left = usize::try_from(count).ok().filter(|count| *count <= rest.len() / 2 && (*count > 0 || rest.is_empty()));
        let headers = Headers { rest, left: left.ok_or("its number of headers is negative or contradicts its length")? };
        Ok(Self { timestamp_delta, offset_delta, key, value, headers })
    }
}

/// Reads a length and as many bytes: `Some(None)` for null (a length of -1), `None` if it is cut or the length is below -1.
#[inline(always)]
fn field<'a>(record: &'a [u8], at: &mut usize) -> Option<Option<&'a [u8]>> {
    let length = varint::read_i32(record, at)?;
    if length < 0 {
        return (length == -1).then_some(None);
    }
    let bytes = record.get(*at..)?.get(..usize::try_from(length).ok()?)?;
    *at += bytes.len();
    Some(Some(bytes))
}
