//! OTLP requests in protobuf.
#![no_main]

libfuzzer_sys::fuzz_target!(|body: &[u8]| wire::checks::otlp(body));
