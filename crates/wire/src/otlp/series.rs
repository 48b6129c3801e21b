//! A series that a data point writes to: known by a key, described only when somebody asks.

use model::number::push_plain_float;
use model::{BUCKET_LABEL, METRIC_NAME, MetricMetadata, MetricType, Sample, TimestampMs};

use super::attributes::Attributes;
use super::metric::Metric;
use super::rejection::Rejection;
use super::resource::{Pairs, Resource, complete_with, override_with, push_joined};
use crate::remote_write::Histogram;

/// Takes what a walk finds. Two walks of one request with the same settings call the same methods in the same order.
pub trait Visitor {
    /// A float sample.
    fn sample(&mut self, series: &Series<'_>, sample: Sample, start_ms: Option<TimestampMs>);

    /// A native histogram. The sum is the staleness marker when it ends its series.
    fn histogram(&mut self, series: &Series<'_>, histogram: &Histogram);

    /// Points that are not taken. `metric_name` is the sender's.
    fn rejected(&mut self, rejection: Rejection, n_points: u64, metric_name: &str);
}

/// One series of a request.
#[derive(Debug)]
pub struct Series<'a> {
    /// Equal for equal labels from the same kind of sender.
    pub key: u128,
    /// Which data point it belongs to, counted over the request. `None` for what is made up, as `target_info`.
    pub point: Option<u64>,
    pub(super) resource: &'a Resource<'a>,
    pub(super) of: SeriesOf<'a>,
}

/// What a series belongs to.
#[derive(Debug)]
pub(super) enum SeriesOf<'a> {
    /// The resource itself.
    Target,
    /// A part of a data point.
    Point {
        metric: &'a Metric<'a>,
        scope: &'a Pairs,
        attributes: Attributes<'a>,
        part: Part,
        nesting_max: usize,
    },
}

/// Which series of a data point.
#[derive(Debug, Clone, Copy)]
pub(super) enum Part {
    Whole,
    Sum,
    Count,
    Bucket(f64),
    Quantile(f64),
}

impl Part {
    /// What tells it from the other parts.
    pub(super) fn identity(self) -> (u8, u64) {
        match self {
            Self::Whole => (0, 0),
            Self::Sum => (1, 0),
            Self::Count => (2, 0),
            Self::Bucket(bound) => (3, bound.to_bits()),
            Self::Quantile(quantile) => (4, quantile.to_bits()),
        }
    }

    fn suffix(self) -> &'static str {
        match self {
            Self::Whole | Self::Quantile(_) => "",
            Self::Sum => "_sum",
            Self::Count => "_count",
            Self::Bucket(_) => "_bucket",
        }
    }

    fn label(self) -> Option<(&'static str, f64)> {
        match self {
            Self::Bucket(bound) => Some((BUCKET_LABEL, bound)),
            Self::Quantile(quantile) => Some(("quantile", quantile)),
            Self::Whole | Self::Sum | Self::Count => None,
        }
    }
}

impl Series<'_> {
    /// Name and value of its labels, in no order; values may be empty.
    ///
    /// Later ones win: attributes of the point, promoted attributes of the resource where the point has none of that
    /// name, scope, `job` and `instance`, bucket bound or quantile, name.
    #[must_use]
    pub fn labels(&self) -> Vec<(String, String)> {
        let SeriesOf::Point {
            metric,
            scope,
            attributes,
            part,
            nesting_max,
        } = &self.of
        else {
            return self.resource.target_info().unwrap_or_default();
        };
        let mut found: Vec<_> = attributes
            .iter()
            .filter(|attribute| attribute.is_label())
            .collect();
        found.sort_by_key(|attribute| attribute.key);
        let mut pairs = Pairs::new();
        for attribute in found {
            let name = self.resource.label_name(attribute.key);
            push_joined(&mut pairs, name, attribute.text(*nesting_max));
        }
        complete_with(&mut pairs, self.resource.promoted());
        override_with(&mut pairs, (*scope).clone());
        override_with(&mut pairs, self.resource.identity());
        if let Some((label, number)) = part.label() {
            let mut text = String::new();
            push_plain_float(&mut text, number);
            override_with(&mut pairs, vec![(label.to_owned(), text)]);
        }
        let name = format!("{}{}", metric.family(self.resource), part.suffix());
        override_with(&mut pairs, vec![(METRIC_NAME.to_owned(), name)]);
        pairs
    }

    /// What is said about its metric.
    #[must_use]
    pub fn metadata(&self) -> MetricMetadata {
        match &self.of {
            SeriesOf::Target => MetricMetadata {
                metric_name: "target_info".to_owned(),
                metric_type: MetricType::Gauge,
                help: "Target metadata".to_owned(),
                unit: String::new(),
            },
            SeriesOf::Point { metric, .. } => metric.metadata(self.resource),
        }
    }
}
