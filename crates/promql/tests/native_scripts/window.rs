//! The samples of one series around one step.

use std::sync::Arc;

use model::{FloatHistogram, Labels, TimeRange};
use promql::kernel::native::{FloatOrHistogram, Samples};

use crate::store::{self, Sample, is_stale};

/// The samples of one series in a window, kinds apart.
#[derive(Default)]
pub(crate) struct Window {
    pub(crate) labels: Labels,
    pub(crate) floats: Column<f64>,
    pub(crate) histograms: Column<Arc<FloatHistogram>>,
}

/// Samples of one kind.
pub(crate) struct Column<T> {
    timestamps_ms: Vec<i64>,
    pub(crate) values: Vec<T>,
    starts_ms: Vec<i64>,
}

impl<T> Default for Column<T> {
    fn default() -> Self {
        Self {
            timestamps_ms: Vec::new(),
            values: Vec::new(),
            starts_ms: Vec::new(),
        }
    }
}

impl<T> Column<T> {
    fn push(&mut self, at_ms: i64, value: T, start_ms: i64) {
        self.timestamps_ms.push(at_ms);
        self.values.push(value);
        self.starts_ms.push(start_ms);
    }

    pub(crate) fn samples(&self) -> Samples<'_, T> {
        Samples {
            timestamps_ms: &self.timestamps_ms,
            values: &self.values,
            starts_ms: &self.starts_ms,
        }
    }
}

impl Window {
    pub(crate) fn push(&mut self, at_ms: i64, sample: &Sample) {
        match &sample.value {
            FloatOrHistogram::Float(value) => self.floats.push(at_ms, *value, sample.start_ms),
            FloatOrHistogram::Histogram(histogram) => {
                self.histograms
                    .push(at_ms, Arc::clone(histogram), sample.start_ms);
            }
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.floats.values.is_empty() && self.histograms.values.is_empty()
    }

    pub(crate) fn from_samples(labels: &Labels, samples: &store::Samples, range: TimeRange) -> Self {
        let mut window = Self {
            labels: labels.clone(),
            ..Self::default()
        };
        for (&at_ms, sample) in samples.range(range.start_ms + 1..=range.end_ms) {
            if !is_stale(&sample.value) {
                window.push(at_ms, sample);
            }
        }
        window
    }
}
