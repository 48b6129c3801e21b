//! Building blocks of aggregations that are no plain sums: variance, topk and bottomk, count_values. For sum and avg
//! see [`super::sum`], for quantile [`super::quantile`], for min and max [`super::over_time::smaller`] and
//! [`super::over_time::larger`].

use std::cmp::Ordering;

use model::number::push_plain_float;

/// The running variance of `stddev` and `stdvar`: Welford's method without compensation, as Prometheus does it.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Variance {
    count: f64,
    mean: f64,
    squares: f64,
}

impl Variance {
    /// Adds one value.
    #[inline]
    pub fn add(&mut self, value: f64) {
        self.count += 1.0;
        if self.count == 1.0 {
            self.mean = value;
            self.squares = if value.is_finite() { 0.0 } else { f64::NAN };
            return;
        }
        let distance = value - self.mean;
        self.mean += distance / self.count;
        self.squares += distance * (value - self.mean);
    }

    /// The population variance; `None` if nothing was added.
    #[must_use]
    pub fn variance(&self) -> Option<f64> {
        (self.count > 0.0).then(|| self.squares / self.count)
    }

    /// The population standard deviation; `None` if nothing was added.
    #[must_use]
    pub fn deviation(&self) -> Option<f64> {
        self.variance().map(f64::sqrt)
    }

    /// Adds the values of another; equal to adding them one by one up to rounding of the last bits.
    pub fn merge(&mut self, other: &Self) {
        if other.count == 0.0 {
            return;
        }
        if self.count == 0.0 {
            *self = *other;
            return;
        }
        let count = self.count + other.count;
        let distance = other.mean - self.mean;
        self.squares += other.squares + distance * distance * (self.count * other.count / count);
        self.mean += distance * (other.count / count);
        self.count = count;
    }
}

/// Which end of the order is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Extreme {
    /// `topk`.
    Largest,
    /// `bottomk`.
    Smallest,
}

/// The k best of the values that are pushed, NaN being the worst: a bounded heap with the worst kept element on top.
///
/// Which of several equal values are kept follows from Go's `container/heap`, whose moves it repeats.
#[derive(Debug, Clone)]
pub struct BestK {
    extreme: Extreme,
    k: usize,
    heap: Vec<Ranked>,
}

/// A value and whose it is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Ranked {
    /// As pushed.
    pub idx: u32,
    /// As pushed.
    pub value: f64,
}

impl BestK {
    /// Keeps up to `k` values.
    #[must_use]
    pub fn new(extreme: Extreme, k: usize) -> Self {
        Self {
            extreme,
            k,
            heap: Vec::new(),
        }
    }

    /// Offers the value of one series.
    pub fn push(&mut self, idx: u32, value: f64) {
        let ranked = Ranked { idx, value };
        if self.heap.len() < self.k {
            self.heap.push(ranked);
            self.sift_up(self.heap.len() - 1);
            return;
        }
        let Some(worst) = self.heap.first_mut() else {
            return;
        };
        let is_better = match self.extreme {
            Extreme::Largest => worst.value < value,
            Extreme::Smallest => worst.value > value,
        };
        if is_better || (worst.value.is_nan() && !value.is_nan()) {
            *worst = ranked;
            self.sift_down();
        }
    }

    /// The kept values, best first, and an empty heap again.
    pub fn take_sorted(&mut self) -> Vec<Ranked> {
        let mut best = std::mem::take(&mut self.heap);
        best.sort_by(|left, right| best_first(self.extreme, left.value, right.value));
        best
    }

    /// True when the first is to be nearer to the top, which is the worse end.
    fn is_worse(&self, left: usize, right: usize) -> bool {
        let (left, right) = (self.heap[left].value, self.heap[right].value);
        left.is_nan()
            || match self.extreme {
                Extreme::Largest => left < right,
                Extreme::Smallest => left > right,
            }
    }

    fn sift_up(&mut self, mut child: usize) {
        while child > 0 {
            let parent = (child - 1) / 2;
            if !self.is_worse(child, parent) {
                break;
            }
            self.heap.swap(parent, child);
            child = parent;
        }
    }

    fn sift_down(&mut self) {
        let mut parent = 0;
        loop {
            let left = 2 * parent + 1;
            if left >= self.heap.len() {
                return;
            }
            let right = left + 1;
            let child = if right < self.heap.len() && self.is_worse(right, left) {
                right
            } else {
                left
            };
            if !self.is_worse(child, parent) {
                return;
            }
            self.heap.swap(parent, child);
            parent = child;
        }
    }
}

/// The order of `topk`, `bottomk`, `sort_desc` and `sort`: best first, NaN last in both directions.
#[must_use]
pub fn best_first(extreme: Extreme, left: f64, right: f64) -> Ordering {
    match (left.is_nan(), right.is_nan()) {
        (true, true) => Ordering::Equal,
        (true, false) => Ordering::Greater,
        (false, true) => Ordering::Less,
        (false, false) => {
            let ascending = left.partial_cmp(&right).unwrap_or(Ordering::Equal);
            match extreme {
                Extreme::Largest => ascending.reverse(),
                Extreme::Smallest => ascending,
            }
        }
    }
}

/// The label value that `count_values` gives a sample.
#[must_use]
pub fn count_values_label(value: f64) -> String {
    let mut text = String::new();
    push_plain_float(&mut text, value);
    text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn variance(values: &[f64]) -> f64 {
        let mut variance = Variance::default();
        values.iter().for_each(|&value| variance.add(value));
        variance.variance().unwrap()
    }

    fn best(extreme: Extreme, k: usize, values: &[f64]) -> Vec<u32> {
        let mut best = BestK::new(extreme, k);
        for (idx, &value) in (0..).zip(values) {
            best.push(idx, value);
        }
        best.take_sorted().iter().map(|ranked| ranked.idx).collect()
    }

    #[test]
    fn the_variance_is_that_of_the_population() {
        let hundreds: Vec<f64> = (1..=8).map(|n| f64::from(n) * 100.0).collect();
        assert_eq!(variance(&hundreds), 52_500.0);
        assert_eq!(variance(&[13.3, 13.3, 13.3]), 0.0);
        assert_eq!(variance(&[1.0, 2.0]), 0.25);
        assert_eq!(Variance::default().deviation(), None);
    }

    #[test]
    fn one_value_without_magnitude_spoils_the_variance() {
        for values in [
            [f64::NAN, 1.0],
            [1.0, f64::NAN],
            [f64::INFINITY, 1.0],
            [1.0, f64::NEG_INFINITY],
        ] {
            assert!(variance(&values).is_nan(), "{values:?}");
            assert_ne!(variance(&values[..1]).is_nan(), values[0].is_finite());
        }
    }

    #[test]
    fn nan_is_the_worst_of_top_and_bottom() {
        let values = [100.0, 200.0, f64::NAN];
        assert_eq!(best(Extreme::Largest, 3, &values), [1, 0, 2]);
        assert_eq!(best(Extreme::Smallest, 3, &values), [0, 1, 2]);
        assert_eq!(best(Extreme::Largest, 1, &[f64::NAN, f64::NAN, 7.0]), [2]);
        assert_eq!(best(Extreme::Largest, 0, &values), [0; 0]);
        assert_eq!(best(Extreme::Smallest, 9, &[]), [0; 0]);
    }

    #[test]
    fn of_equal_values_the_first_are_kept() {
        assert_eq!(best(Extreme::Largest, 2, &[5.0, 5.0, 5.0]), [0, 1]);
        assert_eq!(best(Extreme::Smallest, 2, &[5.0, 5.0, 5.0]), [0, 1]);
    }

    #[test]
    fn count_values_never_writes_an_exponent() {
        assert_eq!(count_values_label(6.0), "6");
        assert_eq!(count_values_label(1e21), "1000000000000000000000");
        assert_eq!(count_values_label(f64::INFINITY), "+Inf");
    }

    proptest! {
        #[test]
        fn the_heap_keeps_what_sorting_would(
            values in prop::collection::vec(prop_oneof![5 => (0_i32..20).prop_map(f64::from), 1 => Just(f64::NAN)], 0..40),
            k in 0_usize..12,
        ) {
            for extreme in [Extreme::Largest, Extreme::Smallest] {
                let kept: Vec<f64> = best(extreme, k, &values).iter().map(|&idx| values[idx as usize]).collect();
                let mut sorted = values.clone();
                sorted.sort_by(|&left, &right| best_first(extreme, left, right));
                sorted.truncate(k);
                prop_assert_eq!(format!("{kept:?}"), format!("{sorted:?}"));
            }
        }

        #[test]
        fn merged_variances_equal_one_pass(
            left in prop::collection::vec(-1e3_f64..1e3, 0..30),
            right in prop::collection::vec(-1e3_f64..1e3, 1..30),
        ) {
            let (mut merged, mut other) = (Variance::default(), Variance::default());
            left.iter().for_each(|&value| merged.add(value));
            right.iter().for_each(|&value| other.add(value));
            merged.merge(&other);
            let whole: Vec<f64> = left.iter().chain(&right).copied().collect();
            prop_assert!((merged.variance().unwrap() - variance(&whole)).abs() < 1e-6);
        }
    }
}
