//! Decompressed bodies of remote write 2.0.
#![no_main]

libfuzzer_sys::fuzz_target!(|body: &[u8]| wire::checks::remote_write_v2(body));
