//! When an answer is the one a script expects.

use anyhow::{Result, bail, ensure};
use model::{Labels, is_stale_nan};
use promql::kernel::native::FloatOrHistogram;
use promql::script::{Annotation, Eval, Expected, ExpectedSeries, Point, Times, Words};
use query::{QueryError, QueryResult, SeriesSet, Value};
use regex::Regex;

/// How far a value may lie from the expected one, relative to the larger.
const EPSILON: f64 = 1e-6;

/// One series of an answer.
#[derive(Debug, Clone)]
pub(super) struct Answered {
    pub(super) labels: Labels,
    /// In order of time.
    pub(super) points: Vec<(i64, FloatOrHistogram)>,
}

/// Checks the answer to an eval, error or not.
pub(super) fn check(eval: &Eval, answer: &Result<QueryResult, QueryError>) -> Result<()> {
    match (answer, &eval.fail) {
        (Err(error), Some(words)) => {
            let text = error.to_string();
            ensure!(fits(words, &text)?, "failed with {text:?} instead of {words:?}");
            Ok(())
        }
        (Err(error), None) => bail!("failed: {error}"),
        (Ok(_), Some(_)) => bail!("did not fail"),
        (Ok(result), None) => {
            check_value(eval, &result.value)?;
            check_annotations(&eval.annotations, result)
        }
    }
}

/// Checks a result's value alone.
pub(super) fn check_value(eval: &Eval, value: &Value) -> Result<()> {
    match (&eval.expected, value) {
        (Expected::Scalar(expected), Value::Scalar { value, .. }) => {
            ensure!(equal(*expected, *value), "{value} instead of {expected}");
            Ok(())
        }
        (Expected::String(expected), Value::String { text, .. }) => {
            ensure!(expected == text, "{text:?} instead of {expected:?}");
            Ok(())
        }
        (Expected::Series(expected), Value::Vector(set)) => {
            check_vector(expected, &answered(set)?, eval.ordered)
        }
        (Expected::Series(expected), Value::Matrix(set)) => {
            let Times::Range {
                start_ms, step_ms, ..
            } = eval.times
            else {
                bail!("an unexpected range vector")
            };
            check_matrix(expected, &answered(set)?, start_ms, step_ms)
        }
        (
            Expected::RangeVector {
                start_ms,
                step_ms,
                series,
            },
            Value::Matrix(set),
        ) => check_matrix(series, &answered(set)?, *start_ms, *step_ms),
        // A range query of a scalar gives one series without labels.
        (Expected::Scalar(expected), Value::Matrix(set)) => {
            let all = answered(set)?;
            let mut values = all.iter().flat_map(|one| &one.points);
            ensure!(
                values.all(|(_, value)| is_point(&Point::Float(*expected), value)),
                "{all:?} instead of {expected}"
            );
            Ok(())
        }
        (expected, value) => bail!("{value:?} instead of {expected:?}"),
    }
}

/// The series of an answer.
pub(super) fn answered(set: &SeriesSet) -> Result<Vec<Answered>> {
    (0..set.n_series())
        .map(|position| {
            let floats = set.points(position).map(|(at_ms, value)| (at_ms, value.into()));
            let histograms = set.histograms(position);
            let histograms = histograms.map(|(at_ms, value)| (at_ms, value.clone().into()));
            let mut points: Vec<(i64, FloatOrHistogram)> = floats.chain(histograms).collect();
            points.sort_by_key(|(at_ms, _)| *at_ms);
            Ok(Answered {
                labels: Labels::from_pairs(set.labels(position))?,
                points,
            })
        })
        .collect()
}

/// One point per series, in any order unless `ordered`.
pub(super) fn check_vector(expected: &[ExpectedSeries], answer: &[Answered], ordered: bool) -> Result<()> {
    same_series(expected, answer)?;
    for (position, one) in expected.iter().enumerate() {
        let found = if ordered {
            &answer[position]
        } else {
            find(answer, &one.labels)?
        };
        ensure!(
            found.labels == one.labels,
            "{} at place {position} instead of {}",
            found.labels,
            one.labels
        );
        let value = found.points.first().map(|(_, value)| value);
        check_point(&one.labels, one.points.first(), value)?;
    }
    Ok(())
}

fn check_matrix(expected: &[ExpectedSeries], answer: &[Answered], start_ms: i64, step_ms: i64) -> Result<()> {
    ensure!(
        answer.is_sorted_by(|a, b| a.labels <= b.labels),
        "the series are not sorted by their labels"
    );
    // Series that are expected with gaps alone are not there.
    let expected: Vec<ExpectedSeries> = expected
        .iter()
        .filter(|one| one.points.iter().any(|point| *point != Point::Gap))
        .cloned()
        .collect();
    same_series(&expected, answer)?;
    for one in &expected {
        let found = find(answer, &one.labels)?;
        let n_expected = one.points.iter().filter(|point| **point != Point::Gap).count();
        ensure!(
            n_expected == found.points.len(),
            "{}: {} points instead of {n_expected}: {:?}",
            one.labels,
            found.points.len(),
            found.points
        );
        for (step, point) in one.points.iter().enumerate() {
            let time_ms = start_ms + step_ms * i64::try_from(step)?;
            let value = found
                .points
                .iter()
                .find(|(at_ms, _)| *at_ms == time_ms)
                .map(|(_, value)| value);
            check_point(&one.labels, Some(point), value)?;
        }
    }
    Ok(())
}

fn same_series(expected: &[ExpectedSeries], answer: &[Answered]) -> Result<()> {
    if let Some(extra) = answer
        .iter()
        .find(|one| !expected.iter().any(|other| other.labels == one.labels))
    {
        bail!("{} {:?} is not expected", extra.labels, extra.points);
    }
    ensure!(
        expected.len() == answer.len(),
        "{} series instead of {}",
        answer.len(),
        expected.len()
    );
    Ok(())
}

fn find<'a>(answer: &'a [Answered], labels: &Labels) -> Result<&'a Answered> {
    match answer.iter().find(|one| one.labels == *labels) {
        Some(found) => Ok(found),
        None => bail!("{labels} is missing"),
    }
}

fn check_point(labels: &Labels, expected: Option<&Point>, found: Option<&FloatOrHistogram>) -> Result<()> {
    match (expected, found) {
        (None | Some(Point::Gap), None) => Ok(()),
        (Some(expected), Some(found)) if is_point(expected, found) => Ok(()),
        (expected, found) => bail!("{labels}: {found:?} instead of {expected:?}"),
    }
}

/// Equal, histograms number by number; a hint counts only where one is written.
fn is_point(expected: &Point, found: &FloatOrHistogram) -> bool {
    match (expected, found) {
        (Point::Float(expected), FloatOrHistogram::Float(found)) => equal(*expected, *found),
        (Point::Histogram { value, has_hint }, FloatOrHistogram::Histogram(found)) => {
            let is_hint_right = !has_hint || value.counter_reset_hint == found.counter_reset_hint;
            is_hint_right && value.is_almost(found, EPSILON)
        }
        _ => false,
    }
}

/// Equal within [`EPSILON`]; NaN equals NaN, a staleness marker only itself.
fn equal(expected: f64, value: f64) -> bool {
    if is_stale_nan(expected) || is_stale_nan(value) {
        return is_stale_nan(expected) && is_stale_nan(value);
    }
    if expected.is_nan() || value.is_nan() {
        return expected.is_nan() && value.is_nan();
    }
    if expected == value {
        return true;
    }
    let (size, difference) = (expected.abs() + value.abs(), (expected - value).abs());
    if expected == 0.0 || value == 0.0 || size < f64::MIN_POSITIVE {
        return difference < EPSILON * f64::MIN_POSITIVE;
    }
    difference / size.min(f64::MAX) < EPSILON
}

/// Of each level that is mentioned, every annotation must fit one of the expectations, and each of these must come.
fn check_annotations(expectations: &[Annotation], result: &QueryResult) -> Result<()> {
    for is_warning in [true, false] {
        let texts = if is_warning {
            &result.warnings
        } else {
            &result.infos
        };
        let of_level: Vec<&Annotation> = expectations
            .iter()
            .filter(|one| one.is_warning == is_warning)
            .collect();
        if of_level.iter().any(|one| one.words.is_none()) {
            ensure!(texts.is_empty(), "unexpected: {texts:?}");
        }
        let words: Vec<&Words> = of_level.iter().filter_map(|one| one.words.as_ref()).collect();
        if words.is_empty() {
            continue;
        }
        ensure!(
            !texts.is_empty(),
            "no {} came",
            if is_warning { "warning" } else { "info" }
        );
        for text in texts {
            let mut known = false;
            for one in &words {
                known |= fits(one, text)?;
            }
            ensure!(known, "{text:?} is none of {words:?}");
        }
    }
    Ok(())
}

fn fits(words: &Words, text: &str) -> Result<bool> {
    Ok(match words {
        Words::Any => true,
        Words::Message(message) => message == text,
        Words::Regex(regex) => Regex::new(regex)?.is_match(text),
    })
}
