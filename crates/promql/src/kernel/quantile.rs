//! Quantiles of a list of values, as `quantile` and `quantile_over_time` compute them.

use std::cmp::Ordering;

/// The φ-quantile of `values`, which it reorders: rank φ·(n−1), linear between neighbours, NaN counted as smallest.
///
/// NaN if there is no value or φ is NaN, −Inf for φ < 0, +Inf for φ > 1 (the caller annotates these). Takes time
/// linear in the number of values.
#[must_use]
pub fn quantile(phi: f64, values: &mut [f64]) -> f64 {
    if values.is_empty() || phi.is_nan() {
        return f64::NAN;
    }
    if let Some(beyond) = beyond_unit_interval(phi) {
        return beyond;
    }
    let rank = phi * (values.len() - 1) as f64;
    // The rank lies in 0 ..= n−1, so the conversion is exact.
    let lower_idx = rank.floor() as usize;
    let weight = rank - rank.floor();
    let (_, lower, above) = values.select_nth_unstable_by(lower_idx, nan_first);
    let lower = *lower;
    let upper = above.iter().copied().min_by(nan_first).unwrap_or(lower);
    lower * (1.0 - weight) + upper * weight
}

/// −Inf for φ < 0, +Inf for φ > 1.
pub(super) fn beyond_unit_interval(phi: f64) -> Option<f64> {
    if phi < 0.0 {
        Some(f64::NEG_INFINITY)
    } else if phi > 1.0 {
        Some(f64::INFINITY)
    } else {
        None
    }
}

/// True when a warning is due: φ is NaN or outside of 0 to 1.
#[must_use]
pub fn is_invalid_quantile(phi: f64) -> bool {
    !(0.0..=1.0).contains(&phi)
}

/// Ascending, with every NaN before every number.
pub(super) fn nan_first(left: &f64, right: &f64) -> Ordering {
    left.partial_cmp(right)
        .unwrap_or_else(|| right.is_nan().cmp(&left.is_nan()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn quantiles_are_linear_between_neighbours() {
        let check = |phi: f64, values: &[f64], expected: f64| {
            let found = quantile(phi, &mut values.to_vec());
            assert!(
                (found - expected).abs() < 1e-12 || found == expected,
                "{phi} {values:?}: {found}"
            );
        };
        check(0.5, &[1.0, 0.0], 0.5);
        check(0.8, &[4.0, 0.0, 1.0], 2.8);
        check(0.75, &[2.0, 1.0, 0.0], 1.5);
        check(0.0, &[3.0, 2.0], 2.0);
        check(1.0, &[3.0, 2.0], 3.0);
        check(0.3, &[7.0], 7.0);
        check(-1.0, &[7.0], f64::NEG_INFINITY);
        check(2.0, &[7.0], f64::INFINITY);
        check(0.8, &[0.0, 1.0, f64::NAN], 0.6);
    }

    #[test]
    fn nan_is_the_smallest_value() {
        assert!(quantile(0.2, &mut [0.0, 1.0, f64::NAN]).is_nan());
        assert!(quantile(0.5, &mut []).is_nan());
        assert!(quantile(f64::NAN, &mut [1.0]).is_nan());
        // A weight of zero does not hide an infinite neighbour.
        assert!(quantile(0.0, &mut [0.0, f64::INFINITY]).is_nan());
    }

    #[test]
    fn only_zero_to_one_is_valid() {
        assert!(!is_invalid_quantile(0.0) && !is_invalid_quantile(1.0));
        assert!(is_invalid_quantile(-0.1) && is_invalid_quantile(1.01) && is_invalid_quantile(f64::NAN));
    }

    proptest! {
        #[test]
        fn selection_equals_sorting(
            phi in 0.0_f64..=1.0,
            mut values in prop::collection::vec(prop_oneof![4 => -1e3_f64..1e3, 1 => Just(f64::NAN)], 1..60),
        ) {
            let found = quantile(phi, &mut values.clone());
            values.sort_by(nan_first);
            let rank = phi * (values.len() - 1) as f64;
            let lower = rank.floor() as usize;
            let upper = (lower + 1).min(values.len() - 1);
            let weight = rank - rank.floor();
            let expected = values[lower] * (1.0 - weight) + values[upper] * weight;
            prop_assert_eq!(found.to_bits(), expected.to_bits());
        }
    }
}
