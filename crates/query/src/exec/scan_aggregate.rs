//! The fused leaf: scan, function and aggregation in one pass, stream by stream. No row of a single series ever becomes
//! a batch; `sum by (le, …) (rate(x_bucket[5m]))` over 100,000 series holds one row per group.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use arrow_schema::SchemaRef;
use datafusion_execution::TaskContext;
use datafusion_execution::memory_pool::MemoryReservation;
use promql::ast::AggregateOp;

use super::accumulate::Accumulators;
use super::aggregate::{GroupIds, group_batches};
use super::collect::{concurrently, reserve};
use super::leaf::{Leaf, LeafReader, split_streams};
use super::operator::{BatchStream, Operator, OperatorExec, Plan, Run, stream_after};
use super::scan::YIELD_VALUES;
use crate::QueryError;

/// Aggregates the rows of a leaf without giving them out.
#[derive(Debug)]
pub(crate) struct ScanAggregate {
    leaf: Arc<Leaf>,
    op: AggregateOp,
    groups: Arc<GroupIds>,
    /// The streams of each task.
    parts: Vec<Range<usize>>,
}

impl ScanAggregate {
    /// A node that folds the series of `leaf` into `groups`, with `n_tasks` at the same time.
    pub(crate) fn plan(
        leaf: Leaf,
        op: AggregateOp,
        groups: GroupIds,
        schema: &SchemaRef,
        n_tasks: usize,
    ) -> Plan {
        let parts = split_streams(&*leaf.selection, n_tasks);
        let node = Self {
            leaf: Arc::new(leaf),
            op,
            groups: Arc::new(groups),
            parts,
        };
        OperatorExec::single(node, Vec::new(), schema)
    }
}

impl Operator for ScanAggregate {
    const NAME: &'static str = "ScanAggregateExec";

    fn describe(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let n_series = self.leaf.selection.n_series();
        let (op, n_groups, n_tasks) = (self.op, self.groups.n_groups(), self.parts.len());
        write!(
            f,
            "{op} of {:?}, {n_series} series into {n_groups} groups, {n_tasks} tasks",
            self.leaf.function.kind
        )
    }

    fn run(&self, run: Run<'_>) -> Result<BatchStream, QueryError> {
        let part = |streams: &Range<usize>| Part {
            leaf: Arc::clone(&self.leaf),
            op: self.op,
            groups: Arc::clone(&self.groups),
            streams: streams.clone(),
            task: Arc::clone(&run.task),
        };
        let parts: Vec<_> = self.parts.iter().map(part).collect();
        let schema = Arc::clone(&run.schema);
        let n_steps = self.leaf.function.evaluation.n_steps;
        Ok(stream_after(async move {
            let results = concurrently(parts.into_iter().map(Part::fold).collect()).await?;
            Ok(group_batches(merge(results)?, n_steps, schema))
        }))
    }
}

/// The accumulators of all tasks as one, merged in order of streams.
fn merge(
    results: Vec<(Accumulators, MemoryReservation)>,
) -> Result<(Vec<f64>, MemoryReservation), QueryError> {
    let mut results = results.into_iter();
    let first = results
        .next()
        .ok_or_else(|| QueryError::internal("an aggregation without tasks"))?;
    let (mut total, reservation) = first;
    for (part, _) in results {
        total.merge(part);
    }
    Ok((total.finish(), reservation))
}

/// The work of one task.
struct Part {
    leaf: Arc<Leaf>,
    op: AggregateOp,
    groups: Arc<GroupIds>,
    streams: Range<usize>,
    task: Arc<TaskContext>,
}

impl Part {
    async fn fold(self) -> Result<(Accumulators, MemoryReservation), QueryError> {
        let n_steps = self.leaf.function.evaluation.n_steps;
        let n_groups = self.groups.n_groups();
        let reservation = reserve(&self.task, "groups of an aggregation");
        reservation.try_grow(Accumulators::bytes(self.op, n_groups, n_steps))?;
        let mut accumulators = Accumulators::new(self.op, n_groups, n_steps)
            .ok_or_else(|| QueryError::internal(format!("{} does not fold", self.op)))?;
        let mut reader = LeafReader::new(Arc::clone(&self.leaf));
        let mut n_values = 0;
        for stream_idx in self.streams {
            n_values += reader.read(stream_idx, |series_idx, row| {
                accumulators.add(self.groups.of_series(series_idx), row.values);
            })?;
            if n_values > YIELD_VALUES {
                n_values = 0;
                tokio::task::yield_now().await;
            }
        }
        reader.finish()?;
        Ok((accumulators, reservation))
    }
}
