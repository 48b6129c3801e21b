//! When two histograms are equal: three answers for three purposes.
//!
//! - `==` is sameness of everything that is stored, bit for bit: layout, hint, NaN payloads.
//! - [`FloatHistogram::is_same_data`] is what PromQL's `==` and `changes` ask: bit for bit, without the hint.
//! - [`FloatHistogram::is_almost`] is for tests: within a tolerance and whatever the layout.

use super::{Buckets, FloatHistogram};
use crate::number::almost_equal;

impl PartialEq for FloatHistogram {
    fn eq(&self, other: &Self) -> bool {
        self.counter_reset_hint == other.counter_reset_hint
            && same_bits(self.zero_threshold, other.zero_threshold)
            && same_bits_of_all(&self.custom_bounds, &other.custom_bounds)
            && self.has_counts_of(other)
    }
}

impl Eq for FloatHistogram {}

impl PartialEq for Buckets {
    fn eq(&self, other: &Self) -> bool {
        self.has_layout_of(other) && same_bits_of_all(self.counts(), other.counts())
    }
}

impl Eq for Buckets {}

impl FloatHistogram {
    /// True when both hold the same counts bit for bit in the same layout; the counter reset hint does not matter.
    ///
    /// Source: Prometheus `FloatHistogram.Equals`.
    #[must_use]
    pub fn is_same_data(&self, other: &Self) -> bool {
        self.zero_threshold == other.zero_threshold
            && (!self.is_custom() || self.has_bounds_of(other))
            && self.has_counts_of(other)
    }

    fn has_counts_of(&self, other: &Self) -> bool {
        self.schema == other.schema
            && same_bits(self.count, other.count)
            && same_bits(self.sum, other.sum)
            && same_bits(self.zero_count, other.zero_count)
            && self.negative == other.negative
            && self.positive == other.positive
    }

    /// True when both have equal custom bounds.
    #[must_use]
    pub fn has_bounds_of(&self, other: &Self) -> bool {
        self.custom_bounds == other.custom_bounds
    }

    /// True when both are equal within a relative tolerance after empty buckets have been left out. Schema, bounds and
    /// zero threshold must be equal; the hint does not matter.
    ///
    /// Source: Prometheus `promql/promqltest`.
    #[must_use]
    pub fn is_almost(&self, other: &Self, tolerance: f64) -> bool {
        let (mut left, mut right) = (self.clone(), other.clone());
        left.compact(0);
        right.compact(0);
        let almost = |left: f64, right: f64| almost_equal(left, right, tolerance);
        let almost_all = |left: &Buckets, right: &Buckets| {
            left.has_layout_of(right)
                && left
                    .counts()
                    .iter()
                    .zip(right.counts())
                    .all(|(&left, &right)| almost(left, right))
        };
        left.schema == right.schema
            && almost(left.count, right.count)
            && almost(left.sum, right.sum)
            && (!left.is_custom() || left.has_bounds_of(&right))
            && left.zero_threshold == right.zero_threshold
            && almost(left.zero_count, right.zero_count)
            && almost_all(&left.negative, &right.negative)
            && almost_all(&left.positive, &right.positive)
    }
}

fn same_bits(left: f64, right: f64) -> bool {
    left.to_bits() == right.to_bits()
}

fn same_bits_of_all(left: &[f64], right: &[f64]) -> bool {
    left.len() == right.len()
        && left
            .iter()
            .zip(right)
            .all(|(&left, &right)| same_bits(left, right))
}
