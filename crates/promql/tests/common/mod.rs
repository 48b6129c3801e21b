//! What the tests of the parser share.

use promql::ast::Expr;
use promql::{ParseOptions, parse};

/// Fails unless `expr`, which was read from `query`, prints as a text that parses to the same tree.
pub(crate) fn assert_prints_back(query: &str, expr: &Expr) {
    let printed = expr.to_string();
    let again = match parse(&printed, &ParseOptions::ALL) {
        Ok(again) => again,
        Err(error) => panic!("{query}\nprints as {printed}\n{error}"),
    };
    assert_eq!(
        without_positions(expr),
        without_positions(&again),
        "{query}\nprints as {printed}"
    );
}

/// The tree as text without its spans. Unlike the tree itself, NaN equals NaN in it.
fn without_positions(expr: &Expr) -> String {
    let shown = format!("{expr:?}");
    let mut parts = shown.split("Span {");
    let mut kept = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        kept.push_str(part.split_once('}').map_or("", |(_, rest)| rest));
    }
    kept
}
