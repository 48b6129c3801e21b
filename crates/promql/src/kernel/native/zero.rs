//! The zero bucket, when two histograms do not have the same.

use model::FloatHistogram;
use model::histogram::Bucket;

use super::compensated::Rest;
use crate::kernel::sum::kahan_add;

/// A zero bucket as it would be with a larger threshold.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Widened {
    /// Observations.
    pub(super) count: f64,
    /// At least as large as asked for.
    pub(super) threshold: f64,
    /// Compensation of `count`.
    pub(super) rest: f64,
}

/// The zero bucket of a histogram with the threshold raised to `threshold`, and on to the far bound of every bucket that
/// holds something and would be cut by it. `rest` is the compensation of the histogram.
pub(super) fn widened(histogram: &FloatHistogram, rest: Option<&Rest>, threshold: f64) -> Widened {
    let mut widened = Widened {
        count: histogram.zero_count,
        threshold,
        rest: rest.map_or(0.0, |rest| rest.zero_count),
    };
    if threshold == histogram.zero_threshold {
        return widened;
    }
    let start = widened;
    loop {
        let positive = histogram
            .positive_buckets()
            .map(|bucket| (bucket.lower, bucket.upper, bucket));
        let rests = rest.map_or(&[][..], |rest| &rest.positive);
        if let Some(upper) = widened.swallow(positive, rests) {
            widened.threshold = upper;
        }
        // As distances from zero.
        let negative = histogram
            .negative_buckets()
            .map(|bucket| (-bucket.upper, -bucket.lower, bucket));
        let rests = rest.map_or(&[][..], |rest| &rest.negative);
        match widened.swallow(negative, rests) {
            // What was taken from the positive side is no longer right.
            Some(far) => {
                widened = Widened {
                    threshold: far,
                    ..start
                }
            }
            None => return widened,
        }
    }
}

impl Widened {
    /// Takes in buckets, given with their near and far bound, that begin below the threshold. Gives back the far bound of
    /// a bucket that holds something and ends above it.
    fn swallow(&mut self, buckets: impl Iterator<Item = (f64, f64, Bucket)>, rests: &[f64]) -> Option<f64> {
        for (position, (near, far, bucket)) in buckets.enumerate() {
            if near >= self.threshold {
                return None;
            }
            (self.count, self.rest) = kahan_add(self.count, self.rest, bucket.count);
            if let Some(&rest) = rests.get(position) {
                (self.count, self.rest) = kahan_add(self.count, self.rest, rest);
            }
            if far > self.threshold {
                return (bucket.count != 0.0).then_some(far);
            }
        }
        None
    }
}

/// Widens the zero bucket of `histogram` until it is one that `other` can have as well, and gives back how many
/// observations the latter would then have in it, and their compensation.
pub(super) fn reconcile(
    histogram: &mut FloatHistogram,
    mut rest: Option<&mut Rest>,
    other: &FloatHistogram,
) -> (f64, f64) {
    let mut others = Widened {
        count: other.zero_count,
        threshold: other.zero_threshold,
        rest: 0.0,
    };
    // Thresholds only grow, from bound to bound. One that is NaN compares as neither.
    loop {
        if histogram.zero_threshold > others.threshold {
            others = widened(other, None, histogram.zero_threshold);
        } else if others.threshold > histogram.zero_threshold {
            let own = widened(histogram, rest.as_deref(), others.threshold);
            histogram.zero_count = own.count;
            histogram.zero_threshold = own.threshold;
            if let Some(rest) = rest.as_deref_mut() {
                rest.zero_count = own.rest;
            }
            empty_inside(histogram, rest.as_deref_mut());
        } else {
            return (others.count, others.rest);
        }
    }
}

/// Takes away the buckets that have become part of the zero bucket, and all empty ones with them.
fn empty_inside(histogram: &mut FloatHistogram, rest: Option<&mut Rest>) {
    let threshold = histogram.zero_threshold;
    let n_positive = histogram
        .positive_buckets()
        .take_while(|bucket| bucket.lower < threshold)
        .count();
    let n_negative = histogram
        .negative_buckets()
        .take_while(|bucket| bucket.upper > -threshold)
        .count();
    histogram.positive.counts_mut()[..n_positive].fill(0.0);
    histogram.negative.counts_mut()[..n_negative].fill(0.0);
    match rest {
        None => histogram.compact(0),
        Some(rest) => {
            rest.positive[..n_positive].fill(0.0);
            rest.negative[..n_negative].fill(0.0);
            rest.compact(histogram);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::histogram;
    use super::*;

    fn check(text: &str, threshold: f64, count: f64, expected_threshold: f64) {
        let widened = widened(&histogram(text), None, threshold);
        assert_eq!(
            (widened.count, widened.threshold),
            (count, expected_threshold),
            "{text}"
        );
    }

    #[test]
    fn a_wider_zero_bucket_takes_in_whole_buckets() {
        let text = "z_bucket:1 z_bucket_w:0.1 offset:-1 buckets:[2 4 8] n_offset:-1 n_buckets:[16 0 32]";
        check(text, 0.1, 1.0, 0.1);
        check(text, 0.2, 1.0, 0.2);
        check(text, 0.5, 19.0, 0.5);
        // Within a bucket of the positive side: on to its end. The negative one there is empty.
        check(text, 0.7, 23.0, 1.0);
        check(text, 1.5, 1.0 + 14.0 + 48.0, 2.0);
        check(text, 100.0, 63.0, 100.0);
        check("offset:0 buckets:[0 1]", 0.7, 0.0, 0.7);
        // Only a negative bucket is cut: the positive side is counted anew, and only once.
        check(
            "offset:1 buckets:[3 0 5] n_offset:2 n_buckets:[7]",
            2.5,
            10.0,
            4.0,
        );
    }

    #[test]
    fn two_zero_buckets_grow_until_neither_is_cut() {
        let mut left = histogram("z_bucket:1 z_bucket_w:0.6 buckets:[0 0 2]");
        let right = histogram("z_bucket:3 z_bucket_w:0.1 offset:0 buckets:[4 5]");
        assert_eq!(reconcile(&mut left, None, &right), (7.0, 0.0));
        assert_eq!((left.zero_threshold, left.zero_count), (1.0, 1.0));
        assert_eq!(left.positive.iter().collect::<Vec<_>>(), [(2, 2.0)]);
    }

    #[test]
    fn a_threshold_that_is_no_number_ends_the_search() {
        let mut left = histogram("z_bucket:1 z_bucket_w:0.5");
        let mut right = left.clone();
        right.zero_threshold = f64::NAN;
        assert_eq!(reconcile(&mut left, None, &right), (1.0, 0.0));
        assert_eq!(reconcile(&mut right, None, &left), (1.0, 0.0));
    }
}
