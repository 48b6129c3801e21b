//! OTLP requests in JSON.
#![no_main]

libfuzzer_sys::fuzz_target!(|body: &[u8]| wire::checks::otlp_json(body));
