//! Queries: what parses prints as a text that parses to the same tree, and every other text has an error inside it.
#![no_main]

use promql::{ParseOptions, parse};

#[path = "../../crates/promql/tests/common/mod.rs"]
mod common;

libfuzzer_sys::fuzz_target!(|text: &str| {
    match parse(text, &ParseOptions::ALL) {
        Ok(expr) => common::assert_prints_back(text, &expr),
        Err(error) => assert!(error.span.end as usize <= text.len(), "{error}"),
    }
});
