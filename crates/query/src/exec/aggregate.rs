//! `sum`, `avg`, `count`, `min`, `max`, `group`, `stddev`, `stdvar` of anything that is not a plain selector.

use std::fmt;
use std::sync::Arc;

use arrow_schema::SchemaRef;
use datafusion_execution::TaskContext;
use datafusion_execution::memory_pool::MemoryReservation;
use futures::StreamExt;
use promql::ast::AggregateOp;

use super::accumulate::Accumulators;
use super::collect::{each_partition, reserve};
use super::operator::{BatchStream, Operator, OperatorExec, Plan, Run, row_batches, stream_after};
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
    n_steps: usize,
}

impl GroupIds {
    /// The group of one series.
    #[inline]
    pub(crate) fn of_series(&self, series_idx: u32) -> u32 {
        match self {
            Self::Single => 0,
            Self::Each { ids, .. } => ids[series_idx as usize],
        }
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
    /// A node that folds `input` into `groups`.
    pub(crate) fn plan(
        input: Plan,
        op: AggregateOp,
        groups: GroupIds,
        n_steps: usize,
        schema: &SchemaRef,
    ) -> Plan {
        let node = Self {
            op,
            groups: Arc::new(groups),
            n_steps,
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
        let (schema, task) = (Arc::clone(&run.schema), run.task);
        Ok(stream_after(async move {
            let results = each_partition(&input, &task, |input, partition, task| {
                fold_partition(input, partition, task, op, Arc::clone(&groups), n_steps)
            })
            .await?;
            let mut results = results.into_iter();
            let first = results
                .next()
                .ok_or_else(|| QueryError::internal("a plan without partitions"))?;
            let (mut total, reservation) = first;
            for (part, _) in results {
                total.merge(part);
            }
            Ok(group_batches((total.finish(), reservation), n_steps, schema))
        }))
    }
}

async fn fold_partition(
    input: Plan,
    partition: usize,
    task: Arc<TaskContext>,
    op: AggregateOp,
    groups: Arc<GroupIds>,
    n_steps: usize,
) -> Result<(Accumulators, MemoryReservation), QueryError> {
    let reservation = reserve(&task, "groups of an aggregation");
    reservation.try_grow(Accumulators::bytes(op, groups.n_groups(), n_steps))?;
    let mut accumulators = Accumulators::new(op, groups.n_groups(), n_steps)
        .ok_or_else(|| QueryError::internal(format!("{op} does not fold")))?;
    let mut stream = input.batches(partition, task)?;
    while let Some(batch) = stream.next().await {
        for (series_idx, row) in Rows::of(&batch?)?.iter() {
            accumulators.add(groups.of_series(series_idx), row.values);
        }
        tokio::task::coop::consume_budget().await;
    }
    Ok((accumulators, reservation))
}

/// Batches of the rows of groups: group `g` is series `g` of the output.
pub(crate) fn group_batches(
    (values, reservation): (Vec<f64>, MemoryReservation),
    n_steps: usize,
    schema: SchemaRef,
) -> impl Iterator<Item = Result<Batch, QueryError>> + Send + 'static {
    row_batches(values.len() / n_steps, n_steps, schema, move |group, row| {
        // Held as long as the values are.
        let _ = &reservation;
        row.values
            .copy_from_slice(&values[group * n_steps..(group + 1) * n_steps]);
        Ok(())
    })
}
