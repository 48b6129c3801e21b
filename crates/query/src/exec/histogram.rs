//! `histogram_quantile` and `histogram_fraction` of classic histograms: the buckets of a histogram, one series each, are
//! folded into one value per step.

use std::fmt;
use std::sync::Arc;

use arrow_schema::SchemaRef;
use promql::annotation::Annotation;
use promql::ast::Span;
use promql::kernel::histogram::{Bucket, fraction, quantile, quantile_of_sorted};
use promql::kernel::window::StepTimes;

use super::collect::Dense;
use super::map::of_step;
use super::operator::{BatchStream, Operator, OperatorExec, Plan, Run, row_batches, stream_after};
use crate::QueryError;
use crate::annotations::Annotations;
use crate::labels::Column;
use crate::rows::is_absent;

/// Which buckets make up each histogram.
#[derive(Debug)]
pub(crate) struct HistogramLayout {
    /// The buckets of each histogram, sorted by upper bound.
    pub(crate) histograms: Vec<Histogram>,
    /// Series without a usable `le`, and what it says.
    pub(crate) bad: Vec<(u32, String)>,
    /// Number of input series.
    pub(crate) n_series: usize,
    /// The metric names of the input series, for annotations; only if names are dropped late.
    pub(crate) names: Option<Arc<Column>>,
}

/// The buckets of one histogram, two parallel lists, ascending in bound.
#[derive(Debug, Default)]
pub(crate) struct Histogram {
    /// Upper bounds.
    pub(crate) bounds: Vec<f64>,
    /// The series of each bucket.
    pub(crate) series: Vec<u32>,
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

/// Folds buckets into one value per histogram and step, or several. The output knows the first value of all histograms,
/// then the second of all.
#[derive(Debug)]
pub(crate) struct HistogramFold {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    layout: HistogramLayout,
    function: HistogramFunction,
    times: StepTimes,
    annotations: Annotations,
    /// Of the argument that gives the buckets.
    span: Span,
}

impl HistogramLayout {
    fn metric_name(&self, series_idx: u32) -> String {
        let name = self
            .names
            .as_ref()
            .map(|names| names.value(series_idx as usize).to_string());
        name.unwrap_or_default()
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
        (annotations, span): (Annotations, Span),
        schema: &SchemaRef,
    ) -> Plan {
        let inner = Inner {
            layout,
            function,
            times,
            annotations,
            span,
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
            let n_histograms = inner.layout.histograms.len();
            let n_rows = n_histograms * inner.function.n_values();
            let mut scratch = Scratch::default();
            Ok(row_batches(n_rows, n_steps, schema, move |series_idx, row| {
                let (nth, histogram) = (series_idx / n_histograms, series_idx % n_histograms);
                inner.fold(
                    &inner.layout.histograms[histogram],
                    &counts,
                    nth,
                    &mut scratch,
                    &mut row.values,
                );
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
        for (series_idx, value) in &self.layout.bad {
            if counts
                .row(*series_idx as usize)
                .values
                .iter()
                .any(|&count| !is_absent(count))
            {
                let annotation = Annotation::BadBucketLabel {
                    metric: self.layout.metric_name(*series_idx),
                    value: value.clone(),
                };
                self.annotations.add(annotation, self.span);
            }
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
                        self.layout.metric_name(histogram.series[0]),
                        self.times.at(step),
                        repair,
                    );
                    self.annotations.add(annotation, self.span);
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
