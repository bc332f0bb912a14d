//! Snappy, in the blocks of snappy-java ("xerial"), which is what Java and librdkafka write; bare blocks are read, too.
//!
//! ```text
//! 82 "SNAPPY" 00 | version i32 | compatible version i32 | { block length i32, block } …
//! ```

use snap::raw::{Decoder, Encoder, decompress_len, max_compress_len};

use super::Stop;

/// What a xerial stream begins with; its first four bytes, as a length, would be negative.
const MAGIC: [u8; 8] = *b"\x82SNAPPY\0";
/// Magic, version 1, compatible version 1.
const HEADER: [u8; 16] = *b"\x82SNAPPY\0\0\0\0\x01\0\0\0\x01";
/// How much input goes into a block; snappy-java's default.
const BLOCK: usize = 32 * 1024;
/// A copy of 64 bytes takes three: no block comes to more than this times its size.
const MAX_RATIO: usize = 22;

pub(super) fn compress(input: &[u8], out: &mut Vec<u8>) -> Result<(), Box<str>> {
    out.extend_from_slice(&HEADER);
    let mut encoder = Encoder::new();
    for block in input.chunks(BLOCK) {
        let start = out.len();
        out.resize(start + 4 + max_compress_len(block.len()), 0);
        let (length, place) = out.get_mut(start..).and_then(|out| out.split_at_mut_checked(4)).ok_or("no room for a block")?;
        let size = encoder.compress(block, place).map_err(|error| error.to_string())?;
        // At most 32 KiB and a sixth.
        length.copy_from_slice(&(size as u32).to_be_bytes());
        out.truncate(start + 4 + size);
    }
    Ok(())
}

pub(super) fn decompress(input: &[u8], limit: usize) -> Result<Vec<u8>, Stop> {
    let mut out = Vec::new();
    if !input.starts_with(&MAGIC) {
        block(input, &mut out, limit)?;
        return Ok(out);
    }
    let mut rest = input;
    while !rest.is_empty() {
        // Streams that were put one behind the other begin anew with a header; versions are not looked at, as in Java.
        if rest.starts_with(&MAGIC) {
            rest = rest.get(HEADER.len()..).ok_or_else(|| Stop::broken("the stream's header is cut short"))?;
            continue;
        }
        let (length, tail) = rest.split_first_chunk().ok_or_else(|| Stop::broken("a block's length is cut short"))?;
        let length = usize::try_from(i32::from_be_bytes(*length)).map_err(|_| Stop::broken("a block's length is negative"))?;
        let (data, tail) = tail.split_at_checked(length).ok_or_else(|| Stop::broken("a block is cut short"))?;
        block(data, &mut out, limit)?;
        rest = tail;
    }
    Ok(out)
}

/// Appends what `data` decompresses to.
fn block(data: &[u8], out: &mut Vec<u8>, limit: usize) -> Result<(), Stop> {
    let size = decompress_len(data).map_err(Stop::broken)?;
    if size > data.len().saturating_mul(MAX_RATIO) {
        return Err(Stop::broken("a block declares more than it can hold"));
    }
    if size > limit.saturating_sub(out.len()) {
        return Err(Stop::TooLarge);
    }
    let start = out.len();
    out.resize(start + size, 0);
    let place = out.get_mut(start..).unwrap_or_default();
    let size = Decoder::new().decompress(data, place).map_err(Stop::broken)?;
    out.truncate(start + size);
    Ok(())
}
