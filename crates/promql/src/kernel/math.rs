//! Binary operators on floats, and the functions where Go's results differ from Rust's.

use std::f64::consts::{FRAC_1_SQRT_2, LN_2, LOG2_E, LOG10_E};

use crate::ast::BinaryOp;

/// The result of an arithmetic operator; `None` for any other operator.
#[inline]
#[must_use]
pub fn arithmetic(op: BinaryOp, left: f64, right: f64) -> Option<f64> {
    Some(match op {
        BinaryOp::Add => left + right,
        BinaryOp::Sub => left - right,
        BinaryOp::Mul => left * right,
        BinaryOp::Div => left / right,
        // As Go's math.Mod: the sign of the dividend, NaN for a divisor of 0.
        BinaryOp::Mod => left % right,
        BinaryOp::Pow => left.powf(right),
        BinaryOp::Atan2 => left.atan2(right),
        _ => return None,
    })
}

/// Whether a comparison holds; `None` for any other operator. NaN is unequal to everything and in no order.
#[inline]
#[must_use]
pub fn comparison(op: BinaryOp, left: f64, right: f64) -> Option<bool> {
    Some(match op {
        BinaryOp::Equal => left == right,
        BinaryOp::NotEqual => left != right,
        BinaryOp::Greater => left > right,
        BinaryOp::Less => left < right,
        BinaryOp::GreaterOrEqual => left >= right,
        BinaryOp::LessOrEqual => left <= right,
        _ => return None,
    })
}

/// The result of an operator between two scalars, comparisons as 0 or 1; `None` for set operators and trims, which the
/// parser does not let through.
#[inline]
#[must_use]
pub fn scalar_binary(op: BinaryOp, left: f64, right: f64) -> Option<f64> {
    arithmetic(op, left, right)
        .or_else(|| comparison(op, left, right).map(|holds| f64::from(u8::from(holds))))
}

/// The smaller of two, NaN if one is and neither is −Inf: `min_of`.
#[inline]
#[must_use]
pub fn min_of(left: f64, right: f64) -> f64 {
    if left == f64::NEG_INFINITY || right == f64::NEG_INFINITY {
        f64::NEG_INFINITY
    } else if left.is_nan() || right.is_nan() {
        f64::NAN
    } else if left == 0.0 && right == 0.0 {
        if left.is_sign_negative() { left } else { right }
    } else if left < right {
        left
    } else {
        right
    }
}

/// The larger of two, NaN if one is and neither is +Inf: `max_of`.
#[inline]
#[must_use]
pub fn max_of(left: f64, right: f64) -> f64 {
    -min_of(-left, -right)
}

/// Rounds to the nearest multiple, ties up. `inverse` is 1 / multiple: multiplying by the inverse and dividing by it
/// gives the bits that Prometheus gives.
#[inline]
#[must_use]
pub fn round(value: f64, inverse: f64) -> f64 {
    (value * inverse + 0.5).floor() / inverse
}

/// −1, 0 or 1; zeros and NaN as they are.
#[inline]
#[must_use]
pub fn sign(value: f64) -> f64 {
    if value < 0.0 {
        -1.0
    } else if value > 0.0 {
        1.0
    } else {
        value
    }
}

/// The natural logarithm with the bits of Go's, which differ from those of the C library in the last place now and
/// then. The logarithms to other bases are computed from it, where a last place decides whether `log10(1000)` is 3.
///
/// Method: FDLIBM's `e_log`. x = 2^k (1 + f) with 1 + f between √½ and √2; log(1 + f) is a polynomial in
/// s = f / (2 + f). (Go's assembly for x86-64 takes subnormal numbers for larger ones; this does not.)
#[must_use]
pub fn ln(value: f64) -> f64 {
    const LN_2_HIGH: f64 = f64::from_bits(0x3fe6_2e42_fee0_0000);
    const LN_2_LOW: f64 = f64::from_bits(0x3dea_39ef_3579_3c76);
    /// Coefficients of s², s⁴, …, s¹⁴.
    const L: [f64; 7] = [
        f64::from_bits(0x3fe5_5555_5555_5593),
        f64::from_bits(0x3fd9_9999_9997_fa04),
        f64::from_bits(0x3fd2_4924_9422_9359),
        f64::from_bits(0x3fcc_71c5_1d8e_78af),
        f64::from_bits(0x3fc7_4664_96cb_03de),
        f64::from_bits(0x3fc3_9a09_d078_c69f),
        f64::from_bits(0x3fc2_f112_df3e_5244),
    ];
    if value.is_nan() || value == f64::INFINITY {
        return value;
    } else if value < 0.0 {
        return f64::NAN;
    } else if value == 0.0 {
        return f64::NEG_INFINITY;
    }
    let (mut fraction, mut k) = split_exponent(value);
    if fraction < FRAC_1_SQRT_2 {
        fraction *= 2.0;
        k -= 1.0;
    }
    let f = fraction - 1.0;
    let s = f / (2.0 + f);
    let s2 = s * s;
    let s4 = s2 * s2;
    let odd = s2 * (L[0] + s4 * (L[2] + s4 * (L[4] + s4 * L[6])));
    let even = s4 * (L[1] + s4 * (L[3] + s4 * L[5]));
    let half_square = 0.5 * f * f;
    k * LN_2_HIGH - ((half_square - (s * (half_square + (odd + even)) + k * LN_2_LOW)) - f)
}

/// The logarithm to base 2 as Go computes it, exact for powers of two.
#[must_use]
pub fn log2(value: f64) -> f64 {
    let (fraction, exponent) = split_exponent(value);
    if fraction == 0.5 {
        return exponent - 1.0;
    }
    ln(fraction) * LOG2_E + exponent
}

/// The logarithm to base 10 as Go computes it.
#[must_use]
pub fn log10(value: f64) -> f64 {
    ln(value) * LOG10_E
}

/// A fraction of 0.5 to 1 and a power of two; zeros, infinities and NaN come back as they are.
fn split_exponent(value: f64) -> (f64, f64) {
    if value == 0.0 || !value.is_finite() {
        return (value, 0.0);
    }
    const EXPONENT_MASK: u64 = 0x7ff << 52;
    let (value, shift) = if value.abs() < f64::MIN_POSITIVE {
        (value * 2_f64.powi(52), -52.0)
    } else {
        (value, 0.0)
    };
    let bits = value.to_bits();
    let biased = (bits & EXPONENT_MASK) >> 52;
    let fraction = f64::from_bits((bits & !EXPONENT_MASK) | 1022 << 52);
    (fraction, biased as f64 - 1022.0 + shift)
}

/// From here on, the smaller of the two exponentials in sinh and cosh is lost in the rounding of the larger one.
const ONE_EXPONENTIAL_FROM: f64 = 21.0;

/// The hyperbolic sine; infinite as soon as Go's, from about 709.78 on, though the result would fit a little further.
#[must_use]
pub fn sinh(value: f64) -> f64 {
    if value.abs() > ONE_EXPONENTIAL_FROM {
        return (value.abs().exp() * 0.5).copysign(value);
    }
    value.sinh()
}

/// The hyperbolic cosine; infinite as soon as Go's, as [`sinh`].
#[must_use]
pub fn cosh(value: f64) -> f64 {
    if value.abs() > ONE_EXPONENTIAL_FROM {
        return value.abs().exp() * 0.5;
    }
    value.cosh()
}

/// Numbers from here on are too large to be squared without loss.
const SQUARE_MAX: f64 = (1_u64 << 28) as f64;

/// The inverse hyperbolic sine, precise near 0 and for large numbers, where the one of std is not.
#[must_use]
pub fn asinh(value: f64) -> f64 {
    let x = value.abs();
    let result = if !x.is_finite() || x < 1.0 / SQUARE_MAX {
        return value;
    } else if x > SQUARE_MAX {
        x.ln() + LN_2
    } else if x > 2.0 {
        (2.0 * x + 1.0 / ((x * x + 1.0).sqrt() + x)).ln()
    } else {
        (x + x * x / (1.0 + (1.0 + x * x).sqrt())).ln_1p()
    };
    result.copysign(value)
}

/// The inverse hyperbolic cosine; NaN below 1.
#[must_use]
pub fn acosh(value: f64) -> f64 {
    if value < 1.0 || value.is_nan() {
        f64::NAN
    } else if value >= SQUARE_MAX {
        value.ln() + LN_2
    } else if value > 2.0 {
        (2.0 * value - 1.0 / (value + (value * value - 1.0).sqrt())).ln()
    } else {
        let above = value - 1.0;
        (above + (2.0 * above + above * above).sqrt()).ln_1p()
    }
}

/// The inverse hyperbolic tangent; NaN outside of −1 to 1.
#[must_use]
pub fn atanh(value: f64) -> f64 {
    let x = value.abs();
    let result = if x > 1.0 || x.is_nan() {
        return f64::NAN;
    } else if x < 1.0 / SQUARE_MAX {
        return value;
    } else {
        let double = x + x;
        0.5 * if x < 0.5 {
            (double + double * x / (1.0 - x)).ln_1p()
        } else {
            (double / (1.0 - x)).ln_1p()
        }
    };
    result.copysign(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    const INF: f64 = f64::INFINITY;
    const NAN: f64 = f64::NAN;

    #[test]
    fn hyperbolic_functions_overflow_where_those_of_go_do() {
        assert_eq!(cosh(-710.0), INF);
        assert_eq!(sinh(-710.0), -INF);
        assert_eq!(cosh(22.0), 22_f64.exp() / 2.0);
        assert_eq!(sinh(0.25), 0.25_f64.sinh());
        assert_eq!(cosh(1.0), 1_f64.cosh());
        assert!(cosh(NAN).is_nan() && sinh(NAN).is_nan());
    }

    #[test]
    fn operators_follow_ieee_and_the_remainder_the_dividend() {
        let check = |op: BinaryOp, left: f64, right: f64, expected: f64| {
            let found = scalar_binary(op, left, right).unwrap();
            assert!(
                found == expected || (found.is_nan() && expected.is_nan()),
                "{left} {op} {right}: {found}"
            );
        };
        check(BinaryOp::Div, 1.0, 0.0, INF);
        check(BinaryOp::Div, -1.0, 0.0, -INF);
        check(BinaryOp::Div, 0.0, 0.0, NAN);
        check(BinaryOp::Mod, -7.0, 3.0, -1.0);
        check(BinaryOp::Mod, 7.0, -3.0, 1.0);
        check(BinaryOp::Mod, 7.0, 0.0, NAN);
        check(BinaryOp::Mod, 7.0, INF, 7.0);
        check(BinaryOp::Mod, INF, 7.0, NAN);
        check(BinaryOp::Mod, -1.5, 1.0, -0.5);
        check(BinaryOp::Pow, 0.0, 0.0, 1.0);
        check(BinaryOp::Pow, 1.0, NAN, 1.0);
        check(BinaryOp::Pow, -8.0, 1.0 / 3.0, NAN);
        check(BinaryOp::Pow, -1.0, INF, 1.0);
        check(BinaryOp::Atan2, 0.0, -1.0, std::f64::consts::PI);
        check(BinaryOp::NotEqual, NAN, NAN, 1.0);
        check(BinaryOp::GreaterOrEqual, NAN, NAN, 0.0);
        check(BinaryOp::LessOrEqual, 2.0, 2.0, 1.0);
        assert_eq!(scalar_binary(BinaryOp::And, 1.0, 1.0), None);
        assert_eq!(scalar_binary(BinaryOp::TrimLower, 1.0, 1.0), None);
    }

    #[test]
    fn an_infinity_decides_before_a_nan_does() {
        assert!(min_of(NAN, 3.0).is_nan() && max_of(3.0, NAN).is_nan() && min_of(NAN, INF).is_nan());
        assert_eq!((min_of(NAN, -INF), max_of(INF, NAN)), (-INF, INF));
        assert_eq!((min_of(3.0, 5.0), max_of(3.0, 5.0)), (3.0, 5.0));
        assert!(min_of(0.0, -0.0).is_sign_negative() && max_of(-0.0, 0.0).is_sign_positive());
    }

    #[test]
    fn ties_round_up() {
        assert_eq!((round(2.5, 1.0), round(-2.5, 1.0)), (3.0, -2.0));
        assert_eq!((round(0.5, 1.0), round(-0.5, 1.0)), (1.0, 0.0));
        assert_eq!(round(5.25, 1.0 / 0.1), 5.3);
        assert_eq!(round(4.5, 1.0 / 5.0), 5.0);
        // By way of the inverse 0.15 becomes 0.2; multiples of 0.1 itself would give 0.2 or 0.1 by chance.
        assert_eq!(round(0.15, 1.0 / 0.1), 0.2);
    }

    #[test]
    fn logarithms_have_the_bits_of_go() {
        // As a Prometheus 3.5 on x86-64 answers.
        let check = |function: fn(f64) -> f64, value: f64, expected: &str| {
            assert_eq!(function(value).to_string(), expected, "of {value}");
        };
        check(ln, 3.0, "1.0986122886681096");
        check(ln, 10.0, "2.302585092994046");
        check(ln, 0.625, "-0.4700036292457356");
        check(log10, 1000.0, "3");
        check(log10, 1e-3, "-3");
        check(log10, 1e15, "14.999999999999998");
        check(log10, 3.0, "0.4771212547196624");
        check(log10, 20.0, "1.301029995663981");
        check(log2, 1000.0, "9.965784284662087");
        check(log2, 10.0, "3.321928094887362");
        check(log2, 0.7, "-0.5145731728297583");
        check(log2, 0.125, "-3");
        check(log2, f64::from_bits(1), "-1074");
        for function in [ln, log2, log10] {
            check(function, 0.0, "-inf");
            check(function, INF, "inf");
            check(function, -10.0, "NaN");
            check(function, NAN, "NaN");
        }
    }

    #[test]
    fn inverse_hyperbolic_functions_are_precise_everywhere() {
        let close =
            |found: f64, expected: f64| assert!((found / expected - 1.0).abs() < 1e-14, "{found} {expected}");
        close(asinh(10.0), 2.99822295029797);
        close(asinh(-20.0), -3.6895038689889055);
        close(asinh(1e-300), 1e-300);
        close(asinh(1e300), 691.4686750787736);
        close(acosh(10.0), 2.993222846126381);
        close(acosh(1.0 + 1e-10), 1.4142136208675862e-5);
        close(acosh(1.7e308), 710.4199840737881);
        close(atanh(0.1), 0.10033534773107558);
        close(atanh(-0.75), -0.9729550745276566);
        assert_eq!((atanh(1.0), atanh(-1.0), acosh(1.0)), (INF, -INF, 0.0));
        assert!(atanh(1.1).is_nan() && acosh(0.9).is_nan() && asinh(NAN).is_nan());
        assert_eq!(asinh(-INF), -INF);
    }

    #[test]
    fn the_sign_keeps_zero_and_nan() {
        assert_eq!(
            (sign(-INF), sign(-50.0), sign(0.0), sign(100.0)),
            (-1.0, -1.0, 0.0, 1.0)
        );
        assert!(sign(NAN).is_nan() && sign(-0.0).is_sign_negative());
    }
}
