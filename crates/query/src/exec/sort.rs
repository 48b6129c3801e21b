//! `sort` and `sort_desc` of an instant query. By label, the order is known when the query is planned.

use std::fmt;
use std::sync::Arc;

use arrow_schema::SchemaRef;
use promql::kernel::aggregate::{Extreme, best_first};
use promql::kernel::native::FloatOrHistogram;

use super::best_k::ordered_batches;
use super::collect::{collect, reserve};
use super::operator::{BatchStream, Operator, OperatorExec, Plan, Run, stream_after};
use crate::QueryError;
use crate::batch::Batch;
use crate::rows::Rows;

/// What series are sorted by.
#[derive(Debug, Clone)]
pub(crate) enum SortKey {
    /// Their value; NaN comes last either way, histograms are left out.
    Value(Extreme),
    /// A rank by position of the series.
    Rank(Arc<[u32]>),
}

/// Gives the rows of its input in order. One step only.
#[derive(Debug)]
pub(crate) struct Sort {
    key: SortKey,
}

impl Sort {
    /// A node that sorts `input`.
    pub(crate) fn plan(input: Plan, key: SortKey, schema: &SchemaRef) -> Plan {
        OperatorExec::single(Self { key }, vec![input], schema)
    }
}

impl Operator for Sort {
    const NAME: &'static str = "SortExec";

    fn describe(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.key {
            SortKey::Value(extreme) => write!(f, "{extreme:?} value first"),
            SortKey::Rank(_) => f.write_str("by label"),
        }
    }

    fn run(&self, run: Run<'_>) -> Result<BatchStream, QueryError> {
        let input = Arc::clone(&run.inputs[0]);
        let key = self.key.clone();
        let (schema, task) = (Arc::clone(&run.schema), run.task);
        Ok(stream_after(async move {
            let collected = collect(&input, &task).await?;
            let n_rows: usize = collected.batches.iter().map(Batch::n_rows).sum();
            let room = reserve(&task, "order of series");
            room.try_grow(2 * n_rows * size_of::<(u32, FloatOrHistogram)>())?;
            let mut elements = Vec::with_capacity(n_rows);
            for batch in &collected.batches {
                let rows = Rows::of(batch)?;
                elements.extend(
                    rows.iter()
                        .filter_map(|(series_idx, row)| Some((series_idx, row.element(0)?))),
                );
            }
            match &key {
                SortKey::Value(extreme) => {
                    let float = |(series_idx, value)| match value {
                        FloatOrHistogram::Float(value) => Some((series_idx, value)),
                        FloatOrHistogram::Histogram(_) => None,
                    };
                    let mut floats: Vec<(u32, f64)> = elements.into_iter().filter_map(float).collect();
                    floats.sort_by(|left, right| best_first(*extreme, left.1, right.1));
                    let floats = floats.into_iter();
                    elements = floats
                        .map(|(series_idx, value)| (series_idx, value.into()))
                        .collect();
                }
                SortKey::Rank(ranks) => {
                    elements.sort_by_key(|(series_idx, _)| ranks[*series_idx as usize]);
                }
            }
            Ok(ordered_batches(elements, &schema)?.into_iter().map(Ok))
        }))
    }
}
