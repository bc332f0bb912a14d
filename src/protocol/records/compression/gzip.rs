//! gzip members (RFC 1952); several in a row are read as one stream, as Java does.
//!
//! A compressor's tables are large against a small batch, so each thread keeps the last one.

use std::cell::Cell;

use flate2::bufread::MultiGzDecoder;
use flate2::{Compress, FlushCompress, Status};

use super::{Stop, expected_size, read_limited};

/// zlib's own default, and Java's.
const DEFAULT_LEVEL: u32 = 6;
/// A window of 32 KiB, the most there is.
const WINDOW_BITS: u8 = 15;

thread_local! {
    static COMPRESSOR: Cell<Option<(u32, Compress)>> = const { Cell::new(None) };
}

pub(super) fn compress(level: Option<i32>, input: &[u8], out: &mut Vec<u8>) -> Result<(), Box<str>> {
    let level = level.and_then(|level| u32::try_from(level).ok()).unwrap_or(DEFAULT_LEVEL);
    let mut compressor = match COMPRESSOR.take() {
        Some((kept, compressor)) if kept == level => compressor,
        _ => Compress::new_gzip(flate2::Compression::new(level), WINDOW_BITS),
    };
    compressor.reset();
    out.reserve(input.len() / 4 + 64);
    let mut done = 0;
    loop {
        let rest = input.get(done..).unwrap_or_default();
        let before = compressor.total_in();
        let status = compressor.compress_vec(rest, out, FlushCompress::Finish).map_err(|error| error.to_string())?;
        // No more than `rest` has.
        done += (compressor.total_in() - before) as usize;
        if status == Status::StreamEnd {
            break;
        }
        out.reserve((input.len() - done) / 4 + 64);
    }
    COMPRESSOR.set(Some((level, compressor)));
    Ok(())
}

pub(super) fn decompress(input: &[u8], limit: usize) -> Result<Vec<u8>, Stop> {
    read_limited(MultiGzDecoder::new(input), expected_size(input.len()), limit)
}
