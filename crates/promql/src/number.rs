//! Number literals to numbers, as Go's `ParseInt(text, 0, 64)` and then `ParseFloat` read them.

use crate::string_literal::quote;

/// The value of a literal the lexer took for a number.
///
/// # Errors
/// The message for the reader.
pub(crate) fn parse_number(text: &str) -> Result<f64, String> {
    let bad = |reason: &str| {
        let shown = quote(text);
        format!("error parsing number: strconv.ParseFloat: parsing {shown}: {reason}")
    };
    if !underscores_separate_digits(text) {
        return Err(bad("invalid syntax"));
    }
    let digits: String = text.chars().filter(|c| *c != '_').collect();
    if let Some(integer) = parse_integer(&digits) {
        return Ok(integer);
    }
    let value: f64 = digits.parse().map_err(|_| bad("invalid syntax"))?;
    // The words Inf and NaN are meant; everything else with an infinite value is too large.
    if value.is_infinite() && digits.starts_with(|c: char| !c.is_ascii_alphabetic()) {
        return Err(bad("value out of range"));
    }
    Ok(value)
}

/// Hexadecimal with `0x`, octal with `0`, else decimal; `None` when it is none or does not fit into an `i64`.
#[expect(clippy::cast_precision_loss, reason = "PromQL's numbers are floats")]
fn parse_integer(digits: &str) -> Option<f64> {
    let (radix, digits) = match digits.as_bytes() {
        [b'0', b'x' | b'X', ..] => (16, digits.get(2..)?),
        [b'0', _, ..] => (8, digits.get(1..)?),
        _ => (10, digits),
    };
    let integer = i64::from_str_radix(digits, radix).ok()?;
    Some(integer as f64)
}

/// True when every `_` stands between two digits; the prefix `0x` counts as a digit.
fn underscores_separate_digits(text: &str) -> bool {
    let (hexadecimal, number) = match text.as_bytes() {
        [b'0', b'x' | b'X', rest @ ..] => (true, rest),
        number => (false, number),
    };
    let mut behind_digit = hexadecimal;
    let mut behind_underscore = false;
    for byte in number {
        let is_digit = byte.is_ascii_digit() || (hexadecimal && byte.is_ascii_hexdigit());
        if (*byte == b'_' && !behind_digit) || (behind_underscore && !is_digit) {
            return false;
        }
        behind_underscore = *byte == b'_';
        behind_digit = is_digit;
    }
    !behind_underscore
}

/// A number with six digits behind the point, as Go's `%f` writes it.
pub(crate) fn fixed(value: f64) -> String {
    if value.is_infinite() {
        return if value > 0.0 { "+Inf" } else { "-Inf" }.to_owned();
    }
    format!("{value:.6}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_as_go_reads_them() {
        let check = |text: &str, expected: f64| {
            assert_eq!(
                parse_number(text).map(f64::to_bits),
                Ok(expected.to_bits()),
                "{text}"
            );
        };
        check("0", 0.0);
        check("0755", 493.0);
        check("089", 89.0);
        check("0x1f", 31.0);
        check("0X_1F", 31.0);
        check("0x1e5", 485.0);
        check("1_000_000", 1e6);
        check("1_0.5_0e1_0", 10.5e10);
        check("5.", 5.0);
        check(".5", 0.5);
        check("5e-3", 0.005);
        check("iNf", f64::INFINITY);
        check("99999999999999999999", 1e20);
        assert!(parse_number("nan").is_ok_and(f64::is_nan));
    }

    #[test]
    fn bad_numbers_are_named() {
        let check = |text: &str, reason: &str| {
            let expected = format!("error parsing number: strconv.ParseFloat: parsing \"{text}\": {reason}");
            assert_eq!(parse_number(text), Err(expected));
        };
        check("1e999", "value out of range");
        check(".5.5", "invalid syntax");
        check("0xffffffffffffffff", "invalid syntax");
        check("1._5", "invalid syntax");
        check("1_", "invalid syntax");
    }
}
