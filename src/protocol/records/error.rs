//! What can be wrong with a batch, read or written.

use std::fmt;

use crate::protocol::records::compression::Compression;

/// A batch that cannot be read; nothing of it was handed out before the fault, or only records that stand before it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct BatchError {
    /// The base offset in the batch's header, which is not covered by its checksum.
    pub base_offset: i64,
    /// What is wrong.
    pub kind: BatchErrorKind,
}

impl BatchError {
    #[cold]
    pub(crate) fn new(base_offset: i64, kind: BatchErrorKind) -> Self {
        Self { base_offset, kind }
    }
}

/// What is wrong with a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BatchErrorKind {
    /// The length field is below what the format needs at least.
    BadLength {
        /// As it stands there.
        length: i32,
        /// Bytes that a batch of its format has at least, counted as the field counts.
        least: usize,
    },
    /// There is not one whole batch where exactly one was expected.
    Truncated,
    /// A format that Kafka does not have: 0, 1 and 2 there are.
    UnsupportedFormat(i8),
    /// The bytes are not those that were written.
    BadChecksum {
        /// As the header says.
        stored: u32,
        /// As the bytes are.
        computed: u32,
    },
    /// Negative, or more records than can fit the bytes.
    BadCount(i32),
    /// The last offset delta is negative, below the number of records, or leaves the range of offsets.
    BadLastOffsetDelta(i32),
    /// The base sequence is below -1, or negative where the producer has an id.
    BadBaseSequence(i32),
    /// Compression codec bits that no codec has.
    UnknownCompression(u8),
    /// This build of klamm was made without the codec.
    CodecNotCompiledIn(Compression),
    /// The compressed bytes make no sense to the codec.
    BadCompression {
        /// The codec.
        compression: Compression,
        /// What it said.
        reason: Box<str>,
    },
    /// Decompressing was stopped at the limit.
    TooLarge {
        /// The codec.
        compression: Compression,
        /// The limit in bytes.
        limit: usize,
    },
    /// Decompressing was stopped where the data had grown by more than the highest ratio.
    RatioTooHigh {
        /// The codec.
        compression: Compression,
        /// How many times its size it may come to.
        ratio: usize,
    },
    /// Decompressing was stopped where the batches of one fetch had come to more than they may together.
    FetchTooLarge {
        /// The codec.
        compression: Compression,
        /// The limit in bytes.
        limit: usize,
    },
    /// A record contradicts the format.
    BadRecord {
        /// Its index in the batch.
        index: i32,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A control batch without a readable marker.
    BadControlRecord(&'static str),
}

impl fmt::Display for BatchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "record batch at offset {}: {}", self.base_offset, self.kind)
    }
}

impl std::error::Error for BatchError {}

impl fmt::Display for BatchErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BadLength { length, least } => write!(f, "its length field says {length}, at least {least} is needed"),
            Self::Truncated => f.write_str("it is cut short"),
            Self::UnsupportedFormat(magic) => {
                write!(f, "unsupported format: message format version {magic} is not known, only 0, 1 and 2 are")
            }
            Self::BadChecksum { stored, computed } => {
                write!(
                    f,
                    "checksum {computed:#010x} where {stored:#010x} is stored: the bytes were corrupted on the way or on the broker's disk"
                )
            }
            Self::BadCount(count) => write!(f, "{count} records cannot be in it"),
            Self::BadLastOffsetDelta(delta) => write!(f, "its last offset delta {delta} contradicts its records"),
            Self::BadBaseSequence(sequence) => write!(f, "its base sequence {sequence} contradicts its producer"),
            Self::UnknownCompression(id) => write!(f, "no compression codec has the number {id}"),
            Self::CodecNotCompiledIn(compression) => {
                write!(
                    f,
                    "compressed with {compression}, which this build of klamm cannot read: enable the cargo feature \"{compression}\""
                )
            }
            Self::BadCompression { compression, reason } => write!(f, "its {compression} data is broken: {reason}"),
            Self::TooLarge { compression, limit } => {
                write!(f, "its {compression} data decompresses to more than the limit of {limit} bytes")
            }
            Self::RatioTooHigh { compression, ratio } => {
                write!(f, "its {compression} data decompresses to more than {ratio} times its size")
            }
            Self::FetchTooLarge { compression, limit } => {
                write!(
                    f,
                    "with its {compression} data the batches of the fetch decompress to more than the limit of {limit} bytes"
                )
            }
            Self::BadRecord { index, reason } => write!(f, "record {index} in it is broken: {reason}"),
            Self::BadControlRecord(reason) => write!(f, "its control record is broken: {reason}"),
        }
    }
}

/// A record that a batch cannot take; the batch is unchanged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AppendError {
    /// Record or batch would be longer than the format can say (2 GiB).
    TooLarge,
    /// The timestamp is too far from that of the batch's first record to be written as a difference.
    TimestampOutOfRange,
}

impl fmt::Display for AppendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TooLarge => "the record batch would exceed 2 GiB, more than its format can express",
            Self::TimestampOutOfRange => "the timestamp is too far from that of the batch's first record",
        })
    }
}

impl std::error::Error for AppendError {}

/// A batch could not be compressed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CompressError {
    /// This build of klamm was made without the codec.
    CodecNotCompiledIn(Compression),
    /// The codec refused.
    Failed {
        /// The codec.
        compression: Compression,
        /// What it said.
        reason: Box<str>,
    },
}

impl fmt::Display for CompressError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CodecNotCompiledIn(compression) => {
                write!(f, "this build of klamm cannot write {compression}: enable the cargo feature \"{compression}\"")
            }
            Self::Failed { compression, reason } => write!(f, "compressing with {compression} failed: {reason}"),
        }
    }
}

impl std::error::Error for CompressError {}
