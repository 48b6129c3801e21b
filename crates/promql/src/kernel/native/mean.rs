//! The mean of histograms.

use model::FloatHistogram;

use super::arithmetic::{Combined, MixedSchemas, divide};
use super::compensated::Compensated;

/// A running mean: the compensated sum divided by the number, or, once a number in that sum would overflow, an
/// incremental mean.
#[derive(Debug, Clone)]
pub struct HistogramMean {
    /// The sum, or the mean itself once `incremental` is set.
    total: Compensated,
    n: f64,
    incremental: bool,
    /// No number in the sum is larger.
    magnitude: f64,
}

impl HistogramMean {
    /// The mean of one.
    #[must_use]
    pub fn new(first: FloatHistogram) -> Self {
        Self {
            magnitude: magnitude(&first),
            total: Compensated::new(first),
            n: 1.0,
            incremental: false,
        }
    }

    /// Takes in one more.
    ///
    /// # Errors
    /// If one has exponential and the other custom buckets; what the mean is then is not specified.
    pub fn add(&mut self, histogram: &FloatHistogram) -> Result<Combined, MixedSchemas> {
        self.n += 1.0;
        if !self.incremental {
            self.magnitude += magnitude(histogram);
            // As long as not even all numbers together come near an overflow, none has to be looked for.
            if self.magnitude < f64::MAX / 2.0 {
                return self.total.add(histogram);
            }
            let mut total = self.total.clone();
            let combined = total.add(histogram)?;
            if !has_overflow(total.value()) {
                self.total = total;
                return Ok(combined);
            }
            self.incremental = true;
            self.total.divide(self.n - 1.0);
        }
        self.total.multiply((self.n - 1.0) / self.n);
        let mut share = histogram.clone();
        divide(&mut share, self.n);
        self.total.add(&share)
    }

    /// Takes in another mean.
    ///
    /// # Errors
    /// As [`Self::add`].
    pub(super) fn merge(&mut self, mut other: Self) -> Result<Combined, MixedSchemas> {
        let (n, n_other) = (self.n, other.n);
        self.n += n_other;
        self.magnitude += other.magnitude;
        if !self.incremental && !other.incremental && self.magnitude < f64::MAX / 2.0 {
            return self.total.merge(&other.total);
        }
        for (mean, n_own) in [(&mut *self, n), (&mut other, n_other)] {
            if !mean.incremental {
                mean.total.divide(n_own);
            }
        }
        self.incremental = true;
        self.total.multiply(n / self.n);
        other.total.multiply(n_other / self.n);
        self.total.merge(&other.total)
    }

    /// The mean. It is not compacted.
    #[must_use]
    pub fn finish(mut self) -> FloatHistogram {
        if !self.incremental {
            self.total.divide(self.n);
        }
        self.total.finish()
    }
}

fn numbers(histogram: &FloatHistogram) -> impl Iterator<Item = f64> + '_ {
    let buckets = histogram
        .positive
        .counts()
        .iter()
        .chain(histogram.negative.counts());
    [histogram.zero_count, histogram.count, histogram.sum]
        .into_iter()
        .chain(buckets.copied())
}

/// The sum of all absolute values: buckets may be added up when the resolution falls.
fn magnitude(histogram: &FloatHistogram) -> f64 {
    numbers(histogram).map(f64::abs).sum()
}

fn has_overflow(histogram: &FloatHistogram) -> bool {
    let bounds = histogram.custom_bounds.iter().copied();
    numbers(histogram).chain(bounds).any(f64::is_infinite)
}
