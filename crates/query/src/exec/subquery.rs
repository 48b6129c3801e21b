//! A function of a window over the values of another expression: `max_over_time(expr[1h:1m])`.

use std::fmt;
use std::sync::Arc;

use arrow_schema::SchemaRef;
use model::FloatHistogram;
use model::TimestampMs;
use model::histogram::CounterResetHint;

use super::lane::{LaneEvaluator, LaneFunction};
use super::mixed_lane::MixedLane;
use super::notes::NoteSink;
use super::operator::{BatchStream, Operator, OperatorExec, Plan, Run, stream_mapped};
use super::tally::{Shares, Tally};
use super::watch::Watch;
use crate::QueryError;
use crate::batch::Row;
use crate::context::Limits;
use crate::rows::{Rows, RowsBuilder, is_absent};

/// Evaluates a function of a window on rows whose steps are the samples.
#[derive(Debug)]
pub(crate) struct Subquery {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    function: LaneFunction,
    /// The times of the input's steps.
    timestamps_ms: Vec<TimestampMs>,
    watch: Option<Watch>,
    notes: NoteSink,
    limits: Limits,
    tally: Tally,
}

impl Subquery {
    /// A node that evaluates `function` on `input`, whose steps are at `timestamps_ms`.
    pub(crate) fn plan(
        input: Plan,
        function: LaneFunction,
        timestamps_ms: Vec<TimestampMs>,
        (watch, notes): (Option<Watch>, NoteSink),
        (limits, tally): (Limits, Tally),
        schema: &SchemaRef,
    ) -> Plan {
        let inner = Inner {
            function,
            timestamps_ms,
            watch,
            notes,
            limits,
            tally,
        };
        OperatorExec::like_input(
            Self {
                inner: Arc::new(inner),
            },
            vec![input],
            schema,
        )
    }
}

impl Operator for Subquery {
    const NAME: &'static str = "SubqueryExec";

    fn describe(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:?} over {} steps",
            self.inner.function.kind,
            self.inner.timestamps_ms.len()
        )
    }

    fn run(&self, run: Run<'_>) -> Result<BatchStream, QueryError> {
        let inner = Arc::clone(&self.inner);
        let schema = Arc::clone(&run.schema);
        let mut evaluator = LaneEvaluator::new(&inner.function, &inner.limits);
        let n_in_windows = evaluator.prepare(&inner.function, &inner.timestamps_ms);
        let mut mixed = MixedLane::new(inner.function.evaluation.n_steps, &inner.limits);
        stream_mapped(&run, move |batch| {
            inner.limits.check()?;
            let rows = Rows::of(batch)?;
            let mut builder = RowsBuilder::new(inner.function.evaluation.n_steps, rows.series.len());
            let mut n_queryable = 0;
            for (series_idx, samples) in rows.iter() {
                if !samples.histograms.is_empty() {
                    n_queryable += inner.evaluate_mixed(series_idx, samples, &mut mixed)? as u64;
                    builder.push(series_idx, mixed.row());
                    continue;
                }
                let (times, values) = (&inner.timestamps_ms, samples.values);
                let (row, n_seen) = if values.iter().any(|&value| is_absent(value)) {
                    evaluator.own(&inner.function, times, values, |step| !is_absent(values[step]))?
                } else {
                    (evaluator.shared(&inner.function, times, values)?, n_in_windows)
                };
                if inner.tally.is_by_step() {
                    let steps = (0..values.len()).filter(|&step| !is_absent(values[step]));
                    let present_ms: Vec<TimestampMs> = steps.map(|step| times[step]).collect();
                    let shares = Shares::of(&inner.function, &present_ms, row);
                    inner.tally.add_shares(&shares.unread(), 1);
                }
                n_queryable += n_seen as u64;
                if let Some(watch) = &inner.watch {
                    watch.note(series_idx, row);
                }
                builder.push(series_idx, Row::of_floats(row));
            }
            if !inner.tally.is_by_step() {
                inner.tally.add(n_queryable, 0);
            }
            inner
                .limits
                .add_samples(0, n_queryable * inner.tally.weight(), 0)?;
            builder.finish(&schema)
        })
    }
}

impl Inner {
    /// Evaluates a series with histograms, and gives for how many floats count what all steps together see.
    fn evaluate_mixed(
        &self,
        series_idx: u32,
        samples: Row<'_>,
        mixed: &mut MixedLane,
    ) -> Result<usize, QueryError> {
        mixed.clear();
        for (step, &timestamp_ms) in self.timestamps_ms.iter().enumerate() {
            match samples.histogram(step) {
                Some(histogram) => mixed.push_histogram(timestamp_ms, without_hint(histogram), None),
                None if is_absent(samples.values[step]) => {}
                None => mixed.push_float(timestamp_ms, samples.values[step], None),
            }
        }
        let evaluated = mixed.evaluate(&self.function)?;
        if self.tally.is_by_step() {
            let shares = evaluated.shares(&self.function);
            self.tally.add_shares(&shares.unread(), 1);
        }
        self.notes.of_series(series_idx, evaluated.notes);
        if let Some(watch) = &self.watch {
            watch.note(series_idx, evaluated.row.values);
        }
        Ok(evaluated.n_seen)
    }
}

/// What an expression gives at two steps are no samples in succession, so that hints say nothing; a gauge stays one.
fn without_hint(histogram: &Arc<FloatHistogram>) -> Arc<FloatHistogram> {
    match histogram.counter_reset_hint {
        CounterResetHint::Unknown | CounterResetHint::Gauge => Arc::clone(histogram),
        CounterResetHint::Reset | CounterResetHint::NotReset => Arc::new(FloatHistogram {
            counter_reset_hint: CounterResetHint::Unknown,
            ..FloatHistogram::clone(histogram)
        }),
    }
}
