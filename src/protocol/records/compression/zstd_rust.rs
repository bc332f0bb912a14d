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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn packed(input: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        compress(None, input, &mut out).expect("compressed");
        out
    }

    fn reason(input: &[u8], limit: usize) -> String {
        match decompress(input, limit).expect_err("refused") {
            Stop::TooLarge => "too large".to_owned(),
            Stop::Broken(reason) => reason.into(),
        }
    }

    /// Like records: text that repeats, and noise.
    fn content() -> impl Strategy<Value = Vec<u8>> {
        let word = prop::collection::vec(any::<u8>(), 1..40);
        let words = prop::collection::vec(word, 1..8);
        (words, prop::collection::vec(any::<prop::sample::Index>(), 0..6_000))
            .prop_map(|(words, order)| order.iter().flat_map(|index| words[index.index(words.len())].clone()).collect())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        #[test]
        fn what_was_compressed_comes_back_and_the_c_library_agrees(content in content()) {
            let ours = packed(&content);
            prop_assert_eq!(&decompress(&ours, content.len()).expect("within the limit"), &content);
            if !content.is_empty() {
                prop_assert_eq!(reason(&ours, content.len() - 1), "too large");
            }
            #[cfg(feature = "zstd")]
            {
                use super::super::zstd as c;
                prop_assert_eq!(&c::decompress(&ours, content.len()).expect("within the limit"), &content);
                for level in [-5, 3, 19] {
                    let mut theirs = Vec::new();
                    c::compress(Some(level), &content, &mut theirs).expect("compressed");
                    prop_assert_eq!(&decompress(&theirs, content.len()).expect("within the limit"), &content);
                }
            }
        }

        #[test]
        fn changed_and_cut_frames_are_read_or_refused(
            content in content(), cut in any::<prop::sample::Index>(), changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4)
        ) {
            let mut bytes = packed(&content);
            for (index, byte) in changes {
                let index = index.index(bytes.len());
                bytes[index] = byte;
            }
            let _ = decompress(&bytes, 1 << 20);
            let _ = decompress(&bytes[..cut.index(bytes.len())], 1 << 20);
        }
    }

    #[test]
    fn frames_in_a_row_are_one_stream_and_skippable_ones_are_passed_over() {
        let skippable = [0x5f, 0x2a, 0x4d, 0x18, 2, 0, 0, 0, 9, 9];
        let stream = [&packed(b"one ")[..], &skippable, &packed(b"two")].concat();
        assert_eq!(decompress(&stream, 7).expect("within the limit"), b"one two");
        assert_eq!(reason(&stream, 6), "too large");
        assert_eq!(reason(&stream[..stream.len() - packed(b"two").len() - 1], 7), "a skippable frame is cut short");
        assert_eq!(reason(&skippable, 7), "it does not begin with a data frame");
    }

    #[test]
    fn declared_sizes_windows_and_dictionaries_are_looked_at_before_memory_is_asked_for() {
        let frame = |rest: &[u8]| [&MAGIC[..], rest].concat();
        // The whole content of 2^40 bytes in one segment; the same, with a window.
        let size = (1_u64 << 40).to_le_bytes();
        assert_eq!(reason(&frame(&[&[0b1110_0000][..], &size, &[1, 0, 0]].concat()), 1 << 20), "too large");
        assert_eq!(reason(&frame(&[&[0b1100_0000, 0][..], &size, &[1, 0, 0]].concat()), 1 << 20), "too large");
        // A window of 2^28, with room for all; one of 16 MiB where 1 MiB is the limit.
        assert_ne!(reason(&frame(&[0, 18 << 3, 1, 0, 0]), 1 << 30), "too large");
        assert_ne!(reason(&frame(&[0, 14 << 3, 1, 0, 0]), 1 << 20), "too large");
        assert_eq!(decompress(&frame(&[0, 13 << 3, 1, 0, 0]), 1 << 20).expect("8 MiB are granted"), b"");
        // Dictionary 7.
        assert_ne!(reason(&frame(&[1, 0, 7, 1, 0, 0]), 1 << 20), "too large");
    }
}
