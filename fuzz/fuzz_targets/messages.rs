//! Valid messages of every kind, made from their declarations: see `klamm_properties`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| klamm_properties::MESSAGES.check(input));
