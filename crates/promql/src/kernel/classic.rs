//! Classic histograms as native ones with custom buckets (NHCB).
//!
//! Source: Prometheus 3.14 `util/convertnhcb`.

use model::FloatHistogram;
use model::histogram::{Buckets, HistogramError, Schema, Span};

/// Why this is no classic histogram.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ClassicError {
    /// A count is negative.
    #[error("a count of {0} is negative")]
    NegativeCount(f64),
    /// A bucket holds less than the one below it.
    #[error("the bucket up to {bound} holds {count}, which does not fit its neighbours")]
    NotCumulative {
        /// Its `le`.
        bound: f64,
        /// Its count.
        count: f64,
    },
    /// The last bucket does not hold all observations.
    #[error("there are {count} observations, but {in_buckets} in the last bucket")]
    CountMismatch {
        /// All observations.
        count: f64,
        /// The count of the last bucket.
        in_buckets: f64,
    },
    /// The result is no valid histogram.
    #[error(transparent)]
    Invalid(#[from] HistogramError),
}

/// One classic histogram at one time, put together from its series.
#[derive(Debug, Clone, Default)]
pub struct ClassicHistogram {
    /// Bounds and cumulative counts, ascending.
    buckets: Vec<(f64, f64)>,
    count: Option<f64>,
    sum: f64,
}

impl ClassicHistogram {
    /// Takes the value of `_sum`; 0 without.
    pub fn set_sum(&mut self, sum: f64) {
        self.sum = sum;
    }

    /// Takes the value of `_count`; without, the highest bucket counts.
    ///
    /// # Errors
    /// [`ClassicError::NegativeCount`].
    pub fn set_count(&mut self, count: f64) -> Result<(), ClassicError> {
        if count < 0.0 {
            return Err(ClassicError::NegativeCount(count));
        }
        self.count = Some(count);
        Ok(())
    }

    /// Takes the count of the bucket up to `bound`, which may not be NaN. Of two with equal bounds the first one holds.
    ///
    /// # Errors
    /// [`ClassicError::NegativeCount`], [`ClassicError::NotCumulative`].
    pub fn set_bucket(&mut self, bound: f64, count: f64) -> Result<(), ClassicError> {
        if count < 0.0 {
            return Err(ClassicError::NegativeCount(count));
        }
        let position = self.buckets.partition_point(|(other, _)| *other < bound);
        let at = |position: Option<usize>| position.and_then(|position| self.buckets.get(position)).copied();
        if at(Some(position)).is_some_and(|(other, _)| other == bound) {
            return Ok(());
        }
        let falls = at(position.checked_sub(1)).is_some_and(|(_, below)| count < below);
        if falls || at(Some(position)).is_some_and(|(_, above)| count > above) {
            return Err(ClassicError::NotCumulative { bound, count });
        }
        self.buckets.insert(position, (bound, count));
        Ok(())
    }

    /// The native histogram.
    ///
    /// # Errors
    /// [`ClassicError::CountMismatch`], [`ClassicError::Invalid`].
    pub fn convert(mut self) -> Result<FloatHistogram, ClassicError> {
        let last = self.buckets.last().copied();
        let count = self.count.or(last.map(|(_, count)| count)).unwrap_or(0.0);
        if last.is_none_or(|(bound, _)| bound != f64::INFINITY) {
            self.buckets.push((f64::INFINITY, count));
        }
        let in_buckets = self.buckets.last().map_or(0.0, |(_, count)| *count);
        if count != in_buckets || count.is_nan() {
            return Err(ClassicError::CountMismatch { count, in_buckets });
        }
        let is_integer = self.buckets.iter().all(|(_, count)| count.fract() == 0.0);
        let mut below = 0.0;
        let counts: Vec<f64> = self
            .buckets
            .iter()
            .map(|(_, count)| count - std::mem::replace(&mut below, *count))
            .collect();
        self.buckets.pop();
        let span = Span {
            offset: 0,
            length: u32::try_from(counts.len()).unwrap_or(u32::MAX),
        };
        let mut histogram = FloatHistogram {
            schema: Schema::CUSTOM,
            count,
            sum: self.sum,
            positive: Buckets::new(&[span], counts)?,
            custom_bounds: self.buckets.iter().map(|(bound, _)| *bound).collect(),
            ..FloatHistogram::default()
        };
        // Prometheus makes integer histograms where it can, and keeps short gaps in those.
        histogram.compact(if is_integer { 2 } else { 0 });
        histogram.validate()?;
        Ok(histogram)
    }
}
