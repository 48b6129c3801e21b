//! Makes a difference small: a shorter query, fewer series, less time, while the replies still differ in the same
//! respect.

use std::collections::BTreeSet;

use super::case::{Case, Evaluation, Wording};
use super::dataset::{Dataset, Series};
use super::generator::words;
use super::query::{Aggregate, Binary, Expr, Grouping, Kind, Matching, Selector, Shift};
use super::stability::{Stability, stability};

/// Attempts at a smaller query.
const QUERIES_MAX: usize = 2_000;
/// Attempts at smaller data; each starts two servers.
const DATASETS_MAX: usize = 60;

/// The smallest case found that still `differs`.
pub fn shrink_case(case: Case, mut differs: impl FnMut(&Case) -> bool) -> Case {
    let mut best = case;
    let mut n_tried = 0;
    while let Some(smaller) = smaller_cases(&best).into_iter().find(|candidate| {
        n_tried += 1;
        n_tried <= QUERIES_MAX && differs(candidate)
    }) {
        best = smaller;
    }
    best
}

/// The smallest part of the data found that still `differs`: series first, then samples from either end, then single
/// ones.
pub fn shrink_data(data: Dataset, mut differs: impl FnMut(&Dataset) -> bool) -> Dataset {
    let mut budget = DATASETS_MAX;
    let mut try_one = |candidate: Dataset, budget: &mut usize| {
        *budget = budget.saturating_sub(1);
        (*budget > 0 && differs(&candidate)).then_some(candidate)
    };
    let mut best = data;
    let mut chunk = best.series.len().div_ceil(2);
    while chunk > 0 && budget > 0 {
        let mut start = 0;
        while start < best.series.len() {
            let mut candidate = best.clone();
            candidate
                .series
                .drain(start..(start + chunk).min(best.series.len()));
            match try_one(candidate, &mut budget) {
                Some(smaller) => best = smaller,
                None => start += chunk,
            }
        }
        chunk /= 2;
    }
    let mut budget = DATASETS_MAX;
    let times: BTreeSet<i64> = best.series.iter().flat_map(Series::times).collect();
    let mut times: Vec<i64> = times.into_iter().collect();
    let mut chunk = times.len().div_ceil(2);
    while chunk > 0 && budget > 0 {
        let mut start = 0;
        while start < times.len() {
            let mut kept = times.clone();
            kept.drain(start..(start + chunk).min(times.len()));
            match try_one(at_times(&best, &kept), &mut budget) {
                Some(smaller) => (best, times) = (smaller, kept),
                None => start += chunk,
            }
        }
        chunk /= 2;
    }
    best
}

fn at_times(data: &Dataset, times: &[i64]) -> Dataset {
    let mut data = data.clone();
    for series in &mut data.series {
        series.retain(|timestamp_ms| times.binary_search(&timestamp_ms).is_ok());
    }
    data.series.retain(|series| !series.is_empty());
    data
}

/// Cases one step smaller, most promising first. Only such whose answers are laid down.
fn smaller_cases(case: &Case) -> Vec<Case> {
    let mut smaller: Vec<Case> = match &case.expr {
        Some(expr) => {
            let mut list = smaller_exprs(expr);
            list.retain(|expr| stability(expr) != Stability::Lost);
            list.sort_by_key(Expr::n_nodes);
            let fits = |expr: &Expr| {
                matches!(case.evaluation, Evaluation::Instant { .. })
                    || matches!(expr.kind(), Kind::Vector | Kind::Scalar)
            };
            list.into_iter()
                .filter(fits)
                .map(|expr| case.with_expr(expr))
                .collect()
        }
        None => fewer_words(case),
    };
    // The text of a spaced query without its spacing.
    if let Some(plain) = case
        .expr
        .clone()
        .map(|expr| case.with_expr(expr))
        .filter(|plain| plain.text != case.text)
    {
        smaller.insert(0, plain);
    }
    if case.wording != Wording::default() {
        let plain = Case {
            wording: Wording::default(),
            ..case.clone()
        };
        smaller.insert(0, plain);
    }
    smaller.extend(
        smaller_evaluations(&case.evaluation)
            .into_iter()
            .map(|evaluation| Case {
                evaluation,
                ..case.clone()
            }),
    );
    smaller
}

fn fewer_words(case: &Case) -> Vec<Case> {
    if matches!(case.evaluation, Evaluation::Raw { .. }) {
        return Vec::new();
    }
    let words = words(&case.text);
    let without = (0..words.len()).map(|position| {
        let mut words = words.clone();
        words.remove(position);
        Case {
            text: words.concat(),
            ..case.clone()
        }
    });
    without.collect()
}

fn smaller_evaluations(evaluation: &Evaluation) -> Vec<Evaluation> {
    match evaluation {
        Evaluation::Raw { .. } | Evaluation::Instant { lookback: None, .. } => Vec::new(),
        Evaluation::Instant { time_ms, .. } => vec![Evaluation::Instant {
            time_ms: *time_ms,
            lookback: None,
        }],
        Evaluation::Range {
            start_ms,
            end_ms,
            step_ms,
            lookback,
        } => {
            let instant = |time_ms| Evaluation::Instant {
                time_ms,
                lookback: lookback.clone(),
            };
            let range = |start_ms, end_ms, lookback| Evaluation::Range {
                start_ms,
                end_ms,
                step_ms: *step_ms,
                lookback,
            };
            let n_steps = (end_ms - start_ms) / step_ms;
            let middle_ms = start_ms + n_steps / 2 * step_ms;
            let mut list = vec![
                instant(*start_ms),
                instant(start_ms + n_steps * step_ms),
                instant(middle_ms),
            ];
            if n_steps > 0 {
                list.push(range(
                    *start_ms,
                    middle_ms.min(end_ms - step_ms),
                    lookback.clone(),
                ));
                list.push(range(
                    (middle_ms).max(start_ms + step_ms),
                    *end_ms,
                    lookback.clone(),
                ));
                list.push(range(start_ms + step_ms, *end_ms, lookback.clone()));
                list.push(range(*start_ms, end_ms - step_ms, lookback.clone()));
            }
            if lookback.is_some() {
                list.push(range(*start_ms, *end_ms, None));
            }
            list
        }
    }
}

/// Expressions one step smaller: a part in place of the whole, or a detail less.
fn smaller_exprs(expr: &Expr) -> Vec<Expr> {
    let mut list = Vec::new();
    // A descendant in its place.
    let mut below = Vec::new();
    descendants(expr, &mut below);
    list.extend(
        below
            .into_iter()
            .filter(|part| part.kind() == expr.kind())
            .cloned(),
    );
    if let Expr::Subquery(subquery) = expr
        && let Expr::Selector(selector) = subquery.inner.unparenthesized()
    {
        list.push(Expr::Range(selector.clone(), subquery.range.clone()));
    }
    list.extend(plainer(expr));
    for position in 0..expr.children().len() {
        for smaller in smaller_exprs(expr.children()[position]) {
            let mut changed = expr.clone();
            if let Some(child) = changed.children_mut().into_iter().nth(position) {
                *child = smaller;
            }
            list.push(changed);
        }
    }
    list
}

fn descendants<'a>(expr: &'a Expr, list: &mut Vec<&'a Expr>) {
    for child in expr.children() {
        list.push(child);
        descendants(child, list);
    }
}

/// The same expression with one detail less.
fn plainer(expr: &Expr) -> Vec<Expr> {
    match expr {
        Expr::Number(text) if text != "1" && text != "2" => {
            vec![Expr::Number("1".to_owned()), Expr::Number("2".to_owned())]
        }
        Expr::Number(_) | Expr::Text(_) | Expr::Call(..) | Expr::Sign(..) | Expr::Paren(_) => Vec::new(),
        Expr::Selector(selector) => plainer_selectors(selector)
            .into_iter()
            .map(Expr::Selector)
            .collect(),
        Expr::Range(selector, range) => {
            let mut list: Vec<Expr> = plainer_selectors(selector)
                .into_iter()
                .map(|selector| Expr::Range(selector, range.clone()))
                .collect();
            if range != "1m" && range != "5m" {
                list.extend(["1m", "5m"].map(|range| Expr::Range(selector.clone(), range.to_owned())));
            }
            list
        }
        Expr::Subquery(subquery) => {
            let with_shift = |shift: Shift| {
                let mut changed = subquery.clone();
                changed.shift = shift;
                Expr::Subquery(changed)
            };
            let mut list: Vec<Expr> = plainer_shifts(&subquery.shift)
                .into_iter()
                .map(with_shift)
                .collect();
            if !matches!(subquery.step.as_str(), "" | "1m") {
                let mut changed = subquery.clone();
                "1m".clone_into(&mut changed.step);
                list.push(Expr::Subquery(changed));
            }
            list
        }
        Expr::Aggregate(aggregate) => plainer_aggregates(aggregate),
        Expr::Binary(binary) => plainer_binaries(binary),
    }
}

fn plainer_aggregates(aggregate: &Aggregate) -> Vec<Expr> {
    let Some(grouping) = &aggregate.grouping else {
        return Vec::new();
    };
    let fewer = one_less(&grouping.labels).into_iter().map(|labels| {
        Some(Grouping {
            labels,
            ..grouping.clone()
        })
    });
    let groupings = std::iter::once(None).chain(fewer);
    let changed = groupings.map(|grouping| {
        Expr::Aggregate(Box::new(Aggregate {
            grouping,
            ..aggregate.clone()
        }))
    });
    changed.collect()
}

fn plainer_binaries(binary: &Binary) -> Vec<Expr> {
    let Some(matching) = &binary.matching else {
        return Vec::new();
    };
    let with = |labels: Vec<String>, group| {
        Some(Matching {
            word: matching.word.clone(),
            labels,
            group,
        })
    };
    let mut matchings = vec![None];
    if let Some((word, include)) = &matching.group {
        matchings.push(with(matching.labels.clone(), None));
        let fewer = one_less(include).into_iter();
        matchings.extend(fewer.map(|include| with(matching.labels.clone(), Some((word.clone(), include)))));
    }
    let fewer = one_less(&matching.labels).into_iter();
    matchings.extend(fewer.map(|labels| with(labels, matching.group.clone())));
    let changed = matchings.into_iter().map(|matching| {
        Expr::Binary(Box::new(Binary {
            matching,
            ..binary.clone()
        }))
    });
    changed.collect()
}

/// The list without one of its members, for each of them.
fn one_less(list: &[String]) -> Vec<Vec<String>> {
    let without = (0..list.len()).map(|position| {
        let mut list = list.to_vec();
        list.remove(position);
        list
    });
    without.collect()
}

fn plainer_selectors(selector: &Selector) -> Vec<Selector> {
    let mut list: Vec<Selector> = plainer_shifts(&selector.shift)
        .into_iter()
        .map(|shift| Selector {
            shift,
            ..selector.clone()
        })
        .collect();
    if selector.metric.is_some() || selector.matchers.len() > 1 {
        list.extend(one_less(&selector.matchers).into_iter().map(|matchers| Selector {
            matchers,
            ..selector.clone()
        }));
    }
    list
}

fn plainer_shifts(shift: &Shift) -> Vec<Shift> {
    let mut list = Vec::new();
    if shift.offset.is_some() {
        list.push(Shift {
            offset: None,
            ..shift.clone()
        });
    }
    if shift.at.is_some() {
        list.push(Shift {
            at: None,
            ..shift.clone()
        });
    }
    list
}

#[cfg(test)]
mod tests {
    use model::Sample;

    use super::*;
    use crate::diff::case::Window;
    use crate::diff::generator;
    use crate::diff::metric::Repertoire;

    const WINDOW: Window = Window {
        start_ms: 1_000_000_000,
        end_ms: 1_003_600_000,
    };

    #[test]
    fn a_query_shrinks_to_the_part_that_matters() {
        let mut n_shrunk = 0;
        for number in 0..3_000 {
            let case = generator::case(9, number, WINDOW, Repertoire::Floats);
            let has_rate = |case: &Case| case.expr.is_some() && case.text.contains("irate(");
            if has_rate(&case) {
                let small = shrink_case(case, has_rate);
                assert!(small.text.len() < 80, "{small}");
                assert!(
                    matches!(small.evaluation, Evaluation::Instant { lookback: None, .. }),
                    "{small}"
                );
                n_shrunk += 1;
            }
        }
        assert!(n_shrunk > 20, "{n_shrunk}");
    }

    #[test]
    fn data_shrinks_to_the_samples_that_matter() {
        let samples = |series_idx: i64| -> Vec<Sample> {
            let times = (0..40).map(|idx| idx * 1_000 + series_idx);
            times
                .map(|timestamp_ms| Sample {
                    timestamp_ms,
                    value: 1.0,
                })
                .collect()
        };
        let series = (0..30).map(|idx| Series::new("m", &[("i", &idx.to_string())], samples(idx)));
        let data = Dataset {
            series: series.collect(),
        };
        let has = |data: &Dataset, timestamp_ms: i64| {
            data.series.iter().any(|series| {
                series
                    .samples
                    .iter()
                    .any(|sample| sample.timestamp_ms == timestamp_ms)
            })
        };
        let small = shrink_data(data, |data| has(data, 5_017) && has(data, 20_017));
        assert_eq!((small.series.len(), small.n_samples()), (1, 2));
    }
}
