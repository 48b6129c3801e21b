//! Custom bounds that differ.

use std::sync::Arc;

use model::FloatHistogram;
use model::histogram::{Buckets, BucketsBuilder};

use crate::kernel::sum::kahan_add;

/// The bounds that both have.
pub(super) fn intersection(left: &[f64], right: &[f64]) -> Arc<[f64]> {
    let mut right = right.iter().copied().peekable();
    left.iter()
        .copied()
        .filter(|bound| {
            while right.next_if(|other| other < bound).is_some() {}
            right.next_if_eq(bound).is_some()
        })
        .collect()
}

/// Buckets of common bounds and the last one up to +Inf, with a compensation each.
#[derive(Debug)]
pub(super) struct CommonBuckets<'a> {
    bounds: &'a [f64],
    counts: Vec<f64>,
    rests: Vec<f64>,
}

impl<'a> CommonBuckets<'a> {
    pub(super) fn new(bounds: &'a [f64]) -> Self {
        Self {
            bounds,
            counts: vec![0.0; bounds.len() + 1],
            rests: vec![0.0; bounds.len() + 1],
        }
    }

    /// Adds the buckets of a histogram, or takes them away if `sign` is −1. `rests` are parallel to its buckets or
    /// empty.
    pub(super) fn add(&mut self, histogram: &FloatHistogram, sign: f64, rests: &[f64]) {
        let mut target = 0;
        for (position, (index, count)) in histogram.positive.iter().enumerate() {
            let upper = histogram.bound(index);
            while self.bounds.get(target).is_some_and(|bound| *bound < upper) {
                target += 1;
            }
            self.add_to(target, sign * count);
            if let Some(&rest) = rests.get(position) {
                self.add_to(target, sign * rest);
            }
        }
    }

    fn add_to(&mut self, target: usize, count: f64) {
        let (sum, rest) = (&mut self.counts[target], &mut self.rests[target]);
        (*sum, *rest) = kahan_add(*sum, *rest, count);
    }

    /// The sums, not compensated.
    pub(super) fn counts(&self) -> &[f64] {
        &self.counts
    }

    /// The buckets that are not empty, and their compensations.
    pub(super) fn finish(self) -> (Buckets, Vec<f64>) {
        let mut buckets = BucketsBuilder::default();
        let mut rests = Vec::new();
        for (index, (count, rest)) in (0..).zip(self.counts.into_iter().zip(self.rests)) {
            if count != 0.0 || rest != 0.0 {
                buckets.push(index, count);
                rests.push(rest);
            }
        }
        (buckets.finish(), rests)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn common_bounds_keep_their_order() {
        let check = |left: &[f64], right: &[f64], expected: &[f64]| {
            assert_eq!(*intersection(left, right), *expected);
            assert_eq!(*intersection(right, left), *expected);
        };
        check(&[1.0, 2.0, 3.0], &[2.0, 3.0, 4.0], &[2.0, 3.0]);
        check(&[1.0, 3.0], &[2.0], &[]);
        check(&[], &[2.0], &[]);
        check(&[-1.0, 0.0, 5.0], &[-1.0, 5.0, 6.0, 7.0], &[-1.0, 5.0]);
    }
}
