//! `and`, `or`, `unless`: which series stay is decided step by step, by whether the other side has a series of the same
//! signature.

use std::fmt;
use std::sync::Arc;

use arrow_schema::SchemaRef;
use promql::ast::BinaryOp;

use super::collect::{Collected, collect, reserve};
use super::operator::{BatchStream, Operator, OperatorExec, Plan, Run, stream_after};
use crate::QueryError;
use crate::batch::{Batch, RowBuffer};
use crate::rows::{ABSENT, Rows, RowsBuilder, is_absent};

/// Which series have the same signature: the labels that are matched on, as dense ids over both sides.
#[derive(Debug)]
pub(crate) struct Signatures {
    /// Of each series on the left.
    pub(crate) left: Vec<u32>,
    /// Of each series on the right.
    pub(crate) right: Vec<u32>,
    /// How many there are.
    pub(crate) n_signatures: usize,
}

/// A set operation. For `and` and `unless` the output knows the series of the left side, for `or` those of the left side
/// followed by those of the right.
#[derive(Debug)]
pub(crate) struct SetOperation {
    op: BinaryOp,
    signatures: Arc<Signatures>,
    n_steps: usize,
}

/// At which steps each signature has a series.
struct Presence {
    n_steps: usize,
    is_present: Vec<bool>,
}

impl SetOperation {
    /// A node that filters `left` by `right`, or the other way round for `or`.
    pub(crate) fn plan(
        (left, right): (Plan, Plan),
        op: BinaryOp,
        signatures: Signatures,
        n_steps: usize,
        schema: &SchemaRef,
    ) -> Plan {
        let node = Self {
            op,
            signatures: Arc::new(signatures),
            n_steps,
        };
        OperatorExec::single(node, vec![left, right], schema)
    }
}

impl Operator for SetOperation {
    const NAME: &'static str = "SetOperationExec";

    fn describe(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} by {} signatures", self.op, self.signatures.n_signatures)
    }

    fn run(&self, run: Run<'_>) -> Result<BatchStream, QueryError> {
        let (left, right) = (Arc::clone(&run.inputs[0]), Arc::clone(&run.inputs[1]));
        let (op, signatures, n_steps) = (self.op, Arc::clone(&self.signatures), self.n_steps);
        let (schema, task) = (Arc::clone(&run.schema), run.task);
        Ok(stream_after(async move {
            let left = collect(&left, &task).await?;
            let right = collect(&right, &task).await?;
            let room = reserve(&task, "set operation");
            let presence = |side: &Collected, ids: &[u32]| {
                room.try_grow(signatures.n_signatures.saturating_mul(n_steps))?;
                Presence::of(side, ids, signatures.n_signatures, n_steps)
            };
            let filter = |presence: &Presence, batch: &Batch, ids: &[u32], keep: bool, shift: u32| {
                room.try_grow(batch.bytes())?;
                presence.filter(batch, ids, keep, shift, &schema)
            };
            let mut filtered = Vec::new();
            match op {
                BinaryOp::And | BinaryOp::Unless => {
                    let presence = presence(&right, &signatures.right)?;
                    for batch in &left.batches {
                        let keep = op == BinaryOp::And;
                        filtered.push(filter(&presence, batch, &signatures.left, keep, 0)?);
                    }
                }
                _ => {
                    let presence = presence(&left, &signatures.left)?;
                    let n_left = u32::try_from(signatures.left.len()).expect("series are counted in 32 bits");
                    // Those of the left side are given out as they are.
                    filtered.extend(left.batches.iter().cloned());
                    for batch in &right.batches {
                        filtered.push(filter(&presence, batch, &signatures.right, false, n_left)?);
                    }
                }
            }
            filtered.retain(|batch| batch.n_rows() > 0);
            let held = (room, left.reservations);
            Ok(filtered.into_iter().map(move |batch| {
                // Held as long as the batches are.
                let _ = &held;
                Ok(batch)
            }))
        }))
    }
}

impl Presence {
    fn of(side: &Collected, ids: &[u32], n_signatures: usize, n_steps: usize) -> Result<Self, QueryError> {
        let mut is_present = vec![false; n_signatures * n_steps];
        for batch in &side.batches {
            for (series_idx, row) in Rows::of(batch)?.iter() {
                let start = ids[series_idx as usize] as usize * n_steps;
                let is_present = &mut is_present[start..start + n_steps];
                for (is_present, &value) in is_present.iter_mut().zip(row.values) {
                    *is_present |= !is_absent(value);
                }
                for cell in row.histograms {
                    is_present[cell.step as usize] = true;
                }
            }
        }
        Ok(Self { n_steps, is_present })
    }

    /// The values whose signature is present at their step, or is not, with `shift` added to the series.
    fn filter(
        &self,
        batch: &Batch,
        ids: &[u32],
        keep_present: bool,
        shift: u32,
        schema: &SchemaRef,
    ) -> Result<Batch, QueryError> {
        let rows = Rows::of(batch)?;
        let mut builder = RowsBuilder::new(self.n_steps, rows.series.len());
        let mut kept = RowBuffer::new(self.n_steps);
        for (series_idx, row) in rows.iter() {
            let start = ids[series_idx as usize] as usize * self.n_steps;
            let is_present = &self.is_present[start..start + self.n_steps];
            for ((kept, &value), &is_present) in kept.values.iter_mut().zip(row.values).zip(is_present) {
                *kept = if is_present == keep_present { value } else { ABSENT };
            }
            let histograms = row.histograms.iter();
            let histograms = histograms.filter(|cell| is_present[cell.step as usize] == keep_present);
            kept.histograms.clear();
            kept.histograms.extend(histograms.cloned());
            builder.push(series_idx + shift, kept.as_row());
        }
        builder.finish(schema)
    }
}
