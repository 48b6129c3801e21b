//! Functions that are not of a range selector.

use model::{FloatHistogram, METRIC_NAME, MatchOp};
use promql::ast::{Call, Expr, ExprKind, Span, ValueType, VectorSelector};
use promql::function::FunctionId;
use promql::kernel::instant::InstantFunction;
use promql::kernel::native::statistics;

use super::scalar::ScalarValues;
use super::vector::Marked;
use super::{Frame, Planner, Vector, unsupported};
use crate::QueryError;
use crate::exec::absent::Absent;
use crate::exec::collect::drain;
use crate::exec::map::{Map, Mapping, of_step};
use crate::exec::merge_duplicates::Overlap;
use crate::labels::{Column, SeriesTable};

impl Planner {
    /// Plans a call that gives an instant vector and is no leaf.
    pub(crate) async fn call(&self, call: &Call, span: Span, frame: &Frame) -> Result<Vector, QueryError> {
        match call.function.id {
            FunctionId::Absent | FunctionId::AbsentOverTime => self.absent(call, frame).await,
            FunctionId::Vector => {
                let values = self.scalar_per_step(argument(call, 0)?, frame).await?;
                Ok(Vector::constant(values, frame))
            }
            FunctionId::Sort
            | FunctionId::SortDesc
            | FunctionId::SortByLabel
            | FunctionId::SortByLabelDesc => self.sort(call, span, frame).await,
            FunctionId::LabelReplace => self.label_replace(call, frame).await,
            FunctionId::LabelJoin => self.label_join(call, frame).await,
            FunctionId::HistogramQuantile => self.histogram_quantile(call, frame).await,
            FunctionId::HistogramQuantiles => self.histogram_quantiles(call, frame).await,
            FunctionId::HistogramFraction => self.histogram_fraction(call, frame).await,
            FunctionId::HistogramAvg
            | FunctionId::HistogramCount
            | FunctionId::HistogramStddev
            | FunctionId::HistogramStdvar
            | FunctionId::HistogramSum => self.histogram_statistic(call, frame).await,
            FunctionId::Info => self.info(call, frame).await,
            FunctionId::Timestamp => self.timestamp(call, frame).await,
            FunctionId::StartTimestamp => self.start_timestamp(call, frame).await,
            _ if call.function.arguments.contains(&ValueType::Matrix) => {
                self.subquery_call(call, frame).await
            }
            _ => self.instant_function(call, frame).await,
        }
    }

    async fn instant_function(&self, call: &Call, frame: &Frame) -> Result<Vector, QueryError> {
        let (vector, scalars) = match call.arguments.split_first() {
            Some((vector, scalars)) => (Some(vector), scalars),
            None => (None, &[] as &[Expr]),
        };
        let mut parameters = Vec::new();
        for scalar in scalars {
            if scalar.value_type() != ValueType::Scalar {
                return Err(unsupported(call.function.name));
            }
            parameters.push(self.scalar(scalar, frame).await?);
        }
        let functions = instant_functions(call, &parameters)?;
        let Some(vector) = vector else {
            // Date functions are of time() unless told otherwise.
            let times = frame
                .steps
                .iter()
                .map(|time_ms| (time_ms.div_euclid(1000)) as f64);
            let values = times.map(|seconds| of_step(&functions, 0).evaluate(seconds).unwrap_or(f64::NAN));
            return Ok(Vector::constant(values.collect(), frame));
        };
        let vector = self.vector(vector, frame).await?;
        let vector = vector.map_plan(|plan| Map::plan(plan, Mapping::Function(functions), &frame.schema));
        Ok(self.drop_names(vector, Overlap::OtherSteps, frame))
    }

    /// `start_timestamp()` of anything but a selector, or where start timestamps are not used, gives nothing.
    async fn start_timestamp(&self, call: &Call, frame: &Frame) -> Result<Vector, QueryError> {
        let vector = self.vector(argument(call, 0)?, frame).await?;
        drain(&vector.plan, &self.task).await?;
        Ok(Vector::empty(frame))
    }

    /// `timestamp()` of anything but a selector is the time of the step.
    async fn timestamp(&self, call: &Call, frame: &Frame) -> Result<Vector, QueryError> {
        let vector = self.vector(argument(call, 0)?, frame).await?;
        let times = frame
            .steps
            .iter()
            .map(|time_ms| time_ms as f64 / 1000.0)
            .collect();
        let vector = vector.map_plan(|plan| Map::plan(plan, Mapping::Replace(times), &frame.schema));
        Ok(self.drop_names(vector, Overlap::OtherSteps, frame))
    }

    /// A number out of each native histogram.
    async fn histogram_statistic(&self, call: &Call, frame: &Frame) -> Result<Vector, QueryError> {
        let (statistic, inner): (fn(&FloatHistogram) -> f64, _) = match call.function.id {
            FunctionId::HistogramCount => (statistics::count, frame.with_statistics()),
            FunctionId::HistogramSum => (statistics::sum, frame.with_statistics()),
            FunctionId::HistogramAvg => (statistics::avg, frame.with_statistics()),
            FunctionId::HistogramStddev => (statistics::deviation, frame.clone()),
            _ => (statistics::variance, frame.clone()),
        };
        let vector = self.vector(argument(call, 0)?, &inner).await?;
        let vector = vector.map_plan(|plan| Map::plan(plan, Mapping::Statistic(statistic), &frame.schema));
        Ok(self.drop_names(vector, Overlap::OtherSteps, frame))
    }

    async fn absent(&self, call: &Call, frame: &Frame) -> Result<Vector, QueryError> {
        let of = argument(call, 0)?.unparenthesized();
        let selector = match &of.kind {
            ExprKind::Selector(selector) => Some(selector),
            ExprKind::Range(range) => Some(&range.selector),
            _ => None,
        };
        let plan = if call.function.id == FunctionId::Absent {
            self.vector(of, frame).await?.plan
        } else {
            match self.window_leaf(call, frame).await? {
                Some(leaf) => self.scan(leaf, frame).plan,
                None => self.subquery_call(call, frame).await?.plan,
            }
        };
        Ok(Vector {
            table: absent_labels(selector),
            plan: Absent::plan(plan, frame.steps.n_steps, &frame.schema),
            marked: Marked::Nothing,
        })
    }
}

/// An argument of a call, which the parser has counted.
pub(crate) fn argument(call: &Call, position: usize) -> Result<&Expr, QueryError> {
    let missing = || QueryError::internal(format!("{} lacks argument {position}", call.function.name));
    call.arguments.get(position).ok_or_else(missing)
}

fn instant_functions(call: &Call, parameters: &[ScalarValues]) -> Result<Vec<InstantFunction>, QueryError> {
    let n_functions = parameters.iter().map(|values| values.len()).max().unwrap_or(1);
    let function = |step: usize| {
        let of_this_step: Vec<f64> = parameters.iter().map(|values| of_step(values, step)).collect();
        InstantFunction::new(call.function.id, &of_this_step)
    };
    let functions: Option<Vec<_>> = (0..n_functions).map(function).collect();
    functions.ok_or_else(|| unsupported(call.function.name))
}

/// The one series of `absent`: what equality matchers say. A second matcher of a label removes it, a first equality
/// after other matchers brings it back, as in Prometheus.
fn absent_labels(selector: Option<&VectorSelector>) -> SeriesTable {
    let mut labels: Vec<(&str, Option<&str>)> = Vec::new();
    for matcher in selector.map_or(&[] as &[_], |selector| &selector.matchers) {
        if matcher.name() == METRIC_NAME {
            continue;
        }
        let is_equality = matcher.op() == MatchOp::Equal;
        match labels.iter_mut().find(|(name, _)| *name == matcher.name()) {
            Some((_, before)) => *before = None,
            None if is_equality => labels.push((matcher.name(), Some(matcher.value()))),
            None => {}
        }
    }
    labels
        .iter()
        .fold(SeriesTable::unlabelled(), |table, (name, value)| match value {
            Some(value) => table.set(name, Column::constant(1, &(*value).into())),
            None => table,
        })
}
