//! Series that came to have the same labels, after the metric name was dropped or labels were rewritten, become one, if
//! they have no value at the same time.

use std::fmt;
use std::sync::Arc;

use arrow_schema::SchemaRef;

use super::collect::{Dense, collect};
use super::operator::{BatchStream, Operator, OperatorExec, Plan, Run, stream_after};
use crate::QueryError;
use crate::batch::Row;
use crate::labels::Groups;
use crate::rows::{Rows, is_absent};

/// How much series of equal labels may have in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Overlap {
    /// Values at different steps only.
    OtherSteps,
    /// No two of them may have any value: functions of a range vector do not merge.
    Nothing,
}

/// Puts the series of each group together.
#[derive(Debug)]
pub(crate) struct MergeDuplicates {
    groups: Arc<Groups>,
    overlap: Overlap,
    n_steps: usize,
}

impl MergeDuplicates {
    /// A node whose series `g` is group `g` of the series of `input`.
    pub(crate) fn plan(
        input: Plan,
        groups: Groups,
        overlap: Overlap,
        n_steps: usize,
        schema: &SchemaRef,
    ) -> Plan {
        let node = Self {
            groups: Arc::new(groups),
            overlap,
            n_steps,
        };
        OperatorExec::single(node, vec![input], schema)
    }
}

/// What Prometheus says.
pub(crate) fn same_labelset() -> QueryError {
    QueryError::execution("vector cannot contain metrics with the same labelset")
}

impl Operator for MergeDuplicates {
    const NAME: &'static str = "MergeDuplicatesExec";

    fn describe(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} series into {}",
            self.groups.ids.len(),
            self.groups.n_groups()
        )
    }

    fn run(&self, run: Run<'_>) -> Result<BatchStream, QueryError> {
        let input = Arc::clone(&run.inputs[0]);
        let (groups, overlap, n_steps) = (Arc::clone(&self.groups), self.overlap, self.n_steps);
        let (schema, task) = (Arc::clone(&run.schema), run.task);
        Ok(stream_after(async move {
            let collected = collect(&input, &task).await?;
            let mut merged = Dense::absent(groups.n_groups(), n_steps, &task)?;
            let mut is_taken = vec![false; groups.n_groups()];
            for batch in &collected.batches {
                for (series_idx, row) in Rows::of(batch)?.iter() {
                    let group = groups.ids[series_idx as usize] as usize;
                    if std::mem::replace(&mut is_taken[group], true) && overlap == Overlap::Nothing {
                        return Err(same_labelset());
                    }
                    merge_row(&mut merged, group, row)?;
                }
            }
            Ok(merged.into_batches(schema))
        }))
    }
}

fn merge_row(merged: &mut Dense, group: usize, row: Row<'_>) -> Result<(), QueryError> {
    let before = merged.row(group).histograms;
    if before.iter().any(|cell| row.is_present(cell.step as usize)) {
        return Err(same_labelset());
    }
    for (merged, &value) in merged.floats_mut(group).iter_mut().zip(row.values) {
        if is_absent(value) {
            continue;
        }
        if !is_absent(*merged) {
            return Err(same_labelset());
        }
        *merged = value;
    }
    for cell in row.histograms {
        if !is_absent(merged.floats_mut(group)[cell.step as usize]) {
            return Err(same_labelset());
        }
        merged.put_histogram(group, cell.step as usize, Arc::clone(&cell.value))?;
    }
    Ok(())
}
