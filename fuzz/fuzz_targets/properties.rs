//! Settings as a properties file: see `klamm_properties`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| klamm_properties::PROPERTIES.check(input));
