//! The header of a batch of format 2, and a batch as it stands in a record set.
//!
//! ```text
//!  0 base offset i64        12 partition leader epoch i32   21 attributes i16          43 producer id i64
//!  8 length i32             16 magic i8 (2)                 23 last offset delta i32   51 producer epoch i16
//!                           17 CRC-32C u32 of all from 21   27 base timestamp i64      53 base sequence i32
//!                                                           35 max timestamp i64       57 record count i32
//! ```
//!
//! Base offset and leader epoch are the broker's to set, so they stand outside the checksum. A batch's offsets are `base_offset..
//! =base_offset + last_offset_delta`, also where compaction removed some or all of its records: the position after it is
//! [`Batch::next_offset`], never "last record + 1".
//!
//! What `legacy.rs` reads is a `Batch` as well, with the header that it would have in format 2.

use bytes::Bytes;

use crate::protocol::records::compression::Compression;
use crate::protocol::records::error::{BatchError, BatchErrorKind};
use crate::protocol::records::limits::Limits;
use crate::protocol::records::{BATCH_HEADER_SIZE, LOG_OVERHEAD, MIN_RECORD_SIZE, NO_SEQUENCE, legacy};

/// The format this module writes.
pub(super) const MAGIC: i8 = 2;
/// The count of records where only decompressing tells.
pub(super) const UNKNOWN_COUNT: i32 = -1;
/// Where the bytes under the checksum begin.
pub(super) const CHECKED_FROM: usize = 21;

/// Attribute bits: the codec.
pub(super) const COMPRESSION_MASK: i16 = 0b111;
/// Attribute bit: the broker set the timestamps.
pub(super) const LOG_APPEND_TIME: i16 = 1 << 3;
/// Attribute bit: part of a transaction.
pub(super) const TRANSACTIONAL: i16 = 1 << 4;
/// Attribute bit: a marker, not data.
pub(super) const CONTROL: i16 = 1 << 5;
/// Attribute bit: the base timestamp is the delete horizon of compaction (KIP-534).
pub(super) const DELETE_HORIZON: i16 = 1 << 6;

/// What the timestamps of a batch tell.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum TimestampType {
    /// When the producer made the record.
    #[default]
    CreateTime,
    /// When the broker appended the batch.
    LogAppendTime,
}

/// The header's fields as integers, and the only place that knows where they stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) base_offset: i64,
    pub(super) length: i32,
    pub(super) partition_leader_epoch: i32,
    pub(super) magic: i8,
    pub(super) checksum: u32,
    pub(super) attributes: i16,
    pub(super) last_offset_delta: i32,
    pub(super) base_timestamp: i64,
    pub(super) max_timestamp: i64,
    pub(super) producer_id: i64,
    pub(super) producer_epoch: i16,
    pub(super) base_sequence: i32,
    pub(super) count: i32,
}

/// The `N` bytes at `at`.
#[expect(clippy::indexing_slicing, reason = "all calls pass constants inside the header")]
fn at<const N: usize>(bytes: &[u8; BATCH_HEADER_SIZE], at: usize) -> [u8; N] {
    let mut out = [0; N];
    out.copy_from_slice(&bytes[at..at + N]);
    out
}

impl Header {
    pub(super) fn read(bytes: &[u8; BATCH_HEADER_SIZE]) -> Self {
        Self {
            base_offset: i64::from_be_bytes(at(bytes, 0)),
            length: i32::from_be_bytes(at(bytes, 8)),
            partition_leader_epoch: i32::from_be_bytes(at(bytes, 12)),
            magic: i8::from_be_bytes(at(bytes, 16)),
            checksum: u32::from_be_bytes(at(bytes, 17)),
            attributes: i16::from_be_bytes(at(bytes, 21)),
            last_offset_delta: i32::from_be_bytes(at(bytes, 23)),
            base_timestamp: i64::from_be_bytes(at(bytes, 27)),
            max_timestamp: i64::from_be_bytes(at(bytes, 35)),
            producer_id: i64::from_be_bytes(at(bytes, 43)),
            producer_epoch: i16::from_be_bytes(at(bytes, 51)),
            base_sequence: i32::from_be_bytes(at(bytes, 53)),
            count: i32::from_be_bytes(at(bytes, 57)),
        }
    }

    #[expect(clippy::indexing_slicing, reason = "all places are constants inside the header")]
    pub(super) fn write(&self, bytes: &mut [u8; BATCH_HEADER_SIZE]) {
        let mut put = |at: usize, value: &[u8]| bytes[at..at + value.len()].copy_from_slice(value);
        put(0, &self.base_offset.to_be_bytes());
        put(8, &self.length.to_be_bytes());
        put(12, &self.partition_leader_epoch.to_be_bytes());
        put(16, &self.magic.to_be_bytes());
        put(17, &self.checksum.to_be_bytes());
        put(21, &self.attributes.to_be_bytes());
        put(23, &self.last_offset_delta.to_be_bytes());
        put(27, &self.base_timestamp.to_be_bytes());
        put(35, &self.max_timestamp.to_be_bytes());
        put(43, &self.producer_id.to_be_bytes());
        put(51, &self.producer_epoch.to_be_bytes());
        put(53, &self.base_sequence.to_be_bytes());
        put(57, &self.count.to_be_bytes());
    }
}

/// Writes `header` with the checksum of what follows into the start of `batch`, which is a whole batch.
pub(super) fn seal(batch: &mut [u8], header: &mut Header) {
    let Some(place) = batch.first_chunk_mut() else { return debug_assert!(false, "no room for a header") };
    header.write(place);
    header.checksum = batch.get(CHECKED_FROM..).map_or(0, crc32c::crc32c);
    if let Some(place) = batch.get_mut(17..21) {
        place.copy_from_slice(&header.checksum.to_be_bytes());
    }
}

/// One batch whose length, format, checksum, count and offset range are in order. Cloning shares its bytes.
#[derive(Clone, Debug)]
pub struct Batch {
    pub(super) bytes: Bytes,
    pub(super) header: Header,
}

/// What stands at the start of a record set.
pub(super) enum Next {
    /// Nothing more.
    End,
    /// The beginning of a batch that is not there to its end; its size, if that much is there.
    Cut(Option<usize>),
    /// A whole batch of so many bytes.
    Whole(usize),
}

/// Finds the size of the batch at the start of `bytes`, trusting only length and format.
pub(super) fn next(bytes: &[u8]) -> Result<Next, BatchError> {
    if bytes.is_empty() {
        return Ok(Next::End);
    }
    let Some(head) = bytes.first_chunk::<LOG_OVERHEAD>() else { return Ok(Next::Cut(None)) };
    let [o0, o1, o2, o3, o4, o5, o6, o7, l0, l1, l2, l3] = *head;
    let base_offset = i64::from_be_bytes([o0, o1, o2, o3, o4, o5, o6, o7]);
    let length = i32::from_be_bytes([l0, l1, l2, l3]);
    let fail = |kind| Err(BatchError::new(base_offset, kind));
    let least = match bytes.get(16).map(|byte| *byte as i8) {
        // Its format is cut off.
        None => legacy::min_length(0),
        Some(magic @ 0..=1) => legacy::min_length(magic),
        Some(MAGIC) => BATCH_HEADER_SIZE - LOG_OVERHEAD,
        Some(other) => return fail(BatchErrorKind::UnsupportedFormat(other)),
    };
    let Some(size) = usize::try_from(length).ok().filter(|length| *length >= least) else {
        return fail(BatchErrorKind::BadLength { length, least });
    };
    let size = size.saturating_add(LOG_OVERHEAD);
    Ok(if size <= bytes.len() { Next::Whole(size) } else { Next::Cut(Some(size)) })
}

impl Batch {
    /// Takes `bytes`, which must be exactly one batch, and checks what [`RecordBatches`](super::RecordBatches) checks.
    ///
    /// # Errors
    /// [`BatchErrorKind::Truncated`] if they are less or more than one batch; else what [`RecordBatches`](super::RecordBatches) would find.
    pub fn new(bytes: Bytes) -> Result<Self, BatchError> {
        Self::with_limits(bytes, Limits::default())
    }

    /// [`new`](Self::new), where the checksum is only looked at if [`Limits::verify_checksum`] says so.
    ///
    /// # Errors
    /// As those of [`new`](Self::new).
    pub fn with_limits(bytes: Bytes, limits: Limits) -> Result<Self, BatchError> {
        match next(&bytes)? {
            Next::Whole(size) if size == bytes.len() => Self::check(bytes, limits),
            _ => Err(BatchError::new(0, BatchErrorKind::Truncated)),
        }
    }

    /// Checks what `next` did not; `bytes` are as long as it said.
    pub(super) fn check(bytes: Bytes, limits: Limits) -> Result<Self, BatchError> {
        if bytes.get(16).is_some_and(|magic| *magic as i8 != MAGIC) {
            return legacy::check(bytes, limits);
        }
        let Some(head) = bytes.first_chunk() else { return Err(BatchError::new(0, BatchErrorKind::Truncated)) };
        let header = Header::read(head);
        let fail = |kind| Err(BatchError::new(header.base_offset, kind));
        if limits.verify_checksum {
            let computed = bytes.get(CHECKED_FROM..).map_or(0, crc32c::crc32c);
            if computed != header.checksum {
                return fail(BatchErrorKind::BadChecksum { stored: header.checksum, computed });
            }
        }
        let batch = Self { header, bytes };
        let body = batch.bytes.len() - BATCH_HEADER_SIZE;
        match usize::try_from(header.count) {
            // What a codec makes of its input is not known yet: a compressed batch is held to its count once decompressed.
            Ok(count) if header.attributes & COMPRESSION_MASK != 0 || count <= body / MIN_RECORD_SIZE => {}
            _ => return fail(BatchErrorKind::BadCount(header.count)),
        }
        let delta = header.last_offset_delta;
        if delta < 0 || delta < header.count.saturating_sub(1) || header.base_offset < 0 || batch.checked_next_offset().is_none()
        {
            return fail(BatchErrorKind::BadLastOffsetDelta(delta));
        }
        // Brokers see to it that who has an id counts. Without an id some clients write 0.
        let counted = header.producer_id >= 0 && header.attributes & CONTROL == 0;
        if header.base_sequence < if counted { 0 } else { NO_SEQUENCE } {
            return fail(BatchErrorKind::BadBaseSequence(header.base_sequence));
        }
        Ok(batch)
    }

    fn checked_next_offset(&self) -> Option<i64> {
        self.header.base_offset.checked_add(i64::from(self.header.last_offset_delta))?.checked_add(1)
    }

    /// Its format: 2, or 0 or 1 for messages that were written before Kafka 0.11.
    pub fn magic(&self) -> i8 {
        self.header.magic
    }

    /// The offset that deltas count from. In a batch that a producer just made it is 0.
    ///
    /// Compressed messages of formats 0 and 1 say the last offset only, and this is it; where they begin,
    /// [`Records::base_offset`](super::Records::base_offset) tells.
    pub fn base_offset(&self) -> i64 {
        self.header.base_offset
    }

    /// The last offset it covers, whether or not a record is left there.
    pub fn last_offset(&self) -> i64 {
        self.header.base_offset.saturating_add(i64::from(self.header.last_offset_delta))
    }

    /// Difference of last and base offset.
    pub fn last_offset_delta(&self) -> i32 {
        self.header.last_offset_delta
    }

    /// Where reading continues after it.
    pub fn next_offset(&self) -> i64 {
        self.last_offset().saturating_add(1)
    }

    /// Epoch of the leader that appended it; -1 if it says none.
    pub fn partition_leader_epoch(&self) -> i32 {
        self.header.partition_leader_epoch
    }

    /// The producer's id; -1 if it was neither idempotent nor transactional.
    pub fn producer_id(&self) -> i64 {
        self.header.producer_id
    }

    /// The producer's epoch; -1 without a producer id.
    pub fn producer_epoch(&self) -> i16 {
        self.header.producer_epoch
    }

    /// Sequence of the first record; -1 without a producer id.
    pub fn base_sequence(&self) -> i32 {
        self.header.base_sequence
    }

    /// Sequence of the last record; sequences wrap from the largest `i32` to 0. -1 without a producer id.
    pub fn last_sequence(&self) -> i32 {
        if self.header.base_sequence < 0 {
            return self.header.base_sequence;
        }
        let sum = i64::from(self.header.base_sequence) + i64::from(self.header.last_offset_delta);
        (sum & i64::from(i32::MAX)) as i32
    }

    /// Is it a marker of the transaction coordinator, or of KRaft, in place of data?
    pub fn is_control(&self) -> bool {
        self.header.attributes & CONTROL != 0
    }

    /// Is it part of a transaction?
    pub fn is_transactional(&self) -> bool {
        self.header.attributes & TRANSACTIONAL != 0
    }

    /// The attribute bits as they stand in the header.
    pub fn attributes(&self) -> i16 {
        self.header.attributes
    }

    /// What its timestamps tell.
    pub fn timestamp_type(&self) -> TimestampType {
        if self.header.attributes & LOG_APPEND_TIME != 0 { TimestampType::LogAppendTime } else { TimestampType::CreateTime }
    }

    /// The timestamp that deltas count from, in milliseconds since 1970-01-01 UTC.
    pub fn base_timestamp(&self) -> i64 {
        self.header.base_timestamp
    }

    /// The highest timestamp of its records, in milliseconds since 1970-01-01 UTC; -1 in format 0, which has none.
    pub fn max_timestamp(&self) -> i64 {
        self.header.max_timestamp
    }

    /// When compaction may remove its tombstones (KIP-534), if that is decided.
    pub fn delete_horizon(&self) -> Option<i64> {
        (self.header.attributes & DELETE_HORIZON != 0).then_some(self.header.base_timestamp)
    }

    /// Its codec.
    ///
    /// # Errors
    /// [`BatchErrorKind::UnknownCompression`].
    pub fn compression(&self) -> Result<Compression, BatchError> {
        // Three bits.
        let id = (self.header.attributes & COMPRESSION_MASK) as u8;
        Compression::from_id(id).ok_or_else(|| self.error(BatchErrorKind::UnknownCompression(id)))
    }

    /// How many records are in it; 0 where compaction removed all, -1 in compressed messages of formats 0 and 1, which do not say.
    pub fn record_count(&self) -> i32 {
        self.header.count
    }

    /// Its bytes on the wire, header included.
    pub fn size(&self) -> usize {
        self.bytes.len()
    }

    /// The batch as it stands on the wire.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// The records as they stand on the wire, perhaps compressed.
    pub(super) fn body(&self) -> Bytes {
        self.bytes.slice(BATCH_HEADER_SIZE..)
    }

    pub(super) fn error(&self, kind: BatchErrorKind) -> BatchError {
        BatchError::new(self.header.base_offset, kind)
    }
}
