//! `quantile` over the series of each group.

use std::fmt;
use std::sync::Arc;

use arrow_schema::SchemaRef;
use promql::annotation::Annotation;
use promql::ast::AggregateOp;
use promql::kernel::quantile::quantile;

use super::collect::Dense;
use super::map::of_step;
use super::notes::NoteSink;
use super::operator::{BatchStream, Operator, OperatorExec, Plan, Run, row_batches, stream_after};
use crate::QueryError;
use crate::labels::Groups;
use crate::rows::is_absent;

/// The quantile of each group at each step. Group `g` is series `g` of the output.
#[derive(Debug)]
pub(crate) struct Quantile {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    /// Of each step, or one for all.
    phi: Arc<[f64]>,
    members: Vec<Vec<u32>>,
    n_series: usize,
    n_steps: usize,
    notes: NoteSink,
}

impl Quantile {
    /// A node that computes the φ-quantiles of `groups` of `input`.
    pub(crate) fn plan(
        input: Plan,
        phi: Arc<[f64]>,
        groups: &Groups,
        notes: NoteSink,
        n_steps: usize,
        schema: &SchemaRef,
    ) -> Plan {
        let inner = Inner {
            phi,
            members: groups.members(),
            n_series: groups.ids.len(),
            n_steps,
            notes,
        };
        OperatorExec::single(
            Self {
                inner: Arc::new(inner),
            },
            vec![input],
            schema,
        )
    }
}

impl Operator for Quantile {
    const NAME: &'static str = "QuantileExec";

    fn describe(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:?} of {} groups",
            self.inner.phi.first(),
            self.inner.members.len()
        )
    }

    fn run(&self, run: Run<'_>) -> Result<BatchStream, QueryError> {
        let input = Arc::clone(&run.inputs[0]);
        let inner = Arc::clone(&self.inner);
        let (schema, task) = (Arc::clone(&run.schema), run.task);
        let n_steps = inner.n_steps;
        Ok(stream_after(async move {
            let values = Dense::of_plan(&input, inner.n_series, n_steps, &task).await?;
            if values.has_histograms() {
                inner.notes.add(Annotation::HistogramIgnoredInAggregation {
                    aggregation: AggregateOp::Quantile.as_str(),
                });
            }
            let mut present = Vec::new();
            Ok(row_batches(
                inner.members.len(),
                n_steps,
                schema,
                move |group, row| {
                    for (step, found) in row.values.iter_mut().enumerate() {
                        let at_step = inner.members[group]
                            .iter()
                            .map(|&idx| values.row(idx as usize).values[step]);
                        present.clear();
                        present.extend(at_step.filter(|&value| !is_absent(value)));
                        if !present.is_empty() {
                            *found = quantile(of_step(&inner.phi, step), &mut present);
                        }
                    }
                    Ok(())
                },
            ))
        }))
    }
}
