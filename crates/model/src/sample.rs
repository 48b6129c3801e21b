//! Samples and staleness.

use crate::series::SeriesRef;
use crate::time::TimestampMs;

/// The NaN that ends a series. Any other NaN is a value. Compare bits, not floats.
///
/// Source: Prometheus `model/value`, `StaleNaN`.
pub const STALE_NAN_BITS: u64 = 0x7ff0_0000_0000_0002;

/// The staleness marker as a value.
#[must_use]
pub fn stale_nan() -> f64 {
    f64::from_bits(STALE_NAN_BITS)
}

/// True when `value` is the staleness marker.
#[must_use]
pub fn is_stale_nan(value: f64) -> bool {
    value.to_bits() == STALE_NAN_BITS
}

/// One value at one time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sample {
    /// Milliseconds since the epoch.
    pub timestamp_ms: TimestampMs,
    /// Any bits, NaN payloads included.
    pub value: f64,
}

/// Samples of many series: three parallel columns, in the order of arrival.
#[derive(Debug, Clone, Default)]
pub struct SampleBatch {
    /// Whose sample it is.
    pub series: Vec<SeriesRef>,
    /// Milliseconds since the epoch.
    pub timestamps_ms: Vec<TimestampMs>,
    /// Values, bit for bit as received.
    pub values: Vec<f64>,
}

impl SampleBatch {
    /// An empty batch with room for `n_samples`.
    #[must_use]
    pub fn with_capacity(n_samples: usize) -> Self {
        Self {
            series: Vec::with_capacity(n_samples),
            timestamps_ms: Vec::with_capacity(n_samples),
            values: Vec::with_capacity(n_samples),
        }
    }

    /// Adds one sample.
    pub fn push(&mut self, series: SeriesRef, timestamp_ms: TimestampMs, value: f64) {
        self.series.push(series);
        self.timestamps_ms.push(timestamp_ms);
        self.values.push(value);
    }

    /// Number of samples.
    #[must_use]
    pub fn len(&self) -> usize {
        self.series.len()
    }

    /// True when there is no sample.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.series.is_empty()
    }
}
