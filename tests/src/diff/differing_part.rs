//! The part of a query at which two replies begin to differ, and what is the same of them all the same.

use std::collections::{BTreeMap, BTreeSet};

use super::case::{Case, Evaluation, Wording};
use super::comparison::{Aspect, difference};
use super::deviation::Evidence;
use super::native::ZERO_THRESHOLD;
use super::noise::origin;
use super::query::{Expr, Shift, Subquery};
use super::reply::{HISTOGRAM, Reply, ReplySeries};
use crate::compare::close;

/// The smallest part of a query that differs though its operands agree, and the replies to it.
#[derive(Debug)]
pub(super) struct Part<'a> {
    expr: &'a Expr,
    expected: Reply,
    actual: Reply,
}

/// What is said of bounds that were brought together.
pub(super) const RECONCILED: &str = "PromQL info: mismatched custom buckets were reconciled during ";

/// What 3.5 says instead.
pub(super) const INCOMPATIBLE: [&str; 2] = [
    "PromQL warning: vector contains histograms with incompatible custom buckets",
    "PromQL warning: incompatible bucket layout encountered for binary operator",
];

impl Evidence<'_> {
    /// Where the replies begin to differ; `None` if that is no vector or scalar.
    pub(super) fn part_that_differs(&self) -> Option<Part<'_>> {
        let origin = origin(self.case, self.pair)?;
        let (expected, actual) = self.pair.ask(&origin.question?).ok()?;
        let part = Part {
            expr: origin.part,
            expected,
            actual,
        };
        part.differs().then_some(part)
    }

    /// True if the difference arises in an operation of two vectors, one of which has native histograms.
    pub(super) fn drops_histograms(&self) -> bool {
        let Some(origin) = origin(self.case, self.pair) else {
            return false;
        };
        let (Expr::Binary(_), Some(question)) = (origin.part, &origin.question) else {
            return false;
        };
        origin.part.children().into_iter().any(|operand| {
            let operand = match &question.expr {
                Some(Expr::Subquery(subquery)) => Expr::Subquery(Box::new(Subquery {
                    inner: operand.clone(),
                    ..Subquery::clone(subquery)
                })),
                _ => operand.clone(),
            };
            let reply = self.pair.expect(&question.with_expr(operand));
            reply.is_ok_and(|reply| samples(&reply).values().any(|value| value.starts_with(HISTOGRAM)))
        })
    }

    /// The calls of `info` inside subqueries of the part at which the difference arises, with their replies at the steps of
    /// an hour: a function of a subquery may see another part of it than is compared to find where a difference arises.
    pub(super) fn subqueries_of_info(&self) -> Vec<Part<'_>> {
        let Some(origin) = origin(self.case, self.pair) else {
            return Vec::new();
        };
        let mut calls = Vec::new();
        push_calls_of_info(origin.part, None, &mut calls);
        let parts = calls.into_iter().filter_map(|(expr, subquery)| {
            let mut case = self.case.with_expr(Expr::Subquery(Box::new(Subquery {
                inner: expr.clone(),
                range: "1h".to_owned(),
                step: subquery.step.clone(),
                shift: subquery.shift.clone(),
            })));
            if let Evaluation::Range { end_ms, lookback, .. } = case.evaluation {
                let time_ms = end_ms;
                case.evaluation = Evaluation::Instant { time_ms, lookback };
            }
            let (expected, actual) = self.pair.ask(&case).ok()?;
            Some(Part {
                expr,
                expected,
                actual,
            })
        });
        parts.collect()
    }
}

/// Calls of `info`, each with the subquery it lies in.
fn push_calls_of_info<'a>(
    expr: &'a Expr,
    around: Option<&'a Subquery>,
    calls: &mut Vec<(&'a Expr, &'a Subquery)>,
) {
    if let (Expr::Call(name, _), Some(subquery)) = (expr, around)
        && name == "info"
    {
        calls.push((expr, subquery));
    }
    let around = match expr {
        Expr::Subquery(subquery) => Some(&**subquery),
        _ => around,
    };
    for child in expr.children() {
        push_calls_of_info(child, around, calls);
    }
}

impl Part<'_> {
    /// True if there is a difference in samples or errors.
    fn differs(&self) -> bool {
        let (expected, actual) = (samples(&self.expected), samples(&self.actual));
        let mut values = expected.values().zip(actual.values());
        self.expected.error != self.actual.error
            || !expected.keys().eq(actual.keys())
            || values.any(|(expected, actual)| !is_one_value(expected, actual))
    }

    /// True if neither reply is an error.
    fn has_answers(&self) -> bool {
        self.expected.error.is_empty() && self.actual.error.is_empty()
    }

    /// True for a call of one of these functions.
    pub(super) fn calls(&self, functions: &[&str]) -> bool {
        matches!(self.expr, Expr::Call(name, _) if functions.contains(&name.as_str()))
    }

    /// True if what was a warning about bounds is an info.
    pub(super) fn tells_of_shared_bounds(&self) -> bool {
        let warns = |text: &String| INCOMPATIBLE.iter().any(|start| text.starts_with(start));
        self.expected.warnings.iter().any(warns)
            && self.actual.infos.iter().any(|text| text.starts_with(RECONCILED))
    }

    /// True if what is expected is there, or was extrapolated below zero, and all that is there besides has labels as `may_be_more` allows.
    pub(super) fn lacks_only(&self, may_be_more: &dyn Fn(&BTreeMap<String, String>) -> bool) -> bool {
        let expected = samples(&self.expected);
        let actual = samples(&self.actual);
        let is_rate = self.calls(&["rate", "increase"]);
        let is_there = |(place, value): (&Place, &String)| {
            actual.get(place).is_some_and(|actual| {
                is_one_value(value, actual) || (is_rate && is_scaled_down(value, actual))
            })
        };
        let mut more = self.actual.series.iter().filter(|series| {
            let place = |time: &String| (series.labels_text(), time.clone());
            series
                .samples
                .iter()
                .any(|(time, _)| !expected.contains_key(&place(time)))
        });
        self.expected.error.is_empty()
            && expected.iter().all(is_there)
            && more.all(|series: &ReplySeries| may_be_more(&series.labels))
    }

    /// True if all that differs are histograms of which each number is multiplied by one factor below 1.
    pub(super) fn is_scaled_down(&self) -> bool {
        let (expected, actual) = (samples(&self.expected), samples(&self.actual));
        self.has_answers()
            && expected.keys().eq(actual.keys())
            && expected
                .values()
                .zip(actual.values())
                .all(|(expected, actual)| is_one_value(expected, actual) || is_scaled_down(expected, actual))
    }

    /// True if all that differs are numbers as near to zero as a zero bucket reaches.
    pub(super) fn differs_around_zero(&self) -> bool {
        let (expected, actual) = (samples(&self.expected), samples(&self.actual));
        let is_near = |text: &String| {
            let value = text.parse::<f64>();
            value.is_ok_and(|value| value.abs() <= ZERO_THRESHOLD)
        };
        let mut pairs = expected.values().zip(actual.values());
        self.has_answers()
            && expected.keys().eq(actual.keys())
            && pairs.all(|(expected, actual)| {
                is_one_value(expected, actual) || (is_near(expected) && is_near(actual))
            })
    }

    /// True if all that differs are histograms of NaN, of which the expected ones have more buckets.
    pub(super) fn differs_in_nan_buckets(&self) -> bool {
        let (expected, actual) = (samples(&self.expected), samples(&self.actual));
        let are_nan = |expected: &String, actual: &String| {
            let is_nan = |text: &String| numbers(text).is_some_and(|numbers| numbers.counts[0].is_nan());
            is_nan(expected) && is_nan(actual) && expected.len() > actual.len()
        };
        let mut pairs = expected.values().zip(actual.values());
        self.has_answers()
            && expected.keys().eq(actual.keys())
            && pairs.all(|(expected, actual)| is_one_value(expected, actual) || are_nan(expected, actual))
    }

    /// True if the part, without any `@` and `offset` in it, has one answer.
    pub(super) fn agrees_without_shifts(&self, it: &Evidence<'_>) -> bool {
        let Some(plain) = without_shifts(self.expr) else {
            return false;
        };
        let case = it.case.with_expr(plain.clone());
        let replies = it.pair.ask(&case);
        replies.is_ok_and(|(expected, actual)| {
            if is_about_two_info_series(&expected) && is_about_two_info_series(&actual) {
                return true;
            }
            let agree = agree(&case, &expected, &actual);
            let part = Part {
                expr: &plain,
                expected,
                actual,
            };
            agree || part.is_right_at_single_steps(it) || part.names_none_of_its_argument(it)
        })
    }

    /// True if the actual error is about two info series that fit no series of the argument which has a sample.
    pub(super) fn names_none_of_its_argument(&self, it: &Evidence<'_>) -> bool {
        let Some((_, pair)) = self
            .actual
            .error
            .split_once("found duplicate series for info metric: existing ")
        else {
            return false;
        };
        let argument = match self.expr {
            Expr::Call(_, arguments) => arguments.first(),
            _ => None,
        };
        let reply = argument.map(|argument| it.pair.expect(&it.case.with_expr(argument.clone())));
        let is_named = |series: &ReplySeries| {
            ["job", "instance"].iter().all(|name| {
                let value = series.labels.get(*name);
                value.is_none_or(|value| pair.contains(&format!("{name}={value:?}")))
            })
        };
        matches!(reply, Some(Ok(reply)) if self.expected.error.is_empty() && !reply.series.iter().any(is_named))
    }

    /// The labels, but the name, that matchers of a second argument of `info` ask for.
    pub(super) fn labels_asked_for(&self) -> Vec<String> {
        let matchers = match self.expr {
            Expr::Call(name, arguments) if name == "info" => match arguments.get(1) {
                Some(Expr::Selector(selector)) => &*selector.matchers,
                _ => &[],
            },
            _ => &[],
        };
        let names = matchers
            .iter()
            .filter_map(|matcher| matcher.split(['=', '!']).next());
        names
            .filter(|name| *name != "__name__")
            .map(str::to_owned)
            .collect()
    }

    /// True if, at each step at which the replies differ, both servers give the same answer when they are asked for that
    /// step alone, with or without `@` and `offset`, and the actual one is that at that step alone.
    pub(super) fn is_right_at_single_steps(&self, it: &Evidence<'_>) -> bool {
        /// More are not asked.
        const STEPS_MAX: usize = 100;
        let (expected, actual) = (columns(&self.expected), columns(&self.actual));
        let times: BTreeSet<&String> = expected.keys().chain(actual.keys()).collect();
        let differing = times
            .into_iter()
            .filter(|time| expected.get(*time) != actual.get(*time));
        let differing: Vec<&String> = differing.take(STEPS_MAX).collect();
        let is_right = |time: &&String| {
            let Some(case) = at_one_time(it.case, self.expr, time) else {
                return false;
            };
            let Ok((expected_alone, actual_alone)) = it.pair.ask(&case) else {
                return false;
            };
            let agree_without_shifts = || {
                let plain = without_shifts(self.expr).map(|plain| case.with_expr(plain));
                plain.is_some_and(|plain| {
                    let replies = it.pair.ask(&plain);
                    replies.is_ok_and(|(expected, actual)| agree(&plain, &expected, &actual))
                })
            };
            (agree(&case, &expected_alone, &actual_alone) || agree_without_shifts())
                && columns(&actual_alone).get(*time) == actual.get(*time)
        };
        !differing.is_empty() && differing.iter().all(is_right)
    }
}

/// True if there is no difference but in annotations.
fn agree(case: &Case, expected: &Reply, actual: &Reply) -> bool {
    difference(case, expected, actual).is_none_or(|difference| difference.aspect == Aspect::Annotations)
}

/// The expression without any `@` and `offset` in it; `None` if there is none.
fn without_shifts(expr: &Expr) -> Option<Expr> {
    let mut plain = expr.clone();
    let mut n_shifts = 0;
    remove_shifts(&mut plain, &mut n_shifts);
    (n_shifts > 0).then_some(plain)
}

fn remove_shifts(expr: &mut Expr, n_shifts: &mut usize) {
    let shift = match expr {
        Expr::Selector(selector) | Expr::Range(selector, _) => Some(&mut selector.shift),
        Expr::Subquery(subquery) => Some(&mut subquery.shift),
        _ => None,
    };
    if let Some(shift) = shift {
        let removed = std::mem::take(shift);
        *n_shifts += usize::from(removed != Shift::default());
    }
    for child in expr.children_mut() {
        remove_shifts(child, n_shifts);
    }
}

/// A part of a query at one time, as a reply writes it.
fn at_one_time(case: &Case, part: &Expr, time: &str) -> Option<Case> {
    let lookback = match &case.evaluation {
        Evaluation::Instant { lookback, .. } | Evaluation::Range { lookback, .. } => lookback.clone(),
        Evaluation::Raw { .. } => return None,
    };
    let seconds: f64 = time.parse().ok()?;
    Some(Case {
        evaluation: Evaluation::Instant {
            time_ms: (seconds * 1e3).round() as i64,
            lookback,
        },
        wording: Wording::default(),
        ..case.with_expr(part.clone())
    })
}

/// Labels and time of a sample.
type Place = (String, String);

fn samples(reply: &Reply) -> BTreeMap<Place, String> {
    let of_series = |series: &ReplySeries| {
        let labels = series.labels_text();
        let samples = series.samples.iter();
        let places = samples.map(|(time, value)| ((labels.clone(), time.clone()), value.clone()));
        places.collect::<Vec<_>>()
    };
    reply.series.iter().flat_map(of_series).collect()
}

/// Labels and values by time.
fn columns(reply: &Reply) -> BTreeMap<String, BTreeSet<(String, String)>> {
    let mut columns: BTreeMap<String, BTreeSet<(String, String)>> = BTreeMap::new();
    for ((labels, time), value) in samples(reply) {
        columns.entry(time).or_default().insert((labels, value));
    }
    columns
}

/// True if all that differs are histograms whose expected buckets do not add up to their count, and whose actual ones do.
pub(super) fn only_expects_broken_histograms(expected: &Reply, actual: &Reply) -> bool {
    let adds_up = |text: &String| {
        let numbers = numbers(text)?;
        let (totals, buckets) = numbers.counts.split_at(2);
        Some(close(totals[0], buckets.iter().sum()))
    };
    let (expected, actual) = (samples(expected), samples(actual));
    let mut pairs = expected.values().zip(actual.values());
    expected.keys().eq(actual.keys())
        && pairs.all(|(expected, actual)| {
            is_one_value(expected, actual)
                || (adds_up(expected) == Some(false) && adds_up(actual) == Some(true))
        })
}

/// True for two numbers, or two histograms, that are one.
fn is_one_value(expected: &str, actual: &str) -> bool {
    let words = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
    let (expected, actual) = (words(expected), words(actual));
    let is_one = |(expected, actual): (&String, &String)| {
        expected == actual
            || matches!((expected.parse(), actual.parse()), (Ok(expected), Ok(actual)) if close(expected, actual))
    };
    expected.len() == actual.len() && expected.iter().zip(&actual).all(is_one)
}

/// True for two histograms of which the actual one is the other one multiplied by a number below 1.
fn is_scaled_down(expected: &str, actual: &str) -> bool {
    let (Some(expected), Some(actual)) = (numbers(expected), numbers(actual)) else {
        return false;
    };
    let (Some(whole), Some(part)) = (expected.counts.first(), actual.counts.first()) else {
        return false;
    };
    let factor = part / whole;
    let is_scaled = |(expected, actual): (&f64, &f64)| close(expected * factor, *actual);
    (0.0..1.0).contains(&factor)
        && expected.bounds == actual.bounds
        && expected.counts.iter().zip(&actual.counts).all(is_scaled)
}

/// A histogram as replies write it.
#[derive(Debug, PartialEq)]
struct Numbers {
    /// Count, sum, and count by bucket.
    counts: Vec<f64>,
    /// The rest.
    bounds: Vec<String>,
}

fn numbers(text: &str) -> Option<Numbers> {
    let mut words = text.split(' ').skip_while(|word| *word == HISTOGRAM);
    let mut counts = vec![words.next()?.parse().ok()?, words.next()?.parse().ok()?];
    let rest: Vec<&str> = words.collect();
    let mut bounds = Vec::new();
    for bucket in rest.chunks(4) {
        let (count, ends) = bucket.split_last()?;
        counts.push(count.parse().ok()?);
        bounds.extend(ends.iter().map(|word| (*word).to_owned()));
    }
    text.starts_with(HISTOGRAM).then_some(Numbers { counts, bounds })
}

/// True for the error that more than one info series fits.
pub(super) fn is_about_two_info_series(reply: &Reply) -> bool {
    reply.error.starts_with("found duplicate series for info metric")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diff::query::Selector;

    #[test]
    fn a_call_of_info_is_asked_for_where_its_subquery_looks() {
        let at = |offset: &str| Shift {
            offset: Some(offset.to_owned()),
            ..Shift::default()
        };
        let selector = |offset: &str| Selector {
            metric: Some("up".to_owned()),
            shift: at(offset),
            ..Selector::default()
        };
        let subquery = |inner, offset| {
            Expr::Subquery(Box::new(Subquery {
                inner,
                range: "5m".to_owned(),
                step: "30s".to_owned(),
                shift: at(offset),
            }))
        };
        let call = |name: &str, argument| Expr::Call(name.to_owned(), vec![argument]);
        let info = call("info", Expr::Selector(selector("1m")));
        let inner = call("rate", subquery(info.clone(), "2m"));
        let whole = call("max_over_time", subquery(inner, "3m"));
        let mut calls = Vec::new();
        push_calls_of_info(&whole, None, &mut calls);
        let found: Vec<_> = calls
            .iter()
            .map(|(expr, around)| (*expr, &around.shift))
            .collect();
        assert_eq!(found, [(&info, &at("2m"))]);
        calls.clear();
        push_calls_of_info(&info, None, &mut calls);
        assert!(calls.is_empty(), "what lies in no subquery is asked for as it is");
        assert_eq!(without_shifts(&info).unwrap().to_string(), "info(up)");
        assert_eq!(without_shifts(&without_shifts(&whole).unwrap()), None);
    }

    #[test]
    fn a_histogram_is_scaled_when_every_number_is() {
        let whole = "histogram 8 4 0 1 2 6 0 2 4 2";
        assert!(is_scaled_down(whole, "histogram 4 2 0 1 2 3 0 2 4 1"));
        assert!(!is_scaled_down(whole, "histogram 4 2 0 1 2 2 0 2 4 2"));
        assert!(!is_scaled_down(whole, "histogram 4 2 0 1 3 3 0 3 4 1"));
        assert!(!is_scaled_down("histogram 4 2 0 1 2 3 0 2 4 1", whole));
        assert!(!is_scaled_down("8", "4"));
        assert!(is_one_value(whole, "histogram 8 4.000000000001 0 1 2 6 0 2 4 2"));
        assert!(!is_one_value(whole, "histogram 8 4 0 1 2 6"));
    }

    #[test]
    fn more_is_allowed_only_of_some_labels() {
        let reply = |series: &[(&str, &str)]| Reply {
            status: 200,
            error_type: String::new(),
            error: String::new(),
            result_type: "vector".to_owned(),
            series: series
                .iter()
                .map(|(name, value)| ReplySeries {
                    labels: [((*name).to_owned(), "x".to_owned())].into(),
                    samples: vec![("1".to_owned(), (*value).to_owned())],
                })
                .collect(),
            warnings: Vec::new(),
            infos: Vec::new(),
        };
        let lacks = |expected: &[(&str, &str)], actual: &[(&str, &str)]| {
            let part = Part {
                expr: &Expr::Number("1".to_owned()),
                expected: reply(expected),
                actual: reply(actual),
            };
            part.lacks_only(&|labels| labels.contains_key("pod"))
        };
        assert!(lacks(&[("job", "1")], &[("job", "1"), ("pod", "2")]));
        assert!(!lacks(&[("job", "1")], &[("job", "2"), ("pod", "2")]));
        assert!(!lacks(&[("job", "1"), ("pod", "2")], &[("job", "1")]));
        assert!(!lacks(&[], &[("job", "1")]));
    }
}
