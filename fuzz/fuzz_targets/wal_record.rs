//! Payloads of records of the write-ahead log, each behind a byte for its kind.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| storage::checks::wal_record(bytes));
