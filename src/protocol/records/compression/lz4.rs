//! LZ4 frames with independent blocks of 64 KiB and no checksums: the form Java writes, and the only one it reads.
//!
//! Read are dependent blocks and checksums as well. The decoder holds two blocks of the declared size, at most 4 MiB each.
//!
//! In message format 0 Kafka computed the checksum of a frame's header over the magic number, too, which LZ4 does not (KAFKA-3160). Like
//! Kafka we don't look at it there: it is replaced by the right one.

use std::io::{Error, ErrorKind, Read, Write};

use lz4_flex::frame::{BlockMode, BlockSize, FrameDecoder, FrameEncoder, FrameInfo};
use twox_hash::XxHash32;

use super::{Stop, expected_size, read_limited};

/// What frames of the format before this one begin with: Kafka does not know it, and its blocks have 8 MiB.
const LEGACY: [u8; 4] = 0x184c_2102u32.to_le_bytes();

pub(super) fn compress(input: &[u8], out: &mut Vec<u8>) -> Result<(), Box<str>> {
    let info = FrameInfo::new().block_size(BlockSize::Max64KB).block_mode(BlockMode::Independent);
    let mut encoder = FrameEncoder::with_frame_info(info, out);
    encoder.write_all(input).map_err(|error| error.to_string())?;
    encoder.finish().map(drop).map_err(|error| error.to_string().into())
}

pub(super) fn decompress(input: &[u8], limit: usize) -> Result<Vec<u8>, Stop> {
    read_limited(Frames { decoder: FrameDecoder::new(input), at_start: true }, expected_size(input.len()), limit)
}

/// [`decompress`], whatever the header's checksum is.
pub(super) fn decompress_format_0(input: &[u8], limit: usize) -> Result<Vec<u8>, Stop> {
    const MAGIC: usize = 4;
    let flags = input.get(MAGIC).ok_or_else(|| Stop::broken("a frame's header is cut short"))?;
    // Flags, block size and, where the flags say so, the content's size and a dictionary's id.
    let described = 2 + if flags & 0b1000 != 0 { 8 } else { 0 } + if flags & 1 != 0 { 4 } else { 0 };
    let mut mended = input.to_vec();
    let header = mended.get_mut(MAGIC..).and_then(|header| header.split_at_mut_checked(described));
    let Some((described, [checksum, ..])) = header else { return Err(Stop::broken("a frame's header is cut short")) };
    // The second lowest byte of the hash.
    *checksum = (XxHash32::oneshot(0, described) >> 8) as u8;
    decompress(&mended, limit)
}

/// All frames of the input: a decoder says "end" after each.
struct Frames<'a> {
    decoder: FrameDecoder<&'a [u8]>,
    /// Does a frame come next?
    at_start: bool,
}

impl Read for Frames<'_> {
    fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
        loop {
            let before = self.decoder.get_ref().len();
            if self.at_start && self.decoder.get_ref().starts_with(&LEGACY) {
                return Err(Error::new(ErrorKind::InvalidData, "an LZ4 frame of the legacy format, which Kafka does not know"));
            }
            let size = self.decoder.read(out)?;
            self.at_start = size == 0;
            // A turn that yields and takes nothing is the end; a frame without content takes some.
            if size > 0 || out.is_empty() || self.decoder.get_ref().len() == before {
                return Ok(size);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_of_the_legacy_format_are_refused_before_their_blocks_are_allocated() {
        let mut legacy = LEGACY.to_vec();
        legacy.extend([0; 4]);
        let mut behind = Vec::new();
        compress(b"first", &mut behind).unwrap();
        behind.extend(&legacy);
        for input in [legacy, behind] {
            let Err(Stop::Broken(why)) = decompress(&input, 100) else { panic!("it is not refused") };
            assert!(why.contains("legacy"), "{why}");
        }
    }
}
