//! Floats as integers, so that their differences are small: counters are whole numbers, sums of milliseconds have
//! a few decimals, and whatever is left is taken as its bits.
//!
//! A scale is chosen for a column. Values that it does not carry bit for bit (a staleness marker among whole
//! numbers) are *patches*: kept beside the integers, where they repeat the integer before them, or the next one at the front.

/// How the integers of a column become floats.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scale {
    /// `n` is the float `n`.
    Whole,
    /// `n` is the float nearest to `n / 10^exponent`; the exponent is 1 to [`EXPONENT_MAX`].
    Decimal {
        /// Digits behind the point.
        exponent: u8,
    },
    /// `n` is the float whose bits are `n * 2^shift`.
    Bits {
        /// Trailing zero bits that all values have, less than 64.
        shift: u8,
    },
}

/// More digits than this are rarely decimals that someone wrote.
pub(crate) const EXPONENT_MAX: u8 = 12;

/// How many values without any exponent end the search for one.
const EXPONENT_MISSES_MAX: usize = 2;

/// A value that the scale does not carry: its position among the present values, its bits.
pub(crate) type Patch = (usize, u64);

/// A column as integers.
#[derive(Debug, Default)]
pub(crate) struct Scaled {
    pub(crate) integers: Vec<i64>,
    pub(crate) patches: Vec<Patch>,
}

impl Scaled {
    /// Replaces what it held by `values`; returns the scale.
    pub(crate) fn fill(&mut self, values: &[f64]) -> Scale {
        if self.fill_scaled(values, 0, 0) {
            return Scale::Whole;
        }
        // A patch takes ten bytes. A lone value is never one: it may stand for a whole constant column.
        let n_patches_max = (values.len() / 4).max(usize::from(values.len() > 1));
        match find_exponent(values) {
            Some(0) if self.fill_scaled(values, 0, n_patches_max) => Scale::Whole,
            Some(exponent) if exponent > 0 && self.fill_scaled(values, exponent, n_patches_max) => {
                Scale::Decimal { exponent }
            }
            _ => self.fill_bits(values, n_patches_max),
        }
    }

    /// False when more than `n_patches_max` values do not fit.
    fn fill_scaled(&mut self, values: &[f64], exponent: u8, n_patches_max: usize) -> bool {
        self.integers.clear();
        self.patches.clear();
        let first = values.iter().find_map(|value| scaled(*value, exponent));
        let mut previous = first.unwrap_or_default();
        for (position, &value) in values.iter().enumerate() {
            if let Some(integer) = scaled(value, exponent) {
                previous = integer;
            } else if self.patches.len() < n_patches_max {
                self.patches.push((position, value.to_bits()));
            } else {
                return false;
            }
            self.integers.push(previous);
        }
        true
    }

    fn fill_bits(&mut self, values: &[f64], n_patches_max: usize) -> Scale {
        self.integers.clear();
        self.patches.clear();
        let n_outliers = values.iter().filter(|value| !value.is_finite()).count();
        let is_patch = |value: f64| n_outliers <= n_patches_max && !value.is_finite();
        let kept = values.iter().filter(|value| !is_patch(**value));
        let union = kept.fold(0, |union, value| union | value.to_bits());
        let shift = union.trailing_zeros().min(63);
        let first = values.iter().find(|value| !is_patch(**value));
        let mut previous = first.map_or(0, |value| (value.to_bits() >> shift).cast_signed());
        for (position, &value) in values.iter().enumerate() {
            if is_patch(value) {
                self.patches.push((position, value.to_bits()));
            } else {
                previous = (value.to_bits() >> shift).cast_signed();
            }
            self.integers.push(previous);
        }
        let shift = shift.to_le_bytes()[0];
        Scale::Bits { shift }
    }
}

/// The float of an integer.
#[inline]
pub(crate) fn whole(integer: u64) -> f64 {
    integer.cast_signed() as f64
}

/// What the integers of [`Scale::Decimal`] are divided by. Dividing by a power of ten that is exact gives the
/// float nearest to the decimal; multiplying by its inverse would not.
#[inline]
pub(crate) fn divisor(exponent: u8) -> Option<f64> {
    DIVISORS.get(usize::from(exponent)).copied()
}

const DIVISORS: [f64; EXPONENT_MAX as usize + 1] =
    [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12];

/// The integer that stands for `value`, if it gives the same bits back.
#[inline]
#[expect(
    clippy::cast_possible_truncation,
    reason = "what the cast loses is found by comparing the bits"
)]
fn scaled(value: f64, exponent: u8) -> Option<i64> {
    if exponent == 0 {
        let integer = value as i64;
        return ((integer as f64).to_bits() == value.to_bits()).then_some(integer);
    }
    let divisor = divisor(exponent)?;
    let integer = (value * divisor + 0.5_f64.copysign(value)) as i64;
    ((integer as f64 / divisor).to_bits() == value.to_bits()).then_some(integer)
}

/// The smallest exponent that carries all values but a few. `None` when they look like no decimals.
fn find_exponent(values: &[f64]) -> Option<u8> {
    let mut exponent = 0;
    let mut n_misses = 0;
    for &value in values.iter().filter(|value| value.is_finite()) {
        match (exponent..=EXPONENT_MAX).find(|candidate| scaled(value, *candidate).is_some()) {
            Some(found) => exponent = found,
            None => n_misses += 1,
        }
        if n_misses > EXPONENT_MISSES_MAX {
            return None;
        }
    }
    Some(exponent)
}

#[cfg(test)]
mod tests {
    use super::*;

    const STALE: f64 = f64::from_bits(0x7ff0_0000_0000_0002);

    fn check(values: &[f64], scale: Scale, integers: &[i64], patches: &[usize]) {
        let mut scaled = Scaled::default();
        assert_eq!(scaled.fill(values), scale);
        assert_eq!(scaled.integers, integers);
        let positions: Vec<usize> = scaled.patches.iter().map(|patch| patch.0).collect();
        assert_eq!(positions, patches);
    }

    #[test]
    fn whole_numbers_are_themselves() {
        check(
            &[0.0, -3.0, 9e15, 9.5e18],
            Scale::Whole,
            &[0, -3, 9_000_000_000_000_000, 9_000_000_000_000_000],
            &[3],
        );
        check(&[9_223_372_036_854_775_808.0], Scale::Whole, &[i64::MAX], &[]);
    }

    #[test]
    fn one_staleness_marker_does_not_make_a_counter_a_float() {
        check(&[7.0, STALE, 8.0], Scale::Whole, &[7, 7, 8], &[1]);
        check(&[STALE, 7.0, 8.0], Scale::Whole, &[7, 7, 8], &[0]);
        check(&[STALE], Scale::Bits { shift: 1 }, &[0x3ff8_0000_0000_0001], &[]);
    }

    #[test]
    fn minus_zero_is_not_zero() {
        check(&[1.0, -0.0], Scale::Whole, &[1, 1], &[1]);
    }

    #[test]
    fn decimals_take_the_most_digits_any_value_needs() {
        check(
            &[0.5, 12.25, 3.0],
            Scale::Decimal { exponent: 2 },
            &[50, 1225, 300],
            &[],
        );
        check(
            &[0.1, -0.3, STALE, 1e-12],
            Scale::Decimal { exponent: 12 },
            &[100_000_000_000, -300_000_000_000, -300_000_000_000, 1],
            &[2],
        );
    }

    #[test]
    fn other_floats_are_their_bits_without_common_zeros() {
        let third = 1.0_f64 / 3.0;
        let integers =
            [third, third + third, 1.0 / 7.0, 1.0 / 9.0].map(|value| value.to_bits().cast_signed());
        check(
            &[third, third + third, 1.0 / 7.0, 1.0 / 9.0],
            Scale::Bits { shift: 0 },
            &integers,
            &[],
        );
        let huge = [1.5 * 2_f64.powi(80), 2_f64.powi(70), 2_f64.powi(90)];
        let integers = huge.map(|value| (value.to_bits() >> 51).cast_signed());
        check(&huge, Scale::Bits { shift: 51 }, &integers, &[]);
    }
}
