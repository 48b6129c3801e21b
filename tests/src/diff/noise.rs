//! Is a difference nothing but last bits? The sums of a group of series depend on their order, which Prometheus does
//! not lay down, and the libraries of Go and Rust differ in the last bit of functions such as `exp`. What is done with
//! such values afterwards (`%`, `==`, `floor`, a difference of two that are nearly equal) can make anything of it.
//!
//! Found out by asking for the parts of the query: the difference is noise if it arises at an operation whose operands
//! agree within the tolerance but not in every bit, or at an operation that makes noise itself.

use super::case::{Case, Evaluation};
use super::comparison::{Aspect, difference, difference_within};
use super::query::{Expr, Subquery};
use super::reply::Reply;
use super::servers::Pair;

/// How far apart the results of an operation that makes noise may lie: sums of values that cancel out lose digits.
const NOISE_TOLERANCE: f64 = 1e-6;
/// How long the parts of a subquery are compared.
const SUBQUERY_RANGE: &str = "1h";

/// True if the replies to this query differ in last bits only, or in what was made of them.
#[must_use]
pub fn is_noise(case: &Case, pair: &Pair) -> bool {
    origin(case, pair).is_some_and(|origin| origin.is_noise)
}

/// Where in a query a difference arises.
#[derive(Debug)]
pub struct Origin<'a> {
    /// The smallest part that differs though all its operands agree.
    pub part: &'a Expr,
    /// Nothing but last bits: of the operands, or of the operation itself.
    pub is_noise: bool,
    /// How to ask for the part alone: at the steps at which the query evaluates it, or at those of an hour of a subquery.
    /// `None` for ranges and strings.
    pub question: Option<Case>,
}

/// Where in this query, whose replies differ, the difference arises; `None` for a text without a tree.
#[must_use]
pub fn origin<'a>(case: &'a Case, pair: &Pair) -> Option<Origin<'a>> {
    let expr = case.expr.as_ref()?;
    let mut asked = Asked {
        pair,
        case: case.clone(),
        step: None,
    };
    let mut part = expr;
    loop {
        let is_own = makes_noise(part) && asked.agreement(part, NOISE_TOLERANCE) != Agreement::None;
        if let Expr::Subquery(subquery) = part {
            asked.enter(subquery);
        }
        let operands = part.children();
        let agreements = operands.iter().map(|operand| asked.agreement(operand, 0.0));
        let agreements: Vec<Agreement> = agreements.collect();
        let differing = agreements
            .iter()
            .position(|agreement| *agreement == Agreement::None);
        match differing {
            Some(position) => part = operands[position],
            None => {
                let overflows = || adds(part) && operands.iter().any(|operand| asked.is_large(operand));
                let is_noise = is_own || agreements.contains(&Agreement::Nearly) || overflows();
                let question = asked.question(part);
                return Some(Origin {
                    part,
                    is_noise,
                    question,
                });
            }
        }
    }
}

/// How far two replies agree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Agreement {
    /// In every bit, or not to be compared.
    Full,
    /// Within a tolerance.
    Nearly,
    /// Not at all.
    None,
}

/// Asks for parts of a query.
struct Asked<'a> {
    pair: &'a Pair,
    case: Case,
    /// Inside a subquery: its step.
    step: Option<String>,
}

impl Asked<'_> {
    /// From now on, parts are those of this subquery: they are evaluated at its steps.
    fn enter(&mut self, subquery: &Subquery) {
        self.step = Some(subquery.step.clone());
        if let Evaluation::Range { end_ms, lookback, .. } = &self.case.evaluation {
            self.case.evaluation = Evaluation::Instant {
                time_ms: *end_ms,
                lookback: lookback.clone(),
            };
        }
    }

    /// The query that asks for a part alone, if it is a number or a vector.
    fn question(&self, part: &Expr) -> Option<Case> {
        use super::query::Kind;
        if !matches!(part.kind(), Kind::Scalar | Kind::Vector) {
            return None;
        }
        let Some(step) = &self.step else {
            return Some(self.case.with_expr(part.clone()));
        };
        Some(self.case.with_expr(Expr::Subquery(Box::new(Subquery {
            inner: part.clone(),
            range: SUBQUERY_RANGE.to_owned(),
            step: step.clone(),
            shift: super::query::Shift::default(),
        }))))
    }

    /// How far both servers agree on a part; `tolerance` is 0 for the usual one.
    fn agreement(&self, part: &Expr, tolerance: f64) -> Agreement {
        let case = match self.question(part) {
            Some(case) => case,
            // Strings and ranges are not computed; what a subquery computes is looked at inside it.
            None if !matches!(part, Expr::Subquery(_)) => return Agreement::Full,
            None => return self.of_subquery(part),
        };
        let Ok((expected, actual)) = self.pair.ask(&case) else {
            return Agreement::Full;
        };
        agreement_of(&case, tolerance, &expected, &actual)
    }

    /// True if values are so large that sums or squares of them may pass the largest number, now before, now after
    /// others have cancelled them out.
    fn is_large(&self, part: &Expr) -> bool {
        const LARGE: f64 = 1e150;
        let Ok(reply) = self.pair.expect(&self.case.with_expr(part.clone())) else {
            return false;
        };
        let mut samples = reply.series.iter().flat_map(|series| &series.samples);
        samples.any(|(_, value)| {
            value
                .parse::<f64>()
                .is_ok_and(|value| value.is_finite() && value.abs() > LARGE)
        })
    }

    fn of_subquery(&self, part: &Expr) -> Agreement {
        let mut case = self.case.with_expr(part.clone());
        if let Evaluation::Range { end_ms, lookback, .. } = &self.case.evaluation {
            case.evaluation = Evaluation::Instant {
                time_ms: *end_ms,
                lookback: lookback.clone(),
            };
        }
        let replies = self.pair.ask(&case);
        replies.map_or(Agreement::Full, |(expected, actual)| {
            agreement_of(&case, 0.0, &expected, &actual)
        })
    }
}

fn agreement_of(case: &Case, tolerance: f64, expected: &Reply, actual: &Reply) -> Agreement {
    let found = if tolerance > 0.0 {
        difference_within(case, tolerance, expected, actual)
    } else {
        difference(case, expected, actual)
    };
    let same_texts = || expected.series.len() == actual.series.len() && sorted(expected) == sorted(actual);
    match found {
        Some(found) if !matches!(found.aspect, Aspect::Spelling | Aspect::Annotations) => Agreement::None,
        _ if same_texts() => Agreement::Full,
        _ => Agreement::Nearly,
    }
}

fn sorted(reply: &Reply) -> Vec<String> {
    let mut texts: Vec<String> = reply
        .series
        .iter()
        .map(|series| format!("{} {:?}", series.labels_text(), series.samples))
        .collect();
    texts.sort();
    texts
}

/// Aggregations that add.
fn adds(expr: &Expr) -> bool {
    matches!(expr, Expr::Aggregate(aggregate)
        if matches!(aggregate.op.to_ascii_lowercase().as_str(), "sum" | "avg" | "stddev" | "stdvar"))
}

/// Operations whose result depends on the order of series or on the library in its last bits.
fn makes_noise(expr: &Expr) -> bool {
    const FUNCTIONS: &[&str] = &[
        "exp", "sin", "cos", "tan", "asin", "acos", "atan", "sinh", "cosh", "tanh", "asinh", "acosh", "atanh",
    ];
    let is_op = |op: &str, ops: &[&str]| ops.contains(&op.to_ascii_lowercase().as_str());
    match expr {
        Expr::Call(function, _) => FUNCTIONS.contains(&function.as_str()),
        Expr::Binary(binary) => is_op(&binary.op, &["^", "atan2"]),
        _ => adds(expr),
    }
}
