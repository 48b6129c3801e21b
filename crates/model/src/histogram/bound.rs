//! Bounds of exponential buckets, bit for bit those of Prometheus and its client libraries.
//!
//! Equal bits matter: a client widens the zero bucket of a histogram to a bound of its own table, and a threshold that
//! lay one bit inside of a bucket of ours would read as a counter reset. So the mantissas are made the way theirs
//! were, with all the rounding: from 0.5 one factor per set bit of the position is multiplied in, the largest first.

use std::f64::consts::SQRT_2;

use super::Schema;

/// Mantissas of the bounds of schema 8 from 0.5 to 1; those of a lower schema are every 2^n-th of them.
const MANTISSAS: [f64; 256] = mantissas();

/// `2^(1/2)`, `2^(1/4)`, … `2^(1/256)`, rounded to nearest except for the first: the division makes it one bit lower.
const FACTORS: [f64; 8] = [
    2.0 / SQRT_2,
    1.189207115002721,
    1.0905077326652577,
    1.0442737824274138,
    1.0218971486541166,
    1.0108892860517005,
    1.0054299011128027,
    1.0027112750502025,
];

const fn mantissas() -> [f64; 256] {
    let mut mantissas = [0.5; 256];
    let mut position = 0;
    while position < mantissas.len() {
        let mut bit = 0;
        while bit < FACTORS.len() {
            if position & (128 >> bit) != 0 {
                mantissas[position] *= FACTORS[bit];
            }
            bit += 1;
        }
        position += 1;
    }
    mantissas
}

/// The upper bound of the bucket `index` of the positive side; its lower bound is that of `index - 1`.
///
/// The bound `2^1024`, which no float can be, is `f64::MAX`, so that the bucket above it holds nothing but +Inf. NaN
/// for [`Schema::CUSTOM`].
#[must_use]
pub fn exponential_bound(schema: Schema, index: i32) -> f64 {
    if schema.is_custom() {
        return f64::NAN;
    }
    let (number, index) = (schema.number(), i64::from(index));
    let (mantissa, exponent) = if number < 0 {
        (0.5, (index << -number) + 1)
    } else {
        let position = index & ((1 << number) - 1);
        (
            MANTISSAS[(position << (8 - number)) as usize],
            (index >> number) + 1,
        )
    };
    if mantissa == 0.5 && exponent == 1025 {
        return f64::MAX;
    }
    scale(mantissa, exponent)
}

/// `mantissa * 2^exponent`, rounded once. The mantissa is from 0.5 to 1.
fn scale(mantissa: f64, exponent: i64) -> f64 {
    /// A power of two whose exponent is that of a normal number.
    fn power_of_two(exponent: i64) -> f64 {
        f64::from_bits(((exponent + 1023) as u64) << 52)
    }
    match exponent {
        -1021..=1024 => mantissa * 2.0 * power_of_two(exponent - 1),
        // Down to the smallest subnormal number and to where half of it is rounded to zero: the first product is exact.
        -1100..=-1022 => mantissa * power_of_two(exponent + 200) * power_of_two(-200),
        1025.. => f64::INFINITY,
        _ => 0.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bound(schema: i32, index: i32) -> f64 {
        exponential_bound(Schema::new(schema).unwrap(), index)
    }

    #[test]
    fn powers_of_two_are_exact_bounds_of_every_schema() {
        for schema in -4..=8 {
            assert_eq!(bound(schema, 0), 1.0);
        }
        for (index, expected) in [(-1, 0.5), (1, 2.0), (3, 8.0), (-10, 0.0009765625)] {
            assert_eq!(bound(0, index), expected);
            assert_eq!(bound(3, index * 8), expected);
        }
        assert_eq!(bound(-1, 1), 4.0);
        assert_eq!(bound(-4, 1), 65_536.0);
        assert_eq!(bound(-4, -1), 1.0 / 65_536.0);
    }

    #[test]
    fn bounds_between_have_the_bits_of_the_table_of_prometheus() {
        assert_eq!(bound(1, 1).to_bits(), (2.0 * 0.7071067811865475_f64).to_bits());
        assert_eq!(bound(2, 1).to_bits(), (2.0 * 0.5946035575013605_f64).to_bits());
        assert_eq!(bound(8, -1).to_bits(), 0.9972960560854698_f64.to_bits());
        assert_eq!(bound(8, -2).to_bits(), 0.9945994234836328_f64.to_bits());
        // All 256 of them, as one number.
        let checksum = MANTISSAS.iter().fold(0_u64, |sum, mantissa| {
            sum.wrapping_mul(31).wrapping_add(mantissa.to_bits())
        });
        assert_eq!(checksum, 0xacf6_c159_a056_d65f);
    }

    #[test]
    fn bounds_at_the_ends_of_floats_are_finite_then_infinite() {
        assert_eq!(bound(0, 1023), 2_f64.powi(1023));
        assert_eq!(bound(0, 1024), f64::MAX);
        assert_eq!(bound(0, 1025), f64::INFINITY);
        assert_eq!(bound(-4, 64), f64::MAX);
        assert_eq!(bound(-4, 65), f64::INFINITY);
        assert_eq!(bound(8, 256 * 1024), f64::MAX);
        assert_eq!(bound(8, 256 * 1024 + 1), f64::INFINITY);
        assert_eq!(bound(0, i32::MAX), f64::INFINITY);
        assert_eq!(bound(0, -1074), 5e-324);
        assert_eq!(bound(0, -1075), 0.0);
        assert_eq!(bound(0, i32::MIN), 0.0);
        assert_eq!(bound(-4, i32::MIN), 0.0);
    }

    #[test]
    fn bounds_ascend() {
        for schema in -4..=8 {
            let last = 1024 * (1 << schema.max(0));
            let bounds: Vec<f64> = (-300..300)
                .chain(last - 300..last + 2)
                .map(|index| bound(schema, index))
                .collect();
            assert!(bounds.is_sorted(), "schema {schema}");
        }
    }
}
