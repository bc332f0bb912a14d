//! Messages inside others and in records, by name and version: see `klamm_properties`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| klamm_properties::DATA.check(input));
