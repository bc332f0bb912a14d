//! Bodies of responses by API and version: see `klamm_properties`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| klamm_properties::RESPONSES.check(input));
