//! Numbers about one histogram.

use model::FloatHistogram;

use crate::kernel::sum::KahanSum;

/// `histogram_count`.
#[must_use]
pub fn count(histogram: &FloatHistogram) -> f64 {
    histogram.count
}

/// `histogram_sum`.
#[must_use]
pub fn sum(histogram: &FloatHistogram) -> f64 {
    histogram.sum
}

/// `histogram_avg`: NaN without observations.
#[must_use]
pub fn avg(histogram: &FloatHistogram) -> f64 {
    histogram.sum / histogram.count
}

/// `histogram_stdvar`: as if all observations of a bucket were in its middle, the geometric one of exponential buckets,
/// the arithmetic one of custom buckets, 0 for the zero bucket. NaN without observations.
#[must_use]
pub fn variance(histogram: &FloatHistogram) -> f64 {
    let mean = avg(histogram);
    let mut squares = KahanSum::default();
    for bucket in histogram.buckets().filter(|bucket| bucket.count != 0.0) {
        let (lower, upper) = (bucket.lower, bucket.upper);
        let middle = if histogram.is_custom() {
            (upper + lower) / 2.0
        } else if lower <= 0.0 && upper >= 0.0 {
            0.0
        } else {
            let middle = (upper * lower).sqrt();
            if upper < 0.0 { -middle } else { middle }
        };
        let distance = middle - mean;
        squares.add(bucket.count * distance * distance);
    }
    squares.value() / histogram.count
}

/// `histogram_stddev`.
#[must_use]
pub fn deviation(histogram: &FloatHistogram) -> f64 {
    variance(histogram).sqrt()
}
