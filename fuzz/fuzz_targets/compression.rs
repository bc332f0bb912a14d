//! Compressed data of each codec against a limit: see `klamm_properties`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| klamm_properties::COMPRESSION.check(input));
