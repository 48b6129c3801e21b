//! Queries by example: the files in `corpus/` say what parses, how it prints, and what each error reads like.
//!
//! A line is a query; what is expected of it follows on the next line behind `=>`. Lines that begin with `# ` are
//! headings.

use promql::{ParseOptions, parse};

use crate::common::assert_prints_back;

mod common;

#[test]
fn accepted_queries_print_as_the_file_says_and_parse_again() {
    let cases = cases(include_str!("corpus/accept.txt"));
    assert!(cases.len() > 200);
    for (query, expected) in cases {
        match parse(query, &ParseOptions::ALL) {
            Ok(expr) => {
                assert_eq!(expr.to_string(), expected.unwrap_or(query), "{query}");
                assert_prints_back(query, &expr);
            }
            Err(error) => panic!("{query}\n{error}"),
        }
    }
}

#[test]
fn rejected_queries_give_the_error_in_the_file() {
    let cases = cases(include_str!("corpus/reject.txt"));
    assert!(cases.len() > 300);
    assert_rejected(&cases, &ParseOptions::ALL);
}

#[test]
fn experimental_features_are_off_unless_asked_for() {
    let cases = cases(include_str!("corpus/flags.txt"));
    assert_rejected(&cases, &ParseOptions::default());
    let options = ParseOptions {
        duration_expressions: false,
        ..ParseOptions::ALL
    };
    let off = "experimental duration expression is not enabled";
    for (query, column) in [
        ("a[5m * 2]", 3),
        ("a[1 + step()]", 7),
        ("a[(5m)]", 4),
        ("a[5m:range()]", 6),
        ("a offset min_of(1, 2)", 10),
    ] {
        let error = parse(query, &options).unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("1:{column}: parse error: {off}"),
            "{query}"
        );
    }
    assert!(parse("a[5m] offset -5m", &options).is_ok());
}

#[test]
fn errors_name_their_line() {
    let check = |query: &str, expected: &str| {
        let error = parse(query, &ParseOptions::ALL).unwrap_err();
        assert_eq!(error.to_string(), expected, "{query:?}");
    };
    check("", "unknown position: parse error: no expression found in input");
    check(" \n", "1:1: parse error: no expression found in input");
    check(
        "# only a comment",
        "1:1: parse error: no expression found in input",
    );
    check("a +\n  b c", "2:5: parse error: unexpected identifier \"c\"");
    check("a # é\n\n+", "3:2: parse error: unexpected end of input");
    check("'é' é", "1:6: parse error: unexpected character: 'é'");
    check(
        "a\r\n== bool\n\n'x'",
        "4:1: parse error: binary expression must contain only scalar and instant vector types",
    );
    check("\"a\nb\"", "1:1: parse error: unterminated quoted string");
    check(
        "1 # x\n == 1",
        "1:3: parse error: comparisons between scalars must use BOOL modifier",
    );
    check(
        "a[#c\n5m]",
        "1:3: parse error: unexpected character in duration expression: '#'",
    );
}

#[test]
fn comments_and_line_breaks_stand_between_any_tokens() {
    let query = "sum # add\n by # these\r\n(a, # one\n b)\n(rate(x{a=\"b\", # c\n}[5m # d\n]))";
    let expr = parse(query, &ParseOptions::default()).unwrap();
    assert_eq!(expr.to_string(), "sum by (a, b) (rate(x{a=\"b\"}[5m]))");
}

fn assert_rejected(cases: &[(&str, Option<&str>)], options: &ParseOptions) {
    for (query, expected) in cases {
        let expected = expected.unwrap_or_else(|| panic!("no error behind {query}"));
        match parse(query, options) {
            Ok(expr) => panic!("{query} parses as {expr}"),
            Err(error) => assert_eq!(error.to_string(), expected, "{query}"),
        }
    }
}

/// Queries with what is expected of them.
fn cases(file: &str) -> Vec<(&str, Option<&str>)> {
    let mut cases: Vec<(&str, Option<&str>)> = Vec::new();
    for line in file.lines() {
        if let Some(expected) = line.strip_prefix("    => ") {
            cases.last_mut().unwrap().1 = Some(expected);
        } else if !line.is_empty() && !line.starts_with("# ") {
            cases.push((line, None));
        }
    }
    cases
}
