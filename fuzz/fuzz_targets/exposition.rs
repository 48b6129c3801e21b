//! Text expositions.
#![no_main]

libfuzzer_sys::fuzz_target!(|text: &str| wire::checks::exposition(text));
