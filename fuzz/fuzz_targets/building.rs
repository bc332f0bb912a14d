//! Batches made of any records, with each codec: see `klamm_properties`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| klamm_properties::BUILDING.check(input));
