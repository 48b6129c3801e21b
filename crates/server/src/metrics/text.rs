//! Families of the text format, for the server's own metrics.

use model::MetricType;
use wire::exposition::Escaping;
use wire::exposition::text::{push_help, push_sample, push_type};

/// A page in the making. All names are classic, so how others are escaped does not matter.
#[derive(Debug, Default)]
pub(super) struct Page(pub(super) String);

impl Page {
    pub(super) fn counter(&mut self, name: &str, help: &str) {
        self.family(name, MetricType::Counter, help);
    }

    pub(super) fn gauge(&mut self, name: &str, help: &str) {
        self.family(name, MetricType::Gauge, help);
    }

    /// Begins a family.
    pub(super) fn family(&mut self, name: &str, metric_type: MetricType, help: &str) {
        push_help(&mut self.0, Escaping::default(), name, help);
        push_type(&mut self.0, Escaping::default(), name, metric_type);
    }

    /// Adds a sample.
    pub(super) fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: f64) {
        let labels = labels.iter().copied();
        push_sample(&mut self.0, Escaping::default(), name, labels, value, None);
    }

    /// A counter without labels.
    pub(super) fn one_counter(&mut self, name: &str, help: &str, value: u64) {
        self.counter(name, help);
        self.sample(name, &[], value as f64);
    }

    /// A gauge without labels.
    pub(super) fn one_gauge(&mut self, name: &str, help: &str, value: f64) {
        self.gauge(name, help);
        self.sample(name, &[], value);
    }
}
