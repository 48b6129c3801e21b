//! Small hand-made remote-write requests.

use model::MetricMetadata;
use wire::remote_write::v1::{Encoder, push_label};
use wire::snappy::Compressor;

/// The series `crash_total{i="<number>"}`. One in four has native histograms instead of floats.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Series(pub usize);

impl Series {
    /// True if its samples are native histograms.
    #[must_use]
    pub fn is_native(self) -> bool {
        self.0 % 4 == 3
    }

    /// Makes `entry` an entry of a request that has its labels and nothing else.
    fn write_labels(self, entry: &mut Vec<u8>) {
        entry.clear();
        push_label(entry, "__name__", "crash_total");
        push_label(entry, "i", &self.0.to_string());
    }
}

/// What one request carries.
#[derive(Debug, Clone, Default)]
pub struct Request {
    /// Series, milliseconds since the epoch, and value, or the sum of a histogram of [`native_count`] observations.
    pub samples: Vec<(Series, i64, f64)>,
    /// The same of exemplars, each with the label [`trace_id`].
    pub exemplars: Vec<(Series, i64, f64)>,
    /// What metrics say about themselves.
    pub metadata: Vec<MetricMetadata>,
}

impl Request {
    /// It as a compressed body of remote write 1.0, each sample and exemplar in an entry of its own, as Prometheus sends
    /// them.
    ///
    /// # Panics
    /// Above 4 GiB.
    #[must_use]
    pub fn body(&self) -> Vec<u8> {
        let mut encoder = Encoder::default();
        let mut entry = Vec::new();
        let mut body = Vec::new();
        for &(series, timestamp_ms, value) in &self.samples {
            series.write_labels(&mut entry);
            if series.is_native() {
                push_message(&mut entry, 0x22, &histogram(timestamp_ms, value));
                push_message(&mut body, 0x0a, &entry);
            } else {
                encoder.push_series(&entry, &[model::Sample { timestamp_ms, value }]);
            }
        }
        for metadata in &self.metadata {
            encoder.push_metadata(metadata);
        }
        body.extend_from_slice(encoder.body());
        // Behind the samples, because those of a series that nobody knows are not kept.
        for &(series, timestamp_ms, value) in &self.exemplars {
            series.write_labels(&mut entry);
            push_message(&mut entry, 0x1a, &exemplar(timestamp_ms, value));
            push_message(&mut body, 0x0a, &entry);
        }
        let mut buffer = Vec::new();
        let compressed = Compressor::default().compress(&body, &mut buffer);
        compressed.expect("a small request fits").to_vec()
    }
}

/// The label `trace_id` of the exemplar at this time.
#[must_use]
pub fn trace_id(timestamp_ms: i64) -> String {
    format!("{timestamp_ms:032x}")
}

/// Observations of the histogram with this sum.
#[must_use]
pub fn native_count(sum: f64) -> u64 {
    2 + sum.to_bits() % 1_000
}

/// `prometheus.Histogram` of integers: one observation in bucket 1, all others in bucket 0.
fn histogram(timestamp_ms: i64, sum: f64) -> Vec<u8> {
    let count = native_count(sum);
    let zigzag = |value: i64| (value << 1 ^ value >> 63).cast_unsigned();
    let mut message = vec![1 << 3];
    push_varint(&mut message, count);
    message.push(3 << 3 | 1);
    message.extend_from_slice(&sum.to_le_bytes());
    // A span of two buckets from 0 on.
    message.extend_from_slice(&[11 << 3 | 2, 2, 2 << 3, 2]);
    let mut deltas = Vec::new();
    push_varint(&mut deltas, zigzag(count.cast_signed() - 1));
    push_varint(&mut deltas, zigzag(2 - count.cast_signed()));
    push_message(&mut message, 12 << 3 | 2, &deltas);
    message.push(15 << 3);
    push_varint(&mut message, timestamp_ms.cast_unsigned());
    message
}

/// `prometheus.Exemplar`.
fn exemplar(timestamp_ms: i64, value: f64) -> Vec<u8> {
    let mut message = Vec::new();
    push_label(&mut message, "trace_id", &trace_id(timestamp_ms));
    message.push(2 << 3 | 1);
    message.extend_from_slice(&value.to_le_bytes());
    message.push(3 << 3);
    push_varint(&mut message, timestamp_ms.cast_unsigned());
    message
}

fn push_message(bytes: &mut Vec<u8>, tag: u8, message: &[u8]) {
    bytes.push(tag);
    push_varint(bytes, message.len() as u64);
    bytes.extend_from_slice(message);
}

fn push_varint(bytes: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        bytes.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
}
