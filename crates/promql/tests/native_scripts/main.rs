//! The kernels of native histograms against Prometheus' own scripts, by an evaluation that is as plain as can be.
//!
//! What these kernels have no part in, it leaves out: functions of single floats, classic histograms, most aggregations,
//! `group_left`. Positions in annotations are not compared.
//!
//! The scripts are read from `shared/conformance` beside the checkout (or `$MESHTIDE_SHARED/conformance`). Without it the
//! test says so and passes.

use std::path::{Path, PathBuf};

use model::number::almost_equal;
use promql::kernel::native::FloatOrHistogram;
use promql::script::{
    CommandKind, Eval, Expected, ExpectedSeries, Point, Times, Words, histogram_literal, parse_script,
};
use promql::{ParseOptions, parse};

use crate::evaluation::{Evaluation, Series, Unsupported, Value};
use crate::store::Store;

mod evaluation;
mod operator;
mod store;
mod window;

#[test]
fn scripts_of_native_histograms_have_the_results_of_prometheus() {
    // How many evaluations there are, and how many of them this test reaches.
    check("native_histograms.test", 522, 514);
    check("operators.test", 214, 192);
    check("aggregators.test", 160, 46);
    check("functions.test", 431, 224);
    check("histograms.test", 185, 93);
    check("extended_vectors.test", 169, 160);
    check("subquery.test", 34, 34);
    check("start_timestamps.test", 26, 22);
    check("staleness.test", 17, 17);
}

#[track_caller]
fn check(name: &str, n_all: usize, n_checked: usize) {
    let Some(path) = script(name) else {
        return;
    };
    let commands = parse_script(&std::fs::read_to_string(&path).unwrap()).unwrap();
    let mut store = Store::default();
    let (mut n_evals, mut n_passed, mut failures) = (0, 0, Vec::new());
    for command in commands {
        match command.kind {
            CommandKind::Clear => store = Store::default(),
            CommandKind::Load(load) => store.load(&load),
            CommandKind::Eval(eval) => {
                n_evals += 1;
                match check_eval(&eval, &store) {
                    Ok(()) => n_passed += 1,
                    Err(Failure::Unsupported) => {}
                    Err(Failure::Wrong(why)) => {
                        failures.push(format!("{name}:{}: {}: {why}", command.line, eval.query));
                    }
                }
            }
        }
    }
    assert!(
        failures.is_empty(),
        "{} of {n_evals}: {}",
        failures.len(),
        failures.join("\n")
    );
    assert_eq!(n_evals, n_all, "{name}");
    assert_eq!(n_passed, n_checked, "{name}");
}

enum Failure {
    Unsupported,
    Wrong(String),
}

impl From<Unsupported> for Failure {
    fn from(_: Unsupported) -> Self {
        Self::Unsupported
    }
}

fn check_eval(eval: &Eval, store: &Store) -> Result<(), Failure> {
    if eval.fail.is_some() {
        return Err(Failure::Unsupported);
    }
    let expr = parse(&eval.query, &ParseOptions::ALL).map_err(|error| Failure::Wrong(error.to_string()))?;
    let steps: Vec<i64> = match eval.times {
        Times::Instant { time_ms } => vec![time_ms],
        Times::Range {
            start_ms,
            end_ms,
            step_ms,
        } => (0..)
            .map(|step| start_ms + step * step_ms)
            .take_while(|at_ms| *at_ms <= end_ms)
            .collect(),
    };
    let mut evaluation = Evaluation::new(store, steps[0], steps[steps.len() - 1]);
    let mut results = Vec::new();
    for at_ms in steps {
        results.push(evaluation.evaluate(&expr, at_ms)?);
    }
    compare(&eval.expected, &results).map_err(Failure::Wrong)?;
    compare_annotations(eval, &evaluation.annotations()).map_err(Failure::Wrong)
}

fn compare(expected: &Expected, results: &[Value]) -> Result<(), String> {
    match expected {
        Expected::Scalar(expected) => match results {
            [Value::Scalar(found)] if almost_equal(*expected, *found, 1e-6) => Ok(()),
            other => Err(format!("{other:?} instead of {expected}")),
        },
        Expected::Series(expected) => {
            let results: Vec<&[Series]> = results.iter().map(Value::series).collect();
            compare_series(expected, &results)
        }
        _ => Err("a result of another kind".to_owned()),
    }
}

fn compare_series(expected: &[ExpectedSeries], results: &[&[Series]]) -> Result<(), String> {
    for (step, found) in results.iter().enumerate() {
        let mut n_expected = 0;
        for one in expected {
            let wanted = one.points.get(step).unwrap_or(&Point::Gap);
            let found = found
                .iter()
                .find(|(labels, _)| *labels == one.labels)
                .map(|(_, value)| value);
            n_expected += usize::from(*wanted != Point::Gap);
            if !is_point(wanted, found) {
                let found = found.map(show);
                return Err(format!(
                    "step {step} of {}: {found:?} instead of {}",
                    one.labels,
                    show_point(wanted)
                ));
            }
        }
        if found.len() != n_expected {
            let found: Vec<_> = found
                .iter()
                .map(|(labels, value)| format!("{labels} {}", show(value)))
                .collect();
            return Err(format!("step {step}: {found:?} are not {n_expected}"));
        }
    }
    Ok(())
}

fn is_point(expected: &Point, found: Option<&FloatOrHistogram>) -> bool {
    match (expected, found) {
        (Point::Gap, None) => true,
        (Point::Float(expected), Some(FloatOrHistogram::Float(found))) => {
            almost_equal(*expected, *found, 1e-6)
        }
        (Point::Histogram { value, has_hint }, Some(FloatOrHistogram::Histogram(found))) => {
            value.is_almost(found, 1e-6)
                && (!has_hint || value.counter_reset_hint == found.counter_reset_hint)
        }
        _ => false,
    }
}

fn show(value: &FloatOrHistogram) -> String {
    match value {
        FloatOrHistogram::Float(value) => value.to_string(),
        FloatOrHistogram::Histogram(histogram) => histogram_literal(histogram),
    }
}

fn show_point(point: &Point) -> String {
    match point {
        Point::Histogram { value, .. } => histogram_literal(value),
        other => format!("{other:?}"),
    }
}

fn compare_annotations(eval: &Eval, found: &[String]) -> Result<(), String> {
    for (is_warning, prefix) in [(true, "PromQL warning: "), (false, "PromQL info: ")] {
        let expected: Vec<_> = eval
            .annotations
            .iter()
            .filter(|one| one.is_warning == is_warning)
            .collect();
        let found: Vec<_> = found.iter().filter(|text| text.starts_with(prefix)).collect();
        if expected.is_empty() {
            continue;
        }
        let fits = |words: &Words, text: &str| match words {
            Words::Any => true,
            // Without the position at the end.
            Words::Message(message) => message
                .rsplit_once(" (")
                .is_some_and(|(message, _)| message == text),
            Words::Regex(_) => true,
        };
        let wanted: Vec<_> = expected.iter().filter_map(|one| one.words.as_ref()).collect();
        let all_met = wanted
            .iter()
            .all(|words| found.iter().any(|text| fits(words, text)));
        let all_wanted = found
            .iter()
            .all(|text| wanted.iter().any(|words| fits(words, text)));
        if !all_met || !all_wanted {
            return Err(format!("{found:?} instead of {wanted:?}"));
        }
    }
    Ok(())
}

#[expect(clippy::print_stdout, reason = "a skipped test says so")]
fn script(name: &str) -> Option<PathBuf> {
    let shared = std::env::var_os("MESHTIDE_SHARED").map(PathBuf::from);
    let beside = Path::new(env!("CARGO_MANIFEST_DIR"))
        .ancestors()
        .map(|place| place.join("shared"));
    let found = shared
        .into_iter()
        .chain(beside)
        .map(|place| place.join("conformance/promqltest").join(name))
        .find(|path| path.is_file());
    if found.is_none() {
        println!("skipped: no shared/conformance beside the checkout");
    }
    found
}
