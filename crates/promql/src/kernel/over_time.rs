//! The `*_over_time` functions and their kin, on the values of one window.
//!
//! Functions that return an `Option` give `None` when the window holds too few samples for a result.

use super::quantile::quantile;
use super::sum::{KahanSum, Mean, kahan_add};

/// `avg_over_time`.
#[must_use]
pub fn avg(values: &[f64]) -> Option<f64> {
    let mut mean = Mean::default();
    for &value in values {
        mean.add(value);
    }
    mean.value()
}

/// `sum_over_time`; 0 for no values.
#[must_use]
pub fn sum(values: &[f64]) -> f64 {
    let mut sum = KahanSum::default();
    for &value in values {
        sum.add(value);
    }
    sum.value()
}

/// `min_over_time`: NaN only if every value is.
#[must_use]
pub fn min(values: &[f64]) -> Option<f64> {
    values.iter().copied().reduce(smaller)
}

/// `max_over_time`: NaN only if every value is.
#[must_use]
pub fn max(values: &[f64]) -> Option<f64> {
    values.iter().copied().reduce(larger)
}

/// The smaller of a running minimum and a value; a NaN never wins over a number.
#[inline]
#[must_use]
pub fn smaller(minimum: f64, value: f64) -> f64 {
    if value < minimum || minimum.is_nan() {
        value
    } else {
        minimum
    }
}

/// The larger of a running maximum and a value; a NaN never wins over a number.
#[inline]
#[must_use]
pub fn larger(maximum: f64, value: f64) -> f64 {
    if value > maximum || maximum.is_nan() {
        value
    } else {
        maximum
    }
}

/// The row of the smallest value, the last one of several.
#[must_use]
pub fn row_of_min(values: &[f64]) -> Option<usize> {
    row_of_best(values, |value, best| value <= best)
}

/// The row of the largest value, the last one of several.
#[must_use]
pub fn row_of_max(values: &[f64]) -> Option<usize> {
    row_of_best(values, |value, best| value >= best)
}

fn row_of_best(values: &[f64], is_as_good: impl Fn(f64, f64) -> bool) -> Option<usize> {
    let mut best = *values.first()?;
    let mut best_row = 0;
    for (row, &value) in values.iter().enumerate() {
        if is_as_good(value, best) || best.is_nan() {
            (best, best_row) = (value, row);
        }
    }
    Some(best_row)
}

/// `stdvar_over_time`: Welford's method, compensated.
#[must_use]
pub fn variance(values: &[f64]) -> Option<f64> {
    if values.is_empty() {
        return None;
    }
    let (mut mean, mut mean_rest) = (0.0, 0.0);
    let (mut squares, mut squares_rest) = (0.0, 0.0);
    let mut count = 0.0;
    for &value in values {
        count += 1.0;
        let distance = value - (mean + mean_rest);
        (mean, mean_rest) = kahan_add(mean, mean_rest, distance / count);
        let term = distance * (value - (mean + mean_rest));
        (squares, squares_rest) = kahan_add(squares, squares_rest, term);
    }
    Some((squares + squares_rest) / count)
}

/// `mad_over_time`: the median of the distances from the median; NaN if any value is.
#[must_use]
pub fn median_absolute_deviation(values: &[f64]) -> Option<f64> {
    if values.is_empty() {
        return None;
    }
    if values.iter().any(|value| value.is_nan()) {
        return Some(f64::NAN);
    }
    let mut distances = values.to_vec();
    let median = quantile(0.5, &mut distances);
    for distance in &mut distances {
        *distance = (*distance - median).abs();
    }
    Some(quantile(0.5, &mut distances))
}

/// `changes`: how often a value differs from the one before; NaN equals NaN.
#[must_use]
pub fn changes(values: &[f64]) -> f64 {
    let differs = |pair: &&[f64]| pair[0] != pair[1] && !(pair[0].is_nan() && pair[1].is_nan());
    values.windows(2).filter(differs).count() as f64
}

/// `resets`: how often a value is smaller than the one before.
#[must_use]
pub fn resets(values: &[f64]) -> f64 {
    values.windows(2).filter(|pair| pair[1] < pair[0]).count() as f64
}

/// `double_exponential_smoothing` (Holt): the smoothed last value; `None` with fewer than two values.
#[must_use]
pub fn double_exponential_smoothing(values: &[f64], smoothing: f64, trend: f64) -> Option<f64> {
    let [first, second, ..] = *values else {
        return None;
    };
    let (mut before, mut level) = (0.0, first);
    let mut slope = second - first;
    for (row, &value) in values.iter().enumerate().skip(1) {
        if row > 1 {
            slope = trend * (level - before) + (1.0 - trend) * slope;
        }
        let next = smoothing * value + (1.0 - smoothing) * (level + slope);
        (before, level) = (level, next);
    }
    Some(level)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAN: f64 = f64::NAN;

    #[test]
    fn nan_never_wins_over_a_number() {
        let check = |values: &[f64], smallest: f64, largest: f64| {
            assert_eq!(min(values), Some(smallest), "{values:?}");
            assert_eq!(max(values), Some(largest), "{values:?}");
        };
        check(&[2.0, 0.0, 3.0], 0.0, 3.0);
        check(&[2.0, 0.0, NAN], 0.0, 2.0);
        check(&[2.0, NAN, 1.0], 1.0, 2.0);
        check(&[NAN, 0.0, 1.0], 0.0, 1.0);
        assert!(min(&[NAN, NAN]).unwrap().is_nan() && max(&[NAN]).unwrap().is_nan());
        assert_eq!(min(&[]), None);
    }

    #[test]
    fn of_equal_extremes_the_last_one_gives_the_time() {
        assert_eq!(row_of_min(&[1.0, 0.0, 2.0, 0.0, 4.0]), Some(3));
        assert_eq!(row_of_max(&[NAN, 5.0, 6.0, 6.0, NAN]), Some(3));
        assert_eq!(row_of_max(&[NAN, NAN]), Some(1));
        assert_eq!(row_of_min(&[]), None);
    }

    #[test]
    fn averages_of_any_magnitude_are_those_of_prometheus() {
        let check = |values: &[f64], expected: f64| {
            let found = avg(values).unwrap();
            assert!(
                found == expected || (found - expected).abs() <= 1e-12 * expected.abs(),
                "{values:?}: {found}"
            );
        };
        check(&[1e10, 1e-6, 1e-6, 1e-6, 1e-6, 1e-6], 1.6666666666666675e9);
        check(&[1.0, 1e100, 1.0, -1e100], 0.5);
        check(
            &[
                -1.78264e50,
                0.76342771,
                1.9592258,
                2.258e220,
                7.69805412,
                -458.90154,
            ],
            3.76333333333333e219,
        );
        check(
            &[
                -2.258e220,
                -1.78264e219,
                0.76342771,
                1.9592258,
                2.3757689e217,
                -2.3757689e217,
                2.258e220,
                7.69805412,
                1.78264e219,
                -458.90154,
            ],
            0.0,
        );
        check(&[1.0, 2.0, 3.0, 4.0, f64::INFINITY], f64::INFINITY);
        assert!(
            avg(&[1.0, 2.0, f64::NEG_INFINITY, f64::INFINITY])
                .unwrap()
                .is_nan()
        );
        assert_eq!(avg(&[]), None);
    }

    #[test]
    fn sums_overflow_to_infinity() {
        assert_eq!(sum(&[1.0, 1e100, 1.0, -1e100]), 2.0);
        assert_eq!(sum(&[9.98846567431158e307; 2]), f64::INFINITY);
        assert_eq!(sum(&[-9.98846567431158e307; 3]), f64::NEG_INFINITY);
    }

    #[test]
    fn variance_of_equal_values_is_exactly_zero() {
        assert_eq!(variance(&[1.5990505637277868; 3]), Some(0.0));
        assert!((variance(&[0.0, 8.0, 8.0, 2.0, 3.0]).unwrap() - 10.56).abs() < 1e-12);
        assert_eq!(variance(&[]), None);
    }

    #[test]
    fn the_median_absolute_deviation_ignores_outliers_and_keeps_nan() {
        assert_eq!(
            median_absolute_deviation(&[4.0, 6.0, 2.0, 1.0, 999.0, 1.0, 2.0]),
            Some(1.0)
        );
        assert_eq!(median_absolute_deviation(&[1.0, 2.0, 3.0, 4.0, 5.0]), Some(1.0));
        assert_eq!(median_absolute_deviation(&[5.0]), Some(0.0));
        assert!(median_absolute_deviation(&[1.0, 2.0, NAN, 4.0]).unwrap().is_nan());
        assert_eq!(median_absolute_deviation(&[]), None);
    }

    #[test]
    fn changes_and_resets_count_pairs() {
        let values = [2.0, 3.0, 0.0, 1.0, 0.0, 0.0, 1.0, 2.0, 0.0];
        assert_eq!((changes(&values), resets(&values)), (7.0, 3.0));
        assert_eq!((changes(&[NAN, NAN, NAN]), changes(&[0.0, NAN, 0.0])), (0.0, 2.0));
        assert_eq!((resets(&[1.0, NAN, 0.0]), resets(&[1.0])), (0.0, 0.0));
    }

    #[test]
    fn smoothing_follows_a_straight_line() {
        let line: Vec<f64> = (0..6).map(|row| 7950.0 + 10.0 * f64::from(row)).collect();
        let smoothed = double_exponential_smoothing(&line, 0.01, 0.1).unwrap();
        assert!((smoothed - 8000.0).abs() < 1e-9, "{smoothed}");
        // By hand: slope 2, level 1 + 2 = 3 blended with 3; slope .5·2 + .5·2 = 2; .5·9 + .5·(3 + 2) = 7.
        assert_eq!(
            double_exponential_smoothing(&[1.0, 3.0, 9.0], 0.5, 0.5),
            Some(7.0)
        );
        assert_eq!(double_exponential_smoothing(&[1.0], 0.5, 0.5), None);
    }
}
