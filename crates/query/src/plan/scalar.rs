//! Scalars. They are evaluated while planning, because they are parameters of the operators that use them.

use std::sync::Arc;

use promql::ast::{Binary, Call, Expr, ExprKind};
use promql::function::FunctionId;
use promql::kernel::math::{max_of, min_of, scalar_binary};

use super::{Frame, Planner, Planning, unsupported};
use crate::QueryError;
use crate::exec::collect::collect;
use crate::exec::map::of_step;
use crate::rows::{Rows, is_absent};

/// The values of a scalar: one per step, or one for all steps.
pub(crate) type ScalarValues = Arc<[f64]>;

impl Planner {
    /// Evaluates an expression that is a scalar.
    pub(crate) fn scalar<'a>(&'a self, expr: &'a Expr, frame: &'a Frame) -> Planning<'a, ScalarValues> {
        Box::pin(async move {
            match &expr.kind {
                ExprKind::Number(number) => Ok(ScalarValues::from([*number])),
                ExprKind::Paren(inner) | ExprKind::Plus(inner) => self.scalar(inner, frame).await,
                ExprKind::Negate(inner) => {
                    let values = self.scalar(inner, frame).await?;
                    Ok(values.iter().map(|value| -value).collect())
                }
                ExprKind::Binary(operation) => self.scalar_binary(operation, frame).await,
                ExprKind::Call(call) => self.scalar_call(call, frame).await,
                _ => Err(QueryError::internal("an expression that is no scalar")),
            }
        })
    }

    /// As [`Self::scalar`], with one value per step.
    pub(crate) async fn scalar_per_step(
        &self,
        expr: &Expr,
        frame: &Frame,
    ) -> Result<ScalarValues, QueryError> {
        let values = self.scalar(expr, frame).await?;
        Ok((0..frame.steps.n_steps)
            .map(|step| of_step(&values, step))
            .collect())
    }

    async fn scalar_binary(&self, operation: &Binary, frame: &Frame) -> Result<ScalarValues, QueryError> {
        let left = self.scalar(&operation.left, frame).await?;
        let right = self.scalar(&operation.right, frame).await?;
        let op = operation.op;
        zip(&left, &right, |left, right| scalar_binary(op, left, right))
            .ok_or_else(|| QueryError::internal(format!("operator {op} between scalars")))
    }

    async fn scalar_call(&self, call: &Call, frame: &Frame) -> Result<ScalarValues, QueryError> {
        let seconds = |ms: i64| ms as f64 / 1000.0;
        let once = |value: f64| Ok(ScalarValues::from([value]));
        match call.function.id {
            FunctionId::Time => Ok(frame.steps.iter().map(seconds).collect()),
            FunctionId::Pi => once(std::f64::consts::PI),
            FunctionId::Start => once(seconds(self.start_ms)),
            FunctionId::End => once(seconds(self.end_ms)),
            FunctionId::Step => once(seconds(self.timing.step_ms)),
            FunctionId::Range => once(seconds(self.timing.range_ms)),
            FunctionId::MinOf | FunctionId::MaxOf => {
                let [left, right] = call.arguments.as_slice() else {
                    return Err(QueryError::internal("min_of and max_of have two arguments"));
                };
                let left = self.scalar(left, frame).await?;
                let right = self.scalar(right, frame).await?;
                let choose = if call.function.id == FunctionId::MinOf {
                    min_of
                } else {
                    max_of
                };
                zip(&left, &right, |left, right| Some(choose(left, right)))
                    .ok_or_else(|| QueryError::internal("min_of and max_of always have a value"))
            }
            FunctionId::Scalar => {
                let argument = call.arguments.first();
                let argument = argument.ok_or_else(|| QueryError::internal("scalar() has an argument"))?;
                self.scalar_of_vector(argument, frame).await
            }
            _ => Err(unsupported(call.function.name)),
        }
    }

    /// The value of the only series at each step; NaN if there is none or more than one.
    async fn scalar_of_vector(&self, expr: &Expr, frame: &Frame) -> Result<ScalarValues, QueryError> {
        let vector = self.vector(expr, frame).await?;
        let mut found = vec![(0_u32, f64::NAN); frame.steps.n_steps];
        for batch in &collect(&vector.plan, &self.task).await?.batches {
            for (_, row) in Rows::of(batch)?.iter() {
                let present = found
                    .iter_mut()
                    .zip(row.values)
                    .filter(|(_, value)| !is_absent(**value));
                present.for_each(|((n_found, last), &value)| {
                    *n_found = n_found.saturating_add(1);
                    *last = value;
                });
            }
        }
        let only = |(n_found, value)| if n_found == 1 { value } else { f64::NAN };
        Ok(found.into_iter().map(only).collect())
    }
}

/// Combines two scalars step by step; `None` where `combine` gives none.
fn zip(left: &[f64], right: &[f64], combine: impl Fn(f64, f64) -> Option<f64>) -> Option<ScalarValues> {
    let n_values = left.len().max(right.len());
    let values = (0..n_values).map(|step| combine(of_step(left, step), of_step(right, step)));
    values.collect()
}
