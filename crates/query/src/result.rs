//! What a query gives back: label sets as columns, points as arrays, nothing copied into strings.

use std::sync::Arc;
use std::time::Duration;

use datafusion_execution::memory_pool::MemoryReservation;
use model::{FloatHistogram, TimestampMs};

use crate::explain::Explained;
use crate::labels::LabelSets;
use crate::points::Points;

/// The answer to a query.
#[derive(Debug)]
pub struct QueryResult {
    /// The value.
    pub value: Value,
    /// `PromQL warning: …` texts with position, at most ten and a note on the rest; also `results truncated due to
    /// limit`.
    pub warnings: Vec<String>,
    /// `PromQL info: …` texts, as above.
    pub infos: Vec<String>,
    /// What it cost.
    pub stats: QueryStats,
    /// What the operators did, if that was asked for and there are any.
    pub explained: Option<Explained>,
}

/// The value of a query, by type.
#[derive(Debug)]
pub enum Value {
    /// One number at the evaluation time.
    Scalar {
        /// The evaluation time.
        timestamp_ms: TimestampMs,
        /// The number.
        value: f64,
    },
    /// A text.
    String {
        /// The evaluation time.
        timestamp_ms: TimestampMs,
        /// The text.
        text: String,
    },
    /// Exactly one point per series, all at the evaluation time. In the order of `sort()` or `topk()` where the
    /// query asks for it, else in the order of the store.
    Vector(SeriesSet),
    /// The points of each series, ascending in time, at least one each, floats or histograms; series sorted by labels.
    Matrix(SeriesSet),
}

/// Series with their labels and points.
#[derive(Debug)]
pub struct SeriesSet {
    pub(crate) labels: LabelSets,
    pub(crate) points: Points,
    /// Held for as long as the result is.
    pub(crate) _reservations: Vec<MemoryReservation>,
}

/// What a query cost.
#[derive(Debug, Clone, Default)]
pub struct QueryStats {
    /// Samples read from the store, each once per selector.
    pub samples_read: u64,
    /// Samples that the evaluation could see, summed over steps (`totalQueryableSamples`).
    pub samples_queryable: u64,
    /// Of each step, if that was asked for: when it is, samples that it could see, and samples read for it that no step
    /// before it had read. They add up to the two numbers above.
    pub per_step: Option<Vec<(TimestampMs, u64, u64)>>,
    /// Largest number of bytes that the operators of this query held at once.
    pub peak_bytes: u64,
    /// Waiting for a free slot.
    pub queue_time: Duration,
    /// Parsing and planning, listing of series included.
    pub prepare_time: Duration,
    /// Running the operators.
    pub eval_time: Duration,
    /// Sorting and assembling the result.
    pub sort_time: Duration,
}

/// The newest sample of each series, for `/federate`.
#[derive(Debug)]
pub struct NewestSamples {
    pub(crate) labels: LabelSets,
    pub(crate) samples: Vec<(TimestampMs, f64)>,
}

impl SeriesSet {
    /// Number of series.
    #[must_use]
    pub fn n_series(&self) -> usize {
        self.labels.n_series()
    }

    /// The labels of one series, sorted by name; the metric name is `__name__` among them.
    ///
    /// # Panics
    /// If `series_idx` is not below [`Self::n_series`].
    pub fn labels(&self, series_idx: usize) -> impl Iterator<Item = (&str, &str)> {
        self.labels.labels(series_idx)
    }

    /// The floats of one series, ascending in time.
    ///
    /// # Panics
    /// If `series_idx` is not below [`Self::n_series`].
    pub fn points(&self, series_idx: usize) -> impl Iterator<Item = (TimestampMs, f64)> + '_ {
        self.points.of_series(series_idx)
    }

    /// The native histograms of one series, ascending in time, at other times than its floats.
    ///
    /// # Panics
    /// If `series_idx` is not below [`Self::n_series`].
    pub fn histograms(&self, series_idx: usize) -> impl Iterator<Item = (TimestampMs, &FloatHistogram)> + '_ {
        self.points.histograms_of_series(series_idx)
    }
}

impl NewestSamples {
    /// Number of series.
    #[must_use]
    pub fn n_series(&self) -> usize {
        self.labels.n_series()
    }

    /// The labels of one series, sorted by name.
    ///
    /// # Panics
    /// If `series_idx` is not below [`Self::n_series`].
    pub fn labels(&self, series_idx: usize) -> impl Iterator<Item = (&str, &str)> {
        self.labels.labels(series_idx)
    }

    /// The newest sample of one series: its own time and its value, never a staleness marker.
    ///
    /// # Panics
    /// If `series_idx` is not below [`Self::n_series`].
    #[must_use]
    pub fn sample(&self, series_idx: usize) -> (TimestampMs, f64) {
        self.samples[series_idx]
    }
}

/// Shared text; label names and values are handed around as this.
pub(crate) type Text = Arc<str>;
