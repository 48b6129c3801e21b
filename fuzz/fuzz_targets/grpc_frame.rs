//! Bodies of gRPC calls.
#![no_main]

libfuzzer_sys::fuzz_target!(|body: &[u8]| wire::checks::grpc_frame(body));
