//! Floats as text, the way Go and so Prometheus prints and reads them.

use std::fmt::Write;

use crate::sample::is_stale_nan;

/// Appends `value` as the Prometheus API prints sample values: shortest form that reads back to the same bits,
/// plain digits, with an exponent only when `|value| < 1e-6` or `>= 1e21`; `NaN`, `+Inf`, `-Inf`.
///
/// Source: Prometheus `util/jsonutil`, `MarshalFloat`.
pub fn push_api_float(text: &mut String, value: f64) {
    let magnitude = value.abs();
    if !value.is_finite() {
        text.push_str(non_finite(value));
    } else if magnitude != 0.0 && !(1e-6..1e21).contains(&magnitude) {
        push_exponent(text, value);
    } else {
        push_plain(text, value);
    }
}

/// True when two floats differ by less than `tolerance` times their sum. A staleness marker equals only itself, any
/// other NaN every such NaN.
///
/// Source: Prometheus `util/almost`.
#[inline]
#[must_use]
pub fn almost_equal(left: f64, right: f64, tolerance: f64) -> bool {
    if is_stale_nan(left) || is_stale_nan(right) {
        return is_stale_nan(left) && is_stale_nan(right);
    }
    if left == right || (left.is_nan() && right.is_nan()) {
        return true;
    }
    let magnitude = left.abs() + right.abs();
    let difference = (left - right).abs();
    if left == 0.0 || right == 0.0 || magnitude < f64::MIN_POSITIVE {
        return difference < tolerance * f64::MIN_POSITIVE;
    }
    difference / magnitude.min(f64::MAX) < tolerance
}

/// Appends `value` as Go's `FormatFloat(value, 'f', -1, 64)` does: never an exponent.
pub fn push_plain_float(text: &mut String, value: f64) {
    if value.is_finite() {
        push_plain(text, value);
    } else {
        text.push_str(non_finite(value));
    }
}

/// Appends `value` as Go's `FormatFloat(value, 'g', -1, 64)` does, which is what text expositions carry: an
/// exponent below 1e-4 and from 1e6 on (`1e+06`, `1.960883518e+09`).
///
/// Source: Go `strconv`, where the shortest form decides as if six digits were asked for; seen in the output of
/// a real Prometheus.
pub fn push_exposition_float(text: &mut String, value: f64) {
    let magnitude = value.abs();
    if !value.is_finite() {
        text.push_str(non_finite(value));
    } else if magnitude != 0.0 && !(1e-4..1e6).contains(&magnitude) {
        push_exponent(text, value);
    } else {
        push_plain(text, value);
    }
}

fn non_finite(value: f64) -> &'static str {
    if value.is_nan() {
        "NaN"
    } else if value > 0.0 {
        "+Inf"
    } else {
        "-Inf"
    }
}

/// Counters are whole numbers, which print several times faster as integers.
fn push_plain(text: &mut String, value: f64) {
    if let Some(integer) = small_integer(value) {
        write!(text, "{integer}").expect("writing to a String cannot fail");
        return;
    }
    let start = text.len();
    write!(text, "{value}").expect("writing to a String cannot fail");
    let last = text.as_bytes().last().copied().unwrap_or(b'0');
    if last % 2 == 1 && is_rounded_from_middle(&text[start..], value) {
        // An odd digit is no 0: nothing is borrowed from the digit before it.
        text.pop();
        text.push(char::from(last - 1));
    }
}

/// The integer of this value, when every integer of its size is a float of its own; none for −0.
fn small_integer(value: f64) -> Option<i64> {
    const INTEGER_MAX: f64 = (1_u64 << 53) as f64;
    let integer = value as i64;
    let is_integer = value.abs() <= INTEGER_MAX && integer as f64 == value;
    let is_negative_zero = integer == 0 && value.is_sign_negative();
    (is_integer && !is_negative_zero).then_some(integer)
}

/// True when the exact value lies in the middle between two shortest texts, of which `text` is one. Go then takes the
/// one with the even last digit, the standard library the larger one.
///
/// A float with n bits after the binary point has exactly n decimals, the last one a 5. So the text was rounded from
/// the middle exactly if it is one decimal short of that. Whole numbers have too many factors of two for it.
fn is_rounded_from_middle(text: &str, value: f64) -> bool {
    text.split_once('.')
        .is_some_and(|(_, decimals)| n_fraction_bits(value) == decimals.len() + 1)
}

/// Bits after the binary point, without trailing zeros.
fn n_fraction_bits(value: f64) -> usize {
    const MANTISSA_BITS: u32 = 52;
    let bits = value.to_bits();
    let exponent = usize::try_from(bits >> MANTISSA_BITS & 0x7ff).unwrap_or(0);
    let mantissa = bits & ((1 << MANTISSA_BITS) - 1) | 1 << MANTISSA_BITS;
    (1_023 + 52_usize).saturating_sub(exponent + mantissa.trailing_zeros() as usize)
}

/// Go writes at least two digits of exponent and always its sign.
fn push_exponent(text: &mut String, value: f64) {
    let start = text.len();
    write!(text, "{value:e}").expect("writing to a String cannot fail");
    let marker = start
        + text[start..]
            .find('e')
            .expect("LowerExp always writes an exponent");
    let exponent: i32 = text[marker + 1..]
        .parse()
        .expect("an exponent has at most three digits");
    text.truncate(marker);
    let sign = if exponent < 0 { '-' } else { '+' };
    write!(text, "e{sign}{:02}", exponent.unsigned_abs()).expect("writing to a String cannot fail");
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn whole_numbers_print_as_the_language_prints_them(
            integer in prop_oneof![any::<i64>(), -2_000_i64..2_000, (1_i64 << 53) - 9..(1_i64 << 53) + 9],
        ) {
            let value = integer as f64;
            let mut text = String::new();
            push_plain_float(&mut text, value);
            prop_assert_eq!(text, format!("{value}"));
        }
    }

    #[test]
    fn api_floats_look_like_prometheus() {
        let check = |value: f64, expected: &str| {
            let mut text = String::new();
            push_api_float(&mut text, value);
            assert_eq!(text, expected);
        };
        check(1.0, "1");
        check(-0.0, "-0");
        check(0.1, "0.1");
        check(1e-7, "1e-07");
        check(1.5e-6, "0.0000015");
        check(1e20, "100000000000000000000");
        check(1e21, "1e+21");
        check(1.25e300, "1.25e+300");
        // In the middle of two shortest texts the even digit wins.
        check(2_500_032_319_386.0 + 9.0 / 32.0, "2500032319386.2812");
        check(-1_034_698_181_818_458.0 - 0.25, "-1034698181818458.2");
        check(1_034_698_181_818_458.0 + 0.75, "1034698181818458.8");
        check(0.5, "0.5");
        check(10.0, "10");
        check(-3e20, "-300000000000000000000");
        check(0.375, "0.375");
        check(f64::NAN, "NaN");
        check(f64::INFINITY, "+Inf");
        check(f64::NEG_INFINITY, "-Inf");
    }

    #[test]
    fn floats_are_almost_equal_relative_to_their_sum() {
        assert!(almost_equal(1.0, 1.0 + 1e-7, 1e-6));
        assert!(!almost_equal(1.0, 1.00001, 1e-6));
        assert!(almost_equal(1e300, 1.000001e300, 1e-6));
        assert!(!almost_equal(0.0, 1e-300, 1e-6));
        assert!(almost_equal(f64::NAN, -f64::NAN, 1e-6));
        assert!(!almost_equal(f64::NAN, 1.0, 1e-6));
        assert!(!almost_equal(f64::NAN, crate::stale_nan(), 1e-6));
        assert!(almost_equal(crate::stale_nan(), crate::stale_nan(), 1e-6));
        assert!(almost_equal(f64::INFINITY, f64::INFINITY, 1e-6));
        assert!(!almost_equal(f64::INFINITY, f64::NEG_INFINITY, 1e-6));
    }

    #[test]
    fn exposition_floats_look_like_go() {
        let check = |value: f64, expected: &str| {
            let mut text = "x ".to_owned();
            push_exposition_float(&mut text, value);
            assert_eq!(text.strip_prefix("x "), Some(expected));
        };
        check(0.0, "0");
        check(-0.0, "-0");
        check(-1.0, "-1");
        check(901_120.0, "901120");
        check(999_999.5, "999999.5");
        check(1_000_000.0, "1e+06");
        check(1_960_883_518.0, "1.960883518e+09");
        check(-41_510_207_392.0, "-4.1510207392e+10");
        check(1e21, "1e+21");
        check(1e100, "1e+100");
        check(0.0001, "0.0001");
        check(0.000_033_646, "3.3646e-05");
        check(0.147_724_282_999_999_98, "0.14772428299999998");
        check(5e-324, "5e-324");
        check(f64::NAN, "NaN");
        check(f64::INFINITY, "+Inf");
        check(f64::NEG_INFINITY, "-Inf");
    }
}
