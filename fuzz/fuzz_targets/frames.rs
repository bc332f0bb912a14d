//! A stream of bytes cut into frames, in pieces of any size: see `klamm_properties`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| klamm_properties::FRAMES.check(input));
