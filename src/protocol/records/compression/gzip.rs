//! gzip members (RFC 1952); several in a row are read as one stream, as Java does.

use flate2::bufread::MultiGzDecoder;
use flate2::write::GzEncoder;
use std::io::Write;

use super::{Stop, expected_size, read_limited};

/// zlib's own default, and Java's.
const DEFAULT_LEVEL: u32 = 6;

pub(super) fn compress(level: Option<i32>, input: &[u8], out: &mut Vec<u8>) -> Result<(), Box<str>> {
    let level = level.and_then(|level| u32::try_from(level).ok()).unwrap_or(DEFAULT_LEVEL);
    let mut encoder = GzEncoder::new(out, flate2::Compression::new(level));
    encoder.write_all(input).and_then(|()| encoder.finish().map(drop)).map_err(|error| error.to_string().into())
}

pub(super) fn decompress(input: &[u8], limit: usize) -> Result<Vec<u8>, Stop> {
    read_limited(MultiGzDecoder::new(input), expected_size(input.len()), limit)
}
