//! A sample value of either kind.

use std::sync::Arc;

use model::FloatHistogram;

/// A float or a native histogram. Histograms are shared, because the same one is seen by many windows and passed on by
/// many operators; [`Arc::make_mut`] makes a copy only where there is another holder.
#[derive(Debug, Clone, PartialEq)]
pub enum FloatOrHistogram {
    /// A float.
    Float(f64),
    /// A native histogram.
    Histogram(Arc<FloatHistogram>),
}

impl FloatOrHistogram {
    /// The histogram, if it is one.
    #[must_use]
    pub fn histogram(&self) -> Option<&FloatHistogram> {
        match self {
            Self::Histogram(histogram) => Some(histogram),
            Self::Float(_) => None,
        }
    }
}

impl From<f64> for FloatOrHistogram {
    fn from(value: f64) -> Self {
        Self::Float(value)
    }
}

impl From<FloatHistogram> for FloatOrHistogram {
    fn from(histogram: FloatHistogram) -> Self {
        Self::Histogram(Arc::new(histogram))
    }
}

/// For how many float samples a histogram counts against the limit of samples of a query: its size in bytes, as
/// Prometheus 3.14 lays it out on 64 bits, with its timestamp, in units of 16.
#[must_use]
pub fn sample_weight(histogram: &FloatHistogram) -> usize {
    const FIELDS_BYTES: usize = 168;
    const TIMESTAMP_BYTES: usize = 8;
    let n_words = [&histogram.positive, &histogram.negative]
        .iter()
        .map(|side| side.spans().len() + side.len())
        .sum::<usize>()
        + histogram.custom_bounds.len();
    (FIELDS_BYTES + TIMESTAMP_BYTES + 8 * n_words) / 16
}
