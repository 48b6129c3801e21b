//! What `/federate` answers: the newest sample of each series, as Prometheus writes it.
//!
//! Every family is `untyped`, without HELP, because readers that have lived with Prometheus' federation for years
//! rely on it; every sample carries its own timestamp; `instance=""` stands on series without an instance, so that
//! a scraper with `honor_labels` does not put its own there.
//!
//! Source: prometheus `web/federate.go`, and the output of a real 2.42 and 3.5.

use model::{METRIC_NAME, MetricType, Sample, is_stale_nan};

use super::escape::Escaping;
use super::text::{Braces, push_type, push_value};

/// The label that says which process a series was scraped from.
const INSTANCE: &str = "instance";

/// Writes series after series into a text. Hand them over sorted by metric name, so that each family is whole.
#[derive(Debug)]
pub struct Writer {
    escaping: Escaping,
    /// Sorted by name; always with an instance.
    external_labels: Vec<(String, String)>,
    /// The family that is being written; empty before the first one.
    metric_name: String,
}

impl Writer {
    /// A writer that adds `external_labels` to the series that lack them.
    #[must_use]
    pub fn new(escaping: Escaping, external_labels: &[(String, String)]) -> Self {
        let mut external_labels = external_labels.to_vec();
        if external_labels.iter().all(|(name, _)| name != INSTANCE) {
            external_labels.push((INSTANCE.to_owned(), String::new()));
        }
        external_labels.sort();
        Self {
            escaping,
            external_labels,
            metric_name: String::new(),
        }
    }

    /// Appends a sample, and before it the family's TYPE line when `labels` have another `__name__` than those
    /// before. Returns false, and writes nothing, for staleness markers and for series without a name.
    ///
    /// `labels` are pairs of name and value, sorted by name, `__name__` among them; they are gone through several
    /// times. Pairs without a value are left out.
    pub fn push<'a>(
        &mut self,
        out: &mut String,
        labels: impl Iterator<Item = (&'a str, &'a str)> + Clone,
        sample: Sample,
    ) -> bool {
        let is_name = |pair: &(&'a str, &'a str)| pair.0 == METRIC_NAME;
        let metric_name = labels.clone().find(is_name).map_or("", |pair| pair.1);
        if metric_name.is_empty() || is_stale_nan(sample.value) {
            return false;
        }
        if self.metric_name != metric_name {
            push_type(out, self.escaping, metric_name, MetricType::Unknown);
            metric_name.clone_into(&mut self.metric_name);
        }
        let mut braces = Braces::start(out, self.escaping, metric_name);
        let set_labels = labels.filter(|pair| !is_name(pair) && !pair.1.is_empty());
        for (name, value) in set_labels.clone() {
            braces.push(out, name, value);
        }
        for (name, value) in &self.external_labels {
            if set_labels.clone().all(|pair| pair.0 != name) {
                braces.push(out, name, value);
            }
        }
        braces.end(out);
        push_value(out, sample.value, Some(sample.timestamp_ms));
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::stale_nan;

    fn write(external_labels: &[(&str, &str)], series: &[(&[(&str, &str)], f64)]) -> String {
        let external_labels: Vec<_> = external_labels
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        let mut writer = Writer::new(Escaping::Underscores, &external_labels);
        let mut out = String::new();
        for (labels, value) in series {
            let sample = Sample {
                timestamp_ms: 6_000_000,
                value: *value,
            };
            writer.push(&mut out, labels.iter().copied(), sample);
        }
        out
    }

    #[test]
    fn each_family_is_untyped_and_every_series_has_an_instance() {
        let out = write(
            &[],
            &[
                (&[("__name__", "a_total"), ("instance", "i:1")], 1.0),
                (&[("__name__", "a_total"), ("job", "j")], 2.0),
                (&[("__name__", "b")], 3.5),
            ],
        );
        assert_eq!(
            out,
            "# TYPE a_total untyped\n\
             a_total{instance=\"i:1\"} 1 6000000\n\
             a_total{job=\"j\",instance=\"\"} 2 6000000\n\
             # TYPE b untyped\n\
             b{instance=\"\"} 3.5 6000000\n"
        );
    }

    #[test]
    fn external_labels_are_added_where_they_are_missing() {
        let out = write(
            &[("zone", "ie"), ("foo", "baz"), ("instance", "me")],
            &[
                (&[("__name__", "x"), ("foo", "bar"), ("instance", "")], 1.0),
                (&[("__name__", "x"), ("instance", "i")], 2.0),
            ],
        );
        assert_eq!(
            out,
            "# TYPE x untyped\n\
             x{foo=\"bar\",instance=\"me\",zone=\"ie\"} 1 6000000\n\
             x{instance=\"i\",foo=\"baz\",zone=\"ie\"} 2 6000000\n"
        );
    }

    #[test]
    fn stale_and_nameless_series_leave_no_trace() {
        let out = write(
            &[],
            &[
                (&[("__name__", "gone")], stale_nan()),
                (&[("job", "j")], 1.0),
                (&[("__name__", ""), ("job", "j")], 1.0),
            ],
        );
        assert_eq!(out, "");
        let out = write(&[], &[(&[("__name__", "x")], f64::NAN)]);
        assert_eq!(out, "# TYPE x untyped\nx{instance=\"\"} NaN 6000000\n");
    }
}
