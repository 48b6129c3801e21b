//! A series that a data point writes to: known by a key, described only when somebody asks.

use model::number::push_plain_float;
use model::{BUCKET_LABEL, METRIC_NAME, MetricMetadata, MetricType, Sample, TimestampMs};

use super::attributes::Attributes;
use super::beginning::Beginning;
use super::exemplar::Exemplar;
use super::metric::Metric;
use super::rejection::Rejection;
use super::resource::{Pairs, Resource, complete_with, override_with, push_joined};
use crate::remote_write::Histogram;

/// Takes what a walk finds. Two walks of one request with the same settings, and with the
/// same answers, call the same methods in the same order.
pub trait Visitor {
    /// A float sample.
    fn sample(&mut self, series: &Series<'_>, sample: Sample, start_ms: Option<TimestampMs>);

    /// A native histogram. The sum is the staleness marker when it ends its series.
    fn histogram(&mut self, series: &Series<'_>, histogram: &Histogram);

    /// An exemplar of the series that was told of last.
    fn exemplar(&mut self, exemplar: &Exemplar);

    /// Whether the points of an Envoy are taken, of which `sender` is the resource and the address. `identity` gives the
    /// labels `job` and `instance`, as far as it has them.
    fn admits(
        &mut self,
        sender: u128,
        beginning: Beginning,
        identity: impl Fn() -> Vec<(String, String)>,
    ) -> bool {
        let _ = (sender, beginning, identity);
        true
    }

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
    /// Whether its samples are differences to those of the last report. Then they have no use for a start.
    pub is_delta: bool,
    /// Equal for equal resources.
    pub sender: u128,
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
    /// What turns the key of a data point into that of this series: another word for every part.
    ///
    /// The point's key is a keyed hash, so nobody can choose two points whose keys differ by what two marks differ by.
    /// The number is mixed because bounds leave most of their bits 0, and maps look at a few bits of a key.
    #[inline]
    pub(super) fn mark(self) -> u128 {
        let (kind, number) = match self {
            Self::Whole => return 0,
            Self::Sum => (1_u64, 0),
            Self::Count => (2, 0),
            Self::Bucket(bound) => (3, bound.to_bits()),
            Self::Quantile(quantile) => (4, quantile.to_bits()),
        };
        u128::from(mixed(kind)) << 64 | u128::from(mixed(number ^ kind << 52))
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

/// A bijection of 64 bits that spreads every bit over all of them.
///
/// Source: the finalizer of SplitMix64 (Steele, Lea and Flood, 2014).
fn mixed(number: u64) -> u64 {
    let number = (number ^ number >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ number >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ number >> 31
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
        let mut pairs = Pairs::new();
        for attribute in attributes.sorted_labels() {
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

    /// The labels `job` and `instance`, as far as its sender has them.
    #[must_use]
    pub fn identity(&self) -> Vec<(String, String)> {
        self.resource.identity()
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_part_of_a_point_has_a_mark_of_its_own() {
        let bounds = (0..2_000).map(|bound| f64::from(bound) / 4.0);
        let numbered = bounds.flat_map(|bound| [Part::Bucket(bound), Part::Quantile(bound)]);
        let parts = [Part::Whole, Part::Sum, Part::Count, Part::Bucket(f64::INFINITY)];
        let marks: BTreeSet<u128> = numbered.chain(parts).map(Part::mark).collect();
        assert_eq!(marks.len(), 4_004);
    }
}
