//! From the samples of one series to one value per step, for all that is rare: series with native histograms, series with
//! start timestamps, and extended ranges. A series may change from one kind of sample to the other, so floats and
//! histograms are kept apart, each with windows of its own.

use std::ops::Range;
use std::sync::Arc;

use model::{FloatHistogram, TimeRange, TimestampMs};
use promql::kernel::native::reset::{resets, statistics_only};
use promql::kernel::native::{
    FloatOrHistogram, MixedWindow, NativeRangeFunction, Notes, Samples, sample_weight, smoothed,
};
use promql::kernel::range::RangeFunction;
use promql::kernel::window::windows;

use super::lane::{Beyond, LaneFunction, LaneFunctionKind, function_of_step, seconds};
use super::tally::Shares;
use crate::QueryError;
use crate::batch::{Row, RowBuffer};
use crate::context::{Limits, Patience};

/// Collects the samples of one series and evaluates them. Keeps its buffers.
#[derive(Debug)]
pub(crate) struct MixedLane {
    floats: Column<f64>,
    histograms: Column<Arc<FloatHistogram>>,
    /// How many floats the histograms up to and including each one count for.
    weights: Vec<usize>,
    row: RowBuffer,
    patience: Patience,
}

/// Samples of one kind.
#[derive(Debug)]
struct Column<T> {
    timestamps_ms: Vec<TimestampMs>,
    values: Vec<T>,
    /// Start timestamps; empty if they are not used.
    starts_ms: Vec<TimestampMs>,
    /// Those of each step.
    windows: Vec<Range<usize>>,
}

/// What became of a series.
#[derive(Debug)]
pub(crate) struct Evaluated<'a> {
    /// Its values.
    pub(crate) row: Row<'a>,
    /// For how many floats its samples count.
    pub(crate) n_samples: usize,
    /// The same for what all steps together see.
    pub(crate) n_seen: usize,
    /// What there is to say.
    pub(crate) notes: Notes,
    floats: &'a Column<f64>,
    histograms: &'a Column<Arc<FloatHistogram>>,
    weights: &'a [usize],
}

impl Evaluated<'_> {
    /// What each step saw and read.
    pub(crate) fn shares(&self, function: &LaneFunction) -> Shares {
        let windows = self.floats.windows.iter().zip(&self.histograms.windows);
        let seen = windows.enumerate().map(|(step, (floats, histograms))| {
            if function.is_newest() {
                return match self.row.histogram(step) {
                    Some(histogram) => sample_weight(histogram) as u64,
                    None => u64::from(self.row.is_present(step)),
                };
            }
            (floats.len() + weight_of(self.weights, histograms)) as u64
        });
        let floats = self.floats.timestamps_ms.iter().map(|&time_ms| (time_ms, 1));
        let histograms = self.histograms.timestamps_ms.iter().zip(&self.histograms.values);
        let histograms = histograms.map(|(&time_ms, value)| (time_ms, sample_weight(value) as u64));
        let mut samples: Vec<(TimestampMs, u64)> = floats.chain(histograms).collect();
        samples.sort_unstable();
        Shares::of_weights(function.times, seen, samples.into_iter())
    }
}

/// For how many floats the histograms at `rows` count; `weights` are sums up to and including each.
fn weight_of(weights: &[usize], rows: &Range<usize>) -> usize {
    match (rows.is_empty(), rows.start) {
        (true, _) => 0,
        (false, 0) => weights[rows.end - 1],
        (false, start) => weights[rows.end - 1] - weights[start - 1],
    }
}

impl<T> Column<T> {
    fn new() -> Self {
        Self {
            timestamps_ms: Vec::new(),
            values: Vec::new(),
            starts_ms: Vec::new(),
            windows: Vec::new(),
        }
    }

    fn clear(&mut self) {
        self.timestamps_ms.clear();
        self.values.clear();
        self.starts_ms.clear();
    }

    fn push(&mut self, timestamp_ms: TimestampMs, value: T, start_ms: Option<TimestampMs>) {
        self.timestamps_ms.push(timestamp_ms);
        self.values.push(value);
        self.starts_ms.extend(start_ms);
    }

    fn find_windows(&mut self, function: &LaneFunction) {
        let (times, window_ms) = function.seen();
        self.windows.clear();
        self.windows
            .extend(windows(&self.timestamps_ms, times, window_ms));
    }

    /// What a step sees.
    fn at(&self, step: usize) -> Samples<'_, T> {
        let rows = self.windows[step].clone();
        Samples {
            timestamps_ms: &self.timestamps_ms[rows.clone()],
            values: &self.values[rows.clone()],
            starts_ms: self.starts_ms.get(rows).unwrap_or_default(),
        }
    }
}

impl MixedLane {
    /// No samples, for rows of `n_steps`.
    pub(crate) fn new(n_steps: usize, limits: &Limits) -> Self {
        Self {
            floats: Column::new(),
            histograms: Column::new(),
            weights: Vec::new(),
            row: RowBuffer::new(n_steps),
            patience: Patience::new(limits),
        }
    }

    /// Forgets the samples of the series before.
    pub(crate) fn clear(&mut self) {
        self.floats.clear();
        self.histograms.clear();
        self.row.clear();
    }

    /// Adds a float, with its start timestamp if those of the series are used. Times ascend.
    pub(crate) fn push_float(
        &mut self,
        timestamp_ms: TimestampMs,
        value: f64,
        start_ms: Option<TimestampMs>,
    ) {
        self.floats.push(timestamp_ms, value, start_ms);
    }

    /// Adds a histogram, as [`Self::push_float`] does.
    pub(crate) fn push_histogram(
        &mut self,
        timestamp_ms: TimestampMs,
        value: Arc<FloatHistogram>,
        start_ms: Option<TimestampMs>,
    ) {
        self.histograms.push(timestamp_ms, value, start_ms);
    }

    /// The row of the series whose samples were added.
    pub(crate) fn evaluate(&mut self, function: &LaneFunction) -> Result<Evaluated<'_>, QueryError> {
        if function.skips_buckets {
            self.histograms.values = statistics_only(&self.histograms.values);
        }
        self.floats.find_windows(function);
        self.histograms.find_windows(function);
        self.weigh();
        let mut notes = Notes::default();
        match &function.kind {
            LaneFunctionKind::Newest => self.newest(|_, _, value| value),
            LaneFunctionKind::NewestTime => self.newest(|timestamp_ms, _, _| seconds(timestamp_ms).into()),
            LaneFunctionKind::NewestStart => self.newest(|_, start_ms, _| seconds(start_ms).into()),
            LaneFunctionKind::NewestFloatTime => {
                self.newest(|timestamp_ms, _, value| float_time(timestamp_ms, &value));
            }
            LaneFunctionKind::Smoothed => self.smoothed(function, &mut notes),
            LaneFunctionKind::Rate(kind) => {
                let function_at = |_| Ok(RangeFunction::Extrapolated(*kind));
                self.windowed(function, kind.is_counter(), function_at, &mut notes)?;
            }
            LaneFunctionKind::Window(functions) => {
                let has_resets = matches!(functions.first(), Some(Ok(RangeFunction::Resets)));
                let function_at = |step| function_of_step(functions, step);
                self.windowed(function, has_resets, function_at, &mut notes)?;
            }
        }
        let n_histograms = |rows: &Range<usize>| weight_of(&self.weights, rows);
        let n_floats: usize = self.floats.windows.iter().map(ExactSizeIterator::len).sum();
        Ok(Evaluated {
            row: self.row.as_row(),
            n_samples: self.floats.values.len() + self.weights.last().copied().unwrap_or(0),
            n_seen: n_floats + self.histograms.windows.iter().map(n_histograms).sum::<usize>(),
            notes,
            floats: &self.floats,
            histograms: &self.histograms,
            weights: &self.weights,
        })
    }

    /// Makes the row that of one newest sample, which all steps see.
    pub(crate) fn repeat(
        &mut self,
        function: &LaneFunction,
        timestamp_ms: TimestampMs,
        histogram: &Arc<FloatHistogram>,
    ) {
        self.row.clear();
        for step in 0..self.row.values.len() {
            let histogram = FloatOrHistogram::Histogram(Arc::clone(histogram));
            let value = match function.kind {
                LaneFunctionKind::NewestTime => seconds(timestamp_ms).into(),
                LaneFunctionKind::NewestFloatTime => float_time(timestamp_ms, &histogram),
                _ => histogram,
            };
            self.row.push(step, value);
        }
    }

    /// The row last made.
    pub(crate) fn row(&self) -> Row<'_> {
        self.row.as_row()
    }

    fn weigh(&mut self) {
        self.weights.clear();
        let mut total = 0;
        self.weights
            .extend(self.histograms.values.iter().map(|histogram| {
                total += sample_weight(histogram);
                total
            }));
    }

    /// The newest sample of each step, unless it is a staleness marker.
    /// `value_of` makes a value of its time, its start timestamp (0 if there is none) and what it is.
    fn newest(&mut self, value_of: impl Fn(TimestampMs, TimestampMs, FloatOrHistogram) -> FloatOrHistogram) {
        for step in 0..self.row.values.len() {
            let (floats, histograms) = (self.floats.at(step), self.histograms.at(step));
            let float_ms = floats.timestamps_ms.last();
            let newest = match (histograms.timestamps_ms.last(), histograms.values.last()) {
                (Some(&histogram_ms), Some(histogram)) if float_ms.is_none_or(|&ms| ms < histogram_ms) => {
                    let value = FloatOrHistogram::Histogram(Arc::clone(histogram));
                    Some((histogram_ms, histograms.starts_ms.last(), value))
                }
                _ => float_ms
                    .zip(floats.values.last())
                    .and_then(|(&float_ms, &value)| {
                        let start_ms = floats.starts_ms.last();
                        (!model::is_stale_nan(value)).then_some((float_ms, start_ms, value.into()))
                    }),
            };
            if let Some((timestamp_ms, start_ms, value)) = newest {
                let start_ms = start_ms.copied().unwrap_or(0);
                self.row.push(step, value_of(timestamp_ms, start_ms, value));
            }
        }
    }

    /// The value of each step on a line between the samples around it.
    fn smoothed(&mut self, function: &LaneFunction, notes: &mut Notes) {
        for step in 0..self.row.values.len() {
            let (floats, histograms) = (self.floats.at(step), self.histograms.at(step));
            if floats.is_empty() && histograms.is_empty() {
                continue;
            }
            if let Some(value) = smoothed(floats, histograms, function.times.at(step), notes) {
                self.row.push(step, value);
            }
        }
    }

    /// A function of the window of each step. `needs_resets` if it asks for counter resets, which are then looked for
    /// once for all windows.
    fn windowed(
        &mut self,
        function: &LaneFunction,
        needs_resets: bool,
        function_at: impl Fn(usize) -> Result<RangeFunction, QueryError>,
        notes: &mut Notes,
    ) -> Result<(), QueryError> {
        let resets = if needs_resets && self.row.values.len() > 1 {
            resets(&self.histograms.values)
        } else {
            Vec::new()
        };
        for step in 0..self.row.values.len() {
            let window = MixedWindow {
                floats: self.floats.at(step),
                histograms: self.histograms.at(step),
                resets: resets
                    .get(self.histograms.windows[step].clone())
                    .unwrap_or_default(),
                range: TimeRange::ending_at(function.times.at(step), function.window_ms),
                evaluation_ms: function.evaluation.at(step),
            };
            if window.is_empty() {
                continue;
            }
            // Some histograms are a hundred numbers.
            self.patience
                .spend(window.floats.values.len() + 64 * window.histograms.values.len())?;
            let at_step = NativeRangeFunction(function_at(step)?);
            let found = match function.beyond {
                None => at_step.evaluate(&window, notes),
                Some(Beyond { extension, .. }) => at_step.evaluate_extended(extension, &window, notes),
            };
            if let Some(value) = found {
                self.row.push(step, value);
            }
        }
        Ok(())
    }
}

/// The time of a float; NaN for a histogram.
fn float_time(timestamp_ms: TimestampMs, value: &FloatOrHistogram) -> FloatOrHistogram {
    match value {
        FloatOrHistogram::Float(_) => seconds(timestamp_ms).into(),
        FloatOrHistogram::Histogram(_) => f64::NAN.into(),
    }
}
