//! Files with faults: see `klamm_properties`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| klamm_properties::FAULTS.check(input));
