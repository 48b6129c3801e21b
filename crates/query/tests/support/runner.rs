//! Runs scripts against an engine and compares.

use std::sync::Arc;

use model::Labels;
use query::{Engine, EngineOptions, QueryRequest, QueryResult, SeriesSet, Value};

use super::memory::MemorySource;
use super::script::{Command, Eval, Expected, parse};

/// What became of the queries of a script.
#[derive(Debug, Default)]
pub(crate) struct Report {
    /// How many gave what they should.
    pub(crate) n_passed: usize,
    /// Line and what was wrong.
    pub(crate) failures: Vec<(usize, String)>,
    /// How many could not be expressed.
    pub(crate) n_unsupported: usize,
}

/// Relative error that counts as equal, as in Prometheus' own runner.
const EPSILON: f64 = 1e-6;

/// Runs a script from its first line to its last.
pub(crate) fn run(text: &str, options: &EngineOptions) -> Report {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(run_commands(parse(text), options))
}

async fn run_commands(commands: Vec<Command>, options: &EngineOptions) -> Report {
    let mut report = Report::default();
    let mut loaded: Vec<(Labels, Vec<(i64, f64)>)> = Vec::new();
    let mut engine: Option<Engine> = None;
    for command in commands {
        match command {
            Command::Clear => {
                loaded.clear();
                engine = None;
            }
            Command::Load(series) => {
                loaded.extend(series);
                engine = None;
            }
            Command::Unsupported => report.n_unsupported += 1,
            Command::Eval(eval) => {
                let engine = engine.get_or_insert_with(|| engine_of(&loaded, options));
                match check(engine, &eval).await {
                    Ok(()) => report.n_passed += 1,
                    Err(reason) => report
                        .failures
                        .push((eval.line, format!("{}: {reason}", eval.query))),
                }
            }
        }
    }
    report
}

/// An engine over these series.
pub(crate) fn engine_of(series: &[(Labels, Vec<(i64, f64)>)], options: &EngineOptions) -> Engine {
    let mut source = MemorySource::default();
    for (labels, samples) in series {
        source.add(labels, samples.iter().copied());
    }
    Engine::new(Arc::new(source), options.clone()).unwrap()
}

async fn check(engine: &Engine, eval: &Eval) -> Result<(), String> {
    let (start_ms, end_ms, step_ms) = eval.times;
    let request = if step_ms == 0 {
        QueryRequest::instant(&eval.query, start_ms)
    } else {
        QueryRequest::range(&eval.query, start_ms, end_ms, step_ms)
    };
    let result = engine.query(request).await;
    if let Some(message) = &eval.fails {
        return match (result, message) {
            (Ok(_), _) => Err("must fail".into()),
            (Err(error), Some(message)) if error.to_string() != *message => {
                Err(format!("wrong message {error:?}"))
            }
            _ => Ok(()),
        };
    }
    let result = result.map_err(|error| format!("{error:?}"))?;
    compare(eval, &result)?;
    compare_annotations(eval, &result)?;
    if step_ms == 0 && !eval.is_ordered && eval.text.is_none() {
        check_as_range(engine, eval, &result).await?;
    }
    Ok(())
}

/// An instant query must give what the middle one of three steps gives.
async fn check_as_range(engine: &Engine, eval: &Eval, instant: &QueryResult) -> Result<(), String> {
    let depends_on_range = ["start()", "end()", "range()", "step()"]
        .iter()
        .any(|word| eval.query.contains(word));
    if depends_on_range || matches!(instant.value, Value::Matrix(_) | Value::String { .. }) {
        return Ok(());
    }
    let time_ms = eval.times.0;
    let request = QueryRequest::range(&eval.query, time_ms - 60_000, time_ms + 60_000, 60_000);
    let result = engine
        .query(request)
        .await
        .map_err(|error| format!("as a range: {error:?}"))?;
    let Value::Matrix(series) = &result.value else {
        return Err("a range query gives a matrix".into());
    };
    let mut found = Vec::new();
    for idx in 0..series.n_series() {
        if let Some((_, value)) = series
            .points(idx)
            .find(|(timestamp_ms, _)| *timestamp_ms == time_ms)
        {
            found.push((labels_of(series, idx), vec![Some(value)]));
        }
    }
    if let [Expected::Scalar(scalar)] = eval.expected[..] {
        return same_series(&[(Labels::default(), vec![Some(scalar)])], &found, false)
            .map_err(|e| format!("as a range: {e}"));
    }
    same_series(&series_of(&eval.expected), &found, false).map_err(|error| format!("as a range: {error}"))
}

fn compare(eval: &Eval, result: &QueryResult) -> Result<(), String> {
    let (start_ms, end_ms, step_ms) = eval.times;
    match &result.value {
        Value::Scalar { value, .. } => match eval.expected[..] {
            [Expected::Scalar(expected)] if same(expected, *value) => Ok(()),
            _ => Err(format!("found scalar {value}, expected {:?}", eval.expected)),
        },
        Value::String { text, .. } => match &eval.text {
            Some(expected) if expected == text => Ok(()),
            _ => Err(format!("found text {text:?}")),
        },
        Value::Vector(series) => {
            let found: Vec<_> = (0..series.n_series())
                .map(|idx| (labels_of(series, idx), points_at(series, idx, &[start_ms])))
                .collect();
            same_series(&series_of(&eval.expected), &found, eval.is_ordered)
        }
        Value::Matrix(series) => {
            let expected = series_of(&eval.expected);
            let n_points = expected.iter().map(|(_, points)| points.len()).max().unwrap_or(0);
            let times: Vec<i64> = match eval.range_vector {
                Some((from_ms, step_ms)) => (0..n_points as i64).map(|idx| from_ms + idx * step_ms).collect(),
                None => (0..=(end_ms - start_ms) / step_ms.max(1))
                    .map(|step| start_ms + step * step_ms)
                    .collect(),
            };
            let all_within =
                (0..series.n_series()).all(|idx| series.points(idx).all(|(t, _)| times.contains(&t)));
            if !all_within {
                return Err("points at other times".into());
            }
            let found: Vec<_> = (0..series.n_series())
                .map(|idx| (labels_of(series, idx), points_at(series, idx, &times)))
                .collect();
            if !found.is_sorted_by(|left, right| left.0 <= right.0) {
                return Err("not sorted by labels".into());
            }
            let scalars = eval
                .expected
                .iter()
                .all(|line| matches!(line, Expected::Scalar(_)));
            let expected = if scalars && !eval.expected.is_empty() {
                vec![]
            } else {
                expected
            };
            let padded = expected.into_iter().map(|(labels, mut points)| {
                points.resize(times.len(), None);
                (labels, points)
            });
            same_series(&padded.collect::<Vec<_>>(), &found, false)
        }
    }
}

fn compare_annotations(eval: &Eval, result: &QueryResult) -> Result<(), String> {
    for (kind, message) in &eval.annotations {
        let (found, must_be_empty) = match kind.as_str() {
            "warn" => (&result.warnings, false),
            "info" => (&result.infos, false),
            "no_warn" => (&result.warnings, true),
            "no_info" => (&result.infos, true),
            other => return Err(format!("unknown expectation {other}")),
        };
        if must_be_empty != found.is_empty() {
            return Err(format!("{kind}: found {found:?}"));
        }
        if let Some(message) = message
            && !found.iter().any(|text| text.starts_with(message.as_str()))
        {
            return Err(format!("{kind} {message:?}: found {found:?}"));
        }
    }
    Ok(())
}

fn series_of(expected: &[Expected]) -> Vec<(Labels, Vec<Option<f64>>)> {
    let series = expected.iter().filter_map(|line| match line {
        Expected::Series(labels, points) => Some((labels.clone(), points.clone())),
        Expected::Scalar(_) => None,
    });
    series.collect()
}

fn labels_of(series: &SeriesSet, idx: usize) -> Labels {
    Labels::from_pairs(series.labels(idx)).unwrap()
}

fn points_at(series: &SeriesSet, idx: usize, times: &[i64]) -> Vec<Option<f64>> {
    let points: Vec<_> = series.points(idx).collect();
    let value = |time: &i64| points.iter().find(|(t, _)| t == time).map(|(_, value)| *value);
    times.iter().map(value).collect()
}

type Row = (Labels, Vec<Option<f64>>);

fn same_series(expected: &[Row], found: &[Row], is_ordered: bool) -> Result<(), String> {
    let (mut expected, mut found) = (expected.to_vec(), found.to_vec());
    expected.retain(|(_, points)| points.iter().any(Option::is_some));
    if !is_ordered {
        expected.sort_by(|left, right| left.0.cmp(&right.0));
        found.sort_by(|left, right| left.0.cmp(&right.0));
    }
    let is_same = expected.len() == found.len()
        && expected.iter().zip(&found).all(|(left, right)| {
            left.0 == right.0
                && left.1.len() == right.1.len()
                && left
                    .1
                    .iter()
                    .zip(&right.1)
                    .all(|(left, right)| match (left, right) {
                        (None, None) => true,
                        (Some(left), Some(right)) => same(*left, *right),
                        _ => false,
                    })
        });
    if is_same {
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
    if left.is_nan() || right.is_nan() {
        return left.is_nan() && right.is_nan();
    }
    if left == right {
        return true;
    }
    let difference = (left - right).abs();
    let magnitude = left.abs() + right.abs();
    if left == 0.0 || right == 0.0 || magnitude < f64::MIN_POSITIVE {
        return difference < EPSILON * f64::MIN_POSITIVE;
    }
    difference / magnitude.min(f64::MAX) < EPSILON
}
