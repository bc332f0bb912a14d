//! Whole request frames: header, then body by API and version: see `klamm_properties`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| klamm_properties::REQUESTS.check(input));
