//! One series without labels whose values are known when the query is planned: `vector(1)`, `time()`.

use std::fmt;
use std::sync::Arc;

use arrow_schema::SchemaRef;
use futures::StreamExt;

use super::operator::{BatchStream, Operator, OperatorExec, Plan, Run};
use crate::QueryError;
use crate::rows;

/// Gives rows that are known already.
#[derive(Debug)]
pub(crate) struct Constant {
    series: Vec<u32>,
    values: Arc<[f64]>,
}

impl Constant {
    /// A node of one series, at position 0, with these values.
    pub(crate) fn row(values: Arc<[f64]>, schema: &SchemaRef) -> Plan {
        Self::rows(vec![0], values, schema)
    }

    /// A node of these series, with one row of values each, one after the other.
    pub(crate) fn rows(series: Vec<u32>, values: Arc<[f64]>, schema: &SchemaRef) -> Plan {
        OperatorExec::single(Self { series, values }, Vec::new(), schema)
    }

    /// A node without any series.
    pub(crate) fn nothing(schema: &SchemaRef) -> Plan {
        Self::rows(Vec::new(), Arc::from([]), schema)
    }
}

impl Operator for Constant {
    const NAME: &'static str = "ConstantExec";

    fn describe(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} series", self.series.len())
    }

    fn run(&self, run: Run<'_>) -> Result<BatchStream, QueryError> {
        let batch = (!self.series.is_empty())
            .then(|| rows::batch(&run.schema, self.series.clone(), self.values.to_vec()));
        Ok(futures::stream::iter(batch).boxed())
    }
}
