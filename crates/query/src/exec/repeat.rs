//! An expression that does not depend on the step is evaluated once; its values are repeated for all steps.

use std::fmt;
use std::sync::Arc;

use arrow_schema::SchemaRef;
use datafusion_execution::SendableRecordBatchStream;
use futures::{StreamExt, TryStreamExt};

use super::operator::{Operator, OperatorExec, Plan, Run, stream_of};
use crate::QueryError;
use crate::rows::{self, Rows, rows_per_batch};

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

    fn run(&self, run: Run<'_>) -> Result<SendableRecordBatchStream, QueryError> {
        let n_steps = self.n_steps;
        let schema = Arc::clone(&run.schema);
        let input = run.inputs[0].execute(run.partition, run.task)?;
        // A batch of single values is cut, as each of them becomes a row.
        let batches = input.map(move |batch| {
            let batch = batch.map_err(QueryError::from)?;
            let schema = Arc::clone(&schema);
            let n_rows = rows_per_batch(n_steps);
            let parts = (0..batch.num_rows()).step_by(n_rows).map(move |start| {
                let part = batch.slice(start, n_rows.min(batch.num_rows() - start));
                let rows = Rows::of(&part)?;
                let values = rows
                    .iter()
                    .flat_map(|(_, row)| std::iter::repeat_n(row[0], n_steps));
                rows::batch(&schema, rows.series.to_vec(), values.collect())
            });
            Ok::<_, QueryError>(futures::stream::iter(parts))
        });
        Ok(stream_of(run.schema, batches.try_flatten()))
    }
}
