//! Queries.
#![no_main]

#[path = "../../crates/promql/tests/common/any_text.rs"]
mod any_text;
#[path = "../../crates/promql/tests/common/mod.rs"]
mod common;

libfuzzer_sys::fuzz_target!(|text: &str| any_text::assert_parses_or_points_at_the_error(text));
