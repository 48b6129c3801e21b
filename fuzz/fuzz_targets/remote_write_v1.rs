//! Decompressed bodies of remote write 1.0.
#![no_main]

libfuzzer_sys::fuzz_target!(|body: &[u8]| wire::checks::remote_write_v1(body));
