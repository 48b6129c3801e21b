//! Durations as Prometheus writes them: `1h30m`, `15s`, `500ms`.

use std::fmt::Write;

/// Milliseconds of a duration like `1d2h`, `90s` or `1m0s`. Units must come in the order `y w d h m s ms`, each
/// at most once; `0` alone needs no unit. `None` when the text is no duration or exceeds `i64`.
///
/// Source: prometheus/common `model.ParseDuration`.
#[must_use]
pub fn parse_duration_ms(text: &str) -> Option<i64> {
    if text == "0" {
        return Some(0);
    }
    let mut rest = text;
    let mut total_ms: i64 = 0;
    let mut next_unit = 0;
    while !rest.is_empty() {
        let n_digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let count: i64 = rest.get(..n_digits)?.parse().ok()?;
        rest = rest.get(n_digits..)?;
        let n_letters = rest.bytes().take_while(u8::is_ascii_alphabetic).count();
        let unit = rest.get(..n_letters)?;
        let position = UNITS.iter().position(|(name, _)| *name == unit)?;
        if position < next_unit {
            return None;
        }
        next_unit = position + 1;
        total_ms = total_ms.checked_add(count.checked_mul(UNITS.get(position)?.1)?)?;
        rest = rest.get(n_letters..)?;
    }
    (next_unit > 0).then_some(total_ms)
}

/// A duration as Prometheus prints it: the largest units that divide it, `0s` for nothing.
///
/// Source: prometheus/common `model.Duration.String`.
#[must_use]
pub fn format_duration_ms(duration_ms: i64) -> String {
    if duration_ms == 0 {
        return "0s".to_owned();
    }
    let mut text = String::new();
    if duration_ms < 0 {
        text.push('-');
    }
    let mut rest_ms = duration_ms.unsigned_abs();
    for (unit, unit_ms) in UNITS {
        let unit_ms = unit_ms.unsigned_abs();
        let exact_only = matches!(unit, "y" | "w");
        let count = rest_ms / unit_ms;
        if count > 0 && (!exact_only || rest_ms.is_multiple_of(unit_ms)) {
            write!(text, "{count}{unit}").expect("writing to a String cannot fail");
            rest_ms %= unit_ms;
        }
    }
    text
}

const UNITS: [(&str, i64); 7] = [
    ("y", 365 * 86_400_000),
    ("w", 7 * 86_400_000),
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1_000),
    ("ms", 1),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_as_prometheus_reads_them() {
        assert_eq!(parse_duration_ms("1h30m"), Some(5_400_000));
        assert_eq!(parse_duration_ms("1m0s"), Some(60_000));
        assert_eq!(parse_duration_ms("500ms"), Some(500));
        assert_eq!(parse_duration_ms("0"), Some(0));
        for bad in [
            "",
            "1",
            "s",
            "1s1m",
            "1s1s",
            "1.5h",
            "-1s",
            "1 s",
            "99999999999999999999s",
        ] {
            assert_eq!(parse_duration_ms(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn durations_print_as_prometheus_prints_them() {
        for (ms, text) in [
            (0, "0s"),
            (5_400_000, "1h30m"),
            (86_400_000, "1d"),
            (15 * 86_400_000, "15d"),
            (1, "1ms"),
        ] {
            assert_eq!(format_duration_ms(ms), text);
        }
        assert_eq!(format_duration_ms(7 * 86_400_000), "1w");
        assert_eq!(format_duration_ms(-90_000), "-1m30s");
    }
}
