//! What may differ from Prometheus 3.5.3: where Prometheus 3.14, which Meshtide follows, has changed since. The same
//! table stands in `docs/promql.md`.

use std::collections::BTreeSet;

use super::annotation::comparable_annotation;
use super::case::{Case, Evaluation};
use super::comparison::{Aspect, Difference};
use super::native_deviation::NATIVE_DEVIATIONS;
use super::noise::{is_noise, origin};
use super::query::{Expr, Kind};
use super::reply::Reply;
use super::servers::Pair;

/// One justified difference.
#[derive(Debug)]
pub struct Deviation {
    /// A short name, for counts.
    pub name: &'static str,
    /// Why it is right to differ.
    pub reason: &'static str,
    pub(super) applies: fn(&Evidence<'_>) -> bool,
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

/// All but those of [`NATIVE_DEVIATIONS`].
pub static DEVIATIONS: &[Deviation] = &[
    Deviation {
        name: "words of errors in brackets",
        reason: "duration expressions are part of the language since 3.14, and errors name what they allow; 3.5 also \
                 writes the number of the token @ into its errors",
        applies: |it| {
            let (older, newer) = (&it.expected.error, &it.actual.error);
            let is_comma =
                older.ends_with("duration expression: ','") && newer.contains("unexpected \",\" in ");
            // An error of the text here, of the evaluation there.
            let is_about_zero = older.ends_with(ABOVE_ZERO) && newer.ends_with(ABOVE_ZERO);
            it.difference.aspect == Aspect::ErrorText
                && (in_older_words(newer) == older.replace(OLDER_AT, "") || is_comma || is_about_zero)
        },
    },
    Deviation {
        name: "position of a label in both clauses",
        reason: "since 3.7, the error about a label in ON and GROUP stands at the operator; before, what stood on its \
                 left could pull it to itself",
        applies: |it| {
            it.difference.aspect == Aspect::ErrorText
                && it.expected.error.contains("clause at once")
                && without_position(&it.expected.error) == without_position(&it.actual.error)
        },
    },
    Deviation {
        name: "a string in parentheses",
        reason: "(\"text\") is a string as \"text\" is; 3.5 fails",
        applies: |it| {
            it.actual.error.is_empty()
                && it
                    .expected
                    .error
                    .starts_with("unexpected result in StepInvariantExpr evaluation")
        },
    },
    Deviation {
        name: "a range in parentheses",
        reason: "(a[5m] @ 0) is a range as a[5m] @ 0 is; 3.5 fails",
        applies: |it| {
            it.expected.error == "unexpected number of samples"
                && it.actual.result_type == "matrix"
                && it.case.text.starts_with('(')
        },
    },
    Deviation {
        name: "words behind the number in brackets",
        reason: "3.5 takes the first letter for a colon that is missing: it goes on behind it, now to another error, now \
                 to an answer",
        applies: |it| it.case.expr.is_none() && it.actual.error.ends_with(", expected ':'"),
    },
    Deviation {
        name: "operators behind an offset in parentheses",
        reason: "since 3.14 an offset ends with its parenthesis; 3.5 takes a * b in offset (1m) * b for a duration",
        applies: |it| {
            let text = &it.case.text;
            it.expected
                .error
                .ends_with(" in offset, expected number or duration")
                && ["offset (", "offset -(", "offset-("]
                    .iter()
                    .any(|start| text.contains(start))
        },
    },
    Deviation {
        name: "start() and end() as functions",
        reason: "since 3.12, they are functions; before, they stood behind @ only",
        applies: |it| {
            let error = &it.expected.error;
            it.case.expr.is_none()
                && (error.contains("parse error: unexpected \"(\"")
                    || error.contains("parse error: unexpected <op:"))
                && (it.case.text.contains("start(") || it.case.text.contains("end("))
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
            let is_odd = |(name, value): &(String, String)| {
                let number = value.parse::<f64>().unwrap_or(1.0);
                match name.as_str() {
                    "time" | "start" | "end" => !number.is_finite() || number.abs() >= 1e15,
                    "step" => number.is_nan() || (number > 0.0 && number < 1e-3),
                    _ => number.is_nan(),
                }
            };
            fields.iter().any(is_odd)
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
        applies: |it| it.difference.aspect == Aspect::Annotations && it.parts_show_all_places(),
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
            // What is expected may fail at a later step.
            let expected = &it.expected.error;
            (expected.is_empty() || expected.starts_with("found duplicate series for the match group"))
                && it.actual.error.starts_with("multiple matches for labels: ")
                && it
                    .unfiltered_error()
                    .is_some_and(|error| error == it.actual.error)
        },
    },
    Deviation {
        name: "a parameter that is NaN at some step",
        reason: "topk and the like refuse NaN also at steps at which there is nothing to choose from, as later versions \
                 do",
        applies: |it| {
            it.expected.error.is_empty()
                && it.actual.error == "Parameter value is NaN"
                && ["topk", "bottomk", "limitk"]
                    .iter()
                    .any(|op| it.case.text.to_lowercase().contains(op))
        },
    },
    Deviation {
        name: "one of several smoothing factors",
        reason: "of the factors that are wrong, and the series and steps at which they are, one is named: those of later \
                 arguments first, then the first series in the order of the store",
        applies: |it| {
            let starts = ["invalid smoothing factor. ", "invalid trend factor. "];
            let is_about_factor = |error: &String| starts.iter().any(|start| error.starts_with(start));
            it.difference.aspect == Aspect::ErrorText
                && is_about_factor(&it.expected.error)
                && is_about_factor(&it.actual.error)
        },
    },
    Deviation {
        name: "histogram_fraction from within the first bucket",
        reason: "since 3.8, a lower bound inside the first bucket is interpolated",
        applies: |it| it.arises_in("histogram_fraction"),
    },
    Deviation {
        name: "mad_over_time of NaN",
        reason: "since 3.14, mad_over_time is NaN when a sample of the window is",
        applies: |it| it.arises_in("mad_over_time"),
    },
];

const ABOVE_ZERO: &str = ": duration must be greater than 0";

/// How 3.5 names the token `@`.
const OLDER_AT: &str = "\"<Item 57400>\" ";

/// An error about durations as 3.5 would put it.
fn in_older_words(error: &str) -> String {
    let words = [
        (
            ", expected number, duration, step(), range(), or \"]\"",
            ", expected number or duration or \"]\"",
        ),
        (
            ", expected number, duration, step(), or range()",
            ", expected number or duration",
        ),
        (
            " in subquery or range selector, expected number or",
            " in subquery selector, expected number or",
        ),
    ];
    words.iter().fold(error.to_owned(), |text, (newer, older)| {
        text.replace(newer, older)
    })
}

const SAME_LABELS: &str = "vector cannot contain metrics with the same labelset";

/// The deviation that explains a difference.
#[must_use]
pub fn justified(evidence: &Evidence<'_>) -> Option<&'static Deviation> {
    let mut all = DEVIATIONS.iter().chain(NATIVE_DEVIATIONS);
    all.find(|deviation| (deviation.applies)(evidence))
}

/// The annotations of a reply, each with its place in the query, of which `query` is the part that begins at `start`.
fn annotation_places(query: &str, start: usize, reply: &Reply) -> BTreeSet<(String, usize)> {
    let texts = reply.warnings.iter().chain(&reply.infos);
    texts
        .filter_map(|text| comparable_annotation(query, text))
        .map(|(text, place)| (text, start + place))
        .collect()
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

    /// True for values that differ because those of a call of this function do.
    fn arises_in(&self, function: &str) -> bool {
        let is_call = |part: &Expr| matches!(part, Expr::Call(name, _) if name == function);
        // Of a text without a tree, parts cannot be asked for.
        if self.case.expr.is_none() && self.difference.aspect == Aspect::Value {
            return self.case.text.contains(function);
        }
        matches!(
            self.difference.aspect,
            Aspect::Value | Aspect::SeriesSet | Aspect::Times
        ) && self.contains(&is_call)
            && origin(self.case, self.pair).is_some_and(|origin| is_call(origin.part))
    }

    /// What Prometheus says when comparisons filter nothing: `bool` makes it look at every match.
    fn unfiltered_error(&self) -> Option<String> {
        fn unfilter(expr: &mut Expr) {
            if let Expr::Binary(binary) = expr {
                let is_comparison = matches!(binary.op.as_str(), "==" | "!=" | ">" | "<" | ">=" | "<=");
                binary.return_bool |= is_comparison;
            }
            expr.children_mut().into_iter().for_each(unfilter);
        }
        let case = match self.case.expr.clone() {
            Some(mut expr) => {
                unfilter(&mut expr);
                self.case.with_expr(expr)
            }
            // A text without a tree is one operation.
            None => {
                let mut case = self.case.clone();
                case.text = case
                    .text
                    .replace(" == ", " == bool ")
                    .replace(" >= ", " >= bool ");
                case
            }
        };
        self.pair.expect(&case).ok().map(|reply| reply.error)
    }

    /// True if both sides show the same annotations, each of them at a place where Prometheus shows it when asked for
    /// a part of the query alone.
    fn parts_show_all_places(&self) -> bool {
        let Some(expr) = &self.case.expr else {
            return false;
        };
        let places = |reply: &Reply| annotation_places(&self.case.text, 0, reply);
        let (expected, actual) = (places(self.expected), places(self.actual));
        let texts = |places: &BTreeSet<(String, usize)>| -> BTreeSet<String> {
            places.iter().map(|(text, _)| text.clone()).collect()
        };
        if texts(&expected) != texts(&actual) || self.case.text != expr.to_string() {
            return false;
        }
        let mut shown = expected;
        expr.any(&mut |part| {
            let is_asked = matches!(part.kind(), Kind::Scalar | Kind::Vector);
            let case = self.case.with_expr(part.clone());
            if let (true, Ok(reply)) = (is_asked, self.pair.expect(&case)) {
                for (start, _) in self.case.text.match_indices(&case.text) {
                    shown.extend(annotation_places(&case.text, start, &reply));
                }
            }
            false
        });
        actual.is_subset(&shown)
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
