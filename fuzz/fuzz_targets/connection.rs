//! The connection's core against a broker that says anything: see `klamm_properties`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| klamm_properties::CONNECTION.check(input));
