//! `topk`, `bottomk`, `limitk`: some of the series of each group, as they are.

use std::fmt;
use std::sync::Arc;

use arrow_schema::SchemaRef;
use datafusion_execution::TaskContext;
use promql::annotation::Annotation;
use promql::ast::AggregateOp;
use promql::kernel::aggregate::{BestK, Extreme};
use promql::kernel::native::FloatOrHistogram;

use super::collect::Dense;
use super::map::of_step;
use super::notes::NoteSink;
use super::operator::{BatchStream, Operator, OperatorExec, Plan, Run, stream_after};
use crate::QueryError;
use crate::batch::{Batch, HistogramAt, RowBuffer};
use crate::labels::Groups;
use crate::rows::{RowsBuilder, is_absent};

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
    notes: NoteSink,
}

impl KeepSome {
    /// A node that keeps `k` series of each group of `input`.
    pub(crate) fn plan(
        input: Plan,
        (choice, notes): (Choice, NoteSink),
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
            notes,
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

    fn run(&self, run: Run<'_>) -> Result<BatchStream, QueryError> {
        let input = Arc::clone(&run.inputs[0]);
        let inner = Arc::clone(&self.inner);
        let (schema, task) = (Arc::clone(&run.schema), run.task);
        Ok(stream_after(async move {
            let values = Dense::of_plan(&input, inner.n_series, inner.n_steps, &task).await?;
            inner.note_ignored(&values);
            let batches: Box<dyn Iterator<Item = _> + Send> = if inner.n_steps == 1 {
                Box::new(inner.in_order(&values, &schema)?.into_iter().map(Ok))
            } else {
                let kept = inner.by_step(&values, &task)?;
                Box::new(kept.into_batches(schema))
            };
            Ok(batches)
        }))
    }
}

impl Inner {
    /// Says that histograms are left out, if there are any at a step at which something is kept.
    fn note_ignored(&self, values: &Dense) {
        let Choice::Best(extreme) = self.choice else {
            return;
        };
        let is_left_out = |cell: &HistogramAt| of_step(&self.k, cell.step as usize) > 0;
        let mut rows = (0..values.n_series()).map(|series_idx| values.row(series_idx));
        if values.has_histograms() && rows.any(|row| row.histograms.iter().any(is_left_out)) {
            let op = match extreme {
                Extreme::Largest => AggregateOp::Topk,
                Extreme::Smallest => AggregateOp::Bottomk,
            };
            self.notes.add(Annotation::HistogramIgnoredInAggregation {
                aggregation: op.as_str(),
            });
        }
    }

    /// The series kept at one step, best first, group by group.
    fn choose(&self, values: &Dense, step: usize) -> Vec<u32> {
        let k = of_step(&self.k, step);
        let mut chosen = Vec::new();
        for members in &self.members {
            let row = |series_idx: u32| values.row(series_idx as usize);
            match self.choice {
                Choice::First => {
                    let present = members.iter().copied().filter(|&idx| row(idx).is_present(step));
                    chosen.extend(present.take(k));
                }
                Choice::Best(extreme) => {
                    let mut best = BestK::new(extreme, k);
                    let floats = members.iter().map(|&idx| (idx, row(idx).values[step]));
                    let floats = floats.filter(|(_, value)| !is_absent(*value));
                    floats.for_each(|(series_idx, value)| best.push(series_idx, value));
                    chosen.extend(best.take_sorted().iter().map(|ranked| ranked.idx));
                }
            }
        }
        chosen
    }

    fn by_step(&self, values: &Dense, task: &TaskContext) -> Result<Dense, QueryError> {
        let mut kept = Dense::absent(self.n_series, self.n_steps, task)?;
        for step in 0..self.n_steps {
            for series_idx in self.choose(values, step) {
                let series_idx = series_idx as usize;
                match values.row(series_idx).element(step) {
                    Some(FloatOrHistogram::Float(value)) => kept.floats_mut(series_idx)[step] = value,
                    Some(FloatOrHistogram::Histogram(value)) => {
                        kept.put_histogram(series_idx, step, value)?;
                    }
                    None => {}
                }
            }
        }
        Ok(kept)
    }

    fn in_order(&self, values: &Dense, schema: &SchemaRef) -> Result<Vec<Batch>, QueryError> {
        let chosen = self.choose(values, 0).into_iter();
        let element = |series_idx: u32| Some((series_idx, values.row(series_idx as usize).element(0)?));
        ordered_batches(chosen.filter_map(element).collect(), schema)
    }
}

/// Batches of single values in a given order.
pub(crate) fn ordered_batches(
    chosen: Vec<(u32, FloatOrHistogram)>,
    schema: &SchemaRef,
) -> Result<Vec<Batch>, QueryError> {
    let mut batches = Vec::new();
    let mut builder = RowsBuilder::new(1, chosen.len());
    let mut row = RowBuffer::new(1);
    for (series_idx, value) in chosen {
        if builder.is_full() {
            batches.push(builder.finish(schema)?);
        }
        row.clear();
        row.push(0, value);
        builder.push(series_idx, row.as_row());
    }
    batches.push(builder.finish(schema)?);
    batches.retain(|batch| batch.n_rows() > 0);
    Ok(batches)
}
