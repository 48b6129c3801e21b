//! Sums of decimal numbers as integers.
//!
//! A client adds up latencies of so many decimals each. The sum has as many, but for what every addition has rounded: so it
//! is nearly a whole number of the last decimal, and lies a few floats beside the one that is nearest to it. Both numbers
//! grow by little, where the bits of the sum itself look random.
//!
//! ```text
//! digits     = sum × 10^scale, rounded           corrections = bits of the sum − bits of (digits / 10^scale)
//! ```
//! Both as integers and as differences to the one before, modulo 2^64. Any bits come back whatever the scale; how well it
//! fits decides about the size alone.

/// Decimals a sum may have.
pub(super) const SCALE_MAX: usize = 12;

/// Powers of ten are floats without rounding up to 10^22.
const POWERS: [f64; SCALE_MAX + 1] = [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12];

/// Up to here a float tells every whole number.
const DIGITS_MAX: f64 = 9_007_199_254_740_992.0;

/// Sums that are looked at to find the scale.
const N_TRIED: usize = 32;

/// Goes through sums, or back to them.
#[derive(Debug, Clone, Copy)]
pub(super) struct Decimals {
    power: f64,
    digits: i64,
    correction: i64,
}

impl Decimals {
    /// Sums of so many decimals, from the first one on; none if there are none of so many.
    pub(super) fn new(scale: usize) -> Option<Self> {
        Some(Self {
            power: *POWERS.get(scale)?,
            digits: 0,
            correction: 0,
        })
    }

    /// By how much digits and correction of the next sum are more than those of the one before. None if it has too many
    /// digits.
    #[expect(clippy::cast_possible_truncation, reason = "a whole number within 2^53")]
    pub(super) fn step(&mut self, sum: f64) -> Option<(i64, i64)> {
        let digits = (sum * self.power).round();
        if digits.is_nan() || digits.abs() >= DIGITS_MAX {
            return None;
        }
        let digits = digits as i64;
        let correction = sum.to_bits().wrapping_sub(self.nearest(digits)).cast_signed();
        let step = (
            digits.wrapping_sub(self.digits),
            correction.wrapping_sub(self.correction),
        );
        (self.digits, self.correction) = (digits, correction);
        Some(step)
    }

    /// The next sum, whose step this is.
    pub(super) fn sum(&mut self, digits: i64, correction: i64) -> f64 {
        self.digits = self.digits.wrapping_add(digits);
        self.correction = self.correction.wrapping_add(correction);
        let nearest = self.nearest(self.digits);
        f64::from_bits(nearest.wrapping_add(self.correction.cast_unsigned()))
    }

    /// The bits of the float that is nearest to a decimal number.
    #[expect(clippy::cast_precision_loss, reason = "what was written is within 2^53")]
    fn nearest(&self, digits: i64) -> u64 {
        (digits as f64 / self.power).to_bits()
    }
}

/// How many decimals make these sums smallest; none if it is better to keep their bits.
pub(super) fn scale_of(sums: impl Iterator<Item = f64> + Clone) -> Option<usize> {
    let tried = sums.clone().take(N_TRIED);
    let costs = (0..=SCALE_MAX).filter_map(|scale| Some((cost(scale, tried.clone())?, scale)));
    let (least, scale) = costs.min()?;
    let is_less = least < cost_of_bits(tried);
    (is_less && cost(scale, sums).is_some()).then_some(scale)
}

/// Bits that the steps need, but for the first one.
fn cost(scale: usize, sums: impl Iterator<Item = f64>) -> Option<u32> {
    let mut decimals = Decimals::new(scale)?;
    let mut n_bits = 0;
    for (row, sum) in sums.enumerate() {
        let (digits, correction) = decimals.step(sum)?;
        if row > 0 {
            n_bits += width(digits) + width(correction);
        }
    }
    Some(n_bits)
}

/// Bits in which sums differ from the one before.
fn cost_of_bits(mut sums: impl Iterator<Item = f64>) -> u32 {
    let mut before = sums.next().unwrap_or(0.0).to_bits();
    let changed = sums.map(|sum| {
        let bits = sum.to_bits();
        u64::BITS - (bits ^ std::mem::replace(&mut before, bits)).leading_zeros()
    });
    changed.sum()
}

fn width(step: i64) -> u32 {
    u64::BITS - codec::varint::zigzag(step).leading_zeros()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn round_trip(scale: usize, sums: &[f64]) -> Option<Vec<f64>> {
        let (mut to, mut from) = (Decimals::new(scale)?, Decimals::new(scale)?);
        sums.iter()
            .map(|sum| {
                to.step(*sum)
                    .map(|(digits, correction)| from.sum(digits, correction))
            })
            .collect()
    }

    #[test]
    fn sums_of_hundredths_are_seen_as_such() {
        let sums = (1..500_u32).scan(1_234.5, |sum, row| {
            *sum += f64::from(row * 7919 % 2_000) / 100.0;
            Some(*sum)
        });
        let sums: Vec<f64> = sums.collect();
        assert_eq!(scale_of(sums.iter().copied()), Some(2));
        assert!(cost(2, sums.iter().copied()).unwrap() < 20 * 500);
        assert!(cost_of_bits(sums.iter().copied()) > 35 * 500);
    }

    #[test]
    fn what_has_no_decimals_keeps_its_bits() {
        let random = (0..100_u64).map(|row| f64::from_bits(row.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 2));
        assert_eq!(scale_of(random), None);
        assert_eq!(scale_of([f64::NAN; 3].into_iter()), None);
        assert_eq!(scale_of([1e300, 2e300].into_iter()), None);
        assert_eq!(scale_of([0.5; 9].into_iter()), None);
        assert_eq!(scale_of(std::iter::empty()), None);
    }

    proptest! {
        #[test]
        fn sums_come_back_bit_for_bit_whatever_the_scale(
            bits in proptest::collection::vec(any::<u64>(), 0..20),
            near in proptest::collection::vec(-1e9..1e9, 0..20),
            scale in 0..=SCALE_MAX,
        ) {
            let mut sums: Vec<f64> = bits.into_iter().map(f64::from_bits).filter(|sum| sum.abs() < 1e3).collect();
            sums.extend(near.iter().map(|sum: &f64| (sum * 100.0).round() / 100.0));
            sums.extend([0.0, -0.0, 0.1, f64::MIN_POSITIVE]);
            if let Some(found) = round_trip(scale, &sums) {
                let bits = |sums: &[f64]| sums.iter().map(|sum| sum.to_bits()).collect::<Vec<_>>();
                prop_assert_eq!(bits(&found), bits(&sums));
            } else {
                prop_assert!(scale > 3);
            }
        }
    }
}
