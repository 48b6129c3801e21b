//! Compensated sums and means.
//!
//! Kahan summation with Neumaier's improvement, exactly in the order of Prometheus 3.14 (`util/kahansum`), so that
//! `sum` and `avg` give the same bits when they see the same values in the same order.

/// A running compensated sum.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct KahanSum {
    sum: f64,
    compensation: f64,
}

impl KahanSum {
    /// Adds one value.
    #[inline]
    pub fn add(&mut self, value: f64) {
        (self.sum, self.compensation) = kahan_add(self.sum, self.compensation, value);
    }

    /// The sum so far, 0 if nothing was added.
    #[inline]
    #[must_use]
    pub fn value(&self) -> f64 {
        self.sum + self.compensation
    }

    /// Adds another sum, as if its values had been added one by one; equal to that up to rounding of the last bits.
    #[inline]
    pub fn merge(&mut self, other: &Self) {
        self.add(other.sum);
        // An overflow has cleared the compensation, and a finite rest must not bring it back.
        if self.sum.is_finite() {
            self.compensation += other.compensation;
        }
    }
}

/// One step of the sum: the new sum and the new compensation. Written without branches, so that loops over columns of
/// sums turn into vector code.
#[inline]
#[must_use]
pub fn kahan_add(sum: f64, compensation: f64, value: f64) -> (f64, f64) {
    let total = sum + value;
    let (larger, smaller) = if sum.abs() >= value.abs() {
        (sum, value)
    } else {
        (value, sum)
    };
    let compensated = compensation + ((larger - total) + smaller);
    let compensation = if total.abs() > f64::MAX { 0.0 } else { compensated };
    (total, compensation)
}

/// A running mean: the compensated sum divided by the count, or, once that sum would overflow, an incremental mean.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Mean {
    /// The sum, or the mean itself once `incremental` is set.
    total: KahanSum,
    count: f64,
    incremental: bool,
}

impl Mean {
    /// Adds one value.
    #[inline]
    pub fn add(&mut self, value: f64) {
        self.count += 1.0;
        if self.count == 1.0 {
            // An infinite first value is no overflow.
            self.total.sum = value;
            return;
        }
        if !self.incremental {
            let mut total = self.total;
            total.add(value);
            if !total.sum.is_infinite() {
                self.total = total;
                return;
            }
            self.switch_to_incremental(self.count - 1.0);
        }
        let weight = (self.count - 1.0) / self.count;
        let KahanSum { sum, compensation } = self.total;
        (self.total.sum, self.total.compensation) =
            kahan_add(weight * sum, weight * compensation, value / self.count);
    }

    /// The mean so far; `None` if nothing was added.
    #[inline]
    #[must_use]
    pub fn value(&self) -> Option<f64> {
        let KahanSum { sum, compensation } = self.total;
        if self.count == 0.0 {
            None
        } else if self.incremental {
            Some(sum + compensation)
        } else {
            Some(sum / self.count + compensation / self.count)
        }
    }

    /// Adds the values of another mean; equal to adding them one by one up to rounding of the last bits.
    pub fn merge(&mut self, other: &Self) {
        if other.count == 0.0 {
            return;
        }
        if self.count == 0.0 {
            *self = *other;
            return;
        }
        let count = self.count + other.count;
        if !self.incremental && !other.incremental {
            let mut total = self.total;
            total.merge(&other.total);
            if !total.sum.is_infinite() {
                self.total = total;
                self.count = count;
                return;
            }
        }
        let mut other = *other;
        self.switch_to_incremental(self.count);
        other.switch_to_incremental(other.count);
        let (weight, other_weight) = (self.count / count, other.count / count);
        self.total.sum *= weight;
        self.total.compensation *= weight;
        self.total.merge(&KahanSum {
            sum: other.total.sum * other_weight,
            compensation: other.total.compensation * other_weight,
        });
        self.count = count;
    }

    fn switch_to_incremental(&mut self, count: f64) {
        if !self.incremental {
            self.incremental = true;
            self.total.sum /= count;
            self.total.compensation /= count;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sum(values: &[f64]) -> f64 {
        let mut sum = KahanSum::default();
        values.iter().for_each(|&value| sum.add(value));
        sum.value()
    }

    fn mean(values: &[f64]) -> f64 {
        let mut mean = Mean::default();
        values.iter().for_each(|&value| mean.add(value));
        mean.value().unwrap()
    }

    #[test]
    fn small_terms_survive_large_ones() {
        assert_eq!(sum(&[1.0, 1e100, 1.0, -1e100]), 2.0);
        assert_eq!(sum(&[2.0, 8.0, 1e100, -1e100]), 10.0);
        assert_eq!(mean(&[2.0, 8.0, 1e100, -1e100]), 2.5);
        assert_eq!(sum(&[]), 0.0);
    }

    #[test]
    fn infinities_stay_and_cancel_to_nan() {
        assert_eq!(sum(&[f64::INFINITY, 2.0]), f64::INFINITY);
        assert_eq!(sum(&[2.0, f64::NEG_INFINITY]), f64::NEG_INFINITY);
        assert!(sum(&[f64::INFINITY, f64::NEG_INFINITY]).is_nan());
        assert_eq!(mean(&[f64::INFINITY, 0.0, f64::INFINITY]), f64::INFINITY);
        assert_eq!(
            mean(&[0.0, f64::NEG_INFINITY, f64::NEG_INFINITY]),
            f64::NEG_INFINITY
        );
        assert!(mean(&[f64::NEG_INFINITY, 0.0, f64::INFINITY]).is_nan());
        assert!(mean(&[1.0, f64::NAN]).is_nan());
    }

    #[test]
    fn a_mean_does_not_overflow_with_its_sum() {
        let big = 9.98846567431158e307;
        assert_eq!(sum(&[big, big]), f64::INFINITY);
        assert_eq!(mean(&[big, big]), big);
        assert_eq!(mean(&[-big, -big, -big]), -big);
        assert_eq!(mean(&[-big, -big, big, big]), 0.0);
    }

    #[test]
    fn a_mean_of_equal_values_is_exact() {
        for n in 1..200 {
            assert_eq!(mean(&vec![52.0; n]), 52.0);
        }
    }

    #[test]
    fn merged_means_survive_overflow() {
        let big = 9.98846567431158e307;
        let mut left = Mean::default();
        left.add(big);
        let mut right = left;
        right.add(big);
        right.add(big);
        left.merge(&right);
        assert!((left.value().unwrap() / big - 1.0).abs() < 1e-15);
        let mut empty = Mean::default();
        empty.merge(&left);
        assert_eq!(empty, left);
        empty.merge(&Mean::default());
        assert_eq!(empty, left);
    }

    proptest! {
        #[test]
        fn merging_equals_adding_one_by_one(
            left in prop::collection::vec(-1e12_f64..1e12, 0..50),
            right in prop::collection::vec(-1e12_f64..1e12, 1..50),
        ) {
            let whole: Vec<f64> = left.iter().chain(&right).copied().collect();
            let (mut sums, mut means) = ([KahanSum::default(); 2], [Mean::default(); 2]);
            for (part, values) in [left, right].iter().enumerate() {
                for &value in values {
                    sums[part].add(value);
                    means[part].add(value);
                }
            }
            let [mut sum_of_both, other] = sums;
            sum_of_both.merge(&other);
            let [mut mean_of_both, other] = means;
            mean_of_both.merge(&other);
            prop_assert!((sum_of_both.value() - sum(&whole)).abs() <= 1e-15 * whole.iter().map(|v| v.abs()).sum::<f64>());
            prop_assert!((mean_of_both.value().unwrap() - mean(&whole)).abs() <= 1e-3);
        }
    }
}
