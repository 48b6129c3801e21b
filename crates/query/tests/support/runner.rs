//! Runs scripts against an engine over samples in memory, and compares.

use std::sync::Arc;

use model::Labels;
use promql::kernel::native::FloatOrHistogram;
use promql::script::{
    Annotation, CommandKind, Eval, Expected, ExpectedSeries, Load, Point, Times, Words, nhcb_series,
    parse_script,
};
use query::{Engine, EngineOptions, QueryError, QueryRequest, QueryResult, SeriesSet, Value};

use super::memory::MemorySource;

/// What became of the queries of a script.
#[derive(Debug, Default)]
pub(crate) struct Report {
    /// How many gave what they should.
    pub(crate) n_passed: usize,
    /// Line and what was wrong.
    pub(crate) failures: Vec<(usize, String)>,
}

/// One series of a result: one value per time asked for.
type Row = (Labels, Vec<Option<FloatOrHistogram>>);

/// Relative error that counts as equal, as in Prometheus' own runner.
const EPSILON: f64 = 1e-6;

/// Runs a script from its first line to its last.
pub(crate) fn run(text: &str, options: &EngineOptions) -> Report {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(run_commands(text, options))
}

async fn run_commands(text: &str, options: &EngineOptions) -> Report {
    let mut report = Report::default();
    let mut loads: Vec<Load> = Vec::new();
    let mut engine: Option<Engine> = None;
    for command in parse_script(text).unwrap() {
        match command.kind {
            CommandKind::Clear => {
                loads.clear();
                engine = None;
            }
            CommandKind::Load(load) => {
                loads.push(load);
                engine = None;
            }
            CommandKind::Eval(eval) => {
                let engine = engine.get_or_insert_with(|| engine_of(&loads, options));
                match check(engine, &eval).await {
                    Ok(()) => report.n_passed += 1,
                    Err(reason) => report
                        .failures
                        .push((command.line, format!("{}: {reason}", eval.query))),
                }
            }
        }
    }
    report
}

/// An engine over the samples of these loads.
fn engine_of(loads: &[Load], options: &EngineOptions) -> Engine {
    let mut source = MemorySource::default();
    for load in loads {
        let native = if load.with_nhcb {
            nhcb_series(&load.series).unwrap()
        } else {
            Vec::new()
        };
        for series in load.series.iter().chain(&native) {
            let times = (0..).map(|idx| idx * load.step_ms);
            let samples = times
                .zip(&series.points)
                .filter_map(|(time_ms, point)| match point {
                    Point::Float(value) => Some((time_ms, *value)),
                    Point::Gap | Point::Histogram { .. } => None,
                });
            source.add(&series.labels, samples);
            let times = (0..).map(|idx| idx * load.step_ms);
            let histograms = times
                .zip(&series.points)
                .filter_map(|(time_ms, point)| match point {
                    Point::Histogram { value, .. } => Some((time_ms, Arc::clone(value))),
                    Point::Gap | Point::Float(_) => None,
                });
            source.add_histograms(&series.labels, histograms);
        }
    }
    Engine::new(Arc::new(source), options.clone()).unwrap()
}

async fn check(engine: &Engine, eval: &Eval) -> Result<(), String> {
    let request = match eval.times {
        Times::Instant { time_ms } => QueryRequest::instant(&eval.query, time_ms),
        Times::Range {
            start_ms,
            end_ms,
            step_ms,
        } => QueryRequest::range(&eval.query, start_ms, end_ms, step_ms),
    };
    let result = engine.query(request).await;
    if let Some(words) = &eval.fail {
        return check_failure(result, words);
    }
    let result = result.map_err(|error| format!("{error:?}"))?;
    compare(eval, &result)?;
    for annotation in &eval.annotations {
        check_annotation(annotation, &result)?;
    }
    check_as_range(engine, eval, &result).await
}

fn check_failure(result: Result<QueryResult, QueryError>, words: &Words) -> Result<(), String> {
    match (result, words) {
        (Ok(_), _) => Err("must fail".into()),
        (Err(error), words) if !has_words(&error.to_string(), words) => {
            Err(format!("failed with {error}, expected {words:?}"))
        }
        _ => Ok(()),
    }
}

fn has_words(text: &str, words: &Words) -> bool {
    match words {
        Words::Any => true,
        Words::Message(message) => text == message,
        Words::Regex(regex) => regex::Regex::new(regex).unwrap().is_match(text),
    }
}

fn check_annotation(expected: &Annotation, result: &QueryResult) -> Result<(), String> {
    let found = if expected.is_warning {
        &result.warnings
    } else {
        &result.infos
    };
    let is_met = match &expected.words {
        None => found.is_empty(),
        Some(words) => found.iter().any(|text| has_words(text, words)),
    };
    if is_met {
        Ok(())
    } else {
        Err(format!("expected {expected:?}, found {found:?}"))
    }
}

/// An instant query must give what the middle one of three steps gives.
async fn check_as_range(engine: &Engine, eval: &Eval, instant: &QueryResult) -> Result<(), String> {
    let Times::Instant { time_ms } = eval.times else {
        return Ok(());
    };
    let depends_on_range = ["start()", "end()", "range()", "step()"]
        .iter()
        .any(|word| eval.query.contains(word));
    if eval.ordered || depends_on_range || matches!(instant.value, Value::Matrix(_) | Value::String { .. }) {
        return Ok(());
    }
    let request = QueryRequest::range(&eval.query, time_ms - 60_000, time_ms + 60_000, 60_000);
    let as_range = |error: String| format!("as a range: {error}");
    let result = engine
        .query(request)
        .await
        .map_err(|error| as_range(format!("{error:?}")))?;
    let Value::Matrix(series) = &result.value else {
        return Err(as_range("no matrix".into()));
    };
    let mut found = rows_of(series, &[time_ms]);
    found.retain(|(_, points)| points[0].is_some());
    let expected = match &eval.expected {
        Expected::Scalar(value) => vec![(Labels::default(), vec![Some((*value).into())])],
        Expected::Series(series) => expected_rows(series, 1),
        Expected::String(_) | Expected::RangeVector { .. } => return Ok(()),
    };
    same_rows(expected, found, false).map_err(as_range)
}

fn compare(eval: &Eval, result: &QueryResult) -> Result<(), String> {
    match (&result.value, &eval.expected) {
        (Value::Scalar { value, .. }, Expected::Scalar(expected)) if same(*expected, *value) => Ok(()),
        (Value::String { text, .. }, Expected::String(expected)) if expected == text => Ok(()),
        (Value::Vector(found), Expected::Series(expected)) => {
            let Times::Instant { time_ms } = eval.times else {
                return Err("an instant vector of a range query".into());
            };
            same_rows(
                expected_rows(expected, 1),
                rows_of(found, &[time_ms]),
                eval.ordered,
            )
        }
        (Value::Matrix(found), Expected::Series(expected)) => {
            let Times::Range {
                start_ms,
                end_ms,
                step_ms,
            } = eval.times
            else {
                return Err("a range vector of an instant query".into());
            };
            let times: Vec<i64> = (0..=(end_ms - start_ms) / step_ms)
                .map(|step| start_ms + step * step_ms)
                .collect();
            compare_matrix(found, expected, &times)
        }
        (
            Value::Matrix(found),
            Expected::RangeVector {
                start_ms,
                step_ms,
                series,
            },
        ) => {
            let n_points = series.iter().map(|series| series.points.len()).max().unwrap_or(0);
            let times: Vec<i64> = (0..n_points as i64).map(|idx| start_ms + idx * step_ms).collect();
            compare_matrix(found, series, &times)
        }
        (found, expected) => Err(format!("found {found:?}, expected {expected:?}")),
    }
}

fn compare_matrix(found: &SeriesSet, expected: &[ExpectedSeries], times: &[i64]) -> Result<(), String> {
    let is_at_times = |idx| {
        let histograms = found.histograms(idx).map(|(time_ms, _)| time_ms);
        let mut all = found.points(idx).map(|(time_ms, _)| time_ms).chain(histograms);
        all.all(|time_ms| times.contains(&time_ms))
    };
    if !(0..found.n_series()).all(is_at_times) {
        return Err("points at other times".into());
    }
    let rows = rows_of(found, times);
    if !rows.is_sorted_by(|left, right| left.0 < right.0) {
        return Err("not sorted by labels".into());
    }
    same_rows(expected_rows(expected, times.len()), rows, false)
}

fn expected_rows(series: &[ExpectedSeries], n_points: usize) -> Vec<Row> {
    let rows = series.iter().map(|series| {
        let values = series.points.iter().map(|point| match point {
            Point::Float(value) => Some((*value).into()),
            Point::Histogram { value, .. } => Some(FloatOrHistogram::Histogram(Arc::clone(value))),
            Point::Gap => None,
        });
        let mut values: Vec<Option<FloatOrHistogram>> = values.collect();
        values.resize(n_points, None);
        (series.labels.clone(), values)
    });
    rows.filter(|(_, values)| values.iter().any(Option::is_some))
        .collect()
}

fn rows_of(series: &SeriesSet, times: &[i64]) -> Vec<Row> {
    let row = |idx| {
        let floats = series.points(idx).map(|(time_ms, value)| (time_ms, value.into()));
        let histograms = series.histograms(idx);
        let histograms = histograms.map(|(time_ms, value)| (time_ms, value.clone().into()));
        let points: Vec<(i64, FloatOrHistogram)> = floats.chain(histograms).collect();
        let value = |time: &i64| {
            points
                .iter()
                .find(|(time_ms, _)| time_ms == time)
                .map(|(_, value)| value.clone())
        };
        let labels = Labels::from_pairs(series.labels(idx)).unwrap();
        (labels, times.iter().map(value).collect())
    };
    (0..series.n_series()).map(row).collect()
}

fn same_rows(mut expected: Vec<Row>, mut found: Vec<Row>, is_ordered: bool) -> Result<(), String> {
    if !is_ordered {
        expected.sort_by(|left, right| left.0.cmp(&right.0));
        found.sort_by(|left, right| left.0.cmp(&right.0));
    }
    use FloatOrHistogram::{Float, Histogram};
    let same_point = |left: &Option<FloatOrHistogram>, right: &Option<FloatOrHistogram>| match (left, right) {
        (None, None) => true,
        (Some(Float(left)), Some(Float(right))) => same(*left, *right),
        (Some(Histogram(left)), Some(Histogram(right))) => left.is_almost(right, EPSILON),
        _ => false,
    };
    let same_row = |left: &Row, right: &Row| {
        left.0 == right.0
            && left.1.len() == right.1.len()
            && left
                .1
                .iter()
                .zip(&right.1)
                .all(|(left, right)| same_point(left, right))
    };
    if expected.len() == found.len()
        && expected
            .iter()
            .zip(&found)
            .all(|(left, right)| same_row(left, right))
    {
        return Ok(());
    }
    let print = |rows: &[Row]| {
        let lines = rows.iter().map(|(labels, points)| format!("{labels} {points:?}"));
        lines.collect::<Vec<_>>().join("; ")
    };
    Err(format!(
        "found [{}], expected [{}]",
        print(&found),
        print(&expected)
    ))
}

fn same(left: f64, right: f64) -> bool {
    if left == right || (left.is_nan() && right.is_nan()) {
        return true;
    }
    let difference = (left - right).abs();
    let magnitude = left.abs() + right.abs();
    if left == 0.0 || right == 0.0 || magnitude < f64::MIN_POSITIVE {
        return difference < EPSILON * f64::MIN_POSITIVE;
    }
    difference / magnitude.min(f64::MAX) < EPSILON
}
