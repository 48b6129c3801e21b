//! Every query of Prometheus' own test scripts and of the consoles around a mesh parses, and prints to a text that
//! parses to the same tree.
//!
//! The queries are read from `shared/conformance` beside the checkout (or `$MESHTIDE_SHARED/conformance`). Without
//! it the tests say so and pass.

use std::path::{Path, PathBuf};

use promql::{ParseOptions, parse};

use crate::common::assert_prints_back;

mod common;

#[test]
fn every_query_of_the_prometheus_test_scripts_parses_unless_it_is_meant_to_fail() {
    let Some(folder) = shared("promqltest") else {
        return;
    };
    let mut n_queries = 0;
    for path in files_in(&folder, "test") {
        for (line, query, fails) in evaluations(&read(&path)) {
            n_queries += 1;
            match parse(&query, &ParseOptions::ALL) {
                Ok(expr) => assert_prints_back(&query, &expr),
                Err(error) => assert!(fails, "{}:{line}: {query}\n{error}", path.display()),
            }
        }
    }
    assert!(n_queries > 2_000, "only {n_queries} queries found");
}

#[test]
fn every_query_of_kiali_and_the_istio_dashboards_parses_without_experimental_features() {
    let Some(folder) = shared("queries") else {
        return;
    };
    let mut n_queries = 0;
    for path in files_in(&folder, "jsonl") {
        for line in read(&path).lines() {
            let entry: serde_json::Value = serde_json::from_str(line).unwrap();
            // The others are requests for metadata.
            if !matches!(entry["kind"].as_str(), Some("instant" | "range" | "query_result")) {
                continue;
            }
            for field in ["query", "expr", "expr_wire"] {
                let Some(query) = entry[field].as_str() else {
                    continue;
                };
                n_queries += 1;
                match parse(query, &ParseOptions::default()) {
                    Ok(expr) => assert_prints_back(query, &expr),
                    Err(error) => panic!("{}: {query}\n{error}", path.display()),
                }
            }
        }
    }
    assert!(n_queries > 500, "only {n_queries} queries found");
}

/// The queries of a script: line, text, and whether the script expects failure.
fn evaluations(script: &str) -> Vec<(usize, String, bool)> {
    let mut found: Vec<(usize, String, bool)> = Vec::new();
    for (position, line) in script.lines().enumerate() {
        let words = line.trim_start();
        let first = words.split_whitespace().next().unwrap_or_default().to_lowercase();
        if first.starts_with("eval") {
            let query = query_of(words).unwrap_or_else(|| panic!("no query in {line}"));
            found.push((position + 1, query.to_owned(), first == "eval_fail"));
        } else if words.starts_with("expect fail")
            && let Some(last) = found.last_mut()
        {
            last.2 = true;
        }
    }
    found
}

/// What follows `eval instant [at T]` or `eval range from A to B step S`.
fn query_of(line: &str) -> Option<&str> {
    let mut rest = skip_words(line, 1)?;
    let n_words = match rest.split_whitespace().next()? {
        "instant" => 1,
        "range" => 7,
        _ => return None,
    };
    rest = skip_words(rest, n_words)?;
    if n_words == 1 && rest.starts_with("at ") {
        rest = skip_words(rest, 2)?;
    }
    Some(rest)
}

fn skip_words(text: &str, n_words: usize) -> Option<&str> {
    let mut rest = text;
    for _ in 0..n_words {
        rest = rest.trim_start();
        rest = rest.get(rest.find(char::is_whitespace)?..)?;
    }
    Some(rest.trim_start())
}

#[expect(clippy::print_stdout, reason = "a skipped test says so")]
fn shared(folder: &str) -> Option<PathBuf> {
    let checkout = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let given = std::env::var_os("MESHTIDE_SHARED").map(PathBuf::from);
    let candidates = [
        given,
        Some(checkout.join("../shared")),
        Some(checkout.join("../../shared")),
    ];
    let found = candidates
        .into_iter()
        .flatten()
        .map(|shared| shared.join("conformance").join(folder))
        .find(|folder| folder.is_dir());
    if found.is_none() {
        println!("skipped: no shared/conformance/{folder} beside the checkout");
    }
    found
}

fn files_in(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap();
    let mut paths: Vec<PathBuf> = entries
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|found| found == extension))
        .collect();
    paths.sort();
    paths
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}
