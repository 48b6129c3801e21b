//! The words of annotations.

use std::fmt::{self, Write};

use model::number::push_exposition_float;

use super::{Annotation, HistogramOperation, Level};
use crate::kernel::date::push_rfc3339;

impl Annotation {
    /// What makes it the same as another: the text without the details that merging sums up. Starts with
    /// `PromQL warning: ` or `PromQL info: `.
    #[must_use]
    pub fn key(&self) -> String {
        let mut key = String::new();
        self.write_key(&mut key).expect("writing to a String cannot fail");
        key
    }

    fn write_key(&self, out: &mut dyn Write) -> fmt::Result {
        out.write_str(match self.level() {
            Level::Warning => "PromQL warning: ",
            Level::Info => "PromQL info: ",
        })?;
        out.write_str(self.head())?;
        self.write_subject(out)
    }

    /// The part of the text that is always the same.
    fn head(&self) -> &'static str {
        match self {
            Self::InvalidQuantile(_) => "quantile value should be between 0 and 1",
            Self::InvalidRatio { .. } => "ratio value should be between -1 and 1",
            Self::BadBucketLabel { .. } => "bucket label \"le\" is missing or has a malformed value",
            Self::MixedFloatsHistograms { .. } => {
                "encountered a mix of histograms and floats for metric name"
            }
            Self::MixedFloatsHistogramsAggregation => {
                "encountered a mix of histograms and floats for aggregation"
            }
            Self::MixedClassicNative { .. } => "vector contains a mix of classic and native histograms",
            Self::NativeHistogramNotCounter { .. } => "this native histogram metric is not a counter:",
            Self::NativeHistogramNotGauge { .. } => "this native histogram metric is not a gauge:",
            Self::MixedExponentialCustom { .. } => {
                "vector contains a mix of histograms with exponential and custom buckets schemas for metric name"
            }
            Self::IncompatibleBucketLayout { .. } => {
                "incompatible bucket layout encountered for binary operator"
            }
            Self::SortInRangeQuery => {
                "sort is ineffective for range queries since results are always ordered by labels"
            }
            Self::CounterResetCollision(_) => "conflicting counter resets during histogram",
            Self::StartTimeOverlap { .. } => {
                "sample has start time that overlaps with previous sample timestamp for metric"
            }
            Self::PossibleNonCounter { .. } => {
                "metric might not be a counter, name does not end in _total/_sum/_count/_bucket:"
            }
            Self::PossibleNonCounterType { .. } => {
                "metric might not be a counter, __type__ label is not set to \"counter\" or \"histogram\""
            }
            Self::ForcedMonotonicity { .. } => {
                "input to histogram_quantile needed to be fixed for monotonicity \
                 (see https://prometheus.io/docs/prometheus/latest/querying/functions/#histogram_quantile)"
            }
            Self::IncompatibleTypes { .. } => "incompatible sample types encountered for binary operator",
            Self::HistogramIgnoredInAggregation { .. } => "ignored histogram in",
            Self::HistogramIgnoredInMixedRange { .. } => {
                "ignored histograms in a range containing both floats and histograms for metric name"
            }
            Self::MismatchedCustomBuckets(_) => "mismatched custom buckets were reconciled during",
            Self::NanObservationsQuantileNan { .. } => {
                "input to histogram_quantile has NaN observations, result is NaN"
            }
            Self::NanObservationsQuantileSkewed { .. } => {
                "input to histogram_quantile has NaN observations, result is skewed higher"
            }
            Self::NanObservationsFraction { .. } => {
                "input to histogram_fraction has NaN observations, which are excluded from all fractions"
            }
        }
    }

    /// What the text is about: metric, value, operator.
    fn write_subject(&self, out: &mut dyn Write) -> fmt::Result {
        match self {
            Self::MixedFloatsHistogramsAggregation | Self::SortInRangeQuery => Ok(()),
            Self::InvalidQuantile(phi) => write!(out, ", got {}", General(*phi)),
            Self::InvalidRatio { ratio, capped } => {
                write!(out, ", got {}, capping to {}", General(*ratio), General(*capped))
            }
            Self::BadBucketLabel { metric, value } => {
                write!(out, " of {}", Quoted(value))?;
                write_for_metric(out, metric)
            }
            Self::MixedFloatsHistograms { metric }
            | Self::NativeHistogramNotCounter { metric }
            | Self::NativeHistogramNotGauge { metric }
            | Self::MixedExponentialCustom { metric }
            | Self::StartTimeOverlap { metric, .. }
            | Self::PossibleNonCounter { metric }
            | Self::HistogramIgnoredInMixedRange { metric } => write!(out, " {}", Quoted(metric)),
            Self::MixedClassicNative { metric }
            | Self::ForcedMonotonicity { metric, .. }
            | Self::NanObservationsQuantileNan { metric }
            | Self::NanObservationsQuantileSkewed { metric }
            | Self::NanObservationsFraction { metric } => write_for_metric(out, metric),
            Self::PossibleNonCounterType { metric, metric_type } => {
                write!(out, ", got {}: {}", Quoted(metric_type), Quoted(metric))
            }
            Self::IncompatibleBucketLayout { operator } => write!(out, " {operator}"),
            Self::CounterResetCollision(operation) | Self::MismatchedCustomBuckets(operation) => {
                write!(out, " {operation}")
            }
            Self::IncompatibleTypes {
                left,
                operator,
                right,
            } => {
                write!(out, " {}: {left} {operator} {right}", Quoted(operator))
            }
            Self::HistogramIgnoredInAggregation { aggregation } => write!(out, " {aggregation} aggregation"),
        }
    }
}

/// The whole text but for the position, which comes last.
impl fmt::Display for Annotation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write_key(f)?;
        match self {
            Self::ForcedMonotonicity {
                repair,
                from_ms,
                to_ms,
                n_samples,
                ..
            } => {
                let mut times = String::from("from ");
                push_rfc3339(&mut times, *from_ms);
                times.push_str(" to ");
                push_rfc3339(&mut times, *to_ms);
                let (lowest, highest) = (General(repair.lowest_bound), General(repair.highest_bound));
                let drop = TwoDigits(repair.largest_drop);
                write!(
                    f,
                    ", from buckets {lowest} to {highest}, with a max diff of {drop}, over {n_samples} samples {times}"
                )
            }
            Self::StartTimeOverlap { n_occurrences, .. } if *n_occurrences > 1 => {
                write!(f, " ({n_occurrences} occurrences)")
            }
            _ => Ok(()),
        }
    }
}

impl fmt::Display for HistogramOperation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Addition => "addition",
            Self::Subtraction => "subtraction",
            Self::Aggregation => "aggregation",
        })
    }
}

fn write_for_metric(out: &mut dyn Write, metric: &str) -> fmt::Result {
    if metric.is_empty() {
        return Ok(());
    }
    write!(out, " for metric name {}", Quoted(metric))
}

/// A number as Go's `%g` prints it.
struct General(f64);

impl fmt::Display for General {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = String::new();
        push_exposition_float(&mut text, self.0);
        f.write_str(&text)
    }
}

/// A number as Go's `%.2g` prints it.
struct TwoDigits(f64);

impl fmt::Display for TwoDigits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let form = format!("{:.1e}", self.0);
        let Some((mantissa, exponent)) = form.split_once('e') else {
            return General(self.0).fmt(f);
        };
        let exponent: i32 = exponent.parse().map_err(|_| fmt::Error)?;
        if (-4..2).contains(&exponent) {
            let rounded: f64 = form.parse().map_err(|_| fmt::Error)?;
            return write!(f, "{rounded}");
        }
        let mantissa = mantissa.trim_end_matches(".0");
        let sign = if exponent < 0 { '-' } else { '+' };
        write!(f, "{mantissa}e{sign}{:02}", exponent.abs())
    }
}

/// A text as Go's `%q` prints it.
struct Quoted<'a>(&'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_char('"')?;
        for c in self.0.chars() {
            match c {
                '"' => f.write_str("\\\"")?,
                '\\' => f.write_str("\\\\")?,
                '\u{7}' => f.write_str("\\a")?,
                '\u{8}' => f.write_str("\\b")?,
                '\u{c}' => f.write_str("\\f")?,
                '\n' => f.write_str("\\n")?,
                '\r' => f.write_str("\\r")?,
                '\t' => f.write_str("\\t")?,
                '\u{b}' => f.write_str("\\v")?,
                c if c.is_ascii_control() => write!(f, "\\x{:02x}", u32::from(c))?,
                c if c.is_control() => write!(f, "\\u{:04x}", u32::from(c))?,
                c => f.write_char(c)?,
            }
        }
        f.write_char('"')
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_are_printed_with_two_digits() {
        let check = |value: f64, expected: &str| assert_eq!(TwoDigits(value).to_string(), expected);
        check(10.0, "10");
        check(4.0, "4");
        check(0.5, "0.5");
        check(0.0123, "0.012");
        check(99.6, "1e+02");
        check(0.00001, "1e-05");
        check(f64::INFINITY, "+Inf");
        check(12.5, "12");
    }
}
