//! `sum`, `avg`, `count`, `min`, `max`, `group`, `stddev`, `stdvar` of anything that is not a plain selector.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use arrow_schema::SchemaRef;
use datafusion_execution::TaskContext;
use datafusion_execution::memory_pool::MemoryReservation;
use futures::StreamExt;
use promql::ast::AggregateOp;
use promql::kernel::native::FloatOrHistogram;

use super::accumulate::{Accumulators, Totals};
use super::collect::{fold_in_order, reserve};
use super::notes::NoteSink;
use super::operator::{
    BatchStream, Operator, OperatorExec, Plan, Run, n_partitions, row_batches, stream_after,
};
use crate::QueryError;
use crate::batch::Batch;
use crate::labels::Groups;
use crate::rows::Rows;

/// Which group each series belongs to.
#[derive(Debug)]
pub(crate) enum GroupIds {
    /// All to the only one.
    Single,
    /// By position.
    Each {
        /// The group of each series.
        ids: Vec<u32>,
        /// How many groups there are.
        n_groups: usize,
    },
}

/// Folds the rows of its input into groups. The output knows one series per group, by position of the group.
#[derive(Debug)]
pub(crate) struct Aggregation {
    op: AggregateOp,
    groups: Arc<GroupIds>,
    notes: NoteSink,
    n_steps: usize,
    n_workers: usize,
}

/// What has been folded, with the room for it.
pub(crate) type Folded = (Accumulators, MemoryReservation);

impl GroupIds {
    /// How many series there are, as far as it matters.
    fn n_series(&self) -> usize {
        match self {
            Self::Single => usize::MAX,
            Self::Each { ids, .. } => ids.len(),
        }
    }

    /// The group of one series.
    #[inline]
    pub(crate) fn of_series(&self, series_idx: u32) -> u32 {
        match self {
            Self::Single => 0,
            Self::Each { ids, .. } => ids[series_idx as usize],
        }
    }

    /// The group of `n_series` series from `first_series` on, if it is the same for all.
    #[inline]
    pub(crate) fn of_all(&self, first_series: u32, n_series: u32) -> Option<u32> {
        match self {
            Self::Single => Some(0),
            Self::Each { ids, .. } => {
                let ids = &ids[first_series as usize..(first_series + n_series) as usize];
                let (first, others) = ids.split_first()?;
                // Or-ing all differences lets the comparison be vectorised.
                let difference = others.iter().fold(0, |difference, id| difference | (id ^ first));
                (difference == 0).then_some(*first)
            }
        }
    }

    /// In how many parts to fold `n_series` series, at most `n_parts`, if one part takes `part_bytes`: merging parts has
    /// to stay cheaper than making them, and there have to be few when they are large. Does not depend on how many
    /// workers there are, because the bits of a sum depend on it.
    pub(crate) fn n_parts(&self, n_parts: usize, n_series: usize, part_bytes: usize) -> usize {
        /// What all parts together may take, unless a single one takes more.
        const PARTS_BYTES: usize = 32 << 20;
        let n_series_of_group = n_series / self.n_groups().max(1);
        let n_fitting = PARTS_BYTES / part_bytes.max(1);
        n_parts.min(n_series_of_group.max(2)).min(n_fitting).max(1)
    }

    /// How many groups there are.
    pub(crate) fn n_groups(&self) -> usize {
        match self {
            Self::Single => 1,
            Self::Each { n_groups, .. } => *n_groups,
        }
    }
}

impl From<Groups> for GroupIds {
    fn from(groups: Groups) -> Self {
        match groups.n_groups() {
            1 => Self::Single,
            n_groups => Self::Each {
                ids: groups.ids,
                n_groups,
            },
        }
    }
}

impl Aggregation {
    /// A node that folds `input` into `groups`, `n_workers` at the same time.
    pub(crate) fn plan(
        input: Plan,
        op: AggregateOp,
        (groups, notes): (GroupIds, NoteSink),
        n_workers: usize,
        n_steps: usize,
        schema: &SchemaRef,
    ) -> Plan {
        let node = Self {
            op,
            groups: Arc::new(groups),
            notes,
            n_steps,
            n_workers,
        };
        OperatorExec::single(node, vec![input], schema)
    }
}

impl Operator for Aggregation {
    const NAME: &'static str = "AggregateExec";

    fn describe(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} into {} groups", self.op, self.groups.n_groups())
    }

    fn run(&self, run: Run<'_>) -> Result<BatchStream, QueryError> {
        let input = Arc::clone(&run.inputs[0]);
        let (op, groups, n_steps) = (self.op, Arc::clone(&self.groups), self.n_steps);
        let (schema, task, n_workers) = (Arc::clone(&run.schema), run.task, self.n_workers);
        let notes = self.notes.clone();
        let n_partitions = n_partitions(&input);
        let part_bytes = Accumulators::bytes(op, groups.n_groups(), n_steps);
        let n_parts = groups.n_parts(n_partitions, groups.n_series(), part_bytes);
        Ok(stream_after(async move {
            let fold = move |part: usize| {
                let part = Part {
                    input: Arc::clone(&input),
                    partitions: n_partitions * part / n_parts..n_partitions * (part + 1) / n_parts,
                    task: Arc::clone(&task),
                    op,
                    groups: Arc::clone(&groups),
                    notes: notes.clone(),
                    n_steps,
                };
                part.fold()
            };
            let folded = fold_in_order(n_parts, n_workers, fold, merge).await?;
            Ok(group_batches(finish(folded)?, n_steps, schema))
        }))
    }
}

/// Some partitions of the input.
struct Part {
    input: Plan,
    partitions: Range<usize>,
    task: Arc<TaskContext>,
    op: AggregateOp,
    groups: Arc<GroupIds>,
    notes: NoteSink,
    n_steps: usize,
}

impl Part {
    async fn fold(self) -> Result<Folded, QueryError> {
        let about = (&*self.groups, self.notes);
        let (mut accumulators, reservation) = start(self.op, about, self.n_steps, &self.task)?;
        for partition in self.partitions {
            let mut stream = self.input.batches(partition, Arc::clone(&self.task))?;
            while let Some(batch) = stream.next().await {
                for (series_idx, row) in Rows::of(&batch?)?.iter() {
                    accumulators.add_row(self.groups.of_series(series_idx), series_idx, row);
                }
                accumulators.reserve(&reservation)?;
                tokio::task::coop::consume_budget().await;
            }
        }
        Ok((accumulators, reservation))
    }
}

/// Empty accumulators for all groups, their room reserved.
pub(crate) fn start(
    op: AggregateOp,
    (groups, notes): (&GroupIds, NoteSink),
    n_steps: usize,
    task: &TaskContext,
) -> Result<Folded, QueryError> {
    let reservation = reserve(task, "groups of an aggregation");
    reservation.try_grow(Accumulators::bytes(op, groups.n_groups(), n_steps))?;
    let accumulators = Accumulators::new(op, groups.n_groups(), n_steps, notes)
        .ok_or_else(|| QueryError::internal(format!("{op} does not fold")))?;
    Ok((accumulators, reservation))
}

/// Adds a later part to the ones before it.
pub(crate) fn merge(total: &mut Folded, part: Folded) {
    total.0.merge(part.0);
}

/// The values of all groups, one row each.
pub(crate) fn finish(folded: Option<Folded>) -> Result<(Totals, MemoryReservation), QueryError> {
    let (accumulators, reservation) =
        folded.ok_or_else(|| QueryError::internal("an aggregation without parts"))?;
    Ok((accumulators.finish(), reservation))
}

/// Batches of the rows of groups: group `g` is series `g` of the output.
pub(crate) fn group_batches(
    (totals, reservation): (Totals, MemoryReservation),
    n_steps: usize,
    schema: SchemaRef,
) -> impl Iterator<Item = Result<Batch, QueryError>> + Send + 'static {
    let Totals { values, histograms } = totals;
    let mut histograms = histograms.into_iter().peekable();
    row_batches(values.len() / n_steps, n_steps, schema, move |group, row| {
        // Held as long as the values are.
        let _ = &reservation;
        let cells = group * n_steps..(group + 1) * n_steps;
        row.values.copy_from_slice(&values[cells.clone()]);
        while let Some((cell, value)) = histograms.next_if(|(cell, _)| *cell < cells.end) {
            row.push(cell - cells.start, FloatOrHistogram::Histogram(value));
        }
        Ok(())
    })
}
