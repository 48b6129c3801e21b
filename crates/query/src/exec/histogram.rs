//! `histogram_quantile` and `histogram_fraction`: the buckets of a classic histogram, one series each, are folded into one
//! value per step; a native histogram has all of them in itself.

use std::fmt;
use std::sync::Arc;

use arrow_schema::SchemaRef;
use promql::annotation::Annotation;
use promql::kernel::histogram::{Bucket, fraction, quantile, quantile_of_sorted};
use promql::kernel::native::{self, Notes};
use promql::kernel::window::StepTimes;

use super::collect::Dense;
use super::map::of_step;
use super::notes::NoteSink;
use super::operator::{BatchStream, Operator, OperatorExec, Plan, Run, row_batches, stream_after};
use crate::QueryError;
use crate::batch::HistogramAt;
use crate::rows::is_absent;

/// Which buckets make up each histogram.
#[derive(Debug)]
pub(crate) struct HistogramLayout {
    /// The buckets of each histogram, sorted by upper bound.
    pub(crate) histograms: Vec<Histogram>,
    /// Series without a usable `le`: their floats are left out.
    pub(crate) bad: Vec<BadSeries>,
    /// Number of input series.
    pub(crate) n_series: usize,
    /// Names are dropped late, so that annotations have them.
    pub(crate) has_names: bool,
}

/// A series without a usable `le`. It may be of native histograms.
#[derive(Debug)]
pub(crate) struct BadSeries {
    /// Which.
    pub(crate) series_idx: u32,
    /// What `le` says.
    pub(crate) le: String,
    /// The classic histogram with the same labels but for `le`, if the series has none itself.
    pub(crate) rival: Option<u32>,
}

/// The buckets of one histogram, two parallel lists, ascending in bound.
#[derive(Debug, Default)]
pub(crate) struct Histogram {
    /// Upper bounds.
    pub(crate) bounds: Vec<f64>,
    /// The series of each bucket.
    pub(crate) series: Vec<u32>,
    /// The series of native histograms with the same labels but for `le`.
    pub(crate) native: Option<u32>,
}

/// What is computed. Parameters are of each step, or one for all.
#[derive(Debug)]
pub(crate) enum HistogramFunction {
    /// Some φ-quantiles, each a series of its own.
    Quantiles(Vec<Arc<[f64]>>),
    /// The share of observations between two bounds.
    Fraction {
        /// The lower one.
        lower: Arc<[f64]>,
        /// The upper one.
        upper: Arc<[f64]>,
    },
}

/// Folds buckets, or native histograms, into one value per histogram and step, or several. The output knows the first
/// value of all classic histograms, then the second of all and so on, then the first of all series without a usable `le`,
/// which may have native histograms, and so on.
#[derive(Debug)]
pub(crate) struct HistogramFold {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    layout: HistogramLayout,
    function: HistogramFunction,
    times: StepTimes,
    /// About the argument that gives the buckets.
    notes: NoteSink,
}

impl Histogram {
    fn has_bucket(&self, counts: &Dense, step: usize) -> bool {
        let mut series = self.series.iter();
        series.any(|&series_idx| !is_absent(counts.row(series_idx as usize).values[step]))
    }
}

impl HistogramFunction {
    /// How many values it gives per histogram.
    pub(crate) fn n_values(&self) -> usize {
        match self {
            Self::Quantiles(phis) => phis.len(),
            Self::Fraction { .. } => 1,
        }
    }
}

impl HistogramFold {
    /// A node that folds the buckets `input` gives.
    pub(crate) fn plan(
        input: Plan,
        layout: HistogramLayout,
        function: HistogramFunction,
        times: StepTimes,
        notes: NoteSink,
        schema: &SchemaRef,
    ) -> Plan {
        let inner = Inner {
            layout,
            function,
            times,
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

impl Operator for HistogramFold {
    const NAME: &'static str = "HistogramExec";

    fn describe(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let layout = &self.inner.layout;
        write!(
            f,
            "{} buckets of {} histograms",
            layout.n_series,
            layout.histograms.len()
        )
    }

    fn run(&self, run: Run<'_>) -> Result<BatchStream, QueryError> {
        let input = Arc::clone(&run.inputs[0]);
        let inner = Arc::clone(&self.inner);
        let (schema, task) = (Arc::clone(&run.schema), run.task);
        let n_steps = inner.times.n_steps;
        Ok(stream_after(async move {
            let counts = Dense::of_plan(&input, inner.layout.n_series, n_steps, &task).await?;
            inner.note_bad(&counts);
            let (n_histograms, n_bad) = (inner.layout.histograms.len(), inner.layout.bad.len());
            let n_values = inner.function.n_values();
            let mut scratch = Scratch::default();
            let n_rows = (n_histograms + n_bad) * n_values;
            Ok(row_batches(n_rows, n_steps, schema, move |position, row| {
                if let Some(position) = position.checked_sub(n_histograms * n_values) {
                    let bad = &inner.layout.bad[position % n_bad];
                    inner.evaluate_native(bad, &counts, position / n_bad, &mut row.values);
                } else {
                    let histogram = &inner.layout.histograms[position % n_histograms];
                    let nth = position / n_histograms;
                    inner.fold(histogram, &counts, nth, &mut scratch, &mut row.values);
                }
                Ok(())
            }))
        }))
    }
}

#[derive(Debug, Default)]
struct Scratch {
    counts: Vec<f64>,
    buckets: Vec<Bucket>,
}

impl Inner {
    /// Warns of series without a usable `le`, if they have a value.
    fn note_bad(&self, counts: &Dense) {
        for BadSeries { series_idx, le, .. } in &self.layout.bad {
            let row = counts.row(*series_idx as usize);
            if row.values.iter().any(|&count| !is_absent(count)) {
                self.notes.add(Annotation::BadBucketLabel {
                    metric: self.name(*series_idx),
                    value: le.clone(),
                });
            }
        }
    }

    /// What annotations call a series.
    fn name(&self, series_idx: u32) -> String {
        if self.layout.has_names {
            self.notes.metric(series_idx)
        } else {
            String::new()
        }
    }

    /// The `nth` value of a native histogram at each step. A classic one with the same labels takes it away.
    fn evaluate_native(&self, bad: &BadSeries, counts: &Dense, nth: usize, row: &mut [f64]) {
        let mut notes = Notes::default();
        for HistogramAt { step, value } in counts.row(bad.series_idx as usize).histograms {
            let step = *step as usize;
            let rival = bad.rival.map(|rival| &self.layout.histograms[rival as usize]);
            if rival.is_some_and(|rival| rival.has_bucket(counts, step)) {
                let metric = self.name(bad.series_idx);
                self.notes.add(Annotation::MixedClassicNative { metric });
                continue;
            }
            row[step] = match &self.function {
                HistogramFunction::Quantiles(phis) => {
                    native::quantile(of_step(&phis[nth], step), value, &mut notes)
                }
                HistogramFunction::Fraction { lower, upper } => {
                    native::fraction(of_step(lower, step), of_step(upper, step), value, &mut notes)
                }
            };
        }
        if !notes.is_empty() {
            self.notes.named(notes, &self.name(bad.series_idx));
        }
    }

    /// The `nth` value of a histogram at each step.
    fn fold(
        &self,
        histogram: &Histogram,
        counts: &Dense,
        nth: usize,
        scratch: &mut Scratch,
        row: &mut [f64],
    ) {
        let is_strict = histogram.bounds.windows(2).all(|pair| pair[0] < pair[1]);
        for (step, value) in row.iter_mut().enumerate() {
            let at_step = histogram
                .series
                .iter()
                .map(|&series_idx| counts.row(series_idx as usize).values[step]);
            scratch.counts.clear();
            scratch.counts.extend(at_step);
            if let Some(native) = histogram.native
                && counts.row(native as usize).histogram(step).is_some()
            {
                continue;
            }
            let n_absent = scratch.counts.iter().filter(|&&count| is_absent(count)).count();
            if n_absent < scratch.counts.len() {
                *value = self.value(histogram, nth, scratch, is_strict && n_absent == 0, step);
            }
        }
    }

    /// The value at one step; `is_whole` when every bucket has a count and bounds ascend strictly.
    fn value(
        &self,
        histogram: &Histogram,
        nth: usize,
        scratch: &mut Scratch,
        is_whole: bool,
        step: usize,
    ) -> f64 {
        let buckets = histogram.bounds.iter().zip(&scratch.counts);
        let buckets = buckets.filter(|(_, count)| !is_absent(**count));
        let buckets = buckets.map(|(&upper_bound, &count)| Bucket { upper_bound, count });
        match &self.function {
            HistogramFunction::Quantiles(phis) => {
                let phi = of_step(&phis[nth], step);
                let found = if is_whole {
                    quantile_of_sorted(phi, &histogram.bounds, &mut scratch.counts)
                } else {
                    scratch.buckets.clear();
                    scratch.buckets.extend(buckets);
                    quantile(phi, &mut scratch.buckets)
                };
                if let Some(repair) = found.repair {
                    let annotation = Annotation::forced_monotonicity(
                        self.name(histogram.series[0]),
                        self.times.at(step),
                        repair,
                    );
                    self.notes.add(annotation);
                }
                found.value
            }
            HistogramFunction::Fraction { lower, upper } => {
                scratch.buckets.clear();
                scratch.buckets.extend(buckets);
                fraction(of_step(lower, step), of_step(upper, step), &mut scratch.buckets)
            }
        }
    }
}
