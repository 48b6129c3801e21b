//! Histograms asked for in the form in which they are not stored.

mod support;

use std::path::Path;

use query::EngineOptions;
use support::runner;

fn options(either_histogram_form: bool) -> EngineOptions {
    EngineOptions {
        experimental: true,
        delayed_name_removal: true,
        either_histogram_form,
        threads: 2,
        ..EngineOptions::default()
    }
}

#[track_caller]
fn check(script: &str) {
    let report = runner::run(script, &options(true));
    assert_eq!(report.failures, Vec::new());
    assert!(report.n_passed > 0);
}

const CLASSIC: &str = "
load 1m
  x_bucket{pod=\"a\",le=\"1\"} 0+1x20
  x_bucket{pod=\"a\",le=\"2.5\"} 0+3x20
  x_bucket{pod=\"a\",le=\"+Inf\"} 0+4x20
  x_count{pod=\"a\"} 0+4x20
  x_sum{pod=\"a\"} 0+6x20
  x_bucket{pod=\"b\",le=\"1\"} 0+1x4 stale
  x_bucket{pod=\"b\",le=\"+Inf\"} 0+1x4 stale
  y_bucket 1
  z_count 1
";

const NATIVE: &str = "
load 1m
  x{pod=\"a\"} {{schema:0 sum:0 count:0}}+{{schema:0 sum:9 count:5 z_bucket:1 z_bucket_w:0.25 buckets:[1 2 0 0 1]}}x20
  x{pod=\"b\"} {{schema:-53 sum:0 count:0 custom_values:[1 2]}}+{{schema:-53 sum:5 count:3 custom_values:[1 2] buckets:[1 1 1]}}x20
  w 1
";

#[test]
fn classic_histograms_are_native_ones_with_custom_bounds() {
    check(&format!(
        "{CLASSIC}
eval instant at 10m x
  x{{pod=\"a\"}} {{{{schema:-53 sum:60 count:40 custom_values:[1 2.5] buckets:[10 20 10]}}}}

eval instant at 4m x
  x{{pod=\"a\"}} {{{{schema:-53 sum:24 count:16 custom_values:[1 2.5] buckets:[4 8 4]}}}}
  x{{pod=\"b\"}} {{{{schema:-53 sum:0 count:4 custom_values:[1] buckets:[4]}}}}

eval range from 3m to 7m step 1m histogram_count(x{{pod=\"b\"}})
  {{pod=\"b\"}} 3 4

eval instant at 10m histogram_quantile(0.5, sum by (pod) (rate(x{{pod!=\"b\"}}[5m])))
  {{pod=\"a\"}} 1.75

eval instant at 10m histogram_quantile(0.5, sum by (pod, le) (rate(x_bucket{{pod!=\"b\"}}[5m])))
  {{pod=\"a\"}} 1.75

eval instant at 10m {{__name__=\"x\",pod=~\"a|c\",le=\"\"}}
  x{{pod=\"a\"}} {{{{schema:-53 sum:60 count:40 custom_values:[1 2.5] buckets:[10 20 10]}}}}

eval instant at 10m x{{le=\"1\"}}

eval instant at 10m {{__name__=~\"x\"}}

eval instant at 10m y

eval instant at 10m z
"
    ));
}

#[test]
fn native_histograms_have_buckets_counts_and_sums() {
    check(&format!(
        "{NATIVE}
eval instant at 10m x_bucket{{pod=\"a\"}}
  x_bucket{{pod=\"a\",le=\"-0.25\"}} 0
  x_bucket{{pod=\"a\",le=\"0.25\"}} 10
  x_bucket{{pod=\"a\",le=\"0.5\"}} 10
  x_bucket{{pod=\"a\",le=\"1.0\"}} 20
  x_bucket{{pod=\"a\",le=\"2.0\"}} 40
  x_bucket{{pod=\"a\",le=\"8.0\"}} 40
  x_bucket{{pod=\"a\",le=\"16.0\"}} 50
  x_bucket{{pod=\"a\",le=\"+Inf\"}} 50

eval instant at 10m x_bucket{{le=~\"1.0|[+]Inf\"}}
  x_bucket{{pod=\"a\",le=\"1.0\"}} 20
  x_bucket{{pod=\"a\",le=\"+Inf\"}} 50
  x_bucket{{pod=\"b\",le=\"1.0\"}} 10
  x_bucket{{pod=\"b\",le=\"+Inf\"}} 30

eval instant at 10m x_count
  x_count{{pod=\"a\"}} 50
  x_count{{pod=\"b\"}} 30

eval instant at 10m rate(x_sum[5m]) / rate(x_count[5m])
  {{pod=\"a\"}} 1.8
  {{pod=\"b\"}} 1.6666666666666667

eval instant at 10m histogram_quantile(0.5, sum by (pod, le) (rate(x_bucket{{pod=\"b\"}}[5m])))
  {{pod=\"b\"}} 1.5

eval instant at 10m histogram_quantile(0.5, rate(x{{pod=\"b\"}}[5m]))
  {{pod=\"b\"}} 1.5

eval instant at 10m w_count

eval instant at 10m w_bucket
"
    ));
}

#[test]
fn a_histogram_that_changes_its_form_is_one_and_one_with_both_is_not_doubled() {
    check(
        "
load 1m
  x_bucket{le=\"1\"} 0+1x10
  x_bucket{le=\"+Inf\"} 0+2x10
  x_count 0+2x10
  x_sum 0+3x10
  x _ _ _ _ _ _ _ _ {{schema:-53 sum:24 count:16 custom_values:[1] buckets:[8 8]}}+{{schema:-53 sum:3 count:2 custom_values:[1] buckets:[1 1]}}x12

eval range from 6m to 14m step 2m histogram_count(x)
  {} 12 16 20 24 28

eval instant at 18m histogram_count(increase(x[15m]))
  {} 30

eval range from 6m to 14m step 2m x_bucket{le=~\"1|1.0\"}
  x_bucket{le=\"1\"} 6 8 10 10 10
  x_bucket{le=\"1.0\"} _ _ _ 12 14

eval range from 6m to 14m step 2m x_count
  x_count 12 16 20 24 28
",
    );
}

#[test]
fn samples_that_are_no_histogram_are_left_out_with_a_warning() {
    check(
        "
load 1m
  x_bucket{le=\"1\"} 1 5 3
  x_bucket{le=\"+Inf\"} 2 4 6

eval range from 0 to 2m step 1m histogram_count(last_over_time(x[1m]))
  expect warn regex: .*1 samples of classic histograms do not fit together.*
  {} 2 _ 6
",
    );
}

#[test]
fn what_is_read_to_find_the_buckets_counts_against_the_limits() {
    let check = |limited: EngineOptions, selector: &str, refusal: &str| {
        let query = format!("count(count_over_time({selector}[20m]))");
        let refused = match refusal {
            "" => String::new(),
            _ => format!("  expect fail regex: .*{refusal}.*\n"),
        };
        let answer = if refusal.is_empty() { "  {} 8\n" } else { "" };
        let report = runner::run(
            &format!("{NATIVE}\neval instant at 20m {query}\n{refused}{answer}"),
            &limited,
        );
        assert_eq!((report.n_passed, report.failures), (1, Vec::new()), "{selector}");
    };
    // Twenty samples of `a` count 280 as they are, and have 160 values as buckets.
    let samples = |max_samples| EngineOptions {
        max_samples,
        ..options(true)
    };
    check(samples(500), "x_bucket{pod=\"a\"}", "");
    check(samples(500), "x_bucket", "too many samples");
    check(samples(200), "x_bucket{pod=\"a\"}", "too many samples");
    check(samples(200), "x_count", "too many samples");
    let memory = |memory_bytes| EngineOptions {
        memory_bytes,
        ..options(true)
    };
    check(memory(100_000), "x_bucket{pod=\"a\"}", "");
    check(memory(6_000), "x_bucket{pod=\"a\"}", "more memory than is left");
}

#[test]
fn without_the_option_only_what_is_stored_is_found() {
    let script = format!("{CLASSIC}\neval instant at 10m x\n");
    assert_eq!(runner::run(&script, &options(false)).failures, Vec::new());
    let script = format!("{NATIVE}\neval instant at 10m x_bucket\n\neval instant at 10m x_sum\n");
    assert_eq!(runner::run(&script, &options(false)).failures, Vec::new());
}

/// Of Prometheus' script about histograms, which has every one in both forms, half the queries are about native ones.
#[test]
fn prometheus_queries_about_converted_histograms_pass_where_they_are_not_converted() {
    let shared = std::env::var_os("MESHTIDE_SHARED").map(std::path::PathBuf::from);
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared");
    let folder = shared.unwrap_or(beside).join("conformance/promqltest");
    let Ok(text) = std::fs::read_to_string(folder.join("histograms.test")) else {
        return;
    };
    assert!(text.contains("load_with_nhcb"));
    let report = runner::run(&text.replace("load_with_nhcb", "load"), &options(true));
    // Only a metric that is named exactly is found in both forms.
    let mut failures = report.failures.iter();
    assert!(
        failures.all(|(_, query)| query.contains("__name__=~")),
        "{:?}",
        report.failures
    );
    assert_eq!((report.n_passed, report.failures.len()), (183, 2));
}
