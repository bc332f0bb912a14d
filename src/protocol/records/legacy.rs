//! Message formats 0 and 1, of brokers before 0.11: read, not written.
//!
//! ```text
//!  0 offset i64     12 CRC-32 u32 of all from 16     17 attributes i8                   key length i32, key
//!  8 length i32     16 magic i8 (0, 1)               18 timestamp i64 (format 1 only)   value length i32, value
//! ```
//!
//! A message alone is a [`Batch`] of one record. Compressed messages are the value of a wrapper message, and the batch; that goes one
//! level deep and no further. In format 0 they carry their offsets; in format 1 offsets are relative, and the wrapper's offset is
//! that of the last one, so that brokers need not compress anew (KIP-31). A wrapper with `LogAppendTime` sets all timestamps (KIP-32);
//! messages of format 0 have none, which is -1 here as in Kafka. LZ4 in format 0 has a wrong header checksum, which Kafka wrote
//! until it was too late to change (KAFKA-3160).
//!
//! Brokers before 4.0 hand such messages out for topics that keep them.

use bytes::Bytes;

use crate::protocol::records::batch::{self, Batch, COMPRESSION_MASK, Header, LOG_APPEND_TIME};
use crate::protocol::records::compression::Compression;
use crate::protocol::records::decode::{Cursor, Headers, RecordRef};
use crate::protocol::records::error::{BatchError, BatchErrorKind};
use crate::protocol::records::limits::Limits;
use crate::protocol::records::{LOG_OVERHEAD, NO_PRODUCER_EPOCH, NO_PRODUCER_ID, NO_SEQUENCE};

/// What stands for a timestamp in format 0.
const NO_TIMESTAMP: i64 = -1;

/// Bytes of a message without key and value, as its length field counts them.
pub(super) const fn min_length(magic: i8) -> usize {
    if magic == 0 { 14 } else { 22 }
}

/// A message, with its offset as it stands there.
struct Entry<'a> {
    offset: i64,
    checksum: u32,
    computed: u32,
    magic: i8,
    attributes: i8,
    timestamp: i64,
    key: Option<&'a [u8]>,
    value: Option<&'a [u8]>,
}

impl<'a> Entry<'a> {
    /// Reads the message at `*position` and moves behind it. The checksum is only computed if `verify`.
    fn read(bytes: &'a [u8], position: &mut usize, verify: bool) -> Result<Self, &'static str> {
        const CUT: &str = "a field is cut short";
        let rest = bytes.get(*position..).ok_or(CUT)?;
        let mut at = rest;
        let offset = i64::from_be_bytes(take(&mut at).ok_or(CUT)?);
        let length = i32::from_be_bytes(take(&mut at).ok_or(CUT)?);
        let length = usize::try_from(length).map_err(|_| "its length is negative")?;
        let mut at = at.get(..length).ok_or(CUT)?;
        let checked = at.get(4..).ok_or(CUT)?;
        let checksum = u32::from_be_bytes(take(&mut at).ok_or(CUT)?);
        let magic = i8::from_be_bytes(take(&mut at).ok_or(CUT)?);
        if !(0..=1).contains(&magic) {
            return Err("its format is another than 0 or 1");
        }
        let attributes = i8::from_be_bytes(take(&mut at).ok_or(CUT)?);
        let timestamp = if magic == 0 { NO_TIMESTAMP } else { i64::from_be_bytes(take(&mut at).ok_or(CUT)?) };
        let key = field(&mut at).ok_or("its key is longer than it")?;
        let value = field(&mut at).ok_or("its value is longer than it")?;
        if !at.is_empty() {
            return Err("bytes follow its value");
        }
        *position += LOG_OVERHEAD + length;
        let computed = if verify { crc32fast::hash(checked) } else { checksum };
        Ok(Self { offset, checksum, computed, magic, attributes, timestamp, key, value })
    }

    fn compression_id(&self) -> u8 {
        // Three bits.
        (i16::from(self.attributes) & COMPRESSION_MASK) as u8
    }
}

fn take<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (head, tail) = bytes.split_first_chunk()?;
    *bytes = tail;
    Some(*head)
}

/// `Some(None)` for null; `None` if it runs over the end or its length is below -1.
fn field<'a>(bytes: &mut &'a [u8]) -> Option<Option<&'a [u8]>> {
    let length = i32::from_be_bytes(take(bytes)?);
    if length < 0 {
        return (length == -1).then_some(None);
    }
    let (field, tail) = bytes.split_at_checked(usize::try_from(length).ok()?)?;
    *bytes = tail;
    Some(Some(field))
}

/// Checks a whole message, alone or a wrapper, and describes it by the header that a batch of format 2 would have.
pub(super) fn check(bytes: Bytes, limits: Limits) -> Result<Batch, BatchError> {
    let mut position = 0;
    let entry = Entry::read(&bytes, &mut position, limits.verify_checksum);
    // Whoever called has seen the offset.
    let offset = bytes.first_chunk().map_or(0, |offset| i64::from_be_bytes(*offset));
    let fail = |kind| Err(BatchError::new(offset, kind));
    let broken = |reason| BatchErrorKind::BadRecord { index: 0, reason };
    let entry = match entry {
        Ok(entry) => entry,
        Err(reason) => return fail(broken(reason)),
    };
    if entry.computed != entry.checksum {
        return fail(BatchErrorKind::BadChecksum { stored: entry.checksum, computed: entry.computed });
    }
    if entry.offset < 0 || entry.offset == i64::MAX {
        return fail(broken("its offset is out of range"));
    }
    let compressed = entry.compression_id() != 0;
    if compressed && entry.value.is_none() {
        return fail(broken("a compressed message has no value"));
    }
    let header = Header {
        base_offset: entry.offset,
        // Whoever called has seen that so many bytes are there.
        length: (bytes.len() - LOG_OVERHEAD) as i32,
        partition_leader_epoch: -1,
        magic: entry.magic,
        checksum: entry.checksum,
        // Codec and timestamp type stand where they do in format 2; the rest has no meaning.
        attributes: i16::from(entry.attributes)
            & if entry.magic == 0 { COMPRESSION_MASK } else { COMPRESSION_MASK | LOG_APPEND_TIME },
        last_offset_delta: 0,
        base_timestamp: entry.timestamp,
        max_timestamp: entry.timestamp,
        producer_id: NO_PRODUCER_ID,
        producer_epoch: NO_PRODUCER_EPOCH,
        base_sequence: NO_SEQUENCE,
        count: if compressed { batch::UNKNOWN_COUNT } else { 1 },
    };
    Ok(Batch { bytes, header })
}

/// How the messages that follow each other in a body become records.
#[derive(Clone, Copy)]
pub(super) struct Messages {
    pub(super) count: i32,
    /// What is added to their offsets.
    shift: i64,
    /// The wrapper's, where it counts for all of them.
    append_time: Option<i64>,
}

impl Messages {
    /// The one message that is its own batch.
    pub(super) fn alone() -> Self {
        Self { count: 1, shift: 0, append_time: None }
    }

    /// Takes the wrapper `batch` apart; `decompress` makes its content. Each message in it is checked.
    pub(super) fn wrapped(
        batch: &Batch,
        limits: Limits,
        decompress: impl FnOnce(Compression, &[u8]) -> Result<Vec<u8>, BatchErrorKind>,
    ) -> Result<(Bytes, Self), BatchErrorKind> {
        let compression = batch.compression().map_err(|error| error.kind)?;
        if compression == Compression::Zstd {
            // It came later than format 2.
            return Err(BatchErrorKind::UnknownCompression(compression.id()));
        }
        let broken = |index, reason| BatchErrorKind::BadRecord { index, reason };
        let wrapper = Entry::read(&batch.bytes, &mut 0, false).map_err(|reason| broken(0, reason))?;
        let body = decompress(compression, wrapper.value.unwrap_or_default())?;
        let (mut position, mut count, mut last) = (0, 0, None);
        while position < body.len() {
            let entry = Entry::read(&body, &mut position, limits.verify_checksum).map_err(|reason| broken(count, reason))?;
            if entry.computed != entry.checksum {
                return Err(BatchErrorKind::BadChecksum { stored: entry.checksum, computed: entry.computed });
            }
            if entry.compression_id() != 0 {
                return Err(broken(count, "a compressed message is in a compressed one"));
            }
            // Kafka does not look; positions that go back would read records twice.
            if entry.offset < last.unwrap_or(0) {
                return Err(broken(count, "its offset descends"));
            }
            last = Some(entry.offset);
            // Less than one in 26 bytes of at most 2 GiB.
            count = count.saturating_add(1);
        }
        let Some(last) = last else { return Err(broken(0, "no message is in the compressed one")) };
        let shift = match (wrapper.magic, wrapper.offset) {
            // Some versions of librdkafka produce with 0 in the wrapper whatever is in it.
            (0, _) | (_, 0) => 0,
            (_, offset) if offset < last => return Err(broken(0, "its offset is below those in it")),
            (_, offset) => offset - last,
        };
        if last.checked_add(shift).is_none_or(|last| last == i64::MAX) {
            return Err(broken(0, "its offset is out of range"));
        }
        let append_time = (batch.attributes() & LOG_APPEND_TIME != 0).then_some(wrapper.timestamp);
        Ok((body.into(), Self { count, shift, append_time }))
    }

    /// The offset of the first message in `body`.
    pub(super) fn first_offset(&self, body: &[u8]) -> i64 {
        body.first_chunk().map_or(0, |offset| i64::from_be_bytes(*offset).saturating_add(self.shift))
    }

    /// The next message of `body`, which was checked.
    pub(super) fn read<'a>(&self, body: &'a [u8], cursor: &mut Cursor) -> Result<RecordRef<'a>, &'static str> {
        let entry = Entry::read(body, &mut cursor.position, false)?;
        cursor.index += 1;
        let timestamp = if entry.magic == 0 { NO_TIMESTAMP } else { self.append_time.unwrap_or(entry.timestamp) };
        Ok(RecordRef {
            offset: entry.offset.saturating_add(self.shift),
            timestamp,
            key: entry.key,
            value: entry.value,
            headers: Headers::default(),
        })
    }
}
