//! Buckets with their bounds, in order of values.

use super::{FloatHistogram, exponential_bound};

/// A bucket with its bounds. The default is empty, at 0.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Bucket {
    /// −Inf for the first custom bucket.
    pub lower: f64,
    /// +Inf for the last custom bucket.
    pub upper: f64,
    /// The lower bound belongs to it: below zero, for the zero bucket, and for the first custom bucket.
    pub includes_lower: bool,
    /// The upper bound belongs to it: above zero, for the zero bucket, and for custom buckets.
    pub includes_upper: bool,
    /// Observations in it.
    pub count: f64,
}

impl FloatHistogram {
    /// The upper bound of the bucket `index` of the positive side; its lower bound is that of `index - 1`. ±Inf outside
    /// of the custom bounds.
    #[must_use]
    pub fn bound(&self, index: i32) -> f64 {
        if !self.is_custom() {
            return exponential_bound(self.schema, index);
        }
        match usize::try_from(index) {
            Ok(index) => self.custom_bounds.get(index).copied().unwrap_or(f64::INFINITY),
            Err(_) => f64::NEG_INFINITY,
        }
    }

    /// The positive side, or all custom buckets, ascending.
    pub fn positive_buckets(&self) -> impl DoubleEndedIterator<Item = Bucket> + Clone + '_ {
        self.positive.iter().map(|(index, count)| Bucket {
            lower: self.bound(index - 1),
            upper: self.bound(index),
            includes_lower: index == 0 && self.is_custom(),
            includes_upper: true,
            count,
        })
    }

    /// The negative side from zero downwards.
    pub fn negative_buckets(&self) -> impl DoubleEndedIterator<Item = Bucket> + Clone + '_ {
        self.negative.iter().map(|(index, count)| Bucket {
            lower: -self.bound(index),
            upper: -self.bound(index - 1),
            includes_lower: true,
            includes_upper: false,
            count,
        })
    }

    /// The bucket around zero, even if it is empty; `None` with custom buckets.
    #[must_use]
    pub fn zero_bucket(&self) -> Option<Bucket> {
        (!self.is_custom()).then_some(Bucket {
            lower: -self.zero_threshold,
            upper: self.zero_threshold,
            includes_lower: true,
            includes_upper: true,
            count: self.zero_count,
        })
    }

    /// All buckets in order of values: the negative side, the zero bucket if it holds anything, the positive side.
    /// Where a bucket overlaps the zero bucket it is cut at the zero threshold.
    pub fn buckets(&self) -> impl DoubleEndedIterator<Item = Bucket> + Clone + '_ {
        let threshold = self.zero_threshold;
        let cut = move |bucket: Bucket| Bucket {
            lower: if bucket.lower > 0.0 && bucket.lower < threshold {
                threshold
            } else {
                bucket.lower
            },
            upper: if bucket.upper < 0.0 && bucket.upper > -threshold {
                -threshold
            } else {
                bucket.upper
            },
            ..bucket
        };
        let zero = self.zero_bucket().filter(|zero| zero.count > 0.0);
        let negative = self.negative_buckets().rev().map(cut);
        negative.chain(zero).chain(self.positive_buckets().map(cut))
    }
}
