//! Small hand-made remote-write requests.

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
}

/// A compressed remote-write 1.0 request of single samples: series, milliseconds since the epoch, and value, or the sum
/// of a histogram of [`native_count`] observations.
///
/// # Panics
/// Above 4 GiB.
#[must_use]
pub fn write_request(samples: impl IntoIterator<Item = (Series, i64, f64)>) -> Vec<u8> {
    let mut encoder = Encoder::default();
    let mut label_bytes = Vec::new();
    let mut natives = Vec::new();
    for (series, timestamp_ms, value) in samples {
        label_bytes.clear();
        push_label(&mut label_bytes, "__name__", "crash_total");
        push_label(&mut label_bytes, "i", &series.0.to_string());
        if series.is_native() {
            push_message(&mut label_bytes, 0x22, &histogram(timestamp_ms, value));
            push_message(&mut natives, 0x0a, &label_bytes);
        } else {
            encoder.push_series(&label_bytes, &[model::Sample { timestamp_ms, value }]);
        }
    }
    natives.extend_from_slice(encoder.body());
    let mut buffer = Vec::new();
    let body = Compressor::default().compress(&natives, &mut buffer);
    body.expect("a small request fits").to_vec()
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
