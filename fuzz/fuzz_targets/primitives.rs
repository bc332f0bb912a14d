//! Values of every type on the wire, varints: see `klamm_properties`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| klamm_properties::PRIMITIVES.check(input));
