//! Java's login configuration in one line: see `klamm_properties`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| klamm_properties::JAAS.check(input));
