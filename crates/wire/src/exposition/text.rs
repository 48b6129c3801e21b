//! The lines of a text exposition.
//!
//! Source: the documentation of the text format, and prometheus/common `expfmt` for what it leaves open.

use model::number::push_exposition_float;
use model::{METRIC_NAME, MetricType, TimestampMs};

use super::escape::{Escaping, is_classic, push_quoted};

/// Appends a `# HELP` line.
pub fn push_help(out: &mut String, escaping: Escaping, metric_name: &str, help: &str) {
    out.push_str("# HELP ");
    push_name(out, escaping, metric_name);
    out.push(' ');
    super::escape::push_help(out, help);
    out.push('\n');
}

/// Appends a `# TYPE` line. Types the text format has no word for become `untyped`.
pub fn push_type(out: &mut String, escaping: Escaping, metric_name: &str, metric_type: MetricType) {
    out.push_str("# TYPE ");
    push_name(out, escaping, metric_name);
    out.push_str(match metric_type {
        MetricType::Counter => " counter\n",
        MetricType::Gauge | MetricType::Info | MetricType::StateSet => " gauge\n",
        MetricType::Histogram => " histogram\n",
        MetricType::Summary => " summary\n",
        MetricType::Unknown | MetricType::GaugeHistogram => " untyped\n",
    });
}

/// Appends the line of one sample. `labels` are written in the order given, without those that have no value and
/// without `__name__`, for which `metric_name` stands.
pub fn push_sample<'a>(
    out: &mut String,
    escaping: Escaping,
    metric_name: &str,
    labels: impl Iterator<Item = (&'a str, &'a str)>,
    value: f64,
    timestamp_ms: Option<TimestampMs>,
) {
    let mut braces = Braces::start(out, escaping, metric_name);
    for (name, label_value) in labels {
        if name != METRIC_NAME && !label_value.is_empty() {
            braces.push(out, name, label_value);
        }
    }
    braces.end(out);
    push_value(out, value, timestamp_ms);
}

/// The part of a sample's line up to the closing brace.
#[derive(Debug)]
pub(super) struct Braces {
    escaping: Escaping,
    separator: char,
}

impl Braces {
    /// Writes the metric name: before the braces, or as the first thing inside when it needs quotes.
    pub(super) fn start(out: &mut String, escaping: Escaping, metric_name: &str) -> Self {
        let is_outside = escaping != Escaping::AllowUtf8 || is_classic(metric_name);
        if !is_outside {
            out.push('{');
        }
        push_name(out, escaping, metric_name);
        Self {
            escaping,
            separator: if is_outside { '{' } else { ',' },
        }
    }

    /// Writes a label, even one without a value.
    pub(super) fn push(&mut self, out: &mut String, name: &str, value: &str) {
        out.push(self.separator);
        self.separator = ',';
        push_name(out, self.escaping, name);
        out.push_str("=\"");
        push_quoted(out, value);
        out.push('"');
    }

    /// Writes the closing brace if there was an opening one.
    pub(super) fn end(self, out: &mut String) {
        if self.separator == ',' {
            out.push('}');
        }
    }
}

/// Appends what follows the braces. Negative zero is `0` here, as in Prometheus.
pub(super) fn push_value(out: &mut String, value: f64, timestamp_ms: Option<TimestampMs>) {
    out.push(' ');
    push_exposition_float(out, if value == 0.0 { 0.0 } else { value });
    if let Some(timestamp_ms) = timestamp_ms {
        out.push(' ');
        push_integer(out, timestamp_ms);
    }
    out.push('\n');
}

fn push_integer(out: &mut String, value: i64) {
    use std::fmt::Write;
    let written = write!(out, "{value}");
    debug_assert!(written.is_ok(), "writing to a String cannot fail");
}

/// Appends a name: as it is when it is classic, else escaped or in quotes.
fn push_name(out: &mut String, escaping: Escaping, name: &str) {
    if is_classic(name) {
        out.push_str(name);
    } else if escaping == Escaping::AllowUtf8 {
        out.push('"');
        push_quoted(out, name);
        out.push('"');
    } else {
        out.push_str(&escaping.escape(name));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(
        escaping: Escaping,
        name: &str,
        labels: &[(&str, &str)],
        value: f64,
        time: Option<i64>,
    ) -> String {
        let mut out = String::new();
        push_sample(&mut out, escaping, name, labels.iter().copied(), value, time);
        out
    }

    #[test]
    fn samples_look_like_prometheus_writes_them() {
        let plain = Escaping::Underscores;
        assert_eq!(line(plain, "up", &[], 1.0, None), "up 1\n");
        assert_eq!(
            line(plain, "up", &[("__name__", "up")], -0.0, Some(-5)),
            "up 0 -5\n"
        );
        assert_eq!(
            line(
                plain,
                "up",
                &[("a", "x\"y"), ("b", ""), ("c", "2")],
                1e6,
                Some(1_795_238_213_618)
            ),
            "up{a=\"x\\\"y\",c=\"2\"} 1e+06 1795238213618\n"
        );
        assert_eq!(line(plain, "x", &[], f64::NAN, None), "x NaN\n");
        assert_eq!(line(plain, "x", &[], f64::NEG_INFINITY, None), "x -Inf\n");
    }

    #[test]
    fn names_outside_the_classic_set_are_quoted_or_escaped() {
        let labels = [("http.code", "200")];
        assert_eq!(
            line(Escaping::AllowUtf8, "my.metric", &labels, 2.0, None),
            "{\"my.metric\",\"http.code\"=\"200\"} 2\n"
        );
        assert_eq!(
            line(Escaping::AllowUtf8, "my.metric", &[], 2.0, None),
            "{\"my.metric\"} 2\n"
        );
        assert_eq!(
            line(Escaping::Underscores, "my.metric", &labels, 2.0, None),
            "my_metric{http_code=\"200\"} 2\n"
        );
    }

    #[test]
    fn help_and_type_stand_before_the_samples() {
        let mut out = String::new();
        push_help(
            &mut out,
            Escaping::Underscores,
            "x_total",
            "Says \"a\\b\"\nand more.",
        );
        push_type(&mut out, Escaping::Underscores, "x_total", MetricType::Counter);
        push_type(&mut out, Escaping::AllowUtf8, "x.y", MetricType::Unknown);
        assert_eq!(
            out,
            "# HELP x_total Says \"a\\\\b\"\\nand more.\n# TYPE x_total counter\n# TYPE \"x.y\" untyped\n"
        );
    }
}
