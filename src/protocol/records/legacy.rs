//! Message formats 0 and 1, of brokers before 0.11: recognised, not read.
//!
//! Their magic byte stands where that of format 2 does. Kafka 4 writes neither, and converts neither on the way out.

use crate::protocol::records::error::BatchErrorKind;

/// Bytes of a message without key and value in format 0, as its length field counts them.
const MIN_LENGTH: i32 = 14;

/// Why a batch that is not of format 2 is refused.
#[cold]
pub(super) fn refuse(magic: i8, length: i32) -> BatchErrorKind {
    match magic {
        0 | 1 if length < MIN_LENGTH => BatchErrorKind::BadLength(length),
        _ => BatchErrorKind::UnsupportedFormat(magic),
    }
}
