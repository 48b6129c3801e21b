//! What may differ from Prometheus 3.5.3: where Prometheus 3.14, which Meshtide follows, has changed since. The same
//! table stands in `docs/promql.md`.

use std::collections::BTreeSet;

use super::case::{Case, Evaluation};
use super::comparison::{Aspect, Difference};
use super::noise::is_noise;
use super::query::Expr;
use super::reply::Reply;
use super::servers::Pair;

/// One justified difference.
#[derive(Debug)]
pub struct Deviation {
    /// A short name, for counts.
    pub name: &'static str,
    /// Why it is right to differ.
    pub reason: &'static str,
    applies: fn(&Evidence<'_>) -> bool,
}

/// A difference with all that is known of it.
#[derive(Debug, Clone, Copy)]
pub struct Evidence<'a> {
    /// The query.
    pub case: &'a Case,
    /// What Prometheus answered.
    pub expected: &'a Reply,
    /// What Meshtide answered.
    pub actual: &'a Reply,
    /// How they differ.
    pub difference: &'a Difference,
    /// The servers, to be asked more.
    pub pair: &'a Pair,
}

/// All of them.
pub static DEVIATIONS: &[Deviation] = &[
    Deviation {
        name: "words of errors in brackets",
        reason: "duration expressions are part of the language since 3.14, and errors name what they allow",
        applies: |it| {
            let has = |error: &str, words: &[&str]| words.iter().any(|word| error.contains(word));
            it.difference.aspect == Aspect::ErrorText
                && (it.case.text.contains('[') || it.case.text.to_lowercase().contains("offset"))
                && has(
                    &it.actual.error,
                    &[
                        "number, duration, step(), ",
                        "unexpected char",
                        "duration expression",
                    ],
                )
        },
    },
    Deviation {
        name: "Prometheus' own name of @",
        reason: "3.5 writes the number of the token into the error",
        applies: |it| {
            let text = it.expected.error.replace("\"<Item 57400>\" ", "");
            it.difference.aspect == Aspect::ErrorText && text == it.actual.error
        },
    },
    Deviation {
        name: "position of an error about an operator",
        reason: "since 3.7, errors about an operator stand at the operator; before, what stood on its left could pull \
                 them to itself",
        applies: |it| {
            it.difference.aspect == Aspect::ErrorText
                && (it.expected.error.contains("clause at once")
                    || it.contains(&|part| matches!(part, Expr::Aggregate(_))))
                && without_position(&it.expected.error) == without_position(&it.actual.error)
        },
    },
    Deviation {
        name: "a string in parentheses",
        reason: "(\"text\") is a string as \"text\" is; 3.5 fails",
        applies: |it| {
            it.expected
                .error
                .starts_with("unexpected result in StepInvariantExpr evaluation")
        },
    },
    Deviation {
        name: "a parameter that changes over something that does not",
        reason: "in quantile(scalar(a), b @ 0) the parameter is taken at each step, as without @; Prometheus takes \
                 that of the first step for all of them",
        applies: |it| {
            it.difference.aspect != Aspect::ErrorText
                && it.contains(&|part| match part {
                    Expr::Aggregate(aggregate) => aggregate.parameter.as_ref().is_some_and(|parameter| {
                        let is_literal =
                            matches!(parameter.unparenthesized(), Expr::Number(_) | Expr::Text(_));
                        !is_literal && aggregate.inner.to_string().contains(" @ ")
                    }),
                    _ => false,
                })
        },
    },
    Deviation {
        name: "start() and end() as functions",
        reason: "since 3.12, they are functions; before, they stood behind @ only",
        applies: |it| {
            let text = &it.case.text;
            let n_calls = text.matches("start()").count() + text.matches("end()").count();
            n_calls > text.matches("@ start()").count() + text.matches("@ end()").count()
        },
    },
    Deviation {
        name: "times that are none",
        reason: "NaN, infinite and far too large times are refused as such, where Prometheus goes on with some time of \
                 its own; a step below a millisecond is no step",
        applies: |it| {
            let Evaluation::Raw { fields, .. } = &it.case.evaluation else {
                return false;
            };
            let is_odd = |value: &str| {
                let number = value.parse::<f64>().unwrap_or(1.0).abs();
                !(1e-3..1e15).contains(&number)
            };
            fields.iter().any(|(_, value)| is_odd(value))
        },
    },
    Deviation {
        name: "smoothing factors of windows without samples",
        reason: "a factor that is none is an error as soon as two samples are smoothed; Prometheus reports it where a \
                 window has one, also in parts of a query that cannot matter",
        applies: |it| {
            (it.expected.error.starts_with("invalid smoothing factor")
                || it.expected.error.starts_with("invalid trend factor"))
                && it.actual.error.is_empty()
        },
    },
    Deviation {
        name: "last bits",
        reason: "sums depend on the order of series, which nobody lays down, and exp, sin, atan2 and the like on the \
                 library in their last bit; where such values nearly cancel out or are compared, more differs",
        applies: |it| {
            matches!(
                it.difference.aspect,
                Aspect::Value | Aspect::SeriesSet | Aspect::Times
            ) && is_noise(it.case, it.pair)
        },
    },
    Deviation {
        name: "place of a repeated annotation",
        reason: "the same warning about several parts of a query is shown once, at the last one in the text; Prometheus \
                 shows it at the one it evaluated last",
        applies: |it| {
            it.difference.aspect == Aspect::Annotations && {
                let texts = |list: &[String]| -> BTreeSet<String> {
                    list.iter()
                        .filter_map(|text| Some(text.rsplit_once(" (")?.0.to_owned()))
                        .collect()
                };
                texts(&it.expected.warnings) == texts(&it.actual.warnings)
                    && texts(&it.expected.infos) == texts(&it.actual.infos)
            }
        },
    },
    Deviation {
        name: "a parser that gives up",
        reason: "the parser of 3.5 panics on some texts and says no more than: unexpected error",
        applies: |it| {
            it.difference.aspect == Aspect::ErrorText && it.expected.error.ends_with(": unexpected error")
        },
    },
    Deviation {
        name: "label sets that meet at no time",
        reason: "since 3.9, series that become the same by a minus, label_replace or label_join are one series when \
                 no two have a sample at the same time, as they always were after functions",
        applies: |it| {
            it.expected.error == SAME_LABELS
                && it.actual.error.is_empty()
                && it.contains(&|part| match part {
                    Expr::Sign(sign, _) => *sign == '-',
                    Expr::Call(function, _) => matches!(function.as_str(), "label_replace" | "label_join"),
                    _ => false,
                })
                && (it.contains(&|part| matches!(part, Expr::Subquery(_))) || it.no_single_step_fails())
        },
    },
    Deviation {
        name: "matches counted before they are filtered",
        reason: "since 3.9, a comparison that filters reports many-to-one matches also where it drops them",
        applies: |it| {
            it.expected.error.is_empty() && it.actual.error.starts_with("multiple matches for labels: ")
        },
    },
    Deviation {
        name: "histogram_fraction from within the first bucket",
        reason: "since 3.8, a lower bound inside the first bucket is interpolated",
        applies: |it| it.difference.aspect == Aspect::Value && it.calls("histogram_fraction"),
    },
    Deviation {
        name: "mad_over_time of NaN",
        reason: "since 3.14, mad_over_time is NaN when a sample of the window is",
        applies: |it| it.difference.aspect == Aspect::Value && it.calls("mad_over_time"),
    },
];

const SAME_LABELS: &str = "vector cannot contain metrics with the same labelset";

/// The deviation that explains a difference.
#[must_use]
pub fn justified(evidence: &Evidence<'_>) -> Option<&'static Deviation> {
    DEVIATIONS.iter().find(|deviation| (deviation.applies)(evidence))
}

/// An error without the place at which it stands.
fn without_position(error: &str) -> &str {
    error.split_once("parse error: ").map_or(error, |(_, text)| text)
}

impl Evidence<'_> {
    fn contains(&self, test: &dyn Fn(&Expr) -> bool) -> bool {
        self.case
            .expr
            .as_ref()
            .is_some_and(|expr| expr.any(&mut |part| test(part)))
    }

    fn calls(&self, name: &str) -> bool {
        self.case.text.contains(&format!("{name}("))
    }

    /// True for a range query whose steps, each asked alone, do not fail in Prometheus.
    fn no_single_step_fails(&self) -> bool {
        let Evaluation::Range {
            start_ms,
            end_ms,
            step_ms,
            lookback,
        } = &self.case.evaluation
        else {
            return false;
        };
        let steps = (0..)
            .map(|step| start_ms + step * step_ms)
            .take_while(|time_ms| time_ms <= end_ms);
        let mut replies = steps.map(|time_ms| {
            let mut case = self.case.clone();
            case.evaluation = Evaluation::Instant {
                time_ms,
                lookback: lookback.clone(),
            };
            self.pair.expect(&case)
        });
        replies.all(|reply| reply.is_ok_and(|reply| reply.error.is_empty()))
    }
}
