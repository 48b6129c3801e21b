//! `absent` and `absent_over_time`: one series that is there when nothing else is.

use std::sync::Arc;

use arrow_schema::SchemaRef;

use super::collect::collect;
use super::operator::{BatchStream, Operator, OperatorExec, Plan, Run, row_batches, stream_after};
use crate::QueryError;
use crate::rows::Rows;

/// 1 at every step at which the input has no value at all, as series 0.
#[derive(Debug)]
pub(crate) struct Absent {
    n_steps: usize,
}

impl Absent {
    /// A node that says when `input` is empty.
    pub(crate) fn plan(input: Plan, n_steps: usize, schema: &SchemaRef) -> Plan {
        OperatorExec::single(Self { n_steps }, vec![input], schema)
    }
}

impl Operator for Absent {
    const NAME: &'static str = "AbsentExec";

    fn run(&self, run: Run<'_>) -> Result<BatchStream, QueryError> {
        let input = Arc::clone(&run.inputs[0]);
        let n_steps = self.n_steps;
        let (schema, task) = (Arc::clone(&run.schema), run.task);
        Ok(stream_after(async move {
            let mut is_empty = vec![true; n_steps];
            for batch in &collect(&input, &task).await?.batches {
                for (_, row) in Rows::of(batch)?.iter() {
                    row.for_each_present(|step| is_empty[step] = false);
                }
            }
            Ok(row_batches(1, n_steps, schema, move |_, row| {
                let empty_steps = row
                    .values
                    .iter_mut()
                    .zip(&is_empty)
                    .filter(|(_, is_empty)| **is_empty);
                empty_steps.for_each(|(value, _)| *value = 1.0);
                Ok(())
            }))
        }))
    }
}
