//! Pages of samples.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| codec::checks::page(bytes));
