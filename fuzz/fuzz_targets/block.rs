//! Files of a block, each behind its length.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| storage::checks::block(bytes));
