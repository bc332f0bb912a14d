//! Zstandard frames without dictionaries.
//!
//! A frame says how large a window its decoder must hold; up to 128 MiB is granted, and no more than the limit asks for, though at
//! least the 8 MiB that every ordinary level stays within. Input must begin with a data frame: one of skippable frames alone
//! decompresses to nothing and is not what a producer writes.
//!
//! Making a context costs more than a small batch does, so each thread keeps one for either direction, unless it grew large.

use std::cell::Cell;
use std::io::Read;

use zstd::stream::read::Decoder;
use zstd::zstd_safe::zstd_sys::ZSTD_EndDirective::ZSTD_e_end;
use zstd::zstd_safe::{
    CCtx, CParameter, DCtx, InBuffer, OutBuffer, ResetDirective, compress_bound, get_error_name, get_frame_content_size,
};

use super::{Stop, expected_size, read_limited};

/// The library's own default.
const DEFAULT_LEVEL: i32 = 3;
/// What a data frame begins with.
const MAGIC: [u8; 4] = 0xfd2f_b528_u32.to_le_bytes();
/// 8 MiB and 128 MiB, as powers of two.
const WINDOW_LOG: std::ops::RangeInclusive<u32> = 23..=27;
/// A context that holds more than this is not kept.
const KEEP: usize = 4 << 20;

thread_local! {
    static COMPRESSOR: Cell<Option<CCtx<'static>>> = const { Cell::new(None) };
    static DECOMPRESSOR: Cell<Option<DCtx<'static>>> = const { Cell::new(None) };
}

pub(super) fn compress(level: Option<i32>, input: &[u8], out: &mut Vec<u8>) -> Result<(), Box<str>> {
    let fail = |code| -> Box<str> { get_error_name(code).into() };
    let mut context = COMPRESSOR.take().unwrap_or_default();
    context.reset(ResetDirective::SessionAndParameters).map_err(fail)?;
    context.set_parameter(CParameter::CompressionLevel(level.unwrap_or(DEFAULT_LEVEL))).map_err(fail)?;
    out.reserve(compress_bound(input.len()));
    let start = out.len();
    let mut to = OutBuffer::around_pos(out, start);
    // With room for the worst case, one call writes the whole frame, and its size into its header.
    let left = context.compress_stream2(&mut to, &mut InBuffer::around(input), ZSTD_e_end).map_err(fail)?;
    if left > 0 {
        return Err("the frame does not fit its bound".into());
    }
    if context.sizeof() <= KEEP {
        COMPRESSOR.set(Some(context));
    }
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
    let mut context = DECOMPRESSOR.take().unwrap_or_default();
    let mut decoder = Decoder::with_context(input, &mut context);
    let window_log = limit.max(1).ilog2().clamp(*WINDOW_LOG.start(), *WINDOW_LOG.end());
    decoder.window_log_max(window_log).map_err(Stop::broken)?;
    let out = read_limited(decoder.by_ref(), expected, limit)?;
    drop(decoder);
    if context.sizeof() <= KEEP {
        DECOMPRESSOR.set(Some(context));
    }
    Ok(out)
}
