//! The points of a series: `1`, `_`, `stale`, `0+10x5`, `{{schema:0 count:2}}`.

use std::sync::Arc;

use model::FloatHistogram;
use model::duration::parse_duration_ms;

use super::histogram::{Literal, parse_literal};
use crate::kernel::native::arithmetic::{Combined, MixedSchemas, add, subtract};

/// One step of a series.
#[derive(Debug, Clone, PartialEq)]
pub enum Point {
    /// No sample.
    Gap,
    /// A float; a staleness marker too.
    Float(f64),
    /// A native histogram.
    Histogram {
        /// Its value, not validated. Shared by all points of one word that are equal.
        value: Arc<FloatHistogram>,
        /// Its counter reset hint was written: only then an expected one has to be met.
        has_hint: bool,
    },
}

/// Points that one word may stand for.
const REPEATS_MAX: usize = 1_000_000;

/// The points of a list like `1 _x2 3+1x4 stale`.
///
/// # Errors
/// What is wrong, naming the word.
pub(super) fn parse_points(text: &str) -> Result<Vec<Point>, String> {
    let mut points = Vec::new();
    let mut rest = text.trim();
    while !rest.is_empty() {
        rest = if rest.starts_with("{{") {
            histogram_points(rest, &mut points)?
        } else {
            let (word, rest) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
            float_points(word, &mut points)?;
            rest
        };
        rest = rest.trim_start();
    }
    Ok(points)
}

/// A float as scripts write it: `1`, `-2.5e-3`, `Inf`, `+Inf`, `NaN`. Gives back what follows it. There are no
/// hexadecimal numbers: `0x3` is a zero and three more.
pub(super) fn take_float(text: &str) -> Option<(f64, &str)> {
    let (sign, digits) = match text.as_bytes().first()? {
        b'-' => (-1.0, text.get(1..)?),
        b'+' => (1.0, text.get(1..)?),
        _ => (1.0, text),
    };
    for (word, value) in [("inf", f64::INFINITY), ("nan", f64::NAN)] {
        if digits
            .get(..3)
            .is_some_and(|head| head.eq_ignore_ascii_case(word))
        {
            return Some((sign * value, digits.get(3..)?));
        }
    }
    let length = float_length(digits.as_bytes());
    let number = digits.get(..length)?;
    let value: f64 = number.parse().ok()?;
    Some((sign * value, digits.get(length..)?))
}

/// Bytes of the unsigned number at the start: digits, a point, an exponent with its sign.
fn float_length(text: &[u8]) -> usize {
    let byte = |position: usize| text.get(position).copied().unwrap_or_default();
    let mut length = 0;
    while byte(length).is_ascii_digit() || byte(length) == b'.' {
        length += 1;
    }
    if matches!(byte(length), b'e' | b'E') && length > 0 {
        let signed = usize::from(matches!(byte(length + 1), b'+' | b'-'));
        if byte(length + 1 + signed).is_ascii_digit() {
            length += 1 + signed;
            while byte(length).is_ascii_digit() {
                length += 1;
            }
        }
    }
    length
}

fn float_points(word: &str, points: &mut Vec<Point>) -> Result<(), String> {
    let bad = || format!("{word:?} is no point");
    if let Some(rest) = word.strip_prefix('_') {
        let n_gaps = if rest.is_empty() {
            1
        } else {
            repeats(rest).ok_or_else(bad)?
        };
        points.extend((0..n_gaps).map(|_| Point::Gap));
        return Ok(());
    }
    if let Some(rest) = word.strip_prefix("stale") {
        let n_more = if rest.is_empty() {
            0
        } else {
            repeats(rest).ok_or_else(bad)?
        };
        points.extend((0..=n_more).map(|_| Point::Float(model::stale_nan())));
        return Ok(());
    }
    let (mut value, rest) = take_float(word).ok_or_else(bad)?;
    let (step, rest) = match rest.as_bytes().first() {
        None | Some(b'x') => (0.0, rest),
        _ => take_float(rest).ok_or_else(bad)?,
    };
    let n_more = if rest.is_empty() {
        0
    } else {
        repeats(rest).ok_or_else(bad)?
    };
    for _ in 0..=n_more {
        points.push(Point::Float(value));
        value += step;
    }
    Ok(())
}

fn repeats(text: &str) -> Option<usize> {
    text.strip_prefix('x')?
        .parse()
        .ok()
        .filter(|n_repeats| *n_repeats <= REPEATS_MAX)
}

/// The offsets of a line of start timestamps, in milliseconds: `_`, `_x2`, `-1m`, `-1mx15`, `-30s-1mx2`, `0`.
///
/// # Errors
/// What is wrong, naming the word.
pub(super) fn parse_offsets(text: &str) -> Result<Vec<Option<i64>>, String> {
    let mut offsets = Vec::new();
    for word in text.split_whitespace() {
        push_offsets(word, &mut offsets).ok_or_else(|| format!("{word:?} is no start timestamp"))?;
    }
    Ok(offsets)
}

fn push_offsets(word: &str, offsets: &mut Vec<Option<i64>>) -> Option<()> {
    let (value, n_repeats) = match word.find('x') {
        Some(position) => (word.get(..position)?, repeats(word.get(position..)?)?),
        None => (word, 0),
    };
    if value == "_" {
        offsets.extend((0..n_repeats.max(1)).map(|_| None));
        return Some(());
    }
    // A second sign begins the step.
    let step_at = value.get(1..)?.find(['+', '-']).map(|position| position + 1);
    let (first, step) = value.split_at(step_at.unwrap_or(value.len()));
    let mut offset_ms = parse_offset_ms(first)?;
    let step_ms = if step.is_empty() {
        0
    } else {
        parse_offset_ms(step)?
    };
    for _ in 0..=n_repeats {
        offsets.push(Some(offset_ms));
        offset_ms = offset_ms.checked_add(step_ms)?;
    }
    Some(())
}

fn parse_offset_ms(text: &str) -> Option<i64> {
    match text.strip_prefix('-') {
        Some(duration) => parse_duration_ms(duration).map(|offset_ms| -offset_ms),
        None => parse_duration_ms(text.strip_prefix('+').unwrap_or(text)),
    }
}

type Combine = fn(&mut FloatHistogram, &FloatHistogram) -> Result<Combined, MixedSchemas>;

/// `{{…}}`, `{{…}}x3`, `{{…}}+{{…}}x3`, `{{…}}-{{…}}x3`.
fn histogram_points<'a>(text: &'a str, points: &mut Vec<Point>) -> Result<&'a str, String> {
    let (first, mut rest) = take_literal(text)?;
    let combine: Option<Combine> = match rest.as_bytes().first() {
        Some(b'+') => Some(add),
        Some(b'-') => Some(subtract),
        _ => None,
    };
    let mut step = None;
    if let Some(combine) = combine {
        let (literal, after) = take_literal(rest.get(1..).unwrap_or_default())?;
        step = Some((combine, literal));
        rest = after;
    }
    let (word, after) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
    let n_more = match word {
        "" if step.is_none() => 0,
        _ => repeats(word).ok_or_else(|| format!("{text:?} is no histogram"))?,
    };
    // Of two literals the hint of the second one counts as written.
    let has_hint = step
        .as_ref()
        .map_or(first.has_hint, |(_, literal)| literal.has_hint);
    let mut value = Arc::new(first.histogram);
    for repetition in 0..=n_more {
        if repetition > 0
            && let Some((combine, literal)) = &step
        {
            let step = &literal.histogram;
            if value.schema > step.schema {
                let (from, to) = (step.schema.number(), value.schema.number());
                return Err(format!(
                    "a histogram of schema {from} cannot be combined with one of schema {to}"
                ));
            }
            combine(Arc::make_mut(&mut value), step).map_err(|error| error.to_string())?;
        }
        points.push(Point::Histogram {
            value: Arc::clone(&value),
            has_hint,
        });
    }
    Ok(after)
}

/// The literal at the start, and what follows it.
fn take_literal(text: &str) -> Result<(Literal, &str), String> {
    let inside = text
        .strip_prefix("{{")
        .ok_or_else(|| format!("expected {{{{ before {text:?}"))?;
    let (literal, rest) = inside
        .split_once("}}")
        .ok_or_else(|| format!("unterminated histogram {text:?}"))?;
    Ok((parse_literal(literal)?, rest))
}

#[cfg(test)]
mod tests {
    use super::super::histogram_literal;
    use super::*;

    fn floats(text: &str) -> Vec<f64> {
        let points = parse_points(text).unwrap();
        points
            .iter()
            .map(|point| {
                if let Point::Float(value) = point {
                    *value
                } else {
                    f64::MIN
                }
            })
            .collect()
    }

    #[test]
    fn words_stand_for_one_or_many_points() {
        assert_eq!(floats("1 2.5 -3e-2"), [1.0, 2.5, -0.03]);
        assert_eq!(floats("5x3"), [5.0; 4]);
        assert_eq!(floats("0+10x3 1-2x2"), [0.0, 10.0, 20.0, 30.0, 1.0, -1.0, -3.0]);
        assert_eq!(
            floats("Inf -Inf 0x1"),
            [f64::INFINITY, f64::NEG_INFINITY, 0.0, 0.0]
        );
        assert_eq!(parse_points("_ _x2 1").unwrap().len(), 4);
        assert!(parse_points("stale").unwrap()[0] != Point::Float(f64::NAN));
        assert!(floats("NaN")[0].is_nan());
    }

    fn histograms(text: &str) -> Vec<(String, bool)> {
        let points = parse_points(text).unwrap().into_iter();
        points
            .map(|point| match point {
                Point::Histogram { value, has_hint } => (histogram_literal(&value), has_hint),
                other => panic!("{other:?}"),
            })
            .collect()
    }

    #[test]
    fn histograms_repeat_and_add_up() {
        assert_eq!(parse_points("{{schema:1 count:2}} 1 {{}}x2 _").unwrap().len(), 6);
        let texts =
            |points: &[(String, bool)]| points.iter().map(|(text, _)| text.clone()).collect::<Vec<_>>();
        let increasing =
            histograms("{{schema:0 sum:4 count:4 buckets:[1 2 1]}}+{{sum:2 count:1 buckets:[1] offset:1}}x2");
        assert_eq!(
            texts(&increasing),
            [
                "{{count:4 sum:4 buckets:[1 2 1]}}",
                "{{count:5 sum:6 buckets:[1 3 1]}}",
                "{{count:6 sum:8 buckets:[1 4 1]}}"
            ]
        );
        let decreasing = histograms("{{count:4 buckets:[1 2 1]}}-{{count:1 buckets:[1] offset:1}}x1");
        assert_eq!(
            texts(&decreasing),
            ["{{count:4 buckets:[1 2 1]}}", "{{count:3 buckets:[1 1 1]}}"]
        );
        let coarse = histograms(
            "{{schema:-1 sum:4 count:1 buckets:[1] offset:1}}+{{schema:0 sum:4 count:4 buckets:[2 2] offset:1}}x1",
        );
        assert_eq!(coarse[1].0, "{{schema:-1 count:5 sum:8 offset:1 buckets:[5]}}");
    }

    #[test]
    fn a_hint_is_written_where_the_last_literal_writes_it() {
        let gauge = "{{counter_reset_hint:gauge}}";
        let hints = |text: &str| {
            histograms(text)
                .into_iter()
                .map(|(_, has_hint)| has_hint)
                .collect::<Vec<_>>()
        };
        assert_eq!(hints(&format!("{gauge} {{{{}}}}")), [true, false]);
        assert_eq!(hints(&format!("{gauge}+{{{{}}}}x1")), [false, false]);
        assert_eq!(hints(&format!("{{{{}}}}+{gauge}x1")), [true, true]);
    }

    #[test]
    fn nonsense_is_named() {
        for bad in [
            "x3",
            "1x",
            "_y",
            "1+x2",
            "{{sum:1",
            "abc",
            "1 2y",
            "{{}}y",
            "{{}}+{{}}",
            "{{}}+x2",
            "{{schema:1}}+{{schema:0}}x1",
            "{{schema:-53}}+{{schema:0}}x1",
        ] {
            assert!(parse_points(bad).is_err(), "{bad}");
        }
    }
}
