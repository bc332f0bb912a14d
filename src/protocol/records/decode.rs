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
use crate::protocol::records::legacy::Messages;
use crate::protocol::records::limits::{FetchBudget, Limits};
use crate::protocol::records::varint;

/// The batches of a record set, as a fetch response carries it for one partition.
///
/// A broker cuts the set at the fetch size: a last batch that is not whole ends the iteration, and
/// [`is_truncated`](Self::is_truncated) tells. After an error there is nothing more, for what follows cannot be trusted.
#[derive(Clone, Debug)]
pub struct RecordBatches {
    rest: Bytes,
    limits: Limits,
    cut: Option<Option<usize>>,
    /// Bytes of the batches before.
    position: usize,
}

impl RecordBatches {
    /// The batches in `records`.
    pub fn new(records: Bytes) -> Self {
        Self::with_limits(records, Limits::default())
    }

    /// [`new`](Self::new), where checksums are only looked at if [`Limits::verify_checksum`] says so.
    pub fn with_limits(records: Bytes, limits: Limits) -> Self {
        Self { rest: records, limits, cut: None, position: 0 }
    }

    /// Where the next batch begins, or the one that could not be read: bytes from the start of the record set.
    pub fn position(&self) -> usize {
        self.position
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
            Ok(Next::Whole(size)) => {
                let batch = Batch::check(self.rest.split_to(size), self.limits);
                self.position += if batch.is_ok() { size } else { 0 };
                batch
            }
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
    /// What decompression says, or [`BatchErrorKind::BadCount`] if so many records cannot be in what came out. Messages of formats 0
    /// and 1 that were compressed are all checked here.
    pub fn records(&self, limits: Limits) -> Result<Records, BatchError> {
        self.open(limits, None)
    }

    /// [`records`](Self::records), where what comes out of decompression is charged to the `budget` of the fetch that brought it.
    ///
    /// # Errors
    /// As those of [`records`](Self::records), and [`BatchErrorKind::FetchTooLarge`].
    pub fn records_within(&self, limits: Limits, budget: &mut FetchBudget) -> Result<Records, BatchError> {
        self.open(limits, Some(budget))
    }

    fn open(&self, limits: Limits, budget: Option<&mut FetchBudget>) -> Result<Records, BatchError> {
        let records =
            if self.magic() == batch::MAGIC { self.open_batch(limits, budget) } else { self.open_legacy(limits, budget) };
        records.map_err(|kind| self.error(kind))
    }

    fn open_batch(&self, limits: Limits, budget: Option<&mut FetchBudget>) -> Result<Records, BatchErrorKind> {
        let compression = self.compression().map_err(|error| error.kind)?;
        let body = match compression {
            _ if self.record_count() == 0 && self.size() == super::BATCH_HEADER_SIZE => Bytes::new(),
            Compression::None => self.body(),
            _ => limits.decompress(&self.body(), budget, |input, limit| compression.decompress(input, limit))?.into(),
        };
        // Not negative: checked when the batch was taken.
        let count = usize::try_from(self.record_count()).unwrap_or(usize::MAX);
        if count > body.len() / MIN_RECORD_SIZE || (count == 0 && !body.is_empty()) {
            return Err(BatchErrorKind::BadCount(self.record_count()));
        }
        Ok(Records {
            body,
            base_offset: self.base_offset(),
            base_timestamp: self.base_timestamp(),
            append_time: (self.timestamp_type() == TimestampType::LogAppendTime).then_some(self.max_timestamp()),
            last_offset_delta: self.last_offset_delta(),
            count: self.record_count(),
            legacy: None,
        })
    }

    fn open_legacy(&self, limits: Limits, budget: Option<&mut FetchBudget>) -> Result<Records, BatchErrorKind> {
        let (body, messages) = if self.is_compressed() {
            Messages::wrapped(self, limits, |compression, value| {
                limits.decompress(value, budget, |input, limit| match self.magic() {
                    0 => compression.decompress_format_0(input, limit),
                    _ => compression.decompress(input, limit),
                })
            })?
        } else {
            (self.bytes.clone(), Messages::alone())
        };
        Ok(Records {
            base_offset: messages.first_offset(&body),
            body,
            base_timestamp: self.base_timestamp(),
            append_time: None,
            last_offset_delta: 0,
            count: 0,
            legacy: Some(messages),
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
    /// 0 in formats 0 and 1, so that the path of every record has one question only.
    count: i32,
    legacy: Option<Messages>,
}

impl Records {
    /// The offset that deltas count from; in formats 0 and 1 that of the first record.
    pub fn base_offset(&self) -> i64 {
        self.base_offset
    }

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
    fn end(&self, cursor: &mut Cursor) -> Option<Result<RecordRef<'_>, BatchError>> {
        if let Some(messages) = self.legacy.as_ref().filter(|messages| cursor.index < messages.count) {
            return Some(messages.read(&self.body, cursor).map_err(|reason| self.fail(cursor, reason)));
        }
        if cursor.index == self.total() && cursor.position < self.body.len() {
            return Some(Err(self.fail(cursor, "bytes follow the last record")));
        }
        None
    }

    pub(super) fn body(&self) -> &Bytes {
        &self.body
    }

    fn total(&self) -> i32 {
        self.legacy.as_ref().map_or(self.count, |messages| messages.count)
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
        usize::try_from(self.total()).unwrap_or_default()
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
            .field("count", &self.total())
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
    pub(super) index: i32,
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
        let left = usize::try_from(self.records.total().saturating_sub(self.cursor.index)).unwrap_or(0);
        // None of them may be readable; one error comes on top.
        (0, Some(left.saturating_add(1)))
    }
}

/// A record, borrowed from its batch.
#[derive(Clone, Copy, Debug)]
pub struct RecordRef<'a> {
    /// Its offset in the partition.
    pub offset: i64,
    /// In milliseconds since 1970-01-01 UTC; the broker's for a batch with `LogAppendTime`; -1 in format 0, which has none.
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
#[derive(Clone, Copy, Default)]
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
