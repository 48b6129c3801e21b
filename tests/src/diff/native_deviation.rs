//! What may differ from Prometheus 3.5.3 about native histograms and `info`; each of it was changed there since, by the
//! pull request that its reason names.

use std::collections::{BTreeMap, BTreeSet};

use super::annotation::annotation_differences;
use super::comparison::{Aspect, difference};
use super::deviation::{Deviation, Evidence, justified};
use super::differing_part::{
    INCOMPATIBLE, RECONCILED, is_about_two_info_series, only_expects_broken_histograms,
};
use super::query::{Expr, Kind};

/// All of them.
pub static NATIVE_DEVIATIONS: &[Deviation] = &[
    Deviation {
        name: "histograms extrapolated below zero",
        reason: "rates of native histograms reach back no further than to where their count would have been 0, and are \
                 scaled as a whole (prometheus#16828)",
        applies: |it| {
            // Of a text without a tree, parts cannot be asked for.
            let text = &it.case.text;
            let is_text_of_rate = it.case.expr.is_none()
                && text.contains("native_")
                && (text.contains("rate(") || text.contains("increase("));
            (is_text_of_rate && it.difference.aspect == Aspect::Value)
                || it
                    .part_that_differs()
                    .is_some_and(|part| part.calls(&["rate", "increase"]) && part.is_scaled_down())
        },
    },
    Deviation {
        name: "custom bounds that are not the same",
        reason: "native histograms with different custom bounds are added and subtracted on those they share, with an \
                 info; before, a warning stood for the result (prometheus#17278)",
        applies: |it| match it.difference.aspect {
            Aspect::Annotations => only_tells_of_shared_bounds(it),
            _ => it
                .part_that_differs()
                .is_some_and(|part| part.tells_of_shared_bounds() && part.lacks_only(&|_| true)),
        },
    },
    Deviation {
        name: "histograms made negative",
        reason: "a native histogram that is made negative or subtracted from is a gauge (prometheus#17004)",
        applies: |it| it.difference.aspect == Aspect::Annotations && only_tells_of_gauges(it),
    },
    Deviation {
        name: "histograms matched before they are dropped",
        reason: "an operation that native histograms do not have reports many-to-one matches also where it drops them, as \
                 a comparison that filters",
        applies: |it| {
            let is_reported = it.actual.error.starts_with("multiple matches for labels: ");
            is_reported && it.expected.error.is_empty() && it.drops_histograms()
        },
    },
    Deviation {
        name: "empty buckets that are stored",
        reason: "3.5 stores empty buckets with a histogram that others beside it have, and they count: a quantile in the \
                 zero bucket depends on whether there are buckets on both sides, and 0 times NaN is NaN",
        applies: |it| {
            it.part_that_differs().is_some_and(|part| {
                let is_quantile = part.calls(&["histogram_quantile"]) && part.differs_around_zero();
                is_quantile || part.differs_in_nan_buckets()
            })
        },
    },
    Deviation {
        name: "info() of series that come and go",
        reason: "over several steps, labels could come from another series as soon as one had no sample, or it failed \
                 (prometheus#17135, #17199)",
        applies: |it| {
            let part = it.part_that_differs();
            part.is_some_and(|part| part.calls(&["info"]) && part.is_right_at_single_steps(it))
                || it
                    .subqueries_of_info()
                    .iter()
                    .any(|part| part.is_right_at_single_steps(it))
        },
    },
    Deviation {
        name: "info() of series without job and instance",
        reason: "they stay as they are instead of vanishing (prometheus#17898)",
        applies: |it| {
            it.part_that_differs()
                .is_some_and(|part| part.calls(&["info"]) && part.lacks_only(&is_unidentified))
        },
    },
    Deviation {
        name: "info() of other times",
        reason: "@ and offset of its argument hold for the info series as well (prometheus#19266)",
        applies: |it| {
            it.part_that_differs()
                .is_some_and(|part| part.calls(&["info"]) && part.agrees_without_shifts(it))
        },
    },
    Deviation {
        name: "info() of labels that are there",
        reason: "a series that has the label which is asked for itself stays (prometheus#17817)",
        applies: |it| {
            it.part_that_differs().is_some_and(|part| {
                let asked = part.labels_asked_for();
                let has_all =
                    |labels: &BTreeMap<String, String>| asked.iter().all(|name| labels.contains_key(name));
                !asked.is_empty() && part.lacks_only(&has_all)
            })
        },
    },
    Deviation {
        name: "two info series of a series that has ended",
        reason: "that two info series fit is an error also where the series they fit has staleness markers only",
        applies: |it| {
            it.part_that_differs()
                .is_some_and(|part| part.calls(&["info"]) && part.names_none_of_its_argument(it))
        },
    },
    Deviation {
        name: "one of several mismatches",
        reason: "an operation that native histograms do not have tells of the types of one pair, of the last one in the \
                 order of the store",
        applies: |it| it.difference.aspect == Aspect::Annotations && only_names_other_types(it),
    },
    Deviation {
        name: "parts that nothing can come of",
        reason: "an operation of two vectors, one of which has no series, is not computed, so that what the other one has \
                 to say is not said",
        applies: |it| {
            let lines = annotation_differences(&it.case.text, it.expected, it.actual);
            it.difference.aspect == Aspect::Annotations
                && lines.iter().all(|line| line.starts_with('-'))
                && has_empty_operand(it)
        },
    },
    Deviation {
        name: "conflicting counter resets",
        reason: "adding native histograms that began anew to others that did not warns (prometheus#17094)",
        applies: |it| {
            const START: &str = "+warning: PromQL warning: conflicting counter resets during histogram ";
            let lines = annotation_differences(&it.case.text, it.expected, it.actual);
            it.difference.aspect == Aspect::Annotations && lines.iter().all(|line| line.starts_with(START))
        },
    },
    Deviation {
        name: "histograms with the buckets of others",
        reason: "3.5 may show a histogram of a range with the buckets of a later one, which do not add up to its count",
        applies: |it| {
            it.difference.aspect == Aspect::Value && only_expects_broken_histograms(it.expected, it.actual)
        },
    },
    Deviation {
        name: "annotations of other values",
        reason: "where the value of a part differs as accepted, there may be more to say of it",
        applies: |it| {
            let lines = annotation_differences(&it.case.text, it.expected, it.actual);
            it.difference.aspect == Aspect::Annotations
                && lines.iter().all(|line| line.starts_with('+'))
                && has_accepted_part(it)
        },
    },
    Deviation {
        name: "words about two info series",
        reason: "the error names both of them (prometheus#17135)",
        applies: |it| {
            it.difference.aspect == Aspect::ErrorText
                && is_about_two_info_series(it.expected)
                && is_about_two_info_series(it.actual)
        },
    },
];

/// True if warnings about bounds have become infos, besides which there are only more annotations: of the results.
fn only_tells_of_shared_bounds(it: &Evidence<'_>) -> bool {
    let lines = annotation_differences(&it.case.text, it.expected, it.actual);
    let is_about_bounds = |line: &String| {
        INCOMPATIBLE
            .iter()
            .any(|text| line.starts_with(&format!("-warning: {text}")))
    };
    let is_new = |line: &String| line.starts_with('+');
    lines
        .iter()
        .any(|line| line.starts_with(&format!("+info: {RECONCILED}")))
        && lines.iter().all(|line| is_about_bounds(line) || is_new(line))
}

/// True if warnings about gauges that are none, or counters that are none, are all that differs, and there is something
/// that makes gauges.
fn only_tells_of_gauges(it: &Evidence<'_>) -> bool {
    const ENDS: [&str; 2] = [
        "-warning: PromQL warning: this native histogram metric is not a gauge",
        "+warning: PromQL warning: this native histogram metric is not a counter",
    ];
    let lines = annotation_differences(&it.case.text, it.expected, it.actual);
    let makes_gauges = |part: &Expr| match part {
        Expr::Sign(sign, _) => *sign == '-',
        Expr::Binary(binary) => matches!(binary.op.as_str(), "-" | "*" | "/"),
        _ => false,
    };
    let inside_subquery = |part: &Expr| matches!(part, Expr::Subquery(subquery) if subquery.inner.any(&mut |part| makes_gauges(part)));
    lines
        .iter()
        .all(|line| ENDS.iter().any(|text| line.starts_with(text)))
        && it
            .case
            .expr
            .as_ref()
            .is_some_and(|expr| expr.any(&mut |part| inside_subquery(part)))
}

/// True if infos about types that do not go together differ in the types only.
fn only_names_other_types(it: &Evidence<'_>) -> bool {
    const START: &str = "info: PromQL info: incompatible sample types encountered for ";
    let lines = annotation_differences(&it.case.text, it.expected, it.actual);
    let about = |sign: char| -> BTreeSet<String> {
        let lines = lines.iter().filter_map(|line| line.strip_prefix(sign));
        let place = |line: &str| {
            let (operator, rest) = line.strip_prefix(START)?.split_once(": ")?;
            Some(format!("{operator}{}", rest.rsplit_once(" (")?.1))
        };
        lines.filter_map(place).collect()
    };
    let (expected, actual) = (about('-'), about('+'));
    lines.iter().all(|line| line[1..].starts_with(START)) && expected == actual
}

/// True if the replies to a part of the query differ, other than in annotations, and as accepted.
fn has_accepted_part(it: &Evidence<'_>) -> bool {
    let is_accepted = |part: &Expr| {
        let case = it.case.with_expr(part.clone());
        let Ok((expected, actual)) = it.pair.ask(&case) else {
            return false;
        };
        let found = difference(&case, &expected, &actual);
        found.is_some_and(|difference| {
            let evidence = Evidence {
                case: &case,
                expected: &expected,
                actual: &actual,
                difference: &difference,
                pair: it.pair,
            };
            difference.aspect != Aspect::Annotations && justified(&evidence).is_some()
        })
    };
    it.case.expr.as_ref().is_some_and(|expr| {
        expr.any(&mut |part| matches!(part.kind(), Kind::Scalar | Kind::Vector) && is_accepted(part))
    })
}

/// True if an operand of an operation of two vectors has no series.
fn has_empty_operand(it: &Evidence<'_>) -> bool {
    let is_empty = |operand: &Expr| {
        let reply = it.pair.expect(&it.case.with_expr(operand.clone()));
        operand.kind() == Kind::Vector
            && reply.is_ok_and(|reply| reply.error.is_empty() && reply.series.is_empty())
    };
    let has_one = |part: &Expr| matches!(part, Expr::Binary(_)) && part.children().into_iter().any(is_empty);
    it.case
        .expr
        .as_ref()
        .is_some_and(|expr| expr.any(&mut |part| has_one(part)))
}

/// True for labels that no info series can belong to.
fn is_unidentified(labels: &BTreeMap<String, String>) -> bool {
    ["job", "instance"].iter().all(|name| !labels.contains_key(*name))
}
