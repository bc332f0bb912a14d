//! Zstandard frames without dictionaries.
//!
//! A frame says how large a window its decoder must hold; up to 128 MiB is granted, and no more than the limit asks for, though at
//! least the 8 MiB that every ordinary level stays within. Input must begin with a data frame: one of skippable frames alone
//! decompresses to nothing and is not what a producer writes.

use std::io::Read;

use zstd::stream::read::Decoder;
use zstd::zstd_safe::get_frame_content_size;

use super::{Stop, expected_size, read_limited};

/// The library's own default.
const DEFAULT_LEVEL: i32 = 3;
/// What a data frame begins with.
const MAGIC: [u8; 4] = 0xfd2f_b528_u32.to_le_bytes();
/// 8 MiB and 128 MiB, as powers of two.
const WINDOW_LOG: std::ops::RangeInclusive<u32> = 23..=27;

pub(super) fn compress(level: Option<i32>, input: &[u8], out: &mut Vec<u8>) -> Result<(), Box<str>> {
    let compressed = zstd::bulk::compress(input, level.unwrap_or(DEFAULT_LEVEL)).map_err(|error| error.to_string())?;
    out.extend_from_slice(&compressed);
    Ok(())
}

pub(super) fn decompress(input: &[u8], limit: usize) -> Result<Vec<u8>, Stop> {
    if !input.starts_with(&MAGIC) {
        return Err(Stop::broken("it does not begin with a data frame"));
    }
    let declared = get_frame_content_size(input).map_err(|_| Stop::broken("a frame's header is broken"))?;
    let expected = match declared {
        Some(size) if size > limit as u64 => return Err(Stop::TooLarge),
        // What is declared is believed as far as the data's size makes it likely; the rest is allocated as it comes.
        Some(size) => usize::try_from(size).unwrap_or(limit).min(input.len().saturating_mul(64)),
        None => expected_size(input.len()),
    };
    let mut decoder = Decoder::with_buffer(input).map_err(Stop::broken)?;
    let window_log = limit.max(1).ilog2().clamp(*WINDOW_LOG.start(), *WINDOW_LOG.end());
    decoder.window_log_max(window_log).map_err(Stop::broken)?;
    read_limited(decoder.by_ref(), expected, limit)
}
