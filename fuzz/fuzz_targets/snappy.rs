//! Compressed bodies.
#![no_main]

libfuzzer_sys::fuzz_target!(|body: &[u8]| wire::checks::snappy(body));
