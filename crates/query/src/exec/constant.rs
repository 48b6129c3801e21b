//! One series without labels whose values are known when the query is planned: `vector(1)`, `time()`.

use std::fmt;
use std::sync::Arc;

use arrow_schema::SchemaRef;
use futures::StreamExt;

use super::operator::{BatchStream, Operator, OperatorExec, Plan, Run, row_batches};
use crate::QueryError;

/// Gives rows that are known already.
#[derive(Debug)]
pub(crate) struct Constant {
    /// Row after row.
    values: Arc<[f64]>,
    n_steps: usize,
}

impl Constant {
    /// A node of one series, at position 0, with these values.
    pub(crate) fn row(values: Arc<[f64]>, schema: &SchemaRef) -> Plan {
        let n_steps = values.len();
        Self::rows(values, n_steps, schema)
    }

    /// A node of series of `n_steps` values each, one after the other.
    pub(crate) fn rows(values: Arc<[f64]>, n_steps: usize, schema: &SchemaRef) -> Plan {
        OperatorExec::single(Self { values, n_steps }, Vec::new(), schema)
    }

    /// A node without any series.
    pub(crate) fn nothing(schema: &SchemaRef) -> Plan {
        Self::rows(Arc::from([]), 1, schema)
    }

    fn n_rows(&self) -> usize {
        self.values.len() / self.n_steps.max(1)
    }
}

impl Operator for Constant {
    const NAME: &'static str = "ConstantExec";

    fn describe(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} series", self.n_rows())
    }

    fn run(&self, run: Run<'_>) -> Result<BatchStream, QueryError> {
        let (values, n_steps) = (Arc::clone(&self.values), self.n_steps);
        let batches = row_batches(
            self.n_rows(),
            n_steps,
            Arc::clone(&run.schema),
            move |row_idx, row| {
                let start = row_idx * n_steps;
                row.values.copy_from_slice(&values[start..start + n_steps]);
                Ok(())
            },
        );
        Ok(futures::stream::iter(batches).boxed())
    }
}
