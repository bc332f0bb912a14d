//! The codecs of record batches, each behind the cargo feature of its name.
//!
//! A batch's records are compressed as one piece. Writing goes straight behind the batch's header; reading stops at a limit while
//! it streams, and sizes that the data declares are compared with the limit before memory is asked for. Formats are those of the
//! Java client: gzip members, snappy in the blocks of snappy-java ("xerial") or bare, LZ4 frames with independent blocks, zstd
//! frames with a window of at most 128 MiB. zstd is the C library's (`zstd`) or one in Rust (`zstd-rust`); with both, C does the work.

#[cfg(feature = "gzip")]
mod gzip;
#[cfg(feature = "lz4")]
mod lz4;
#[cfg(feature = "snappy")]
mod snappy;
#[cfg(feature = "zstd")]
mod zstd;
#[cfg(all(feature = "zstd-rust", any(test, not(feature = "zstd"))))]
mod zstd_rust;

#[cfg(all(feature = "zstd-rust", not(feature = "zstd")))]
use zstd_rust as zstd;

use std::fmt;
use std::str::FromStr;

use crate::protocol::records::error::{BatchErrorKind, CompressError};

/// How the records of a batch are compressed.
///
/// Names (`Display`, `FromStr`) are those of Kafka's `compression.type`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Compression {
    /// Not at all.
    #[default]
    None,
    /// gzip: small, slow. Levels 1 to 9.
    Gzip,
    /// Snappy: fast, moderate.
    Snappy,
    /// LZ4: fast, moderate.
    Lz4,
    /// Zstandard: small and fast; brokers from 2.1. Levels 1 to 22; the codec in Rust has one level, about 1.
    Zstd,
}

impl Compression {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 5] = [Self::None, Self::Gzip, Self::Snappy, Self::Lz4, Self::Zstd];

    /// The codec's number in a batch's attributes.
    pub fn id(self) -> u8 {
        self as u8
    }

    /// The codec of a number.
    pub fn from_id(id: u8) -> Option<Self> {
        Self::ALL.get(usize::from(id)).copied()
    }

    /// Its name in settings, which is that of the cargo feature, too.
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Gzip => "gzip",
            Self::Snappy => "snappy",
            Self::Lz4 => "lz4",
            Self::Zstd => "zstd",
        }
    }

    /// Was this build of klamm made with the codec?
    pub fn is_compiled_in(self) -> bool {
        match self {
            Self::None => true,
            Self::Gzip => cfg!(feature = "gzip"),
            Self::Snappy => cfg!(feature = "snappy"),
            Self::Lz4 => cfg!(feature = "lz4"),
            Self::Zstd => cfg!(any(feature = "zstd", feature = "zstd-rust")),
        }
    }

    /// The levels that can be asked for; `None` if the codec has none.
    pub fn levels(self) -> Option<std::ops::RangeInclusive<i32>> {
        match self {
            Self::Gzip => Some(1..=9),
            Self::Zstd => Some(-131_072..=22),
            Self::None | Self::Snappy | Self::Lz4 => None,
        }
    }

    /// Appends `input`, compressed, to `out`. A level outside of [`levels`](Self::levels) is brought into it.
    pub(crate) fn compress(self, level: Option<i32>, input: &[u8], out: &mut Vec<u8>) -> Result<(), CompressError> {
        let level = level.zip(self.levels()).map(|(level, levels)| level.clamp(*levels.start(), *levels.end()));
        let _ = level;
        let result: Result<(), Box<str>> = match self {
            Self::None => {
                out.extend_from_slice(input);
                Ok(())
            }
            #[cfg(feature = "gzip")]
            Self::Gzip => gzip::compress(level, input, out),
            #[cfg(feature = "snappy")]
            Self::Snappy => snappy::compress(input, out),
            #[cfg(feature = "lz4")]
            Self::Lz4 => lz4::compress(input, out),
            #[cfg(any(feature = "zstd", feature = "zstd-rust"))]
            Self::Zstd => zstd::compress(level, input, out),
            #[allow(unreachable_patterns, reason = "with all codec features on, nothing is left")]
            _ => return Err(CompressError::CodecNotCompiledIn(self)),
        };
        result.map_err(|reason| CompressError::Failed { compression: self, reason })
    }

    /// Decompresses `input`; fails as soon as the result would exceed `limit` bytes.
    pub(crate) fn decompress(self, input: &[u8], limit: usize) -> Result<Vec<u8>, BatchErrorKind> {
        let _ = limit;
        let result = match self {
            Self::None => Ok(input.to_vec()),
            #[cfg(feature = "gzip")]
            Self::Gzip => gzip::decompress(input, limit),
            #[cfg(feature = "snappy")]
            Self::Snappy => snappy::decompress(input, limit),
            #[cfg(feature = "lz4")]
            Self::Lz4 => lz4::decompress(input, limit),
            #[cfg(any(feature = "zstd", feature = "zstd-rust"))]
            Self::Zstd => zstd::decompress(input, limit),
            #[allow(unreachable_patterns, reason = "with all codec features on, nothing is left")]
            _ => return Err(BatchErrorKind::CodecNotCompiledIn(self)),
        };
        self.stopped(result, limit)
    }

    /// [`decompress`](Self::decompress) for the value of a message of format 0.
    pub(crate) fn decompress_format_0(self, input: &[u8], limit: usize) -> Result<Vec<u8>, BatchErrorKind> {
        match self {
            #[cfg(feature = "lz4")]
            Self::Lz4 => self.stopped(lz4::decompress_format_0(input, limit), limit),
            other => other.decompress(input, limit),
        }
    }

    fn stopped(self, result: Result<Vec<u8>, Stop>, limit: usize) -> Result<Vec<u8>, BatchErrorKind> {
        result.map_err(|stop| match stop {
            Stop::TooLarge => BatchErrorKind::TooLarge { compression: self, limit },
            Stop::Broken(reason) => BatchErrorKind::BadCompression { compression: self, reason },
        })
    }
}

impl fmt::Display for Compression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A codec's name that no codec has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownCompression(pub String);

impl fmt::Display for UnknownCompression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "unknown compression codec {:?}: one of none, gzip, snappy, lz4, zstd is needed", self.0)
    }
}

impl std::error::Error for UnknownCompression {}

impl FromStr for Compression {
    type Err = UnknownCompression;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|codec| codec.name() == name).ok_or_else(|| UnknownCompression(name.into()))
    }
}

/// Why decompressing stopped.
#[cfg_attr(
    not(any(feature = "gzip", feature = "snappy", feature = "lz4", feature = "zstd", feature = "zstd-rust")),
    expect(dead_code)
)]
#[derive(Debug)]
enum Stop {
    /// There would be more than the limit.
    TooLarge,
    /// The data makes no sense.
    Broken(Box<str>),
}

impl Stop {
    #[cfg(any(feature = "gzip", feature = "snappy", feature = "lz4", feature = "zstd", feature = "zstd-rust"))]
    fn broken(reason: impl ToString) -> Self {
        Self::Broken(reason.to_string().into())
    }
}

/// Reads `from` to its end, or stops one byte past `limit`. Memory grows as bytes really come out.
#[cfg(any(feature = "gzip", feature = "lz4", feature = "zstd", feature = "zstd-rust"))]
fn read_limited(from: impl std::io::Read, expected: usize, limit: usize) -> Result<Vec<u8>, Stop> {
    use std::io::Read;
    let mut out = Vec::with_capacity(expected.min(limit));
    let most = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
    from.take(most).read_to_end(&mut out).map_err(Stop::broken)?;
    if out.len() > limit { Err(Stop::TooLarge) } else { Ok(out) }
}

/// A first guess of the decompressed size, where the data does not say: what typical records come to.
#[cfg(any(feature = "gzip", feature = "lz4", feature = "zstd", feature = "zstd-rust"))]
fn expected_size(compressed: usize) -> usize {
    compressed.saturating_mul(4)
}
