//! The embedded broker's core against clients that say anything: see `klamm_properties`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| klamm_properties::BROKER.check(input));
