//! Writing batches.
//!
//! ```text
//! BatchBuilder ── append … ──> close(compression) ──> ClosedBatch ── stamp ──> Bytes on their way to a broker
//!   one buffer: 61 blank bytes, then each record once, in its final place       └─ stamp again, as long as nothing was written
//! ```
//!
//! Appending allocates nothing but the growth of the one buffer: a record's fixed fields are put together in registers and
//! written as whole words, of which the surplus is taken back; then key, value and headers follow. The header can be filled in only at the end, since producer
//! id, epoch and sequence stand under the checksum and are final only when the batch is taken for sending.
//!
//! Timestamps are written as differences from the first record's. Should a later record be older, the differences are negative,
//! which is valid; `close` then writes such a batch anew so that its base timestamp is the lowest, unless that would make a large
//! batch larger.

use std::fmt;

use bytes::{Bytes, BytesMut};

use crate::protocol::records::batch::{self, CONTROL, Header, MAGIC, TRANSACTIONAL};
use crate::protocol::records::compression::Compression;
use crate::protocol::records::decode::{Cursor, RawRecord};
use crate::protocol::records::error::{AppendError, CompressError};
use crate::protocol::records::varint::{self, Word, len_size, zigzag};
use crate::protocol::records::{BATCH_HEADER_SIZE, LOG_OVERHEAD, NO_PRODUCER_EPOCH, NO_PRODUCER_ID, NO_SEQUENCE};

/// The iterator over no headers.
pub type NoHeaders = std::iter::Empty<(&'static [u8], Option<&'static [u8]>)>;

/// For records without headers.
pub const NO_HEADERS: NoHeaders = std::iter::empty();

/// The longest batch: its length field is an `i32`.
const MAX_BATCH: usize = i32::MAX as usize;
/// Compressed data no smaller than this, and no smaller than what it was made from, is thrown away.
const WORTHWHILE: usize = 4096;
/// The record's own length, and words of which only the first bytes count.
const SLACK: usize = 32;
/// Up to this size a batch may grow where its timestamps are written anew.
const MAY_GROW: usize = 4096;

/// A batch that takes records.
#[derive(Default)]
pub struct BatchBuilder {
    /// Blank header and records; empty before the first record, so that a builder costs nothing.
    buffer: Vec<u8>,
    capacity: usize,
    count: i32,
    base_timestamp: i64,
    min_timestamp: i64,
    max_timestamp: i64,
}

impl BatchBuilder {
    /// An empty batch; its buffer, made by the first record, has room for `capacity` bytes at first.
    pub fn new(capacity: usize) -> Self {
        Self { capacity, ..Self::default() }
    }

    /// An empty batch that reuses `buffer`'s memory.
    pub fn from_buffer(mut buffer: Vec<u8>) -> Self {
        buffer.clear();
        Self { buffer, ..Self::default() }
    }

    /// The most bytes that a record with these lengths can add, whatever its timestamp and place. Use it to see whether a record
    /// fits before appending it; a batch of this one record is [`BATCH_HEADER_SIZE`] bytes larger.
    pub fn record_size_bound<'h>(
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: impl Iterator<Item = (&'h [u8], Option<&'h [u8]>)>,
    ) -> usize {
        // Attributes; timestamp delta and offset delta at their longest; the record's own length.
        let fixed = 1 + 10 + 5 + 5;
        let (headers_size, count) = headers_size(headers);
        [field_size(key), field_size(value), len_size(count), headers_size].into_iter().fold(fixed, usize::saturating_add)
    }

    /// Writes a record behind the others and returns its index in the batch, from 0.
    ///
    /// `timestamp` is in milliseconds since 1970-01-01 UTC. Null and empty are different. `headers` is gone through twice; without
    /// headers pass [`NO_HEADERS`].
    ///
    /// # Errors
    /// If the format cannot express the record or a batch that long; the batch is then unchanged.
    #[inline]
    pub fn append<'h, H>(
        &mut self,
        timestamp: i64,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: H,
    ) -> Result<usize, AppendError>
    where
        H: Iterator<Item = (&'h [u8], Option<&'h [u8]>)> + Clone,
    {
        if self.count == 0 {
            self.start(timestamp);
        }
        self.write(timestamp, key, value, headers)
    }

    /// `append` behind the blank header, which is there.
    #[inline]
    fn write<'h, H>(&mut self, timestamp: i64, key: Option<&[u8]>, value: Option<&[u8]>, headers: H) -> Result<usize, AppendError>
    where
        H: Iterator<Item = (&'h [u8], Option<&'h [u8]>)> + Clone,
    {
        let delta = timestamp.checked_sub(self.base_timestamp).ok_or(AppendError::TimestampOutOfRange)?;
        let index = self.count;
        let (headers_size, header_count) = headers_size(headers.clone());
        let (timestamp_delta, offset_delta) = (zigzag(delta), zigzag(i64::from(index)));
        let body = [
            1 + varint::size(timestamp_delta) + varint::size(offset_delta) + len_size(header_count),
            field_size(key),
            field_size(value),
            headers_size,
        ]
        .into_iter()
        .fold(0, usize::saturating_add);
        // One reservation for the record and for what is written of words past its end.
        let room = body.saturating_add(SLACK);
        if self.buffer.len().saturating_add(room) > MAX_BATCH || index == i32::MAX {
            return Err(AppendError::TooLarge);
        }
        self.buffer.reserve(room);

        // Length (4 bytes), attributes (1), timestamp delta (3); offset delta (3), key length (4) or, for a null key, 1 and value
        // length (4): two words for all records but the outlandish.
        if (body as u64) << 1 < Word::LIMIT && timestamp_delta < 1 << 21 && offset_delta < 1 << 21 {
            Word::default().varint((body as u64) << 1).byte(0).varint(timestamp_delta).put(&mut self.buffer);
            let word = Word::default().varint(offset_delta).varint(length(key));
            match key {
                None => word.varint(length(value)).put(&mut self.buffer),
                Some(key) => {
                    word.put(&mut self.buffer);
                    self.buffer.extend_from_slice(key);
                    Word::default().varint(length(value)).put(&mut self.buffer);
                }
            }
        } else {
            varint::put((body as u64) << 1, &mut self.buffer);
            self.buffer.push(0);
            varint::put(timestamp_delta, &mut self.buffer);
            varint::put(offset_delta, &mut self.buffer);
            varint::put(length(key), &mut self.buffer);
            self.buffer.extend_from_slice(key.unwrap_or_default());
            varint::put(length(value), &mut self.buffer);
        }
        self.buffer.extend_from_slice(value.unwrap_or_default());
        if header_count == 0 {
            self.buffer.push(0);
        } else {
            put_headers(&mut self.buffer, header_count, headers);
        }
        self.count = index + 1;
        self.min_timestamp = self.min_timestamp.min(timestamp);
        self.max_timestamp = self.max_timestamp.max(timestamp);
        // A count of records, never negative.
        Ok(index as usize)
    }

    /// Makes room for the header; the first record's timestamp is the one that the others are differences from.
    #[cold]
    fn start(&mut self, timestamp: i64) {
        self.buffer.clear();
        self.buffer.reserve(self.capacity.max(BATCH_HEADER_SIZE));
        self.buffer.resize(BATCH_HEADER_SIZE, 0);
        (self.base_timestamp, self.min_timestamp, self.max_timestamp) = (timestamp, timestamp, timestamp);
    }

    /// Bytes so far, header included; 0 before the first record.
    #[inline]
    pub fn len(&self) -> usize {
        self.buffer.len()
    }

    /// Has it no record?
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// How many records it has.
    #[inline]
    pub fn count(&self) -> usize {
        // Never negative.
        self.count as usize
    }

    /// Memory it holds.
    pub fn capacity(&self) -> usize {
        self.buffer.capacity()
    }

    /// The highest timestamp of its records, if it has any.
    pub fn max_timestamp(&self) -> Option<i64> {
        (self.count > 0).then_some(self.max_timestamp)
    }

    /// Takes no more records, and compresses them with the codec's own default level.
    ///
    /// # Errors
    /// If this build of klamm was made without the codec.
    pub fn close(self, compression: Compression) -> Result<ClosedBatch, CompressError> {
        self.close_with_level(compression, None)
    }

    /// Takes no more records, and compresses them at `level`, or at the codec's default.
    ///
    /// Data of 4 KiB and more that does not get smaller is left as it is, and the batch says so.
    ///
    /// # Errors
    /// If this build of klamm was made without the codec.
    pub fn close_with_level(mut self, compression: Compression, level: Option<i32>) -> Result<ClosedBatch, CompressError> {
        if self.count == 0 {
            self.start(0);
        }
        if self.min_timestamp < self.base_timestamp {
            self.rebase();
        }
        let uncompressed_size = self.buffer.len();
        let (buffer, compression) = compress(self.buffer, compression, level)?;
        let header = Header {
            base_offset: 0,
            // `append` and `compress` keep it below 2 GiB.
            length: (buffer.len() - LOG_OVERHEAD) as i32,
            partition_leader_epoch: -1,
            magic: MAGIC,
            checksum: 0,
            attributes: i16::from(compression.id()),
            last_offset_delta: (self.count - 1).max(0),
            base_timestamp: self.base_timestamp,
            max_timestamp: self.max_timestamp,
            producer_id: NO_PRODUCER_ID,
            producer_epoch: NO_PRODUCER_EPOCH,
            base_sequence: NO_SEQUENCE,
            count: self.count,
        };
        Ok(ClosedBatch { fresh: buffer, bytes: Bytes::new(), header, compression, uncompressed_size })
    }

    /// Writes the records anew with differences from the lowest timestamp.
    #[cold]
    fn rebase(&mut self) {
        let mut out = Self::new(self.buffer.len().saturating_add(64));
        out.start(self.min_timestamp);
        let body = self.buffer.get(BATCH_HEADER_SIZE..).unwrap_or_default();
        let (mut cursor, mut index) = (Cursor::default(), 0);
        while index < self.count {
            let Ok(RawRecord { timestamp_delta, key, value, headers, .. }) = RawRecord::read(body, &mut cursor.position) else {
                return debug_assert!(false, "a record just written can be read");
            };
            let timestamp = self.base_timestamp.saturating_add(timestamp_delta);
            let headers = headers.filter_map(|header| header.ok().map(|header| (header.key, header.value)));
            if out.write(timestamp, key, value, headers).is_err() {
                // Too far apart for a difference from the lowest, or too long: the batch stays as valid as it was.
                return;
            }
            index += 1;
        }
        if out.len() <= self.len().max(MAY_GROW) {
            *self = out;
        }
    }
}

impl fmt::Debug for BatchBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BatchBuilder").field("count", &self.count).field("len", &self.len()).finish_non_exhaustive()
    }
}

/// Length of a field on the wire, zigzag: -1 for null.
#[inline]
fn length(field: Option<&[u8]>) -> u64 {
    field.map_or(1, |field| (field.len() as u64) << 1)
}

/// Bytes of a field with its length.
#[inline]
fn field_size(field: Option<&[u8]>) -> usize {
    field.map_or(1, |field| len_size(field.len()).saturating_add(field.len()))
}

/// Bytes of all headers, and their number.
#[inline]
fn headers_size<'h>(headers: impl Iterator<Item = (&'h [u8], Option<&'h [u8]>)>) -> (usize, usize) {
    headers.fold((0, 0), |(size, count), (key, value)| {
        (size.saturating_add(field_size(Some(key))).saturating_add(field_size(value)), count + 1)
    })
}

/// Appends count and headers.
fn put_headers<'h>(buffer: &mut Vec<u8>, count: usize, headers: impl Iterator<Item = (&'h [u8], Option<&'h [u8]>)>) {
    varint::put((count as u64) << 1, buffer);
    for (key, value) in headers {
        varint::put(length(Some(key)), buffer);
        buffer.extend_from_slice(key);
        varint::put(length(value), buffer);
        buffer.extend_from_slice(value.unwrap_or_default());
    }
}

/// Compresses what follows the header, if that is wanted and worth it.
pub(super) fn compress(
    buffer: Vec<u8>,
    compression: Compression,
    level: Option<i32>,
) -> Result<(Vec<u8>, Compression), CompressError> {
    if compression == Compression::None {
        return Ok((buffer, Compression::None));
    }
    let records = buffer.get(BATCH_HEADER_SIZE..).unwrap_or_default();
    let mut out = Vec::with_capacity(BATCH_HEADER_SIZE + records.len() / 2 + 64);
    out.resize(BATCH_HEADER_SIZE, 0);
    compression.compress(level, records, &mut out)?;
    let useless = out.len() >= buffer.len() && out.len() >= WORTHWHILE;
    Ok(if useless { (buffer, Compression::None) } else { (out, compression) })
}

/// A batch that takes no more records. It goes out as [`stamp`](Self::stamp) returns it.
#[derive(Clone)]
pub struct ClosedBatch {
    /// What `close` left; empty from the first stamp on. To make a `Bytes` of it twice costs a small batch more than all else.
    fresh: Vec<u8>,
    /// As last stamped; empty before the first stamp.
    bytes: Bytes,
    header: Header,
    compression: Compression,
    uncompressed_size: usize,
}

impl ClosedBatch {
    /// Fills in who sends it and computes the checksum. Without idempotence pass [`NO_PRODUCER_ID`], [`NO_PRODUCER_EPOCH`] and
    /// [`NO_SEQUENCE`].
    ///
    /// It may be stamped anew, and is then changed in place if nobody else holds the bytes of the stamp before, else copied. That
    /// is for batches of which no byte was written: one that may have reached a broker is sent again as [`bytes`](Self::bytes).
    pub fn stamp(&mut self, producer_id: i64, producer_epoch: i16, base_sequence: i32, transactional: bool) -> Bytes {
        self.header.attributes &= !TRANSACTIONAL;
        self.header.attributes |= if transactional { TRANSACTIONAL } else { 0 };
        (self.header.producer_id, self.header.producer_epoch) = (producer_id, producer_epoch);
        self.header.base_sequence = base_sequence;
        self.seal();
        self.bytes.clone()
    }

    fn seal(&mut self) {
        if self.bytes.is_empty() {
            batch::seal(&mut self.fresh, &mut self.header);
            self.bytes = std::mem::take(&mut self.fresh).into();
            return;
        }
        let mut bytes = std::mem::take(&mut self.bytes).try_into_mut().unwrap_or_else(|shared| BytesMut::from(&*shared));
        batch::seal(&mut bytes, &mut self.header);
        self.bytes = bytes.freeze();
    }

    /// Makes it a control batch.
    pub(super) fn into_control(mut self) -> Self {
        self.header.attributes |= CONTROL;
        self
    }

    /// The bytes as last stamped, for sending them again; empty before the first stamp.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// How many records it has.
    pub fn count(&self) -> usize {
        // Never negative.
        self.header.count as usize
    }

    /// Its bytes on the wire, header included.
    pub fn size(&self) -> usize {
        self.fresh.len() + self.bytes.len()
    }

    /// Its bytes before compression, header included.
    pub fn uncompressed_size(&self) -> usize {
        self.uncompressed_size
    }

    /// The codec really used: none, where compressing did not make it smaller.
    pub fn compression(&self) -> Compression {
        self.compression
    }

    /// The timestamp that its records' deltas count from.
    pub fn base_timestamp(&self) -> i64 {
        self.header.base_timestamp
    }

    /// The highest timestamp of its records.
    pub fn max_timestamp(&self) -> i64 {
        self.header.max_timestamp
    }

    /// As last stamped: producer id, epoch, sequence of the first record.
    pub fn identity(&self) -> (i64, i16, i32) {
        (self.header.producer_id, self.header.producer_epoch, self.header.base_sequence)
    }

    /// Gives the memory back for another [`BatchBuilder::from_buffer`], if nobody else holds it; nothing is in it.
    pub fn into_buffer(mut self) -> Option<Vec<u8>> {
        if self.bytes.is_empty() {
            self.fresh.clear();
            return Some(self.fresh);
        }
        let mut bytes = self.bytes.try_into_mut().ok()?;
        // Else all of it would be copied, if only to where it is.
        bytes.clear();
        Some(bytes.into())
    }
}

impl fmt::Debug for ClosedBatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClosedBatch")
            .field("header", &self.header)
            .field("compression", &self.compression)
            .finish_non_exhaustive()
    }
}
