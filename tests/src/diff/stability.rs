//! What of an answer is laid down: Prometheus takes any of several equal values for `topk`, any series for `limitk`.
//!
//! Judged from the tree of a query alone, so that the generator draws and the shrinker tries only queries whose
//! answers can be compared.

use super::query::{Aggregate, Expr, Grouping};

/// How far the answer to a query is laid down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stability {
    /// Wholly.
    Exact,
    /// The values at each time; which series have them is not (`topk` with ties).
    Values,
    /// The number of series at each time (`limitk`).
    Count,
    /// Not even that.
    Lost,
}

/// How far the answer to `expr` is laid down.
#[must_use]
pub fn stability(expr: &Expr) -> Stability {
    judge(expr).0
}

/// True if something in it depends on the order of values or series.
#[must_use]
pub fn ranks(expr: &Expr) -> bool {
    expr.any(&mut |part| {
        matches!(part, Expr::Aggregate(aggregate)
            if matches!(op(aggregate).as_str(), "topk" | "bottomk" | "limitk" | "limit_ratio" | "count_values"))
    })
}

fn op(aggregate: &Aggregate) -> String {
    aggregate.op.to_ascii_lowercase()
}

/// The stability, and for [`Stability::Values`] and [`Stability::Count`] the groups within which it holds.
fn judge(expr: &Expr) -> (Stability, Option<&Grouping>) {
    match expr {
        Expr::Paren(inner) => judge(inner),
        Expr::Aggregate(aggregate) => judge_aggregate(aggregate),
        // Its labels then depend on the order of matchers, which the storage of Prometheus changes when it likes.
        Expr::Call(function, arguments)
            if function.starts_with("absent") && arguments.iter().any(matches_twice) =>
        {
            (Stability::Lost, None)
        }
        _ if is_whole(expr) => (Stability::Exact, None),
        _ => {
            let exact = expr
                .children()
                .into_iter()
                .all(|child| judge(child).0 == Stability::Exact);
            (if exact { Stability::Exact } else { Stability::Lost }, None)
        }
    }
}

fn judge_aggregate(aggregate: &Aggregate) -> (Stability, Option<&Grouping>) {
    let parameter = aggregate.parameter.as_ref().map_or(Stability::Exact, stability);
    let (inner, groups) = judge(&aggregate.inner);
    let same_groups = aggregate.grouping.as_ref().is_none_or(|own| Some(own) == groups);
    let own_groups = aggregate.grouping.as_ref();
    match (op(aggregate).as_str(), inner) {
        _ if parameter != Stability::Exact => (Stability::Lost, None),
        ("topk" | "bottomk", Stability::Exact) if never_ties(&aggregate.inner) => (Stability::Exact, None),
        ("topk" | "bottomk", Stability::Exact) => (Stability::Values, own_groups),
        ("limitk", Stability::Exact) => (Stability::Count, own_groups),
        ("limit_ratio", Stability::Exact)
            if ratio(aggregate).is_some_and(|ratio| ratio.fract() == 0.0 || ratio.abs() > 1.0) =>
        {
            (Stability::Exact, None)
        }
        ("count_values", Stability::Exact) if !is_printable(&aggregate.inner) => (Stability::Lost, None),
        ("limit_ratio", _) => (Stability::Lost, None),
        (_, Stability::Exact) => (Stability::Exact, None),
        (
            "sum" | "avg" | "count" | "min" | "max" | "group" | "stddev" | "stdvar" | "quantile",
            Stability::Values,
        )
        | ("count" | "group", Stability::Count)
            if same_groups =>
        {
            (Stability::Exact, None)
        }
        _ => (Stability::Lost, None),
    }
}

/// True for selectors with two matchers of one label.
fn matches_twice(expr: &Expr) -> bool {
    let (Expr::Selector(selector) | Expr::Range(selector, _)) = expr.unparenthesized() else {
        return false;
    };
    let name = |matcher: &String| {
        let end = matcher.find(['=', '!']).unwrap_or(matcher.len());
        matcher[..end].trim_matches('"').to_owned()
    };
    let mut names: Vec<String> = selector.matchers.iter().map(name).collect();
    names.sort();
    names.windows(2).any(|pair| pair[0] == pair[1])
}

/// Two halves of `limit_ratio` with one another: all series of an aggregation, whichever half they are in.
fn is_whole(expr: &Expr) -> bool {
    let Expr::Binary(binary) = expr else {
        return false;
    };
    let (Expr::Aggregate(left), Expr::Aggregate(right)) = (&binary.left, &binary.right) else {
        return false;
    };
    let halves = match (ratio(left), ratio(right)) {
        (Some(left), Some(right)) => ((left - right).abs() - 1.0).abs() < 1e-12 && left * right < 0.0,
        _ => false,
    };
    let Expr::Aggregate(inner) = &left.inner else {
        return false;
    };
    let nameless = inner.grouping.as_ref().is_none_or(|grouping| {
        grouping.word.eq_ignore_ascii_case("by")
            && !grouping.labels.iter().any(|label| label.contains("__name__"))
    });
    binary.op.eq_ignore_ascii_case("or")
        && binary.matching.is_none()
        && op(left) == "limit_ratio"
        && op(right) == "limit_ratio"
        && halves
        && op(inner) == "sum"
        && nameless
        && left.inner == right.inner
        && left.grouping.is_none()
        && right.grouping.is_none()
        && stability(&left.inner) == Stability::Exact
}

fn ratio(aggregate: &Aggregate) -> Option<f64> {
    match aggregate.parameter.as_ref()? {
        Expr::Number(text) => text.parse().ok(),
        _ => None,
    }
}

/// True for selectors of the metric whose values are all different.
fn never_ties(expr: &Expr) -> bool {
    matches!(expr.unparenthesized(), Expr::Selector(selector) if selector.metric.as_deref() == Some("distinct"))
}

/// True when the values are as stored or whole numbers: no last bit depends on the order of a sum.
fn is_printable(expr: &Expr) -> bool {
    match expr.unparenthesized() {
        Expr::Selector(_) => true,
        Expr::Call(function, arguments) => {
            matches!(function.as_str(), "floor" | "ceil" | "sgn") && arguments.iter().all(is_printable)
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diff::query::Selector;

    fn selector(name: &str) -> Expr {
        Expr::Selector(Selector {
            metric: Some(name.to_owned()),
            ..Selector::default()
        })
    }

    fn aggregate(op: &str, parameter: Option<&str>, by: Option<&str>, inner: Expr) -> Expr {
        Expr::Aggregate(Box::new(Aggregate {
            op: op.to_owned(),
            grouping: by.map(|label| Grouping {
                word: "by".to_owned(),
                labels: vec![label.to_owned()],
                is_last: false,
            }),
            parameter: parameter.map(|text| Expr::Number(text.to_owned())),
            inner,
        }))
    }

    #[test]
    fn ties_leave_the_values_and_their_aggregates() {
        let topk = |by| aggregate("TOPK", Some("2"), by, selector("up"));
        assert_eq!(stability(&topk(None)), Stability::Values);
        assert_eq!(
            stability(&aggregate("sum", None, None, topk(Some("job")))),
            Stability::Exact
        );
        assert_eq!(
            stability(&aggregate("sum", None, Some("job"), topk(Some("job")))),
            Stability::Exact
        );
        assert_eq!(
            stability(&aggregate("sum", None, Some("job"), topk(None))),
            Stability::Lost
        );
        assert_eq!(stability(&Expr::Sign('-', Box::new(topk(None)))), Stability::Lost);
        assert_eq!(
            stability(&aggregate("topk", Some("2"), None, selector("distinct"))),
            Stability::Exact
        );
    }

    #[test]
    fn limits_leave_the_number_of_series() {
        let limitk = aggregate("limitk", Some("2"), None, selector("up"));
        assert_eq!(stability(&limitk), Stability::Count);
        assert_eq!(
            stability(&aggregate("count", None, None, limitk.clone())),
            Stability::Exact
        );
        assert_eq!(stability(&aggregate("sum", None, None, limitk)), Stability::Lost);
        let part = aggregate("limit_ratio", Some("0.5"), None, selector("up"));
        assert_eq!(stability(&part), Stability::Lost);
        assert_eq!(
            stability(&aggregate("limit_ratio", Some("1"), None, selector("up"))),
            Stability::Exact
        );
    }
}
