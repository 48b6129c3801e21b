//! What one step sees of a series that may hold histograms.

use std::ops::Range;
use std::sync::Arc;

use model::{FloatHistogram, TimeRange, TimestampMs};

use super::reset::is_reset;
use crate::kernel::start::is_start_reset;

/// Samples of one kind: parallel slices, strictly ascending in time.
#[derive(Debug)]
pub struct Samples<'a, T> {
    /// When.
    pub timestamps_ms: &'a [TimestampMs],
    /// No staleness markers.
    pub values: &'a [T],
    /// Start timestamps, 0 where unknown; or empty, if there are none or they are not to be used.
    pub starts_ms: &'a [TimestampMs],
}

impl<T> Clone for Samples<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Samples<'_, T> {}

impl<T> Default for Samples<'_, T> {
    fn default() -> Self {
        Self {
            timestamps_ms: &[],
            values: &[],
            starts_ms: &[],
        }
    }
}

impl<'a, T> Samples<'a, T> {
    /// Number of samples.
    #[must_use]
    pub fn len(&self) -> usize {
        self.values.len()
    }

    /// True when there is no sample.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// Some of the samples.
    ///
    /// # Panics
    /// If `rows` are not rows of the slices.
    #[must_use]
    pub fn rows(&self, rows: Range<usize>) -> Self {
        Self {
            timestamps_ms: &self.timestamps_ms[rows.clone()],
            values: &self.values[rows.clone()],
            starts_ms: self.starts_ms.get(rows).unwrap_or_default(),
        }
    }

    /// The start timestamp of a sample, 0 if unknown.
    pub(super) fn start_ms(&self, row: usize) -> TimestampMs {
        self.starts_ms.get(row).copied().unwrap_or(0)
    }

    /// True when start timestamps tell of a reset between a sample and the one before it.
    pub(super) fn is_start_reset(&self, row: usize) -> bool {
        if self.starts_ms.is_empty() || row == 0 {
            return false;
        }
        is_start_reset(
            self.start_ms(row - 1),
            self.timestamps_ms[row - 1],
            self.start_ms(row),
            self.timestamps_ms[row],
        )
    }
}

/// The samples one step of one series sees, floats and histograms apart. A series is of one kind as a rule; while it
/// changes, both are there, and no timestamp is in both.
#[derive(Debug, Clone, Copy)]
pub struct MixedWindow<'a> {
    /// The floats.
    pub floats: Samples<'a, f64>,
    /// The histograms.
    pub histograms: Samples<'a, Arc<FloatHistogram>>,
    /// The part of [`super::reset::resets`] of the series that is parallel to `histograms`; or empty, and resets are
    /// looked for in each window again.
    pub resets: &'a [bool],
    /// Where the samples come from, offset and `@` applied. With an [`super::Extension`] there are samples outside.
    pub range: TimeRange,
    /// The evaluation time itself, without offset or `@`.
    pub evaluation_ms: TimestampMs,
}

impl<'a> MixedWindow<'a> {
    /// True when there is no sample at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.floats.is_empty() && self.histograms.is_empty()
    }

    /// Without the first samples of either kind.
    pub(super) fn skip(&self, n_floats: usize, n_histograms: usize) -> Self {
        Self {
            floats: self.floats.rows(n_floats..self.floats.len()),
            histograms: self.histograms.rows(n_histograms..self.histograms.len()),
            resets: self.resets.get(n_histograms..).unwrap_or_default(),
            ..*self
        }
    }

    /// True when the values of a histogram and the one before it show a counter reset.
    pub(super) fn is_value_reset(&self, row: usize) -> bool {
        let known = self.resets.get(row).copied();
        known.unwrap_or_else(|| match self.histograms.values.get(row.wrapping_sub(1)..=row) {
            Some([previous, current]) => is_reset(current, previous),
            _ => false,
        })
    }

    /// True when values or start timestamps show a counter reset between a histogram and the one before it.
    pub(super) fn is_reset(&self, row: usize) -> bool {
        self.histograms.is_start_reset(row) || self.is_value_reset(row)
    }

    /// All samples in order of time.
    pub(super) fn in_order(&self) -> impl Iterator<Item = Element<'a>> + use<'a> {
        let window = *self;
        let (mut float_row, mut histogram_row) = (0, 0);
        std::iter::from_fn(move || {
            let float_ms = window.floats.timestamps_ms.get(float_row);
            let histogram_ms = window.histograms.timestamps_ms.get(histogram_row);
            let is_float = match (float_ms, histogram_ms) {
                (Some(float_ms), Some(histogram_ms)) => float_ms < histogram_ms,
                (float_ms, None) => {
                    float_ms?;
                    true
                }
                (None, Some(_)) => false,
            };
            Some(if is_float {
                float_row += 1;
                window.float(float_row - 1)
            } else {
                histogram_row += 1;
                window.histogram(histogram_row - 1)
            })
        })
    }

    /// The last two samples of whatever kind, in order of time.
    pub(super) fn last_two(&self) -> Option<[Element<'a>; 2]> {
        let n_before = |n: usize| n.saturating_sub(2);
        let tail = self.skip(n_before(self.floats.len()), n_before(self.histograms.len()));
        let last: Vec<_> = tail.in_order().collect();
        last.last_chunk().copied()
    }

    fn float(&self, row: usize) -> Element<'a> {
        Element {
            timestamp_ms: self.floats.timestamps_ms[row],
            start_ms: self.floats.start_ms(row),
            value: ElementValue::Float(self.floats.values[row]),
        }
    }

    fn histogram(&self, row: usize) -> Element<'a> {
        Element {
            timestamp_ms: self.histograms.timestamps_ms[row],
            start_ms: self.histograms.start_ms(row),
            value: ElementValue::Histogram(&self.histograms.values[row], row),
        }
    }
}

/// One sample.
#[derive(Debug, Clone, Copy)]
pub(super) struct Element<'a> {
    pub(super) timestamp_ms: TimestampMs,
    pub(super) start_ms: TimestampMs,
    pub(super) value: ElementValue<'a>,
}

/// Its value.
#[derive(Debug, Clone, Copy)]
pub(super) enum ElementValue<'a> {
    Float(f64),
    /// With its row in the window.
    Histogram(&'a Arc<FloatHistogram>, usize),
}

impl Element<'_> {
    /// True when start timestamps tell of a reset since `previous`.
    pub(super) fn is_start_reset_after(&self, previous: &Self) -> bool {
        is_start_reset(
            previous.start_ms,
            previous.timestamp_ms,
            self.start_ms,
            self.timestamp_ms,
        )
    }
}
