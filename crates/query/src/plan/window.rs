//! Functions of a range: their parameters, and subqueries.

use model::METRIC_NAME;
use promql::annotation::Annotation;
use promql::ast::{Call, Expr, ExprKind, Span, Subquery, ValueType};
use promql::function::FunctionId;
use promql::kernel::quantile::is_invalid_quantile;
use promql::kernel::range::{RangeFunction, RangeFunctionError};
use promql::kernel::rate::RateKind;

use super::frame::{duration_error, steps_between};
use super::selector::{keeps_names, notes_span};
use super::{Frame, Planner, Vector, unsupported};
use crate::QueryError;
use crate::exec::lane::{LaneFunction, LaneFunctionKind};
use crate::exec::map::of_step;
use crate::exec::merge_duplicates::Overlap;
use crate::exec::notes::NoteSink;
use crate::exec::subquery::Subquery as SubqueryOperator;
use crate::exec::tally::Place;
use crate::exec::watch::Watch;
use crate::labels::SeriesTable;

impl Planner {
    /// What a call does with the samples of a window, its scalar parameters evaluated.
    pub(crate) async fn window_function(
        &self,
        call: &Call,
        frame: &Frame,
    ) -> Result<LaneFunctionKind, QueryError> {
        let rate = match call.function.id {
            FunctionId::Rate => Some(RateKind::Rate),
            FunctionId::Increase => Some(RateKind::Increase),
            FunctionId::Delta => Some(RateKind::Delta),
            _ => None,
        };
        if let Some(kind) = rate {
            return Ok(LaneFunctionKind::Rate(kind));
        }
        let mut parameters = Vec::new();
        for argument in &call.arguments {
            if argument.value_type() == ValueType::Scalar {
                parameters.push(self.scalar(argument, frame).await?);
            }
        }
        let n_functions = parameters.iter().map(|values| values.len()).max().unwrap_or(1);
        let function = |step: usize| {
            let of_this_step: Vec<f64> = parameters.iter().map(|values| of_step(values, step)).collect();
            RangeFunction::new(call.function.id, &of_this_step)
        };
        let functions: Vec<_> = (0..n_functions).map(function).collect();
        if functions
            .iter()
            .any(|function| matches!(function, Err(RangeFunctionError::NotOfRange(_))))
        {
            return Err(unsupported(call.function.name));
        }
        Ok(LaneFunctionKind::Window(functions))
    }

    /// Warns of every φ that is none.
    pub(crate) fn note_invalid_quantiles(&self, phi: &[f64], argument: &Expr) {
        for &phi in phi.iter().filter(|&&phi| is_invalid_quantile(phi)) {
            let span = argument.unparenthesized().span;
            self.annotations.add(Annotation::InvalidQuantile(phi), span);
        }
    }

    /// What there is to say about the values of a function of a range of these series, if anything; `span` is where
    /// the range stands.
    pub(crate) fn watch(
        &self,
        call: &Call,
        function: &LaneFunctionKind,
        table: &SeriesTable,
        span: Span,
    ) -> Option<Watch> {
        match function {
            LaneFunctionKind::Rate(kind) if kind.is_counter() => {
                Watch::non_counters(table.column(METRIC_NAME), &self.annotations, span)
            }
            LaneFunctionKind::Window(functions) if call.function.id == FunctionId::QuantileOverTime => {
                let phi = functions.iter().map(|function| match function {
                    Ok(RangeFunction::Quantile(phi)) => *phi,
                    _ => 0.0,
                });
                let span = call.arguments.first().map(|phi| phi.unparenthesized().span);
                Watch::invalid_quantiles(phi.collect(), &self.annotations, span.unwrap_or_default())
            }
            _ => None,
        }
    }

    /// A function of a range whose argument is a subquery.
    pub(crate) async fn subquery_call(&self, call: &Call, frame: &Frame) -> Result<Vector, QueryError> {
        let subquery = call
            .arguments
            .iter()
            .find_map(|argument| match &argument.unparenthesized().kind {
                ExprKind::Subquery(subquery) => Some(subquery),
                _ => None,
            });
        // What there is to say of its samples stands at the beginning of the query, as in Prometheus.
        let span = Span::default();
        let Some(subquery) = subquery else {
            return Err(QueryError::internal("a function of a range without one"));
        };
        let kind = self.window_function(call, frame).await?;
        let window_ms = subquery
            .range
            .evaluate_positive_ms(self.timing)
            .map_err(duration_error)?;
        let function = LaneFunction {
            kind,
            window_ms,
            evaluation: frame.steps,
            times: self.shifted(frame.steps, &subquery.shift)?,
            skips_buckets: false,
            beyond: None,
            uses_starts: false,
        };
        let inner_frame = self.subquery_frame(subquery, &function)?;
        let inner = self.vector(&subquery.expr, &inner_frame).await?;
        let watch = self.watch(call, &function.kind, &inner.table, span);
        let notes = NoteSink::new(&self.annotations, notes_span(call, span), &inner.table);
        let timestamps_ms = inner_frame.steps.iter().collect();
        let (limits, tally) = (self.limits.clone(), self.tally(frame));
        let vector = inner.map_plan(|plan| {
            SubqueryOperator::plan(
                plan,
                function,
                timestamps_ms,
                (watch, notes),
                (limits, tally),
                &frame.schema,
            )
        });
        if keeps_names(call.function.id) {
            let table = vector.table.clone();
            return Ok(vector.with_table(&table, Overlap::Nothing, frame));
        }
        Ok(self.drop_names(vector, Overlap::Nothing, frame))
    }

    /// The steps of a subquery that is a whole query.
    pub(crate) fn whole_subquery_frame(
        &self,
        subquery: &Subquery,
        frame: &Frame,
    ) -> Result<Frame, QueryError> {
        let function = LaneFunction {
            kind: LaneFunctionKind::Newest,
            window_ms: subquery
                .range
                .evaluate_positive_ms(self.timing)
                .map_err(duration_error)?,
            evaluation: frame.steps,
            times: self.shifted(frame.steps, &subquery.shift)?,
            skips_buckets: false,
            beyond: None,
            uses_starts: false,
        };
        Ok(self.subquery_frame(subquery, &function)?.placed(Place::FirstStep))
    }

    /// The steps of a subquery: the multiples of its step, counted from the epoch, in what its windows cover.
    pub(crate) fn subquery_frame(
        &self,
        subquery: &Subquery,
        function: &LaneFunction,
    ) -> Result<Frame, QueryError> {
        let step_ms = match &subquery.step {
            Some(step) => step
                .evaluate_positive_ms(self.timing)
                .map_err(duration_error)?
                .max(1),
            None => self.shared.options.default_subquery_step_ms,
        };
        let covered = function.range();
        // The range is open on the left. Dividing towards minus infinity gives the last multiple not in it.
        let start_ms = covered
            .start_ms
            .div_euclid(step_ms)
            .saturating_add(1)
            .saturating_mul(step_ms);
        let steps = steps_between(start_ms, covered.end_ms, step_ms);
        // A series with a value at every step would be too long.
        let limit = self.shared.options.max_samples;
        if i32::try_from(steps.n_steps).is_err() || steps.n_steps as u64 > limit {
            return Err(QueryError::TooManySamples { limit });
        }
        Ok(Frame::new(steps).with_buckets().placed(Place::Elsewhere))
    }
}
