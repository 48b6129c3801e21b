//! Are two replies one answer?

use std::collections::BTreeMap;

use super::annotation::annotation_differences;
use super::case::Case;
use super::query::Expr;
use super::reply::{HISTOGRAM, Reply, ReplySeries};
use super::stability::Stability;
use crate::compare::{RELATIVE_TOLERANCE, close, close_within};

/// In what respect two replies differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Aspect {
    /// HTTP status or `errorType`.
    Status,
    /// The text of an error.
    ErrorText,
    /// `resultType`.
    ResultType,
    /// A series is missing, too much or there twice.
    SeriesSet,
    /// The times of a series' samples.
    Times,
    /// A value.
    Value,
    /// The same number, written otherwise.
    Spelling,
    /// The order of series where it is laid down.
    Order,
    /// Warnings and infos.
    Annotations,
}

/// One difference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// In what respect.
    pub aspect: Aspect,
    /// In words.
    pub what: String,
}

impl Difference {
    /// True if the other one is the same in another query: of annotations and errors, one with the same words.
    #[must_use]
    pub fn is_like(&self, other: &Self) -> bool {
        let words = |difference: &Self| match difference.aspect {
            Aspect::Annotations | Aspect::ErrorText | Aspect::Status => {
                let letters = difference.what.chars();
                letters
                    .filter(|letter| letter.is_ascii_lowercase())
                    .take(60)
                    .collect()
            }
            _ => String::new(),
        };
        self.aspect == other.aspect && words(self) == words(other)
    }
}

type Found = Option<Difference>;

fn found(aspect: Aspect, what: String) -> Found {
    Some(Difference { aspect, what })
}

/// The first difference of two replies to a query, as far as its answer is laid down.
#[must_use]
pub fn difference(case: &Case, expected: &Reply, actual: &Reply) -> Option<Difference> {
    difference_within(case, RELATIVE_TOLERANCE, expected, actual)
}

/// The same with values that may lie further apart, relative to the larger one.
#[must_use]
pub fn difference_within(
    case: &Case,
    tolerance: f64,
    expected: &Reply,
    actual: &Reply,
) -> Option<Difference> {
    if (expected.status, &expected.error_type) != (actual.status, &actual.error_type) {
        let what = format!(
            "{} {:?} ({}) instead of {} {:?} ({})",
            actual.status,
            actual.error_type,
            actual.error,
            expected.status,
            expected.error_type,
            expected.error
        );
        return found(Aspect::Status, what);
    }
    if comparable_text(&expected.error) != comparable_text(&actual.error) {
        let what = format!("{:?} instead of {:?}", actual.error, expected.error);
        return found(Aspect::ErrorText, what);
    }
    if expected.result_type != actual.result_type {
        let what = format!("{} instead of {}", actual.result_type, expected.result_type);
        return found(Aspect::ResultType, what);
    }
    let found = match case.stability() {
        Stability::Exact => series_difference(tolerance, expected, actual)
            .or_else(|| order_difference(case.expr.as_ref(), expected, actual)),
        Stability::Values => values_difference(tolerance, expected, actual),
        Stability::Count | Stability::Lost => counts_difference(expected, actual),
    };
    found.or_else(|| {
        let lines = annotation_differences(&case.text, expected, actual);
        (!lines.is_empty()).then(|| Difference {
            aspect: Aspect::Annotations,
            what: lines.join("; "),
        })
    })
}

/// The text of an error without the label sets of which Prometheus names any that match, without the stage at which time
/// ran out, and in the words of 3.14.
fn comparable_text(error: &str) -> String {
    if let Some((what, _stage)) = error.split_once("query timed out in ") {
        return format!("{what}query timed out");
    }
    match error {
        "Scalar value NaN overflows int64" => return "Parameter value is NaN".to_owned(),
        "Ratio value NaN is NaN" => return "Ratio value is NaN".to_owned(),
        _ => {}
    }
    if !error.contains("match group") {
        return error.to_owned();
    }
    let mut depth = 0_u32;
    let outside = error.chars().filter(|letter| {
        match letter {
            '{' | '[' => depth += 1,
            '}' | ']' => {
                depth = depth.saturating_sub(1);
                return false;
            }
            _ => {}
        }
        depth == 0
    });
    outside.collect()
}

fn series_difference(tolerance: f64, expected: &Reply, actual: &Reply) -> Found {
    let (expected, actual) = match (by_labels(expected), by_labels(actual)) {
        (Ok(expected), Ok(actual)) => (expected, actual),
        (Err(twice), _) | (_, Err(twice)) => {
            return found(Aspect::SeriesSet, format!("{twice} is there twice"));
        }
    };
    let of = format!("{} series instead of {}", actual.len(), expected.len());
    if let Some(missing) = expected.keys().find(|labels| !actual.contains_key(*labels)) {
        return found(Aspect::SeriesSet, format!("{missing} is missing, {of}"));
    }
    if let Some(extra) = actual.keys().find(|labels| !expected.contains_key(*labels)) {
        return found(Aspect::SeriesSet, format!("{extra} is too much, {of}"));
    }
    expected
        .iter()
        .find_map(|(labels, expected)| samples_difference(tolerance, labels, expected, actual[labels]))
}

/// The series of a reply by their labels.
///
/// # Errors
/// The labels that occur twice.
fn by_labels(reply: &Reply) -> Result<BTreeMap<String, &ReplySeries>, String> {
    let mut map = BTreeMap::new();
    for series in &reply.series {
        let labels = series.labels_text();
        if map.insert(labels.clone(), series).is_some() {
            return Err(labels);
        }
    }
    Ok(map)
}

fn samples_difference(tolerance: f64, labels: &str, expected: &ReplySeries, actual: &ReplySeries) -> Found {
    let times = |series: &ReplySeries| {
        series
            .samples
            .iter()
            .map(|(time, _)| time.clone())
            .collect::<Vec<_>>()
    };
    let (expected_times, actual_times) = (times(expected), times(actual));
    if expected_times != actual_times {
        let what = format!(
            "{labels}: samples at {} instead of {}",
            actual_times.join(" "),
            expected_times.join(" ")
        );
        return found(Aspect::Times, what);
    }
    expected
        .samples
        .iter()
        .zip(&actual.samples)
        .find_map(|((time, expected), (_, actual))| {
            let what = || format!("{labels} at {time}: {actual} instead of {expected}");
            match (expected.parse::<f64>(), actual.parse::<f64>()) {
                _ if expected == actual => None,
                (Ok(expected), Ok(actual)) if expected.to_bits() == actual.to_bits() => {
                    found(Aspect::Spelling, what())
                }
                (Ok(expected), Ok(actual)) if close_within(tolerance, expected, actual) => None,
                _ if expected.starts_with(HISTOGRAM) && actual.starts_with(HISTOGRAM) => {
                    let same = same_histogram(tolerance, expected, actual);
                    if same { None } else { found(Aspect::Value, what()) }
                }
                _ => found(Aspect::Value, what()),
            }
        })
}

/// True for the texts of two histograms of which all numbers are nearly the same.
fn same_histogram(tolerance: f64, expected: &str, actual: &str) -> bool {
    let (expected, actual) = (expected.split(' '), actual.split(' '));
    let pairs: Vec<_> = expected.clone().zip(actual.clone()).collect();
    let same_length = expected.count() == pairs.len() && actual.count() == pairs.len();
    same_length
        && pairs.into_iter().all(|(expected, actual)| {
            match (expected.parse::<f64>(), actual.parse::<f64>()) {
                _ if expected == actual => true,
                (Ok(expected), Ok(actual)) => close_within(tolerance, expected, actual),
                _ => false,
            }
        })
}

/// A matrix is sorted by labels; `sort` sorts an instant vector by value and `sort_by_label` by labels.
fn order_difference(expr: Option<&Expr>, expected: &Reply, actual: &Reply) -> Found {
    let function = match expr.map(Expr::unparenthesized) {
        Some(Expr::Call(function, _)) => function.as_str(),
        _ => "",
    };
    let labels = |reply: &Reply| {
        reply
            .series
            .iter()
            .map(ReplySeries::labels_text)
            .collect::<Vec<_>>()
    };
    let values = |reply: &Reply| -> Vec<f64> {
        let series = reply.series.iter().filter_map(|series| series.samples.first());
        series.filter_map(|(_, value)| value.parse().ok()).collect()
    };
    // Next to a series that lacks one of the labels, sort_by_label leaves any order as it is.
    let names = |series: &ReplySeries| series.labels.keys().cloned().collect::<Vec<_>>();
    let is_mixed = expected
        .series
        .windows(2)
        .any(|pair| names(&pair[0]) != names(&pair[1]));
    let same = match (expected.result_type.as_str(), function) {
        ("vector", "sort_by_label" | "sort_by_label_desc") if is_mixed => true,
        ("matrix", _) | ("vector", "sort_by_label" | "sort_by_label_desc") => {
            labels(expected) == labels(actual)
        }
        ("vector", "sort" | "sort_desc") => values(expected)
            .iter()
            .zip(values(actual))
            .all(|(expected, actual)| close(*expected, actual)),
        _ => true,
    };
    if same {
        return None;
    }
    let what = format!(
        "order {} instead of {}",
        labels(actual).join(" "),
        labels(expected).join(" ")
    );
    found(Aspect::Order, what)
}

/// All values of a reply by time, whichever series they belong to.
fn values_by_time(reply: &Reply) -> BTreeMap<&str, Vec<f64>> {
    let mut times: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
    for (time, value) in reply.series.iter().flat_map(|series| &series.samples) {
        times
            .entry(time)
            .or_default()
            .push(value.parse().unwrap_or(f64::NAN));
    }
    for values in times.values_mut() {
        values.sort_by(f64::total_cmp);
    }
    times
}

fn values_difference(tolerance: f64, expected: &Reply, actual: &Reply) -> Found {
    let (expected, actual) = (values_by_time(expected), values_by_time(actual));
    if let Some(difference) = counts_of(&expected, &actual) {
        return Some(difference);
    }
    expected.iter().find_map(|(time, expected)| {
        let actual = &actual[time];
        let same = expected
            .iter()
            .zip(actual)
            .all(|(expected, actual)| close_within(tolerance, *expected, *actual));
        (!same).then(|| Difference {
            aspect: Aspect::Value,
            what: format!("values at {time}: {actual:?} instead of {expected:?}"),
        })
    })
}

fn counts_difference(expected: &Reply, actual: &Reply) -> Found {
    counts_of(&values_by_time(expected), &values_by_time(actual))
}

fn counts_of(expected: &BTreeMap<&str, Vec<f64>>, actual: &BTreeMap<&str, Vec<f64>>) -> Found {
    let counts = |times: &BTreeMap<&str, Vec<f64>>| {
        let counts = times
            .iter()
            .map(|(time, values)| format!("{}@{time}", values.len()));
        counts.collect::<Vec<_>>().join(" ")
    };
    let (expected, actual) = (counts(expected), counts(actual));
    if expected == actual {
        return None;
    }
    found(
        Aspect::SeriesSet,
        format!("series at each time: {actual} instead of {expected}"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diff::case::{Evaluation, Wording};
    use crate::diff::query::{Aggregate, Selector};

    fn reply(values: &[(&str, &str)]) -> Reply {
        let series = values.iter().map(|(job, value)| ReplySeries {
            labels: [("job".to_owned(), (*job).to_owned())].into(),
            samples: vec![("1.5".to_owned(), (*value).to_owned())],
        });
        Reply {
            status: 200,
            error_type: String::new(),
            error: String::new(),
            result_type: "vector".to_owned(),
            series: series.collect(),
            warnings: Vec::new(),
            infos: Vec::new(),
        }
    }

    fn aspect(stability: Stability, expected: &Reply, actual: &Reply) -> Option<Aspect> {
        let op = match stability {
            Stability::Values => "topk",
            Stability::Count => "limitk",
            Stability::Exact | Stability::Lost => "sum",
        };
        let expr = Expr::Aggregate(Box::new(Aggregate {
            op: op.to_owned(),
            grouping: None,
            parameter: None,
            inner: Expr::Selector(Selector::default()),
        }));
        let case = Case {
            text: expr.to_string(),
            expr: Some(expr),
            evaluation: Evaluation::Instant {
                time_ms: 0,
                lookback: None,
            },
            wording: Wording::default(),
        };
        assert_eq!(case.stability(), stability);
        difference(&case, expected, actual).map(|difference| difference.aspect)
    }

    #[test]
    fn every_aspect_of_a_reply_counts() {
        let one = reply(&[("a", "1"), ("b", "2")]);
        let exact = |actual: &Reply| aspect(Stability::Exact, &one, actual);
        assert_eq!(exact(&one), None);
        assert_eq!(exact(&reply(&[("b", "2"), ("a", "1.0000000001")])), None);
        assert_eq!(
            exact(&reply(&[("a", "1"), ("b", "2.00001")])),
            Some(Aspect::Value)
        );
        assert_eq!(exact(&reply(&[("a", "1"), ("b", "2e0")])), Some(Aspect::Spelling));
        assert_eq!(exact(&reply(&[("a", "1")])), Some(Aspect::SeriesSet));
        assert_eq!(
            exact(&reply(&[("a", "1"), ("b", "2"), ("b", "2")])),
            Some(Aspect::SeriesSet)
        );
        let mut other = one.clone();
        other.series[0].samples[0].0 = "2".to_owned();
        assert_eq!(exact(&other), Some(Aspect::Times));
        let mut other = one.clone();
        other.result_type = "matrix".to_owned();
        assert_eq!(exact(&other), Some(Aspect::ResultType));
        let mut other = one.clone();
        (other.status, other.error_type) = (422, "execution".to_owned());
        assert_eq!(exact(&other), Some(Aspect::Status));
        let mut other = one.clone();
        other.error = "no".to_owned();
        assert_eq!(exact(&other), Some(Aspect::ErrorText));
    }

    #[test]
    fn a_matrix_has_an_order() {
        let mut one = reply(&[("a", "1"), ("b", "2")]);
        one.result_type = "matrix".to_owned();
        let mut other = one.clone();
        other.series.reverse();
        assert_eq!(aspect(Stability::Exact, &one, &other), Some(Aspect::Order));
    }

    #[test]
    fn ties_may_go_to_any_series_and_limits_to_any_value() {
        let (one, other) = (reply(&[("a", "1"), ("b", "2")]), reply(&[("c", "2"), ("a", "1")]));
        assert_eq!(aspect(Stability::Values, &one, &other), None);
        let other = reply(&[("c", "2"), ("a", "3")]);
        assert_eq!(aspect(Stability::Values, &one, &other), Some(Aspect::Value));
        assert_eq!(aspect(Stability::Count, &one, &other), None);
        assert_eq!(
            aspect(Stability::Count, &one, &reply(&[("a", "1")])),
            Some(Aspect::SeriesSet)
        );
    }

    #[test]
    fn any_of_the_clashing_label_sets_may_be_named() {
        let text = |labels: &str| {
            format!(
                "found duplicate series for the match group {{{labels}}} on the left: [{{{labels}}}, {{}}];many"
            )
        };
        assert_eq!(
            comparable_text(&text("a=\"1\"")),
            comparable_text(&text("a=\"2\", b=\"3\""))
        );
        assert_ne!(comparable_text("a {1}"), comparable_text("a {2}"));
    }
}
