//! Durations: literals, and what a duration expression comes to when the query is run.

use crate::ast::{BinaryOp, DurationExpr, DurationKind, Span};
use crate::string_literal::quote;

/// The largest duration in seconds, either way: 2^63 ns, about 292 years.
pub(crate) const DURATION_SECONDS_MAX: f64 = (1_u64 << 63) as f64 / 1e9;

/// What `step()` and `range()` stand for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct QueryTiming {
    /// Milliseconds between two steps; 0 in an instant query.
    pub step_ms: i64,
    /// End − start in milliseconds; 0 in an instant query.
    pub range_ms: i64,
}

/// Why a duration expression has no value in this query. The numbers are its bytes in the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DurationError {
    /// The divisor is 0.
    #[error("{}:{}: division by zero", .0.start, .0.end)]
    DivisionByZero(Span),
    /// The divisor of `%` is 0.
    #[error("{}:{}: modulo by zero", .0.start, .0.end)]
    ModuloByZero(Span),
    /// NaN or infinite.
    #[error("{}:{}: duration is NaN or infinite", .0.start, .0.end)]
    NotFinite(Span),
    /// More than 292 years.
    #[error("{}:{}: duration is out of range", .0.start, .0.end)]
    OutOfRange(Span),
    /// A range or a subquery's step must be positive.
    #[error("{}:{}: duration must be greater than 0", .0.start, .0.end)]
    NotPositive(Span),
}

impl DurationExpr {
    /// Milliseconds, either sign: the value of an `offset`.
    ///
    /// # Errors
    /// All of [`DurationError`] but `NotPositive`. Of plain literals only NaN fails: the parser has checked them.
    pub fn evaluate_ms(&self, timing: QueryTiming) -> Result<i64, DurationError> {
        let seconds = self.seconds(timing)?;
        if !seconds.is_finite() {
            return Err(DurationError::NotFinite(self.span));
        }
        if seconds.abs() > DURATION_SECONDS_MAX {
            return Err(DurationError::OutOfRange(self.span));
        }
        Ok(match self.kind {
            DurationKind::Literal(seconds) => literal_ms(seconds),
            _ => truncate(seconds * 1000.0),
        })
    }

    /// Milliseconds of a range or of a subquery's step. Can be 0 for a positive duration below a millisecond.
    ///
    /// # Errors
    /// All of [`DurationError`].
    pub fn evaluate_positive_ms(&self, timing: QueryTiming) -> Result<i64, DurationError> {
        let seconds = self.seconds(timing)?;
        if seconds <= 0.0 {
            return Err(DurationError::NotPositive(self.span));
        }
        self.evaluate_ms(timing)
    }

    #[expect(
        clippy::cast_precision_loss,
        reason = "durations are computed in floats, as in Prometheus"
    )]
    fn seconds(&self, timing: QueryTiming) -> Result<f64, DurationError> {
        Ok(match &self.kind {
            DurationKind::Literal(seconds) => *seconds,
            DurationKind::Step => timing.step_ms as f64 / 1000.0,
            DurationKind::Range => timing.range_ms as f64 / 1000.0,
            DurationKind::MinOf(left, right) => go_min(left.seconds(timing)?, right.seconds(timing)?),
            DurationKind::MaxOf(left, right) => -go_min(-left.seconds(timing)?, -right.seconds(timing)?),
            DurationKind::Negate(inner) => -inner.seconds(timing)?,
            DurationKind::Paren(inner) => inner.seconds(timing)?,
            DurationKind::Binary(op, left, right) => {
                self.apply(*op, left.seconds(timing)?, right.seconds(timing)?)?
            }
        })
    }

    fn apply(&self, op: BinaryOp, left: f64, right: f64) -> Result<f64, DurationError> {
        Ok(match op {
            BinaryOp::Add => left + right,
            BinaryOp::Sub => left - right,
            BinaryOp::Mul => left * right,
            BinaryOp::Div if right == 0.0 => return Err(DurationError::DivisionByZero(self.span)),
            BinaryOp::Div => left / right,
            BinaryOp::Mod if right == 0.0 => return Err(DurationError::ModuloByZero(self.span)),
            BinaryOp::Mod => left % right,
            BinaryOp::Pow => left.powf(right),
            other => unreachable!("the parser puts no {other} into durations"),
        })
    }
}

/// The smaller one; NaN if one is NaN, unlike `f64::min`.
fn go_min(left: f64, right: f64) -> f64 {
    if left.is_nan() || right.is_nan() {
        f64::NAN
    } else {
        left.min(right)
    }
}

/// A literal is held in nanoseconds first, so that 1.001 s are 1001 ms and not 1000.
fn literal_ms(seconds: f64) -> i64 {
    truncate((seconds * 1e9).round()) / 1_000_000
}

#[expect(clippy::cast_possible_truncation, reason = "what is meant; saturates")]
fn truncate(value: f64) -> i64 {
    value as i64
}

/// Seconds of a literal like `1h30m`. Units go from `y` to `ms`, each at most once.
///
/// # Errors
/// The message for the reader, as prometheus/common's `model.ParseDuration` words it.
pub(crate) fn parse_literal_seconds(text: &str) -> Result<f64, String> {
    let bad = || format!("not a valid duration string: {}", quote(text));
    let mut rest = text;
    let mut total_ms: u64 = 0;
    let mut next_unit = 0;
    while !rest.is_empty() {
        let (digits, behind_digits) = split_where(rest, |c| !c.is_ascii_digit());
        let count: u64 = digits.parse().map_err(|_| bad())?;
        let (unit, behind_unit) = split_where(behind_digits, |c| c.is_ascii_digit());
        if unit.is_empty() {
            return Err(bad());
        }
        let unknown = || format!("unknown unit {} in duration {}", quote(unit), quote(text));
        let found = UNITS.iter().enumerate().find(|(_, (name, _))| *name == unit);
        let (position, (_, unit_ms)) = found.ok_or_else(unknown)?;
        if position < next_unit {
            return Err(bad());
        }
        next_unit = position + 1;
        let part_ms = count.checked_mul(*unit_ms).filter(|ms| *ms <= LITERAL_MS_MAX);
        total_ms = part_ms
            .map(|part_ms| part_ms + total_ms)
            .filter(|total_ms| *total_ms <= LITERAL_MS_MAX)
            .ok_or("duration out of range")?;
        rest = behind_unit;
    }
    Ok(ms_to_seconds(total_ms))
}

/// Whole seconds and the rest are converted apart, so that the result is the float nearest to Go's.
#[expect(clippy::cast_precision_loss, reason = "durations are floats in the tree")]
pub(crate) fn ms_to_seconds(ms: u64) -> f64 {
    (ms / 1000) as f64 + (ms % 1000) as f64 / 1000.0
}

/// `text` before and from the first character that `ends`.
fn split_where(text: &str, ends: impl Fn(char) -> bool) -> (&str, &str) {
    text.split_at(text.find(ends).unwrap_or(text.len()))
}

/// The largest literal: Go's `time.Duration` holds nanoseconds in an `i64`.
const LITERAL_MS_MAX: u64 = (i64::MAX / 1_000_000).unsigned_abs();

/// Units in milliseconds.
const UNITS: [(&str, u64); 7] = [
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
    fn literals_read_as_prometheus_reads_them() {
        let check =
            |text: &str, expected: f64| assert_eq!(parse_literal_seconds(text), Ok(expected), "{text}");
        check("5m", 300.0);
        check("1m0s", 60.0);
        check("1h30m", 5400.0);
        check("1y1w1d1h1m1s1ms", 32_230_861.001);
        check("292y", 292.0 * 365.0 * 86_400.0);
    }

    #[test]
    fn bad_literals_are_named() {
        let check = |text: &str, message: &str| {
            assert_eq!(parse_literal_seconds(text), Err(message.to_owned()));
        };
        check("1.5h", "unknown unit \".\" in duration \"1.5h\"");
        check("1s1m", "not a valid duration string: \"1s1m\"");
        check("0x5m", "unknown unit \"x\" in duration \"0x5m\"");
        check("5ys", "unknown unit \"ys\" in duration \"5ys\"");
        check("293y", "duration out of range");
        check(
            "99999999999999999999d",
            "not a valid duration string: \"99999999999999999999d\"",
        );
    }
}
