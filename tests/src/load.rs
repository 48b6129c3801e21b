//! Small hand-made remote-write requests.

use wire::remote_write::v1::{Encoder, push_label};
use wire::snappy::Compressor;

/// The series `crash_total{i="<number>"}`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Series(pub usize);

/// A compressed remote-write 1.0 request of single samples: series, milliseconds since the epoch, value.
///
/// # Panics
/// Above 4 GiB.
#[must_use]
pub fn write_request(samples: impl IntoIterator<Item = (Series, i64, f64)>) -> Vec<u8> {
    let mut encoder = Encoder::default();
    let mut label_bytes = Vec::new();
    for (series, timestamp_ms, value) in samples {
        label_bytes.clear();
        push_label(&mut label_bytes, "__name__", "crash_total");
        push_label(&mut label_bytes, "i", &series.0.to_string());
        encoder.push_series(&label_bytes, &[model::Sample { timestamp_ms, value }]);
    }
    let mut buffer = Vec::new();
    let body = Compressor::default().compress(encoder.body(), &mut buffer);
    body.expect("a small request fits").to_vec()
}
