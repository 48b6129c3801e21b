//! Samples and staleness.

use crate::histogram::{FloatHistogram, HistogramColumns, HistogramError, NativeHistogram};
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

/// Samples of many series: parallel columns, in the order of arrival.
#[derive(Debug, Clone, Default)]
pub struct SampleBatch {
    /// Whose sample it is.
    pub series: Vec<SeriesRef>,
    /// Milliseconds since the epoch.
    pub timestamps_ms: Vec<TimestampMs>,
    /// Values, bit for bit as received; the sum of a native histogram.
    pub values: Vec<f64>,
    /// Those of the samples that are native histograms.
    pub histograms: HistogramColumns,
    /// When the counter of each sample began, 0 where nobody says so. May be shorter than the other columns, and is
    /// empty for most batches: nobody says so of the rest.
    pub starts_ms: Vec<TimestampMs>,
}

impl SampleBatch {
    /// An empty batch with room for `n_samples`.
    #[must_use]
    pub fn with_capacity(n_samples: usize) -> Self {
        Self {
            series: Vec::with_capacity(n_samples),
            timestamps_ms: Vec::with_capacity(n_samples),
            values: Vec::with_capacity(n_samples),
            ..Self::default()
        }
    }

    /// Adds one sample.
    pub fn push(&mut self, series: SeriesRef, timestamp_ms: TimestampMs, value: f64) {
        self.series.push(series);
        self.timestamps_ms.push(timestamp_ms);
        self.values.push(value);
    }

    /// Adds one sample that is a native histogram.
    ///
    /// # Panics
    /// If counts and layout do not fit.
    pub fn push_histogram(
        &mut self,
        series: SeriesRef,
        timestamp_ms: TimestampMs,
        histogram: NativeHistogram<'_>,
    ) {
        self.histograms.push(self.len(), histogram);
        self.push(series, timestamp_ms, histogram.sum);
    }

    /// As [`Self::push_histogram`] for a histogram of floats.
    ///
    /// # Errors
    /// [`HistogramError::TooManyBuckets`]; then nothing is added.
    pub fn push_float_histogram(
        &mut self,
        series: SeriesRef,
        timestamp_ms: TimestampMs,
        histogram: &FloatHistogram,
    ) -> Result<(), HistogramError> {
        self.histograms.push_float(self.len(), histogram)?;
        self.push(series, timestamp_ms, histogram.sum);
        Ok(())
    }

    /// Says when the counter of the last sample began.
    pub fn set_last_start(&mut self, start_ms: TimestampMs) {
        let Some(last) = self.len().checked_sub(1) else {
            return;
        };
        if start_ms != 0 || last < self.starts_ms.len() {
            self.starts_ms.resize(last, 0);
            self.starts_ms.push(start_ms);
        }
    }

    /// When the counter of a sample began, 0 if that is not known.
    #[inline]
    #[must_use]
    pub fn start_ms(&self, row: usize) -> TimestampMs {
        self.starts_ms.get(row).copied().unwrap_or(0)
    }

    /// True when there is more to the samples than three columns: histograms or start timestamps.
    #[inline]
    #[must_use]
    pub fn is_extended(&self) -> bool {
        !self.histograms.is_empty() || !self.starts_ms.is_empty()
    }

    /// Adds a sample of another batch with all that belongs to it.
    ///
    /// # Panics
    /// If the other batch has no such row.
    pub fn push_from(&mut self, other: &Self, row: usize) {
        let (series, timestamp_ms, value) = (other.series[row], other.timestamps_ms[row], other.values[row]);
        let position = other.histograms.lower_bound(row);
        let histogram = other.histograms.get(position, value);
        if let Some(histogram) = histogram.filter(|_| other.histograms.row(position) == Some(row)) {
            self.histograms.push_from(self.len(), histogram);
        }
        self.push(series, timestamp_ms, value);
        self.set_last_start(other.start_ms(row));
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{LaneIdx, StreamId};

    #[test]
    fn samples_move_with_all_that_belongs_to_them() {
        let series = |lane: u16| SeriesRef {
            stream: StreamId(0),
            lane: LaneIdx(lane),
        };
        let histogram = FloatHistogram {
            count: 3.0,
            sum: 4.5,
            ..FloatHistogram::default()
        };
        let mut batch = SampleBatch::default();
        batch.push(series(0), 10, 1.0);
        batch.push_float_histogram(series(1), 20, &histogram).unwrap();
        batch.set_last_start(15);
        batch.push(series(2), 30, 2.0);
        assert_eq!(batch.starts_ms, [0, 15]);

        let mut moved = SampleBatch::default();
        for row in [1, 2, 1] {
            moved.push_from(&batch, row);
        }
        assert_eq!(moved.timestamps_ms, [20, 30, 20]);
        assert_eq!(moved.starts_ms, [15, 0, 15]);
        assert_eq!(moved.histograms.len(), 2);
        assert_eq!(moved.histograms.row(1), Some(2));
        let read = moved.histograms.get(1, moved.values[2]).unwrap();
        assert_eq!(read.to_float().unwrap(), histogram);
    }
}
