//! Native histograms as scripts write them: `{{schema:1 sum:-3 count:22 z_bucket:2 z_bucket_w:0.01 buckets:[5 10 7]}}`.
//!
//! Keys are `schema`, `sum`, `count`, `z_bucket` (observations in the zero bucket), `z_bucket_w` (zero threshold),
//! `offset` and `n_offset` (index of the first bucket), `buckets` and `n_buckets`, `custom_values`, and
//! `counter_reset_hint` (`unknown`, `reset`, `not_reset`, `gauge`), in any order and case. All may be left out.

use std::fmt::Write;

use model::FloatHistogram;
use model::histogram::{BUCKETS_MAX, Buckets, CounterResetHint, Schema, Span};
use model::number::push_exposition_float;

use super::points::take_float;

const HINTS: [(&str, CounterResetHint); 4] = [
    ("unknown", CounterResetHint::Unknown),
    ("reset", CounterResetHint::Reset),
    ("not_reset", CounterResetHint::NotReset),
    ("gauge", CounterResetHint::Gauge),
];

/// A histogram as written.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Literal {
    pub(crate) histogram: FloatHistogram,
    /// The counter reset hint was written and not only left at its default.
    pub(crate) has_hint: bool,
}

/// The histogram between two braces. What it means is not checked: its count need not fit its buckets.
///
/// # Errors
/// What is wrong, naming the key.
pub(crate) fn parse_literal(text: &str) -> Result<Literal, String> {
    let mut literal = Literal::default();
    let mut sides = [Side::default(), Side::default()];
    let mut seen: Vec<String> = Vec::new();
    let mut rest = text.trim();
    while !rest.is_empty() {
        let (key, after) = rest
            .split_once(':')
            .ok_or_else(|| format!("{rest:?} has no value"))?;
        let key = key.to_ascii_lowercase();
        if seen.contains(&key) {
            return Err(format!("duplicate key {key:?} in histogram"));
        }
        let (value, after) = split_value(after);
        let [positive, negative] = &mut sides;
        let side = if key.starts_with("n_") { negative } else { positive };
        parse_item(&key, value, &mut literal, side)
            .ok_or_else(|| format!("{key}:{value} is wrong in a histogram"))?;
        seen.push(key);
        rest = after.trim_start();
    }
    let [positive, negative] = sides;
    literal.histogram.positive = positive.buckets()?;
    literal.histogram.negative = negative.buckets()?;
    Ok(literal)
}

/// The buckets of one side of zero.
#[derive(Default)]
struct Side {
    offset: i32,
    counts: Vec<f64>,
}

impl Side {
    fn buckets(self) -> Result<Buckets, String> {
        let length = u32::try_from(self.counts.len()).map_err(|error| error.to_string())?;
        let span = Span {
            offset: self.offset,
            length,
        };
        Buckets::new(&[span], self.counts).map_err(|error| error.to_string())
    }
}

/// A word, or a list up to its bracket, and what follows.
fn split_value(text: &str) -> (&str, &str) {
    let end = if text.starts_with('[') {
        text.find(']').map(|end| end + 1)
    } else {
        text.find(char::is_whitespace)
    };
    text.split_at(end.unwrap_or(text.len()))
}

fn parse_item(key: &str, value: &str, literal: &mut Literal, side: &mut Side) -> Option<()> {
    let histogram = &mut literal.histogram;
    match key {
        "schema" => histogram.schema = Schema::new(value.parse().ok()?)?,
        "sum" => histogram.sum = parse_float(value)?,
        "count" => histogram.count = parse_float(value)?,
        "z_bucket" => histogram.zero_count = parse_float(value)?,
        "z_bucket_w" => histogram.zero_threshold = parse_float(value).filter(|width| *width >= 0.0)?,
        "custom_values" => histogram.custom_bounds = parse_list(value)?.into(),
        "offset" | "n_offset" => side.offset = value.parse().ok()?,
        "buckets" | "n_buckets" => side.counts = parse_list(value)?,
        "counter_reset_hint" => {
            let hint = HINTS.iter().find(|(word, _)| word.eq_ignore_ascii_case(value))?;
            histogram.counter_reset_hint = hint.1;
            literal.has_hint = true;
        }
        _ => return None,
    }
    Some(())
}

fn parse_float(text: &str) -> Option<f64> {
    take_float(text)
        .filter(|(_, rest)| rest.is_empty())
        .map(|(value, _)| value)
}

fn parse_list(text: &str) -> Option<Vec<f64>> {
    let inside = text.strip_prefix('[')?.strip_suffix(']')?;
    let values: Option<Vec<f64>> = inside.split_whitespace().map(parse_float).collect();
    values.filter(|values| !values.is_empty())
}

/// The histogram as a script would write it, braces included. What has its default value is left out.
///
/// A script cannot skip empty buckets. Histograms so sparse that their buckets could not be written down one by one are
/// shown as Prometheus prints them elsewhere.
#[must_use]
pub fn histogram_literal(histogram: &FloatHistogram) -> String {
    let is_too_wide = |side: &Buckets| {
        side.iter()
            .next_back()
            .zip(side.iter().next())
            .is_some_and(|(last, first)| {
                usize::try_from(last.0 - first.0).is_ok_and(|distance| distance >= BUCKETS_MAX)
            })
    };
    if is_too_wide(&histogram.positive) || is_too_wide(&histogram.negative) {
        return histogram.to_string();
    }
    let mut text = String::new();
    if histogram.schema != Schema::default() {
        push_item(&mut text, "schema", &histogram.schema.number().to_string());
    }
    for (key, value) in [
        ("count", histogram.count),
        ("sum", histogram.sum),
        ("z_bucket", histogram.zero_count),
        ("z_bucket_w", histogram.zero_threshold),
    ] {
        if value != 0.0 {
            push_item(&mut text, key, &list(&[value]));
        }
    }
    if !histogram.custom_bounds.is_empty() {
        push_item(
            &mut text,
            "custom_values",
            &format!("[{}]", list(&histogram.custom_bounds)),
        );
    }
    if let Some((word, _)) = HINTS[1..]
        .iter()
        .find(|(_, hint)| *hint == histogram.counter_reset_hint)
    {
        push_item(&mut text, "counter_reset_hint", word);
    }
    push_side(&mut text, &histogram.positive, ["offset", "buckets"]);
    push_side(&mut text, &histogram.negative, ["n_offset", "n_buckets"]);
    format!("{{{{{text}}}}}")
}

fn push_side(text: &mut String, side: &Buckets, [offset_key, buckets_key]: [&str; 2]) {
    let mut side = side.clone();
    side.compact(u32::MAX);
    let [span] = side.spans() else {
        return;
    };
    if span.offset != 0 {
        push_item(text, offset_key, &span.offset.to_string());
    }
    push_item(text, buckets_key, &format!("[{}]", list(side.counts())));
}

fn push_item(text: &mut String, key: &str, value: &str) {
    if !text.is_empty() {
        text.push(' ');
    }
    write!(text, "{key}:{value}").expect("writing to a String cannot fail");
}

fn list(values: &[f64]) -> String {
    let mut text = String::new();
    for (position, &value) in values.iter().enumerate() {
        if position > 0 {
            text.push(' ');
        }
        push_exposition_float(&mut text, value);
    }
    text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::kernel::native::tests::any_histogram;

    #[test]
    fn every_key_is_read() {
        let text = "schema:1 sum:-3 count:22 z_bucket:2 z_bucket_w:0.01 offset:-2 buckets:[5 10 7.5 ] \
                    n_offset:3 n_buckets:[4 -5e-1] counter_reset_hint:gauge ";
        let literal = parse_literal(text).unwrap();
        let histogram = &literal.histogram;
        assert!(literal.has_hint);
        assert_eq!(histogram.counter_reset_hint, CounterResetHint::Gauge);
        assert_eq!(
            (histogram.schema.number(), histogram.sum, histogram.count),
            (1, -3.0, 22.0)
        );
        assert_eq!((histogram.zero_count, histogram.zero_threshold), (2.0, 0.01));
        assert_eq!(
            histogram.positive.iter().collect::<Vec<_>>(),
            [(-2, 5.0), (-1, 10.0), (0, 7.5)]
        );
        assert_eq!(
            histogram.negative.iter().collect::<Vec<_>>(),
            [(3, 4.0), (4, -0.5)]
        );
        let custom = parse_literal("SCHEMA:-53 custom_values:[-2 3] counter_reset_hint:unknown").unwrap();
        assert_eq!(
            (&*custom.histogram.custom_bounds, custom.has_hint),
            (&[-2.0, 3.0][..], true)
        );
        assert_eq!(parse_literal("  ").unwrap(), Literal::default());
        assert!(parse_literal("sum:NaN count:Inf").unwrap().histogram.sum.is_nan());
    }

    #[test]
    fn nonsense_is_refused() {
        for bad in [
            "sum",
            "sum:",
            "sum:x",
            "sum:1 sum:2",
            "schema:9",
            "schema:1.5",
            "schema:-5",
            "buckets:[1 x]",
            "buckets:1",
            "buckets:[]",
            "buckets:[1",
            "offset:1e3",
            "offset:99999999999",
            "counter_reset_hint:maybe",
            "evil:1",
            "z_bucket_w:-1",
            "z_bucket_w:NaN",
            "offset:2147483647 buckets:[1]",
            "sum:1,count:2",
        ] {
            assert!(parse_literal(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn defaults_are_not_written() {
        let round = |text: &str| histogram_literal(&parse_literal(text).unwrap().histogram);
        assert_eq!(round(""), "{{}}");
        assert_eq!(
            round(
                "n_buckets:[0 1 0 2 0] schema:-53 custom_values:[1 2.5] counter_reset_hint:not_reset sum:1e6 count:-1"
            ),
            "{{schema:-53 count:-1 sum:1e+06 custom_values:[1 2.5] counter_reset_hint:not_reset n_offset:1 n_buckets:[1 0 2]}}"
        );
        let mut sparse = parse_literal("buckets:[1]").unwrap().histogram;
        sparse.positive = Buckets::new(
            &[
                Span { offset: 0, length: 1 },
                Span {
                    offset: 1_000_000,
                    length: 1,
                },
            ],
            vec![1.0, 2.0],
        )
        .unwrap();
        assert_eq!(
            histogram_literal(&sparse),
            "{count:0, sum:0, (0.5,1]:1, (+Inf,+Inf]:2}"
        );
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(histogram in any_histogram()) {
            let text = histogram_literal(&histogram);
            let inside = text.strip_prefix("{{").unwrap().strip_suffix("}}").unwrap();
            let read = parse_literal(inside).unwrap().histogram;
            prop_assert_eq!(read.counter_reset_hint, histogram.counter_reset_hint);
            prop_assert!(read.is_almost(&histogram, 1e-15), "{} of {:?}", text, histogram);
        }

        #[test]
        fn no_text_panics(text in "[a-z_:0-9\\[\\] .+-]{0,40}") {
            if let Ok(literal) = parse_literal(&text) {
                let written = histogram_literal(&literal.histogram);
                prop_assert_eq!(written.chars().next(), Some('{'));
            }
        }
    }
}
