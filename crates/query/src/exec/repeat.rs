//! An expression that does not depend on the step is evaluated once; its values are repeated for all steps.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use arrow_schema::SchemaRef;
use futures::{StreamExt, TryStreamExt};

use super::operator::{BatchStream, Operator, OperatorExec, Plan, Run};
use crate::QueryError;
use crate::batch::{Batch, HistogramAt, RowBuffer};
use crate::rows::{Rows, RowsBuilder, rows_per_batch};

/// Repeats the one value of each row.
#[derive(Debug)]
pub(crate) struct Repeat {
    n_steps: usize,
}

impl Repeat {
    /// A node that repeats the values of `input`, which has one step, for `n_steps`.
    pub(crate) fn plan(input: Plan, n_steps: usize, schema: &SchemaRef) -> Plan {
        OperatorExec::like_input(Self { n_steps }, vec![input], schema)
    }
}

impl Operator for Repeat {
    const NAME: &'static str = "RepeatExec";

    fn describe(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} steps", self.n_steps)
    }

    fn run(&self, run: Run<'_>) -> Result<BatchStream, QueryError> {
        let n_steps = self.n_steps;
        let schema = Arc::clone(&run.schema);
        let input = run.inputs[0].batches(run.partition, run.task)?;
        // A batch of single values is cut, as each of them becomes a row.
        let batches = input.map(move |batch| {
            let batch = batch?;
            let schema = Arc::clone(&schema);
            let n_rows = rows_per_batch(n_steps);
            let parts = (0..batch.n_rows())
                .step_by(n_rows)
                .map(move |start| repeat(&batch, start..start + n_rows, n_steps, &schema));
            Ok::<_, QueryError>(futures::stream::iter(parts))
        });
        Ok(batches.try_flatten().boxed())
    }
}

/// Some rows of a batch of one step, repeated.
fn repeat(
    batch: &Batch,
    range: Range<usize>,
    n_steps: usize,
    schema: &SchemaRef,
) -> Result<Batch, QueryError> {
    let rows = Rows::of(batch)?;
    let mut builder = RowsBuilder::new(n_steps, range.len());
    let mut repeated = RowBuffer::new(n_steps);
    for (series_idx, row) in rows.iter().skip(range.start).take(range.len()) {
        repeated.values.fill(row.values[0]);
        repeated.histograms.clear();
        if let Some(HistogramAt { value, .. }) = row.histograms.first() {
            let cells = (0..).take(n_steps).map(|step| HistogramAt {
                step,
                value: Arc::clone(value),
            });
            repeated.histograms.extend(cells);
        }
        builder.push(series_idx, repeated.as_row());
    }
    builder.finish(schema)
}
