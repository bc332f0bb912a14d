//! Zstandard frames without dictionaries, by a codec in Rust: for builds without a C compiler.
//!
//! What is read and refused is the same as with the C library (`zstd.rs`). What is written is larger: there is one level, about the
//! C library's 1, and a level that is asked for is not looked at.

use std::io::Read;

use ruzstd::decoding::errors::FrameDecoderError;
use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};
use ruzstd::encoding::{CompressionLevel, compress as compress_frame};

use super::Stop;

/// What a data frame begins with.
const MAGIC: [u8; 4] = 0xfd2f_b528_u32.to_le_bytes();
/// What a skippable frame begins with, but for the lowest four bits.
const SKIPPABLE: u32 = 0x184d_2a50;
/// 8 MiB, which every ordinary level stays within, and 128 MiB.
const WINDOW: (u64, u64) = (8 << 20, 128 << 20);
/// How much is decoded in one turn, about: a block.
const TURN: usize = 128 << 10;
/// A bit of the byte behind the magic number: the window is the whole content.
const SINGLE_SEGMENT: u8 = 1 << 5;

pub(super) fn compress(_level: Option<i32>, input: &[u8], out: &mut Vec<u8>) -> Result<(), Box<str>> {
    compress_frame(input, out, CompressionLevel::Fastest);
    Ok(())
}

pub(super) fn decompress(input: &[u8], limit: usize) -> Result<Vec<u8>, Stop> {
    if !input.starts_with(&MAGIC) {
        return Err(Stop::broken("it does not begin with a data frame"));
    }
    let (mut rest, mut out) = (input, Vec::new());
    while !rest.is_empty() {
        if let Some(behind) = skipped(rest)? {
            rest = behind;
            continue;
        }
        frame(&mut rest, &mut out, limit)?;
    }
    Ok(out)
}

/// What is behind the skippable frame that `input` begins with, if it does.
fn skipped(input: &[u8]) -> Result<Option<&[u8]>, Stop> {
    let Some((magic, rest)) = input.split_first_chunk() else { return Ok(None) };
    if u32::from_le_bytes(*magic) & !0xf != SKIPPABLE {
        return Ok(None);
    }
    let cut = || Stop::broken("a skippable frame is cut short");
    let (size, rest) = rest.split_first_chunk().ok_or_else(cut)?;
    let size = usize::try_from(u32::from_le_bytes(*size)).map_err(|_| cut())?;
    rest.get(size..).map(Some).ok_or_else(cut)
}

/// Appends the content of the frame at the start of `rest`, which moves behind it. A decoder is made for each: one that is used
/// again reserves the declared window at once.
fn frame(rest: &mut &[u8], out: &mut Vec<u8>, limit: usize) -> Result<(), Stop> {
    let single_segment = rest.get(MAGIC.len()).is_some_and(|flags| flags & SINGLE_SEGMENT != 0);
    let mut decoder = FrameDecoder::new();
    decoder.set_max_window_size((limit as u64).clamp(WINDOW.0, WINDOW.1));
    match decoder.init(&mut *rest) {
        Ok(()) => {}
        // Its size is more than any window: what it declares is what it holds.
        Err(FrameDecoderError::WindowSizeTooBig { .. }) if single_segment => return Err(Stop::TooLarge),
        Err(error) => return Err(Stop::broken(error)),
    }
    if decoder.content_size() > limit.saturating_sub(out.len()) as u64 {
        return Err(Stop::TooLarge);
    }
    while !decoder.is_finished() {
        decoder.decode_blocks(&mut *rest, BlockDecodingStrategy::UptoBytes(TURN)).map_err(Stop::broken)?;
        let most = (limit - out.len()) as u64 + 1;
        decoder.by_ref().take(most).read_to_end(out).map_err(Stop::broken)?;
        if out.len() > limit {
            return Err(Stop::TooLarge);
        }
    }
    Ok(())
}
