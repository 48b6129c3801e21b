//! At which steps a part of a query is evaluated.

use arrow_schema::SchemaRef;
use model::TimestampMs;
use promql::ast::{Aggregate, At, Call, Expr, ExprKind, MatrixSelector, Shift, Subquery};
use promql::function::FunctionId;
use promql::kernel::window::StepTimes;

use super::Planner;
use crate::QueryError;
use crate::exec::tally::{Place, Tally};
use crate::rows;

/// The steps of a part of a query, and the schema of its batches.
#[derive(Debug, Clone)]
pub(crate) struct Frame {
    /// When it is evaluated.
    pub(crate) steps: StepTimes,
    /// One value per step.
    pub(crate) schema: SchemaRef,
    /// How much of native histograms is needed.
    pub(crate) histograms: HistogramNeed,
    /// What its steps are to those of the whole query.
    pub(crate) place: Place,
}

/// How much of native histograms the functions around a part of a query need.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum HistogramNeed {
    /// Nobody asks for less than all.
    Unknown,
    /// Their buckets, whatever stands further inside.
    Buckets,
    /// Count and sum.
    Statistics,
}

impl HistogramNeed {
    /// True when buckets need not be read.
    pub(crate) fn skips_buckets(self) -> bool {
        self == Self::Statistics
    }
}

impl Frame {
    /// A frame of these steps.
    pub(crate) fn new(steps: StepTimes) -> Self {
        Self {
            steps,
            schema: rows::schema(steps.n_steps),
            histograms: HistogramNeed::Unknown,
            place: Place::EachStep,
        }
    }

    /// The frame of an argument of which only counts and sums of histograms matter, unless something between needs more.
    pub(crate) fn with_statistics(&self) -> Self {
        let histograms = match self.histograms {
            HistogramNeed::Unknown => HistogramNeed::Statistics,
            needed => needed,
        };
        Self {
            histograms,
            ..self.clone()
        }
    }

    /// The frame of an argument whose histograms are needed with their buckets.
    pub(crate) fn with_buckets(&self) -> Self {
        Self {
            histograms: HistogramNeed::Buckets,
            ..self.clone()
        }
    }

    /// Only the first of the steps.
    pub(crate) fn first_step(&self) -> Self {
        Self {
            histograms: self.histograms,
            place: match self.place {
                Place::EachStep => Place::EveryStep(self.steps.n_steps),
                other => other,
            },
            ..Self::new(StepTimes::instant(self.steps.first_ms))
        }
    }

    /// The same with steps that are others than those of the whole query.
    pub(crate) fn placed(self, place: Place) -> Self {
        Self { place, ..self }
    }
}

/// The steps from `start_ms` up to and including `end_ms`; none if that is before the start.
pub(crate) fn steps_between(start_ms: TimestampMs, end_ms: TimestampMs, step_ms: i64) -> StepTimes {
    let n_steps = match end_ms.checked_sub(start_ms) {
        Some(length_ms) if length_ms < 0 => 0,
        Some(length_ms) => {
            usize::try_from(length_ms / step_ms.max(1)).map_or(usize::MAX, |n| n.saturating_add(1))
        }
        None => usize::MAX,
    };
    StepTimes {
        first_ms: start_ms,
        step_ms,
        n_steps,
    }
}

impl Planner {
    /// Counts the samples of a part of the query.
    pub(crate) fn tally(&self, frame: &Frame) -> Tally {
        Tally {
            steps: self.step_counts.clone(),
            place: frame.place,
        }
    }

    /// Where each step of a selector looks: `@` and `offset` applied.
    pub(crate) fn shifted(&self, steps: StepTimes, shift: &Shift) -> Result<StepTimes, QueryError> {
        let offset_ms = match &shift.offset {
            Some(offset) => offset.evaluate_ms(self.timing).map_err(duration_error)?,
            None => 0,
        };
        let pinned = |at_ms| StepTimes {
            first_ms: at_ms,
            step_ms: 0,
            n_steps: steps.n_steps,
        };
        let steps = match shift.at {
            None => steps,
            Some(At::Timestamp(at_ms)) => pinned(at_ms),
            Some(At::Start) => pinned(self.start_ms),
            Some(At::End) => pinned(self.end_ms),
        };
        Ok(steps.shifted(offset_ms.saturating_neg()))
    }
}

/// A duration without a value is an error of the text, as in Prometheus, which computes durations before all else.
pub(crate) fn duration_error(error: promql::DurationError) -> QueryError {
    QueryError::Parse {
        message: error.to_string(),
    }
}

/// True when an expression has the same value at every step, whichever the steps are, and evaluating it once saves work.
pub(crate) fn is_step_invariant(expr: &Expr) -> bool {
    has_selector(expr) && is_invariant(expr)
}

fn is_invariant(expr: &Expr) -> bool {
    match &expr.kind {
        ExprKind::Number(_) | ExprKind::String(_) => true,
        ExprKind::Selector(selector) => selector.shift.at.is_some(),
        ExprKind::Range(MatrixSelector { selector, .. }) => selector.shift.at.is_some(),
        ExprKind::Subquery(Subquery { shift, .. }) => shift.at.is_some(),
        ExprKind::Call(call) => is_call_invariant(call),
        // The parameter of an aggregation does not count: Prometheus takes that of the first step.
        ExprKind::Aggregate(Aggregate { expr, .. }) => is_invariant(expr),
        ExprKind::Binary(operation) => is_invariant(&operation.left) && is_invariant(&operation.right),
        ExprKind::Negate(inner) | ExprKind::Plus(inner) | ExprKind::Paren(inner) => is_invariant(inner),
    }
}

fn is_call_invariant(call: &Call) -> bool {
    let depends_on_time = match call.function.id {
        FunctionId::Time | FunctionId::PredictLinear => true,
        // Of a plain selector it is the time of the sample.
        FunctionId::Timestamp => {
            let argument = call.arguments.first().map(Expr::unparenthesized);
            !matches!(
                argument,
                Some(Expr {
                    kind: ExprKind::Selector(_),
                    ..
                })
            )
        }
        // Without an argument they are of time().
        FunctionId::DayOfMonth
        | FunctionId::DayOfWeek
        | FunctionId::DayOfYear
        | FunctionId::DaysInMonth
        | FunctionId::Hour
        | FunctionId::Minute
        | FunctionId::Month
        | FunctionId::Year => call.arguments.is_empty(),
        _ => false,
    };
    !depends_on_time && call.arguments.iter().all(is_invariant)
}

fn has_selector(expr: &Expr) -> bool {
    match &expr.kind {
        ExprKind::Number(_) | ExprKind::String(_) => false,
        ExprKind::Selector(_) | ExprKind::Range(_) | ExprKind::Subquery(_) => true,
        ExprKind::Call(call) => call.arguments.iter().any(has_selector),
        // With a parameter that changes it makes a difference, not only work.
        ExprKind::Aggregate(Aggregate { expr, parameter, .. }) => {
            has_selector(expr)
                || parameter
                    .as_deref()
                    .is_some_and(|parameter| !is_invariant(parameter))
        }
        ExprKind::Binary(operation) => has_selector(&operation.left) || has_selector(&operation.right),
        ExprKind::Negate(inner) | ExprKind::Plus(inner) | ExprKind::Paren(inner) => has_selector(inner),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_counts_only_when_a_step_falls_on_it() {
        let times = |start_ms, end_ms| steps_between(start_ms, end_ms, 30).iter().collect::<Vec<_>>();
        assert_eq!(times(0, 60), [0, 30, 60]);
        assert_eq!(times(0, 59), [0, 30]);
        assert_eq!(times(10, 9), [0; 0]);
    }

    #[test]
    fn only_what_no_step_changes_is_evaluated_once() {
        let check = |text: &str, expected: bool| {
            let expr = promql::parse(text, &promql::ParseOptions::ALL).unwrap();
            assert_eq!(is_step_invariant(&expr), expected, "{text}");
        };
        check("x @ 1", true);
        check("sum(rate(x[5m] @ end())) + 1", true);
        check("x", false);
        check("x @ 1 + x", false);
        check("x @ 1 + time()", false);
        check("timestamp(x @ 1)", true);
        check("timestamp(abs(x @ 1))", false);
        check("predict_linear(x[5m] @ 1, 60)", false);
        check("max_over_time(x[5m:1m] @ 1)", true);
        check("max_over_time((x @ 1)[5m:1m])", false);
        check("vector(1)", false);
        check("hour(x @ 1)", true);
        check("topk(scalar(x), x @ 1)", true);
        check("quantile(scalar(x), vector(1))", true);
        check("quantile(0.5, vector(1))", false);
    }
}
