//! The points of a series: `1`, `_`, `stale`, `0+10x5`, `{{schema:0 count:2}}`.

/// One step of a series.
#[derive(Debug, Clone, PartialEq)]
pub enum Point {
    /// No sample.
    Gap,
    /// A float; a staleness marker too.
    Float(f64),
    /// A native histogram, as written between its braces.
    Histogram(String),
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

/// `{{…}}`, `{{…}}x3`, `{{…}}+{{…}}x3`: the text of the first stands for all of them.
fn histogram_points<'a>(text: &'a str, points: &mut Vec<Point>) -> Result<&'a str, String> {
    let bad = || format!("{text:?} is no histogram");
    let end = text.find("}}").ok_or_else(bad)?;
    let literal = text.get(2..end).ok_or_else(bad)?;
    let mut rest = text.get(end + 2..).ok_or_else(bad)?;
    let mut step = String::new();
    if rest.starts_with("+{{") || rest.starts_with("-{{") {
        let end = rest.find("}}").ok_or_else(bad)?;
        step = rest.get(..end + 2).ok_or_else(bad)?.to_owned();
        rest = rest.get(end + 2..).ok_or_else(bad)?;
    }
    let (word, after) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
    let n_more = if word.is_empty() {
        0
    } else {
        repeats(word).ok_or_else(bad)?
    };
    for repetition in 0..=n_more {
        let steps = step.repeat(repetition.min(1));
        points.push(Point::Histogram(format!("{literal}{steps}")));
    }
    Ok(after)
}

#[cfg(test)]
mod tests {
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

    #[test]
    fn histograms_are_kept_as_text() {
        let points = parse_points("{{schema:1 count:2}} {{sum:1}}+{{sum:2}}x2 _").unwrap();
        assert_eq!(points.len(), 5);
        assert_eq!(points[0], Point::Histogram("schema:1 count:2".into()));
    }

    #[test]
    fn nonsense_is_named() {
        for bad in ["x3", "1x", "_y", "1+x2", "{{sum:1", "abc", "1 2y"] {
            assert!(parse_points(bad).is_err(), "{bad}");
        }
    }
}
