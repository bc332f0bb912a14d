//! Changing the header of a batch that is there: for leaders that assign offsets, proxies and mirrors.
//!
//! Records stand as differences from the header, so other offsets, another producer or another leader's epoch need none of them
//! touched, decompressed or copied. Nor need they be read: the checksum is a linear function of the bytes under it, so what a change
//! of the header does to it follows from the header alone and the number of bytes behind it. That keeps it wrong where it was wrong.

use std::mem;

use bytes::{Bytes, BytesMut};

use crate::protocol::records::batch::{Batch, CHECKED_FROM, Header, LOG_APPEND_TIME, MAGIC, TRANSACTIONAL};
use crate::protocol::records::error::{BatchError, BatchErrorKind};
use crate::protocol::records::{BATCH_HEADER_SIZE, NO_SEQUENCE};

impl Batch {
    /// Begins to change the header.
    ///
    /// ```
    /// # use klamm::protocol::records::{Batch, BatchBuilder, Compression, NO_HEADERS};
    /// # let mut builder = BatchBuilder::new(256);
    /// # builder.append(1_700_000_000_000, None, Some(b"value"), NO_HEADERS)?;
    /// # let batch = Batch::new(builder.close(Compression::None)?.stamp(-1, -1, -1, false))?;
    /// let moved = batch.edit().base_offset(4_000).partition_leader_epoch(7);
    ///
    /// // To a socket, without a copy: 61 bytes that are new, and the records where they are.
    /// let (header, records) = moved.parts()?;
    /// assert_eq!([&header[..], &records].concat(), moved.apply()?.bytes()[..]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn edit(&self) -> BatchEdit<'_> {
        BatchEdit { batch: self, header: self.header }
    }

    /// The same batch as a leader appends it: at `base_offset`, under `partition_leader_epoch`, and for topics with
    /// `LogAppendTime` with the broker's time. The bytes are copied once; [`edit`](Self::edit) has ways without. In formats 0 and 1,
    /// which brokers convert before they append, only the offset changes.
    #[must_use]
    pub fn assign(&self, base_offset: i64, partition_leader_epoch: i32, log_append_time: Option<i64>) -> Self {
        let mut edit = self.edit().base_offset(base_offset).partition_leader_epoch(partition_leader_epoch);
        if let Some(time) = log_append_time {
            edit = edit.log_append_time(time);
        }
        edit.rewritten(BytesMut::from(&*self.bytes))
    }
}

/// Changes to the header of a [`Batch`], from [`Batch::edit`].
#[derive(Clone, Debug)]
#[must_use = "nothing changes before `parts` or `apply`"]
pub struct BatchEdit<'a> {
    batch: &'a Batch,
    header: Header,
}

impl BatchEdit<'_> {
    /// The offset of the first record; all others move along. Not under the checksum.
    pub fn base_offset(mut self, offset: i64) -> Self {
        self.header.base_offset = offset;
        self
    }

    /// Epoch of the leader that appends it. Not under the checksum.
    pub fn partition_leader_epoch(mut self, epoch: i32) -> Self {
        self.header.partition_leader_epoch = epoch;
        self
    }

    /// Who produces it, in what epoch, and the sequence of its first record.
    pub fn producer(mut self, id: i64, epoch: i16, base_sequence: i32) -> Self {
        (self.header.producer_id, self.header.producer_epoch) = (id, epoch);
        self.header.base_sequence = base_sequence;
        self
    }

    /// Part of a transaction.
    pub fn transactional(mut self) -> Self {
        self.header.attributes |= TRANSACTIONAL;
        self
    }

    /// Not part of a transaction.
    pub fn not_transactional(mut self) -> Self {
        self.header.attributes &= !TRANSACTIONAL;
        self
    }

    /// The broker's time, in milliseconds since 1970-01-01 UTC, for all records in place of the producer's.
    pub fn log_append_time(mut self, time: i64) -> Self {
        self.header.attributes |= LOG_APPEND_TIME;
        self.header.max_timestamp = time;
        self
    }

    /// The new header, and the records as they are, which share the batch's memory.
    ///
    /// # Errors
    /// If the offsets would leave their range, the sequence contradicts the producer, or the batch is of format 0 or 1, which has no
    /// such header.
    pub fn parts(&self) -> Result<([u8; BATCH_HEADER_SIZE], Bytes), BatchError> {
        self.check()?;
        let mut bytes = [0; BATCH_HEADER_SIZE];
        self.sealed().write(&mut bytes);
        Ok((bytes, self.batch.body()))
    }

    /// The changed batch, as a copy.
    ///
    /// # Errors
    /// As those of [`parts`](Self::parts).
    pub fn apply(&self) -> Result<Batch, BatchError> {
        self.check()?;
        Ok(self.rewritten(BytesMut::from(&*self.batch.bytes)))
    }

    fn check(&self) -> Result<(), BatchError> {
        let header = &self.header;
        let fail = |kind| Err(BatchError::new(header.base_offset, kind));
        if header.magic != MAGIC {
            return fail(BatchErrorKind::UnsupportedFormat(header.magic));
        }
        let end = header.base_offset.checked_add(i64::from(header.last_offset_delta)).and_then(|last| last.checked_add(1));
        if header.base_offset < 0 || end.is_none() {
            return fail(BatchErrorKind::BadLastOffsetDelta(header.last_offset_delta));
        }
        let counted = header.producer_id >= 0 && !self.batch.is_control();
        if header.base_sequence < if counted { 0 } else { NO_SEQUENCE } {
            return fail(BatchErrorKind::BadBaseSequence(header.base_sequence));
        }
        Ok(())
    }

    /// The header with the checksum that it then has.
    fn sealed(&self) -> Header {
        let under_checksum = |header: &Header| {
            let mut bytes = [0; BATCH_HEADER_SIZE];
            header.write(&mut bytes);
            bytes.get(CHECKED_FROM..).map_or(0, crc32c::crc32c)
        };
        let change = under_checksum(&self.header) ^ under_checksum(&self.batch.header);
        let mut header = self.header;
        if change != 0 {
            // Shifted over the records, as if they were zeros: what they add is in the old checksum already.
            header.checksum ^= shifted(change, self.batch.bytes.len().saturating_sub(BATCH_HEADER_SIZE));
        }
        header
    }

    fn rewritten(&self, mut bytes: BytesMut) -> Batch {
        if self.header.magic != MAGIC {
            let header = Header { base_offset: self.header.base_offset, ..self.batch.header };
            if let Some(place) = bytes.first_chunk_mut() {
                *place = header.base_offset.to_be_bytes();
            }
            return Batch { bytes: bytes.freeze(), header };
        }
        let header = self.sealed();
        if let Some(place) = bytes.first_chunk_mut() {
            header.write(place);
        }
        Batch { bytes: bytes.freeze(), header }
    }
}

impl Batch {
    /// Changes the header where it stands, if nobody else holds the batch's memory, else in a copy.
    ///
    /// # Errors
    /// As those of [`BatchEdit::parts`]; the batch is then as it was.
    pub fn edit_in_place(&mut self, change: impl FnOnce(BatchEdit<'_>) -> BatchEdit<'_>) -> Result<(), BatchError> {
        let edited = {
            let edit = change(self.edit());
            edit.check()?;
            edit.sealed()
        };
        let mut bytes = mem::take(&mut self.bytes).try_into_mut().unwrap_or_else(|shared| BytesMut::from(&*shared));
        if let Some(place) = bytes.first_chunk_mut() {
            edited.write(place);
        }
        (self.bytes, self.header) = (bytes.freeze(), edited);
        Ok(())
    }
}

/// CRC-32C's polynomial, highest power in the lowest bit as in all of these.
const POLYNOMIAL: u32 = 0x82f6_3b78;
/// x to the power of 2^index.
const POWERS: [u32; 32] = powers();

#[expect(clippy::indexing_slicing, reason = "computed by the compiler, which would say so")]
const fn powers() -> [u32; 32] {
    let mut powers = [1 << 30; 32];
    let mut index = 1;
    while index < powers.len() {
        powers[index] = product(powers[index - 1], powers[index - 1]);
        index += 1;
    }
    powers
}

/// The product of two polynomials, modulo CRC-32C's.
const fn product(mut left: u32, mut right: u32) -> u32 {
    let mut product = 0;
    while left != 0 {
        // Without branches, which no processor could predict.
        product ^= right & ((left >> 31).wrapping_neg());
        left <<= 1;
        right = (right >> 1) ^ (POLYNOMIAL & (right & 1).wrapping_neg());
    }
    product
}

/// What a difference of checksums becomes by `bytes` more bytes on both sides. The `crc32c` crate's `crc32c_combine` comes to the same, but
/// takes longer than to read all the records of a usual batch.
pub(super) fn shifted(difference: u32, bytes: usize) -> u32 {
    // A byte is x to the power of 8 = 2^3. The powers repeat after 31: x to the power of 2^31 is x again.
    let powers = POWERS.iter().take(31).cycle().skip(3);
    let bits = (0..usize::BITS).zip(powers).filter(|(bit, _)| bytes >> bit & 1 != 0);
    bits.fold(difference, |shifted, (_, power)| product(*power, shifted))
}
