//! What members of a group say, read by its leader and by members: see `klamm_properties`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| klamm_properties::SUBSCRIPTIONS.check(input));
