//! Assignments for members that claim anything: see `klamm_properties`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| klamm_properties::ASSIGNORS.check(input));
