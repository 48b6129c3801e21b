//! Writes export requests, for load generators and tests.
//!
//! One metric per data point and one resource per request, which is how Envoy sends.

use crate::protobuf::writer::{push_bytes, push_integer};

/// What the counts of a point are relative to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Temporality {
    /// The last report.
    Delta = 1,
    /// The start.
    Cumulative = 2,
}

/// What a metric with a single number is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NumberKind {
    /// Goes up and down.
    Gauge,
    /// Only goes up.
    Counter(Temporality),
}

/// Where a data point belongs.
#[derive(Debug, Clone, Copy)]
pub struct PointHead<'a> {
    /// Name of its metric.
    pub name: &'a str,
    /// Key and value.
    pub attributes: &'a [(&'a str, &'a str)],
    /// Nanoseconds since the epoch; 0 for none.
    pub start_ns: u64,
    /// Nanoseconds since the epoch.
    pub time_ns: u64,
}

/// The content of an explicit histogram.
#[derive(Debug, Clone, Copy)]
pub struct Buckets<'a> {
    /// Upper bounds.
    pub bounds: &'a [f64],
    /// One more than bounds; not cumulative.
    pub counts: &'a [u64],
    /// Sum of what was observed.
    pub sum: f64,
}

/// Puts a request together. Reused from request to request: the buffers keep their memory.
#[derive(Debug, Default)]
pub struct Encoder {
    resource: Vec<u8>,
    metrics: Vec<u8>,
    point: Vec<u8>,
    data: Vec<u8>,
    metric: Vec<u8>,
    scratch: Vec<u8>,
}

const fn tag(number: u8, wire_type: u8) -> u8 {
    number << 3 | wire_type
}

const VARINT: u8 = 0;
const FIXED64: u8 = 1;
const BYTES: u8 = 2;

impl Encoder {
    /// A request of a resource with these attributes.
    #[must_use]
    pub fn new(resource: &[(&str, &str)]) -> Self {
        let mut encoder = Self::default();
        for (key, value) in resource {
            encoder.push_attribute(1, key, value);
        }
        encoder.resource = std::mem::take(&mut encoder.point);
        encoder
    }

    /// Appends an integer.
    pub fn push_number(&mut self, kind: NumberKind, head: &PointHead<'_>, value: u64) {
        self.begin_point(7, head);
        push_fixed64(&mut self.point, 6, value);
        let (field, temporality) = match kind {
            NumberKind::Gauge => (5, None),
            NumberKind::Counter(temporality) => (7, Some(temporality)),
        };
        self.end_point(field, head.name, temporality, kind != NumberKind::Gauge);
    }

    /// Appends an explicit histogram.
    pub fn push_histogram(&mut self, temporality: Temporality, head: &PointHead<'_>, buckets: &Buckets<'_>) {
        self.begin_point(9, head);
        push_fixed64(&mut self.point, 4, buckets.counts.iter().sum());
        push_fixed64(&mut self.point, 5, buckets.sum.to_bits());
        let counts = buckets.counts.iter().copied();
        push_packed(&mut self.point, &mut self.scratch, 6, counts);
        let bounds = buckets.bounds.iter().map(|bound| bound.to_bits());
        push_packed(&mut self.point, &mut self.scratch, 7, bounds);
        self.end_point(9, head.name, Some(temporality), false);
    }

    /// Appends the request to `out` and begins the next one of the same resource.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        let Self {
            resource,
            metrics,
            data,
            ..
        } = self;
        data.clear();
        push_bytes(data, tag(1, BYTES), resource);
        push_bytes(data, tag(2, BYTES), metrics);
        push_bytes(out, tag(1, BYTES), data);
        metrics.clear();
    }

    fn begin_point(&mut self, attribute_field: u8, head: &PointHead<'_>) {
        self.point.clear();
        push_nonzero(&mut self.point, 2, head.start_ns);
        push_nonzero(&mut self.point, 3, head.time_ns);
        for (key, value) in head.attributes {
            self.push_attribute(attribute_field, key, value);
        }
    }

    fn push_attribute(&mut self, field: u8, key: &str, value: &str) {
        let Self { scratch, data, .. } = self;
        scratch.clear();
        push_bytes(scratch, tag(1, BYTES), value.as_bytes());
        data.clear();
        push_bytes(data, tag(1, BYTES), key.as_bytes());
        push_bytes(data, tag(2, BYTES), scratch);
        push_bytes(&mut self.point, tag(field, BYTES), data);
    }

    fn end_point(&mut self, field: u8, name: &str, temporality: Option<Temporality>, is_monotonic: bool) {
        let Self {
            metrics,
            point,
            data,
            metric,
            ..
        } = self;
        data.clear();
        push_bytes(data, tag(1, BYTES), point);
        push_integer(
            data,
            tag(2, VARINT),
            temporality.map_or(0, |temporality| temporality as u64),
        );
        push_integer(data, tag(3, VARINT), u64::from(is_monotonic));
        metric.clear();
        push_bytes(metric, tag(1, BYTES), name.as_bytes());
        push_bytes(metric, tag(field, BYTES), data);
        push_bytes(metrics, tag(2, BYTES), metric);
    }
}

fn push_fixed64(out: &mut Vec<u8>, number: u8, bits: u64) {
    out.push(tag(number, FIXED64));
    out.extend_from_slice(&bits.to_le_bytes());
}

fn push_nonzero(out: &mut Vec<u8>, number: u8, value: u64) {
    if value != 0 {
        push_fixed64(out, number, value);
    }
}

fn push_packed(out: &mut Vec<u8>, scratch: &mut Vec<u8>, number: u8, words: impl Iterator<Item = u64>) {
    scratch.clear();
    scratch.extend(words.flat_map(u64::to_le_bytes));
    push_bytes(out, tag(number, BYTES), scratch);
}
