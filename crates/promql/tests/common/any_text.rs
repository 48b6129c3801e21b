//! What holds for any text whatsoever. Used by `mutations.rs` and by the fuzz target `promql_parse`.

use promql::{ParseOptions, parse};

use crate::common::assert_prints_back;

/// Fails unless `text` parses, and then prints back, or has an error that stands inside it.
pub(crate) fn assert_parses_or_points_at_the_error(text: &str) {
    match parse(text, &ParseOptions::ALL) {
        Ok(expr) => assert_prints_back(text, &expr),
        Err(error) => assert!(error.span.start <= error.span.end && error.span.end as usize <= text.len()),
    }
}
