//! A SCRAM server's messages: see `klamm_properties`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| klamm_properties::SCRAM.check(input));
