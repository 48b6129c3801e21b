//! Hostile queries: long, deep, or random. None may panic or exhaust an ordinary stack.

use promql::parser::{HEIGHT_MAX, NESTING_MAX, TEXT_BYTES_MAX};
use promql::{ParseOptions, parse};
use proptest::prelude::*;

use crate::common::assert_prints_back;

mod common;

/// `open` and `close` around `middle`, `n` times.
fn nest(open: &str, middle: &str, close: &str, n: usize) -> String {
    format!("{}{middle}{}", open.repeat(n), close.repeat(n))
}

/// Parses, prints, clones, compares and drops on a stack like that of any thread.
fn outcome(query: &str) -> Result<(), String> {
    let query = query.to_owned();
    let work = move || {
        let expr = parse(&query, &ParseOptions::ALL).map_err(|error| error.message)?;
        assert_prints_back(&query, &expr);
        let clone = expr.clone();
        assert_eq!(clone, expr);
        assert_eq!(clone.value_type(), expr.value_type());
        Ok(())
    };
    let thread = std::thread::Builder::new().stack_size(2 << 20);
    thread.spawn(work).unwrap().join().unwrap()
}

#[test]
fn deep_queries_are_refused_and_shallower_ones_are_not() {
    for (open, middle, close) in [
        ("(", "a", ")"),
        ("-", "a", ""),
        ("abs(", "a", ")"),
        ("sum(", "a", ")"),
        ("sum by (x) (", "a", ") + 1"),
        ("clamp(", "a", ", 1, 2)"),
        ("1 ^ ", "a", ""),
        ("a + (", "a", ")"),
        ("max_over_time((", "a", ")[5m:1m])"),
    ] {
        let deep = NESTING_MAX / 2 - 2;
        assert_eq!(outcome(&nest(open, middle, close, deep)), Ok(()), "{open}");
        for n in [NESTING_MAX + 1, 100_000] {
            let query = nest(open, middle, close, n);
            let error = outcome(query.get(..TEXT_BYTES_MAX).unwrap_or(&query)).unwrap_err();
            assert_eq!(
                error,
                format!("query is nested deeper than {NESTING_MAX} levels"),
                "{open}"
            );
        }
    }
}

#[test]
fn deep_durations_are_refused_and_shallower_ones_are_not() {
    for (open, middle, close) in [
        ("(", "1", ")"),
        ("-", "step()", ""),
        ("min_of(1, ", "2", ")"),
        ("2 ^ ", "2", ""),
    ] {
        for around in ["a[", "a[1:", "a offset (1 + "] {
            let end = if around.starts_with("a[") { "]" } else { ")" };
            let query = |n: usize| format!("{around}{}{end}", nest(open, middle, close, n));
            assert!(outcome(&query(NESTING_MAX / 2 - 2)).is_ok(), "{open}");
            assert!(outcome(&query(NESTING_MAX + 1)).is_err(), "{open}");
            assert!(outcome(&query(100_000)).is_err(), "{open}");
        }
    }
}

#[test]
fn long_chains_are_refused_and_shorter_ones_are_not() {
    let chain = |operand: &str, operator: &str, n: usize| vec![operand; n].join(operator);
    for (operand, operator) in [("a", " or "), ("1", "+"), ("sum(a)", " / on() "), ("-a", "*")] {
        assert_eq!(
            outcome(&chain(operand, operator, HEIGHT_MAX - 2)),
            Ok(()),
            "{operator}"
        );
        let error = outcome(&chain(operand, operator, HEIGHT_MAX + 1)).unwrap_err();
        assert_eq!(
            error,
            format!("query has chains of operations longer than {HEIGHT_MAX}")
        );
        assert!(outcome(&chain(operand, operator, 60_000)).is_err());
    }
    assert!(outcome(&format!("a[{}]", chain("1", "+", HEIGHT_MAX - 2))).is_ok());
    assert!(outcome(&format!("a[{}]", chain("1", "+", 100_000))).is_err());
    let chain_of_chains =
        (0..NESTING_MAX / 2).fold("a".to_owned(), |inner, _| format!("({inner}){}", "+a".repeat(9)));
    assert!(outcome(&chain_of_chains).is_err());
}

#[test]
fn long_queries_are_read_up_to_the_limit() {
    let pattern = "reviews-v1|".repeat(9_000);
    let query = format!("sum(rate(requests{{pod=~\"{pattern}\"}}[5m]))");
    assert_eq!(outcome(&query), Ok(()));
    let full = format!("{}a", " ".repeat(TEXT_BYTES_MAX - 1));
    assert_eq!(outcome(&full), Ok(()));
    assert_eq!(
        outcome(&format!("{full} ")),
        Err(format!(
            "query of {} bytes is longer than {TEXT_BYTES_MAX}",
            TEXT_BYTES_MAX + 1
        ))
    );
    let wide = format!("label_join(a, 'b', ','{})", ", 'c'".repeat(10_000));
    assert_eq!(outcome(&wide), Ok(()));
}

/// Parts of queries, so that random texts get past the lexer.
const PARTS: &[&str] = &[
    "a",
    "b{c=\"d\"}",
    "{e=~\"f.*\"}",
    "\"x.y\"",
    "sum",
    "by",
    "without",
    "(",
    ")",
    "(a, b)",
    "[5m]",
    "[1h:]",
    "[",
    "]",
    ":",
    ",",
    "offset",
    "-5m",
    "@",
    "start()",
    "end()",
    "step()",
    "min_of(",
    "+",
    "-",
    "*",
    "/",
    "^",
    "==",
    "bool",
    "and",
    "unless",
    "on",
    "group_left",
    "fill(0)",
    "rate",
    "topk(1,",
    "1",
    "0x1f",
    "1h30m",
    "NaN",
    "'s'",
    "# c\n",
    " ",
    "{",
    "}",
    "=",
    "!~",
    "smoothed",
    "histogram_quantile(0.9,",
    "</",
    "\\",
    "é",
    "\u{fffd}",
];

fn parts() -> impl Strategy<Value = String> {
    let separator = prop_oneof![Just(""), Just(" ")];
    let part = (prop::sample::select(PARTS), separator);
    prop::collection::vec(part, 0..30)
        .prop_map(|parts| parts.iter().flat_map(|(part, gap)| [*part, *gap]).collect())
}

/// Cases per property: more on request, for long runs.
fn config() -> ProptestConfig {
    let cases = std::env::var("PROPTEST_CASES")
        .ok()
        .and_then(|cases| cases.parse().ok());
    ProptestConfig {
        cases: cases.unwrap_or(2_000),
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn random_text_never_panics(query in "\\PC*") {
        check(&query);
    }

    #[test]
    fn random_parts_never_panic_and_what_parses_prints_back(query in parts()) {
        check(&query);
    }

    #[test]
    fn damaged_queries_never_panic(position in 0_usize..150, length in 0_usize..20, patch in parts()) {
        let query = "histogram_quantile(0.99, sum by (le, app) (rate(x_bucket{r=\"s\", c!~'5..'}[5m] offset -1h @ 3))) / on(app) group_left(v) (b[1h:step()] > bool 1e3)";
        let end = (position + length).min(query.len());
        let start = position.min(end);
        check(&format!("{}{patch}{}", &query[..start], &query[end..]));
    }
}

fn check(query: &str) {
    for options in [ParseOptions::ALL, ParseOptions::default()] {
        match parse(query, &options) {
            Ok(expr) => assert_prints_back(query, &expr),
            Err(error) => assert!(error.span.start as usize <= query.len(), "{error}"),
        }
    }
}
