//! The fused leaf: scan, function and aggregation in one pass, stream by stream. No row of a single series ever becomes
//! a batch; `sum by (le, …) (rate(x_bucket[5m]))` over 100,000 series holds one row per group.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::time::Instant;

use arrow_schema::SchemaRef;
use datafusion_execution::TaskContext;
use promql::ast::AggregateOp;

use super::accumulate::Accumulators;
use super::aggregate::{Folded, GroupIds, finish, group_batches, merge, start};
use super::collect::fold_in_order;
use super::leaf::{Leaf, LeafReader, split_streams};
use super::notes::NoteSink;
use super::operator::{BatchStream, Operator, OperatorExec, Plan, Run, stream_after};
use super::scan::YIELD_VALUES;
use crate::QueryError;
use crate::explain::Counted;

/// Aggregates the rows of a leaf without giving them out.
#[derive(Debug)]
pub(crate) struct ScanAggregate {
    leaf: Arc<Leaf>,
    op: AggregateOp,
    groups: Arc<GroupIds>,
    notes: NoteSink,
    /// The streams that are folded together before parts are merged.
    parts: Arc<[Range<usize>]>,
    n_workers: usize,
}

impl ScanAggregate {
    /// A node that folds the series of `leaf` into `groups`, in about `n_parts` of which `n_workers` are under way at
    /// the same time.
    pub(crate) fn plan(
        leaf: Leaf,
        op: AggregateOp,
        (groups, notes): (GroupIds, NoteSink),
        schema: &SchemaRef,
        (n_parts, n_workers): (usize, usize),
    ) -> Plan {
        let part_bytes = Accumulators::bytes(op, groups.n_groups(), leaf.function.evaluation.n_steps);
        let n_parts = groups.n_parts(n_parts, leaf.selection.n_series(), part_bytes);
        let node = Self {
            parts: split_streams(&*leaf.selection, n_parts).into(),
            leaf: Arc::new(leaf),
            op,
            groups: Arc::new(groups),
            notes,
            n_workers,
        };
        OperatorExec::single(node, Vec::new(), schema)
    }
}

impl Operator for ScanAggregate {
    const NAME: &'static str = "ScanAggregateExec";

    fn describe(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let n_series = self.leaf.selection.n_series();
        let (op, n_groups, n_parts) = (self.op, self.groups.n_groups(), self.parts.len());
        write!(
            f,
            "{op} of {:?}, {n_series} series into {n_groups} groups, {n_parts} parts",
            self.leaf.function.kind
        )
    }

    fn counted(&self) -> Option<&Counted> {
        Some(&self.leaf.counted)
    }

    fn run(&self, run: Run<'_>) -> Result<BatchStream, QueryError> {
        let (leaf, groups, parts) = (
            Arc::clone(&self.leaf),
            Arc::clone(&self.groups),
            Arc::clone(&self.parts),
        );
        let (op, n_workers, task) = (self.op, self.n_workers, run.task);
        let notes = self.notes.clone();
        let (schema, n_parts) = (Arc::clone(&run.schema), self.parts.len());
        let n_steps = leaf.function.evaluation.n_steps;
        Ok(stream_after(async move {
            let fold = move |part: usize| {
                let part = Part {
                    leaf: Arc::clone(&leaf),
                    op,
                    groups: Arc::clone(&groups),
                    notes: notes.clone(),
                    streams: parts[part].clone(),
                    task: Arc::clone(&task),
                };
                part.fold()
            };
            let folded = fold_in_order(n_parts, n_workers, fold, merge).await?;
            Ok(group_batches(finish(folded)?, n_steps, schema))
        }))
    }
}

/// The work on one part.
struct Part {
    leaf: Arc<Leaf>,
    op: AggregateOp,
    groups: Arc<GroupIds>,
    notes: NoteSink,
    streams: Range<usize>,
    task: Arc<TaskContext>,
}

impl Part {
    async fn fold(self) -> Result<Folded, QueryError> {
        let n_steps = self.leaf.function.evaluation.n_steps;
        let about = (&*self.groups, self.notes.clone());
        let (mut accumulators, reservation) = start(self.op, about, n_steps, &self.task)?;
        let mut reader = LeafReader::new(Arc::clone(&self.leaf), &self.task);
        let only_counts = Accumulators::only_counts(self.op) && self.leaf.function.is_single_newest();
        let mut n_values = 0;
        let mut begun = Instant::now();
        for stream_idx in self.streams.clone() {
            if only_counts {
                n_values += self.count(stream_idx, &mut reader, &mut accumulators)?;
            } else {
                n_values += reader.read(stream_idx, |series_idx, row| {
                    accumulators.add_row(self.groups.of_series(series_idx), series_idx, row);
                })?;
                accumulators.reserve(&reservation)?;
            }
            if self.leaf.limits.outstays() {
                self.leaf.limits.leave_caller().await;
            }
            if n_values > YIELD_VALUES {
                n_values = 0;
                self.leaf.counted.add_busy(begun);
                tokio::task::yield_now().await;
                begun = Instant::now();
            }
        }
        reader.finish()?;
        self.leaf.counted.add_busy(begun);
        Ok((accumulators, reservation))
    }

    /// Adds the series of one stream that have a value; gives how many series were looked at.
    fn count(
        &self,
        stream_idx: usize,
        reader: &mut LeafReader,
        accumulators: &mut Accumulators,
    ) -> Result<usize, QueryError> {
        let stream = self.leaf.selection.streams()[stream_idx];
        let words = reader.live(stream_idx)?;
        if let Some(group) = self.groups.of_all(stream.first_series, stream.n_lanes) {
            accumulators.add_present(group, words.iter().map(|word| word.count_ones()).sum());
        } else {
            for (word, first_series) in words.iter().zip((stream.first_series..).step_by(64)) {
                let lanes = (0..64).filter(|lane| word >> lane & 1 == 1);
                for lane in lanes {
                    accumulators.add_present(self.groups.of_series(first_series + lane), 1);
                }
            }
        }
        Ok(stream.n_lanes as usize)
    }
}
