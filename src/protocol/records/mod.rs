//! Record batches (format version 2, KIP-98): written in place, read borrowed.
//!
//! A batch is a header of 61 bytes and its records, which may be compressed as one piece. Writing: a [`BatchBuilder`] encodes each
//! record once, behind room for the header; [`BatchBuilder::close`] compresses; [`ClosedBatch::stamp`] fills in the producer's
//! identity, the sequence and the checksum, as often as needed until the bytes were handed to a connection. Reading:
//! [`RecordBatches`] walks a fetched record set and checks each batch's length, format and checksum before anything else of it is
//! believed; [`Batch::records`] decompresses once; a [`Cursor`] or an iterator then hands out [`RecordRef`]s that borrow from the
//! batch.
//!
//! Nothing here trusts its input: lengths and counts are compared with the bytes that are there before memory is asked for, and
//! decompression stops at [`Limits::max_decompressed`]. Whatever is wrong is a [`BatchError`], never a panic.
//!
//! The formats 0 and 1 of brokers before 0.11 are recognised and refused by name.

mod batch;
pub mod compression;
mod control;
mod decode;
mod encode;
mod error;
mod legacy;
#[cfg(test)]
mod tests;
mod varint;

pub use batch::{Batch, TimestampType};
pub use compression::{Compression, UnknownCompression};
pub use control::{ControlMarker, ControlType};
pub use decode::{BadHeader, Cursor, HeaderRef, Headers, Limits, RecordBatches, RecordRef, Records, RecordsIter};
pub use encode::{BatchBuilder, ClosedBatch, NO_HEADERS, NoHeaders};
pub use error::{AppendError, BatchError, BatchErrorKind, CompressError};

/// Bytes of a batch before its first record.
pub const BATCH_HEADER_SIZE: usize = 61;

/// Bytes of a batch that its length field does not count: the base offset and the length itself.
pub const LOG_OVERHEAD: usize = 12;

/// The fewest bytes a record takes: its length and six fields of one byte.
pub(crate) const MIN_RECORD_SIZE: usize = 7;

/// "No producer id", in batches that are neither idempotent nor transactional.
pub const NO_PRODUCER_ID: i64 = -1;

/// "No producer epoch".
pub const NO_PRODUCER_EPOCH: i16 = -1;

/// "No sequence".
pub const NO_SEQUENCE: i32 = -1;
