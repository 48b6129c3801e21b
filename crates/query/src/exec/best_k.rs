//! `topk`, `bottomk`, `limitk`: some of the series of each group, as they are.

use std::fmt;
use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use datafusion_execution::{SendableRecordBatchStream, TaskContext};
use promql::kernel::aggregate::{BestK, Extreme};

use super::collect::Dense;
use super::map::of_step;
use super::operator::{Operator, OperatorExec, Plan, Run, row_batches, stream_after};
use crate::QueryError;
use crate::labels::Groups;
use crate::rows::{RowsBuilder, is_absent, rows_per_batch};

/// Which series of a group are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Choice {
    /// The best by value.
    Best(Extreme),
    /// The first ones.
    First,
}

/// Keeps up to k series of each group at each step. In an instant query the kept ones come out group by group, best
/// first.
#[derive(Debug)]
pub(crate) struct KeepSome {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    choice: Choice,
    /// Of each step, or one for all.
    k: Vec<usize>,
    members: Vec<Vec<u32>>,
    n_series: usize,
    n_steps: usize,
}

impl KeepSome {
    /// A node that keeps `k` series of each group of `input`.
    pub(crate) fn plan(
        input: Plan,
        choice: Choice,
        k: Vec<usize>,
        groups: &Groups,
        n_steps: usize,
        schema: &SchemaRef,
    ) -> Plan {
        let inner = Inner {
            choice,
            k,
            members: groups.members(),
            n_series: groups.ids.len(),
            n_steps,
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

impl Operator for KeepSome {
    const NAME: &'static str = "KeepSomeExec";

    fn describe(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let inner = &self.inner;
        write!(
            f,
            "{:?} {:?} of {} groups",
            inner.choice,
            inner.k.first(),
            inner.members.len()
        )
    }

    fn run(&self, run: Run<'_>) -> Result<SendableRecordBatchStream, QueryError> {
        let input = Arc::clone(&run.inputs[0]);
        let inner = Arc::clone(&self.inner);
        let (schema, task) = (Arc::clone(&run.schema), run.task);
        Ok(stream_after(run.schema, async move {
            let values = Dense::of_plan(&input, inner.n_series, inner.n_steps, &task).await?;
            let batches: Box<dyn Iterator<Item = _> + Send> = if inner.n_steps == 1 {
                Box::new(inner.in_order(&values, &schema)?.into_iter().map(Ok))
            } else {
                let kept = inner.by_step(&values, &task)?;
                Box::new(row_batches(
                    inner.n_series,
                    inner.n_steps,
                    schema,
                    move |series_idx, row| {
                        row.copy_from_slice(kept.row(series_idx));
                        Ok(())
                    },
                ))
            };
            Ok(batches)
        }))
    }
}

impl Inner {
    /// The series kept at one step, best first, group by group: `keep(series_idx, value)`.
    fn choose(&self, values: &Dense, step: usize, mut keep: impl FnMut(u32, f64)) {
        let k = of_step(&self.k, step);
        for members in &self.members {
            let present = members
                .iter()
                .map(|&series_idx| (series_idx, values.row(series_idx as usize)[step]));
            let present = present.filter(|(_, value)| !is_absent(*value));
            match self.choice {
                Choice::First => present
                    .take(k)
                    .for_each(|(series_idx, value)| keep(series_idx, value)),
                Choice::Best(extreme) => {
                    let mut best = BestK::new(extreme, k);
                    present.for_each(|(series_idx, value)| best.push(series_idx, value));
                    best.take_sorted()
                        .iter()
                        .for_each(|ranked| keep(ranked.idx, ranked.value));
                }
            }
        }
    }

    fn by_step(&self, values: &Dense, task: &TaskContext) -> Result<Dense, QueryError> {
        let mut kept = Dense::absent(self.n_series, self.n_steps, task)?;
        for step in 0..self.n_steps {
            self.choose(values, step, |series_idx, value| {
                kept.row_mut(series_idx as usize)[step] = value;
            });
        }
        Ok(kept)
    }

    fn in_order(&self, values: &Dense, schema: &SchemaRef) -> Result<Vec<RecordBatch>, QueryError> {
        let mut chosen = Vec::new();
        self.choose(values, 0, |series_idx, value| chosen.push((series_idx, value)));
        ordered_batches(&chosen, schema)
    }
}

/// Batches of single values in a given order.
pub(crate) fn ordered_batches(
    chosen: &[(u32, f64)],
    schema: &SchemaRef,
) -> Result<Vec<RecordBatch>, QueryError> {
    let chunks = chosen.chunks(rows_per_batch(1));
    let batches = chunks.map(|chunk| {
        let mut builder = RowsBuilder::new(1, chunk.len());
        for (series_idx, value) in chunk {
            builder.push(*series_idx, std::slice::from_ref(value));
        }
        builder.finish(schema)
    });
    batches.collect()
}
