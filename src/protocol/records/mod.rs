//! Record batches (format version 2, KIP-98): written in place, read borrowed; and the message formats before it, read.
//!
//! A batch is a header of 61 bytes and its records, which may be compressed as one piece. Writing: a [`BatchBuilder`] encodes each
//! record once, behind room for the header; [`BatchBuilder::close`] compresses; [`ClosedBatch::stamp`] fills in the producer's
//! identity, the sequence and the checksum, as often as needed until the bytes were handed to a connection. Reading:
//! [`RecordBatches`] walks a fetched record set and checks each batch's length, format and checksum before anything else of it is
//! believed; [`Batch::records`] decompresses once; a [`Cursor`] or an iterator then hands out [`RecordRef`]s that borrow from the
//! batch. Changing: [`Batch::edit`] gives a batch another offset, producer or leader's epoch around the same records;
//! [`Batch::retain`] leaves some of them out, as compaction does.
//!
//! Nothing here trusts its input: lengths and counts are compared with the bytes that are there before memory is asked for, and
//! decompression stops at the [`Limits`]. Whatever is wrong is a [`BatchError`], never a panic.
//!
//! Messages of formats 0 and 1, from before Kafka 0.11, come as batches of that [`magic`](Batch::magic): one message, or those
//! that were compressed together.
//!
//! # Writing a batch
//!
//! ```
//! use klamm::protocol::records::{BatchBuilder, Compression, NO_HEADERS, NO_PRODUCER_EPOCH, NO_PRODUCER_ID, NO_SEQUENCE};
//!
//! let mut builder = BatchBuilder::new(16 << 10);
//! builder.append(1_700_000_000_000, Some(b"key"), Some(b"value"), NO_HEADERS)?;
//! let headers = [("trace".as_bytes(), Some("4711".as_bytes())), ("empty".as_bytes(), None)];
//! builder.append(1_700_000_000_001, None, Some(b"no key"), headers.into_iter())?;
//! let mut closed = builder.close(Compression::None)?;
//! let bytes = closed.stamp(NO_PRODUCER_ID, NO_PRODUCER_EPOCH, NO_SEQUENCE, false);
//! assert_eq!(bytes.len(), closed.size());
//! // Sent and answered, its memory serves the next one.
//! drop(bytes);
//! let builder = BatchBuilder::from_buffer(closed.into_buffer().unwrap_or_default());
//! # assert!(builder.is_empty());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Reading a record set
//!
//! Keys, values and headers borrow from the frame. A batch that is not compressed is read without asking for memory; a compressed
//! one asks for the memory that its records take, once.
//!
//! ```
//! use klamm::protocol::records::{Limits, RecordBatches};
//! # use klamm::protocol::records::{BatchBuilder, Compression, NO_HEADERS};
//! # let mut builder = BatchBuilder::new(256);
//! # builder.append(5, Some(b"key"), Some(b"value"), NO_HEADERS)?;
//! # let frame = builder.close(Compression::None)?.stamp(-1, -1, -1, false);
//!
//! let limits = Limits::default();
//! let mut budget = limits.fetch_budget(frame.len());
//! let mut batches = RecordBatches::with_limits(frame, limits);
//! for batch in &mut batches {
//!     let batch = batch?;
//!     if batch.is_control() {
//!         continue;
//!     }
//!     let records = batch.records_within(limits, &mut budget)?;
//!     for record in &records {
//!         let record = record?;
//!         assert_eq!((record.offset, record.key, record.value), (0, Some(&b"key"[..]), Some(&b"value"[..])));
//!         for header in record.headers {
//!             let (_name, _value) = header.map(|header| (header.key, header.value))?;
//!         }
//!         // What must outlive the loop shares the frame's memory.
//!         let _value = record.value.map(|value| records.share(value));
//!     }
//! }
//! assert!(!batches.is_truncated(), "a broker cuts at the fetch size: what is missing is fetched again from there");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Taking a batch apart
//!
//! A [`Cursor`] borrows nothing, so it can be kept beside the [`Records`] that it walks, and reading go on when more is wanted.
//!
//! ```
//! use klamm::protocol::records::{Batch, Cursor, Limits};
//! # use klamm::protocol::records::{BatchBuilder, Compression, NO_HEADERS};
//! # let mut builder = BatchBuilder::new(256);
//! # for value in ["a", "b"] { builder.append(5, None, Some(value.as_bytes()), NO_HEADERS)?; }
//! # let bytes = builder.close(Compression::None)?.stamp(-1, -1, -1, false);
//!
//! // The header alone costs a look at the checksum; nothing is decompressed before `records`.
//! let batch = Batch::new(bytes)?;
//! assert_eq!((batch.record_count(), batch.last_offset()), (2, 1));
//! let (records, mut cursor) = (batch.records(Limits::default())?, Cursor::default());
//! assert_eq!(records.read(&mut cursor).transpose()?.and_then(|record| record.value), Some(&b"a"[..]));
//! // … later:
//! assert_eq!(records.read(&mut cursor).transpose()?.and_then(|record| record.value), Some(&b"b"[..]));
//! assert!(records.read(&mut cursor).is_none());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod batch;
pub mod compression;
mod control;
mod decode;
mod encode;
mod error;
mod legacy;
mod limits;
mod rebatch;
mod retain;
#[cfg(test)]
mod tests;
mod varint;

pub use batch::{Batch, TimestampType};
pub use compression::{Compression, UnknownCompression};
pub use control::{ControlMarker, ControlRecord, ControlType};
pub use decode::{BadHeader, Cursor, HeaderRef, Headers, RecordBatches, RecordRef, Records, RecordsIter};
pub use encode::{BatchBuilder, ClosedBatch, NO_HEADERS, NoHeaders};
pub use error::{AppendError, BatchError, BatchErrorKind, CompressError};
pub use limits::{FetchBudget, Limits};
pub use rebatch::BatchEdit;

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
