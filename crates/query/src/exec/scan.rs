//! Reading a selector into rows: the leaf of every plan that is not an aggregation of one.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use arrow_schema::SchemaRef;
use futures::StreamExt;

use super::leaf::{Leaf, LeafReader, split_streams};
use super::operator::{BatchStream, Operator, OperatorExec, Plan, Run};
use crate::QueryError;
use crate::batch::Batch;
use crate::explain::Counted;
use crate::rows::RowsBuilder;

/// Gives the rows of a leaf, partitioned by streams.
#[derive(Debug)]
pub(crate) struct Scan {
    leaf: Arc<Leaf>,
    /// The streams of each partition.
    parts: Vec<Range<usize>>,
}

/// After so many values the task lets others run. About half a millisecond.
pub(crate) const YIELD_VALUES: usize = 1 << 18;

impl Scan {
    /// A node that reads `leaf` in `n_partitions`.
    pub(crate) fn plan(leaf: Leaf, schema: &SchemaRef, n_partitions: usize) -> Plan {
        let parts = split_streams(&*leaf.selection, n_partitions);
        let scan = Self {
            leaf: Arc::new(leaf),
            parts,
        };
        OperatorExec::partitioned(scan, Vec::new(), schema, n_partitions)
    }
}

impl Operator for Scan {
    const NAME: &'static str = "ScanExec";

    fn describe(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:?} of {} series",
            self.leaf.function.kind,
            self.leaf.selection.n_series()
        )
    }

    fn counted(&self) -> Option<&Counted> {
        Some(&self.leaf.counted)
    }

    fn run(&self, run: Run<'_>) -> Result<BatchStream, QueryError> {
        let state = ScanStream {
            reader: LeafReader::new(Arc::clone(&self.leaf), &run.task),
            streams: self.parts[run.partition].clone(),
            schema: Arc::clone(&run.schema),
            n_steps: self.leaf.function.evaluation.n_steps,
        };
        let batches = futures::stream::try_unfold(state, |mut state| async move {
            Ok(state.next().await?.map(|batch| (batch, state)))
        });
        Ok(batches.boxed())
    }
}

struct ScanStream {
    reader: LeafReader,
    streams: Range<usize>,
    schema: SchemaRef,
    n_steps: usize,
}

impl ScanStream {
    fn n_series_left(&self) -> usize {
        let streams = &self.reader.leaf().selection.streams()[self.streams.clone()];
        streams
            .iter()
            .map(|stream| stream.n_lanes as usize)
            .take(4096)
            .sum()
    }

    async fn next(&mut self) -> Result<Option<Batch>, QueryError> {
        let mut builder = RowsBuilder::new(self.n_steps, self.n_series_left());
        let mut n_values = 0;
        while !builder.is_full() {
            let Some(stream_idx) = self.streams.next() else {
                self.reader.finish()?;
                break;
            };
            n_values += self
                .reader
                .read(stream_idx, |series_idx, row| builder.push(series_idx, row))?;
            let limits = &self.reader.leaf().limits;
            if limits.outstays() {
                limits.leave_caller().await;
            }
            if n_values > YIELD_VALUES {
                n_values = 0;
                tokio::task::yield_now().await;
            }
        }
        if builder.is_empty() {
            return Ok(None);
        }
        builder.finish(&self.schema).map(Some)
    }
}
