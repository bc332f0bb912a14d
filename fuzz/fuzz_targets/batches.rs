//! Record sets with right and wrong checksums: see `klamm_properties`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| klamm_properties::BATCHES.check(input));
